//! Which trials there are, in which order, and how long they will take.

use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use zillions_report::record::{LoadRecord, Role, ScenarioRecord, YardstickKind};

use crate::scenario::QUIET;
use crate::search::CURVE;

/// What a trial takes beside its load: starting, connecting, sampling, stopping.
const OVERHEAD: Duration = Duration::from_millis(200);

/// Trials that a search usually takes until it holds rates.
const NARROWING_TRIALS: usize = 12;
/// Rates that a search usually holds.
const RATES_HELD: usize = 5;

/// One trial that is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedTrial {
    /// Its index in the run.
    pub order: usize,
    /// Its block, from 0.
    pub block: u32,
    /// Index of its scenario.
    pub scenario: usize,
    /// Index of its target; `None` for the limit of the scenario.
    pub target: Option<usize>,
    /// What it is for.
    pub role: Role,
}

/// Which of `targets` targets is measured as two arms, for an A/A comparison: a random one, the same
/// for the same seed.
#[must_use]
pub fn twin(targets: usize, seed: u64) -> Option<usize> {
    // Another stream of numbers than the one that orders the trials.
    let mut random = ChaCha8Rng::seed_from_u64(!seed);
    (targets > 0).then(|| random.random_range(0..targets))
}

/// The trials of `targets` targets in every scenario that searches for nothing, block by block.
///
/// In each block every target has one trial of each scenario that is repeated that often, the
/// [`twin`] has two, and of those scenarios of `yardsticks` that have a limit it has one. The order
/// within a block is random, and the same for the same seed.
#[must_use]
pub fn trials(
    scenarios: &[ScenarioRecord],
    targets: usize,
    yardsticks: bool,
    seed: u64,
) -> Vec<PlannedTrial> {
    let arms: Vec<(Option<usize>, Role)> = (0..targets)
        .map(|target| (Some(target), Role::Measure))
        .chain(twin(targets, seed).map(|target| (Some(target), Role::Twin)))
        .collect();
    let limit = |scenario: &ScenarioRecord| {
        has_limit(scenario, yardsticks).then_some((None, Role::Yardstick))
    };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let blocks = scenarios.iter().map(blocks_of).max().unwrap_or(0);
    let mut trials = Vec::new();
    for block in 0..blocks {
        let mut of_block: Vec<_> = (0..scenarios.len())
            .filter(|&scenario| block < blocks_of(&scenarios[scenario]))
            .flat_map(|scenario| {
                let arms = arms.iter().copied().chain(limit(&scenarios[scenario]));
                arms.map(move |arm| (scenario, arm))
            })
            .collect();
        of_block.shuffle(&mut random);
        for (scenario, (target, role)) in of_block {
            trials.push(PlannedTrial { order: trials.len(), block, scenario, target, role });
        }
    }
    trials
}

/// Whether the limit of `scenario` is measured, if any is.
fn has_limit(scenario: &ScenarioRecord, yardsticks: bool) -> bool {
    yardsticks && YardstickKind::of(scenario).is_some()
}

/// In how many blocks of the plan `scenario` has trials.
fn blocks_of(scenario: &ScenarioRecord) -> u32 {
    match scenario.load {
        LoadRecord::Search { .. } => 0,
        _ => scenario.repeats,
    }
}

/// How many trials a search usually takes for one target.
#[must_use]
pub fn search_trials(holds_per_rate: u32) -> usize {
    NARROWING_TRIALS + RATES_HELD * holds_per_rate as usize + CURVE.len()
}

/// How many trials of `scenario` there are with `targets` targets, one of which is measured twice, and with
/// or without the limit.
fn trials_of(scenario: &ScenarioRecord, targets: usize, yardsticks: bool) -> usize {
    match (scenario.load, targets) {
        (_, 0) => 0,
        (LoadRecord::Search { .. }, _) => search_trials(scenario.repeats) * targets,
        _ => {
            let limits = usize::from(has_limit(scenario, yardsticks));
            scenario.repeats as usize * (targets + 1 + limits)
        }
    }
}

/// How many trials there are, those of searches estimated.
#[must_use]
pub fn number_of_trials(scenarios: &[ScenarioRecord], targets: usize, yardsticks: bool) -> usize {
    scenarios.iter().map(|scenario| trials_of(scenario, targets, yardsticks)).sum()
}

