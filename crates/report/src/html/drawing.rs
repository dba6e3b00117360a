//! A plot of a scenario, with the figures that it shows and how they were computed.

use crate::analysis::ScenarioAnalysis;
use crate::figures::Figures;
use crate::row::Row;

use super::cells::Cell;

/// One plot, with the table of what it shows.
pub(super) struct Drawing {
    pub(super) id: String,
    pub(super) title: String,
    /// What it shows, for those who do not see it.
    pub(super) description: String,
    /// How the figures were computed.
    pub(super) method: String,
    /// What the drawing script reads.
    pub(super) spec: String,
    pub(super) heads: Vec<String>,
    pub(super) rows: Vec<DrawnRow>,
}

/// The figures of one target in one plot.
pub(super) struct DrawnRow {
    pub(super) name: String,
    pub(super) cells: Vec<Cell>,
}

/// A row with figures.
pub(super) struct Shown<'a> {
    pub(super) row: &'a Row<'a>,
    pub(super) figures: &'a Figures,
}

impl Shown<'_> {
    /// How the plots and their tables name it.
    pub(super) fn name(&self) -> String {
        self.row.target.name.clone()
    }

    /// The same in a table, which says whether it is ranked.
    pub(super) fn label(&self) -> String {
        let note = if self.row.rank.tier().is_none() { " (not ranked)" } else { "" };
        format!("{}{note}", self.name())
    }
}

/// The rows of `analysis` that can be drawn.
pub(super) fn shown<'a>(analysis: &'a ScenarioAnalysis<'a>) -> Vec<Shown<'a>> {
    analysis
        .rows
        .iter()
        .filter_map(|row| Some(Shown { row, figures: row.figures.as_ref()? }))
        .collect()
}
