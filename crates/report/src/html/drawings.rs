//! The plots of a scenario, and of scenarios that differ in the number of clients only.

use crate::analysis::ScenarioAnalysis;
use crate::columns::{
    CPU, DELIVERIES, FigureColumn, LOST, MEMORY, ranking_column, ranking_text, ranking_title,
};
use crate::compare::scenario_differences;
use crate::figures::Figures;
use crate::format::time;
use crate::percentile::latency_ns;
use crate::plots::{self, Scale, Series};
use crate::record::{RankBy, ScenarioRecord};

use super::cells::Cell;
use super::drawing::{Drawing, DrawnRow, Shown, shown};
use crate::markup::json_in_html;

const QUANTILES: [(f64, &str); 8] = [
    (0.0, "min"),
    (0.5, "50 %"),
    (0.75, "75 %"),
    (0.9, "90 %"),
    (0.95, "95 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
];

/// The plots of `analysis`, what it ranks by first; none if there is nothing to draw.
///
/// Each has the same height however many implementations there are, and none shows what the
/// scenario fixes: at a fixed rate all deliver alike.
pub(super) fn drawings(analysis: &ScenarioAnalysis<'_>) -> Vec<Drawing> {
    let rows = shown(analysis);
    if rows.is_empty() {
        return Vec::new();
    }
    let scenario = analysis.scenario;
    let mut drawings = vec![percentiles(scenario, &rows)];
    let by_cpu = against_cost(scenario, &rows, &CPU_COST);
    let place = if scenario.rank_by == RankBy::Latency { 1 } else { 0 };
    drawings.splice(place..place, by_cpu);
    drawings.extend(against_cost(scenario, &rows, &MEMORY_COST));
    drawings.extend(losses(scenario, &rows));
    drawings
}

/// Percentiles are drawn by the logarithm of one in how many deliveries is slower.
fn percentile_position(quantile: f64) -> f64 {
    1.0 / (1.0 - quantile)
}

fn percentiles(scenario: &ScenarioRecord, rows: &[Shown<'_>]) -> Drawing {
    let series: Vec<Series> = rows
        .iter()
        .map(|it| Series {
            name: it.name(),
            points: QUANTILES
                .iter()
                .filter_map(|&(quantile, _)| {
                    let latency = latency_ns(&it.figures.latency, it.figures.expected, quantile);
                    Some((percentile_position(quantile), latency.exact()? / 1e6))
                })
                .filter(|(_, latency)| latency.is_finite())
                .collect(),
            errors: Vec::new(),
        })
        .collect();
    let x = Scale {
        ticks: QUANTILES
            .iter()
            .map(|&(quantile, name)| (percentile_position(quantile), name))
            .collect(),
        ..Scale::new("percentile of all expected deliveries", true, ".0f")
    };
    let spec = plots::lines(&series, &x, &Scale::new("milliseconds", true, ".3~g"));
    let cell = |figures: &Figures, quantile: f64| {
        let latency = latency_ns(&figures.latency, figures.expected, quantile);
        Cell::bounded(latency, latency.text(time))
    };
    Drawing {
        id: format!("{}-percentiles", scenario.name),
        title: "Latency by percentile".to_owned(),
        description: format!(
            "Line plot of the latency of {} by percentile, one line per implementation.",
            scenario.name
        ),
        method: "From the moment a message was meant to be sent to its arrival at each client, \
                 over all expected deliveries of all valid trials together. A line ends where \
                 messages never arrived, or fewer than ten took longer: then the table has ≥."
            .to_owned(),
        spec: json_in_html(&spec),
        heads: QUANTILES.iter().map(|&(_, name)| name.to_owned()).collect(),
        rows: rows
            .iter()
            .map(|it| DrawnRow {
                name: it.label(),
                cells: QUANTILES.iter().map(|&(quantile, _)| cell(it.figures, quantile)).collect(),
            })
            .collect(),
    }
}

/// A cost that the ranking figure is drawn against.
struct Cost {
    /// The end of the plot's id.
    id: &'static str,
    name: &'static str,
    column: &'static FigureColumn,
    unit: &'static str,
    /// From what is recorded to that unit.
    factor: f64,
    method: &'static str,
}

static CPU_COST: Cost = Cost {
    id: "trade-off",
    name: "CPU time",
    column: &CPU,
    unit: "CPU time per delivery, microseconds",
    factor: 1e-3,
    method: "CPU time of the server’s whole process tree within the window, kernel time included, \
             divided by the deliveries.",
};

static MEMORY_COST: Cost = Cost {
    id: "memory",
    name: "memory",
    column: &MEMORY,
    unit: "peak memory, MiB",
    factor: 1.0 / (1024.0 * 1024.0),
    method: "Peak resident memory of the server’s process tree up to the end of the window, the \
             highest of the trials.",
};

/// The scale of the figure that a scenario ranks by, and the factor from what is recorded to it.
fn ranking_scale(rank_by: RankBy) -> (f64, Scale) {
    match rank_by {
        RankBy::Latency => (1e-6, Scale::new("99th percentile, milliseconds", true, ".3~g")),
        RankBy::Throughput => (1.0, Scale::new("deliveries per second", true, ".3~s")),
        RankBy::Capacity => (1.0, Scale::new("messages per second", true, ".3~s")),
    }
}

/// Whether there is anything to see: two values that are not nearly the same.
fn differ(values: impl Iterator<Item = f64>) -> bool {
    let (low, high) =
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), it| (low.min(it), high.max(it)));
    high > 1.02 * low
}

