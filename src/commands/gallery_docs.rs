//! `zillions gallery-docs`: what is written about the gallery elsewhere, made
//! from its manifests.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use zillions_harness::Gallery;

use crate::failure::{Failure, Outcome};
use crate::gallery_table;
use crate::options::Global;
use crate::output;
use crate::targets;

const TABLE_BEGIN: &str = "<!-- gallery:begin -->\n";
const TABLE_END: &str = "<!-- gallery:end -->";

/// Write the README's table of the gallery and scripts/toolchains from the
/// impl.toml files.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  zillions gallery-docs\n  zillions gallery-docs --check")]
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
    let readme = root.join("README.md");
    let script = root.join("scripts").join("toolchains");
    let wanted = [
        (
            readme.clone(),
            with_table(&read(&readme)?, &gallery_table::markdown(&gallery.entries), &readme)?,
        ),
        (script.clone(), toolchains(&gallery)),
    ];
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

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::harness(format!("cannot {verb} '{}': {error}", path.display()))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| cannot("read", path, &error))
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
