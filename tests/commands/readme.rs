//! What the README shows is what the tools print.

use std::process::Command;

use zillions_testing::first_missing;

use crate::support::{Script, ZILLIONS, ended};

const README: &str = include_str!("../../README.md");

/// The text between two comments of the README, and what follows `begin` in the first.
fn between(begin: &str, end: &str) -> (&'static str, &'static str) {
    let (_, rest) = README.split_once(begin).expect("the beginning");
    let (said, rest) = rest.split_once("-->\n").expect("a comment");
    (said.trim(), rest.split_once(end).expect("the end").0)
}

pub(crate) fn the_check_that_it_shows_ends_like_that() {
    let (said, block) = between("<!-- check:begin", "<!-- check:end -->");
    let (case, fault) = said.split_once(' ').expect("a case and a fault");
    let lines = block.lines().filter(|line| !line.starts_with("```"));
    let (commands, shown): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("$ "));
    let command = commands.join("");
    assert_eq!(command, format!("$ zillions check ./my-server --case {case}"));

    let server = Script::server(&format!("--fault {fault}"));
    let folder = server.path.parent().expect("a folder");
    std::fs::rename(&server.path, folder.join("my-server")).expect("it is renamed");
    let arguments = command.split(' ').skip(2);
    let run = Command::new(ZILLIONS).args(arguments).current_dir(folder).output();
    let run = ended(run.expect("it runs"));
    assert_eq!(run.code, 1, "{}", run.stderr);

    let shown: Vec<String> = shown.into_iter().map(str::to_owned).collect();
    assert!(shown.len() > 9, "it shows a counterexample: {shown:?}");
    let missing = first_missing(&shown, &run.stdout);
    assert!(missing.is_none(), "{missing:?} is not in the output:\n{}", run.stdout);
    // What is shown ends where the output does.
    let (last, end) = (shown.len() - 1, run.stdout.lines().last().expect("output"));
    assert_eq!(first_missing(&shown[last..], end), None, "it ends with {end}");
}
