//! Servers that are correct and slow are never called wrong, on a quiet machine and on a busy one:
//! those of `crates/faulty`, and those of `tests/outside`, which were written from the spec
//! alone. By default the quick selection runs on each. The whole proof, which takes hours, and its
//! table for `docs/design/0012`:
//!
//! ```sh
//! ZILLIONS_SLOW_SEEDS=20 cargo test --release -p zillions-conformance --test never_called_wrong
//! ```

mod busy;
mod proof;
mod subject;

use std::process::ExitCode;

use clap::Parser;
use libtest_mimic::{Arguments, Trial};
use zillions_testing::{Part, left_out_note, select};

use proof::{Machine, Plan};
use subject::Subject;

/// The argument that makes this executable a server.
const SERVE: &str = "--serve";

/// The servers whose tests are in the short part.
const SHORT: [&str; 2] = ["collector", "asyncio-streams"];
/// One that works off its clients unevenly: what one of them has flooded may be under way long after
/// a message of another has come back.
const UNEVEN: &str = "uneven";
/// Where several clients flood, and the quick selection leaves them out.
const FLOODS: &str = "fanout/*-in-a-flood";

/// The command line of a server.
#[derive(Parser)]
struct Server {
    #[command(flatten)]
    arguments: zillions_faulty::Arguments,
}

fn main() -> ExitCode {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    match words.next().as_deref() {
        Some(SERVE) => {
            let server = Server::parse_from(std::iter::once(program).chain(words));
            return server.arguments.execute("never_called_wrong");
        }
        Some(busy::SPIN) => return busy::spin(),
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    let plan = match Plan::from_environment() {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    arguments.test_threads.get_or_insert(plan.servers_at_once());
    let (trials, left_out) = select(&arguments, trials(&plan));
    let conclusion = libtest_mimic::run(&arguments, trials);
    proof::print_table();
    if let Some(note) = left_out_note(left_out) {
        eprintln!("{note}");
    }
    conclusion.exit_code()
}

fn trials(plan: &Plan) -> Vec<(Part, Trial)> {
    let mut trials = Vec::new();
    for subject in Subject::all() {
        let is_first = SHORT.contains(&subject.name());
        for machine in [Machine::Quiet, Machine::Busy] {
            if machine == Machine::Busy && !is_first && !plan.is_whole() {
                continue;
            }
            let is_short = plan.is_whole() || (is_first && machine == Machine::Quiet);
            let part = if is_short { Part::Short } else { Part::Long };
            let name = format!("{} is never called wrong on a {machine} machine", subject.name());
            let (subject, plan) = (subject.clone(), plan.clone());
            let test = move || plan.prove(&subject, machine);
            trials.push((part, Trial::test(name, test)));
        }
        if subject.name() == UNEVEN && !plan.is_whole() {
            let plan = plan.only(FLOODS);
            let test = move || plan.prove(&subject, Machine::Quiet);
            trials.push((
                Part::Short,
                Trial::test("uneven is never called wrong after a flood", test),
            ));
        }
    }
    trials
}
