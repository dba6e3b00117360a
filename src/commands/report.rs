//! `zillions report`: writes the report of one or several recorded runs.

use std::path::{Path, PathBuf};

use clap::Args;
use zillions_bench::store::Store;
use zillions_report::html;
use zillions_report::merge::merge;
use zillions_report::results::{REPORT_FILE, Results};

use crate::failure::{Failure, Outcome};
use crate::output;

/// Default file of the report of several runs.
const MERGED_FILE: &str = "merged-report.html";

/// Write the report of recorded results; several runs give one report.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    zillions report results/2026-11-22T03-00-00        its report.html again\n  \
    zillions report monday tuesday --out both.html     one report of two runs\n\n\
    Trials of one program in one scenario are pooled; a program that changed between the runs\n\
    counts as another one; only what was measured in the same runs is ranked against each other.\n\
    Runs of different machines are rejected.\n\
    Exit codes: 0 written, 64 no results or different machines, 70 the report cannot be written.")]
pub struct Arguments {
    /// Folders that `zillions bench` wrote.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// File of the report [default: report.html in the folder; merged-report.html here for
    /// several runs].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes one report of all folders.
///
/// # Errors
/// If results cannot be read or merged, or the report cannot be written.
pub fn run(arguments: &Arguments) -> Outcome {
    let read = |folder: &PathBuf| Results::read(folder).map_err(Failure::usage);
    let (html, default) = match &arguments.folders[..] {
        [folder] => (html::report(&read(folder)?), folder.join(REPORT_FILE)),
        folders => {
            let mut runs = Vec::new();
            for folder in folders {
                runs.push((folder.display().to_string(), read(folder)?));
            }
            let merged = merge(runs).map_err(Failure::usage)?;
            (html::merged_report(&merged), Path::new(MERGED_FILE).to_owned())
        }
    };
    let path = arguments.out.clone().unwrap_or(default);
    Store::keep_report_at(&path, &html).map_err(Failure::harness)?;
    output::print(&format!("{}\n", path.display()))
}
