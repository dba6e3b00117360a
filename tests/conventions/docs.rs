//! What the documents claim: that clauses are tested, and that what they
//! point at is there.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use regex::Regex;
use zillions_conformance::all_cases;
use zillions_conformance::spec::{Obligation, clause, clauses};
use zillions_faulty::Fault;
use zillions_report::style_tree::anchor;

use crate::tree::{Exceptions, File, Offenders, file, files, folders_in, root};

/// Clauses without a case of their own, and why.
const UNTESTED_CLAUSES: &[(&str, &str)] = &[];

const SPEC: &str = "docs/spec.md";

fn document(path: &str) -> &'static File {
    file(path).unwrap_or_else(|| panic!("{path} is missing"))
}

#[test]
fn every_clause_that_binds_has_a_case() {
    let mut offenders =
        Offenders::of("a MUST or SHOULD that no case tests is a wish: add a case, or say MAY");
    let mut exceptions = Exceptions::new(UNTESTED_CLAUSES);
    let tested: BTreeSet<&str> = all_cases().iter().map(|case| case.clause).collect();
    for clause in clauses().iter().filter(|clause| clause.obligation != Obligation::May) {
        offenders.look();
        if !tested.contains(clause.id) && !exceptions.cover(clause.id) {
            let line = document(SPEC).line_of(&format!("| {} |", clause.id));
            offenders.add(SPEC, line, format!("{} has no case", clause.id));
        }
    }
    exceptions.report_unused(&mut offenders);
    offenders.assert_none();
}

#[test]
fn every_clause_that_is_mentioned_exists() {
    let mut offenders =
        Offenders::of("ids of clauses never change: a mention that leads nowhere is a slip");
    let groups: BTreeSet<&str> =
        clauses().iter().filter_map(|clause| Some(clause.id.split_once('-')?.0)).collect();
    let groups = groups.into_iter().collect::<Vec<_>>().join("|");
    let mention = Regex::new(&format!(r"\b(?:{groups})-[0-9]+\b")).expect("a pattern");
    for file in files().iter().filter(|file| file.extension() != "lock") {
        for (number, line) in file.lines() {
            for found in mention.find_iter(line) {
                offenders.look();
                if clause(found.as_str()).is_none() {
                    offenders.add(&file.path, number, format!("there is no {}", found.as_str()));
                }
            }
        }
    }
    offenders.assert_none();
}

#[test]
fn every_fault_breaks_a_clause_that_exists() {
    let mut offenders = Offenders::of("a fault names the clause that it breaks");
    for fault in Fault::all() {
        offenders.look();
        if clause(fault.breaks).is_none() {
            offenders.add("crates/faulty", 1, format!("{} breaks '{}'", fault.name, fault.breaks));
        }
    }
    offenders.assert_none();
}

#[test]
fn every_pointer_into_a_program_finds_its_name_there() {
    let mut offenders = Offenders::of(
        "[`name`](file) points at a file that holds the name: the reader looks for it",
    );
    for page in pages() {
        for link in &page.links {
            let (Some(name), Some(path)) = (&link.code, page.resolve(&link.target)) else {
                continue;
            };
            let Some(target) = file(&path).filter(|file| file.extension() != "md") else {
                continue;
            };
            offenders.look();
            if !target.text.contains(name.as_str()) {
                offenders.add(&page.file.path, link.line, format!("no '{name}' in {path}"));
            }
        }
    }
    offenders.assert_none();
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut offenders = Offenders::of("links between files lead to files, and to headings in them");
    let pages = pages();
    let anchors: HashMap<&str, &Vec<String>> =
        pages.iter().map(|page| (page.file.path.as_str(), &page.anchors)).collect();
    for page in &pages {
        for link in &page.links {
            let Some(path) = page.resolve(&link.target) else { continue };
            offenders.look();
            let anchor = link.target.split_once('#').map(|(_, anchor)| anchor);
            let known = anchors.get(path.as_str());
            if !root().join(&path).exists() {
                offenders.add(&page.file.path, link.line, format!("no file '{}'", link.target));
            } else if let (Some(anchor), Some(known)) = (anchor, known)
                && !known.iter().any(|it| it == anchor)
            {
                offenders.add(&page.file.path, link.line, format!("no heading '{}'", link.target));
            }
        }
    }
    offenders.assert_none();
}

#[test]
fn every_page_is_in_the_book() {
    let mut offenders = Offenders::of("a page that docs/SUMMARY.md leaves out is not in the book");
    let pages = pages();
    let links_of = |path: &str| {
        let page = pages.iter().find(|page| page.file.path == path).expect("the page");
        page.links.iter().filter_map(|link| page.resolve(&link.target)).collect::<Vec<_>>()
    };
    let in_book = links_of("docs/SUMMARY.md");
    // The entries of the gallery are added when the book is made.
    let is_page = |path: &str| path.starts_with("docs/") || !path.contains('/');
    for page in pages.iter().filter(|page| is_page(&page.file.path)) {
        offenders.look();
        if page.file.path != "docs/SUMMARY.md" && !in_book.contains(&page.file.path) {
            offenders.add(&page.file.path, 1, "add it to docs/SUMMARY.md");
        }
    }
    offenders.assert_none();
}

