//! `zillions compare`: is anything clearly worse?

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use zillions_report::compare::{
    Change, Comparison, Direction, Status, TargetComparison, Thresholds, Verdict, compare,
};
use zillions_report::markdown::markdown;
use zillions_report::results::Results;

use crate::failure::{FAIL, Failure, INCONCLUSIVE, Outcome};
use crate::options::TableWidth;
use crate::output::{self, BAD, DOUBTFUL, FAINT, GOOD, HEADING, paint};
use crate::table::{Column, Table};

/// Compare two recorded runs: is anything clearly better or worse?
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    zillions bench --out before && git switch my-change && zillions bench --out after\n  \
    zillions compare before after\n  \
    zillions compare before after --threshold 20 --format markdown >> \"$GITHUB_STEP_SUMMARY\"\n\n\
    Ratios are of the medians over valid trials, new to base, with 95 % intervals. A figure is\n\
    worse only if its whole interval is beyond the threshold.\n\
    Exit codes: 0 nothing is clearly worse, 1 something is worse or broken, 2 nothing could be\n\
    compared (too noisy, too few trials), 64 no results, or from different machines.")]
pub struct Arguments {
    /// Folder of the run to compare with.
    base: PathBuf,
    /// Folder of the run to judge.
    new: PathBuf,
    /// Threshold of a regression, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = percent)]
    threshold: f64,
    /// Threshold for lost messages, in percentage points.
    #[arg(long, value_name = "POINTS", default_value = "1", value_parser = percent)]
    lost_threshold: f64,
    #[command(flatten)]
    width: TableWidth,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: CompareFormat,
}

/// How to print a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CompareFormat {
    /// Tables.
    Human,
    /// Tables in Markdown.
    Markdown,
    /// One JSON document, `zillions.compare/3`.
    Json,
}

/// A share of 1, from percent.
fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim_end().parse::<f64>() {
        Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("write a number from 0 to 1000, for example 5".to_owned()),
    }
}

/// Compares the two runs.
///
/// # Errors
/// If results cannot be read or compared, or something is clearly worse.
pub fn run(arguments: &Arguments) -> Outcome {
    let read = |folder: &PathBuf| Results::read(folder).map_err(Failure::usage);
    let (base, new) = (read(&arguments.base)?, read(&arguments.new)?);
    let thresholds =
        Thresholds { ratio: arguments.threshold, lost_share: arguments.lost_threshold };
    let comparison = compare(&base, &new, thresholds).map_err(Failure::usage)?;
    match arguments.format {
        CompareFormat::Human => output::print(&human(&comparison, arguments.width))?,
        CompareFormat::Markdown => output::print_document(&markdown(&comparison))?,
        CompareFormat::Json => output::print_json(&comparison)?,
    }
    match comparison.verdict {
        Verdict::NoRegression => Ok(()),
        // What was printed says all of it.
        Verdict::Regression => Err(Failure::silent(FAIL)),
        Verdict::NothingCompared => Err(Failure {
            code: INCONCLUSIVE,
            message: "nothing could be compared: no server has enough valid trials in both runs"
                .to_owned(),
        }),
    }
}

fn human(comparison: &Comparison, width: TableWidth) -> String {
    let mut text = String::new();
    for note in &comparison.notes {
        text += &paint(DOUBTFUL, format!("{note}\n"));
    }
    for scenario in &comparison.scenarios {
        text += &format!("\n{} {}\n", paint(HEADING, &scenario.name), scenario.question);
        if !scenario.reason.is_empty() {
            text += &format!("  not compared: {}\n", scenario.reason);
            continue;
        }
        let mut table = Table::new([
            Column::words("implementation"),
            Column::words("figure"),
            Column::numbers("base").optional(2),
            Column::numbers("new").optional(1),
            Column::numbers("change"),
            Column::numbers("95 % interval").optional(3),
            Column::words("verdict"),
        ]);
        for target in &scenario.targets {
            for change in &target.changes {
                table.row(row(target, change));
            }
        }
        if !table.is_empty() {
            text += &table.render(width.columns());
        }
        for target in &scenario.targets {
            text += &match target.status {
                Status::Compared => String::new(),
                Status::NotCompared => paint(
                    FAINT,
                    format!("  {} was not compared: {}\n", target.target, target.reason),
                ),
                Status::Broken => {
                    paint(BAD, format!("  {} is broken: {}\n", target.target, target.reason))
                }
            };
        }
    }
    text + &conclusion(comparison)
}

fn row(target: &TargetComparison, change: &Change) -> [String; 7] {
    let figure = change.figure;
    let meaning = match change.direction {
        Direction::Worse => paint(BAD, "worse"),
        Direction::Better => paint(GOOD, "better"),
        Direction::Same => "same".to_owned(),
        Direction::Unclear => paint(DOUBTFUL, "unclear"),
    };
    [
        target.target.clone(),
        figure.title().to_owned(),
        figure.text(&change.base),
        figure.text(&change.new),
        figure.change_text(&change.change),
        figure.interval_text(&change.change),
        meaning,
    ]
}

fn conclusion(comparison: &Comparison) -> String {
    let number = |direction| comparison.number_of(direction);
    let broken = comparison.number_with(Status::Broken);
    let counts = format!(
        "{} figures worse, {} better, {} the same, {} unclear; {broken} servers broken",
        number(Direction::Worse),
        number(Direction::Better),
        number(Direction::Same),
        number(Direction::Unclear),
    );
    let style = match comparison.verdict {
        Verdict::Regression => BAD,
        Verdict::NoRegression => GOOD,
        Verdict::NothingCompared => DOUBTFUL,
    };
    let Thresholds { ratio, lost_share } = comparison.thresholds;
    format!(
        "\n{} (clear: the whole interval beyond {} %, lost messages {} percentage points)\n",
        paint(style, counts),
        ratio * 100.0,
        lost_share * 100.0
    )
}
