//! `zillions bench`: build, check, measure, report.

mod brokers;
mod display;
mod gate;
mod prepared;
mod remote;
mod representatives;
mod resume;
mod running;
mod summary;
mod target;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use zillions_bench::further;
use zillions_bench::idle::Thoroughness;
use zillions_bench::pin::allowed;
use zillions_bench::plan;
use zillions_bench::store::{Store, StoreError};
use zillions_bench::{BenchError, Options, Scenario, Target};
use zillions_console as console;
use zillions_harness::interrupt;
use zillions_harness::limits::{self, DESCRIPTORS_MIN};
use zillions_load::THREADS_MAX;
use zillions_report::html;
use zillions_report::record::{LoadRecord, ScenarioRecord};
use zillions_report::results::RUN_FILE;

use crate::failure::{Failure, Outcome};
use crate::options::{Format, Global, TableWidth};
use crate::output;
use crate::preflight;
use crate::selection::Filters;
use crate::table::{Column, Table};
use crate::targets::{self, Target as Named};
use crate::tool;
use display::{Display, rough};
use prepared::Prepared;
use representatives::Representatives;

/// Where results go by default: a folder in here, named after the time.
const RESULTS_FOLDER: &str = "results";

/// Build, check and measure servers, and write a report.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    zillions bench                         one entry of each style\n  \
    zillions bench --all                   every entry that can be built here\n  \
    zillions bench --language Rust --tag '!unmaintained'\n  \
    zillions bench std-mpsc ./my-server    an entry, and any executable\n  \
    zillions bench --list                  which scenarios there are\n  \
    zillions bench --scenario many-to-many --repeats 9\n  \
    zillions bench --all-scenarios std-mpsc mio\n  \
    zillions bench --budget 10m            what ten minutes can tell apart\n  \
    zillions bench --quick --format json\n  \
    zillions bench --resume results/2026-11-22T08-00-00\n  \
    zillions bench --brokers               the reference server, NATS and Redis\n  \
    zillions bench --ssh far /opt/server   servers there, the load from here\n  \
    zillions bench --connect 127.0.0.1:8080 --pid 4711\n  \
    zillions bench --connect 10.0.0.1:8080 --connect 10.0.0.2:8080\n\n\
    Entries are built first, unless nothing has changed since the last time. Each is checked \
    quickly, and measured only if it conforms to the spec; passed checks are cached.\n\n\
    In a block each server has one trial, in random order, and one of them two: their difference \
    is the noise floor. After five blocks, disturbed (NOISY) trials are repeated, and further \
    trials go where tiers are not told apart, within the budget. Limits of the machine are \
    measured beside the servers: a receiver that only calls recv, and a bare send() loop. CPU \
    time, user instructions (where the machine counts them) and context switches per delivery \
    have tiers of their own.\n\n\
    Exit codes: 0 all measured, 1 some failed, 2 nothing could be ranked, 64 usage, 70 tool \
    failure. How to read the report: docs/reading-results.md.")]
pub struct Arguments {
    /// Names of entries (globs), or paths of executables, with a slash [default: one entry of each
    /// style].
    targets: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    /// Measure every entry of the gallery that can be built here.
    #[arg(long, conflicts_with_all = ["targets", "Filters"])]
    all: bool,
    #[command(flatten)]
    running: running::RunningService,
    #[command(flatten)]
    elsewhere: remote::OtherMachine,
    /// A scenario's name, or a .toml file; may be repeated [default: see --list].
    #[arg(short, long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// Run every scenario.
    #[arg(long, conflicts_with = "scenarios")]
    all_scenarios: bool,
    /// List the scenarios, and exit.
    #[arg(long)]
    list: bool,
    /// Run fewer and shorter trials, for a first look: intervals are wide.
    #[arg(long)]
    quick: bool,
    /// Fix the number of trials per server and scenario; fewer than 3 rank nothing [default: those of
    /// the scenario, then more where tiers are not told apart].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: Option<u32>,
    /// Time for all trials but searches, such as 3m; what the first five blocks leave of it is for
    /// repeated and further trials [default: a quarter more than those blocks take].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with_all = [
        "repeats", "quick", "brokers", "connect", "list",
    ])]
    budget: Option<Duration>,
    /// Length of each trial's measured window [default: that of the scenario].
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Folder for the results; must not contain any [default: results/TIME].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Do not pin servers and load generator to CPUs.
    #[arg(long)]
    no_pin: bool,
    /// Threads of the load generator, over which its clients are spread. Each has a processor of its
    /// own, and servers the others; if none is left to them, nothing is pinned. With more than one
    /// thread, limits of the machine are not measured: they are those of one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    load_threads: u32,
    /// Do not measure limits of the machine beside the servers.
    #[arg(long)]
    no_yardsticks: bool,
    /// Do not show progress.
    #[arg(long)]
    no_progress: bool,
    /// Check each server, even if the same program has passed before.
    #[arg(long)]
    fresh: bool,
    /// Resume an interrupted run with its scenarios, servers and seed; completed
    /// trials are kept.
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "targets", "Filters", "scenarios", "all", "all_scenarios", "list", "quick", "repeats", "budget", "seconds", "out", "no_pin",
        "load_threads", "no_yardsticks", "seed",
        "fresh", "connect",
    ])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    brokers: brokers::Arguments,
    /// Seed of the trial order [default: the time].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    width: TableWidth,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

