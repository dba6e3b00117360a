//! Compares the targets of each scenario.

mod searched;

use hdrhistogram::Histogram;

use crate::capacity::Capacity;
use crate::noise::{NoiseFloor, noise_floor};
use crate::record::{
    LoadRecord, Measurement, RankBy, Role, ScenarioRecord, TargetRecord, TargetStatus, TrialRecord,
    TrialResult,
};
use crate::results::Results;
use crate::statistics::{Estimate, estimate_median, estimate_ratio, tiers};
use crate::verdict::{Validity, Verdict, judge};

/// Fewer valid trials than this give no rank: their interval would say nothing.
pub const VALID_TRIALS_MIN: usize = 3;

/// One scenario with everything that was measured in it.
#[derive(Clone, Debug)]
pub struct ScenarioAnalysis<'a> {
    /// The scenario.
    pub scenario: &'a ScenarioRecord,
    /// One row per target of the run: those that outrun everything ranked, the ranked ones tier by
    /// tier, and the others.
    pub rows: Vec<Row<'a>>,
    /// By how much one and the same target differs from itself, if that was measured.
    pub noise: Option<NoiseFloor>,
}

/// One target in one scenario.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The target.
    pub target: &'a TargetRecord,
    /// Whether it is ranked, and if not, why.
    pub rank: Rank,
    /// Its figures: of its valid trials if it is ranked, otherwise of all that gave any.
    pub figures: Option<Figures>,
    /// Its trials that are ranked by, in the order of their blocks.
    pub trials: Vec<JudgedTrial<'a>>,
    /// What a search found, if the scenario searches.
    pub capacity: Option<Capacity>,
    /// Whether its ranking figure is a lower bound, because the load generator was the limit.
    pub lower_bound: bool,
    /// Whether it did more than everything that is ranked, with the load generator as the limit.
    pub generator_bound: bool,
}

/// Whether a target is ranked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rank {
    /// It is, in this tier, from 1.
    Ranked {
        /// Within a tier nothing is ranked.
        tier: usize,
    },
    /// It is not, for this reason.
    Unranked {
        /// In one line.
        reason: String,
    },
}

/// A trial and what it is worth; a failed one has no verdict.
#[derive(Clone, Debug)]
pub struct JudgedTrial<'a> {
    /// The trial.
    pub record: &'a TrialRecord,
    /// The verdict on its figures.
    pub verdict: Option<Verdict>,
}

/// The figures of a target in a scenario, over several trials.
#[derive(Clone, Debug)]
pub struct Figures {
    /// What the scenario ranks by: the 99th percentile in ns, deliveries per second, or the highest
    /// rate within the limits in messages per second.
    pub ranking: Estimate,
    /// The ranking figure relative to the best median of the scenario.
    pub relative: Option<Estimate>,
    /// Deliveries that arrived, per second.
    pub deliveries_per_second: Estimate,
    /// Median latency of all expected deliveries, in ns; infinite where fewer arrived.
    pub latency_p50_ns: f64,
    /// 99th percentile likewise, with the interval over the trials.
    pub latency_p99_ns: Estimate,
    /// 99.9th percentile likewise.
    pub latency_p999_ns: f64,
    /// Share of the expected deliveries that never came, 0 to 1.
    pub lost_share: f64,
    /// CPU time of the server per delivery, in µs, if there were deliveries.
    pub cpu_us_per_delivery: Option<Estimate>,
    /// Peak of resident memory in any trial, in bytes.
    pub peak_resident_bytes: u64,
    /// Most threads in any trial.
    pub threads: u64,
    /// Latencies of all trials together.
    pub latency: Histogram<u64>,
    /// How many deliveries those would have been if none had failed.
    pub expected: u64,
}

/// Compares everything in `results`.
#[must_use]
pub fn analyse(results: &Results) -> Vec<ScenarioAnalysis<'_>> {
    results.run.scenarios.iter().map(|scenario| analyse_scenario(results, scenario)).collect()
}

