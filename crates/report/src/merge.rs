//! Several runs merged into one report.
//!
//! Trials of one program in one scenario are pooled over the runs. A program that changed between
//! runs counts as another target, a scenario that was run differently as another
//! scenario. Targets are ranked against each other only if they were measured in the same runs:
//! the machine of one day is not that of another, and only what was interleaved met the same one.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::analysis::{ScenarioAnalysis, analyse, rank_again};
use crate::compare::{differences_of_machines, scenario_differences};
use crate::cost_tiers;
use crate::record::{Role, RunRecord, ScenarioRecord, TargetRecord, TargetStatus};
use crate::results::Results;
use crate::row::{Rank, Row};
use crate::verdict::Validity;

/// Several merged runs.
#[derive(Clone, Debug)]
pub struct Merged {
    /// All trials, in the order of the runs and then of the trials; numbered anew.
    pub results: Results,
    /// Where they come from.
    pub runs: Vec<MergedRun>,
}

/// One of the runs.
#[derive(Clone, Debug)]
pub struct MergedRun {
    /// What it is called: its folder.
    pub name: String,
    /// What was recorded of it.
    pub run: RunRecord,
    /// Its trials, by their `order` in the merged results.
    pub trials: Range<u32>,
}

/// Runs that cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Nothing was given.
    #[error("there are no runs to merge")]
    Nothing,
    /// They were made on different machines.
    #[error(
        "'{name}' was measured on another machine than '{first}' ({what}), and figures of \
         different machines do not belong in one report: write one per machine"
    )]
    OtherMachine {
        /// The first run.
        first: String,
        /// The one that differs.
        name: String,
        /// How.
        what: String,
    },
    /// One run was given twice, so its trials would count twice.
    #[error("'{name}' is the same run as '{first}': name each run once")]
    Twice {
        /// The one before.
        first: String,
        /// The second one.
        name: String,
    },
}

/// Merges `runs`, each with its name, in the order in which they are given.
///
/// # Errors
///
/// [`MergeError`], if they do not belong together.
pub fn merge(runs: Vec<(String, Results)>) -> Result<Merged, MergeError> {
    check(&runs)?;
    let mut given = runs.into_iter();
    let (name, first) = given.next().ok_or(MergeError::Nothing)?;
    let trials = 0..first.trials.iter().map(|trial| trial.order + 1).max().unwrap_or(0);
    let runs = vec![MergedRun { name, run: first.run.clone(), trials }];
    let mut merged = Merged { results: first, runs };
    for (name, results) in given {
        merged.add(name, results);
    }
    Ok(merged)
}

fn check(runs: &[(String, Results)]) -> Result<(), MergeError> {
    for (at, (name, results)) in runs.iter().enumerate() {
        let (first, other) = &runs[0];
        let differences = differences_of_machines(&other.run, &results.run);
        if !differences.is_empty() {
            let (first, what) = (first.clone(), differences.join("; "));
            return Err(MergeError::OtherMachine { first, name: name.clone(), what });
        }
        let is_same = |other: &&(String, Results)| {
            let (a, b) = (&other.1.run, &results.run);
            (&a.started, a.seed, &a.command_line) == (&b.started, b.seed, &b.command_line)
        };
        if let Some((first, _)) = runs[..at].iter().find(is_same) {
            return Err(MergeError::Twice { first: first.clone(), name: name.clone() });
        }
    }
    Ok(())
}

impl Merged {
    fn add(&mut self, name: String, results: Results) {
        let run = results.run.clone();
        let number = self.runs.len() + 1;
        let scenarios: Vec<(String, String)> = results
            .run
            .scenarios
            .into_iter()
            .map(|scenario| (scenario.name.clone(), self.add_scenario(scenario, number)))
            .collect();
        let targets: Vec<(String, String)> = results
            .run
            .targets
            .into_iter()
            .map(|target| (target.name.clone(), self.add_target(target, number)))
            .collect();
        let known_as = |names: &[(String, String)], name: &str| {
            names
                .iter()
                .find(|(old, _)| old == name)
                .map_or_else(|| name.to_owned(), |it| it.1.clone())
        };
        let first_order = self.runs.last().map_or(0, |run| run.trials.end);
        let first_block =
            self.results.trials.iter().map(|trial| trial.block + 1).max().unwrap_or(0);
        let mut end = first_order;
        for mut trial in results.trials {
            trial.scenario = known_as(&scenarios, &trial.scenario);
            if trial.role != Role::Yardstick {
                trial.target = known_as(&targets, &trial.target);
            }
            trial.order += first_order;
            trial.block += first_block;
            end = end.max(trial.order + 1);
            self.results.trials.push(trial);
        }
        if self.results.run.twin.is_none() {
            self.results.run.twin = run.twin.as_ref().map(|twin| known_as(&targets, twin));
        }
        for mut yardstick in run.yardsticks.clone() {
            yardstick.scenario = known_as(&scenarios, &yardstick.scenario);
            let known = &mut self.results.run.yardsticks;
            if !known.iter().any(|it| it.scenario == yardstick.scenario) {
                known.push(yardstick);
            }
        }
        self.runs.push(MergedRun { name, run, trials: first_order..end });
    }

