//! The histories in `tests/histories`: each folder says which rule breaks, and
//! the comments in each file say how.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use zillions_ordering::{History, Rule, check, confirm, load};

fn folder(name: &str) -> Vec<(PathBuf, History, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories").join(name);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    paths.sort();
    let histories = paths.into_iter().map(|path| {
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("history"), "{path:?}");
        let history = load(File::open(&path).expect("it can be opened"))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = fs::read_to_string(&path).expect("it is text");
        (path, history, text)
    });
    histories.collect()
}

/// Checks that exactly these rules break, in the way that the second line tells.
fn breaks(name: &str, rules: &[Rule]) {
    let histories = folder(name);
    assert!(!histories.is_empty(), "{name} holds no history");
    for (path, history, text) in histories {
        let path = path.display();
        let verdicts = check(&history);
        let broken: Vec<Rule> =
            verdicts.broken().map(|counterexample| counterexample.rule).collect();
        assert_eq!(broken, rules, "{path}");
        for counterexample in verdicts.broken() {
            assert_eq!(confirm(&history, counterexample), Ok(()), "{path}");
        }
        if let Some(first) = verdicts.broken().next() {
            let class = serde_json::to_value(first.class).expect("a class is a word");
            let class = class.as_str().expect("a class is a word").to_owned();
            let claims = first.claims.len();
            let s = if claims == 1 { "" } else { "s" };
            let told = format!("# class {class}, {claims} claim{s}");
            assert_eq!(text.lines().nth(1), Some(&*told), "{path}");
        }
    }
}

#[test]
fn histories_that_keep_all_rules_pass() {
    breaks("good", &[]);
}

#[test]
fn histories_that_break_integrity_keep_the_other_rules() {
    breaks("bad-int", &[Rule::Integrity]);
}

#[test]
fn histories_that_break_fifo_break_total_and_causal_with_it() {
    breaks("bad-fifo", &[Rule::Fifo, Rule::Total, Rule::Causal]);
}

#[test]
fn histories_that_break_total_keep_fifo() {
    breaks("bad-total", &[Rule::Total, Rule::Causal]);
}

#[test]
fn histories_that_break_causality_keep_total() {
    breaks("bad-causal", &[Rule::Causal]);
}

#[test]
fn every_labelled_history_says_what_it_shows() {
    for name in ["good", "bad-int", "bad-fifo", "bad-total", "bad-causal"] {
        for (path, _, text) in folder(name) {
            let line = if name == "good" { 1 } else { 2 };
            let comment = text.lines().nth(line).and_then(|line| line.strip_prefix("# "));
            assert!(comment.is_some_and(|words| words.ends_with('.')), "{}", path.display());
        }
    }
}