/// The ranking figure against a cost; `None` if no target has both, or all cost the same.
fn against_cost(scenario: &ScenarioRecord, rows: &[Shown<'_>], cost: &Cost) -> Option<Drawing> {
    let rank_by = scenario.rank_by;
    let (factor, y) = ranking_scale(rank_by);
    let series: Vec<Series> = rows
        .iter()
        .filter_map(|it| {
            let (paid, figure) =
                (cost.column.value(it.figures).main()?.exact()?, it.figures.ranking);
            let is_drawable = figure.value().is_exact()
                && figure.median > 0.0
                && figure.high.is_finite()
                && paid > 0.0;
            is_drawable.then(|| Series {
                name: it.name(),
                points: vec![(paid * cost.factor, figure.median * factor)],
                errors: vec![(
                    (figure.median - figure.low) * factor,
                    (figure.high - figure.median) * factor,
                )],
            })
        })
        .collect();
    if !differ(series.iter().map(|it| it.points[0].0)) {
        return None;
    }
    let corner = if rank_by == RankBy::Latency { "lower left" } else { "upper left" };
    let x = Scale::new(cost.unit, true, ".3~g");
    let columns = [cost.column, ranking_column(rank_by)];
    Some(Drawing {
        id: format!("{}-{}", scenario.name, cost.id),
        title: format!("The {}, and its cost in {}", ranking_title(rank_by), cost.name),
        description: format!(
            "Scatter plot of {} against {}, one point per implementation of {}; best is the \
             {corner}.",
            ranking_title(rank_by),
            cost.unit,
            scenario.name
        ),
        method: format!(
            "{} Both axes are logarithmic; best is the {corner}. Lines: 95 % intervals.",
            cost.method
        ),
        spec: json_in_html(&plots::points(&series, &x, &y)),
        heads: columns.map(|it| it.head.title.to_owned()).to_vec(),
        rows: figure_rows(rows, &columns),
    })
}

/// What was lost against what was delivered; `None` if nothing was lost.
fn losses(scenario: &ScenarioRecord, rows: &[Shown<'_>]) -> Option<Drawing> {
    if rows.iter().all(|it| it.figures.lost_share == 0.0) {
        return None;
    }
    let series: Vec<Series> = rows
        .iter()
        .map(|it| Series {
            name: it.name(),
            points: vec![(it.figures.deliveries_per_second.median, it.figures.lost_share * 100.0)],
            errors: Vec::new(),
        })
        .collect();
    let x = Scale::new("deliveries per second", true, ".3~s");
    let columns = [&DELIVERIES, &LOST];
    Some(Drawing {
        id: format!("{}-lost", scenario.name),
        title: "What never arrived".to_owned(),
        description: format!(
            "Scatter plot of the lost share against the deliveries per second of {}, one point \
             per implementation.",
            scenario.name
        ),
        method: "Expected deliveries that were dropped, cut off by a lost connection, or never \
                 accepted by the server, as a share of all expected ones. Deliveries per second \
                 count what arrived, at the receivers."
            .to_owned(),
        spec: json_in_html(&plots::points(&series, &x, &Scale::new("percent lost", false, ".3~g"))),
        heads: columns.map(|it| it.head.title.to_owned()).to_vec(),
        rows: figure_rows(rows, &columns),
    })
}

/// The table below a plot: some columns of each target.
fn figure_rows(rows: &[Shown<'_>], columns: &[&FigureColumn]) -> Vec<DrawnRow> {
    let row = |it: &Shown<'_>| DrawnRow {
        name: it.label(),
        cells: columns.iter().map(|column| Cell::figure(column, it.figures)).collect(),
    };
    rows.iter().map(row).collect()
}

/// How the figures grow with the number of clients, where scenarios differ in nothing else.
pub(super) fn scaling(analyses: &[ScenarioAnalysis<'_>]) -> Vec<Drawing> {
    let mut families: Vec<Vec<&ScenarioAnalysis<'_>>> = Vec::new();
    for analysis in analyses {
        let family = families
            .iter_mut()
            .find(|it| differ_in_clients_only(it[0].scenario, analysis.scenario));
        match family {
            Some(family) => family.push(analysis),
            None => families.push(vec![analysis]),
        }
    }
    families
        .into_iter()
        .filter(|family| family.len() > 1)
        .map(|family| scaling_drawing(&family))
        .collect()
}

/// Whether two scenarios differ in nothing but the number of clients.
fn differ_in_clients_only(a: &ScenarioRecord, b: &ScenarioRecord) -> bool {
    let same_clients = ScenarioRecord { clients: a.clients, senders: a.senders, ..b.clone() };
    let share = |it: &ScenarioRecord| it.senders == it.clients;
    let sends_alike = a.senders == b.senders || (share(a) && share(b));
    a.rank_by == b.rank_by && sends_alike && scenario_differences(a, &same_clients).is_empty()
}

fn scaling_drawing(family: &[&ScenarioAnalysis<'_>]) -> Drawing {
    let rank_by = family[0].scenario.rank_by;
    let mut sizes: Vec<&ScenarioAnalysis<'_>> = family.to_vec();
    sizes.sort_by_key(|analysis| analysis.scenario.clients);
    let names: Vec<String> = shown(sizes[0]).iter().map(Shown::name).collect();
    let figure = |analysis: &ScenarioAnalysis<'_>, name: &str| {
        let row = analysis.rows.iter().find(|row| row.target.name == name)?;
        Some(row.figures.as_ref()?.ranking)
    };
    let (factor, y) = ranking_scale(rank_by);
    let series: Vec<Series> = names
        .iter()
        .map(|name| Series {
            name: name.clone(),
            points: sizes
                .iter()
                .filter_map(|it| Some((it.scenario.clients, figure(it, name)?.value().exact()?)))
                .filter(|(_, median)| median.is_finite() && *median > 0.0)
                .map(|(clients, median)| (f64::from(clients), median * factor))
                .collect(),
            errors: Vec::new(),
        })
        .collect();
    let x = Scale::new("clients", true, "~s");
    let list: Vec<&str> = sizes.iter().map(|it| it.scenario.name.as_str()).collect();
    Drawing {
        id: format!("scaling-{}", sizes[0].scenario.name),
        title: format!("The {}, by the number of clients", ranking_title(rank_by)),
        description: format!("Line plot over the number of clients, of {}.", list.join(", ")),
        method: format!(
            "Medians over the valid trials of {}, which differ in the number of clients only.",
            list.join(", ")
        ),
        spec: json_in_html(&plots::lines(&series, &x, &y)),
        heads: sizes.iter().map(|it| format!("{} clients", it.scenario.clients)).collect(),
        rows: names
            .iter()
            .map(|name| DrawnRow {
                name: name.clone(),
                cells: sizes
                    .iter()
                    .map(|it| {
                        figure(it, name).map_or_else(Cell::none, |figure| {
                            Cell::estimate(&figure, |value| ranking_text(rank_by, value.into()))
                        })
                    })
                    .collect(),
            })
            .collect(),
    }
}
