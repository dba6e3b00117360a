//! What a run found, on standard output.

use std::path::Path;

use serde::Serialize;
use zillions_report::analysis::{Rank, Row, ScenarioAnalysis, analyse, number_of};
use zillions_report::format::{bytes, count, interval, percent, time};
use zillions_report::noise::NoiseFloor;
use zillions_report::record::{RankBy, Role, TargetStatus, TrialResult};
use zillions_report::results::Results;
use zillions_report::statistics::Estimate;
use zillions_report::verdict::Validity;

use super::peers::claims::{self, Claim};
use crate::failure::{Failure, INCONCLUSIVE, Outcome};
use crate::output::{self, FAINT, HEADING, paint};

/// `zillions.bench/1`: the comparison, for programs. The raw results are in the folder.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    schema: &'static str,
    folder: &'a Path,
    report: &'a Path,
    scenarios: Vec<ScenarioSummary<'a>>,
    /// Of the reference server over its peers, where they were measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    claims: Vec<Claim>,
    #[serde(skip)]
    results: &'a Results,
}

#[derive(Debug, Serialize)]
struct ScenarioSummary<'a> {
    name: &'a str,
    question: &'a str,
    /// What one target's second arm had relative to its first; absent if it is not known.
    noise: Option<NoiseSummary>,
    rows: Vec<RowSummary<'a>>,
}

/// The noise floor: by how much one and the same target differs from itself.
#[derive(Debug, Serialize)]
struct NoiseSummary {
    target: String,
    ratio: EstimateSummary,
    /// Differences up to this many times separate no tiers.
    factor: f64,
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
    /// Whether it did more than everything ranked, with the load generator as the limit.
    generator_bound: bool,
    /// Messages per second within the limits, if the scenario searches.
    capacity: Option<CapacitySummary>,
    figures: Option<FiguresSummary>,
}

/// The highest rate within the limits; `high` is absent where none was missed every time.
#[derive(Debug, Serialize)]
struct CapacitySummary {
    messages_per_second: f64,
    low: f64,
    high: Option<f64>,
}

#[derive(Debug, Serialize)]
struct FiguresSummary {
    deliveries_per_second: EstimateSummary,
    latency_p50_ns: Option<f64>,
    latency_p99_ns: EstimateSummary,
    latency_p999_ns: Option<f64>,
    lost_share: f64,
    cpu_us_per_delivery: Option<EstimateSummary>,
    peak_resident_bytes: u64,
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
        let claims = claims::claims(results);
        Self { schema: "zillions.bench/1", folder, report, scenarios, claims, results }
    }

    /// Tables for people.
    pub(super) fn human(&self) -> String {
        let mut text = String::new();
        for analysis in analyse(self.results) {
            text += &format!("\n{}\n", paint(HEADING, &analysis.scenario.question));
            text += &format!("{}\n", table(&analysis));
            if let Some(noise) = &analysis.noise {
                text += &format!("  {}\n", paint(FAINT, noise_line(noise)));
            }
            if analysis.rows.iter().any(|row| row.generator_bound) {
                let legend = "≥: above all that is ranked, with the load generator as the limit";
                text += &format!("  {}\n", paint(FAINT, legend));
            }
            for row in &analysis.rows {
                if let (Rank::Unranked { reason }, false) = (&row.rank, row.trials.is_empty()) {
                    text += &format!("  {} is not ranked: {reason}\n", row.target.name);
                }
            }
        }
        text += &claims::table(&self.claims);
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
            // In a search, a server that breaks down at a rate is an answer.
            .filter(|trial| matches!(trial.role, Role::Measure | Role::Twin))
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
        noise: analysis.noise.as_ref().map(|noise| NoiseSummary {
            target: noise.target.clone(),
            ratio: noise.ratio.into(),
            factor: noise.factor(),
        }),
        rows: analysis.rows.iter().map(row_summary).collect(),
    }
}

fn row_summary<'a>(row: &Row<'a>) -> RowSummary<'a> {
    let (tier, reason) = match &row.rank {
        Rank::Ranked { tier } => (Some(*tier), None),
        Rank::Unranked { reason } => (None, Some(reason.clone())),
    };
    RowSummary {
        target: &row.target.name,
        style: &row.target.style,
        tier,
        reason,
        generator_bound: row.generator_bound,
        trials: row.trials.len(),
        trials_valid: number_of(&row.trials, Validity::Valid),
        capacity: row.capacity.map(|found| CapacitySummary {
            messages_per_second: found.messages_per_second,
            low: found.low,
            high: found.high,
        }),
        figures: row.figures.as_ref().map(|figures| FiguresSummary {
            deliveries_per_second: figures.deliveries_per_second.into(),
            latency_p50_ns: finite(figures.latency_p50_ns),
            latency_p99_ns: figures.latency_p99_ns.into(),
            latency_p999_ns: finite(figures.latency_p999_ns),
            lost_share: figures.lost_share,
            cpu_us_per_delivery: figures.cpu_us_per_delivery.map(Into::into),
            peak_resident_bytes: figures.peak_resident_bytes,
            threads: figures.threads,
        }),
    }
}

fn noise_line(noise: &NoiseFloor) -> String {
    let (ratio, factor) = (noise.ratio, noise.factor());
    format!(
        "noise floor: {} against itself {:.2} to {:.2}; differences up to {factor:.2} times \
         separate no tiers",
        noise.target, ratio.low, ratio.high
    )
}

fn table(analysis: &ScenarioAnalysis<'_>) -> comfy_table::Table {
    let is_search = analysis.scenario.rank_by == RankBy::Capacity;
    let mut table = output::table(&[
        "tier",
        "name",
        "style",
        if is_search { "messages/s within the limits" } else { "deliveries/s" },
        "p50",
        "p99",
        "lost",
        "CPU/delivery",
        "memory",
        "threads",
    ]);
    for row in &analysis.rows {
        let Some(figures) = &row.figures else { continue };
        let tier = match row.rank {
            Rank::Ranked { tier } => tier.to_string(),
            Rank::Unranked { .. } if row.generator_bound => "≥".to_owned(),
            Rank::Unranked { .. } => "–".to_owned(),
        };
        // The interval stands where the ranking comes from; the report has all of them.
        let rate = &figures.deliveries_per_second;
        let p99 = &figures.latency_p99_ns;
        let (rate, p99) = match analysis.scenario.rank_by {
            RankBy::Latency => {
                (count(rate.median), format!("{} [{}]", time(p99.median), interval(p99, time)))
            }
            RankBy::Throughput => {
                (format!("{} [{}]", count(rate.median), interval(rate, count)), time(p99.median))
            }
            RankBy::Capacity => {
                let found = &figures.ranking;
                let interval = interval(found, count);
                (format!("{} [{interval}]", count(found.median)), time(p99.median))
            }
        };
        table.add_row([
            tier,
            row.target.name.clone(),
            row.target.style.clone(),
            rate,
            time(figures.latency_p50_ns),
            p99,
            percent(figures.lost_share),
            figures.cpu_us_per_delivery.map_or_else(|| "–".to_owned(), |it| time(it.median * 1e3)),
            bytes(figures.peak_resident_bytes),
            figures.threads.to_string(),
        ]);
    }
    table
}
