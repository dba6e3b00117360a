//! One scenario: its setting, its table, its plots, its trials.

use crate::analysis::{
    Rank, Row, ScenarioAnalysis, cpu_us_per_delivery, deliveries_per_second, number_of,
    trial_latency_ns,
};
use crate::format::{bytes, count, percent, time};
use crate::merge::{MergedRun, run_of};
use crate::plots::Pen;
use crate::record::{
    LoadRecord, Measurement, RankBy, Role, ScenarioRecord, TargetRecord, TrialRecord, TrialResult,
};
use crate::verdict::{Validity, judge};

use super::cells::{Cell, FigureCells, ranking_title};
use super::drawings::{Drawing, drawings, rate_drawings, shown};
use super::ids::Ids;
use super::whisker::Scale;

/// One scenario as the page shows it.
pub(super) struct Scenario<'a> {
    pub(super) name: &'a str,
    pub(super) question: &'a str,
    pub(super) note: &'a str,
    pub(super) setting: String,
    /// What it is ranked by.
    pub(super) ranked_by: &'static str,
    /// Whether no other column has the figure that it is ranked by.
    pub(super) is_search: bool,
    pub(super) verdicts: Vec<(&'static str, String)>,
    pub(super) rows: Vec<RowView<'a>>,
    pub(super) legend: Vec<LegendEntry>,
    pub(super) drawings: Vec<Drawing>,
    pub(super) trials: Vec<TrialView<'a>>,
    /// Whether the trials come from several runs.
    pub(super) has_runs: bool,
}

/// One implementation in the table.
pub(super) struct RowView<'a> {
    pub(super) target: &'a TargetRecord,
    pub(super) id: String,
    /// Its place in the table, from 0.
    pub(super) place: usize,
    /// Empty if it is not ranked.
    pub(super) tier: String,
    /// Whether a tier begins here.
    pub(super) opens_tier: bool,
    /// Empty if it is ranked.
    pub(super) reason: String,
    pub(super) whisker: String,
    pub(super) figures: Option<FigureCells>,
    pub(super) trials: Cell,
    /// The runs that its trials come from; empty if there is only one.
    pub(super) runs: String,
}

/// How one implementation is drawn in the plots.
pub(super) struct LegendEntry {
    pub(super) name: String,
    pub(super) color: &'static str,
    pub(super) dash: &'static str,
}

/// One trial in the table of the raw figures.
pub(super) struct TrialView<'a> {
    pub(super) order: u32,
    pub(super) block: u32,
    pub(super) run: usize,
    pub(super) target: &'a str,
    pub(super) role: &'static str,
    pub(super) offered: Cell,
    pub(super) verdict: String,
    pub(super) class: &'static str,
    pub(super) reason: String,
    pub(super) cells: Vec<Cell>,
    pub(super) log: String,
}

/// The heads of [`TrialView::cells`].
pub(super) const TRIAL_HEADS: [&str; 13] = [
    "deliveries/s",
    "p50",
    "p99",
    "p99.9",
    "last receiver p99",
    "service p99",
    "lost",
    "pending",
    "late",
    "CPU/delivery",
    "peak memory",
    "generator busy",
    "schedule lag p99",
];

impl<'a> Scenario<'a> {
    /// `trials` are those of all scenarios, in all roles.
    pub(super) fn of(
        analysis: &'a ScenarioAnalysis<'a>,
        trials: &'a [TrialRecord],
        ids: &Ids,
        runs: &[MergedRun],
    ) -> Self {
        let scenario = analysis.scenario;
        let mut all_drawings = drawings(analysis);
        all_drawings.extend(rate_drawings(analysis, trials));
        let own = trials.iter().filter(|trial| trial.scenario == scenario.name);
        Self {
            name: &scenario.name,
            question: &scenario.question,
            note: &scenario.note,
            setting: setting(scenario),
            ranked_by: ranking_title(scenario.rank_by),
            is_search: scenario.rank_by == RankBy::Capacity,
            verdicts: verdict_counts(&analysis.rows),
            rows: rows(analysis, ids, runs),
            legend: shown(analysis).iter().map(|it| legend_entry(it.name(), it.pen)).collect(),
            drawings: all_drawings,
            trials: own.map(|trial| trial_view(trial, scenario, runs)).collect(),
            has_runs: !runs.is_empty(),
        }
    }
}

