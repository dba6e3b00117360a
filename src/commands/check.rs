//! `zillions check`: does a server conform to the spec?

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use zillions_conformance::options::TIME_LIMIT_DEFAULT;
use zillions_conformance::render::{human, junit};
use zillions_conformance::{
    CheckReport, Expectations, Options, Target, all_cases, case_ids, exit_code, select,
};
use zillions_console as console;
use zillions_harness::limits::{self, DESCRIPTORS_MIN};
use zillions_harness::manifest::Entry;

use crate::addresses;
use crate::building::{self, State};
use crate::checking::{check_all, target_of};
use crate::failure::{Failure, INCONCLUSIVE, Outcome};
use crate::options::{Global, TableWidth, positive_seconds};
use crate::output::{self, BAD, DOUBTFUL, paint};
use crate::preflight;
use crate::selection::Filters;
use crate::table::{Column, Table};
use crate::targets::{self, Target as Named};

/// Check whether servers conform to the spec, case by case.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    zillions check                              everything in the gallery\n  \
    zillions check std-mpsc ./my-server         an entry, and any executable\n  \
    zillions check --style CSP --language '!C'  those of a style, but for C\n  \
    zillions check --connect 127.0.0.1:8080     a running server\n  \
    zillions check --connect 10.0.0.1:8080 --connect 10.0.0.2:8080\n  \
    zillions check ./my-server --case 'order/*' --seed 7 --rounds 20\n  \
    zillions check --list                       the cases and their clauses\n\n\
    Entries are built first, unless nothing has changed since the last time.\n\n\
    Exit codes: 0 pass, 1 fail, 2 inconclusive, 64 usage, 70 tool failure; the same if nobody \
    reads the output.")]
pub struct Arguments {
    /// Names of entries (globs), or paths of executables, with a slash [default: all entries].
    targets: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    /// Check a running server; cases that start or stop it are skipped. May be repeated, once for
    /// each node of one service: clients are spread over them, and all together must see one order.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["targets", "Filters"])]
    connect: Vec<String>,
    /// Run only cases whose id or clause matches; may be repeated.
    #[arg(long = "case", value_name = "GLOB")]
    cases: Vec<String>,
    /// Random seed: the same seed sends the same messages.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Send N times as much in the cases that send much, to find rarer faults.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Run the quick selection: a few seconds per server.
    #[arg(long)]
    quick: bool,
    /// Fail servers that break a SHOULD clause.
    #[arg(long)]
    strict: bool,
    /// List the cases and their clauses, and exit.
    #[arg(long)]
    list: bool,
    /// TOML file of failures that do not count: [[known_failure]] tables with case and reason.
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Save the histories of the ordering cases in this folder, for 'zillions verify'.
    #[arg(long, value_name = "DIR")]
    save_history: Option<PathBuf>,
    /// Stop at the first failure: cases that are under way end, the others are skipped, and
    /// targets that are left are not checked.
    #[arg(long)]
    fail_fast: bool,
    /// Time for one target; what other programs take of the processors is added to it. Cases that
    /// it does not suffice for are inconclusive.
    #[arg(long, value_name = "SECONDS", default_value_t = TIME_LIMIT_DEFAULT.as_secs_f64(), value_parser = positive_seconds)]
    time_limit: f64,
    /// Run N cases in parallel.
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Fail if the tool chain of any entry is missing, not only of one that is named.
    #[arg(long)]
    no_skip: bool,
    /// Show passed cases too.
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    width: TableWidth,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: CheckFormat,
}

/// Formats of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people.
    Human,
    /// `zillions.check/2`, see docs/schema.
    Json,
    /// For CI servers.
    Junit,
}

/// A target that cannot be checked, and why.
struct Unchecked {
    name: String,
    reason: String,
    /// Its tool chain is missing, and nobody asked for it by name.
    may_skip: bool,
}

/// Checks what was asked for.
///
/// # Errors
/// When a target does not pass.
pub fn run(arguments: &Arguments, global: &Global) -> Outcome {
    if arguments.list {
        return list(arguments);
    }
    limits::ensure_minimum(DESCRIPTORS_MIN).map_err(Failure::harness)?;
    let options = Options {
        seed: arguments.seed,
        rounds: arguments.rounds,
        quick: arguments.quick,
        case_globs: arguments.cases.clone(),
        strict: arguments.strict,
        fail_fast: arguments.fail_fast,
        time_limit: Duration::from_secs_f64(arguments.time_limit),
        jobs: usize::from(arguments.jobs),
        history_folder: arguments.save_history.clone(),
        ..Options::default()
    };
    if let Some(folder) = &options.history_folder {
        fs::create_dir_all(folder).map_err(|error| {
            Failure::harness(format!("cannot make the folder '{}': {error}", folder.display()))
        })?;
    }
    select(&options.case_globs, options.quick).map_err(Failure::usage)?;
    let extra = match &arguments.expect {
        Some(path) => Expectations::read(path, &case_ids()).map_err(Failure::usage)?,
        None => Expectations::default(),
    };
    if arguments.connect.is_empty() {
        preflight::can_check()?;
    }
    let (checkable, unchecked) = checkable(arguments, global)?;
    let targets: Vec<Target> = checkable
        .into_iter()
        .map(|target| {
            let expectations = target.expectations.clone().with(extra.clone());
            target.expecting(expectations)
        })
        .collect();
    let (reports, left) = if arguments.fail_fast && unchecked.iter().any(|it| !it.may_skip) {
        (Vec::new(), targets.into_iter().map(|target| target.name).collect())
    } else {
        check_all(&targets, &options)?
    };
    let report = CheckReport::new(options.seed, options.strict, reports);
    print(arguments, &report)?;
    if !left.is_empty() {
        let word = paint(DOUBTFUL, "not checked");
        console::note(&format!("{word} {}: one has failed before (--fail-fast)", left.join(", ")));
    }
    conclude(&report, &unchecked)
}