/// How long the trials will take, unless servers are slow to start or to drain.
#[must_use]
pub fn estimate(scenarios: &[ScenarioRecord], targets: usize, yardsticks: bool) -> Duration {
    scenarios
        .iter()
        .map(|scenario| {
            let trials = |yardsticks| {
                let trials = trials_of(scenario, targets, yardsticks);
                u32::try_from(trials).unwrap_or(u32::MAX)
            };
            let of_targets = trials(false);
            let of_limits = trials(yardsticks) - of_targets;
            duration(scenario, Role::Measure) * of_targets
                + duration(scenario, Role::Yardstick) * of_limits
        })
        .sum()
}

/// How long one trial of `scenario` in that role takes, likewise.
#[must_use]
pub fn duration(scenario: &ScenarioRecord, role: Role) -> Duration {
    let load = Duration::from_secs_f64(scenario.warm_up_seconds + scenario.measure_seconds);
    match role {
        // Nothing that a limit sends is waited for after the window.
        Role::Yardstick => OVERHEAD + load,
        _ => OVERHEAD + load + QUIET,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use zillions_report::record::RankBy;

    use crate::scenario::Scenario;

    fn scenarios() -> Vec<ScenarioRecord> {
        Scenario::built_in()
            .iter()
            .filter(|scenario| scenario.is_default)
            .map(|scenario| scenario.record(false))
            .collect()
    }

    #[test]
    fn every_target_runs_once_per_block_and_scenario_and_the_twin_twice() {
        let mut scenarios = scenarios();
        scenarios[0].repeats = 2;
        let trials = trials(&scenarios, 7, false, 1);
        assert_eq!(trials.len(), (7 + 1) * (2 + 5));
        let distinct: HashSet<_> =
            trials.iter().map(|t| (t.block, t.scenario, t.target, t.role)).collect();
        assert_eq!(distinct.len(), trials.len());
        let twin = twin(7, 1).unwrap();
        let second_arm: Vec<_> = trials.iter().filter(|t| t.role == Role::Twin).collect();
        assert!(second_arm.len() == 2 + 5 && second_arm.iter().all(|t| t.target == Some(twin)));
        assert!(trials.windows(2).all(|pair| pair[0].block <= pair[1].block));
    }

    #[test]
    fn each_scenario_with_a_limit_has_it_once_per_block_and_others_never() {
        let scenarios: Vec<_> =
            Scenario::built_in().iter().map(|scenario| scenario.record(false)).collect();
        let trials = trials(&scenarios, 2, true, 1);
        let of = |name: &str| {
            let at = scenarios.iter().position(|it| it.name == name).unwrap();
            let limits = trials.iter().filter(|it| it.scenario == at);
            limits.filter(|it| it.role == Role::Yardstick && it.target.is_none()).count()
        };
        let with = ["one-to-many", "small-room", "burst", "tiny-frames"].map(of);
        assert_eq!(with, [5; 4]);
        let without = ["capacity", "everyone-at-once", "churn", "slow-reader"].map(of);
        assert_eq!(without, [0; 4]);
        let planned = scenarios.iter().filter(|it| it.rank_by != RankBy::Capacity);
        let planned: Vec<_> = planned.cloned().collect();
        assert_eq!(number_of_trials(&planned, 2, true), trials.len());
    }

    #[test]
    fn any_target_may_be_the_twin_and_of_none_there_is_none() {
        let drawn: HashSet<_> = (0..100).filter_map(|seed| twin(3, seed)).collect();
        assert_eq!(drawn, HashSet::from([0, 1, 2]));
        assert_eq!(twin(3, 7), twin(3, 7));
        assert_eq!(twin(0, 7), None);
    }

    #[test]
    fn the_order_within_blocks_is_drawn_from_the_seed() {
        let scenarios = scenarios();
        assert_eq!(trials(&scenarios, 6, true, 1), trials(&scenarios, 6, true, 1));
        assert_ne!(trials(&scenarios, 6, true, 1), trials(&scenarios, 6, true, 2));
        let targets_of = |block| -> Vec<_> {
            let all = trials(&scenarios, 6, true, 1);
            all.iter()
                .filter(|t| t.block == block)
                .map(|t| (t.scenario, t.target, t.role))
                .collect()
        };
        assert_ne!(targets_of(0), targets_of(1), "each block has an order of its own");
    }

    #[test]
    fn a_gallery_of_fourteen_is_measured_in_less_than_two_minutes_by_default() {
        let estimate = estimate(&scenarios(), 14, true);
        assert!(estimate.as_secs() < 120, "{estimate:?}");
    }
}
