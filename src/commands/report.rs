//! `zillions report`: writes the report of one or several recorded runs.

use std::path::{Path, PathBuf};

use clap::Args;
use zillions_bench::store::Store;
use zillions_report::gallery_results::GalleryResults;
use zillions_report::merge::merge;
use zillions_report::results::{REPORT_FILE, Results};
use zillions_report::{gallery_text, html};

use crate::failure::{Failure, Outcome};
use crate::output;

/// Default file of the report of several runs.
const MERGED_FILE: &str = "merged-report.html";

/// Write the report of recorded results; several runs give one report.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    zillions report results/2026-11-22T03-00-00        its report.html again\n  \
    zillions report monday tuesday --out both.html     one report of two runs\n  \
    zillions report monday --svg .                     the map of styles as pictures\n  \
    zillions report monday --figures monday.json       the figures alone, as JSON\n\n\
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
    /// Draw the map of styles into this folder instead, for light and for dark ground
    /// (styles-light.svg, styles-dark.svg).
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    svg: Option<PathBuf>,
    /// Write the figures alone to this file instead, as JSON without histograms; what is in
    /// docs/results is shown by 'zillions gallery-docs'.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "svg"])]
    figures: Option<PathBuf>,
}

/// Writes one report of all folders.
///
/// # Errors
/// If results cannot be read or merged, or the report cannot be written.
pub fn run(arguments: &Arguments) -> Outcome {
    if let Some(folder) = &arguments.svg {
        return draw(&figures(arguments)?, folder);
    }
    if let Some(file) = &arguments.figures {
        return write(file, &figures(arguments)?.to_json());
    }
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

/// The figures of the one run that is named.
fn figures(arguments: &Arguments) -> Result<GalleryResults, Failure> {
    let [folder] = &arguments.folders[..] else {
        return Err(Failure::usage("--svg and --figures take one run: name one folder"));
    };
    Ok(GalleryResults::of(&Results::read(folder).map_err(Failure::usage)?))
}

fn draw(figures: &GalleryResults, folder: &Path) -> Outcome {
    let pictures = gallery_text::pictures(figures);
    if pictures.is_empty() {
        return Err(Failure::usage(
            "there is nothing to draw: no implementation of a known style has both lines of code \
             and valid trials",
        ));
    }
    std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    pictures.iter().try_for_each(|(file, svg)| write(&folder.join(file), svg))
}

fn write(path: &Path, text: &str) -> Outcome {
    std::fs::write(path, text).map_err(|error| cannot_write(path, &error))?;
    output::print(&format!("{}\n", path.display()))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::harness(format!("cannot write '{}': {error}", path.display()))
}
