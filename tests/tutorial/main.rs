//! The tutorial is true: its programs fail and pass the cases that it names, its changes lead
//! from each program to the next, and what it quotes is what the tools print.
//!
//! The tests are made from the chapters' code blocks. By default each session that a chapter shows
//! is run, and with `ZILLIONS_TESTS=all` also what would be a repetition to the reader: that no
//! later program fails an earlier case, and that the last one passes the whole suite.

mod chapter;
mod quotes;
mod session;
mod steps;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use zillions_testing::{Part, left_out_note, select};

use crate::chapter::{Chapter, Language};
use crate::steps::Steps;

/// Most failing cases wait until nothing has moved for ten seconds, and cost nothing meanwhile. So
/// they come first, and all of them at once.
const TESTS_AT_ONCE: usize = 16;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_ONCE);
    let chapters = Chapter::read_all();
    let steps = Arc::new(Steps::prepare(chapters.len() + 1));
    let (tests, left_out) = select(&arguments, tests(&chapters, &steps));
    let conclusion = libtest_mimic::run(&arguments, tests);
    if let Some(note) = left_out_note(left_out) {
        println!("{note}");
    }
    conclusion.exit_code()
}

fn tests(chapters: &[Chapter], steps: &Arc<Steps>) -> Vec<(Part, Trial)> {
    let shown = chapters.last().expect("chapters").clone();
    let name = "the last program is shown to pass the whole suite, strictly".to_owned();
    let ends = test(name, move || session::ends_with_the_whole_suite(&shown));
    let mut tests = vec![(Part::Short, ends)];
    let mut failing = Vec::new();
    for chapter in chapters {
        let number = chapter.number;
        let quoting = chapter.clone();
        let name = format!("chapter {number} quotes its programs and shows every change");
        tests.push((Part::Short, test(name, move || quotes::check(&quoting))));
        let named = chapter.clone();
        let name = format!("chapter {number} shows a case that fails before and passes after");
        tests.push((Part::Short, test(name, move || session::names_a_case(&named))));
        let (checks, others): (Vec<_>, Vec<_>) =
            chapter.sessions().into_iter().partition(|shown| shown.tool() == "check");
        for shown in checks {
            // All cases take minutes.
            let part = if shown.cases().next().is_some() { Part::Short } else { Part::Long };
            let name = format!("chapter {number}, line {}: {}", shown.line, shown.command);
            let steps = Arc::clone(steps);
            let group = if session::shows_failure(&shown) { &mut failing } else { &mut tests };
            group.push((part, test(name, move || session::run(&shown, &steps))));
        }
        if !others.is_empty() {
            let name = format!("chapter {number}: its other commands, one after the other");
            let steps = Arc::clone(steps);
            let run_all = move || others.iter().for_each(|shown| session::run(shown, &steps));
            tests.push((Part::Long, test(name, run_all)));
        }
    }
    for language in [Language::Rust, Language::Python] {
        for step in 3..=steps.last(language) {
            let cases: Vec<String> =
                chapters[..step - 2].iter().flat_map(|it| session::cases(it, language)).collect();
            let name = format!("{} passes every earlier case", language.program(step));
            let steps = Arc::clone(steps);
            let check = move || session::passes(&steps, language, step, &cases);
            tests.push((Part::Long, test(name, check)));
        }
    }
    failing.extend(tests);
    failing
}

fn test(name: String, check: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        check();
        Ok(())
    })
}
