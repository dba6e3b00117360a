//! `zillions report`: the report again, from recorded results; of one run or of several.

use std::path::{Path, PathBuf};

use clap::Args;
use zillions_bench::store::Store;
use zillions_report::html;
use zillions_report::merge::merge;
use zillions_report::results::{REPORT_FILE, Results};

use crate::failure::{Failure, Outcome};
use crate::output;

/// Where the report of several runs goes unless told otherwise.
const MERGED_FILE: &str = "merged-report.html";

/// Write the report again, from recorded results; of several runs, one for all.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    zillions report results/2026-11-22T03-00-00        its report.html again\n  \
    zillions report monday tuesday --out both.html     one report of two runs\n\n\
    Trials of one program in one scenario are pooled; a program that changed between the runs\n\
    stays apart, and only what was measured in the same runs is ranked against each other.\n\
    Runs of different machines are refused.\n\
    Exit codes: 0 written, 64 no results or not of one machine, 70 it cannot be written.")]
pub struct Arguments {
    /// Folders that `zillions bench` wrote.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// The report's file [default: report.html in the folder; of several runs
    /// merged-report.html here].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes one report of all folders.
///
/// # Errors
/// When results cannot be read or put together, or the report cannot be written.
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
