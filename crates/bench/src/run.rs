//! A whole run: gate, plan, measure, keep.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use zillions_harness::machine::Machine;
use zillions_harness::{Launch, interrupt, limits};
use zillions_report::record::{
    MachineRecord, RunRecord, SCHEMA, ScenarioRecord, TargetRecord, TargetStatus, ToolRecord,
    TrialRecord,
};
use zillions_report::results::Results;

use crate::pin::Pinning;
use crate::store::{Store, StoreError};
use crate::{plan, scenario, trial};

/// One thing to measure, or not.
#[derive(Clone, Debug)]
pub struct Target {
    /// What is recorded of it; its status is `Measured` unless it is known to be skipped.
    pub record: TargetRecord,
    /// How to start it; `None` for what is skipped.
    pub launch: Option<Launch>,
}

/// How a run is to be carried out.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to carry out.
    pub scenarios: Vec<ScenarioRecord>,
    /// What the order of trials is drawn from.
    pub seed: u64,
    /// Whether servers and generator get processors of their own.
    pub pin: bool,
    /// Where the results go; must not hold any.
    pub folder: PathBuf,
    /// Recorded with the results.
    pub command_line: Vec<String>,
    /// Recorded with the results.
    pub tool: ToolRecord,
}

/// Whether a target keeps the spec, which decides whether it is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It does.
    Open,
    /// It does not, for this reason.
    Closed(String),
}

/// What happens in a run, as it happens.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A target is about to be checked.
    Checking {
        /// Its name.
        target: &'a str,
        /// How many were checked before.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// A target was checked and will not be measured.
    Refused {
        /// Its name.
        target: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// The trials begin.
    Planned {
        /// How many there are.
        trials: usize,
        /// How long they should take.
        estimate: Duration,
        /// Who runs where.
        pinning: &'a Pinning,
    },
    /// A trial begins.
    Started {
        /// Its target.
        target: &'a str,
        /// Its scenario.
        scenario: &'a str,
        /// How many ended before.
        done: usize,
    },
    /// A trial has ended and is on disk.
    Ended {
        /// What it found.
        trial: &'a TrialRecord,
        /// How many have ended.
        done: usize,
        /// How long the remaining ones should take, going by those that have ended.
        remaining: Duration,
    },
}

/// A run that could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Nothing to do.
    #[error("there is no scenario to run")]
    NoScenario,
    /// The results cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many clients for this process.
    #[error(transparent)]
    Descriptors(#[from] limits::TooFewDescriptors),
}

/// Checks, measures and records `targets`.
///
/// `gate` says whether a target keeps the spec; `observe` hears of everything at once and should
/// take little time. What was recorded is returned, and is in the folder in any case, also when
/// an error ends the run.
///
/// # Errors
///
/// [`BenchError`]. A server that fails is no error: its trial is recorded as failed.
pub fn run(
    mut targets: Vec<Target>,
    options: &Options,
    mut gate: impl FnMut(&TargetRecord, &Launch) -> Gate,
    mut observe: impl FnMut(&Event<'_>),
) -> Result<Results, BenchError> {
    let clients = options.scenarios.iter().map(|scenario| scenario.clients).max();
    limits::ensure_descriptors(u64::from(clients.ok_or(BenchError::NoScenario)?))?;
    let store = Store::create(&options.folder)?;
    check(&mut targets, &mut gate, &mut observe);
    let pinning = Pinning::choose(options.pin);
    let measured: Vec<(&Target, &Launch)> =
        targets.iter().filter_map(|target| Some((target, measurable(target)?))).collect();
    let mut run = run_record(&targets, options, &pinning);
    run.twin =
        plan::twin(measured.len(), options.seed).map(|it| measured[it].0.record.name.clone());
    store.keep_run(&run)?;
    let planned = plan::trials(&options.scenarios, measured.len(), options.seed);
    let estimate = plan::estimate(&options.scenarios, measured.len());
    observe(&Event::Planned { trials: planned.len(), estimate, pinning: &pinning });
    let began = Instant::now();
    let mut trials = Vec::with_capacity(planned.len());
    for planned_trial in &planned {
        let (target, launch) = measured[planned_trial.target];
        let scenario = &options.scenarios[planned_trial.scenario];
        let (name, done) = (&target.record.name, trials.len());
        observe(&Event::Started { target: name, scenario: &scenario.name, done });
        let started = now();
        let result = trial::run(launch, scenario, &pinning, planned_trial.order as u32);
        // After ctrl-C the servers die; that is no failure of theirs.
        interrupt::wait_if_pending();
        let record = TrialRecord {
            schema: SCHEMA.to_owned(),
            scenario: scenario.name.clone(),
            target: name.clone(),
            role: planned_trial.role,
            offered_rate: scenario::offered_rate(scenario),
            block: planned_trial.block,
            order: planned_trial.order as u32,
            started,
            result,
        };
        store.keep_trial(&record)?;
        trials.push(record);
        let done = trials.len();
        let remaining = began.elapsed() / done as u32 * (planned.len() - done) as u32;
        observe(&Event::Ended { trial: &trials[done - 1], done, remaining });
    }
    Ok(Results { run, trials })
}

fn measurable(target: &Target) -> Option<&Launch> {
    target.launch.as_ref().filter(|_| target.record.status == TargetStatus::Measured)
}

/// Asks the gate about every target that could be measured.
fn check(
    targets: &mut [Target],
    gate: &mut impl FnMut(&TargetRecord, &Launch) -> Gate,
    observe: &mut impl FnMut(&Event<'_>),
) {
    let total = targets.iter().filter(|target| measurable(target).is_some()).count();
    let mut done = 0;
    for target in targets {
        let Some(launch) = measurable(target) else { continue };
        observe(&Event::Checking { target: &target.record.name, done, total });
        done += 1;
        let verdict = gate(&target.record, launch);
        interrupt::wait_if_pending();
        if let Gate::Closed(reason) = verdict {
            observe(&Event::Refused { target: &target.record.name, reason: &reason });
            target.record.status = TargetStatus::FailedCheck { reason };
        }
    }
}

fn run_record(targets: &[Target], options: &Options, pinning: &Pinning) -> RunRecord {
    let machine = Machine::read();
    RunRecord {
        schema: SCHEMA.to_owned(),
        started: now(),
        resumed: Vec::new(),
        command_line: options.command_line.clone(),
        seed: options.seed,
        tool: options.tool.clone(),
        machine: MachineRecord {
            kernel: machine.kernel,
            cpu_model: machine.cpu_model,
            architecture: machine.architecture,
            cpus: pinning.all.len() as u32,
            memory_bytes: machine.memory_bytes,
            cpu_governor: machine.cpu_governor,
            load_average: machine.load_average,
            descriptor_limit: machine.descriptor_limit,
            server_cpus: pinning.generator.map_or_else(Vec::new, |_| pinning.servers.clone()),
            generator_cpu: pinning.generator,
        },
        scenarios: options.scenarios.clone(),
        targets: targets.iter().map(|target| target.record.clone()).collect(),
        twin: None,
    }
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
