//! What a user names (an entry of the gallery, or any executable), as
//! something that can be started.

use std::path::{Path, PathBuf};

use zillions_harness::manifest::Entry;
use zillions_harness::{Gallery, Launch};

use crate::failure::Failure;

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

/// The entries called `names`, or all of them if none is named.
///
/// # Errors
/// For an unknown name (with the nearest known one), or an empty gallery.
pub fn entries(names: &[String], given: &[PathBuf]) -> Result<Vec<Entry>, Failure> {
    let gallery = gallery(given)?;
    if gallery.entries.is_empty() {
        return Err(Failure::usage("the gallery is empty: no folder in it has an impl.toml"));
    }
    if names.is_empty() {
        return Ok(gallery.entries);
    }
    names
        .iter()
        .map(|name| {
            gallery.find(name).cloned().ok_or_else(|| Failure::usage(unknown(name, &gallery)))
        })
        .collect()
}

/// What is named: a path (it has a slash) is an executable, anything else an
/// entry of the gallery; everything in the gallery if nothing is named.
///
/// # Errors
/// For an unknown name or an unusable executable.
pub fn select(names: &[String], given: &[PathBuf]) -> Result<Vec<Target>, Failure> {
    if names.is_empty() {
        return Ok(entries(&[], given)?
            .into_iter()
            .map(|entry| Target::Entry(Box::new(entry)))
            .collect());
    }
    names
        .iter()
        .map(|name| {
            if name.contains('/') {
                let launch = Launch::executable(name).map_err(Failure::usage)?;
                return Ok(Target::Executable { name: name.clone(), launch });
            }
            let mut found = entries(std::slice::from_ref(name), given)?;
            Ok(Target::Entry(Box::new(found.remove(0))))
        })
        .collect()
}

fn unknown(name: &str, gallery: &Gallery) -> String {
    let names: Vec<&str> = gallery.entries.iter().map(|entry| entry.name.as_str()).collect();
    let hint = if Path::new(name).is_file() {
        format!("for the executable in this folder write ./{name}")
    } else {
        format!("known are {}; a path to an executable needs a slash", names.join(", "))
    };
    format!("no implementation is called '{name}': {hint}")
}
