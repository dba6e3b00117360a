//! Rows of scenarios that search for a capacity.

use crate::bounded::Bound;
use crate::capacity::{Answer, Capacity, answer, answers, capacity};
use crate::figures::Figures;
use crate::record::{Measurement, Role, ScenarioRecord, TargetRecord};
use crate::row::{JudgedTrial, Rank, Row, measurement_of, why_unmeasured};
use crate::statistics::Estimate;

/// The row of a target whose capacity was searched for; `trials` are the holds.
pub(crate) fn row<'a>(
    target: &'a TargetRecord,
    trials: Vec<JudgedTrial<'a>>,
    scenario: &ScenarioRecord,
    seed: u64,
) -> Row<'a> {
    let records = trials.iter().map(|trial| trial.record);
    let holds = answers(records, scenario, &target.name, Role::Hold);
    let capacity = capacity(&holds);
    let unranked = why_unmeasured(target, &trials).or_else(|| match capacity {
        None => Some("not even the lowest rate was carried within the limits".to_owned()),
        Some(Capacity { high: None, messages_per_second, .. }) => {
            let is_ours = holds.iter().any(|(_, answer)| *answer == Answer::Unreachable);
            let why = if is_ours { "the load generator's limit" } else { "the end of the search" };
            Some(format!("a lower bound: {messages_per_second:.0} messages/s is {why}"))
        }
        Some(_) => None,
    });
    let at_capacity: Vec<&Measurement> = trials
        .iter()
        .filter(|trial| trial.record.offered_rate == capacity.map(|it| it.messages_per_second))
        // What says nothing about the rate has no figures of it either.
        .filter(|trial| {
            let told = answer(trial.record, scenario).map(|(_, answer)| answer);
            matches!(told, Some(Answer::Met | Answer::Missed))
        })
        .filter_map(|trial| measurement_of(trial.record))
        .collect();
    let mut figures = Figures::of(&at_capacity, scenario, seed);
    if let (Some(figures), Some(found)) = (&mut figures, capacity) {
        figures.ranking = Estimate {
            median: found.messages_per_second,
            low: found.low,
            high: found.high.unwrap_or(f64::INFINITY),
            samples: found.holds,
            bound: Bound::Exact,
        };
        figures.capacity_messages_per_second = Some(figures.ranking);
    }
    let rank = unranked.map_or(Rank::Ranked { tier: 0 }, |reason| Rank::Unranked { reason });
    let lower_bound = capacity.is_some_and(|found| found.high.is_none());
    Row { target, rank, figures, trials, capacity, lower_bound, generator_bound: false }
}

/// Relates the ranked rows to the first of them, which is the best. Intervals are as wide as both
/// ends allow.
pub(crate) fn relate(rows: &mut [Row<'_>]) {
    let mut ranked = rows.iter_mut().filter(|row| row.rank.tier().is_some());
    let Some(best) = ranked.next().and_then(|row| row.figures.as_ref()).map(|it| it.ranking) else {
        return;
    };
    for figures in ranked.filter_map(|row| row.figures.as_mut()) {
        let own = figures.ranking;
        figures.relative = Some(Estimate {
            median: own.median / best.median,
            low: own.low / best.high,
            high: own.high / best.low,
            samples: own.samples,
            bound: Bound::Exact,
        })
        .filter(|ratio| ratio.median.is_finite() && ratio.low.is_finite());
    }
}
