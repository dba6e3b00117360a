//! `zillions man`: manual pages for every binary and subcommand.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::failure::{Failure, Outcome};
use crate::output;

/// Write manual pages.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  zillions man ~/.local/share/man/man1 && man zillions-check")]
pub struct Arguments {
    /// The folder to write them to; it is made if it does not exist.
    folder: PathBuf,
}

/// Writes them.
///
/// # Errors
/// When the folder cannot be written.
pub fn run(arguments: &Arguments, binaries: Vec<clap::Command>) -> Outcome {
    let folder = &arguments.folder;
    let cannot_write =
        |error| Failure::harness(format!("cannot write to '{}': {error}", folder.display()));
    fs::create_dir_all(folder).map_err(cannot_write)?;
    for command in binaries {
        clap_mangen::generate_to(command, folder).map_err(cannot_write)?;
    }
    output::print(&format!("manual pages are in {}\n", folder.display()))
}
