//! The page of one implementation: its facts, figures, costs and source code.

use crate::analysis::ScenarioAnalysis;
use crate::columns::{
    COSTS, FigureColumn, Measured, TIER, TO_BEST, cases_passed, ranking_text, ranking_title,
    target_figures,
};
use crate::format::digits;
use crate::record::{
    CaseRecord, ConformanceRecord, RankBy, SourceRecord, TargetRecord, TargetStatus,
};

use super::cells::{Cell, figure_heads, th};
use super::ids::Ids;
use super::packed::packed;
use super::scenario::relative;
use super::{source, style};

/// One implementation as its page shows it.
pub(super) struct Implementation<'a> {
    pub(super) target: &'a TargetRecord,
    pub(super) id: String,
    /// The page of its style.
    pub(super) style_id: String,
    pub(super) facts: Vec<(&'static str, String)>,
    /// Where to read about the library; empty unless it is a web address.
    pub(super) url: &'a str,
    /// Why it was not measured; empty if it was.
    pub(super) unmeasured: String,
    /// The heads of its ranks and figures, as HTML.
    pub(super) heads: String,
    pub(super) ranks: Vec<RankView<'a>>,
    pub(super) costs: Vec<(&'static str, Cell)>,
    pub(super) idle_failure: &'a str,
    pub(super) conformance: Option<ConformanceView<'a>>,
    /// HTML.
    pub(super) style: Option<String>,
    pub(super) sources: Vec<SourceView<'a>>,
    /// How many of its sources are outside its folder.
    pub(super) other_files: usize,
}

/// Its rank and figures in one scenario.
pub(super) struct RankView<'a> {
    pub(super) scenario: &'a str,
    pub(super) question: &'a str,
    /// Empty if it is not ranked.
    pub(super) tier: String,
    /// Empty if it is ranked.
    pub(super) reason: &'a str,
    /// The figure that the scenario ranks by.
    pub(super) ranking: Cell,
    /// Which of two such figures is better: the `low` or the `high` one.
    pub(super) better: &'static str,
    /// Relative to the best; empty for the best itself.
    pub(super) relative: String,
    pub(super) figures: Vec<Cell>,
}

/// What the conformance suite found.
pub(super) struct ConformanceView<'a> {
    pub(super) record: &'a ConformanceRecord,
    pub(super) class: &'static str,
    pub(super) passed: String,
    pub(super) findings: &'a [CaseRecord],
}

/// One file of its program.
pub(super) struct SourceView<'a> {
    pub(super) path: &'a str,
    pub(super) lines: usize,
    /// Whether it is in the folder of the entry.
    pub(super) is_own: bool,
    pub(super) text: &'a str,
    /// The same with its tokens marked, as HTML, compressed: markup takes far more than the text.
    /// Empty for what is not highlighted.
    pub(super) highlighted: String,
}

impl<'a> Implementation<'a> {
    pub(super) fn of(
        target: &'a TargetRecord,
        analyses: &'a [ScenarioAnalysis<'a>],
        ids: &Ids,
    ) -> Self {
        let unmeasured = match &target.status {
            TargetStatus::Measured => String::new(),
            TargetStatus::Skipped { reason, remedy } if remedy.is_empty() => reason.clone(),
            TargetStatus::Skipped { reason, remedy } => format!("{reason} ({remedy})"),
            TargetStatus::FailedCheck { reason } => {
                format!("failed the conformance check: {reason}")
            }
        };
        let is_web = matches!(target.url.split_once("://"), Some(("http" | "https", _)));
        let columns = columns(analyses);
        Self {
            target,
            id: ids.get(&target.name),
            style_id: ids.style(&target.style),
            facts: facts(target),
            url: if is_web { &target.url } else { "" },
            unmeasured,
            heads: heads(&columns),
            ranks: analyses
                .iter()
                .filter_map(|analysis| rank_view(target, analysis, &columns))
                .collect(),
            costs: costs(target),
            idle_failure: target.costs.idle_failure.as_deref().unwrap_or(""),
            conformance: target.conformance.as_ref().map(|record| ConformanceView {
                record,
                class: match record.verdict.as_str() {
                    "pass" => "good",
                    "fail" => "bad",
                    _ => "doubtful",
                },
                passed: cases_passed(target).text(digits),
                findings: &record.findings,
            }),
            style: style::description(&target.style, &target.name),
            sources: target.sources.iter().map(source_view).collect(),
            other_files: target.sources.iter().filter(|file| !is_own(file)).count(),
        }
    }
}

