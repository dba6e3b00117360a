//! Which trials follow the first blocks: disturbed ones again, then more of what is not told apart.
//!
//! Pure: it takes what became of a trial, and what is not told apart at a look, and returns the next
//! trial; the same answers always lead to the same trials. So an interrupted run is resumed by
//! repeating the answers, and the proof that looking makes no false differences runs this code.
//!
//! A *look* compares the targets of a scenario. The results of an arm change only as its number of
//! undisturbed trials reaches the next of [`LOOKS_MAX`] levels, each half as large again as the one
//! before. Of the ties that a look finds, those that need the fewest trials come first, as many as
//! the rest of the budget allows.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use zillions_report::record::{LoadRecord, Role, ScenarioRecord};
use zillions_report::told_apart::Tie;

use crate::plan::{self, PlannedTrial};

/// How often at most the results of a scenario are looked at to decide on further trials.
pub const LOOKS_MAX: u32 = 6;
/// From the trials of one look to those of the next.
const LEVEL_RATIO: f64 = 1.5;
/// With fewer trials two equal targets are separated too often for a first look: three against three
/// in one comparison of ten.
pub const FIRST_BLOCKS_MIN: u32 = 5;
/// The budget where none is given, relative to what the first blocks take.
const BUDGET_DEFAULT: f64 = 1.25;

/// Whether the number of trials of `scenario` may be left open.
#[must_use]
pub fn may_follow(scenario: &ScenarioRecord) -> bool {
    scenario.repeats >= FIRST_BLOCKS_MIN && !matches!(scenario.load, LoadRecord::Search { .. })
}

/// Leaves the number of trials open where it may be.
pub fn leave_open(scenarios: &mut [ScenarioRecord]) {
    for scenario in scenarios.iter_mut().filter(|scenario| may_follow(scenario)) {
        scenario.looks_max = LOOKS_MAX;
    }
}

/// What the first blocks of all `scenarios` that search for nothing take.
#[must_use]
pub fn first_blocks(scenarios: &[ScenarioRecord], targets: usize, yardsticks: bool) -> Duration {
    plan::estimate(&in_blocks(scenarios), targets, yardsticks)
}

/// The budget where none is given.
#[must_use]
pub fn default_budget(scenarios: &[ScenarioRecord], targets: usize, yardsticks: bool) -> Duration {
    first_blocks(scenarios, targets, yardsticks).mul_f64(BUDGET_DEFAULT)
}

/// A budget that one block exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a budget of {} s is too short for one block: one trial of each of {targets} targets, and what is \
     measured beside them, take {} s; give more, or name fewer targets or scenarios",
    budget.as_secs(), block.as_secs_f64().ceil()
)]
pub struct TooShort {
    /// What was given.
    pub budget: Duration,
    /// What one block takes.
    pub block: Duration,
    /// The targets of a block.
    pub targets: usize,
}

/// Leaves out first blocks that do not fit into `budget`.
///
/// # Errors
///
/// [`TooShort`], if not one of them does.
pub fn fit(
    scenarios: &mut [ScenarioRecord],
    targets: usize,
    yardsticks: bool,
    budget: Duration,
) -> Result<(), TooShort> {
    let with = |blocks: u32| {
        let mut scenarios = in_blocks(scenarios);
        for scenario in &mut scenarios {
            scenario.repeats = scenario.repeats.min(blocks);
        }
        plan::estimate(&scenarios, targets, yardsticks)
    };
    let most = in_blocks(scenarios).iter().map(|it| it.repeats).max().unwrap_or(0);
    let block = with(1);
    let Some(blocks) = (1..=most).rev().find(|&blocks| with(blocks) <= budget) else {
        return if most == 0 { Ok(()) } else { Err(TooShort { budget, block, targets }) };
    };
    let is_search = |it: &ScenarioRecord| matches!(it.load, LoadRecord::Search { .. });
    for scenario in scenarios.iter_mut().filter(|it| !is_search(it)) {
        scenario.repeats = scenario.repeats.min(blocks);
        if !may_follow(scenario) {
            scenario.looks_max = 1;
        }
    }
    Ok(())
}

