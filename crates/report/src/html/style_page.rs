//! The page of a style: what it is, its implementations, and what they have in common.

use std::collections::BTreeMap;

use crate::analysis::ScenarioAnalysis;
use crate::columns::{COSTS, CPU, CostColumn, IMPLEMENTATION, ranking_text, ranking_title};
use crate::format::digits;
use crate::record::{TargetRecord, TargetStatus};
use crate::statistics::median;
use crate::style_map::reference;

use super::cells::{Cell, th};
use super::ids::Ids;
use super::style;

/// The costs that the table of a style's implementations shows, by key.
const SHOWN_COSTS: [&str; 5] = [
    "lines_of_code",
    "dependencies",
    "start_up_seconds",
    "memory_per_connection_bytes",
    "cases_passed",
];

/// One style as its page shows it.
pub(super) struct StylePage<'a> {
    pub(super) name: &'a str,
    pub(super) id: String,
    /// What it is, as HTML; absent for a style of somebody's own.
    pub(super) paragraph: Option<String>,
    /// The heads of the implementations' table, as HTML.
    pub(super) heads: String,
    pub(super) rows: Vec<StyleRow<'a>>,
    /// What its implementations have in common and what not, in a sentence; empty for one alone.
    pub(super) in_common: String,
    pub(super) common: Vec<CommonRow>,
}

/// One implementation of a style.
pub(super) struct StyleRow<'a> {
    pub(super) target: &'a TargetRecord,
    pub(super) id: String,
    pub(super) cells: Vec<Cell>,
    /// The scenarios in which it is in the first tier.
    pub(super) first_in: Vec<&'a str>,
    pub(super) is_measured: bool,
}

/// One figure over the implementations of a style, and over all.
pub(super) struct CommonRow {
    pub(super) title: String,
    /// The name of the scenario; empty for a cost.
    pub(super) scenario: String,
    pub(super) lowest: Cell,
    pub(super) median: Cell,
    pub(super) highest: Cell,
    pub(super) overall: Cell,
    /// Of the style's median to that of all.
    pub(super) ratio: Cell,
}

/// One figure of many implementations.
struct Measure {
    title: String,
    scenario: String,
    format: Box<dyn Fn(f64) -> String>,
    values: BTreeMap<String, f64>,
}

/// The pages of all styles of `targets`, in order of their names.
pub(super) fn style_pages<'a>(
    targets: &'a [TargetRecord],
    analyses: &'a [ScenarioAnalysis<'a>],
    ids: &Ids,
) -> Vec<StylePage<'a>> {
    let measures = measures(targets, analyses);
    let mut by_style: BTreeMap<&str, Vec<&TargetRecord>> = BTreeMap::new();
    for target in targets.iter().filter(|target| !target.style.is_empty()) {
        by_style.entry(&target.style).or_default().push(target);
    }
    let page = |(name, targets): (&'a str, Vec<&'a TargetRecord>)| {
        let common: Vec<CommonRow> =
            measures.iter().filter_map(|measure| common_row(measure, &targets)).collect();
        StylePage {
            name,
            id: ids.style(name),
            paragraph: style::first_paragraph(name),
            heads: heads(analyses),
            in_common: in_common(&common, &measures, &targets),
            common,
            rows: targets.iter().map(|target| style_row(target, analyses, ids)).collect(),
        }
    };
    by_style.into_iter().map(page).collect()
}

fn shown_costs() -> impl Iterator<Item = &'static CostColumn> {
    COSTS.iter().filter(|column| SHOWN_COSTS.contains(&column.head.key))
}

fn heads(analyses: &[ScenarioAnalysis<'_>]) -> String {
    let mut heads = th(&IMPLEMENTATION, "");
    if let Some(analysis) = reference(analyses) {
        let name = crate::markup::escaped(&analysis.scenario.name);
        heads +=
            &format!("<th scope=\"col\" class=\"n\">{} <small>{name}</small></th>", CPU.head.title);
    }
    shown_costs().fold(heads, |heads, column| heads + &th(&column.head, "n"))
}

fn style_row<'a>(
    target: &'a TargetRecord,
    analyses: &'a [ScenarioAnalysis<'a>],
    ids: &Ids,
) -> StyleRow<'a> {
    let row_in = |analysis: &'a ScenarioAnalysis<'a>| {
        analysis.rows.iter().find(|row| row.target.name == target.name)
    };
    let cpu = reference(analyses).map(|analysis| {
        let figures = row_in(analysis).and_then(|row| row.figures.as_ref());
        figures.map_or_else(Cell::none, |figures| Cell::figure(&CPU, figures))
    });
    let costs = shown_costs().map(|column| Cell::cost(column, target));
    let is_first = |it: &&'a ScenarioAnalysis<'a>| {
        row_in(it).is_some_and(|row| row.rank.tier() == Some(1) || row.generator_bound)
    };
    StyleRow {
        target,
        id: ids.get(&target.name),
        cells: cpu.into_iter().chain(costs).collect(),
        first_in: analyses.iter().filter(is_first).map(|it| it.scenario.name.as_str()).collect(),
        is_measured: target.status == TargetStatus::Measured,
    }
}

