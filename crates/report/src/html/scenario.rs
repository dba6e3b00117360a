//! One scenario: its setting, its table, its plots, its trials.

use askama::Template;

use crate::analysis::ScenarioAnalysis;
use crate::columns::{
    CPU, DELIVERIES, FigureColumn, GENERATOR_BUSY, IMPLEMENTATION, INSTRUCTIONS, INTERVAL, MEMORY,
    RUNS, TIER, TO_BEST, VALID_TRIALS, Value, ranking_title, target_figures, trial_figures,
};
use crate::decided;
use crate::format::{count, digits, percent};
use crate::merge::{MergedRun, run_of};
use crate::record::{LoadRecord, Role, ScenarioRecord, TargetRecord, TrialRecord, TrialResult};
use crate::row::Row;
use crate::verdict::{Validity, judge_as};
use crate::yardstick::sentence;

use super::cells::{Cell, figure_cells, figure_heads, th};
use super::drawing::Drawing;
use super::drawings::drawings;
use super::ids::Ids;
use super::packed::packed;
use super::rate_drawings::rate_drawings;
use super::whisker::Scale;

/// One scenario as the page shows it.
pub(super) struct Scenario<'a> {
    pub(super) name: &'a str,
    pub(super) question: &'a str,
    pub(super) note: &'a str,
    /// What the machine does without a server; empty if unknown.
    pub(super) limit: String,
    pub(super) setting: String,
    /// What was decided, with what certainty, and what it would take to decide the rest.
    pub(super) decided: String,
    /// The same of each cost of a delivery.
    pub(super) by_cost: Vec<String>,
    /// What it is ranked by.
    pub(super) ranked_by: &'static str,
    /// The heads of its table, as HTML.
    pub(super) heads: String,
    pub(super) verdicts: Vec<(&'static str, String)>,
    pub(super) rows: Vec<RowView<'a>>,
    pub(super) drawings: Vec<Drawing>,
    /// The table of all trials as HTML, compressed: it is long, and few readers open it.
    pub(super) trials: String,
    pub(super) number_of_trials: usize,
    /// Whether the trials come from several runs.
    pub(super) has_runs: bool,
}

/// A table shows so many rows at first, and those that stand out; the page has a button for all.
const FIRST_ROWS: usize = 20;

impl Scenario<'_> {
    pub(super) fn is_long(&self) -> bool {
        self.rows.len() > FIRST_ROWS
    }
}

/// One implementation in the table.
pub(super) struct RowView<'a> {
    pub(super) target: &'a TargetRecord,
    pub(super) id: String,
    /// Its position in the ranking, from 0.
    pub(super) position: usize,
    /// Empty if it is not ranked.
    pub(super) tier: String,
    /// Whether a tier begins here.
    pub(super) opens_tier: bool,
    /// Whether the table shows it only when asked for all.
    pub(super) is_beyond: bool,
    /// Empty if it is ranked.
    pub(super) reason: &'a str,
    pub(super) whisker: String,
    /// What the interval is sorted by.
    pub(super) whisker_cell: Cell,
    /// Its ranking figure relative to the best; empty for the best itself.
    pub(super) relative: String,
    pub(super) figures: Vec<Cell>,
    pub(super) trials: Cell,
    /// The runs that its trials come from; empty if there is only one.
    pub(super) runs: String,
}

/// The table of the raw figures.
#[derive(Template)]
#[template(path = "trials.html")]
struct Trials<'a> {
    scenario: &'a str,
    /// The heads of the figures, as HTML.
    heads: String,
    rows: Vec<TrialView<'a>>,
    has_runs: bool,
}

