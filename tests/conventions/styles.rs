//! What docs/styles.md claims of the styles, and what it promises about each.

use std::collections::BTreeSet;

use regex::Regex;
use zillions_harness::Gallery;
use zillions_harness::manifest::{Entry, STYLES, SlowReader};
use zillions_report::style_tree::{self, FullQueue, PLACES, Place, Scheduler};

use crate::tree::{File, Offenders, file, root};

const DOCUMENT: &str = "docs/styles.md";
const AID: &str = "## What do you need?";

/// The four questions of the page, as each section begins its answers.
const QUESTIONS: [&str; 4] = ["*scheduling", "*waiting", "*back-pressure", "*cost"];

fn document() -> &'static File {
    file(DOCUMENT).unwrap_or_else(|| panic!("{DOCUMENT} is missing"))
}

fn entries() -> Vec<Entry> {
    Gallery::read(&[root().join("impls")]).expect("the gallery is in order").entries
}

/// The text below a heading, up to the next one.
fn section(heading: &str) -> Option<&'static str> {
    let (_, rest) = document().text.split_once(&format!("\n{heading}\n"))?;
    Some(rest.split_once("\n## ").map_or(rest, |(section, _)| section))
}

/// Which of the four questions a section leaves open.
fn open_questions(section: &str) -> Vec<&'static str> {
    let section = section.to_lowercase();
    QUESTIONS.into_iter().filter(|question| !section.contains(question)).collect()
}

#[test]
fn every_style_has_a_section_that_answers_the_four_questions() {
    let mut offenders = Offenders::of(
        "each style of the closed list has a section in docs/styles.md, which says who schedules, \
         what waiting does, where back-pressure lives and what it costs",
    );
    for style in STYLES {
        offenders.look();
        let Some(section) = section(&format!("## {style}")) else {
            offenders.add(DOCUMENT, 1, format!("no section '## {style}'"));
            continue;
        };
        for question in open_questions(section) {
            let line = document().line_of(&format!("## {style}"));
            offenders.add(DOCUMENT, line, format!("'{style}' says nothing of {question}…*"));
        }
    }
    offenders.assert_none();
}

#[test]
fn a_question_that_a_section_leaves_open_is_found() {
    let whole = "*Scheduling* and *waiting* as above. *Back-pressure:* a queue. *Cost:* none.";
    assert!(open_questions(whole).is_empty());
    assert_eq!(open_questions(&whole.replace("*Cost:*", "Cost:")), ["*cost"]);
}

#[test]
fn every_style_has_one_place_in_the_family_tree() {
    let placed: Vec<&str> = PLACES.iter().map(|place| place.style).collect();
    assert_eq!(placed, STYLES, "PLACES has each style once, in the order of STYLES");
}

#[test]
fn the_table_and_the_tree_of_styles_are_up_to_date() {
    let mut offenders = Offenders::of(
        "what docs/styles.md shows of all styles is written from PLACES: run 'zillions gallery-docs'",
    );
    for shown in [style_tree::table(), style_tree::picture()] {
        offenders.look();
        if !document().text.contains(&shown) {
            offenders.add(
                DOCUMENT,
                1,
                format!("it lacks '{}…'", shown.lines().next().unwrap_or("")),
            );
        }
    }
    for (name, svg) in style_tree::pictures() {
        offenders.look();
        let path = format!("docs/{name}");
        if file(&path).is_none_or(|file| file.text != svg) {
            offenders.add(&path, 1, "is not the tree as it would be drawn now");
        }
    }
    offenders.assert_none();
}

/// What contradicts a style's place in its representative.
fn contradictions(place: &Place, representative: &Entry) -> Vec<&'static str> {
    let manifest = &representative.manifest;
    let mut found = Vec::new();
    let many = matches!(place.scheduler, Scheduler::Pool | Scheduler::Kernel);
    if manifest.tags.iter().any(|tag| tag == "many-threads") != many {
        found.push("the number of its threads");
    }
    let drops = match place.full_queue {
        FullQueue::DropsNewest => SlowReader::DropNewest,
        FullQueue::DropsOldest => SlowReader::DropOldest,
    };
    if manifest.slow_reader != drops {
        found.push("what it drops");
    }
    found
}

