//! Values as cells of tables: what is shown, and what it is sorted by.

use crate::bounded::Bounded;
use crate::columns::{CostColumn, FigureColumn, Head, Measured, Value, target_figures};
use crate::figures::Figures;
use crate::format::interval;
use crate::record::{Measurement, RankBy, ScenarioRecord, TargetRecord};
use crate::statistics::Estimate;

use crate::markup::escaped;

/// One cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cell {
    /// What is shown.
    pub(super) text: String,
    /// In small print below it; may be empty.
    pub(super) small: String,
    /// What the column is sorted by; empty sorts last.
    pub(super) key: String,
    /// Whether the value is a bound, which sorts behind all values that are known.
    pub(super) is_bound: bool,
    /// Whether it is highlighted.
    pub(super) is_alarming: bool,
}

impl Cell {
    pub(super) fn new(value: f64, text: impl Into<String>) -> Self {
        // No number is infinite in the page: what never arrived sorts behind everything.
        let key = if value.is_finite() { rounded(value) } else { f64::MAX };
        let key = format!("{key}");
        Self { text: text.into(), key, ..Self::default() }
    }

    /// A value that is not known.
    pub(super) fn none() -> Self {
        Self { text: "–".to_owned(), ..Self::default() }
    }

    /// A value that may be a bound; `text` says that it is.
    pub(super) fn bounded(value: Bounded, text: impl Into<String>) -> Self {
        Self { is_bound: !value.is_exact(), ..Self::new(value.least(), text) }
    }

    pub(super) fn estimate(estimate: &Estimate, each: impl Fn(f64) -> String) -> Self {
        let (value, small) = (estimate.value(), interval(estimate, &each));
        Self { small, ..Self::bounded(value, value.text(each)) }
    }

    pub(super) fn of(value: &Value, format: fn(f64) -> String) -> Self {
        value.main().map_or_else(Self::none, |main| Self {
            small: value.interval(format),
            ..Self::bounded(main, value.text(format))
        })
    }

    /// A figure over the trials of a target.
    pub(super) fn figure(column: &FigureColumn, figures: &Figures) -> Self {
        Self::of_column(column, &column.value(figures))
    }

    /// A figure of one trial.
    pub(super) fn trial(
        column: &FigureColumn,
        trial: &Measurement,
        scenario: &ScenarioRecord,
    ) -> Self {
        Self::of_column(column, &column.trial_value(trial, scenario))
    }

    /// A cost of a target.
    pub(super) fn cost(column: &CostColumn, target: &TargetRecord) -> Self {
        Self::of(&(column.of)(target), column.format)
    }

    fn of_column(column: &FigureColumn, value: &Value) -> Self {
        let is_alarming = column.is_alarming && value.main().is_some_and(|main| main.least() > 0.0);
        Self { is_alarming, ..Self::of(value, column.format) }
    }

    /// What tells the scripts of the page that the key is a bound.
    pub(super) fn bound_attribute(&self) -> &'static str {
        if self.is_bound { " data-bound=\"least\"" } else { "" }
    }

    /// As an element of a table's row.
    pub(super) fn td(&self) -> String {
        let small = match self.small.as_str() {
            "" => String::new(),
            small => format!("<small>{}</small>", escaped(small)),
        };
        let (key, text) = (escaped(&self.key), escaped(&self.text));
        let class = if self.is_alarming { "n alarming" } else { "n" };
        let bound = self.bound_attribute();
        format!("<td class=\"{class}\" data-key=\"{key}\"{bound}>{text}{small}</td>")
    }
}

/// Five significant digits: more than is shown, and a fraction of the size of the page.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// The figures of a target in a scenario, one cell for each of [`target_figures`].
pub(super) fn figure_cells(
    figures: Option<&Figures>,
    rank_by: RankBy,
    measured: Measured,
) -> Vec<Cell> {
    let cell = |column: &FigureColumn| {
        figures.map_or_else(Cell::none, |figures| Cell::figure(column, figures))
    };
    target_figures(rank_by, measured).into_iter().map(cell).collect()
}

/// The head of a column, as an element of a table; `class` may be empty.
pub(super) fn th(head: &Head, class: &str) -> String {
    let (title, meaning) = (escaped(head.title), escaped(head.meaning));
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    format!("<th scope=\"col\"{class} title=\"{meaning}\">{title}</th>")
}

/// The heads of figures.
pub(super) fn figure_heads(columns: &[&FigureColumn]) -> String {
    columns.iter().map(|column| th(&column.head, "n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{LOST, P99};
    use crate::examples;
    use crate::record::RankBy;

    #[test]
    fn what_never_arrived_sorts_behind_every_time_and_what_is_unknown_has_no_key() {
        let never = Cell::new(f64::INFINITY, "never");
        assert!(never.key.parse::<f64>().unwrap() > 1e300);
        assert_eq!(Cell::none().key, "");
        assert_eq!(Cell::new(0.25, "x").key, "0.25");
        assert_eq!(Cell::new(123_456.789, "x").key, "123460");
        assert_eq!(Cell::new(0.0, "x").key, "0");
    }

    #[test]
    fn a_bound_says_that_it_is_one_and_its_key_is_marked() {
        let mut trial = examples::measurement();
        let scenario = examples::scenario("room", RankBy::Latency);
        let exact = Cell::trial(&P99, &trial, &scenario);
        assert!(!exact.td().contains("data-bound") && !exact.text.contains('≥'), "{exact:?}");
        examples::deliver_only(&mut trial, 12);
        let bound = Cell::trial(&P99, &trial, &scenario);
        assert_eq!(bound.text, "≥ 155 µs");
        assert!(bound.td().contains("\" data-bound=\"least\">≥ 155 µs<"), "{}", bound.td());
    }

    #[test]
    fn lost_messages_are_highlighted_and_none_are_not() {
        let scenario = examples::scenario("room", RankBy::Latency);
        let mut trial = examples::measurement();
        assert!(!Cell::trial(&LOST, &trial, &scenario).is_alarming);
        trial.pairs.dropped = 1;
        assert!(Cell::trial(&LOST, &trial, &scenario).is_alarming);
    }

    #[test]
    fn a_target_without_figures_has_as_many_cells_as_one_with_them() {
        let scenario = examples::scenario("room", RankBy::Latency);
        let trial = examples::measurement();
        let figures = Figures::of(&[&trial], &scenario, 1);
        let measured = Measured { limit: true, instructions: true };
        let with = figure_cells(figures.as_ref(), RankBy::Latency, measured);
        assert_eq!(with.len(), figure_cells(None, RankBy::Latency, measured).len());
    }
}