/// What styles are compared by: the ranking figure of each scenario, and what it costs.
fn measures(targets: &[TargetRecord], analyses: &[ScenarioAnalysis<'_>]) -> Vec<Measure> {
    let mut measures = Vec::new();
    if let Some(analysis) = reference(analyses) {
        let cpu = |figures: &crate::figures::Figures| CPU.value(figures).main()?.exact();
        measures.push(of_scenario(analysis, CPU.head.title.to_owned(), CPU.format, cpu));
    }
    for analysis in analyses {
        let rank_by = analysis.scenario.rank_by;
        let ranking = |figures: &crate::figures::Figures| figures.ranking.value().exact();
        let title = ranking_title(rank_by).to_owned();
        let format = move |value: f64| ranking_text(rank_by, value.into());
        measures.push(of_scenario(analysis, title, format, ranking));
    }
    for column in shown_costs().filter(|column| column.head.key != "cases_passed") {
        let value = |target: &TargetRecord| {
            Some((target.name.clone(), (column.of)(target).main()?.exact()?))
        };
        measures.push(Measure {
            title: column.head.title.to_owned(),
            scenario: String::new(),
            format: Box::new(column.format),
            values: targets.iter().filter_map(value).collect(),
        });
    }
    measures
}

fn of_scenario(
    analysis: &ScenarioAnalysis<'_>,
    title: String,
    format: impl Fn(f64) -> String + 'static,
    value: impl Fn(&crate::figures::Figures) -> Option<f64>,
) -> Measure {
    let values = analysis.rows.iter().filter_map(|row| {
        let value = value(row.figures.as_ref()?)?;
        Some((row.target.name.clone(), value))
    });
    Measure {
        title,
        scenario: analysis.scenario.name.clone(),
        format: Box::new(format),
        values: values.collect(),
    }
}

/// The values of `measure` among `targets`, in order.
fn values(measure: &Measure, targets: &[&TargetRecord]) -> Vec<f64> {
    let mut values: Vec<f64> =
        targets.iter().filter_map(|target| measure.values.get(&target.name).copied()).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn common_row(measure: &Measure, targets: &[&TargetRecord]) -> Option<CommonRow> {
    let own = values(measure, targets);
    let (&lowest, &highest) = (own.first()?, own.last()?);
    let all: Vec<f64> = measure.values.values().copied().collect();
    let (middle, overall) = (median(&own), median(&all));
    let ratio = Some(middle / overall).filter(|it| it.is_finite() && *it > 0.0);
    let cell = |value| Cell::new(value, (measure.format)(value));
    Some(CommonRow {
        title: measure.title.clone(),
        scenario: measure.scenario.clone(),
        lowest: cell(lowest),
        median: cell(middle),
        highest: cell(highest),
        overall: cell(overall),
        ratio: ratio.map_or_else(Cell::none, |it| Cell::new(it, format!("× {}", digits(it)))),
    })
}

/// In which figure the implementations are most alike, and in which least.
fn in_common(common: &[CommonRow], measures: &[Measure], targets: &[&TargetRecord]) -> String {
    let mut spreads: Vec<(f64, String)> = measures
        .iter()
        .filter(|measure| common.iter().any(|row| row.title == measure.title))
        .filter_map(|measure| {
            let own = values(measure, targets);
            let spread = own.last()? / own.first()?;
            let scenario = match measure.scenario.as_str() {
                "" => String::new(),
                name => format!(" in {name}"),
            };
            let is_known = own.len() > 1 && spread.is_finite() && spread >= 1.0;
            is_known.then(|| (spread, format!("{}{scenario}", lower_case(&measure.title))))
        })
        .collect();
    spreads.sort_by(|a, b| a.0.total_cmp(&b.0));
    let [(least, alike), .., (most, unlike)] = &spreads[..] else { return String::new() };
    format!(
        "Its implementations are most alike in {alike} (the highest is {} times the lowest) and \
         least alike in {unlike} ({} times).",
        digits(*least),
        digits(*most)
    )
}

/// A title within a sentence; a name in capitals stays one.
fn lower_case(title: &str) -> String {
    let mut letters = title.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => title.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::analyse;
    use crate::examples;

    #[test]
    fn a_style_is_shown_with_its_implementations_and_what_they_have_in_common() {
        let mut results = examples::detailed_results();
        results.run.targets[2].style = "readiness loop".to_owned();
        let analyses = analyse(&results);
        let ids = Ids::of(&results.run.targets);
        let pages = style_pages(&results.run.targets, &analyses, &ids);
        let page = pages.iter().find(|page| page.name == "readiness loop").expect("a page");
        assert_eq!(page.id, "style-readiness-loop");
        assert!(page.paragraph.as_ref().is_some_and(|it| it.contains("which sockets are ready")));
        let names: Vec<&str> = page.rows.iter().map(|row| row.target.name.as_str()).collect();
        assert_eq!(names, ["fast", "slow"]);
        assert_eq!(page.rows[0].first_in, ["room", "crowd", "limit"]);
        let lines = page.common.iter().find(|row| row.title == "Lines of code").expect("a row");
        assert_eq!((lines.lowest.text.as_str(), lines.highest.text.as_str()), ("61", "97"));
        assert_eq!(lines.overall.text, "97", "the median of all three");
        assert!(page.in_common.contains("most alike in "), "{}", page.in_common);
        // One alone has nothing in common with anybody.
        let alone = pages.iter().find(|page| page.name == "async/await").expect("a page");
        assert_eq!(alone.in_common, "");
    }

    #[test]
    fn a_title_within_a_sentence_is_small_but_for_abbreviations() {
        assert_eq!(lower_case("Lines of code"), "lines of code");
        assert_eq!(lower_case("CPU per delivery"), "CPU per delivery");
        assert_eq!(lower_case("99th percentile"), "99th percentile");
    }
}