fn legend_entry(name: String, pen: Pen) -> LegendEntry {
    LegendEntry { name, color: pen.color(), dash: pen.dash() }
}

/// The scale of the ranking figure's intervals.
pub(super) fn whiskers(analysis: &ScenarioAnalysis<'_>) -> Option<Scale> {
    let figures = analysis.rows.iter().filter_map(|row| row.figures.as_ref());
    Scale::of(figures.map(|figures| &figures.ranking))
}

fn setting(scenario: &ScenarioRecord) -> String {
    let load = match scenario.load {
        LoadRecord::FixedRate { messages_per_second } => {
            format!("{messages_per_second} messages per second in all, whatever the server does")
        }
        LoadRecord::Burst { messages_per_burst, bursts_per_second } => format!(
            "{messages_per_burst} messages at once, {bursts_per_second} times a second, whatever \
             the server does"
        ),
        LoadRecord::Saturate => "each as fast as the server takes them".to_owned(),
        LoadRecord::EveryoneAtOnce => {
            "each one message at a time, the next when everybody has received all".to_owned()
        }
        LoadRecord::Search { max_latency_p99_ms, max_lost_share, .. } => format!(
            "at the highest rate with a 99th percentile of {max_latency_p99_ms} ms at most and \
             {} lost at most",
            percent(max_lost_share)
        ),
    };
    let bodies: Vec<_> = scenario.body_bytes.iter().map(u8::to_string).collect();
    let mut also = String::new();
    if scenario.stalled_clients > 0 {
        also += &format!(" {} more never read.", scenario.stalled_clients);
    }
    if scenario.churn_per_second > 0.0 {
        also += &format!(" {} more come and go each second.", scenario.churn_per_second);
    }
    if scenario.untimed_per_message > 0 {
        also += &format!(
            " Before each message, {} untimed ones of {} bytes.",
            scenario.untimed_per_message, scenario.untimed_bytes
        );
    }
    format!(
        "{} clients receive and {} of them send, {load}.{also} Bodies of {} bytes; {} s of \
         warm-up, then {} s measured, {} times for each implementation.",
        scenario.clients,
        scenario.senders,
        bodies.join(", "),
        scenario.warm_up_seconds,
        scenario.measure_seconds,
        scenario.repeats
    )
}

/// How many trials came to which verdict, each with its class.
pub(super) fn verdict_counts(rows: &[Row<'_>]) -> Vec<(&'static str, String)> {
    let failed =
        rows.iter().flat_map(|row| &row.trials).filter(|trial| trial.verdict.is_none()).count();
    let mut counts: Vec<_> =
        [Validity::Valid, Validity::ClientBound, Validity::Noisy, Validity::Incorrect]
            .into_iter()
            .map(|validity| {
                (validity, rows.iter().map(|row| number_of(&row.trials, validity)).sum::<usize>())
            })
            .filter(|(_, number)| *number > 0)
            .map(|(validity, number)| (class(validity), format!("{number} {validity}")))
            .collect();
    if failed > 0 {
        counts.push(("bad", format!("{failed} FAILED")));
    }
    counts
}

fn class(validity: Validity) -> &'static str {
    match validity {
        Validity::Valid => "good",
        Validity::ClientBound | Validity::Noisy => "doubtful",
        Validity::Incorrect => "bad",
    }
}