    /// Adds a scenario unless it is there, and gives the name that it goes by.
    fn add_scenario(&mut self, mut scenario: ScenarioRecord, number: usize) -> String {
        let known = &self.results.run.scenarios;
        let same = |it: &&ScenarioRecord| {
            is_named(&it.name, &scenario.name) && scenario_differences(it, &scenario).is_empty()
        };
        if let Some(at) = known.iter().position(|it| same(&it)) {
            let same = &mut self.results.run.scenarios[at];
            // Each run may have ended at any of its looks.
            same.looks_max = same.looks_max.saturating_mul(scenario.looks_max);
            return same.name.clone();
        }
        if known.iter().any(|it| it.name == scenario.name) {
            scenario.name = format!("{}-run-{number}", scenario.name);
            scenario.note = format!("Run differently in run {number}. {}", scenario.note);
        }
        let name = scenario.name.clone();
        self.results.run.scenarios.push(scenario);
        name
    }

    /// Adds a target unless it is there, and gives the name that it goes by.
    fn add_target(&mut self, mut target: TargetRecord, number: usize) -> String {
        let known = &mut self.results.run.targets;
        let same = |it: &&mut TargetRecord| {
            is_named(&it.name, &target.name) && is_same_program(it, &target)
        };
        if let Some(same) = known.iter_mut().find(same) {
            // What could not be measured in one run may have been in another.
            if same.status != TargetStatus::Measured && target.status == TargetStatus::Measured {
                target.name.clone_from(&same.name);
                same.clone_from(&target);
            }
            return same.name.clone();
        }
        if known.iter().any(|it| it.name == target.name) {
            target.name = format!("{}-run-{number}", target.name);
        }
        let name = target.name.clone();
        known.push(target);
        name
    }

    /// The run that a trial comes from, from 1.
    #[must_use]
    pub fn run_of(&self, order: u32) -> usize {
        run_of(&self.runs, order)
    }

    /// Compares everything; what was not measured in the same runs is not ranked together.
    #[must_use]
    pub fn analyse(&self) -> Vec<ScenarioAnalysis<'_>> {
        let mut analyses = analyse(&self.results);
        for analysis in &mut analyses {
            self.keep_runs_apart(analysis);
        }
        analyses
    }

    fn keep_runs_apart(&self, analysis: &mut ScenarioAnalysis<'_>) {
        self.keep_costs_apart(analysis);
        let groups: Vec<Option<BTreeSet<usize>>> = analysis
            .rows
            .iter()
            .map(|row| {
                row.rank.tier().map(|_| {
                    row.trials
                        .iter()
                        .filter(|trial| trial.is(Validity::Valid))
                        .map(|trial| self.run_of(trial.record.order))
                        .collect()
                })
            })
            .collect();
        let size =
            |group: &BTreeSet<usize>| groups.iter().flatten().filter(|it| *it == group).count();
        // Of groups of one size, the one with the latest run.
        let Some(main) =
            groups.iter().flatten().max_by_key(|it| (size(it), it.iter().max())).cloned()
        else {
            return;
        };
        for row in analysis.rows.iter_mut().filter(|row| row.lower_bound) {
            row.lower_bound =
                row.trials.iter().all(|trial| main.contains(&self.run_of(trial.record.order)));
        }
        for (row, group) in analysis.rows.iter_mut().zip(&groups) {
            let Some(group) = group.as_ref().filter(|group| **group != main) else { continue };
            row.rank = Rank::Unranked {
                reason: format!(
                    "measured in {}, the ranked ones in {}: only what was measured side by side \
                     is ranked",
                    names_of(group),
                    names_of(&main)
                ),
            };
        }
        rank_again(analysis, self.results.run.seed);
    }

    /// Leaves costs only to what was measured in the same runs as most.
    fn keep_costs_apart(&self, analysis: &mut ScenarioAnalysis<'_>) {
        let runs_of = |row: &Row<'_>| -> BTreeSet<usize> {
            row.trials.iter().map(|trial| self.run_of(trial.record.order)).collect()
        };
        let has_costs =
            |row: &&Row<'_>| row.figures.as_ref().is_some_and(|it| !it.costs.is_empty());
        let groups: Vec<BTreeSet<usize>> =
            analysis.rows.iter().filter(has_costs).map(runs_of).collect();
        let size = |group: &BTreeSet<usize>| groups.iter().filter(|it| *it == group).count();
        let main = groups.iter().max_by_key(|it| (size(it), it.iter().max()));
        for row in &mut analysis.rows {
            if Some(&runs_of(row)) != main
                && let Some(figures) = &mut row.figures
            {
                figures.costs.clear();
            }
        }
        cost_tiers::rank(&mut analysis.rows, &analysis.cost_noise);
    }
}

/// The run that the trial with this order comes from, from 1; 0 if there is only one.
pub(crate) fn run_of(runs: &[MergedRun], order: u32) -> usize {
    runs.iter().position(|run| run.trials.contains(&order)).map_or(0, |at| at + 1)
}

fn names_of(runs: &BTreeSet<usize>) -> String {
    let numbers: Vec<String> = runs.iter().map(usize::to_string).collect();
    let word = if numbers.len() == 1 { "run" } else { "runs" };
    format!("{word} {}", numbers.join(" and "))
}

/// Whether `known` is `name`, or what [`merge`] called one of that name.
fn is_named(known: &str, name: &str) -> bool {
    let numbered =
        |rest: &str| rest.strip_prefix("-run-").is_some_and(|it| it.parse::<u32>().is_ok());
    known.strip_prefix(name).is_some_and(|rest| rest.is_empty() || numbered(rest))
}

/// Whether two records are of one and the same program. Where one was not built, its sources tell.
fn is_same_program(a: &TargetRecord, b: &TargetRecord) -> bool {
    let are_both_known = !a.program_hash.is_empty() && !b.program_hash.is_empty();
    if are_both_known { a.program_hash == b.program_hash } else { a.sources == b.sources }
}

#[cfg(test)]
mod tests;
