//! Figures as cells of tables: what is shown, and what it is sorted by.

use crate::analysis::{Figures, Row, valid_measurements};
use crate::format::{bytes, count, digits, interval, percent, time};
use crate::record::RankBy;
use crate::statistics::{Estimate, median};

use super::escape::escaped;

/// One cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cell {
    /// What is shown.
    pub(super) text: String,
    /// In small print below it; may be empty.
    pub(super) small: String,
    /// What the column is sorted by; empty sorts last.
    pub(super) key: String,
}

impl Cell {
    pub(super) fn new(value: f64, text: impl Into<String>) -> Self {
        // No number is infinite in the page: what never arrived sorts behind everything.
        let key = if value.is_finite() { format!("{value}") } else { format!("{}", f64::MAX) };
        Self { text: text.into(), small: String::new(), key }
    }

    /// What is not known.
    pub(super) fn none() -> Self {
        Self { text: "–".to_owned(), ..Self::default() }
    }

    /// As an element of a table's row.
    pub(super) fn td(&self) -> String {
        let small = match self.small.as_str() {
            "" => String::new(),
            small => format!("<small>{}</small>", escaped(small)),
        };
        let (key, text) = (escaped(&self.key), escaped(&self.text));
        format!("<td class=\"n\" data-key=\"{key}\">{text}{small}</td>")
    }

    pub(super) fn estimate(estimate: &Estimate, each: impl Fn(f64) -> String) -> Self {
        let small = interval(estimate, &each);
        Self { small, ..Self::new(estimate.median, each(estimate.median)) }
    }

    pub(super) fn of(value: Option<f64>, each: impl Fn(f64) -> String) -> Self {
        value.map_or_else(Self::none, |value| Self::new(value, each(value)))
    }
}

/// The figures of one target in one scenario.
#[derive(Clone, Debug)]
pub(super) struct FigureCells {
    /// What the scenario ranks by.
    pub(super) ranking: Cell,
    /// The ranking figure relative to the best.
    pub(super) relative: String,
    pub(super) rate: Cell,
    pub(super) p50: Cell,
    pub(super) p99: Cell,
    pub(super) p999: Cell,
    pub(super) lost: Cell,
    pub(super) has_lost: bool,
    pub(super) cpu: Cell,
    pub(super) memory: Cell,
    pub(super) threads: Cell,
    pub(super) switches: Cell,
}

impl FigureCells {
    /// Those of `row`, if it has any.
    pub(super) fn of(row: &Row<'_>, rank_by: RankBy) -> Option<Self> {
        let switches = switches_per_1000_deliveries(row);
        row.figures.as_ref().map(|figures| Self::of_figures(figures, switches, rank_by))
    }

    fn of_figures(figures: &Figures, switches: Option<f64>, rank_by: RankBy) -> Self {
        Self {
            ranking: Cell::estimate(&figures.ranking, |it| ranking_text(rank_by, it)),
            relative: figures
                .relative
                .map_or_else(String::new, |ratio| format!("× {}", digits(ratio.median))),
            rate: Cell::estimate(&figures.deliveries_per_second, count),
            p50: Cell::new(figures.latency_p50_ns, time(figures.latency_p50_ns)),
            p99: Cell::estimate(&figures.latency_p99_ns, time),
            p999: Cell::new(figures.latency_p999_ns, time(figures.latency_p999_ns)),
            lost: Cell::new(figures.lost_share, percent(figures.lost_share)),
            has_lost: figures.lost_share > 0.0,
            cpu: figures
                .cpu_us_per_delivery
                .map_or_else(Cell::none, |cpu| Cell::estimate(&cpu, |us| time(us * 1e3))),
            memory: Cell::new(
                figures.peak_resident_bytes as f64,
                bytes(figures.peak_resident_bytes),
            ),
            threads: Cell::new(figures.threads as f64, figures.threads.to_string()),
            switches: Cell::of(switches, digits),
        }
    }
}

/// Context switches of the server, of either kind, for each thousand deliveries.
fn switches_per_1000_deliveries(row: &Row<'_>) -> Option<f64> {
    let of_trials: Vec<f64> = valid_measurements(row)
        .filter(|trial| trial.deliveries_arrived > 0)
        .map(|trial| {
            let server = &trial.server;
            let switches = server.voluntary_context_switches + server.involuntary_context_switches;
            switches as f64 / trial.deliveries_arrived as f64 * 1e3
        })
        .collect();
    (!of_trials.is_empty()).then(|| median(&of_trials))
}

/// The ranking figure for people.
pub(super) fn ranking_text(rank_by: RankBy, value: f64) -> String {
    match rank_by {
        RankBy::Latency => time(value),
        // No rate was found that is too much.
        _ if value.is_infinite() => "∞".to_owned(),
        RankBy::Throughput | RankBy::Capacity => format!("{}/s", count(value)),
    }
}

/// What a scenario ranks by.
pub(super) fn ranking_title(rank_by: RankBy) -> &'static str {
    match rank_by {
        RankBy::Latency => "99th percentile of latency",
        RankBy::Throughput => "deliveries per second",
        RankBy::Capacity => "messages per second within the limits",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_arrived_sorts_behind_every_time_and_what_is_unknown_has_no_key() {
        let never = Cell::new(f64::INFINITY, "never");
        assert!(never.key.parse::<f64>().unwrap() > 1e300);
        assert_eq!(Cell::none().key, "");
        assert_eq!(Cell::new(0.25, "x").key, "0.25");
    }
}
