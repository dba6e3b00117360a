//! The page of one implementation: what it is, its figures, its costs, its program.

use crate::analysis::{Rank, ScenarioAnalysis};
use crate::record::{CaseRecord, ConformanceRecord, TargetRecord, TargetStatus};

use super::cells::{Cell, FigureCells, ranking_title};
use super::costs::CostCells;
use super::ids::Ids;
use super::overview::conformance;
use super::{source, style};

/// One implementation as its page shows it.
pub(super) struct Implementation<'a> {
    pub(super) target: &'a TargetRecord,
    pub(super) id: String,
    pub(super) facts: Vec<(&'static str, String)>,
    /// Where to read about the library; empty if that is no address of the web.
    pub(super) url: &'a str,
    /// Why it was not measured; empty if it was.
    pub(super) unmeasured: String,
    pub(super) places: Vec<Place<'a>>,
    pub(super) costs: Vec<(&'static str, String)>,
    pub(super) idle_failure: &'a str,
    pub(super) conformance: Option<ConformanceView<'a>>,
    /// HTML.
    pub(super) style: Option<String>,
    pub(super) sources: Vec<SourceView<'a>>,
}

/// Its figures in one scenario.
pub(super) struct Place<'a> {
    pub(super) scenario: &'a str,
    pub(super) question: &'a str,
    pub(super) ranked_by: &'static str,
    /// Empty if it is not ranked.
    pub(super) tier: String,
    pub(super) reason: String,
    pub(super) figures: Option<FigureCells>,
}

/// What the conformance suite found.
pub(super) struct ConformanceView<'a> {
    pub(super) record: &'a ConformanceRecord,
    pub(super) class: &'static str,
    pub(super) passed: Cell,
    pub(super) findings: &'a [CaseRecord],
}

/// One file of its program.
pub(super) struct SourceView<'a> {
    pub(super) path: &'a str,
    pub(super) lines: usize,
    /// HTML.
    pub(super) html: String,
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
            TargetStatus::FailedCheck { reason } => format!("it failed the check: {reason}"),
        };
        let is_web = matches!(target.url.split_once("://"), Some(("http" | "https", _)));
        Self {
            target,
            id: ids.get(&target.name),
            facts: facts(target),
            url: if is_web { &target.url } else { "" },
            unmeasured,
            places: analyses.iter().filter_map(|analysis| place(target, analysis)).collect(),
            costs: CostCells::of(&target.costs).facts(),
            idle_failure: target.costs.idle_failure.as_deref().unwrap_or(""),
            conformance: target.conformance.as_ref().map(|record| ConformanceView {
                record,
                class: match record.verdict.as_str() {
                    "pass" => "good",
                    "fail" => "bad",
                    _ => "doubtful",
                },
                passed: conformance(target),
                findings: &record.findings,
            }),
            style: style::description(&target.style, &target.name),
            sources: target
                .sources
                .iter()
                .map(|file| SourceView {
                    path: &file.path,
                    lines: file.text.lines().count(),
                    html: source::highlighted(&file.path, &file.text),
                })
                .collect(),
        }
    }
}

fn facts(target: &TargetRecord) -> Vec<(&'static str, String)> {
    let slow_reader = match (target.slow_reader.as_str(), target.queue_limit.as_str()) {
        ("", _) => String::new(),
        (policy, "") => policy.to_owned(),
        (policy, limit) => format!("{policy}, at {limit} held for it"),
    };
    [
        ("Language", target.language.clone()),
        ("Style", target.style.clone()),
        ("What a slow reader meets", slow_reader),
        ("Tool chain", target.toolchain.join(", ")),
        ("Command", target.command.join(" ")),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .collect()
}

fn place<'a>(target: &TargetRecord, analysis: &'a ScenarioAnalysis<'a>) -> Option<Place<'a>> {
    let row = analysis.rows.iter().find(|row| row.target.name == target.name)?;
    if row.trials.is_empty() {
        return None;
    }
    let (tier, reason) = match &row.rank {
        Rank::Ranked { tier } => (tier.to_string(), String::new()),
        Rank::Unranked { reason } => (String::new(), reason.clone()),
    };
    let scenario = analysis.scenario;
    Some(Place {
        scenario: &scenario.name,
        question: &scenario.question,
        ranked_by: ranking_title(scenario.rank_by),
        tier,
        reason,
        figures: FigureCells::of(row, scenario.rank_by),
    })
}
