//! The first view: the answer to each scenario's question, and the table of all implementations.

use std::collections::BTreeSet;

use crate::analysis::ScenarioAnalysis;
use crate::bounded::Bounded;
use crate::columns::{COSTS, ranking_text, ranking_title};
use crate::format::digits;
use crate::merge::MergedRun;
use crate::record::{Measurement, RankBy, Role, TargetRecord, TargetStatus, TrialRecord};
use crate::results::Results;
use crate::row::{Row, measurement_of};
use crate::verdict::{Validity, judge};

use super::advice::{Word, advice};
use super::cells::{Cell, th};
use super::ids::Ids;
use super::method::{cpus, elsewhere, time_of_day};
use super::scenario::{decided, verdict_counts, whiskers};

/// A card lists this many ranked implementations; the rest is in the scenario's table.
const CARD_ROWS_MAX: usize = 6;
/// Before them it lists this many of those that were faster than the load generator.
const CARD_GENERATOR_BOUND_MAX: usize = 3;

/// Of more noise floors than this only the lowest and the highest are shown above; all are in the
/// part on method.
const NOISE_FLOORS_MAX: usize = 4;

/// The first view.
pub(super) struct Overview<'a> {
    pub(super) started: String,
    pub(super) measured: usize,
    /// Where the figures come from, in a line each.
    pub(super) provenance: Vec<(&'static str, String)>,
    pub(super) cards: Vec<Card<'a>>,
    pub(super) scenario_names: Vec<&'a str>,
    /// The heads of what implementations cost, as HTML.
    pub(super) cost_heads: String,
    pub(super) glance: Vec<GlanceRow<'a>>,
    pub(super) languages: BTreeSet<&'a str>,
    pub(super) styles: BTreeSet<&'a str>,
    pub(super) libraries: BTreeSet<&'a str>,
    pub(super) unmeasured: Vec<Unmeasured<'a>>,
}

/// One scenario in the first view.
pub(super) struct Card<'a> {
    pub(super) name: &'a str,
    pub(super) question: &'a str,
    pub(super) ranked_by: &'static str,
    pub(super) advice: Vec<Vec<Word>>,
    /// What was decided, with what certainty, and what it would take to decide the rest.
    pub(super) decided: String,
    pub(super) rows: Vec<CardRow<'a>>,
    pub(super) more: usize,
    pub(super) verdicts: Vec<(&'static str, String)>,
    pub(super) was_measured: bool,
}

/// One implementation in a card.
pub(super) struct CardRow<'a> {
    pub(super) target: &'a TargetRecord,
    pub(super) id: String,
    /// 0 for what was faster than the load generator.
    pub(super) tier: usize,
    /// Whether a tier begins here.
    pub(super) opens_tier: bool,
    pub(super) value: String,
    pub(super) whisker: String,
}

/// One implementation in the table of all.
pub(super) struct GlanceRow<'a> {
    pub(super) target: &'a TargetRecord,
    pub(super) id: String,
    /// The page of its style.
    pub(super) style_id: String,
    pub(super) tiers: Vec<TierCell>,
    pub(super) costs: Vec<Cell>,
}

/// The tier in one scenario.
pub(super) struct TierCell {
    /// Empty if it is not ranked.
    pub(super) tier: String,
    pub(super) cell: Cell,
}

/// What was asked for and could not be measured.
pub(super) struct Unmeasured<'a> {
    pub(super) target: &'a TargetRecord,
    pub(super) id: String,
    pub(super) verdict: &'static str,
    pub(super) reason: &'a str,
    pub(super) remedy: &'a str,
}

impl<'a> Overview<'a> {
    pub(super) fn of(
        results: &'a Results,
        analyses: &'a [ScenarioAnalysis<'a>],
        runs: &[MergedRun],
        ids: &Ids,
    ) -> Self {
        let targets = &results.run.targets;
        let known = |of: fn(&TargetRecord) -> &str| -> BTreeSet<&str> {
            targets.iter().map(of).filter(|text| !text.is_empty()).collect()
        };
        let measured: BTreeSet<&str> =
            trials_of_targets(results).map(|trial| trial.target.as_str()).collect();
        Self {
            started: match runs {
                [] => time_of_day(&results.run.started),
                runs => format!("{} runs", runs.len()),
            },
            measured: measured.len(),
            provenance: provenance(results, analyses, runs),
            cards: analyses.iter().map(|analysis| card(analysis, ids)).collect(),
            scenario_names: analyses.iter().map(|it| it.scenario.name.as_str()).collect(),
            cost_heads: COSTS.iter().map(|column| th(&column.head, "n")).collect(),
            glance: targets
                .iter()
                .filter(|target| measured.contains(target.name.as_str()))
                .map(|target| glance_row(target, analyses, ids))
                .collect(),
            languages: known(|target| &target.language),
            styles: known(|target| &target.style),
            libraries: known(|target| &target.library),
            unmeasured: targets.iter().filter_map(|target| unmeasured(target, ids)).collect(),
        }
    }
}

/// All but the limits of the machine.
fn trials_of_targets(results: &Results) -> impl Iterator<Item = &TrialRecord> {
    results.trials.iter().filter(|trial| trial.role != Role::Yardstick)
}

