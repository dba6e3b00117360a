//! `zillions self-check`: the suite and the benchmark, proven on this machine.

mod known;
mod lanes;
mod measuring;

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use zillions_conformance::{Options, Target, Unobserved, Verdict, run as run_suite};
use zillions_faulty::{Fault, Oddity};
use zillions_harness::Launch;
use zillions_harness::limits::{self, DESCRIPTORS_MIN};

use known::Known;

use crate::failure::{Failure, Outcome};
use crate::options::{Format, TableWidth};
use crate::output::{self, BAD, FAINT, GOOD, paint};
use crate::preflight;
use crate::progress;
use crate::table::{Column, Table};

/// How long to wait for what a faulty server does not do. A correct one, which is
/// waited for twice as long, does it in milliseconds.
const FAULT_PATIENCE: Duration = Duration::from_secs(5);

/// Prove the suite and the benchmark on this machine: servers with a known fault
/// must be caught, unusual but correct ones must pass, and known deviations must
/// be measured correctly.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  zillions self-check\n  zillions self-check double-echo queue-of-five\n  \
    zillions self-check measured-frozen measured-losses\n\n\
    Exit codes: 0 all verdicts and figures as expected, 1 otherwise, 64 usage."
)]
pub struct Arguments {
    /// Faults, correct variants and measurements by name [default: all but
    /// 'batches', 'nagle' and 'slow-start', which are slow; faults are listed by
    /// 'zillions faulty-server --list-faults'].
    names: Vec<String>,
    #[command(flatten)]
    width: TableWidth,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// `zillions.self-check/1`.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    seconds: f64,
    servers: Vec<Proven>,
}

/// The expected verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// The suite must catch it.
    Fault,
    /// The suite must pass it.
    Correct,
    /// The benchmark must measure its deviation.
    Measured,
}

/// What was made of one server.
#[derive(Debug, Clone, Serialize)]
struct Proven {
    name: String,
    kind: Kind,
    /// The clause that it breaks; nothing for a correct server.
    breaks: Option<&'static str>,
    what: String,
    /// Whether the verdict is the expected one.
    proven: bool,
    /// The case that caught it, what was measured, or what went wrong.
    detail: String,
    seconds: f64,
}

/// Proves the suite and the benchmark.
///
/// # Errors
/// When a fault is not caught, a correct server does not pass, or a deviation is measured
/// incorrectly.
pub fn run(arguments: &Arguments) -> Outcome {
    preflight::can_measure()?;
    let began = Instant::now();
    limits::ensure_minimum(DESCRIPTORS_MIN).map_err(Failure::harness)?;
    let executable = std::env::current_exe()
        .map_err(|error| Failure::harness(format!("cannot find this program itself: {error}")))?;
    let Selection { measured, known } = selected(&arguments.names)?;
    let progress = progress::total(measured.len() + known.len(), "servers, {elapsed}");
    // Servers that are timed run alone; then all others run in parallel.
    let mut servers: Vec<Proven> =
        measured.iter().map(|known| measure(known, &executable, &progress)).collect();
    servers.extend(lanes::run_all(&lanes::of(&known), known.len(), |index| {
        let proven = prove(&known[index], &executable);
        progress.inc(1);
        if !proven.proven {
            progress.println(format!("{} {}", paint(BAD, "wrong"), proven.name));
        }
        proven
    }));
    progress.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    let failed = servers.iter().filter(|server| !server.proven).count();
    match arguments.format {
        Format::Human => output::print(&human(&servers, seconds, arguments.width))?,
        Format::Json => {
            output::print_json(&Report { schema: "zillions.self-check/1", seconds, servers })?;
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::fail(format!("{failed} servers got an unexpected verdict"))),
    }
}

/// What was asked for.
struct Selection {
    measured: Vec<measuring::Known>,
    known: Vec<Known>,
}

fn selected(names: &[String]) -> Result<Selection, Failure> {
    let mut measured = measuring::all();
    let mut correct: Vec<Oddity> = Oddity::all();
    let mut faulty: Vec<Fault> = Fault::all().collect();
    for name in names {
        let known = correct.iter().any(|oddity| oddity.name == name)
            || faulty.iter().any(|fault| fault.name == name)
            || measured.iter().any(|known| known.name == name);
        if !known {
            let hint = "see 'zillions faulty-server --list-faults'";
            return Err(Failure::usage(format!("unknown server '{name}': {hint}")));
        }
    }
    if names.is_empty() {
        // They are slow, and can be named.
        correct.retain(|oddity| !oddity.waits_mostly());
    } else {
        let is_named = |wanted: &str| names.iter().any(|name| name == wanted);
        measured.retain(|known| is_named(known.name));
        correct.retain(|oddity| is_named(oddity.name));
        faulty.retain(|fault| is_named(fault.name));
    }
    let correct = correct.into_iter().map(Known::Correct);
    let known = correct.chain(faulty.into_iter().map(Known::Faulty)).collect();
    Ok(Selection { measured, known })
}

