//! The figures in the documents of the gallery are those of the committed results.

use std::collections::BTreeMap;

use zillions_bench::program;
use zillions_harness::Gallery;
use zillions_report::gallery_results::{GalleryResults, sources_hash};
use zillions_report::gallery_text;

use crate::tree::{Offenders, file, files_in, root};

const FOLDER: &str = "docs/results";
const BEGIN: &str = "<!-- figures:begin -->\n";
const END: &str = "<!-- figures:end -->";

/// What is committed is read by people, too.
const FILE_BYTES_MAX: usize = 1 << 20;

/// The page with the gallery's table.
const TABLE: &str = "impls/README.md";
const REMEDY: &str = "run 'zillions gallery-docs'";

fn gallery() -> Gallery {
    Gallery::read(&[root().join("impls")]).expect("the gallery is in order")
}

/// The hash of each program as it is now.
fn current() -> BTreeMap<String, String> {
    let hash = |entry: &zillions_harness::manifest::Entry| {
        let sources = program::sources(&entry.directory, &entry.sources).expect("sources");
        (entry.name.clone(), sources_hash(&sources))
    };
    gallery().entries.iter().map(hash).collect()
}

fn runs() -> Vec<(String, GalleryResults)> {
    GalleryResults::read_all(&root().join(FOLDER)).unwrap_or_else(|error| panic!("{error}"))
}

fn current_runs() -> Vec<(String, GalleryResults)> {
    let current = current();
    runs().into_iter().map(|(file, run)| (file, run.of_current(&current))).collect()
}

/// The figures that a page shows.
fn shown(page: &str) -> Option<&str> {
    page.split_once(BEGIN)?.1.split_once(END).map(|(figures, _)| figures)
}

/// What is wrong with the figures that a page shows; `committed` is what it should show, and
/// `older` whether there are figures of an older program.
fn complaint(shown: Option<&str>, committed: Option<&str>, older: bool) -> Option<String> {
    match (shown, committed) {
        (shown, committed) if shown == committed => None,
        (Some(_), None) if older => Some(format!(
            "its figures are of an older program: measure it again, or {REMEDY}, which removes them"
        )),
        (Some(_), None) => Some(format!("no committed result has its figures: {REMEDY}")),
        (None, _) => Some(format!("it lacks the figures of the committed results: {REMEDY}")),
        _ => Some(format!("its figures differ from the committed results: {REMEDY}")),
    }
}

#[test]
fn the_figures_of_an_entry_are_those_of_the_committed_results_and_of_its_program() {
    let mut offenders = Offenders::of(
        "what the README of an entry says of measurements is written from docs/results, and of the \
         program as it is",
    );
    let (all, current) = (runs(), current_runs());
    for entry in gallery().entries {
        let path = format!("impls/{}/README.md", entry.name);
        let Some(page) = file(&path) else { continue };
        offenders.look();
        let shown = shown(&page.text);
        let committed = gallery_text::performance(&current, &entry.name);
        let committed = committed.filter(|_| page.text.contains("## Performance\n"));
        let older = all.iter().any(|(_, run)| run.entries.contains_key(&entry.name));
        if let Some(what) = complaint(shown, committed.as_deref(), older) {
            offenders.add(&path, page.line_of(BEGIN.trim_end()), what);
        }
    }
    offenders.assert_none();
}

#[test]
fn the_table_and_the_pictures_are_those_of_the_committed_results() {
    let mut offenders =
        Offenders::of("the gallery's figures and pictures are written from docs/results");
    offenders.look();
    let runs = current_runs();
    let page = file(TABLE).expect("the gallery's page");
    let main = gallery_text::main_run(&runs);
    let note = main.map(|(file, run)| gallery_text::table_note(file, run, "../"));
    let is_noted = page.text.contains("](../docs/results/");
    if note.as_ref().map_or(is_noted, |note| !page.text.contains(note.as_str())) {
        offenders.add(TABLE, 1, format!("the figures of its table are others: {REMEDY}"));
    }
    let pictures = main.map_or_else(Vec::new, |(_, run)| gallery_text::pictures(run));
    for name in gallery_text::PICTURES {
        let path = format!("{FOLDER}/{name}");
        let wanted = pictures.iter().find(|(file, _)| *file == name).map(|(_, svg)| svg.as_str());
        if file(&path).map(|file| file.text.as_str()) != wanted {
            offenders.add(&path, 1, format!("is not the picture of docs/results: {REMEDY}"));
        }
    }
    offenders.assert_none();
}

#[test]
fn committed_results_are_small() {
    let mut offenders = Offenders::of("figures alone are committed: below 1 MiB a run");
    for file in files_in(FOLDER) {
        offenders.look();
        if file.text.len() > FILE_BYTES_MAX {
            offenders.add(&file.path, 1, format!("{} bytes", file.text.len()));
        }
    }
    offenders.assert_none();
}

#[test]
fn a_complaint_says_what_is_wrong_and_what_to_do() {
    assert_eq!(complaint(None, None, true), None);
    assert_eq!(complaint(Some("a"), Some("a"), true), None);
    let older = complaint(Some("a"), None, true).expect("a complaint");
    assert!(older.contains("an older program"), "{older}");
    let unknown = complaint(Some("a"), None, false).expect("a complaint");
    assert!(unknown.contains("no committed result"), "{unknown}");
    let other = complaint(Some("a"), Some("b"), false).expect("a complaint");
    assert!(other.contains("differ"), "{other}");
    assert!(complaint(None, Some("b"), true).is_some_and(|it| it.contains("lacks")));
    assert_eq!(shown("x\n<!-- figures:begin -->\n| a |\n<!-- figures:end -->\ny"), Some("| a |\n"));
}
