//! The documentation as a book: it is made without a warning, and no link in it is dead.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// In every page that is not a file of the repository.
const MADE: &str = "<!-- Book generated using mdBook -->";

/// The files below `folder` that end in `.html`.
fn pages_below(folder: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pages.extend(pages_below(&path));
        } else if path.extension().is_some_and(|it| it == "html") {
            pages.push(path);
        }
    }
    pages
}

/// The links of `page` that lead to no file. Nothing is on the network: a picture or a script from
/// there is dead, too; a link that a reader may follow is not.
fn dead_links(page: &Path, link: &Regex) -> Vec<String> {
    let text = fs::read_to_string(page).expect("a page");
    if !text.contains(MADE) {
        return Vec::new();
    }
    let folder = page.parent().expect("a folder");
    let mut dead = Vec::new();
    for found in link.captures_iter(&text) {
        let (kind, target) = (&found[1], &found[2]);
        let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
        let path = target.split(['#', '?']).next().unwrap_or_default();
        let is_dead = if is_elsewhere {
            kind == "src"
        } else {
            !path.is_empty() && !folder.join(path).exists()
        };
        if is_dead {
            dead.push(format!("{}: {target}", page.display()));
        }
    }
    dead
}

#[test]
fn the_book_is_made_without_a_warning_and_without_a_dead_link() {
    let made = Command::new(root().join("scripts/book")).output().expect("the script");
    let said = String::from_utf8_lossy(&made.stderr);
    if made.status.code() == Some(70) && std::env::var_os("CI").is_none() {
        eprintln!("skipped: {}", said.trim());
        return;
    }
    assert!(made.status.success(), "{said}");
    let index = PathBuf::from(String::from_utf8_lossy(&made.stdout).trim());
    let pages = pages_below(index.parent().expect("a folder"));
    let link = Regex::new(r#"\b(href|src)="([^"]*)""#).expect("an expression");
    let entries = fs::read_dir(root().join("impls")).expect("the gallery").count();
    assert!(pages.len() > entries + 20, "{} pages", pages.len());
    let dead: Vec<String> = pages.iter().flat_map(|page| dead_links(page, &link)).collect();
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}