fn in_blocks(scenarios: &[ScenarioRecord]) -> Vec<ScenarioRecord> {
    let searches = |it: &&ScenarioRecord| matches!(it.load, LoadRecord::Search { .. });
    scenarios.iter().filter(|it| !searches(it)).cloned().collect()
}

/// What is measured again and again: a target in a scenario, in one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Arm {
    scenario: usize,
    target: usize,
    role: Role,
}

/// How far an arm is.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Trials asked for, disturbed ones included.
    asked: u32,
    undisturbed: u32,
    /// Its level, from 0: how many trials the results of its next look have.
    level: u32,
}

/// The trials of a run, one after the other.
pub struct Planner<'a> {
    scenarios: &'a [ScenarioRecord],
    twin: Option<usize>,
    budget: Option<Duration>,
    spent: Duration,
    random: ChaCha8Rng,
    /// The arms that may have further trials, in a fixed order.
    arms: Vec<Arm>,
    progress: HashMap<Arm, Progress>,
    queue: VecDeque<PlannedTrial>,
    /// How many of the queue are of the first blocks, which are not limited by the budget.
    first_left: usize,
    planned: usize,
}

impl<'a> Planner<'a> {
    /// A planner that begins with the blocks of [`plan::trials`], and ends with them without a
    /// budget.
    #[must_use]
    pub fn new(
        scenarios: &'a [ScenarioRecord],
        targets: usize,
        yardsticks: bool,
        seed: u64,
        budget: Option<Duration>,
    ) -> Self {
        let queue: VecDeque<_> = plan::trials(scenarios, targets, yardsticks, seed).into();
        let mut arms = Vec::new();
        let mut progress: HashMap<Arm, Progress> = HashMap::new();
        for trial in &queue {
            let Some(target) = trial.target else { continue };
            let arm = Arm { scenario: trial.scenario, target, role: trial.role };
            let begun = Progress { asked: 0, undisturbed: 0, level: 0 };
            progress.entry(arm).or_insert(begun).asked += 1;
            if !arms.contains(&arm) && scenarios[arm.scenario].looks_max > 1 {
                arms.push(arm);
            }
        }
        Self {
            scenarios,
            twin: plan::twin(targets, seed),
            budget,
            spent: Duration::ZERO,
            // Another stream of numbers than those that order the blocks and choose the twin.
            random: ChaCha8Rng::seed_from_u64(seed.rotate_left(32)),
            arms,
            progress,
            first_left: queue.len(),
            planned: queue.len(),
            queue,
        }
    }

    /// How many trials there are so far, those that are still to come included.
    #[must_use]
    pub fn planned(&self) -> usize {
        self.planned
    }

    /// The next trial, if there is any. `look` gives the ties of a scenario by what has been
    /// measured; it is called where nothing is left to be done without it.
    pub fn next_trial(
        &mut self,
        look: impl FnMut(usize) -> Vec<Tie<usize>>,
    ) -> Option<PlannedTrial> {
        if self.queue.is_empty() {
            self.repeat_disturbed();
        }
        if self.queue.is_empty() {
            self.follow(look);
        }
        let next = self.queue.pop_front()?;
        if self.first_left > 0 {
            self.first_left -= 1;
        } else if !self.allows(self.cost(next.scenario)) {
            // Trials may take longer than was estimated.
            self.planned -= 1 + self.queue.len();
            self.queue.clear();
            return None;
        }
        Some(next)
    }

    /// Takes in what became of a trial: whether the machine disturbed it, and how long it took.
    pub fn ended(&mut self, trial: &PlannedTrial, disturbed: bool, took: Duration) {
        self.spent += took;
        let Some(target) = trial.target else { return };
        let arm = Arm { scenario: trial.scenario, target, role: trial.role };
        if let Some(progress) = self.progress.get_mut(&arm) {
            progress.undisturbed += u32::from(!disturbed);
        }
    }

    /// One more trial of each arm that lacks some, unless half of its trials were disturbed.
    fn repeat_disturbed(&mut self) {
        let lacks = |arm: &Arm| {
            let progress = self.progress[arm];
            let wanted = self.wanted(*arm, progress.level);
            progress.undisturbed < wanted && progress.asked < 2 * wanted
        };
        let mut arms: Vec<Arm> = self.arms.iter().copied().filter(lacks).collect();
        arms.shuffle(&mut self.random);
        let mut cost = Duration::ZERO;
        for arm in arms {
            cost += self.cost(arm.scenario);
            if self.allows(cost) {
                self.queue(arm);
            }
        }
    }