fn measure(known: &measuring::Known, executable: &Path, progress: &ProgressBar) -> Proven {
    let began = Instant::now();
    let result = known.prove(executable);
    progress.inc(1);
    let proven = result.is_ok();
    Proven {
        name: known.name.to_owned(),
        kind: Kind::Measured,
        breaks: None,
        what: known.what.to_owned(),
        proven,
        detail: result.unwrap_or_else(|wrong| wrong),
        seconds: began.elapsed().as_secs_f64(),
    }
}

fn prove(server: &Known, executable: &Path) -> Proven {
    let began = Instant::now();
    let mut arguments = vec!["faulty-server".into()];
    let (name, breaks, what) = match server {
        Known::Correct(oddity) => {
            arguments.extend(oddity.knobs.arguments());
            (oddity.name, None, oddity.what)
        }
        Known::Faulty(fault) => {
            arguments.push(format!("--fault={}", fault.name).into());
            (fault.name, Some(fault.breaks), fault.what)
        }
    };
    let program = executable.to_owned();
    let launch = Launch { arguments, ..Launch::new(program) };
    let usual = Options::default();
    let options = Options {
        // The first case that catches it is enough.
        case_globs: breaks.iter().map(|clause| (*clause).to_owned()).collect(),
        fail_fast: breaks.is_some(),
        // A SHOULD that is broken is one caught, too.
        strict: breaks.is_some(),
        jobs: if breaks.is_some() { 1 } else { usual.jobs },
        patience: if breaks.is_some() { FAULT_PATIENCE } else { usual.patience },
        // A correct server would take all of the suite's time otherwise.
        quick: breaks.is_none(),
        ..usual
    };
    let (proven, detail) = match run_suite(&Target::launch(name, launch), &options, &mut Unobserved)
    {
        Err(error) => (false, error.to_string()),
        Ok(report) if breaks.is_some() => {
            let caught = report
                .cases
                .iter()
                .find(|case| matches!(case.verdict, Verdict::Fail | Verdict::Nonstrict));
            caught.map_or((false, "no case caught it".to_owned()), |case| (true, case.id.clone()))
        }
        Ok(report) => {
            let may_be_nonstrict = report.verdict == Verdict::Pass;
            let wrong = report.cases.iter().find(|case| match case.verdict {
                Verdict::Pass | Verdict::Info | Verdict::Skip => false,
                Verdict::Nonstrict => !may_be_nonstrict,
                Verdict::Fail | Verdict::Inconclusive | Verdict::Error => true,
            });
            wrong.map_or_else(
                || (true, format!("{} cases passed", report.count(Verdict::Pass))),
                |case| (false, format!("{} {}: {}", case.verdict.as_str(), case.id, case.detail)),
            )
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    let kind = if breaks.is_some() { Kind::Fault } else { Kind::Correct };
    Proven { name: name.to_owned(), kind, breaks, what: what.to_owned(), proven, detail, seconds }
}

fn human(servers: &[Proven], seconds: f64, width: TableWidth) -> String {
    let mut table = Table::new([
        Column::words("server"),
        Column::words("breaks").optional(1),
        Column::prose("judged"),
    ]);
    for server in servers {
        let judged = match (server.proven, server.kind) {
            (true, Kind::Fault) => format!("{} {}", paint(GOOD, "caught by"), server.detail),
            (true, Kind::Correct) => format!("{} {}", paint(GOOD, "passes:"), server.detail),
            (true, Kind::Measured) => format!("{} {}", paint(GOOD, "measured:"), server.detail),
            (false, _) => format!("{} {}", paint(BAD, "wrong:"), server.detail),
        };
        table.row([server.name.as_str(), server.breaks.unwrap_or("nothing"), &judged]);
    }
    let tally = |kind| {
        let of_kind = servers.iter().filter(|server| server.kind == kind);
        format!("{} of {}", of_kind.clone().filter(|server| server.proven).count(), of_kind.count())
    };
    format!(
        "{}\n{} faults caught, {} correct servers pass, {} measured correctly {}\n",
        table.render(width.columns()),
        tally(Kind::Fault),
        tally(Kind::Correct),
        tally(Kind::Measured),
        paint(FAINT, format!("in {seconds:.0} s"))
    )
}
