//! What a run found, on standard output.

use std::path::Path;

use serde::Serialize;
use zillions_report::analysis::{Row, ScenarioAnalysis, Standing, analyse, number_of};
use zillions_report::format::{bytes, count, interval, percent, time};
use zillions_report::record::{Headline, TargetStatus, TrialResult};
use zillions_report::results::Results;
use zillions_report::statistics::Estimate;
use zillions_report::verdict::Worth;

use crate::failure::{Failure, INCONCLUSIVE, Outcome};
use crate::output::{self, HEADING, paint};

/// `zillions.bench/1`: the comparison, for programs. The raw results are in the folder.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    schema: &'static str,
    folder: &'a Path,
    report: &'a Path,
    scenarios: Vec<ScenarioSummary<'a>>,
    #[serde(skip)]
    results: &'a Results,
}

#[derive(Debug, Serialize)]
struct ScenarioSummary<'a> {
    name: &'a str,
    question: &'a str,
    rows: Vec<RowSummary<'a>>,
}

/// One target in one scenario; times in ns, infinite ones absent.
#[derive(Debug, Serialize)]
struct RowSummary<'a> {
    target: &'a str,
    style: &'a str,
    /// Absent if it is not ranked.
    tier: Option<usize>,
    /// Why it is not ranked.
    reason: Option<String>,
    trials: usize,
    trials_valid: usize,
    figures: Option<FiguresSummary>,
}

#[derive(Debug, Serialize)]
struct FiguresSummary {
    deliveries_per_second: EstimateSummary,
    latency_p50_ns: Option<f64>,
    latency_p99_ns: EstimateSummary,
    latency_p999_ns: Option<f64>,
    failed_share: f64,
    cpu_us_per_delivery: Option<EstimateSummary>,
    resident_bytes_peak: u64,
    threads: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct EstimateSummary {
    median: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

impl From<Estimate> for EstimateSummary {
    fn from(estimate: Estimate) -> Self {
        let Estimate { median, low, high, .. } = estimate;
        Self { median: finite(median), low: finite(low), high: finite(high) }
    }
}

fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

impl<'a> Summary<'a> {
    /// The comparison of `results`, which are in `folder` with their `report`.
    pub(super) fn new(results: &'a Results, folder: &'a Path, report: &'a Path) -> Self {
        let scenarios = analyse(results).into_iter().map(scenario_summary).collect();
        Self { schema: "zillions.bench/1", folder, report, scenarios, results }
    }

    /// Tables for people.
    pub(super) fn human(&self) -> String {
        let mut text = String::new();
        for analysis in analyse(self.results) {
            text += &format!("\n{}\n", paint(HEADING, &analysis.scenario.question));
            text += &format!("{}\n", table(&analysis));
            for row in &analysis.rows {
                if let (Standing::Unranked { reason }, false) =
                    (&row.standing, row.trials.is_empty())
                {
                    text += &format!("  {} is not ranked: {reason}\n", row.target.name);
                }
            }
        }
        for target in &self.results.run.targets {
            match &target.status {
                TargetStatus::Measured => {}
                TargetStatus::Skipped { reason, remedy } if remedy.is_empty() => {
                    text += &format!("\nskipped {}: {reason}", target.name);
                }
                TargetStatus::Skipped { reason, remedy } => {
                    text += &format!("\nskipped {}: {reason} ({remedy})", target.name);
                }
                TargetStatus::FailedCheck { reason } => {
                    text += &format!("\n{} failed the check: {reason}", target.name);
                }
            }
        }
        text + &format!(
            "\nreport:  {}\nresults: {}\n",
            self.report.display(),
            self.folder.display()
        )
    }

    /// The exit code; `by_name` if targets were asked for by name.
    pub(super) fn conclude(&self, by_name: bool) -> Outcome {
        let targets = &self.results.run.targets;
        let failed_check =
            targets.iter().filter(|it| matches!(it.status, TargetStatus::FailedCheck { .. }));
        let skipped = targets
            .iter()
            .filter(|it| by_name && matches!(it.status, TargetStatus::Skipped { .. }));
        let failed = self
            .results
            .trials
            .iter()
            .filter(|trial| matches!(trial.result, TrialResult::Failed { .. }));
        let counts = [
            (failed_check.count(), "failed the check"),
            (skipped.count(), "could not be started"),
            (failed.count(), "trials failed"),
        ];
        let said: Vec<_> = counts
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{number} {what}"))
            .collect();
        if !said.is_empty() {
            return Err(Failure::fail(said.join(", ")));
        }
        let is_ranked =
            |scenario: &ScenarioSummary<'_>| scenario.rows.iter().any(|row| row.tier.is_some());
        if self.scenarios.iter().any(is_ranked) {
            return Ok(());
        }
        let message = "nothing could be ranked: too few valid trials (the report says why)";
        Err(Failure { code: INCONCLUSIVE, message: message.to_owned() })
    }
}

fn scenario_summary<'a>(analysis: ScenarioAnalysis<'a>) -> ScenarioSummary<'a> {
    ScenarioSummary {
        name: &analysis.scenario.name,
        question: &analysis.scenario.question,
        rows: analysis.rows.iter().map(row_summary).collect(),
    }
}

