//! `zillions build`: the build commands of the gallery, side by side.

use clap::Args;
use serde::Serialize;
use zillions_harness::toolchain::When;

use crate::building::{BUILD_SECONDS_MAX, Built, State, build_all, default_jobs};
use crate::failure::{Failure, Outcome};
use crate::options::{Format, Global, positive_seconds};
use crate::output::{self, BAD, DOUBTFUL, FAINT, GOOD, paint};
use crate::selection::Filters;
use crate::targets;

/// Build implementations with the literal commands of their impl.toml.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  zillions build\n  zillions build gjio curio --jobs 1\n  zillions build --language Rust --tag '!unmaintained'"
)]
pub struct Arguments {
    /// Implementations to build: names or globs [default: all].
    names: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    /// Run N builds in parallel [default: one per processor, if there is 1 GiB of memory for each].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Stop a build after this time.
    #[arg(long, value_name = "SECONDS", default_value_t = BUILD_SECONDS_MAX, value_parser = positive_seconds)]
    timeout: f64,
    /// Fail if the tool chain of an entry is missing.
    #[arg(long)]
    no_skip: bool,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// `zillions.build/1`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    entries: &'a [Built],
}

/// Builds the selected entries.
///
/// # Errors
/// When something failed to build.
pub fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let entries = targets::entries(&arguments.names, &arguments.filters, &global.impls)?;
    let jobs = arguments.jobs.map_or_else(default_jobs, usize::from);
    let built = build_all(&entries, &global.impls, jobs, arguments.timeout, When::Always)?;
    match arguments.format {
        Format::Human => output::print(&human(&built))?,
        Format::Json => {
            output::print_json(&Report { schema: "zillions.build/1", entries: &built })?;
        }
    }
    // An entry that was named must not be skipped.
    let skipping_fails = |name| arguments.no_skip || arguments.names.contains(name);
    let failed = built.iter().filter(|built| match built.state {
        State::Built { .. } => false,
        State::Skipped { .. } => skipping_fails(&built.name),
        State::Failed { .. } => true,
    });
    match failed.count() {
        0 => Ok(()),
        count => Err(Failure::fail(format!("{count} of {} could not be built", built.len()))),
    }
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