#[test]
fn a_style_stands_where_its_representative_does() {
    let mut offenders = Offenders::of(
        "the family tree shows what the representative of each style does, as its impl.toml says it",
    );
    for entry in entries().iter().filter(|entry| entry.manifest.representative) {
        offenders.look();
        let place = PLACES.iter().find(|place| place.style == entry.manifest.style);
        let place = place.unwrap_or_else(|| panic!("{} has no place", entry.manifest.style));
        for what in contradictions(place, entry) {
            let path = format!("impls/{}/impl.toml", entry.name);
            offenders.add(&path, 1, format!("'{}' has another place by {what}", place.style));
        }
    }
    offenders.assert_none();
}

#[test]
fn the_decision_aid_leads_to_every_style_and_to_one_or_two_entries_of_it() {
    let mut offenders = Offenders::of(
        "each line of the decision aid leads to one style and to one or two entries of that style, \
         and every style with an entry is what somebody needs",
    );
    let entries = entries();
    let row = Regex::new(r"^\| .+ \| \[([^\]]+)\]\(#[^)]+\) \| (.+) \|$").expect("a pattern");
    let link = Regex::new(r"\(\.\./impls/([^)/]+)\)").expect("a pattern");
    let aid = section(AID).unwrap_or_else(|| panic!("{DOCUMENT} has no '{AID}'"));
    let mut reached = BTreeSet::new();
    for line in aid.lines().filter(|line| line.starts_with("| ")).skip(2) {
        offenders.look();
        let number = document().line_of(line);
        let Some(parts) = row.captures(line) else {
            offenders.add(DOCUMENT, number, "not '| need | [style](#section) | entries |'");
            continue;
        };
        let style = &parts[1];
        reached.insert(style.to_owned());
        let names: Vec<&str> =
            link.captures_iter(&parts[2]).map(|found| found.extract::<1>().1[0]).collect();
        let is_of_style =
            |name: &&str| entries.iter().any(|it| it.name == **name && it.manifest.style == *style);
        if names.is_empty() || names.len() > 2 || !names.iter().all(is_of_style) {
            offenders.add(DOCUMENT, number, format!("one or two entries of '{style}', please"));
        }
    }
    for style in STYLES {
        let has_entry = entries.iter().any(|entry| entry.manifest.style == style);
        if has_entry && !reached.contains(style) {
            offenders.add(DOCUMENT, document().line_of(AID), format!("nothing leads to '{style}'"));
        }
    }
    offenders.assert_none();
}

/// What a section lacks of its figures: the table of these entries, or what that shows.
fn missing_figures(style: &str, section: &str, names: &[&str]) -> Vec<String> {
    const SAID: &str = "**What the figures show.** ";
    let table = section
        .split_once(&format!("<!-- {style}:begin -->\n"))
        .and_then(|(_, rest)| Some(rest.split_once(&format!("<!-- {style}:end -->"))?.0));
    let has_row = |name: &&str| table.is_some_and(|it| it.contains(&format!("| [{name}](")));
    let rows = names.iter().filter(|name| !has_row(name));
    let mut missing: Vec<String> = rows.map(|name| format!("the figures of {name}")).collect();
    if section.split_once(SAID).is_none_or(|(_, rest)| rest.trim().is_empty()) {
        missing.push("a paragraph on what the figures show".to_owned());
    }
    missing
}

#[test]
fn every_section_has_the_figures_of_its_entries_and_what_they_show() {
    let mut offenders = Offenders::of(
        "each style's section has its entries' figures between '<!-- STYLE:begin -->' and \
         '<!-- STYLE:end -->', written by 'zillions gallery-docs', and a paragraph on what they show",
    );
    let entries = entries();
    for style in STYLES {
        offenders.look();
        let of_style = entries.iter().filter(|entry| entry.manifest.style == style);
        let names: Vec<&str> = of_style.map(|entry| entry.name.as_str()).collect();
        let heading = format!("## {style}");
        let missing = missing_figures(style, section(&heading).unwrap_or_default(), &names);
        for what in missing {
            offenders.add(
                DOCUMENT,
                document().line_of(&heading),
                format!("'{style}' lacks {what}"),
            );
        }
    }
    offenders.assert_none();
}

#[test]
fn figures_that_a_section_lacks_are_found() {
    let whole = "<!-- CSP:begin -->\n| [go](../impls/go) | 1 |\n<!-- CSP:end -->\n\n\
                 **What the figures show.** That one entry says little.";
    assert!(missing_figures("CSP", whole, &["go"]).is_empty());
    assert_eq!(missing_figures("CSP", whole, &["go", "c"]), ["the figures of c"]);
    assert_eq!(missing_figures("CSP", "", &["go"]).len(), 2);
}
