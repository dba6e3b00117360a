//! What a run found, on standard output.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use zillions_report::analysis::{ScenarioAnalysis, analyse};
use zillions_report::columns::{FigureColumn, Measured, ranking_column, target_figures};
use zillions_report::decided::{self, CostDecision, Undecided};
use zillions_report::noise::NoiseFloor;
use zillions_report::record::{Role, TargetStatus, TrialResult, YardstickKind};
use zillions_report::results::Results;
use zillions_report::row::Row;
use zillions_report::statistics::Estimate;
use zillions_report::verdict::Validity;
use zillions_report::yardstick::sentence;

use super::brokers::claims::{self, Claim};
use crate::failure::{Failure, INCONCLUSIVE, Outcome};
use crate::options::TableWidth;
use crate::output::{FAINT, HEADING, paint};
use crate::table::{Column, Table};

/// `zillions.bench/2`: the comparison, for programs. The raw results are in the folder.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    schema: &'static str,
    folder: &'a Path,
    report: &'a Path,
    scenarios: Vec<ScenarioSummary<'a>>,
    /// Of the reference server over the brokers, where they were measured.
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
    /// What this machine does without a server; absent if it was not measured.
    limit: Option<LimitSummary>,
    /// What was decided, and with what certainty.
    decided: String,
    /// Tiers whose targets are not told apart, and what that would take.
    undecided: Vec<Undecided>,
    /// The same of each cost of a delivery that is ranked.
    by_cost: Vec<CostDecision>,
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

/// A limit of the machine, which is no row: it is never ranked.
#[derive(Debug, Serialize)]
struct LimitSummary {
    kind: YardstickKind,
    /// Of a bare receiver deliveries per second, of a send loop ns of CPU time per delivery.
    figure: EstimateSummary,
    trials: usize,
    undisturbed_trials: usize,
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
    valid_trials: usize,
    /// Whether it was faster than the load generator: its ranking figure is a lower bound, above
    /// every ranked one.
    generator_bound: bool,
    /// By the keys of their columns.
    figures: Option<BTreeMap<&'static str, serde_json::Value>>,
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
        Self { schema: "zillions.bench/2", folder, report, scenarios, claims, results }
    }

    /// Tables for people.
    pub(super) fn human(&self, width: TableWidth) -> String {
        let mut text = String::new();
        for analysis in analyse(self.results) {
            text += &format!("\n{}\n", paint(HEADING, &analysis.scenario.question));
            text += &table(&analysis).render(width.columns());
            text += &format!("  {}\n", decided::sentence(&analysis));
            if let Some(what) = decided::what_it_would_take(&analysis) {
                text += &format!("  {what}\n");
            }
            for cost in decided::by_cost(&analysis) {
                text += &format!("  {}\n", cost.text());
            }
            if let Some(noise) = &analysis.noise {
                text += &format!("  {}\n", paint(FAINT, noise_line(noise)));
            }
            if let Some(limit) = &analysis.limit {
                text += &format!("  {}\n", paint(FAINT, sentence(limit)));
            }
            if analysis.rows.iter().any(|row| row.generator_bound) {
                let legend = "≥: lower bound; the load generator was the bottleneck";
                text += &format!("  {}\n", paint(FAINT, legend));
            }
            if has_bounds(&analysis) {
                let legend = "≥ before a percentile: lower bound; too few deliveries to know it";
                text += &format!("  {}\n", paint(FAINT, legend));
            }
            for row in &analysis.rows {
                if let (Some(reason), false) = (row.rank.reason(), row.trials.is_empty()) {
                    text += &format!("  {} is not ranked: {reason}\n", row.target.name);
                }
            }
        }
        if !self.claims.is_empty() {
            text += &format!("\n{}", claims::table(&self.claims).render(width.columns()));
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
        text += &self.uncounted().map_or_else(String::new, |line| format!("\n{line}\n"));
        text + &format!(
            "\nreport:  {}\nresults: {}\n",
            self.report.display(),
            self.folder.display()
        )
    }

    /// That the instructions of servers were not counted, if so.
    fn uncounted(&self) -> Option<String> {
        let run = &self.results.run;
        let machine = run.remote.as_ref().map_or(&run.machine, |remote| &remote.machine);
        let why = machine.instructions_uncounted.as_ref()?;
        Some(format!("user instructions per delivery: not counted: {why}"))
    }

    /// The exit code; what is among `names` must not be skipped.
    pub(super) fn conclude(&self, names: &[String]) -> Outcome {
        let targets = &self.results.run.targets;
        let failed_check =
            targets.iter().filter(|it| matches!(it.status, TargetStatus::FailedCheck { .. }));
        let skipped = targets
            .iter()
            .filter(|it| matches!(it.status, TargetStatus::Skipped { .. }))
            .filter(|it| names.contains(&it.name));
        let failed = self
            .results
            .trials
            .iter()
            // In a search, a server that breaks down at a rate is an answer.
            .filter(|trial| matches!(trial.role, Role::Measure | Role::Twin))
            .filter(|trial| matches!(trial.result, TrialResult::Failed { .. }));
        let mut prevented = self.results.trials.iter().filter_map(|trial| match &trial.result {
            TrialResult::Prevented { reason } => Some(reason),
            TrialResult::Measured(_) | TrialResult::Failed { .. } => None,
        });
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
        if let Some(reason) = prevented.next() {
            let message = format!("{} trials were prevented: {reason}", 1 + prevented.count());
            return Err(Failure { code: INCONCLUSIVE, message });
        }
        let is_ranked =
            |scenario: &ScenarioSummary<'_>| scenario.rows.iter().any(|row| row.tier.is_some());
        if self.scenarios.iter().any(is_ranked) {
            return Ok(());
        }
        let message = "nothing could be ranked: too few valid trials, or too few deliveries (the report says why)";
        Err(Failure { code: INCONCLUSIVE, message: message.to_owned() })
    }
}