/// The targets that can be checked, built where necessary, and those that cannot.
fn checkable(
    arguments: &Arguments,
    global: &Global,
) -> Result<(Vec<Target>, Vec<Unchecked>), Failure> {
    if !arguments.connect.is_empty() {
        let addresses = addresses::parse_all(&arguments.connect)?;
        addresses::somebody_listens(&addresses)?;
        return Ok((vec![Target::connect_to_all(addresses)], Vec::new()));
    }
    let targets = targets::select(&arguments.targets, &arguments.filters, &global.impls)?;
    let entries: Vec<Entry> = targets
        .iter()
        .filter_map(|target| match target {
            Named::Entry(entry) => Some((**entry).clone()),
            Named::Executable { .. } => None,
        })
        .collect();
    let mut built = building::build_with_defaults(&entries, &global.impls)?.into_iter();
    let (mut checkable, mut unchecked) = (Vec::new(), Vec::new());
    for target in targets {
        let entry = match target {
            Named::Executable { name, launch } => {
                checkable.push(Target::launch(name, launch));
                continue;
            }
            Named::Entry(entry) => entry,
        };
        let name = entry.name.clone();
        let mut cannot =
            |reason, may_skip| unchecked.push(Unchecked { name: name.clone(), reason, may_skip });
        match built.next().map(|built| built.state) {
            Some(State::Built { .. }) => match target_of(&entry) {
                Ok(target) => checkable.push(target),
                Err(reason) => cannot(reason, false),
            },
            Some(State::Skipped { reason, install }) => {
                let remedy = install.map_or_else(String::new, |it| format!("; install it: {it}"));
                let is_named = arguments.targets.contains(&entry.name);
                cannot(format!("{reason}{remedy}"), !is_named && !arguments.no_skip);
            }
            Some(State::Failed { reason, log, .. }) => {
                cannot(format!("{reason}; see {}", log.display()), false);
            }
            None => {}
        }
    }
    Ok((checkable, unchecked))
}

fn print(arguments: &Arguments, report: &CheckReport) -> Outcome {
    match arguments.format {
        CheckFormat::Human => {
            let look = human::Look { colours: true, every_case: arguments.verbose };
            output::print(&human::render(report, look))
        }
        CheckFormat::Json => output::print_json(report),
        CheckFormat::Junit => {
            let text = junit::render(report)
                .map_err(|error| Failure::harness(format!("cannot write JUnit: {error}")))?;
            output::print_document(&text)
        }
    }
}

/// The exit code, after what could not be checked was named.
fn conclude(report: &CheckReport, unchecked: &[Unchecked]) -> Outcome {
    for Unchecked { name, reason, may_skip } in unchecked {
        let word = if *may_skip { paint(DOUBTFUL, "skipped") } else { paint(BAD, "not checked") };
        console::note(&format!("{word} {name}: {reason}"));
    }
    let missed = unchecked.iter().filter(|it| !it.may_skip).count();
    if missed > 0 {
        return Err(Failure::fail(format!("{missed} targets could not be checked")));
    }
    if report.targets.is_empty() {
        let message = "nothing was checked: no tool chain of the gallery is installed";
        return Err(Failure { code: INCONCLUSIVE, message: message.to_owned() });
    }
    match exit_code(report.targets.iter().map(|target| target.verdict)) {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

/// `--list`.
fn list(arguments: &Arguments) -> Outcome {
    let cases = select(&arguments.cases, arguments.quick).map_err(Failure::usage)?;
    if arguments.format == CheckFormat::Json {
        let rows: Vec<_> = cases
            .iter()
            .map(|case| {
                serde_json::json!({
                    "id": case.id,
                    "clause": case.clause,
                    "level": case.level.as_str(),
                    "text": case.clause().text,
                })
            })
            .collect();
        return output::print_json(
            &serde_json::json!({ "schema": "zillions.cases/1", "cases": rows }),
        );
    }
    let mut table = Table::new([
        Column::words("case"),
        Column::words("clause").optional(1),
        Column::words("level").optional(2),
    ]);
    for case in &cases {
        table.row([case.id, case.clause, case.level.as_str()]);
    }
    let clauses: BTreeSet<_> = cases.iter().map(|case| case.clause).collect();
    output::print(&format!(
        "{}\n{} of {} cases, on {} clauses of docs/spec.md\n",
        table.render(arguments.width.columns()),
        cases.len(),
        all_cases().len(),
        clauses.len()
    ))
}
