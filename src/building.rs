//! Building entries of the gallery: what `build`, `check` and `bench` share.

mod first_build;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::Serialize;
use zillions_harness::limits::{self, DESCRIPTORS_MIN};
use zillions_harness::manifest::Entry;
use zillions_harness::resources;
use zillions_harness::toolchain::{self, BuildError, Probes, Toolchain, When};

use crate::failure::Failure;
use crate::{progress, targets};

/// How long a build may take, in seconds, unless the user sets another limit.
pub(crate) const BUILD_SECONDS_MAX: f64 = 1800.0;
/// What a build takes that is not small: a compiler for the JVM, an optimising one for C++.
const BUILD_MEMORY_BYTES: u64 = 1 << 30;
/// How much of a failed build's log is shown.
const LOG_LINES_SHOWN: usize = 12;

/// The outcome for one entry.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Built {
    /// The entry's name.
    pub(crate) name: String,
    /// The outcome.
    #[serde(flatten)]
    pub(crate) state: State,
}

/// The outcome of a build.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    /// It can be run.
    Built {
        /// How long the build took, in seconds, even if that was earlier and nothing has changed.
        seconds: f64,
        /// How long it took when there was no program yet, in seconds, if that is known.
        first_seconds: Option<f64>,
        /// Versions of its tool chain.
        versions: Vec<String>,
    },
    /// Its tool chain is missing.
    Skipped {
        /// What is missing.
        reason: String,
        /// What installs it.
        install: Option<String>,
    },
    /// It cannot be run.
    Failed {
        /// Why.
        reason: String,
        /// Where its complete output is.
        log: PathBuf,
        /// The end of it.
        log_tail: Vec<String>,
    },
}

/// Builds what has changed of `entries`, one per processor at a time, before they are checked or
/// measured: the others may be running.
///
/// # Errors
/// As [`build_all`].
pub(crate) fn build_with_defaults(
    entries: &[Entry],
    impls: &[PathBuf],
) -> Result<Vec<Built>, Failure> {
    build_all(entries, impls, default_jobs(), BUILD_SECONDS_MAX, When::Changed)
}

/// One build per processor, if there is memory for so many.
pub(crate) fn default_jobs() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let memory = resources::memory_available().map_or(u64::MAX, |(bytes, _)| bytes);
    let fit = usize::try_from(memory / BUILD_MEMORY_BYTES).unwrap_or(usize::MAX);
    processors.min(fit).max(1)
}

/// Probes and builds `entries`, `jobs` at a time, with progress on standard
/// error; the result is in the order of `entries`.
///
/// # Errors
/// When no gallery folder is found, in whose neighbourhood the logs are kept.
pub(crate) fn build_all(
    entries: &[Entry],
    impls: &[PathBuf],
    jobs: usize,
    seconds_max: f64,
    when: When,
) -> Result<Vec<Built>, Failure> {
    limits::ensure_minimum(DESCRIPTORS_MIN).map_err(Failure::harness)?;
    let mut logs = Vec::new();
    for entry in entries {
        logs.push(targets::build_log(impls, &entry.name)?);
    }
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..entries.len()).collect());
    let done: Mutex<Vec<Option<Built>>> = Mutex::new(vec![None; entries.len()]);
    let progress = progress::Builds::new(entries.len());
    let probes = Probes::default();
    thread::scope(|scope| {
        for _ in 0..jobs.min(entries.len()) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(index) = next else { break };
                    let entry = &entries[index];
                    let running = progress.start(&entry.name);
                    let built = build_one(entry, &probes, &logs[index], seconds_max, when);
                    progress.done(&running);
                    done.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(built);
                }
            });
        }
    });
    progress.finish();
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(done.into_iter().flatten().collect())
}

fn build_one(entry: &Entry, probes: &Probes, log: &Path, seconds_max: f64, when: When) -> Built {
    let versions = match probes.run(entry) {
        Toolchain::Present { versions } => versions,
        Toolchain::Missing { reason, install } => {
            return Built { name: entry.name.clone(), state: State::Skipped { reason, install } };
        }
        Toolchain::Unusable { reason, output } => {
            return Built { name: entry.name.clone(), state: unusable(&reason, &output, log) };
        }
    };
    let first = first_build::before(entry, &versions);
    let build = toolchain::build(entry, &versions, log, seconds_max, when);
    let state = match build.result {
        Ok(()) => {
            let (seconds, first_seconds) = (build.seconds, first.took(build.seconds));
            State::Built { seconds, first_seconds, versions }
        }
        Err(error) => State::Failed {
            reason: match error {
                BuildError::TimedOut { .. } => format!("{error}; --timeout gives it longer"),
                error => error.to_string(),
            },
            log: log.to_owned(),
            log_tail: last_lines(log, LOG_LINES_SHOWN),
        },
    };
    Built { name: entry.name.clone(), state }
}

/// A tool chain that is there and does not work is a failure: nobody has left it out on purpose.
fn unusable(reason: &str, output: &str, log: &Path) -> State {
    let kept = log.parent().map_or(Ok(()), fs::create_dir_all);
    let kept = kept.and_then(|()| fs::write(log, output));
    let reason = format!("its tool chain is unusable: {reason}");
    State::Failed {
        reason: match kept {
            Ok(()) => reason,
            Err(error) => format!("{reason} (and its log cannot be written: {error})"),
        },
        log: log.to_owned(),
        log_tail: Vec::new(),
    }
}

fn last_lines(log: &Path, count: usize) -> Vec<String> {
    let bytes = fs::read(log).unwrap_or_default();
    zillions_harness::last_lines(&bytes, count)
}

/// Probes the tool chains of all entries at once: a probe mostly waits.
pub(crate) fn probe_all(entries: &[Entry]) -> Vec<Toolchain> {
    let probes = Probes::default();
    thread::scope(|scope| {
        let running: Vec<_> =
            entries.iter().map(|entry| scope.spawn(|| probes.run(entry))).collect();
        running
            .into_iter()
            .map(|probe| {
                probe.join().unwrap_or_else(|_| Toolchain::Unusable {
                    reason: "its probe could not be run".to_owned(),
                    output: String::new(),
                })
            })
            .collect()
    })
}
