//! Compares the targets of each scenario.

use std::collections::BTreeMap;

use crate::bounded::Bounded;
use crate::columns::Measured;
use crate::cost::Cost;
use crate::cost_tiers;
use crate::figures::Figures;
use crate::format::percent;
use crate::noise::{NoiseFloor, noise_floor};
use crate::percentile::{expected_deliveries, samples_needed};
use crate::record::{
    LoadRecord, Measurement, RankBy, Role, ScenarioRecord, TargetRecord, TrialResult,
};
use crate::results::Results;
use crate::row::{JudgedTrial, Rank, Row, measurement_of, number_of, why_unmeasured};
use crate::searched;
use crate::statistics::{Estimate, estimate_ratio, tiers};
use crate::told_apart;
use crate::trial_figures::ranking_figure;
use crate::verdict::{LOST_SHARE_RANKED_MAX, VALID_TRIALS_MIN, Validity, judge};
use crate::yardstick::Limit;

/// One scenario with everything that was measured in it.
#[derive(Clone, Debug)]
pub struct ScenarioAnalysis<'a> {
    /// The scenario.
    pub scenario: &'a ScenarioRecord,
    /// One row per target of the run: those faster than the load generator, the ranked ones tier by
    /// tier, those with too few samples, and the others.
    pub rows: Vec<Row<'a>>,
    /// The result of the A/A test: how much one target differs from itself; absent if unknown.
    pub noise: Option<NoiseFloor>,
    /// The same of each cost of a delivery.
    pub cost_noise: BTreeMap<Cost, NoiseFloor>,
    /// What this machine does without a server; absent if it was not measured.
    pub limit: Option<Limit>,
}

impl ScenarioAnalysis<'_> {
    /// Which of the figures that not every run has were measured in this scenario.
    #[must_use]
    pub fn measured(&self) -> Measured {
        let mut figures = self.rows.iter().filter_map(|row| row.figures.as_ref());
        Measured {
            limit: self.limit.is_some(),
            instructions: figures.any(|it| it.user_instructions_per_delivery.is_some()),
        }
    }
}

/// Compares everything in `results`.
#[must_use]
pub fn analyse(results: &Results) -> Vec<ScenarioAnalysis<'_>> {
    results.run.scenarios.iter().map(|scenario| analyse_scenario(results, scenario)).collect()
}

/// Compares what was measured in one scenario of `results`.
#[must_use]
pub fn analyse_scenario<'a>(
    results: &'a Results,
    scenario: &'a ScenarioRecord,
) -> ScenarioAnalysis<'a> {
    let seed = results.run.seed;
    let limit = Limit::of(results, scenario);
    let mut rows: Vec<Row<'a>> = Vec::new();
    for target in &results.run.targets {
        let mut trials: Vec<JudgedTrial<'a>> = results
            .trials
            .iter()
            .filter(|trial| trial.scenario == scenario.name && trial.target == target.name)
            .filter(|trial| trial.role == ranked_role(scenario))
            .map(|record| JudgedTrial { record, verdict: measurement_of(record).map(judge) })
            .collect();
        trials.sort_by_key(|trial| trial.record.block);
        if let LoadRecord::Search { .. } = scenario.load {
            rows.push(searched::row(target, trials, scenario, seed));
            continue;
        }
        let unranked = why_unranked(target, &trials);
        let is_used = |trial: &&JudgedTrial<'_>| unranked.is_some() || trial.is(Validity::Valid);
        let used: Vec<&Measurement> = trials
            .iter()
            .filter(is_used)
            .filter_map(|trial| measurement_of(trial.record))
            .collect();
        let share_of_limit = limit.as_ref().and_then(|limit| limit.share(&used, seed));
        let figures =
            Figures::of(&used, scenario, seed).map(|figures| Figures { share_of_limit, ..figures });
        let lost_too_much =
            figures.as_ref().and_then(|figures| why_loss_unranks(figures, scenario));
        let lower_bound = lost_too_much.is_none() && is_client_bound(&trials);
        let rank = match (unranked, lost_too_much) {
            (Some(reason), _) => Rank::Unranked { reason },
            (None, Some(reason)) => Rank::Lossy { reason },
            (None, None) => why_few_samples_unrank(&used, scenario)
                .map_or(Rank::Ranked { tier: 0 }, |reason| Rank::FewSamples { reason }),
        };
        let capacity = None;
        rows.push(Row {
            target,
            rank,
            figures,
            trials,
            capacity,
            lower_bound,
            generator_bound: false,
        });
    }
    let noise = noise_floor(results, scenario);
    let cost_noise = cost_tiers::noise_floors(results, scenario);
    for row in &mut rows {
        cost_tiers::enter(row, scenario, seed);
    }
    let mut analysis = ScenarioAnalysis { scenario, rows, noise, cost_noise, limit };
    rank_all(&mut analysis, seed);
    analysis
}