fn row_summary<'a>(row: &Row<'a>) -> RowSummary<'a> {
    let (tier, reason) = match &row.standing {
        Standing::Ranked { tier } => (Some(*tier), None),
        Standing::Unranked { reason } => (None, Some(reason.clone())),
    };
    RowSummary {
        target: &row.target.name,
        style: &row.target.style,
        tier,
        reason,
        trials: row.trials.len(),
        trials_valid: number_of(&row.trials, Worth::Valid),
        figures: row.figures.as_ref().map(|figures| FiguresSummary {
            deliveries_per_second: figures.deliveries_per_second.into(),
            latency_p50_ns: finite(figures.latency_p50_ns),
            latency_p99_ns: figures.latency_p99_ns.into(),
            latency_p999_ns: finite(figures.latency_p999_ns),
            failed_share: figures.failed_share,
            cpu_us_per_delivery: figures.cpu_us_per_delivery.map(Into::into),
            resident_bytes_peak: figures.resident_bytes_peak,
            threads: figures.threads,
        }),
    }
}

fn table(analysis: &ScenarioAnalysis<'_>) -> comfy_table::Table {
    let mut table = output::table(&[
        "tier",
        "name",
        "style",
        "deliveries/s",
        "p50",
        "p99",
        "lost",
        "CPU/delivery",
        "memory",
        "threads",
    ]);
    for row in &analysis.rows {
        let Some(figures) = &row.figures else { continue };
        let tier = match row.standing {
            Standing::Ranked { tier } => tier.to_string(),
            Standing::Unranked { .. } => "–".to_owned(),
        };
        // The interval stands where the ranking comes from; the report has all of them.
        let rate = &figures.deliveries_per_second;
        let p99 = &figures.latency_p99_ns;
        let (rate, p99) = match analysis.scenario.headline {
            Headline::Latency => {
                (count(rate.median), format!("{} [{}]", time(p99.median), interval(p99, time)))
            }
            Headline::Throughput | Headline::Capacity => {
                (format!("{} [{}]", count(rate.median), interval(rate, count)), time(p99.median))
            }
        };
        table.add_row([
            tier,
            row.target.name.clone(),
            row.target.style.clone(),
            rate,
            time(figures.latency_p50_ns),
            p99,
            percent(figures.failed_share),
            figures.cpu_us_per_delivery.map_or_else(|| "–".to_owned(), |it| time(it.median * 1e3)),
            bytes(figures.resident_bytes_peak),
            figures.threads.to_string(),
        ]);
    }
    table
}