impl Arguments {
    /// Whether the number of trials follows from their results.
    fn leaves_trials_open(&self) -> bool {
        let is_fixed = self.repeats.is_some() || self.quick || self.brokers.brokers;
        !is_fixed && !self.running.is_asked_for()
    }

    /// Whether limits of the machine are measured; they are those of one thread.
    fn wants_yardsticks(&self) -> bool {
        !self.no_yardsticks && self.load_threads == 1
    }

    /// Whether what is measured does not run where, and as, this tool starts it.
    fn is_elsewhere(&self) -> bool {
        self.running.is_asked_for() || self.elsewhere.is_asked_for()
    }

    /// Whether it was said what to measure, by name or by filter.
    fn names_targets(&self) -> bool {
        !self.targets.is_empty() || !self.filters.is_empty()
    }
}

/// Measures what was asked for.
///
/// # Errors
/// When a server failed or nothing could be ranked.
pub fn run(arguments: &Arguments, global: &Global) -> Outcome {
    if arguments.list {
        return list(arguments);
    }
    limits::ensure_minimum(DESCRIPTORS_MIN).map_err(Failure::harness)?;
    preflight::can_measure()?;
    let Prepared { candidates, targets, options } = match &arguments.resume {
        Some(folder) => resume::prepare(folder, &arguments.brokers, global)?,
        None => prepare(arguments, global)?,
    };
    let folder = options.folder.clone();
    let (kept, is_resumable) = (folder.clone(), !arguments.is_elsewhere());
    interrupt::before_exit(move || console::note(&interruption_notice(&kept, is_resumable)));
    let checks = gate::Checks::new(arguments.fresh);
    let mut display = Display::new(&targets, &options.scenarios, !arguments.no_progress);
    let results = zillions_bench::run(
        targets,
        &options,
        |record| checks.check(record, &candidates),
        |event| display.show(event),
    );
    display.finish();
    let results = results.map_err(|error| {
        Store::discard_if_empty(&folder);
        match failure(error) {
            Failure { code, message } if folder.join(RUN_FILE).is_file() => Failure {
                code,
                message: format!("{message}; what was measured is in {}", folder.display()),
            },
            failure => failure,
        }
    })?;
    let report = Store::keep_report(&folder, &html::report(&results)).map_err(Failure::harness)?;
    let summary = summary::Summary::new(&results, &folder, &report);
    match arguments.format {
        Format::Human => output::print(&summary.human(arguments.width))?,
        Format::Json => output::print_json(&summary)?,
    }
    summary.conclude(&arguments.targets)
}

/// A run from the beginning.
fn prepare(arguments: &Arguments, global: &Global) -> Result<Prepared, Failure> {
    let scenarios = scenarios(arguments)?;
    check_load_threads(arguments.load_threads)?;
    // Names are looked up, and an unusable folder is reported, before anything is built.
    let named = chosen(arguments, &scenarios, global)?;
    let folder = new_folder(arguments)?;
    let begun = folder.clone();
    interrupt::before_exit(move || Store::discard_if_empty(&begun));
    let prepared = prepare_in(folder.clone(), arguments, scenarios, named, global);
    if prepared.is_err() {
        Store::discard_if_empty(&folder);
    }
    prepared
}