/// Whether a source is in the folder of its entry.
fn is_own(file: &SourceRecord) -> bool {
    !file.path.starts_with("../")
}

/// A program is highlighted; what it is a door to is much, and is shown as it is.
fn source_view(file: &SourceRecord) -> SourceView<'_> {
    let is_own = is_own(file);
    SourceView {
        path: &file.path,
        lines: file.text.lines().count(),
        is_own,
        text: &file.text,
        highlighted: if is_own {
            packed(&source::highlighted(&file.path, &file.text))
        } else {
            String::new()
        },
    }
}

fn facts(target: &TargetRecord) -> Vec<(&'static str, String)> {
    let slow_reader = match (target.slow_reader.as_str(), target.queue_limit.as_str()) {
        ("", _) => String::new(),
        (policy, "") => policy.to_owned(),
        (policy, limit) => format!("{policy}, at {limit}"),
    };
    [
        ("Language", target.language.clone()),
        ("Slow-reader policy", slow_reader),
        ("Toolchain", target.toolchain.join(", ")),
        ("Command", target.command.join(" ")),
        ("Running at", target.addresses.join(", ")),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .collect()
}

/// The known costs, with their names; the cases that passed have a section of their own.
fn costs(target: &TargetRecord) -> Vec<(&'static str, Cell)> {
    COSTS
        .iter()
        .filter(|column| column.head.key != "cases_passed")
        .map(|column| (column.head.title, Cell::cost(column, target)))
        .filter(|(_, cell)| !cell.key.is_empty())
        .collect()
}

/// The figures that every scenario has.
fn columns(analyses: &[ScenarioAnalysis<'_>]) -> Vec<&'static FigureColumn> {
    let instructions = analyses.iter().any(|it| it.measured().instructions);
    target_figures(RankBy::Latency, Measured { limit: false, instructions })
}

fn heads(columns: &[&'static FigureColumn]) -> String {
    let plain = |title| format!("<th scope=\"col\"{title}</th>");
    plain(">Scenario")
        + &th(&TIER, "")
        + &plain(" class=\"n\">Ranked by")
        + &th(&TO_BEST, "n")
        + &figure_heads(columns)
}

fn rank_view<'a>(
    target: &TargetRecord,
    analysis: &'a ScenarioAnalysis<'a>,
    columns: &[&'static FigureColumn],
) -> Option<RankView<'a>> {
    let row = analysis.rows.iter().find(|row| row.target.name == target.name)?;
    if row.trials.is_empty() {
        return None;
    }
    let scenario = analysis.scenario;
    let cell = |column: &FigureColumn| {
        row.figures.as_ref().map_or_else(Cell::none, |figures| Cell::figure(column, figures))
    };
    let ranking = row.figures.as_ref().map_or_else(Cell::none, |figures| {
        let value = figures.ranking.value();
        Cell::bounded(value, ranking_text(scenario.rank_by, value))
    });
    Some(RankView {
        scenario: &scenario.name,
        question: &scenario.question,
        tier: row.rank.tier().map_or_else(String::new, |tier| tier.to_string()),
        reason: row.rank.reason().unwrap_or_default(),
        ranking: Cell { small: ranking_title(scenario.rank_by).to_owned(), ..ranking },
        better: if scenario.rank_by == RankBy::Latency { "low" } else { "high" },
        relative: relative(row),
        figures: columns.iter().copied().map(cell).collect(),
    })
}
