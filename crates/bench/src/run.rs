//! A whole run: gate, costs, plan, measure, keep.

use std::path::PathBuf;
use std::time::Duration;

use zillions_harness::{Launch, interrupt, limits, resources};
use zillions_load::WireFormat;
use zillions_report::record::{
    ConformanceRecord, LoadRecord, MachineRecord, RemoteRecord, RunRecord, SCHEMA, ScenarioRecord,
    TargetRecord, TargetStatus, ToolRecord, TrialResult,
};
use zillions_report::results::Results;

use crate::access::Access;
use crate::error::BenchError;
use crate::event::Event;
use crate::further::Planner;
use crate::idle::{self, Thoroughness};
use crate::machine;
use crate::pin::Pinning;
use crate::plan;
use crate::runner::{Measured, Runner};
use crate::store::Store;
use crate::timestamp::now;
use crate::yardstick;

/// Why the instructions of what was running already are not counted.
const RUNNING_UNCOUNTED: &str = "what is counted must be started by this tool: name a program";

/// One thing to measure, or not.
#[derive(Clone, Debug)]
pub struct Target {
    /// What is recorded of it; its status is `Measured` unless it is known to be skipped.
    pub record: TargetRecord,
    /// How it is reached; `None` for what is skipped.
    pub access: Option<Access>,
    /// The protocol that it speaks.
    pub wire: WireFormat,
}

/// How a run is to be carried out.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to carry out.
    pub scenarios: Vec<ScenarioRecord>,
    /// Seed of the order of the trials.
    pub seed: u64,
    /// Whether servers and generator get processors of their own.
    pub pin: bool,
    /// Threads of the load generator.
    pub load_threads: usize,
    /// Where the results go; made by [`Store::create`], or that of an interrupted run.
    pub folder: PathBuf,
    /// Time for all trials but those of searches; once it is used, no further trial follows the
    /// first blocks. None does without it.
    pub budget: Option<Duration>,
    /// Recorded with the results.
    pub command_line: Vec<String>,
    /// Recorded with the results.
    pub tool: ToolRecord,
    /// How thoroughly the costs of idling servers are measured; not at all if `None`.
    pub idle: Option<Thoroughness>,
    /// How the senders of the limits are started: a program that takes the arguments of
    /// [`yardstick::arguments`]. No limit is measured if `None`.
    pub yardsticks: Option<Launch>,
    /// The other machine that all servers run on, recorded with the results; `None` if they run here.
    pub remote: Option<RemoteRecord>,
    /// An interrupted run to resume, as read from its folder. Its scenarios, seed and targets must be
    /// those of these options; nothing is checked again.
    pub resume: Option<Results>,
}

/// Whether a target keeps the spec, which decides whether it is measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// What was found.
    pub conformance: Option<ConformanceRecord>,
    /// Why it is not measured, if it is not.
    pub refusal: Option<String>,
}

/// Checks, measures and records `targets`.
///
/// `gate` decides whether a target keeps the spec; `observe` is called at every step and must return
/// quickly. What was recorded is returned, and is in the folder even if an error ends the run.
///
/// # Errors
///
/// [`BenchError`]. A server that fails is not an error: its trial is recorded as failed.
pub fn run(
    mut targets: Vec<Target>,
    options: &Options,
    mut gate: impl FnMut(&TargetRecord) -> Gate,
    mut observe: impl FnMut(&Event<'_>),
) -> Result<Results, BenchError> {
    let connections = options.scenarios.iter().map(crate::scenario::connections).max();
    let connections = u64::from(connections.ok_or(BenchError::NoScenario)?);
    limits::ensure_descriptors(connections)?;
    resources::ensure_local_ports(connections)?;
    let pinning = Pinning::choose(options.pin, options.load_threads);
    let store = Store::open(&options.folder)?;
    let (run, kept) = match &options.resume {
        Some(Results { run, trials }) => {
            let mut run = run.clone();
            run.resumed.push(now());
            // What the machine did not allow is tried again.
            let kept =
                trials.iter().filter(|it| !matches!(it.result, TrialResult::Prevented { .. }));
            (run, kept.cloned().collect())
        }
        None => {
            check(&mut targets, &mut gate, &mut observe)?;
            if let Some(thoroughness) = options.idle {
                measure_idle(&mut targets, &pinning, thoroughness, &mut observe);
            }
            (run_record(&targets, options, &pinning), Vec::new())
        }
    };
    store.keep_run(&run)?;
    let measured = measured(&targets);
    let wanted = options.yardsticks.as_ref().filter(|_| !measured.is_empty());
    let limits = yardstick::starts(wanted, &options.scenarios, &run.yardsticks);
    let has_limits = !limits.is_empty();
    let (scenarios, budget) = (&options.scenarios, options.budget);
    let planner = Planner::new(scenarios, measured.len(), has_limits, options.seed, budget);
    let trials = plan::number_of_trials(&options.scenarios, measured.len(), has_limits);
    let left = trials.saturating_sub(kept.len()) as f64 / trials.max(1) as f64;
    let estimate = plan::estimate(&options.scenarios, measured.len(), has_limits).mul_f64(left);
    observe(&Event::Planned { trials, kept: kept.len(), estimate, budget, pinning: &pinning });
    let mut runner = Runner::new(&store, &pinning, &measured, &limits, kept, trials, observe);
    runner.blocks(scenarios, &run, planner)?;
    for (at, scenario) in options.scenarios.iter().enumerate() {
        runner.search(scenario, options.seed.wrapping_add(at as u64))?;
    }
    let trials = runner.into_trials();
    Ok(Results { run, trials })
}

/// The targets that are measured.
fn measured(targets: &[Target]) -> Vec<Measured<'_>> {
    targets
        .iter()
        .filter_map(|target| {
            let access = measurable(target)?;
            Some(Measured { name: &target.record.name, access, wire: target.wire })
        })
        .collect()
}