fn prepare_in(
    folder: PathBuf,
    arguments: &Arguments,
    mut scenarios: Vec<ScenarioRecord>,
    named: Vec<Named>,
    global: &Global,
) -> Result<Prepared, Failure> {
    if let Some(budget) = arguments.budget {
        // What not even one server fits into is refused before anything is built.
        further::fit(&mut scenarios.clone(), 1, false, budget).map_err(Failure::usage)?;
    }
    let mut candidates = running::find(&arguments.running)?;
    let (elsewhere, remote) = remote::find(&arguments.elsewhere, &arguments.targets)?;
    candidates.extend(elsewhere);
    if arguments.brokers.brokers {
        candidates = brokers::find(&arguments.brokers)?;
        brokers::introduce(&candidates);
    }
    candidates.extend(target::find(named, global)?);
    target::keep_build_logs(&candidates, &folder, global)?;
    let targets: Vec<Target> = candidates.iter().map(|it| it.target.clone()).collect();
    if targets.iter().all(|target| target.access.is_none()) {
        return Err(Failure::fail(format!(
            "nothing can be measured here: {}",
            target::reasons(&targets)
        )));
    }
    // Nor is this machine the limit of what runs elsewhere, or unpinned.
    let yardsticks = if arguments.wants_yardsticks() && !arguments.is_elsewhere() {
        Some(prepared::yardsticks()?)
    } else {
        None
    };
    let number = targets.iter().filter(|target| target.access.is_some()).count();
    let budget = budget(arguments, &mut scenarios, number, yardsticks.is_some())?;
    let options = Options {
        scenarios,
        budget,
        seed: arguments.seed.unwrap_or_else(seed_of_now),
        // What runs already runs where it runs, and nobody here needs the processors of another
        // machine's servers.
        pin: !arguments.no_pin && !arguments.is_elsewhere(),
        load_threads: arguments.load_threads as usize,
        remote,
        folder,
        command_line: std::env::args().collect(),
        tool: tool::record(),
        idle: Some(Thoroughness::choose(arguments.quick)),
        yardsticks,
        resume: None,
    };
    Ok(Prepared { candidates, targets, options })
}

/// The time for trials whose number is left open, and the first blocks that fit into it.
fn budget(
    arguments: &Arguments,
    scenarios: &mut [ScenarioRecord],
    targets: usize,
    yardsticks: bool,
) -> Result<Option<Duration>, Failure> {
    if !arguments.leaves_trials_open() {
        return Ok(None);
    }
    further::leave_open(scenarios);
    if let Some(budget) = arguments.budget {
        further::fit(scenarios, targets, yardsticks, budget).map_err(Failure::usage)?;
    }
    let is_open = scenarios.iter().any(|scenario| scenario.looks_max > 1);
    let default = || further::default_budget(scenarios, targets, yardsticks);
    Ok(is_open.then(|| arguments.budget.unwrap_or_else(default)))
}

/// The servers that are to be measured, brokers apart.
fn chosen(
    arguments: &Arguments,
    scenarios: &[ScenarioRecord],
    global: &Global,
) -> Result<Vec<Named>, Failure> {
    if arguments.elsewhere.is_asked_for() {
        return Ok(Vec::new());
    }
    if arguments.all || arguments.names_targets() {
        return targets::select(&arguments.targets, &arguments.filters, &global.impls);
    }
    if arguments.brokers.brokers || arguments.running.is_asked_for() {
        return Ok(Vec::new());
    }
    let gallery = targets::entries(&[], &arguments.filters, &global.impls)?;
    let Representatives { entries, buildable } = representatives::choose(&gallery);
    if !arguments.no_progress {
        let yardsticks = arguments.wants_yardsticks();
        let (these, all) = (rough(plan::estimate(scenarios, entries.len(), yardsticks)), buildable);
        let time_of_all = rough(plan::estimate(scenarios, all, yardsticks));
        console::note(&format!(
            "one entry of each style: {} of {all} that can be built here, about {these} once they \
             are built; --all measures all of them, about {time_of_all}",
            entries.len(),
        ));
    }
    Ok(entries.into_iter().map(|entry| Named::Entry(Box::new(entry))).collect())
}

/// What is printed on an interrupt: where the results are, and how to resume. A service that was
/// running already may be another one by then.
fn interruption_notice(folder: &Path, is_resumable: bool) -> String {
    if !folder.join(RUN_FILE).is_file() {
        return "zillions: interrupted before anything was measured".to_owned();
    }
    let folder = folder.display();
    let measured = format!("zillions: interrupted; what was measured is in {folder}");
    if is_resumable {
        format!("{measured}; resume with: zillions bench --resume {folder}")
    } else {
        measured
    }
}

/// What a change of the command line corrects is a user error; the rest is a tool failure.
fn failure(error: BenchError) -> Failure {
    match error {
        BenchError::NoScenario | BenchError::Store(StoreError::Occupied { .. }) => {
            Failure::usage(error)
        }
        BenchError::Store(_)
        | BenchError::Lost(_)
        | BenchError::Descriptors(_)
        | BenchError::LocalPorts(_) => Failure::harness(error),
    }
}

