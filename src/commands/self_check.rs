//! `zillions self-check`: the suite, proven on this machine.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use zillions_conformance::{Options, Subject, Unobserved, Verdict, run as run_suite};
use zillions_faulty::{Fault, Oddity};
use zillions_harness::Launch;

use crate::cli::Format;
use crate::failure::{Failure, Outcome};
use crate::output::{self, BAD, FAINT, GOOD, paint};

/// Faults that are hunted at the same time: mostly they make the suite wait.
const FAULTS_AT_ONCE: usize = 8;

/// Prove the suite on this machine: servers with a known fault have to be
/// caught, and correct ones, however odd, have to pass.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  zillions self-check\n  zillions self-check double-echo queue-of-five\n\n\
    Exit codes: 0 every fault is caught and every correct server passes, 1 not so, 64 usage."
)]
pub struct Arguments {
    /// Faults and correct variants by name [default: all but 'batches', 'nagle' and
    /// 'slow-start', which take long; see 'zillions faulty-server --list-faults'].
    names: Vec<String>,
    /// For people or for programs.
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

/// What the suite made of one server.
#[derive(Debug, Clone, Serialize)]
struct Proven {
    name: String,
    /// The clause that it breaks; nothing for a correct server.
    breaks: Option<&'static str>,
    what: String,
    /// Whether the suite judged as it has to.
    proven: bool,
    /// The case that caught it, or what went wrong.
    detail: String,
    seconds: f64,
}

/// A server whose verdict is known beforehand.
enum Known {
    Faulty(Fault),
    Correct(Oddity),
}

/// Proves the suite.
///
/// # Errors
/// When a fault is not caught, or a correct server does not pass.
pub fn run(arguments: &Arguments) -> Outcome {
    let began = Instant::now();
    let executable = std::env::current_exe()
        .map_err(|error| Failure::harness(format!("cannot find this program itself: {error}")))?;
    let (correct, faulty) = selected(&arguments.names)?;
    let progress = ProgressBar::new((correct.len() + faulty.len()) as u64).with_style(style());
    // Correct servers have the machine for themselves: they must not fail for
    // lack of time. Then the faults, side by side.
    let mut servers = prove_all(&correct, 1, &executable, &progress);
    servers.extend(prove_all(&faulty, FAULTS_AT_ONCE, &executable, &progress));
    progress.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    let failed = servers.iter().filter(|server| !server.proven).count();
    match arguments.format {
        Format::Human => output::print(&human(&servers, seconds))?,
        Format::Json => {
            output::print_json(&Report { schema: "zillions.self-check/1", seconds, servers })?;
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::fail(format!("the suite is wrong about {failed} servers"))),
    }
}

fn selected(names: &[String]) -> Result<(Vec<Known>, Vec<Known>), Failure> {
    let mut correct: Vec<Oddity> = Oddity::all();
    let mut faulty: Vec<Fault> = Fault::all().collect();
    for name in names {
        let known = correct.iter().any(|oddity| oddity.name == name)
            || faulty.iter().any(|fault| fault.name == name);
        if !known {
            let hint = "see 'zillions faulty-server --list-faults'";
            return Err(Failure::usage(format!("no known server is called '{name}': {hint}")));
        }
    }
    if names.is_empty() {
        // Whoever has the time can name them.
        correct.retain(|oddity| !oddity.is_leisurely());
    } else {
        correct.retain(|oddity| names.iter().any(|name| name == oddity.name));
        faulty.retain(|fault| names.iter().any(|name| name == fault.name));
    }
    let correct = correct.into_iter().map(Known::Correct).collect();
    Ok((correct, faulty.into_iter().map(Known::Faulty).collect()))
}

fn prove_all(
    servers: &[Known],
    at_once: usize,
    executable: &Path,
    progress: &ProgressBar,
) -> Vec<Proven> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Proven>>> = Mutex::new(vec![None; servers.len()]);
    thread::scope(|scope| {
        for _ in 0..at_once.min(servers.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(server) = servers.get(index) else { break };
                    let proven = prove(server, executable);
                    progress.inc(1);
                    if !proven.proven {
                        progress.println(format!("{} {}", paint(BAD, "wrong"), proven.name));
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(proven);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
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
    let launch =
        Launch { program, arguments, directory: None, descriptor_limit: None, broker: None };
    let options = Options {
        // The first case that catches it is enough.
        case_globs: breaks.iter().map(|clause| (*clause).to_owned()).collect(),
        fail_fast: breaks.is_some(),
        jobs: if breaks.is_some() { 1 } else { Options::default().jobs },
        // A correct server would take all of the suite's time otherwise.
        quick: breaks.is_none(),
        ..Options::default()
    };
    let (proven, detail) =
        match run_suite(&Subject::launch(name, launch), &options, &mut Unobserved) {
            Err(error) => (false, error.to_string()),
            Ok(report) if breaks.is_some() => {
                let caught = report
                    .cases
                    .iter()
                    .find(|case| matches!(case.verdict, Verdict::Fail | Verdict::Nonstrict));
                caught
                    .map_or((false, "no case caught it".to_owned()), |case| (true, case.id.clone()))
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
                    |case| {
                        (false, format!("{} {}: {}", case.verdict.as_str(), case.id, case.detail))
                    },
                )
            }
        };
    let seconds = began.elapsed().as_secs_f64();
    Proven { name: name.to_owned(), breaks, what: what.to_owned(), proven, detail, seconds }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_bar} {pos}/{len} servers, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn human(servers: &[Proven], seconds: f64) -> String {
    let mut table = output::table(&["server", "breaks", "judged"]);
    for server in servers {
        let judged = match (server.proven, server.breaks) {
            (true, Some(_)) => format!("{} {}", paint(GOOD, "caught by"), server.detail),
            (true, None) => format!("{} {}", paint(GOOD, "passes:"), server.detail),
            (false, _) => format!("{} {}", paint(BAD, "wrong:"), server.detail),
        };
        table.add_row([server.name.as_str(), server.breaks.unwrap_or("nothing"), &judged]);
    }
    let faults = servers.iter().filter(|server| server.breaks.is_some()).count();
    let caught = servers.iter().filter(|server| server.breaks.is_some() && server.proven).count();
    let correct = servers.len() - faults;
    let passed = servers.iter().filter(|server| server.breaks.is_none() && server.proven).count();
    format!(
        "{table}\n\n{caught} of {faults} faults caught, {passed} of {correct} correct servers pass {}\n",
        paint(FAINT, format!("in {seconds:.0} s"))
    )
}