fn analyse_scenario<'a>(
    results: &'a Results,
    scenario: &'a ScenarioRecord,
) -> ScenarioAnalysis<'a> {
    let seed = results.run.seed;
    let mut rows: Vec<Row<'a>> = Vec::new();
    for target in &results.run.targets {
        let mut trials: Vec<JudgedTrial<'a>> = results
            .trials
            .iter()
            .filter(|trial| trial.scenario == scenario.name && trial.target == target.name)
            .filter(|trial| trial.role == ranked_role(scenario))
            .map(|record| JudgedTrial { record, verdict: figures_of(record).map(judge) })
            .collect();
        trials.sort_by_key(|trial| trial.record.block);
        if let LoadRecord::Search { .. } = scenario.load {
            rows.push(searched::row(target, trials, scenario, seed));
            continue;
        }
        let refusal = refusal(target, &trials);
        let is_used = |trial: &&JudgedTrial<'_>| {
            refusal.is_some()
                || trial.verdict.as_ref().is_some_and(|verdict| verdict.validity == Validity::Valid)
        };
        let used: Vec<&Measurement> =
            trials.iter().filter(is_used).filter_map(|trial| figures_of(trial.record)).collect();
        let figures = Figures::of(&used, scenario, seed);
        let rank = match refusal {
            Some(reason) => Rank::Unranked { reason },
            None => Rank::Ranked { tier: 0 },
        };
        let lower_bound = is_client_bound(&trials);
        let capacity = None;
        rows.push(Row {
            target,
            rank,
            figures,
            trials,
            capacity,
            lower_bound,
            generator_bound: false,
        });
    }
    let noise = noise_floor(results, scenario);
    rank(&mut rows, scenario, noise.as_ref().map_or(1.0, NoiseFloor::factor), seed);
    ScenarioAnalysis { scenario, rows, noise }
}

/// The trials that a scenario ranks by.
fn ranked_role(scenario: &ScenarioRecord) -> Role {
    match scenario.load {
        LoadRecord::Search { .. } => Role::Hold,
        _ => Role::Measure,
    }
}

fn figures_of(trial: &TrialRecord) -> Option<&Measurement> {
    match &trial.result {
        TrialResult::Measured(figures) => Some(figures),
        TrialResult::Failed { .. } => None,
    }
}

