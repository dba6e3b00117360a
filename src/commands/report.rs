//! `zillions report`: the report again, from recorded results.

use std::path::PathBuf;

use clap::Args;
use zillions_bench::store::Store;
use zillions_report::html;
use zillions_report::results::Results;

use crate::failure::{Failure, Outcome};
use crate::output;

/// Write report.html again, from recorded results.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  zillions report results/*")]
pub struct Arguments {
    /// Folders that `zillions bench` wrote; each gets a report of its own.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
}

/// Writes a report into each folder.
///
/// # Errors
/// When results cannot be read or a report cannot be written.
pub fn run(arguments: &Arguments) -> Outcome {
    for folder in &arguments.folders {
        let results = Results::read(folder).map_err(Failure::usage)?;
        let report =
            Store::keep_report(folder, &html::report(&results)).map_err(Failure::harness)?;
        output::print(&format!("{}\n", report.display()))?;
    }
    Ok(())
}
