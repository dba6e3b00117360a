//! `zillions gallery-docs`: what is written about the gallery elsewhere, made
//! from its manifests and the committed results.

mod figures;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use zillions_harness::Gallery;
use zillions_report::gallery_text;

use crate::failure::{Failure, Outcome};
use crate::gallery_table;
use crate::options::Global;
use crate::output;
use crate::targets;

use figures::Figures;

const TABLE_BEGIN: &str = "<!-- gallery:begin -->\n";
const TABLE_END: &str = "<!-- gallery:end -->";
const PICTURE_BEGIN: &str = "<!-- picture:begin -->\n";
const PICTURE_END: &str = "<!-- picture:end -->";

/// Write the README's table of the gallery and scripts/toolchains from the
/// impl.toml files, and figures and pictures from the results in docs/results.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  zillions gallery-docs\n  zillions gallery-docs --check\n\n\
    'zillions report DIR --figures docs/results/DATE.json' writes the results of a run there. Figures of a\n\
    program that has changed since are left out, until it is measured again.")]
pub struct Arguments {
    /// Only say whether they are up to date.
    #[arg(long)]
    check: bool,
}

/// Writes or checks them.
///
/// # Errors
/// When a file cannot be read or written, or is out of date.
pub fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let gallery = targets::gallery(&global.impls)?;
    let folder = targets::gallery_folders(&global.impls)?.remove(0);
    let root = folder.parent().unwrap_or(Path::new(".")).to_owned();
    let figures = Figures::read(&root, &gallery)?;
    let script = root.join("scripts").join("toolchains");
    let mut wanted =
        vec![readme(&root, &gallery, &figures)?, (script.clone(), toolchains(&gallery))];
    wanted.extend(pages(&gallery, &figures)?);
    let results = root.join(figures::FOLDER);
    wanted.extend(figures.pictures().into_iter().map(|(file, svg)| (results.join(file), svg)));
    let mut stale: Vec<PathBuf> = Vec::new();
    for (path, text) in wanted {
        // A file that is not there yet is out of date.
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        if !arguments.check {
            fs::write(&path, text).map_err(|error| cannot("write", &path, &error))?;
        }
        stale.push(path);
    }
    for path in superfluous(&results, &figures) {
        if !arguments.check {
            fs::remove_file(&path).map_err(|error| cannot("remove", &path, &error))?;
        }
        stale.push(path);
    }
    if !arguments.check {
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .map_err(|error| cannot("change", &script, &error))?;
        return output::print(&format!("{} files changed\n", stale.len()));
    }
    match stale.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(Failure::fail(format!(
            "{} is out of date: run 'zillions gallery-docs'",
            first.display()
        ))),
    }
}

/// Pictures of results that are not there any more.
fn superfluous(results: &Path, figures: &Figures) -> Vec<PathBuf> {
    let drawn = figures.pictures();
    let is_drawn = |name: &str| drawn.iter().any(|(file, _)| *file == name);
    let others = gallery_text::PICTURES.into_iter().filter(|name| !is_drawn(name));
    others.map(|name| results.join(name)).filter(|path| path.is_file()).collect()
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::harness(format!("cannot {verb} '{}': {error}", path.display()))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| cannot("read", path, &error))
}

/// The README of the repository, as it should be.
fn readme(root: &Path, gallery: &Gallery, figures: &Figures) -> Result<(PathBuf, String), Failure> {
    let path = root.join("README.md");
    let text = read(&path)?;
    let mut text = with_table(&text, &table(gallery, figures), &path)?;
    // A picture is shown by those that have made a place for it.
    if let Some((before, rest)) = text.split_once(PICTURE_BEGIN)
        && let Some((_, after)) = rest.split_once(PICTURE_END)
    {
        let picture =
            if figures.pictures().is_empty() { String::new() } else { gallery_text::picture() };
        text = format!("{before}{PICTURE_BEGIN}{picture}{PICTURE_END}{after}");
    }
    Ok((path, text))
}

/// The README of each entry, as it should be.
fn pages(gallery: &Gallery, figures: &Figures) -> Result<Vec<(PathBuf, String)>, Failure> {
    let paths = gallery.entries.iter().map(|entry| (entry, entry.directory.join("README.md")));
    paths
        .filter(|(_, path)| path.is_file())
        .map(|(entry, path)| {
            let text = figures.page(&read(&path)?, &entry.name);
            Ok((path, text))
        })
        .collect()
}

/// The gallery's table, with the figures of the committed results.
fn table(gallery: &Gallery, figures: &Figures) -> String {
    let [heads, rules] = figures.columns().unwrap_or_default();
    let cells = |name: &str| figures.cells(name);
    gallery_table::markdown_with(&gallery.entries, heads, rules, &cells) + &figures.note()
}

/// `text` with the table between the two markers.
fn with_table(text: &str, table: &str, path: &Path) -> Result<String, Failure> {
    let parts = text
        .split_once(TABLE_BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(TABLE_END)?.1)));
    let (before, after) = parts.ok_or_else(|| {
        Failure::usage(format!(
            "'{}' has no place for the table: put the lines '{}' and '{TABLE_END}' into it",
            path.display(),
            TABLE_BEGIN.trim_end()
        ))
    })?;
    Ok(format!("{before}{TABLE_BEGIN}{table}{TABLE_END}{after}"))
}

fn toolchains(gallery: &Gallery) -> String {
    let packages: BTreeSet<&str> = gallery
        .entries
        .iter()
        .flat_map(|entry| entry.manifest.apt.iter().map(String::as_str))
        .collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    format!(
        "#!/bin/sh\n\
         # Installs the tool chains of the whole gallery on Debian, as root; Rust is assumed.\n\
         # Made by 'zillions gallery-docs' from impls/*/impl.toml: do not edit.\n\
         set -eu\n\
         apt-get update\n\
         exec apt-get install -y --no-install-recommends \\\n    {}\n",
        packages.join(" \\\n    ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_goes_between_its_markers_and_nothing_else_changes() {
        let text = format!("before\n{TABLE_BEGIN}old\n{TABLE_END}\nafter\n");
        let path = Path::new("README.md");
        let once = with_table(&text, "new\n", path).expect("markers");
        assert_eq!(once, format!("before\n{TABLE_BEGIN}new\n{TABLE_END}\nafter\n"));
        assert_eq!(with_table(&once, "new\n", path).expect("markers"), once);
        assert!(with_table("no markers", "new\n", path).is_err());
    }
}