/// The trials that a scenario ranks by.
fn ranked_role(scenario: &ScenarioRecord) -> Role {
    match scenario.load {
        LoadRecord::Search { .. } => Role::Hold,
        _ => Role::Measure,
    }
}

/// Why a target is not ranked, if it is not.
fn why_unranked(target: &TargetRecord, trials: &[JudgedTrial<'_>]) -> Option<String> {
    why_unmeasured(target, trials).or_else(|| why_trials_do_not_rank(trials))
}

/// Why its trials do not rank a target, if they do not.
fn why_trials_do_not_rank(trials: &[JudgedTrial<'_>]) -> Option<String> {
    let total = trials.len();
    let failures: Vec<_> = trials
        .iter()
        .filter_map(|trial| match &trial.record.result {
            TrialResult::Failed { reason, .. } => Some(reason),
            TrialResult::Measured(_) | TrialResult::Prevented { .. } => None,
        })
        .collect();
    if let Some(first) = failures.first() {
        return Some(format!("failed in {} of {total} trials: {first}", failures.len()));
    }
    let worst = trials.iter().filter_map(|trial| trial.verdict.as_ref()).max_by_key(|v| v.validity);
    let valid = number_of(trials, Validity::Valid);
    if worst.is_none_or(|worst| worst.validity != Validity::Incorrect) {
        if valid >= VALID_TRIALS_MIN {
            return None;
        }
        if let Some(reason) = why_prevented(trials) {
            return Some(reason);
        }
    }
    let worst = worst?;
    if worst.validity == Validity::Valid {
        return Some(format!(
            "{total} trials are too few to rank: ask for {VALID_TRIALS_MIN} or more"
        ));
    }
    let alike = number_of(trials, worst.validity);
    Some(format!("{} in {alike} of {total} trials: {}", worst.validity, worst.reason))
}

/// Why this machine did not allow some of the trials, if it did not.
fn why_prevented(trials: &[JudgedTrial<'_>]) -> Option<String> {
    let mut reasons = trials.iter().filter_map(|trial| match &trial.record.result {
        TrialResult::Prevented { reason } => Some(reason),
        TrialResult::Measured(_) | TrialResult::Failed { .. } => None,
    });
    let first = reasons.next()?;
    Some(format!("prevented in {} of {} trials: {first}", 1 + reasons.count(), trials.len()))
}

/// Why what was lost keeps a target from being ranked, if it does.
fn why_loss_unranks(figures: &Figures, scenario: &ScenarioRecord) -> Option<String> {
    let lost = percent(figures.lost_share);
    if figures.lost_share > LOST_SHARE_RANKED_MAX {
        let limit = percent(LOST_SHARE_RANKED_MAX);
        return Some(format!("lost {lost} of the deliveries: above {limit} nothing is ranked"));
    }
    let is_never = scenario.rank_by == RankBy::Latency && figures.ranking.median.is_infinite();
    is_never.then(|| format!("lost {lost} of the deliveries: its p99 latency is never"))
}

/// Why too few samples keep a target from being ranked, if they do. A lower bound has no upper end:
/// leading a tier, it would tie with everything slower, and any other place would be a claim.
fn why_few_samples_unrank(used: &[&Measurement], scenario: &ScenarioRecord) -> Option<String> {
    if used.iter().all(|trial| ranking_figure(trial, scenario).is_exact()) {
        return None;
    }
    let least = used.iter().map(|trial| expected_deliveries(trial, scenario)).min()?;
    let needed = samples_needed(0.99);
    Some(format!(
        "its p99 latency is a lower bound: a trial has {least} deliveries, and {needed} are needed \
         (more with a longer --seconds)"
    ))
}

/// Whether the load generator was the bottleneck, and nothing graver keeps the target unranked.
fn is_client_bound(trials: &[JudgedTrial<'_>]) -> bool {
    let bound = number_of(trials, Validity::ClientBound);
    let valid = number_of(trials, Validity::Valid);
    valid < VALID_TRIALS_MIN
        && bound > 0
        && valid + bound >= VALID_TRIALS_MIN
        && number_of(trials, Validity::Incorrect) == 0
        && trials.iter().all(|trial| trial.verdict.is_some())
}

/// Ranks again after some rows were removed from the ranking.
pub(crate) fn rank_again(analysis: &mut ScenarioAnalysis<'_>, seed: u64) {
    for row in &mut analysis.rows {
        if let Some(figures) = &mut row.figures {
            figures.relative = None;
        }
    }
    rank_all(analysis, seed);
}

/// Ranks by the scenario's figure and by costs.
fn rank_all(analysis: &mut ScenarioAnalysis<'_>, seed: u64) {
    let noise_factor = analysis.noise.as_ref().map_or(1.0, NoiseFloor::factor);
    rank(&mut analysis.rows, analysis.scenario, noise_factor, seed);
    cost_tiers::rank(&mut analysis.rows, &analysis.cost_noise);
}

/// Fills in tiers and ratios, and sorts the rows.
fn rank(rows: &mut [Row<'_>], scenario: &ScenarioRecord, noise_factor: f64, seed: u64) {
    let better = |a, b| scenario.rank_by.is_better(a, b);
    let is_ranked = |row: &Row<'_>| matches!(row.rank, Rank::Ranked { .. });
    let ranked: Vec<usize> = (0..rows.len()).filter(|&at| is_ranked(&rows[at])).collect();
    let estimates: Vec<Estimate> =
        ranked.iter().filter_map(|&at| told_apart::of_row(&rows[at], scenario)).collect();
    for (&at, tier) in ranked.iter().zip(tiers(&estimates, noise_factor, better)) {
        rows[at].rank = Rank::Ranked { tier };
    }
    mark_generator_bound(rows, &estimates, scenario);
    let sort_key = |row: &Row<'_>| {
        let median = row.figures.as_ref().map_or(f64::INFINITY, |figures| figures.ranking.median);
        let median = scenario.rank_by.sort_key(median);
        match row.rank {
            Rank::Ranked { tier } => (tier, median),
            Rank::Unranked { .. } if row.generator_bound => (0, median),
            Rank::FewSamples { .. } => (usize::MAX - 3, median),
            Rank::Lossy { .. } => (usize::MAX - 2, median),
            Rank::Unranked { .. } if row.figures.is_some() => (usize::MAX - 1, median),
            Rank::Unranked { .. } => (usize::MAX, 0.0),
        }
    };
    rows.sort_by(|a, b| {
        let (a, b) = (sort_key(a), sort_key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let Some(best) =
        rows.iter().find(|row| is_ranked(row)).map(|row| ranking_figures(row, scenario))
    else {
        return;
    };
    // A search gives one figure with its interval, and no repeats to take ratios of.
    if scenario.rank_by == RankBy::Capacity {
        searched::relate(rows);
        return;
    }
    for row in rows.iter_mut().filter(|row| is_ranked(row)).skip(1) {
        let own = ranking_figures(row, scenario);
        if let Some(figures) = &mut row.figures {
            figures.relative = estimate_ratio(&own, &best, seed)
                .filter(|ratio| ratio.median.is_finite() && ratio.median > 0.0);
        }
    }
}

/// Marks the lower bounds that are above the intervals of all `ranked`: these targets come first,
/// but are not ranked among themselves. Latencies have no such bounds.
fn mark_generator_bound(rows: &mut [Row<'_>], ranked: &[Estimate], scenario: &ScenarioRecord) {
    let lower_is_better = scenario.rank_by.lower_is_better();
    let highest = ranked.iter().map(|estimate| estimate.high).fold(f64::NEG_INFINITY, f64::max);
    for row in rows {
        let is_above = told_apart::of_row(row, scenario).is_some_and(|it| it.low > highest);
        row.generator_bound = row.lower_bound && !lower_is_better && is_above;
    }
}

/// The ranking figure of each valid trial.
fn ranking_figures(row: &Row<'_>, scenario: &ScenarioRecord) -> Vec<Bounded> {
    row.valid_measurements().map(|figures| ranking_figure(figures, scenario)).collect()
}

#[cfg(test)]
mod tests;