fn rows<'a>(analysis: &'a ScenarioAnalysis<'a>, ids: &Ids, runs: &[MergedRun]) -> Vec<RowView<'a>> {
    let scale = whiskers(analysis);
    let mut tier_before = String::new();
    let measured = analysis.rows.iter().filter(|row| !row.trials.is_empty());
    measured
        .enumerate()
        .map(|(place, row)| {
            let (tier, reason) = match &row.rank {
                Rank::Ranked { tier } => (tier.to_string(), String::new()),
                Rank::Unranked { reason } => (String::new(), reason.clone()),
            };
            let opens_tier = place == 0 || tier != tier_before;
            tier_before.clone_from(&tier);
            let whisker = match (&row.figures, scale) {
                (Some(figures), Some(scale)) => scale.svg(&figures.ranking),
                _ => String::new(),
            };
            let valid = number_of(&row.trials, Validity::Valid);
            RowView {
                target: row.target,
                id: ids.get(&row.target.name),
                place,
                tier,
                opens_tier,
                reason,
                whisker,
                figures: FigureCells::of(row, analysis.scenario.rank_by),
                trials: Cell::new(valid as f64, format!("{valid} of {}", row.trials.len())),
                runs: runs_of(row, runs),
            }
        })
        .collect()
}

fn runs_of(row: &Row<'_>, runs: &[MergedRun]) -> String {
    let mut numbers: Vec<usize> = row
        .trials
        .iter()
        .map(|trial| run_of(runs, trial.record.order))
        .filter(|it| *it > 0)
        .collect();
    numbers.dedup();
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Measure => "measure",
        Role::Twin => "twin",
        Role::Search => "search",
        Role::Hold => "hold",
        Role::Curve => "curve",
    }
}

fn trial_view<'a>(
    trial: &'a TrialRecord,
    scenario: &ScenarioRecord,
    runs: &[MergedRun],
) -> TrialView<'a> {
    let (verdict, class, reason, cells, log) = match &trial.result {
        TrialResult::Measured(figures) => {
            let verdict = judge(figures);
            let cells = trial_cells(figures, scenario);
            (
                verdict.validity.to_string(),
                class(verdict.validity),
                verdict.reason,
                cells,
                String::new(),
            )
        }
        TrialResult::Failed { reason, log } => {
            let cells = vec![Cell::none(); TRIAL_HEADS.len()];
            ("FAILED".to_owned(), "bad", reason.clone(), cells, log.join("\n"))
        }
    };
    TrialView {
        order: trial.order + 1,
        block: trial.block + 1,
        run: run_of(runs, trial.order),
        target: &trial.target,
        role: role(trial.role),
        offered: Cell::of(trial.offered_rate, count),
        verdict,
        class,
        reason,
        cells,
        log,
    }
}

fn trial_cells(trial: &Measurement, scenario: &ScenarioRecord) -> Vec<Cell> {
    let of_expected = |pairs: u64| {
        let share = pairs as f64 / trial.pairs.expected().max(1) as f64;
        Cell::new(share, percent(share))
    };
    let latency = |quantile| {
        let ns = trial_latency_ns(trial, scenario, quantile);
        Cell::new(ns, time(ns))
    };
    let ns = |value: u64| Cell::new(value as f64, time(value as f64));
    let rate = deliveries_per_second(trial);
    let memory = trial.server.peak_resident_bytes;
    let busy = trial.generator.cpu_seconds / trial.generator.sampled_seconds;
    vec![
        Cell::new(rate, count(rate)),
        latency(0.5),
        latency(0.99),
        latency(0.999),
        ns(trial.last_receiver.arrived_p99_ns),
        ns(trial.service.arrived_p99_ns),
        of_expected(trial.pairs.lost()),
        of_expected(trial.pairs.pending),
        of_expected(trial.late),
        Cell::of(cpu_us_per_delivery(trial), |us| time(us * 1e3)),
        Cell::new(memory as f64, bytes(memory)),
        Cell::new(busy, percent(busy)),
        ns(trial.schedule_lag.lag_p99_ns),
    ]
}