fn provenance(
    results: &Results,
    analyses: &[ScenarioAnalysis<'_>],
    runs: &[MergedRun],
) -> Vec<(&'static str, String)> {
    let machine = &results.run.machine;
    let is_valid = |figures: &&Measurement| judge(figures).validity == Validity::Valid;
    let valid = trials_of_targets(results).filter_map(measurement_of).filter(is_valid).count();
    let mut lines = vec![
        ("Machine", format!("{}, {}", machine.cpu_model, machine.kernel)),
        ("Processors", cpus(&results.run)),
        ("Noise floor", noise_floors(analyses)),
        ("Trials", format!("{valid} valid of {}", trials_of_targets(results).count())),
    ];
    lines.extend(results.run.remote.as_ref().map(|it| ("Servers ran on", elsewhere(it))));
    if !runs.is_empty() {
        let names: Vec<String> =
            runs.iter().enumerate().map(|(at, run)| format!("{} {}", at + 1, run.name)).collect();
        lines.push(("Runs", names.join(", ")));
    }
    lines
}

/// The noise floors of all scenarios; from the lowest to the highest where there are many.
fn noise_floors(analyses: &[ScenarioAnalysis<'_>]) -> String {
    let mut floors: Vec<(f64, &str)> = analyses
        .iter()
        .filter_map(|it| Some((it.noise.as_ref()?.factor(), it.scenario.name.as_str())))
        .collect();
    let text = |(factor, name): &(f64, &str)| format!("{name} × {}", digits(*factor));
    let all = match floors.as_slice() {
        [] => {
            return "unknown: too few valid trials of the implementation that was measured twice"
                .to_owned();
        }
        few if few.len() <= NOISE_FLOORS_MAX => few.iter().map(text).collect::<Vec<_>>().join(", "),
        _ => {
            floors.sort_by(|a, b| a.0.total_cmp(&b.0));
            format!("from {} to {}", text(&floors[0]), text(&floors[floors.len() - 1]))
        }
    };
    format!("{all}; smaller differences may be noise")
}

fn card<'a>(analysis: &'a ScenarioAnalysis<'a>, ids: &Ids) -> Card<'a> {
    let scenario = analysis.scenario;
    let scale = whiskers(analysis);
    let candidates: Vec<(&Row<'_>, usize)> = analysis
        .rows
        .iter()
        .filter_map(|row| {
            let tier = row.rank.tier().or(row.generator_bound.then_some(0))?;
            Some((row, tier))
        })
        .collect();
    let bounds = candidates.iter().take_while(|(_, tier)| *tier == 0).count();
    let shown = candidates[..bounds.min(CARD_GENERATOR_BOUND_MAX)]
        .iter()
        .chain(candidates[bounds..].iter().take(CARD_ROWS_MAX));
    let mut tier_before = usize::MAX;
    let rows = shown.filter_map(|&(row, tier)| {
        let ranking = row.figures.as_ref()?.ranking;
        let opens_tier = tier != tier_before;
        tier_before = tier;
        Some(CardRow {
            target: row.target,
            id: ids.get(&row.target.name),
            tier,
            opens_tier,
            value: value_text(row, scenario.rank_by, ranking.value()),
            whisker: scale.map_or_else(String::new, |scale| scale.svg(&ranking)),
        })
    });
    let rows: Vec<_> = rows.collect();
    Card {
        name: &scenario.name,
        question: &scenario.question,
        ranked_by: ranking_title(scenario.rank_by),
        advice: advice(analysis, ids),
        decided: decided(analysis),
        more: candidates.len() - rows.len(),
        rows,
        verdicts: verdict_counts(&analysis.rows),
        was_measured: analysis.rows.iter().any(|row| !row.trials.is_empty()),
    }
}

/// The ranking figure; a lower bound is marked.
fn value_text(row: &Row<'_>, rank_by: RankBy, value: Bounded) -> String {
    let value = if row.generator_bound { Bounded::at_least(value.least()) } else { value };
    ranking_text(rank_by, value)
}

fn glance_row<'a>(
    target: &'a TargetRecord,
    analyses: &[ScenarioAnalysis<'_>],
    ids: &Ids,
) -> GlanceRow<'a> {
    GlanceRow {
        target,
        id: ids.get(&target.name),
        style_id: ids.style(&target.style),
        tiers: analyses.iter().map(|analysis| tier_cell(target, analysis)).collect(),
        costs: COSTS.iter().map(|column| Cell::cost(column, target)).collect(),
    }
}

/// The tier and the figure in a scenario; sorted by tier, and within it by the figure.
fn tier_cell(target: &TargetRecord, analysis: &ScenarioAnalysis<'_>) -> TierCell {
    let at = analysis.rows.iter().position(|row| row.target.name == target.name);
    let Some((position, row)) = at.map(|at| (at, &analysis.rows[at])) else {
        return TierCell { tier: String::new(), cell: Cell::none() };
    };
    let Some(figures) = &row.figures else {
        return TierCell { tier: String::new(), cell: Cell::none() };
    };
    let text = value_text(row, analysis.scenario.rank_by, figures.ranking.value());
    let tier = row.rank.tier().map_or_else(String::new, |tier| tier.to_string());
    TierCell { tier, cell: Cell::new(position as f64, text) }
}

fn unmeasured<'a>(target: &'a TargetRecord, ids: &Ids) -> Option<Unmeasured<'a>> {
    let (verdict, reason, remedy) = match &target.status {
        TargetStatus::Measured => return None,
        TargetStatus::Skipped { reason, remedy } => ("skipped", reason.as_str(), remedy.as_str()),
        TargetStatus::FailedCheck { reason } => ("failed the check", reason.as_str(), ""),
    };
    Some(Unmeasured { target, id: ids.get(&target.name), verdict, reason, remedy })
}
