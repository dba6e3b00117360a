//! `zillions build`: the build commands of the gallery, side by side.

mod first_build;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use zillions_harness::manifest::Entry;
use zillions_harness::toolchain::{self, BuildError, Toolchain};

use crate::cli::{Format, Global, positive_seconds};
use crate::failure::{Failure, Outcome};
use crate::output::{self, BAD, DOUBTFUL, FAINT, GOOD, paint};
use crate::targets;

/// How much of a failed build's log is shown.
const LOG_LINES_SHOWN: usize = 12;

/// Build implementations with the literal commands of their impl.toml.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  zillions build\n  zillions build gjio curio --jobs 1")]
pub struct Arguments {
    /// Implementations to build [default: all].
    names: Vec<String>,
    /// Builds at the same time [default: one per processor].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// A build that takes longer is stopped.
    #[arg(long, value_name = "SECONDS", default_value_t = 1800.0, value_parser = positive_seconds)]
    timeout: f64,
    /// Count a missing tool chain as a failure, not as a reason to skip.
    #[arg(long)]
    no_skip: bool,
    /// For people or for programs.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// `zillions.build/1`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    entries: &'a [Built],
}

/// What became of one entry.
#[derive(Debug, Clone, Serialize)]
pub struct Built {
    /// The entry's name.
    pub name: String,
    /// What became of it.
    #[serde(flatten)]
    pub state: State,
}

/// What became of a build.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It can be run.
    Built {
        /// How long the build took, in seconds.
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

/// Builds what was asked for.
///
/// # Errors
/// When something failed to build.
pub fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let entries = targets::entries(&arguments.names, &global.impls)?;
    let jobs = arguments.jobs.map_or_else(default_jobs, usize::from);
    let built = build_all(&entries, global, jobs, arguments.timeout)?;
    match arguments.format {
        Format::Human => output::print(&human(&built))?,
        Format::Json => {
            output::print_json(&Report { schema: "zillions.build/1", entries: &built })?;
        }
    }
    // Who names an entry wants just that one, so nothing of it may be skipped.
    let skipping_fails = arguments.no_skip || !arguments.names.is_empty();
    let failed = built.iter().filter(|built| match built.state {
        State::Built { .. } => false,
        State::Skipped { .. } => skipping_fails,
        State::Failed { .. } => true,
    });
    match failed.count() {
        0 => Ok(()),
        count => Err(Failure::fail(format!("{count} of {} could not be built", built.len()))),
    }
}

/// One build per processor.
pub(crate) fn default_jobs() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Probes and builds `entries`, `jobs` at a time, with progress on standard
/// error; the result is in the order of `entries`.
///
/// # Errors
/// When there is no place for the logs.
pub fn build_all(
    entries: &[Entry],
    global: &Global,
    jobs: usize,
    seconds_max: f64,
) -> Result<Vec<Built>, Failure> {
    let mut logs = Vec::new();
    for entry in entries {
        logs.push(targets::build_log(&global.impls, &entry.name)?);
    }
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..entries.len()).collect());
    let done: Mutex<Vec<Option<Built>>> = Mutex::new(vec![None; entries.len()]);
    let progress = MultiProgress::new();
    let total = progress.add(ProgressBar::new(entries.len() as u64).with_style(total_style()));
    thread::scope(|scope| {
        for _ in 0..jobs.min(entries.len()) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(index) = next else { break };
                    let entry = &entries[index];
                    let spinner = progress.insert_before(&total, ProgressBar::new_spinner());
                    spinner.set_message(format!("building {}", entry.name));
                    spinner.enable_steady_tick(Duration::from_millis(120));
                    let built = build_one(entry, &logs[index], seconds_max);
                    spinner.finish_and_clear();
                    total.inc(1);
                    done.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(built);
                }
            });
        }
    });
    total.finish_and_clear();
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(done.into_iter().flatten().collect())
}

fn total_style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_bar} {pos}/{len} built, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn build_one(entry: &Entry, log: &Path, seconds_max: f64) -> Built {
    let versions = match toolchain::probe(entry) {
        Toolchain::Present { versions } => versions,
        Toolchain::Missing { reason, install } => {
            return Built { name: entry.name.clone(), state: State::Skipped { reason, install } };
        }
    };
    let first = first_build::before(entry, &versions);
    let build = toolchain::build(entry, log, seconds_max);
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

fn last_lines(log: &Path, count: usize) -> Vec<String> {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
}

fn human(built: &[Built]) -> String {
    let mut text = String::new();
    for Built { name, state } in built {
        text += &match state {
            State::Built { seconds, .. } => {
                format!(
                    "{} {name} {}\n",
                    paint(GOOD, "built  "),
                    paint(FAINT, format!("{seconds:.1} s"))
                )
            }
            State::Skipped { reason, install } => {
                let remedy =
                    install.as_ref().map_or_else(String::new, |it| format!("; install it: {it}"));
                format!("{} {name}: {reason}{remedy}\n", paint(DOUBTFUL, "skipped"))
            }
            State::Failed { reason, log, log_tail } => {
                let tail: String =
                    log_tail.iter().map(|line| format!("        | {line}\n")).collect();
                format!(
                    "{} {name}: {reason}\n{tail}        whole log: {}\n",
                    paint(BAD, "failed "),
                    log.display()
                )
            }
        };
    }
    text
}