fn measurable(target: &Target) -> Option<&Access> {
    target.access.as_ref().filter(|_| target.record.status == TargetStatus::Measured)
}

/// Asks the gate about every target that could be measured.
fn check(
    targets: &mut [Target],
    gate: &mut impl FnMut(&TargetRecord) -> Gate,
    observe: &mut impl FnMut(&Event<'_>),
) -> Result<(), BenchError> {
    let total = targets.iter().filter(|target| measurable(target).is_some()).count();
    let mut done = 0;
    for target in targets {
        if measurable(target).is_none() {
            continue;
        }
        observe(&Event::Checking { target: &target.record.name, done, total });
        done += 1;
        let verdict = gate(&target.record);
        interrupt::wait_if_pending();
        // What the suite found is of the connection then, and not of the server.
        if let Some(lost) = target.access.as_ref().and_then(Access::lost) {
            return Err(lost.into());
        }
        let name = &target.record.name;
        match verdict.refusal {
            Some(reason) => {
                observe(&Event::Refused { target: name, reason: &reason });
                target.record.status = TargetStatus::FailedCheck { reason };
            }
            None => {
                let cached = verdict.conformance.as_ref().is_some_and(|it| it.cached);
                observe(&Event::Passed { target: name, cached });
            }
        }
        target.record.conformance = verdict.conformance;
    }
    Ok(())
}

/// Measures what every target that could be measured costs while its clients are silent.
fn measure_idle(
    targets: &mut [Target],
    pinning: &Pinning,
    thoroughness: Thoroughness,
    observe: &mut impl FnMut(&Event<'_>),
) {
    let started = |target: &Target| measurable(target).and_then(Access::launch).cloned();
    let total = targets.iter().filter(|target| started(target).is_some()).count();
    let mut done = 0;
    for target in targets {
        let Some(launch) = started(target) else { continue };
        observe(&Event::Idling { target: &target.record.name, done, total });
        done += 1;
        idle::measure(&launch, target.wire, pinning, thoroughness, &mut target.record.costs);
        interrupt::wait_if_pending();
    }
}

fn run_record(targets: &[Target], options: &Options, pinning: &Pinning) -> RunRecord {
    let is_running = targets.iter().any(|it| matches!(it.access, Some(Access::Running(_))));
    let facts = machine::record(pinning);
    RunRecord {
        schema: SCHEMA.to_owned(),
        started: now(),
        resumed: Vec::new(),
        command_line: options.command_line.clone(),
        seed: options.seed,
        tool: options.tool.clone(),
        machine: MachineRecord {
            instructions_uncounted: match is_running {
                true => Some(RUNNING_UNCOUNTED.to_owned()),
                false => facts.instructions_uncounted.clone(),
            },
            ..facts
        },
        load_threads: options.load_threads as u32,
        remote: options.remote.clone(),
        scenarios: options.scenarios.clone(),
        targets: targets.iter().map(|target| target.record.clone()).collect(),
        twin: twin(targets, options),
        yardsticks: options
            .yardsticks
            .as_ref()
            // Beside nothing they say nothing.
            .filter(|_| targets.iter().any(|target| measurable(target).is_some()))
            .map_or_else(Vec::new, |launch| yardstick::records(launch, &options.scenarios)),
        budget_seconds: options.budget.map(|budget| budget.as_secs_f64()),
    }
}

/// The target that is measured as two arms; none if no scenario repeats the same trial.
fn twin(targets: &[Target], options: &Options) -> Option<String> {
    let repeats = |it: &ScenarioRecord| !matches!(it.load, LoadRecord::Search { .. });
    options.scenarios.iter().find(|scenario| repeats(scenario))?;
    let measured = measured(targets);
    plan::twin(measured.len(), options.seed).map(|at| measured[at].name.to_owned())
}