/// One trial in the table of the raw figures.
struct TrialView<'a> {
    order: u32,
    block: u32,
    run: usize,
    target: &'a str,
    role: &'static str,
    offered: Cell,
    verdict: String,
    class: &'static str,
    reason: String,
    cells: Vec<Cell>,
    log: String,
}

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
        let columns = trial_figures(analysis.measured());
        let own = trials.iter().filter(|trial| trial.scenario == scenario.name);
        let own: Vec<_> = own.map(|trial| trial_view(trial, scenario, &columns, runs)).collect();
        let number_of_trials = own.len();
        let table = Trials {
            scenario: &scenario.name,
            heads: figure_heads(&columns),
            rows: own,
            has_runs: !runs.is_empty(),
        };
        Self {
            name: &scenario.name,
            question: &scenario.question,
            note: &scenario.note,
            limit: analysis.limit.as_ref().map(sentence).unwrap_or_default(),
            setting: setting(scenario),
            decided: decided(analysis),
            by_cost: decided::by_cost(analysis).iter().map(|it| it.text()).collect(),
            ranked_by: ranking_title(scenario.rank_by),
            heads: heads(analysis, !runs.is_empty()),
            verdicts: verdict_counts(&analysis.rows),
            rows: rows(analysis, ids, runs),
            drawings: all_drawings,
            trials: packed(&table.to_string()),
            number_of_trials,
            has_runs: !runs.is_empty(),
        }
    }
}

/// What was decided, and what not.
pub(super) fn decided(analysis: &ScenarioAnalysis<'_>) -> String {
    let sentences = [Some(decided::sentence(analysis)), decided::what_it_would_take(analysis)];
    sentences.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn heads(analysis: &ScenarioAnalysis<'_>, has_runs: bool) -> String {
    let mut heads = th(&TIER, "") + &th(&IMPLEMENTATION, "") + &th(&INTERVAL, "drawn");
    heads += &th(&TO_BEST, "n");
    heads += &figure_heads(&target_figures(analysis.scenario.rank_by, analysis.measured()));
    heads += &th(&VALID_TRIALS, "n");
    if has_runs {
        heads += &th(&RUNS, "n");
    }
    heads
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
        LoadRecord::Saturate => "each as fast as the server accepts them".to_owned(),
        LoadRecord::EveryoneAtOnce => {
            "one message each, and the next when every client has received all of them".to_owned()
        }
        LoadRecord::Search { max_latency_p99_ms, max_lost_share, .. } => format!(
            "at the highest rate with a 99th percentile of {max_latency_p99_ms} ms at most and \
             {} lost at most",
            percent(max_lost_share)
        ),
    };
    let further =
        if scenario.looks_max > 1 { ", and more where tiers were not told apart" } else { "" };
    let bodies: Vec<_> = scenario.body_bytes.iter().map(u8::to_string).collect();
    let mut also = String::new();
    if scenario.stalled_clients > 0 {
        also += &format!(" {} more never read.", scenario.stalled_clients);
    }
    if scenario.churn_per_second > 0.0 {
        also += &format!(" {} more connect and disconnect each second.", scenario.churn_per_second);
    }
    if scenario.untimed_per_message > 0 {
        also += &format!(
            " Before each message, {} untimed ones of {} bytes.",
            scenario.untimed_per_message, scenario.untimed_bytes
        );
    }
    if scenario.split_writes {
        also += " Senders write header and body with two calls, with Nagle's algorithm on.";
    }
    format!(
        "{} clients receive and {} of them send, {load}.{also} Bodies of {} bytes; {} s of \
         warm-up, then {} s measured, {} trials per implementation{further}.",
        scenario.clients,
        scenario.senders,
        bodies.join(", "),
        scenario.warm_up_seconds,
        scenario.measure_seconds,
        scenario.repeats
    )
}