#[test]
fn every_reader_is_led_through_at_most_four_pages() {
    let mut offenders = Offenders::of("docs/README.md leads a reader through at most four pages");
    let index = document("docs/README.md");
    for (number, row) in index.text.lines().enumerate().filter(|(_, row)| row.starts_with("| **")) {
        offenders.look();
        if !(1..=4).contains(&row.matches("](").count()) {
            offenders.add(&index.path, number + 1, "lead this reader through one to four pages");
        }
    }
    offenders.assert_none();
}

#[test]
fn the_code_map_shows_every_crate_and_nothing_that_is_not_there() {
    let mut offenders =
        Offenders::of("ARCHITECTURE.md is the way in: its code map is the repository's");
    let path = "ARCHITECTURE.md";
    let row = Regex::new(r"^\| `([^`]+)` \|").expect("a pattern");
    let map = document(path);
    let mut shown = BTreeSet::new();
    for (number, line) in map.lines() {
        let Some(found) = row.captures(line) else { continue };
        offenders.look();
        let place = found[1].trim_end_matches('/').to_owned();
        if !root().join(&place).exists() {
            offenders.add(path, number, format!("there is no '{place}'"));
        }
        shown.insert(place);
    }
    for name in folders_in("crates") {
        if !shown.contains(&format!("crates/{name}")) {
            offenders.add(path, 1, format!("'crates/{name}' is not in the code map"));
        }
    }
    offenders.assert_none();
}

#[test]
fn the_paths_that_guide_a_contributor_exist() {
    let mut offenders = Offenders::of("who looks for the place of a change finds it there");
    let path = Regex::new(r"`((?:src|crates|docs|scenarios|impls|templates|tests|\.ci)/[^`\s]*)`")
        .expect("a pattern");
    for document_path in ["CONTRIBUTING.md", "ARCHITECTURE.md"] {
        for (number, line) in document(document_path).lines() {
            for found in path.captures_iter(line) {
                offenders.look();
                // GROUP, NAME and the like are for the reader to fill in.
                let known: Vec<&str> =
                    found[1].split('/').take_while(|part| !is_placeholder(part)).collect();
                if !root().join(known.join("/")).exists() {
                    offenders.add(document_path, number, format!("no '{}'", &found[1]));
                }
            }
        }
    }
    offenders.assert_none();
}

fn is_placeholder(part: &str) -> bool {
    let word = part.split('.').next().unwrap_or(part);
    word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '-')
}

/// The most words that a glossary explains before it is a second manual.
const GLOSSARY_TERMS_MAX: usize = 40;

#[test]
fn the_glossary_is_short_and_in_order() {
    let mut offenders = Offenders::of("a glossary of at most 40 terms, in order, 12 words each");
    let path = "ARCHITECTURE.md";
    let rows = document(path).lines().skip_while(|(_, line)| *line != "## Glossary");
    let rows: Vec<(usize, Vec<&str>)> = rows
        .filter(|(_, line)| line.starts_with("| "))
        .map(|(number, line)| (number, line.split('|').map(str::trim).collect()))
        .skip(2)
        .collect();
    for (number, cells) in &rows {
        offenders.look();
        if cells[2].split_whitespace().count() > 12 {
            offenders.add(path, *number, format!("'{}' takes more than 12 words", cells[1]));
        }
    }
    for pair in rows.windows(2) {
        if pair[0].1[1].to_lowercase() > pair[1].1[1].to_lowercase() {
            offenders.add(path, pair[1].0, format!("'{}' is out of order", pair[1].1[1]));
        }
    }
    if rows.len() > GLOSSARY_TERMS_MAX {
        offenders.add(path, 1, format!("{} terms", rows.len()));
    }
    offenders.assert_none();
}

/// One Markdown file.
struct Page {
    file: &'static File,
    links: Vec<Link>,
    /// What `#…` may name.
    anchors: Vec<String>,
}

struct Link {
    line: usize,
    target: String,
    /// The text, if it is nothing but one piece of code.
    code: Option<String>,
}

impl Page {
    /// The path that a relative link means, from the root.
    fn resolve(&self, target: &str) -> Option<String> {
        let is_relative = !target.contains("://") && !target.starts_with("mailto:");
        let path = target.split('#').next().unwrap_or("");
        if !is_relative {
            return None;
        }
        if path.is_empty() {
            return Some(self.file.path.clone());
        }
        let mut parts: Vec<&str> = match Path::new(&self.file.path).parent().and_then(Path::to_str)
        {
            Some(folder) if !folder.is_empty() => folder.split('/').collect(),
            _ => Vec::new(),
        };
        for part in path.split('/') {
            match part {
                ".." => drop(parts.pop()),
                "." | "" => {}
                part => parts.push(part),
            }
        }
        Some(parts.join("/"))
    }
}

fn pages() -> Vec<Page> {
    files().iter().filter(|file| file.extension() == "md").map(read_page).collect()
}

fn read_page(file: &'static File) -> Page {
    let mut page = Page { file, links: Vec::new(), anchors: Vec::new() };
    let mut heading: Option<String> = None;
    for (event, range) in Parser::new_ext(&file.text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                let line = file.text[..range.start].matches('\n').count() + 1;
                let text = file.text[range].trim_start_matches('[');
                let code = text.strip_prefix('`').and_then(|it| it.split_once("`]"));
                let code = code.map(|(name, _)| name.replace('\n', " "));
                page.links.push(Link { line, target: dest_url.into_string(), code });
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                page.anchors.extend(heading.take().map(|text| anchor(&text)));
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            _ => {}
        }
    }
    page
}