fn scenarios(arguments: &Arguments) -> Result<Vec<ScenarioRecord>, Failure> {
    let chosen: Vec<Scenario> = if arguments.scenarios.is_empty() && arguments.brokers.brokers {
        Scenario::brokers()
    } else if arguments.scenarios.is_empty() {
        let is_wanted = |scenario: &Scenario| arguments.all_scenarios || scenario.is_default;
        Scenario::built_in().into_iter().filter(is_wanted).collect()
    } else {
        let found = arguments.scenarios.iter().map(|name| Scenario::find(name));
        found.collect::<Result<_, _>>().map_err(Failure::usage)?
    };
    let mut records: Vec<ScenarioRecord> = Vec::new();
    for scenario in chosen {
        let mut record = scenario.record(arguments.quick);
        record.repeats = arguments.repeats.unwrap_or(record.repeats);
        record.measure_seconds = arguments.seconds.unwrap_or(record.measure_seconds);
        zillions_bench::scenario::check(&record)
            .map_err(|what| Failure::usage(format!("scenario '{}': {what}", record.name)))?;
        if records.iter().any(|other| other.name == record.name) {
            return Err(Failure::usage(format!("scenario '{}' is named twice", record.name)));
        }
        records.push(record);
    }
    let searches = |record: &ScenarioRecord| matches!(record.load, LoadRecord::Search { .. });
    if arguments.budget.is_some() && records.iter().all(searches) {
        let message = "a search has no budget: leave --budget out, or name another scenario";
        return Err(Failure::usage(message));
    }
    Ok(records)
}

fn list(arguments: &Arguments) -> Outcome {
    let mut scenarios = Scenario::built_in();
    let number_of_usual = scenarios.len();
    scenarios.extend(Scenario::brokers());
    if arguments.format == Format::Json {
        let rows: Vec<_> = scenarios
            .iter()
            .map(|scenario| {
                let record = scenario.record(arguments.quick);
                serde_json::json!({
                    "default": scenario.is_default,
                    "seconds_per_server": seconds_per_server(&record),
                    "scenario": record,
                })
            })
            .collect();
        let list = serde_json::json!({ "schema": "zillions.scenarios/1", "scenarios": rows });
        return output::print_json(&list);
    }
    let mut table = Table::new([
        Column::words("scenario"),
        Column::words("by default").optional(3),
        Column::numbers("per server").optional(1),
        Column::prose("question").optional(2),
    ]);
    for (at, scenario) in scenarios.iter().enumerate() {
        let by_default = match scenario.is_default {
            true => "yes",
            false if at >= number_of_usual => "with --brokers",
            false => "no",
        };
        let record = scenario.record(arguments.quick);
        let seconds = format!("{:.0} s", seconds_per_server(&record));
        table.row([&scenario.name, by_default, &seconds, &record.question]);
    }
    output::print(&table.render(arguments.width.columns()))
}

/// What one more server takes in `scenario`, in seconds.
fn seconds_per_server(scenario: &ScenarioRecord) -> f64 {
    let estimate = |targets| plan::estimate(std::slice::from_ref(scenario), targets, false);
    (estimate(2) - estimate(1)).as_secs_f64()
}

/// An empty folder for the results: as asked for, or named after the time. Runs that begin in one
/// second have one each.
fn new_folder(arguments: &Arguments) -> Result<PathBuf, Failure> {
    if let Some(folder) = &arguments.out {
        Store::create(folder).map_err(|error| failure(error.into()))?;
        return Ok(folder.clone());
    }
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let name = time.replace(':', "-").trim_end_matches('Z').to_owned();
    let mut folder = PathBuf::from(RESULTS_FOLDER).join(&name);
    for number in 2.. {
        match Store::create(&folder) {
            Err(StoreError::Occupied { .. }) => {
                folder.set_file_name(format!("{name}-{number}"));
            }
            created => {
                created.map_err(|error| failure(error.into()))?;
                break;
            }
        }
    }
    Ok(folder)
}

/// Threads that would wait for one another's processors measure nothing.
fn check_load_threads(threads: u32) -> Result<(), Failure> {
    let processors = allowed().len().min(THREADS_MAX);
    if threads as usize > processors {
        return Err(Failure::usage(format!(
            "--load-threads {threads}: this process may use {processors} processors, one thread each; \
             ask for at most {processors}"
        )));
    }
    Ok(())
}

fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs())
}
