//! The targets of a run: built where necessary, with the record of each.

use std::fs;
use std::path::Path;

use zillions_bench::{Access, Target, WireFormat, program};
use zillions_conformance::Target as CheckTarget;
use zillions_harness::Launch;
use zillions_harness::manifest::{Entry, QueueLimit};
use zillions_report::record::{CostsRecord, SourceRecord, TargetRecord, TargetStatus};

use crate::building::{self, State};
use crate::checking;
use crate::failure::Failure;
use crate::options::Global;
use crate::targets::{self, Target as Named};

/// Something to measure, and how the conformance suite reaches it.
pub(super) struct Candidate {
    pub(super) target: Target,
    /// `None` for what cannot be started.
    pub(super) check_target: Option<CheckTarget>,
}

/// What was selected, in that order; what cannot be started is marked as skipped.
pub(super) fn find(named: Vec<Named>, global: &Global) -> Result<Vec<Candidate>, Failure> {
    let mut distinct = std::collections::HashSet::new();
    if let Some(twice) = named.iter().find(|target| !distinct.insert(target.name().to_owned())) {
        return Err(Failure::usage(format!("'{}' is named twice", twice.name())));
    }
    let entries: Vec<Entry> = named
        .iter()
        .filter_map(|target| match target {
            Named::Entry(entry) => Some((**entry).clone()),
            Named::Executable { .. } => None,
        })
        .collect();
    let built = building::build_with_defaults(&entries, &global.impls)?;
    let mut states = built.into_iter().map(|built| built.state);
    named
        .into_iter()
        .map(|target| match target {
            Named::Executable { name, launch } => executable(name, launch),
            Named::Entry(entry) => of_entry(&entry, states.next()),
        })
        .collect()
}

fn executable(name: String, launch: Launch) -> Result<Candidate, Failure> {
    let record = TargetRecord {
        name: name.clone(),
        command: launch.command(),
        program_hash: program_hash(Some(&launch), &[])?,
        costs: CostsRecord {
            binary_bytes: program::binary_bytes(&launch),
            ..CostsRecord::default()
        },
        ..TargetRecord::default()
    };
    let check_target = Some(CheckTarget::launch(name, launch.clone()));
    let access = Some(Access::Launch(launch));
    let target = Target { record, access, wire: WireFormat::Zillions };
    Ok(Candidate { target, check_target })
}

fn of_entry(entry: &Entry, state: Option<State>) -> Result<Candidate, Failure> {
    let (toolchain, build_seconds) = match &state {
        Some(State::Built { versions, first_seconds, .. }) => (versions.clone(), *first_seconds),
        _ => (Vec::new(), None),
    };
    let (check_target, status) = match startable(entry, state) {
        Ok(target) => (Some(target), TargetStatus::Measured),
        Err((reason, remedy)) => (None, TargetStatus::Skipped { reason, remedy }),
    };
    let launch = check_target.as_ref().and_then(|_| entry.launch().ok());
    let manifest = &entry.manifest;
    let sources = program::sources(&entry.directory, &entry.sources).map_err(Failure::harness)?;
    let costs = CostsRecord {
        binary_bytes: launch.as_ref().and_then(program::binary_bytes),
        dependencies: program::dependencies(&entry.directory),
        lines: program::lines(&sources),
        build_seconds,
        ..CostsRecord::default()
    };
    let record = TargetRecord {
        name: entry.name.clone(),
        command: launch.as_ref().map_or_else(|| manifest.run.clone(), Launch::command),
        language: manifest.language.clone(),
        style: text_of(&manifest.style),
        library: manifest.library.clone(),
        url: manifest.url.clone(),
        summary: manifest.summary.clone(),
        slow_reader: text_of(&manifest.slow_reader),
        queue_limit: match &manifest.queue_limit {
            QueueLimit::Messages(messages) => format!("{messages} messages"),
            QueueLimit::Amount(amount) => amount.clone(),
        },
        toolchain,
        program_hash: program_hash(launch.as_ref(), &sources)?,
        sources,
        costs,
        status,
        ..TargetRecord::default()
    };
    let access = launch.map(Access::Launch);
    let target = Target { record, access, wire: WireFormat::Zillions };
    Ok(Candidate { target, check_target })
}

/// Empty for what cannot be started.
fn program_hash(launch: Option<&Launch>, sources: &[SourceRecord]) -> Result<String, Failure> {
    launch.map_or(Ok(String::new()), |launch| {
        program::hash(launch, sources).map_err(Failure::harness)
    })
}

/// Copies what the builds of `candidates` wrote to `build-logs` in the results
/// folder. Executables from elsewhere, and entries that need no build, have none.
pub(super) fn keep_build_logs(
    candidates: &[Candidate],
    folder: &Path,
    global: &Global,
) -> Result<(), Failure> {
    let kept = folder.join("build-logs");
    for candidate in candidates {
        let record = &candidate.target.record;
        // An executable from elsewhere has no sources here, and no build.
        if record.sources.is_empty() {
            continue;
        }
        let log = targets::build_log(&global.impls, &record.name)?;
        if log.is_file() {
            let copied = fs::create_dir_all(&kept)
                .and_then(|()| fs::copy(&log, kept.join(format!("{}.log", record.name))));
            copied.map_err(|error| {
                Failure::harness(format!("cannot write to '{}': {error}", kept.display()))
            })?;
        }
    }
    Ok(())
}

/// The entry as a target of the suite, or why it cannot be started and what to do about it.
fn startable(entry: &Entry, state: Option<State>) -> Result<CheckTarget, (String, String)> {
    match state {
        Some(State::Built { .. }) => {
            checking::target_of(entry).map_err(|reason| (reason, String::new()))
        }
        Some(State::Skipped { reason, install }) => Err((reason, install.unwrap_or_default())),
        Some(State::Failed { reason, log, .. }) => {
            Err((format!("it could not be built: {reason}"), format!("see {}", log.display())))
        }
        None => Err(("it was not built".to_owned(), format!("zillions build {}", entry.name))),
    }
}

/// A word of a closed list as the manifest writes it.
fn text_of(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Why nothing of `targets` can be started, in one line.
pub(super) fn reasons(targets: &[Target]) -> String {
    let each = targets.iter().filter_map(|target| match &target.record.status {
        TargetStatus::Skipped { reason, remedy } if remedy.is_empty() => {
            Some(format!("{}: {reason}", target.record.name))
        }
        TargetStatus::Skipped { reason, remedy } => {
            Some(format!("{}: {reason} ({remedy})", target.record.name))
        }
        _ => None,
    });
    each.collect::<Vec<_>>().join("; ")
}
