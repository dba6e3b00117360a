//! A suite is worth what it catches: every known fault must be caught by a case
//! of the clause that it breaks, every case must fail on some fault and pass on the
//! correct server, and the correct server must pass under every unusual but legal setting.
//!
//! One test per line of `proofs.txt` (this case fails on this fault), one per case (it passes
//! on the correct server), one per unusual but correct server, and some on the results of real
//! runs: `cargo test -p zillions-conformance --test kill_matrix -- double-echo`. By default a
//! short part of them runs, all with `ZILLIONS_TESTS=all`.
//!
//! With `ZILLIONS_UPDATE=1` nothing is tested: `proofs.txt` gets a line for each fault that has
//! none, and `docs/faults.md` is written anew.
//! The servers are this same executable, started with `--serve`.

mod document;
mod machine;
mod proofs;
mod results;

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clap::Parser;
use libtest_mimic::{Arguments, Failed, Trial};
use zillions_conformance::render::human::failure_lines;
use zillions_conformance::{
    CaseReport, Options, Target, TargetReport, Unobserved, Verdict, exit_code, run,
};
use zillions_faulty::{Fault, Knobs, Oddity};
use zillions_harness::Launch;
use zillions_testing::{Part, left_out_note, select};

use machine::Share;

/// The argument that makes this executable a server.
const SERVE: &str = "--serve";
/// How long to wait for a faulty server.
const FAULT_PATIENCE: Duration = Duration::from_secs(4);
/// The seeds with which a case may catch a fault, and how many rounds the volume cases make.
/// Where the system cuts a write is chance, and a busy machine limits the volume of a round.
const ATTEMPTS: [(u64, u32); 3] = [(1, 1), (2, 4), (3, 16)];
/// A second seed with which the correct server must pass.
const BASELINE_SEED: u64 = 2;

/// How often the correct servers must pass in a row, if set: every other time
/// with all processors kept busy, and each time with another seed.
const ROUNDS: &str = "ZILLIONS_BASELINE_ROUNDS";

/// If set, no test begins after one has failed: enough for mutation testing.
const FAIL_FAST: &str = "ZILLIONS_FAIL_FAST";

/// If set, the records are updated and nothing is tested.
const UPDATE: &str = "ZILLIONS_UPDATE";

/// The server whose test is in the short part: the one about which nothing is odd. Each further
/// one is the whole suite again.
const SHORT_ODDITY: &str = "baseline";

/// The command line of a server.
#[derive(Parser)]
struct Server {
    #[command(flatten)]
    arguments: zillions_faulty::Arguments,
}

fn main() -> ExitCode {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    if words.next().as_deref() == Some(SERVE) {
        let server = Server::parse_from(std::iter::once(program).chain(words));
        return server.arguments.execute("kill_matrix");
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(machine::TESTS_AT_ONCE);
    let update = std::env::var_os(UPDATE).is_some();
    match if update { update_records().map(|()| None) } else { trials().map(Some) } {
        Ok(Some(trials)) => test(&arguments, trials),
        Ok(None) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("error: {}", failed.message().unwrap_or("unknown"));
            ExitCode::FAILURE
        }
    }
}

fn test(arguments: &Arguments, trials: Vec<(Part, Trial)>) -> ExitCode {
    let (trials, left_out) = select(arguments, trials);
    let conclusion = libtest_mimic::run(arguments, trials);
    if let Some(note) = left_out_note(left_out) {
        eprintln!("{note}");
    }
    conclusion.exit_code()
}

/// Completes `proofs.txt` and writes the document from it.
fn update_records() -> Result<(), Failed> {
    document::update(&proofs::update()?)
}

fn trials() -> Result<Vec<(Part, Trial)>, Failed> {
    let mut oddities = Oddity::all();
    // Those that take longest come first.
    oddities.sort_by_key(|oddity| !oddity.waits_mostly());
    let oddities = oddities.into_iter().map(|oddity| {
        let part = if oddity.name == SHORT_ODDITY { Part::Short } else { Part::Long };
        let name = format!("the correct server passes when {}", oddity.name);
        (part, trial(name, move || passes_again_and_again(&oddity)))
    });
    let name = format!("the correct server passes with seed {BASELINE_SEED}");
    let another_seed = (Part::Long, trial(name, || passes(&baseline(), BASELINE_SEED)));
    Ok(oddities
        .chain([another_seed])
        .chain(proofs::trials()?)
        .chain(document::trials())
        .chain(results::trials())
        .collect())
}