/// Why a target is not ranked, if it is not.
fn refusal(target: &TargetRecord, trials: &[JudgedTrial<'_>]) -> Option<String> {
    unmeasured(target, trials).or_else(|| unfit(trials))
}

/// Why there is nothing to rank a target by, if there is not.
fn unmeasured(target: &TargetRecord, trials: &[JudgedTrial<'_>]) -> Option<String> {
    match &target.status {
        TargetStatus::Skipped { reason, remedy } if remedy.is_empty() => {
            return Some(format!("skipped: {reason}"));
        }
        TargetStatus::Skipped { reason, remedy } => {
            return Some(format!("skipped: {reason}; {remedy}"));
        }
        TargetStatus::FailedCheck { reason } => {
            return Some(format!("failed the conformance check: {reason}"));
        }
        TargetStatus::Measured => {}
    }
    trials.is_empty().then(|| "no trial was run".to_owned())
}

/// Why its trials do not rank a target, if they do not.
fn unfit(trials: &[JudgedTrial<'_>]) -> Option<String> {
    let total = trials.len();
    let failures: Vec<_> = trials
        .iter()
        .filter_map(|trial| match &trial.record.result {
            TrialResult::Failed { reason, .. } => Some(reason),
            TrialResult::Measured(_) => None,
        })
        .collect();
    if let Some(first) = failures.first() {
        return Some(format!("failed in {} of {total} trials: {first}", failures.len()));
    }
    let worst =
        trials.iter().filter_map(|trial| trial.verdict.as_ref()).max_by_key(|v| v.validity)?;
    let valid = number_of(trials, Validity::Valid);
    if worst.validity != Validity::Incorrect && valid >= VALID_TRIALS_MIN {
        return None;
    }
    if worst.validity == Validity::Valid {
        return Some(format!(
            "{total} trials are too few to rank: ask for {VALID_TRIALS_MIN} or more"
        ));
    }
    let alike = number_of(trials, worst.validity);
    Some(format!("{} in {alike} of {total} trials: {}", worst.validity, worst.reason))
}

/// Whether the load generator was the limit where nothing graver keeps the trials from being ranked.
fn is_client_bound(trials: &[JudgedTrial<'_>]) -> bool {
    let bound = number_of(trials, Validity::ClientBound);
    let valid = number_of(trials, Validity::Valid);
    valid < VALID_TRIALS_MIN
        && bound > 0
        && valid + bound >= VALID_TRIALS_MIN
        && number_of(trials, Validity::Incorrect) == 0
        && trials.iter().all(|trial| trial.verdict.is_some())
}

/// How many of `trials` are worth this.
#[must_use]
pub fn number_of(trials: &[JudgedTrial<'_>], validity: Validity) -> usize {
    trials.iter().filter(|t| t.verdict.as_ref().is_some_and(|v| v.validity == validity)).count()
}

/// Ranks anew after some rows were taken out of the ranking.
pub(crate) fn rank_again(analysis: &mut ScenarioAnalysis<'_>, seed: u64) {
    for row in &mut analysis.rows {
        if let Some(figures) = &mut row.figures {
            figures.relative = None;
        }
    }
    let noise_factor = analysis.noise.as_ref().map_or(1.0, NoiseFloor::factor);
    rank(&mut analysis.rows, analysis.scenario, noise_factor, seed);
}

/// Fills in tiers and ratios, and puts the rows into their order.
fn rank(rows: &mut [Row<'_>], scenario: &ScenarioRecord, noise_factor: f64, seed: u64) {
    let lower_is_better = scenario.rank_by == RankBy::Latency;
    let better = |a: f64, b: f64| if lower_is_better { a < b } else { a > b };
    let is_ranked = |row: &Row<'_>| matches!(row.rank, Rank::Ranked { .. });
    let ranked: Vec<usize> = (0..rows.len()).filter(|&at| is_ranked(&rows[at])).collect();
    let estimates: Vec<Estimate> =
        ranked.iter().filter_map(|&at| Some(rows[at].figures.as_ref()?.ranking)).collect();
    for (&at, tier) in ranked.iter().zip(tiers(&estimates, noise_factor, better)) {
        rows[at].rank = Rank::Ranked { tier };
    }
    mark_those_that_outrun(rows, &estimates, lower_is_better);
    let sort_key = |row: &Row<'_>| {
        let median = row.figures.as_ref().map_or(f64::INFINITY, |figures| figures.ranking.median);
        let median = if lower_is_better { median } else { -median };
        match row.rank {
            Rank::Ranked { tier } => (tier, median),
            Rank::Unranked { .. } if row.generator_bound => (0, median),
            Rank::Unranked { .. } if row.figures.is_some() => (usize::MAX - 1, median),
            Rank::Unranked { .. } => (usize::MAX, 0.0),
        }
    };
    rows.sort_by(|a, b| {
        let (a, b) = (sort_key(a), sort_key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let Some(best) =
        rows.iter().find(|row| is_ranked(row)).map(|row| ranking_figures(row, scenario))
    else {
        return;
    };
    // Of a search there is one figure with its interval, and no repeats to take ratios of.
    if scenario.rank_by == RankBy::Capacity {
        searched::relate(rows);
        return;
    }
    for row in rows.iter_mut().filter(|row| is_ranked(row)).skip(1) {
        let own = ranking_figures(row, scenario);
        if let Some(figures) = &mut row.figures {
            figures.relative = estimate_ratio(&own, &best, seed)
                .filter(|ratio| ratio.median.is_finite() && ratio.median > 0.0);
        }
    }
}

/// A lower bound above the intervals of all `ranked` is a place in front of them, though not among
/// others like it. Of latencies there are none.
fn mark_those_that_outrun(rows: &mut [Row<'_>], ranked: &[Estimate], lower_is_better: bool) {
    let highest = ranked.iter().map(|estimate| estimate.high).fold(f64::NEG_INFINITY, f64::max);
    for row in rows {
        let is_above = row.figures.as_ref().is_some_and(|it| it.ranking.low > highest);
        row.generator_bound = row.lower_bound && !lower_is_better && is_above;
    }
}

/// The figures of each valid trial.
pub(crate) fn valid_measurements<'a>(row: &'a Row<'_>) -> impl Iterator<Item = &'a Measurement> {
    row.trials
        .iter()
        .filter(|trial| trial.verdict.as_ref().is_some_and(|v| v.validity == Validity::Valid))
        .filter_map(|trial| figures_of(trial.record))
}

/// The ranking figure of each valid trial.
fn ranking_figures(row: &Row<'_>, scenario: &ScenarioRecord) -> Vec<f64> {
    valid_measurements(row).map(|figures| ranking_figure(figures, scenario)).collect()
}

/// What one trial has of what the scenario ranks by: the 99th percentile in ns, or deliveries per
/// second.
#[must_use]
pub fn ranking_figure(trial: &Measurement, scenario: &ScenarioRecord) -> f64 {
    match scenario.rank_by {
        RankBy::Latency => trial_latency_ns(trial, scenario, 0.99),
        RankBy::Throughput | RankBy::Capacity => deliveries_per_second(trial),
    }
}

/// Deliveries that arrived in the window of `trial`, per second.
#[must_use]
pub fn deliveries_per_second(trial: &Measurement) -> f64 {
    trial.deliveries_arrived as f64 / trial.window_seconds
}

/// Share of the expected deliveries of `trial` that never came, 0 to 1. What is still pending is
/// neither.
#[must_use]
pub fn lost_share(trial: &Measurement) -> f64 {
    let settled = trial.pairs.expected() - trial.pairs.pending;
    if settled == 0 { 0.0 } else { trial.pairs.lost() as f64 / settled as f64 }
}

/// CPU time of the server per delivery in µs; `None` if nothing was delivered.
#[must_use]
pub fn cpu_us_per_delivery(trial: &Measurement) -> Option<f64> {
    let per_second = deliveries_per_second(trial);
    let cpu_share = trial.server.cpu_seconds / trial.server.sampled_seconds;
    (per_second > 0.0 && cpu_share.is_finite()).then(|| cpu_share / per_second * 1e6)
}

/// The pairs that a percentile is of. What is still pending counts as not arrived where messages
/// were due at fixed times; a saturating sender always has some under way.
fn percentile_base(trial: &Measurement, scenario: &ScenarioRecord) -> u64 {
    match scenario.load {
        LoadRecord::Saturate => trial.pairs.expected() - trial.pairs.pending,
        _ => trial.pairs.expected(),
    }
}

/// A percentile of the latency in `trial` over everything expected, in ns; infinite if that many
/// never arrived.
#[must_use]
pub fn trial_latency_ns(trial: &Measurement, scenario: &ScenarioRecord, quantile: f64) -> f64 {
    // Histograms were checked when they were read.
    trial.latency.histogram().map_or(f64::INFINITY, |histogram| {
        latency_ns(&histogram, percentile_base(trial, scenario), quantile)
    })
}

/// The same of merged histograms, of `expected` deliveries.
#[must_use]
pub fn latency_ns(arrived: &Histogram<u64>, expected: u64, quantile: f64) -> f64 {
    let rank = (quantile * expected as f64).ceil().max(1.0);
    if rank > arrived.len() as f64 {
        return f64::INFINITY;
    }
    arrived.value_at_quantile(rank / arrived.len() as f64) as f64
}

impl Figures {
    fn of(trials: &[&Measurement], scenario: &ScenarioRecord, seed: u64) -> Option<Self> {
        let estimate = |of: &dyn Fn(&Measurement) -> Option<f64>| {
            let samples: Vec<f64> = trials.iter().filter_map(|trial| of(trial)).collect();
            estimate_median(&samples, seed)
        };
        let mut latency: Option<Histogram<u64>> = None;
        for histogram in trials.iter().filter_map(|trial| trial.latency.histogram().ok()) {
            match &mut latency {
                None => latency = Some(histogram),
                // Histograms of other bounds come from no version of this tool.
                Some(sum) => sum.add(&histogram).ok()?,
            }
        }
        let latency = latency?;
        let expected = trials.iter().map(|trial| percentile_base(trial, scenario)).sum();
        let failed: u64 = trials.iter().map(|trial| trial.pairs.lost()).sum();
        let settled: u64 =
            trials.iter().map(|trial| trial.pairs.expected() - trial.pairs.pending).sum();
        Some(Self {
            ranking: estimate(&|trial| Some(ranking_figure(trial, scenario)))?,
            relative: None,
            deliveries_per_second: estimate(&|trial| Some(deliveries_per_second(trial)))?,
            latency_p50_ns: latency_ns(&latency, expected, 0.5),
            latency_p99_ns: estimate(&|trial| Some(trial_latency_ns(trial, scenario, 0.99)))?,
            latency_p999_ns: latency_ns(&latency, expected, 0.999),
            lost_share: if settled == 0 { 0.0 } else { failed as f64 / settled as f64 },
            cpu_us_per_delivery: estimate(&cpu_us_per_delivery),
            peak_resident_bytes: trials.iter().map(|t| t.server.peak_resident_bytes).max()?,
            threads: trials.iter().map(|t| t.server.threads).max()?,
            latency,
            expected,
        })
    }
}

#[cfg(test)]
mod tests;
