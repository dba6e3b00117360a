//! Checks one server from the command line, the shortest way:
//! `cargo run --release -p zillions-conformance --example check -- ./path/to/server [CASE…]`.
//! The real command is `zillions check`.

use std::process::ExitCode;

use zillions_conformance::render::human::{Look, case_line, render};
use zillions_conformance::{CheckReport, Observer, Options, SuiteEvent, Target, run};
use zillions_harness::{Launch, interrupt};

/// Prints each case as it ends.
struct Lines(Look);

impl Observer for Lines {
    fn event(&mut self, event: SuiteEvent<'_>) {
        if let SuiteEvent::CaseFinished { report } = event {
            eprintln!("{}", case_line(report, self.0));
        }
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    interrupt::install()?;
    let mut arguments = std::env::args().skip(1);
    let words = arguments.next().ok_or("the path of a server is missing")?;
    let mut words = words.split_whitespace();
    let path = words.next().ok_or("the path of a server is empty")?;
    let mut launch = Launch::executable(path)?;
    launch.arguments = words.map(Into::into).collect();
    let options = Options { case_globs: arguments.collect(), ..Options::default() };
    let look = Look { colours: false, every_case: false };
    let report = run(&Target::launch(path, launch), &options, &mut Lines(look))?;
    let report = CheckReport::new(options.seed, options.strict, vec![report]);
    print!("{}", render(&report, look));
    Ok(ExitCode::from(report.exit_code()))
}