/// A test, which fails at once when another has failed and [`FAIL_FAST`] is set.
fn trial(
    name: impl Into<String>,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    static FAILED: AtomicBool = AtomicBool::new(false);
    Trial::test(name, move || {
        if FAILED.load(Ordering::Relaxed) && std::env::var_os(FAIL_FAST).is_some() {
            return Err(format!("not run: another test failed, and {FAIL_FAST} is set").into());
        }
        let outcome = test();
        FAILED.fetch_or(outcome.is_err(), Ordering::Relaxed);
        outcome
    })
}

fn launch(knobs: &Knobs, fault: Option<Fault>) -> Result<Launch, Failed> {
    let mut launch = Launch::executable(std::env::current_exe()?)?;
    launch.arguments.push(SERVE.into());
    launch.arguments.extend(knobs.arguments());
    if let Some(fault) = fault {
        launch.arguments.push(format!("--fault={}", fault.name).into());
    }
    Ok(launch)
}

/// Runs the cases that match `glob` on a server with this fault, until one fails.
fn check_for_fault(
    fault: Fault,
    glob: &str,
    (seed, rounds): (u64, u32),
) -> Result<TargetReport, Failed> {
    let _share = Share::of_a_fault(fault.shows);
    let target = Target::launch(fault.name, launch(&Knobs::default(), Some(fault))?);
    let options = Options {
        case_globs: vec![glob.to_owned()],
        fail_fast: true,
        // So that a SHOULD that is broken ends it, too.
        strict: true,
        patience: FAULT_PATIENCE,
        seed,
        rounds,
        // One after the other: the first case that catches it is enough.
        jobs: 1,
        ..Options::default()
    };
    Ok(run(&target, &options, &mut Unobserved)?)
}

/// Whether the case failed: not met is not met, however much the clause weighs.
fn fails(case: &CaseReport) -> bool {
    case.failure.is_some() && matches!(case.verdict, Verdict::Fail | Verdict::Nonstrict)
}

fn passes_again_and_again(oddity: &Oddity) -> Result<(), Failed> {
    let rounds = match std::env::var(ROUNDS) {
        Ok(rounds) => {
            rounds.parse().map_err(|_| format!("{ROUNDS} is not a number: '{rounds}'"))?
        }
        Err(_) => 1,
    };
    for round in 1..=rounds {
        let busy = (round % 2 == 0).then(BusyProcessors::keep);
        let began = Instant::now();
        let passed = passes(oddity, round);
        let load = if busy.is_some() { ", processors kept busy" } else { "" };
        if rounds > 1 {
            let verdict = if passed.is_ok() { "passes" } else { "does not pass" };
            let seconds = began.elapsed().as_secs_f64();
            eprintln!("{} {verdict} in {seconds:.1} s (seed {round}{load})", oddity.name);
        }
        passed.map_err(|failed| match failed.message() {
            Some(message) => format!("round {round} of {rounds}{load}: {message}").into(),
            None => failed,
        })?;
    }
    Ok(())
}

/// Threads that do nothing as fast as they can, one per processor, until dropped.
struct BusyProcessors {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl BusyProcessors {
    fn keep() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = (0..processors)
            .map(|_| {
                let over = Arc::clone(&over);
                thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        Self { over, threads }
    }
}

impl Drop for BusyProcessors {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that only spins does not panic.
            let _ = thread.join();
        }
    }
}

/// The correct server about which nothing is odd.
fn baseline() -> Oddity {
    Oddity { name: "correct", what: "nothing is odd about it", knobs: Knobs::default() }
}

fn passes(oddity: &Oddity, seed: u64) -> Result<(), Failed> {
    passes_with(oddity, &Options { seed, ..Options::default() })
}

fn passes_with(oddity: &Oddity, options: &Options) -> Result<(), Failed> {
    let _share = Share::of_a_correct_server(oddity);
    let target = Target::launch(oddity.name, launch(&oddity.knobs, None)?);
    let report = run(&target, options, &mut Unobserved)?;
    if exit_code([report.verdict]) == 0 {
        return Ok(());
    }
    Err(format!("the suite says {}:\n{}", report.verdict.as_str(), listing(&report)).into())
}

fn listing(report: &TargetReport) -> String {
    let mut lines = Vec::new();
    for case in report.cases.iter().filter(|case| case.verdict != Verdict::Skip) {
        lines.push(format!("{} {} {}", case.verdict.as_str(), case.id, case.detail));
        lines.extend(case.failure.iter().flat_map(failure_lines));
    }
    lines.join("\n")
}
