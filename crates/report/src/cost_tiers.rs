//! Tiers by what a delivery costs: CPU time, instructions, context switches.
//!
//! The clock of a process stands still while another program has its processor. So a busy machine,
//! or a load generator at its limit, which makes the figure that a scenario ranks by worthless, says
//! far less against the CPU time of a delivery; and the same statistics as for that figure decide
//! whether it separates anything.

use std::collections::BTreeMap;

use crate::bounded::Bounded;
use crate::cost::{Cost, RankedCost, RankedCosts};
use crate::noise::NoiseFloor;
use crate::record::{LoadRecord, Role, ScenarioRecord, TrialResult};
use crate::results::Results;
use crate::row::{Rank, Row, measurement_of};
use crate::statistics::{Estimate, estimate_median, tiers};
use crate::told_apart::{Tie, interval, ties};
use crate::verdict::{VALID_TRIALS_MIN, Validity, judge};

/// Enters the costs of `row` that can be ranked, without their tiers, which [`rank`] gives. A
/// search has none: its trials are of different rates.
pub(crate) fn enter(row: &mut Row<'_>, scenario: &ScenarioRecord, seed: u64) {
    if matches!(scenario.load, LoadRecord::Search { .. }) || !is_comparable(row) {
        return;
    }
    let costs: RankedCosts = Cost::ALL
        .into_iter()
        .filter_map(|cost| {
            let samples = samples(row, cost);
            let estimate = match scenario.looks_max {
                0 | 1 => estimate_median(&samples, seed),
                looks => interval(&samples, looks),
            };
            let estimate = estimate.filter(|it| it.samples >= VALID_TRIALS_MIN)?;
            Some((cost, RankedCost { estimate, tier: 0 }))
        })
        .collect();
    if let Some(figures) = &mut row.figures {
        figures.costs = costs;
    }
}

/// What violates the spec, ends in mid-trial, or loses most of its deliveries does less than the
/// others for its time.
fn is_comparable(row: &Row<'_>) -> bool {
    let has_failed = || {
        let mut trials = row.trials.iter();
        trials.any(|it| matches!(it.record.result, TrialResult::Failed { .. }))
    };
    !matches!(row.rank, Rank::Lossy { .. })
        && row.number_of(Validity::Incorrect) == 0
        && !has_failed()
}

/// The cost in each trial that tells it: of the valid ones where they are enough, as the figure in
/// the table.
fn samples(row: &Row<'_>, cost: Cost) -> Vec<Bounded> {
    let of = |is_used: &dyn Fn(Validity) -> bool| -> Vec<Bounded> {
        row.trials
            .iter()
            .filter(|it| it.verdict.as_ref().is_some_and(|verdict| is_used(verdict.validity)))
            .filter_map(|it| cost.of(measurement_of(it.record)?))
            .map(Bounded::from)
            .collect()
    };
    let valid = of(&|validity| validity == Validity::Valid);
    if valid.len() >= VALID_TRIALS_MIN { valid } else { of(&|it| cost.is_told_by(it)) }
}

/// The noise floor of each cost: what the two arms of the A/A test differ in.
pub(crate) fn noise_floors(
    results: &Results,
    scenario: &ScenarioRecord,
) -> BTreeMap<Cost, NoiseFloor> {
    let of_cost = |cost: Cost| {
        let target = results.run.twin.clone()?;
        let arm = |role: Role| -> Vec<Bounded> {
            results
                .trials
                .iter()
                .filter(|it| it.role == role && it.scenario == scenario.name && it.target == target)
                .filter_map(measurement_of)
                .filter(|it| cost.is_told_by(judge(it).validity))
                .filter_map(|it| cost.of(it))
                .map(Bounded::from)
                .collect()
        };
        let (first, second) = (arm(Role::Measure), arm(Role::Twin));
        NoiseFloor::of_arms(target, &first, &second, results.run.seed).map(|floor| (cost, floor))
    };
    Cost::ALL.into_iter().filter_map(of_cost).collect()
}

/// Gives the costs that were entered their tiers.
pub(crate) fn rank(rows: &mut [Row<'_>], noise: &BTreeMap<Cost, NoiseFloor>) {
    for cost in Cost::ALL {
        let (places, found): (Vec<usize>, Vec<RankedCost>) = ranked(rows, cost).into_iter().unzip();
        let estimates: Vec<Estimate> = found.iter().map(|it| it.estimate).collect();
        let tiers = tiers(&estimates, noise.get(&cost).map_or(1.0, NoiseFloor::factor), is_less);
        for (place, tier) in places.into_iter().zip(tiers) {
            let figures = rows[place].figures.as_mut();
            if let Some(ranked) = figures.and_then(|it| it.costs.get_mut(&cost)) {
                ranked.tier = tier;
            }
        }
    }
}

/// The rows that are ranked by `cost`: their positions and their costs, the best first.
pub(crate) fn ranked(rows: &[Row<'_>], cost: Cost) -> Vec<(usize, RankedCost)> {
    let of_row = |row: &Row<'_>| row.figures.as_ref()?.costs.get(&cost).copied();
    let mut found: Vec<(usize, RankedCost)> =
        rows.iter().enumerate().filter_map(|(at, row)| Some((at, of_row(row)?))).collect();
    let key = |it: &RankedCost| (it.tier, it.estimate.median);
    found.sort_by(|(_, a), (_, b)| {
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    found
}

/// The ties by one cost, by the positions of rows.
pub(crate) fn ties_by(
    rows: &[Row<'_>],
    cost: Cost,
    noise: &BTreeMap<Cost, NoiseFloor>,
) -> Vec<Tie<usize>> {
    let found = ranked(rows, cost);
    let estimates: Vec<Estimate> = found.iter().map(|it| it.1.estimate).collect();
    let tiers: Vec<usize> = found.iter().map(|it| it.1.tier).collect();
    let factor = noise.get(&cost).map_or(1.0, NoiseFloor::factor);
    ties(&estimates, &tiers, factor, is_less)
        .into_iter()
        .map(|it| Tie { leader: found[it.leader].0, other: found[it.other].0, ..it })
        .collect()
}

fn is_less(a: f64, b: f64) -> bool {
    a < b
}

#[cfg(test)]
mod tests;