fn scenario_summary<'a>(analysis: ScenarioAnalysis<'a>) -> ScenarioSummary<'a> {
    // Programs find the same keys wherever it ran: what was not counted is null.
    let measured = Measured { instructions: true, ..analysis.measured() };
    let columns = target_figures(analysis.scenario.rank_by, measured);
    ScenarioSummary {
        name: &analysis.scenario.name,
        question: &analysis.scenario.question,
        noise: analysis.noise.as_ref().map(|noise| NoiseSummary {
            target: noise.target.clone(),
            ratio: noise.ratio.into(),
            factor: noise.factor(),
        }),
        limit: analysis.limit.as_ref().map(|limit| LimitSummary {
            kind: limit.kind,
            figure: limit.figure.into(),
            trials: limit.trials,
            undisturbed_trials: limit.undisturbed,
        }),
        decided: decided::sentence(&analysis),
        undecided: decided::undecided(&analysis),
        by_cost: decided::by_cost(&analysis),
        rows: analysis.rows.iter().map(|row| row_summary(row, &columns)).collect(),
    }
}

/// The figures that the targets of a scenario have.
fn columns_of(analysis: &ScenarioAnalysis<'_>) -> Vec<&'static FigureColumn> {
    target_figures(analysis.scenario.rank_by, analysis.measured())
}

fn row_summary<'a>(row: &Row<'a>, columns: &[&'static FigureColumn]) -> RowSummary<'a> {
    RowSummary {
        target: &row.target.name,
        style: &row.target.style,
        tier: row.rank.tier(),
        reason: row.rank.reason().map(str::to_owned),
        trials: row.trials.len(),
        valid_trials: row.number_of(Validity::Valid),
        generator_bound: row.generator_bound,
        figures: row.figures.as_ref().map(|figures| {
            columns.iter().map(|column| (column.head.key, column.value(figures).json())).collect()
        }),
    }
}

/// Whether any figure in the table is a lower bound for want of deliveries.
fn has_bounds(analysis: &ScenarioAnalysis<'_>) -> bool {
    let columns = columns_of(analysis);
    let is_bound = |column: &&FigureColumn, row: &Row<'_>| {
        let value = row.figures.as_ref().and_then(|figures| column.value(figures).main());
        column.in_terminal && value.is_some_and(|value| !value.is_exact())
    };
    analysis.rows.iter().any(|row| columns.iter().any(|column| is_bound(column, row)))
}

fn noise_line(noise: &NoiseFloor) -> String {
    let (ratio, factor) = (noise.ratio, noise.factor());
    format!(
        "noise floor: {} against itself {:.2} to {:.2}; differences up to {factor:.2} times \
         separate no tiers",
        noise.target, ratio.low, ratio.high
    )
}

/// What goes last for want of room: the figures from the right, and before them the style.
fn table(analysis: &ScenarioAnalysis<'_>) -> Table {
    let rank_by = analysis.scenario.rank_by;
    let in_terminal = |column: &&FigureColumn| column.in_terminal;
    let columns: Vec<_> = columns_of(analysis).into_iter().filter(in_terminal).collect();
    let ranks = |column: &FigureColumn| column.head.key == ranking_column(rank_by).head.key;
    let figure = |(place, column): (usize, &&FigureColumn)| {
        let rank = if ranks(column) { 0 } else { place + 1 };
        Column::numbers(column.head.title).optional(rank)
    };
    let heads = [
        Column::words("Tier"),
        Column::words("Name"),
        Column::words("Style").optional(columns.len() + 1),
    ];
    let mut table = Table::new(heads.into_iter().chain(columns.iter().enumerate().map(figure)));
    for row in &analysis.rows {
        let Some(figures) = &row.figures else { continue };
        let tier = match row.rank.tier() {
            Some(tier) => tier.to_string(),
            None if row.generator_bound => "≥".to_owned(),
            None => "–".to_owned(),
        };
        // Only the figure that ranks has its interval here; the report has all of them.
        let cell = |column: &FigureColumn| {
            let value = column.value(figures);
            let text = value.text(column.format);
            if ranks(column) { format!("{text} [{}]", value.interval(column.format)) } else { text }
        };
        let mut cells = vec![tier, row.target.name.clone(), row.target.style.clone()];
        cells.extend(columns.iter().map(|column| cell(column)));
        table.row(cells);
    }
    table
}
