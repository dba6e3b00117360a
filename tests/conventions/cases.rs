//! The guide to writing cases knows every method that a case may use, and no other.

use std::collections::BTreeMap;

use crate::rust::{Kind, programs_in};
use crate::tree::{Offenders, files};

const GUIDE: &str = "docs/writing-a-case.md";
const SUITE: &str = "crates/conformance/src";
/// Files beside those of the fixture whose public methods cases use.
const BESIDE_THE_FIXTURE: [&str; 3] = ["context.rs", "limits.rs", "servers.rs"];
/// A function among them that is not a method.
const NOT_A_METHOD: &str = "show_body";

/// Public methods, each with its file and line.
fn methods() -> BTreeMap<String, (&'static str, usize)> {
    let mut methods = BTreeMap::new();
    for program in programs_in(SUITE) {
        let name = program.path.strip_prefix(SUITE).map_or("", |it| it.trim_start_matches('/'));
        if !name.starts_with("fixture") && !BESIDE_THE_FIXTURE.contains(&name) {
            continue;
        }
        for window in program.tokens.windows(3) {
            let [public, function, name] = window else { continue };
            if public.text == "pub" && function.text == "fn" && name.kind == Kind::Word {
                methods.insert(name.text.clone(), (program.path, name.line));
            }
        }
    }
    methods.remove(NOT_A_METHOD);
    methods
}

/// Methods in the first cells of the guide's tables, each with its line.
fn guided() -> BTreeMap<String, usize> {
    let guide = files().iter().find(|file| file.path == GUIDE).expect("the guide is there");
    let first_cells = guide.lines().filter_map(|(line, text)| {
        let cell = text.strip_prefix("| ")?.split(" | ").next()?;
        Some((line, cell))
    });
    let names = first_cells.flat_map(|(line, cell)| {
        let code = cell.split('`').skip(1).step_by(2);
        code.filter_map(move |code| {
            let (receiver, name) = code.split_once('.')?;
            let plain = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            (plain(receiver) && plain(name)).then(|| (name.to_owned(), line))
        })
    });
    names.collect()
}

#[test]
fn the_guide_to_cases_names_each_method_and_no_other() {
    let mut offenders = Offenders::of(
        "authors of cases find each method of the fixture in the tables of the guide, by what \
         it is for; a method that no case needs is not public",
    );
    let (methods, guided) = (methods(), guided());
    for (name, (path, line)) in &methods {
        offenders.look();
        if !guided.contains_key(name) {
            offenders.add(path, *line, format!("'{name}' is not in {GUIDE}"));
        }
    }
    for (name, line) in &guided {
        if !methods.contains_key(name) {
            offenders.add(GUIDE, *line, format!("there is no public method '{name}'"));
        }
    }
    offenders.assert_none();
}
