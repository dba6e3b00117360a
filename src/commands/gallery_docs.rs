//! `zillions gallery-docs`: what is written about the gallery elsewhere, made
//! from its manifests and the committed results.

mod figures;
mod place;
mod styles;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use zillions_harness::Gallery;
use zillions_report::gallery_text;

use crate::failure::{Failure, Outcome};
use crate::gallery_table::{self, MoreColumns};
use crate::options::Global;
use crate::output;
use crate::targets;

use figures::Figures;
use place::Place;

/// A row for each entry, with its figures.
const TABLE: Place = Place::called("gallery");
/// A row for each style.
const STYLES: Place = Place::called("styles");
const PICTURE: Place = Place::called("picture");

/// Write the tables of the gallery and scripts/toolchains from the impl.toml files, the table and
/// the family tree of the styles, and figures and pictures from the results in docs/results.
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
    let mut wanted = overviews(&root, &folder, &gallery, &figures)?;
    wanted.push((script.clone(), toolchains(&gallery)));
    wanted.extend(pages(&gallery, &figures)?);
    let styles = root.join(styles::DOCUMENT);
    if styles.is_file() {
        wanted.extend(styles::files(&styles, &read(&styles)?, &gallery, &figures));
    }
    let results = root.join(figures::FOLDER);
    let pictures = figures.pictures.iter();
    wanted.extend(pictures.map(|(file, svg)| (results.join(file), svg.clone())));
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
    let is_drawn = |name: &str| figures.pictures.iter().any(|(file, _)| *file == name);
    let others = gallery_text::PICTURES.into_iter().filter(|name| !is_drawn(name));
    others.map(|name| results.join(name)).filter(|path| path.is_file()).collect()
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::harness(format!("cannot {verb} '{}': {error}", path.display()))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| cannot("read", path, &error))
}

/// The README of the repository and that of the gallery, if it has one, as they should be.
fn overviews(
    root: &Path,
    folder: &Path,
    gallery: &Gallery,
    figures: &Figures,
) -> Result<Vec<(PathBuf, String)>, Failure> {
    let mut pages = vec![(root.join("README.md"), table(gallery, figures, "impls/", ""))];
    let of_gallery = folder.join("README.md");
    if of_gallery.is_file() {
        pages.push((of_gallery, table(gallery, figures, "", "../")));
    }
    let picture = if figures.pictures.is_empty() { String::new() } else { gallery_text::picture() };
    let mut has_table = false;
    let mut wanted = Vec::new();
    for (path, table) in pages {
        let text = read(&path)?;
        has_table |= TABLE.is_in(&text);
        let text = TABLE.filled(&text, &table);
        let text = STYLES.filled(&text, &gallery_table::by_style(&gallery.entries));
        wanted.push((path, PICTURE.filled(&text, &picture)));
    }
    if has_table { Ok(wanted) } else { Err(no_place(&root.join("README.md"))) }
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

/// The gallery's table, with the figures of the committed results, for a page from which the
/// entries' folders are in `impls` and the repository's root is `root`.
fn table(gallery: &Gallery, figures: &Figures, impls: &str, root: &str) -> String {
    let [heads, rules] = figures.columns().unwrap_or_default();
    let more = MoreColumns { heads, rules, cells: &|name| figures.cells(name) };
    gallery_table::markdown_with(&gallery.entries, impls, &more) + &figures.note(root)
}

fn no_place(path: &Path) -> Failure {
    Failure::usage(format!(
        "'{}' has no place for the table: put the lines '{}' and '{}' into it",
        path.display(),
        TABLE.begin().trim_end(),
        TABLE.end()
    ))
}

fn toolchains(gallery: &Gallery) -> String {
    let packages: BTreeSet<&str> = gallery
        .entries
        .iter()
        .flat_map(|entry| entry.manifest.apt.iter().map(String::as_str))
        .collect();
    // Debian's npm conflicts with a Node from elsewhere, which brings its own.
    let packages: Vec<&str> = packages
        .into_iter()
        .map(|package| if package == "npm" { "$npm" } else { package })
        .collect();
    let npm = if packages.contains(&"$npm") {
        "npm=$(command -v npm >/dev/null || echo npm)\n"
    } else {
        ""
    };
    format!(
        "#!/bin/sh\n\
         # Installs the tool chains of the whole gallery on Debian, as root; Rust is assumed.\n\
         # Made by 'zillions gallery-docs' from impls/*/impl.toml: do not edit.\n\
         set -eu\n\
         {npm}apt-get update\n\
         exec apt-get install -y --no-install-recommends \\\n    {}\n",
        packages.join(" \\\n    ")
    )
}