    /// Looks, and plans the next trials of what could be told apart.
    fn follow(&mut self, mut look: impl FnMut(usize) -> Vec<Tie<usize>>) {
        let mut found: Vec<(usize, Tie<usize>)> = Vec::new();
        let open = (0..self.scenarios.len()).filter(|&at| self.scenarios[at].looks_max > 1);
        for scenario in open.filter(|_| self.budget.is_some()) {
            found.extend(look(scenario).into_iter().map(|tie| (scenario, tie)));
        }
        // The order is fixed even where two need the same.
        found.sort_by_key(|(scenario, tie)| {
            (tie.trials_needed.unwrap_or(usize::MAX), *scenario, tie.leader, tie.other)
        });
        let mut raised: Vec<Arm> = Vec::new();
        let mut trials: Vec<Arm> = Vec::new();
        let mut cost = Duration::ZERO;
        for (scenario, tie) in found {
            let Some(arms) = self.arms_of(scenario, &tie) else { continue };
            let arms: Vec<Arm> = arms.into_iter().filter(|it| !raised.contains(it)).collect();
            let more = |arm: &Arm| {
                let Progress { undisturbed, level, .. } = self.progress[arm];
                let wanted = self.wanted(*arm, level + 1).saturating_sub(undisturbed);
                std::iter::repeat_n(*arm, wanted as usize)
            };
            let of_tie: Vec<Arm> = arms.iter().flat_map(more).collect();
            let of_tie_cost = self.cost(scenario) * of_tie.len() as u32;
            if self.allows(cost + of_tie_cost) {
                cost += of_tie_cost;
                raised.extend(arms);
                trials.extend(of_tie);
            }
        }
        for arm in raised {
            self.progress.entry(arm).and_modify(|it| it.level += 1);
        }
        trials.shuffle(&mut self.random);
        for arm in trials {
            self.queue(arm);
        }
    }

    /// The arms whose level is to rise for a tie, if there is another level: those of the two targets,
    /// and of the twin, whose difference from itself is the noise floor.
    fn arms_of(&self, scenario: usize, tie: &Tie<usize>) -> Option<Vec<Arm>> {
        let arm = |target, role| Arm { scenario, target, role };
        let pair = [arm(tie.leader, Role::Measure), arm(tie.other, Role::Measure)];
        let level_of = |arm: &Arm| self.progress.get(arm).map(|it| it.level);
        let level = level_of(&pair[0])?.min(level_of(&pair[1])?);
        if level + 1 >= LOOKS_MAX {
            return None;
        }
        let twins = self
            .twin
            .into_iter()
            .flat_map(|twin| [Role::Measure, Role::Twin].map(|role| arm(twin, role)));
        let mut arms: Vec<Arm> = Vec::new();
        for arm in pair.into_iter().chain(twins) {
            if level_of(&arm) <= Some(level) && level_of(&arm).is_some() && !arms.contains(&arm) {
                arms.push(arm);
            }
        }
        Some(arms)
    }

    /// How many undisturbed trials an arm has at a level.
    fn wanted(&self, arm: Arm, level: u32) -> u32 {
        let first = f64::from(self.scenarios[arm.scenario].repeats);
        (first * LEVEL_RATIO.powi(level as i32)).ceil() as u32
    }

    fn cost(&self, scenario: usize) -> Duration {
        plan::duration(&self.scenarios[scenario], Role::Measure)
    }

    /// Whether the budget has so much left.
    fn allows(&self, cost: Duration) -> bool {
        self.budget.is_some_and(|budget| self.spent + cost <= budget)
    }

    fn queue(&mut self, arm: Arm) {
        let Arm { scenario, target, role } = arm;
        let Some(progress) = self.progress.get_mut(&arm) else { return };
        let block = progress.asked;
        progress.asked += 1;
        self.queue.push_back(PlannedTrial {
            order: self.planned,
            block,
            scenario,
            target: Some(target),
            role,
        });
        self.planned += 1;
    }
}

#[cfg(test)]
mod tests;