/// How many trials have which verdict, each with its class.
pub(super) fn verdict_counts(rows: &[Row<'_>]) -> Vec<(&'static str, String)> {
    let results = || rows.iter().flat_map(|row| &row.trials).map(|trial| &trial.record.result);
    let failed = results().filter(|it| matches!(it, TrialResult::Failed { .. })).count();
    let prevented = results().filter(|it| matches!(it, TrialResult::Prevented { .. })).count();
    let mut counts: Vec<_> =
        [Validity::Valid, Validity::ClientBound, Validity::Noisy, Validity::Incorrect]
            .into_iter()
            .map(|validity| {
                (validity, rows.iter().map(|row| row.number_of(validity)).sum::<usize>())
            })
            .filter(|(_, number)| *number > 0)
            .map(|(validity, number)| (class(validity), format!("{number} {validity}")))
            .collect();
    if prevented > 0 {
        counts.push((class(Validity::Noisy), format!("{prevented} PREVENTED")));
    }
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
        .map(|(position, row)| {
            let tier = row.rank.tier().map_or_else(String::new, |tier| tier.to_string());
            let opens_tier = position == 0 || tier != tier_before;
            tier_before.clone_from(&tier);
            let whisker = match (&row.figures, scale) {
                (Some(figures), Some(scale)) => scale.svg(&figures.ranking),
                _ => String::new(),
            };
            let ranking = row.figures.as_ref().map(|figures| figures.ranking.value());
            let valid = Value::Part {
                part: row.number_of(Validity::Valid) as u32,
                of: row.trials.len() as u32,
            };
            RowView {
                target: row.target,
                id: ids.get(&row.target.name),
                position,
                tier,
                opens_tier,
                is_beyond: position >= FIRST_ROWS,
                reason: row.rank.reason().unwrap_or_default(),
                whisker,
                whisker_cell: ranking.map_or_else(Cell::none, |it| Cell::bounded(it, "")),
                relative: relative(row),
                figures: figure_cells(
                    row.figures.as_ref(),
                    analysis.scenario.rank_by,
                    analysis.measured(),
                ),
                trials: Cell::of(&valid, digits),
                runs: runs_of(row, runs),
            }
        })
        .collect()
}

/// The ranking figure relative to the best; empty for the best itself, and what is not ranked.
pub(super) fn relative(row: &Row<'_>) -> String {
    let ratio = row.figures.as_ref().and_then(|figures| figures.relative);
    ratio.map_or_else(String::new, |ratio| format!("× {}", digits(ratio.median)))
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
        Role::Yardstick => "limit",
    }
}

fn trial_view<'a>(
    trial: &'a TrialRecord,
    scenario: &ScenarioRecord,
    columns: &[&FigureColumn],
    runs: &[MergedRun],
) -> TrialView<'a> {
    let (verdict, class, reason, cells, log) = match &trial.result {
        TrialResult::Measured(figures) => {
            let verdict = judge_as(trial.role, figures);
            // What nobody timed has no latency.
            let is_known = |column: &FigureColumn| {
                trial.role != Role::Yardstick
                    || [&DELIVERIES, &CPU, &MEMORY, &INSTRUCTIONS, &GENERATOR_BUSY]
                        .iter()
                        .any(|timeless| timeless.head.key == column.head.key)
            };
            let cell = |column: &FigureColumn| match is_known(column) {
                true => Cell::trial(column, figures, scenario),
                false => Cell::none(),
            };
            let cells = columns.iter().copied().map(cell).collect();
            (
                verdict.validity.to_string(),
                class(verdict.validity),
                verdict.reason,
                cells,
                String::new(),
            )
        }
        TrialResult::Failed { reason, log } => {
            let cells = vec![Cell::none(); columns.len()];
            ("FAILED".to_owned(), "bad", reason.clone(), cells, log.join("\n"))
        }
        TrialResult::Prevented { reason } => {
            let cells = vec![Cell::none(); columns.len()];
            ("PREVENTED".to_owned(), class(Validity::Noisy), reason.clone(), cells, String::new())
        }
    };
    TrialView {
        order: trial.order + 1,
        block: trial.block + 1,
        run: run_of(runs, trial.order),
        target: &trial.target,
        role: role(trial.role),
        offered: trial.offered_rate.map_or_else(Cell::none, |it| Cell::new(it, count(it))),
        verdict,
        class,
        reason,
        cells,
        log,
    }
}
