//! What the README shows is what the tools print.

use std::process::Command;

use crate::support::{Script, ZILLIONS, ended};

const README: &str = include_str!("../../README.md");

/// The text between two comments of the README, and what follows `begin` in the first.
fn between(begin: &str, end: &str) -> (&'static str, &'static str) {
    let (_, rest) = README.split_once(begin).expect("the beginning");
    let (said, rest) = rest.split_once("-->\n").expect("a comment");
    (said.trim(), rest.split_once(end).expect("the end").0)
}

/// The line with every number replaced: which bytes and seconds they are differs from run to run.
fn without_numbers(line: &str) -> String {
    let mut text = String::new();
    for c in line.trim_end().chars() {
        let is_of_number = c.is_ascii_digit() || (c == '.' && text.ends_with('0'));
        if !is_of_number {
            text.push(c);
        } else if !text.ends_with('0') {
            text.push('0');
        }
    }
    text
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

    let printed: Vec<String> = run.stdout.lines().map(without_numbers).collect();
    // What is shown ends where the output does; before that something may be left out.
    let shown: Vec<String> =
        shown.into_iter().skip_while(|line| *line == "…").map(without_numbers).collect();
    assert!(shown.len() > 8, "it shows a counterexample: {shown:?}");
    let end = &printed[printed.len().saturating_sub(shown.len())..];
    assert_eq!(end, shown, "as the README shows it");
}
