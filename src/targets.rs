//! What a user names (an entry of the gallery, or any executable), as
//! something that can be started.

use std::path::{Path, PathBuf};

use zillions_harness::manifest::Entry;
use zillions_harness::{Gallery, Launch};

use crate::failure::Failure;
use crate::selection::{self, Filters};

/// A server to work on.
#[derive(Debug, Clone)]
pub enum Target {
    /// An entry of the gallery; it may have to be built first.
    Entry(Box<Entry>),
    /// An executable somewhere else.
    Executable {
        /// As the user wrote it.
        name: String,
        /// How to start it.
        launch: Launch,
    },
}

impl Target {
    /// What it is called in output and results.
    pub fn name(&self) -> &str {
        match self {
            Self::Entry(entry) => &entry.name,
            Self::Executable { name, .. } => name,
        }
    }
}

/// The gallery's folders: as given, or the nearest `impls` here or above.
///
/// # Errors
/// When none is given and none is found.
pub fn gallery_folders(given: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let here = std::env::current_dir()
        .map_err(|error| Failure::harness(format!("cannot tell the current folder: {error}")))?;
    here.ancestors()
        .map(|folder| folder.join("impls"))
        .find(|folder| folder.is_dir())
        .map(|folder| vec![folder])
        .ok_or_else(|| {
            Failure::usage(format!(
                "no folder 'impls' in {} or above it: run this inside a clone, or name the folder \
                 with --impls DIR",
                here.display()
            ))
        })
}

/// Reads the gallery.
///
/// # Errors
/// When there is none, or a manifest in it is wrong.
pub fn gallery(given: &[PathBuf]) -> Result<Gallery, Failure> {
    Gallery::read(&gallery_folders(given)?).map_err(Failure::usage)
}

/// Where builds of this gallery keep their logs: the `target` folder beside it.
///
/// # Errors
/// As [`gallery_folders`].
pub fn build_log(given: &[PathBuf], name: &str) -> Result<PathBuf, Failure> {
    let folders = gallery_folders(given)?;
    let root = folders[0].parent().unwrap_or(Path::new("."));
    Ok(root.join("target").join("zillions").join("build").join(format!("{name}.log")))
}

/// The entries that `names` and `filters` select, or all of them.
///
/// # Errors
/// For a name or a filter that nothing matches, or an empty gallery.
pub fn entries(
    names: &[String],
    filters: &Filters,
    given: &[PathBuf],
) -> Result<Vec<Entry>, Failure> {
    let gallery = gallery(given)?;
    if gallery.entries.is_empty() {
        return Err(Failure::usage("the gallery is empty: no folder in it has an impl.toml"));
    }
    selection::select(&gallery.entries, names, filters).map_err(Failure::usage)
}

/// What is selected: a name with a slash is the path of an executable, anything else stands for
/// entries of the gallery, as do filters; everything in the gallery if neither is given.
///
/// # Errors
/// As [`entries`], and for an unusable executable.
pub fn select(
    given_names: &[String],
    filters: &Filters,
    given: &[PathBuf],
) -> Result<Vec<Target>, Failure> {
    let (paths, names): (Vec<_>, Vec<_>) =
        given_names.iter().cloned().partition(|name| name.contains('/'));
    let mut targets = Vec::new();
    for name in paths {
        let launch = Launch::executable(&name).map_err(Failure::usage)?;
        targets.push(Target::Executable { name, launch });
    }
    if targets.is_empty() || !names.is_empty() || !filters.is_empty() {
        let entries = entries(&names, filters, given)?;
        targets.extend(entries.into_iter().map(|entry| Target::Entry(Box::new(entry))));
    }
    // As they were written; what a pattern stands for comes after that.
    let place = |target: &Target| given_names.iter().position(|name| name == target.name());
    targets.sort_by_key(|target| place(target).unwrap_or(usize::MAX));
    Ok(targets)
}
