//! The plots of a scenario, and of scenarios that differ in the number of clients only.

use crate::analysis::ScenarioAnalysis;
use crate::columns::{
    CPU, DELIVERIES, LOST, MEMORY, THREADS, ranking_column, ranking_text, ranking_title,
};
use crate::compare::scenario_differences;
use crate::figures::Figures;
use crate::format::{count, time};
use crate::percentile::latency_ns;
use crate::plots::{self, BarRow, Pen, Scale, Series};
use crate::record::{LoadRecord, RankBy, ScenarioRecord};

use super::cells::Cell;
use super::drawing::{Drawing, DrawnRow, Shown, shown};
use super::escape::json_in_html;

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
pub(super) fn drawings(analysis: &ScenarioAnalysis<'_>) -> Vec<Drawing> {
    let rows = shown(analysis);
    if rows.is_empty() {
        return Vec::new();
    }
    let scenario = analysis.scenario;
    let mut drawings = match scenario.rank_by {
        RankBy::Latency => vec![percentiles(scenario, &rows)],
        RankBy::Throughput | RankBy::Capacity => vec![throughput(scenario, &rows)],
    };
    drawings.extend(trade_off(scenario, &rows));
    drawings.push(match scenario.rank_by {
        RankBy::Latency => throughput(scenario, &rows),
        RankBy::Throughput | RankBy::Capacity => percentiles(scenario, &rows),
    });
    drawings.push(memory(scenario, &rows));
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
            pen: it.pen,
            points: QUANTILES
                .iter()
                .map(|&(quantile, _)| {
                    let latency = latency_ns(&it.figures.latency, it.figures.expected, quantile);
                    (percentile_position(quantile), latency / 1e6)
                })
                // No sample lies beyond.
                .filter(|&(x, y)| y.is_finite() && x <= it.figures.expected as f64)
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
        Cell::new(latency, time(latency))
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
                 messages never arrived."
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

fn throughput(scenario: &ScenarioRecord, rows: &[Shown<'_>]) -> Drawing {
    let lost = |figures: &Figures| {
        let share = figures.lost_share.min(0.9999);
        figures.deliveries_per_second.median * share / (1.0 - share)
    };
    let bars: Vec<BarRow> = rows
        .iter()
        .map(|it| {
            let rate = it.figures.deliveries_per_second;
            BarRow {
                name: it.name(),
                pen: it.pen,
                value: rate.median,
                interval: Some((rate.low, rate.high)),
                lost: lost(it.figures),
            }
        })
        .collect();
    let asked = match scenario.load {
        LoadRecord::FixedRate { .. } | LoadRecord::Burst { .. } => {
            " The rate is fixed, so this shows which servers kept up."
        }
        _ => "",
    };
    Drawing {
        id: format!("{}-throughput", scenario.name),
        title: "Deliveries per second, and what never arrived".to_owned(),
        description: format!(
            "Bar chart of the deliveries per second of {} with their intervals; what never \
             arrived is added in red.",
            scenario.name
        ),
        method: format!(
            "Messages that arrived within the window, counted at the receivers; the median over \
             the valid trials with its 95 % interval. In red: expected deliveries that were \
             dropped, cut off by a lost connection, or never accepted by the server.{asked}"
        ),
        spec: json_in_html(&plots::bars(
            &bars,
            &Scale::new("deliveries per second", false, ".3~s"),
        )),
        heads: [DELIVERIES.head.title, "Lost/s", LOST.head.title].map(str::to_owned).to_vec(),
        rows: rows
            .iter()
            .map(|it| DrawnRow {
                name: it.label(),
                cells: vec![
                    Cell::figure(&DELIVERIES, it.figures),
                    Cell::new(lost(it.figures), count(lost(it.figures))),
                    Cell::figure(&LOST, it.figures),
                ],
            })
            .collect(),
    }
}

/// The ranking figure against its cost in CPU time; `None` if no target has both.
fn trade_off(scenario: &ScenarioRecord, rows: &[Shown<'_>]) -> Option<Drawing> {
    let rank_by = scenario.rank_by;
    let (factor, y) = match rank_by {
        RankBy::Latency => (1e-6, Scale::new("99th percentile, milliseconds", true, ".3~g")),
        RankBy::Throughput => (1.0, Scale::new("deliveries per second", true, ".3~s")),
        RankBy::Capacity => (1.0, Scale::new("messages per second", true, ".3~s")),
    };
    let series: Vec<Series> = rows
        .iter()
        .filter_map(|it| {
            let (cpu, figure) = (it.figures.cpu_per_delivery_ns?, it.figures.ranking);
            let is_drawable = figure.median > 0.0 && figure.high.is_finite() && cpu.median > 0.0;
            is_drawable.then(|| Series {
                name: it.name(),
                pen: it.pen,
                points: vec![(cpu.median / 1e3, figure.median * factor)],
                errors: vec![(
                    (figure.median - figure.low) * factor,
                    (figure.high - figure.median) * factor,
                )],
            })
        })
        .collect();
    if series.is_empty() {
        return None;
    }
    let corner = if rank_by == RankBy::Latency { "lower left" } else { "upper left" };
    let x = Scale::new("CPU time per delivery, microseconds", true, ".3~g");
    Some(Drawing {
        id: format!("{}-trade-off", scenario.name),
        title: format!("The {}, and its cost in CPU time", ranking_title(rank_by)),
        description: format!(
            "Scatter plot of {} against CPU time per delivery, one point per implementation of \
             {}; best is the {corner}.",
            ranking_title(rank_by),
            scenario.name
        ),
        method: format!(
            "CPU time of the server’s whole process tree within the window, kernel time included, \
             divided by the deliveries. Both axes are logarithmic; best is the {corner}. Lines: \
             95 % intervals."
        ),
        spec: json_in_html(&plots::points(&series, &x, &y)),
        heads: [&CPU, ranking_column(rank_by)].map(|it| it.head.title.to_owned()).to_vec(),
        rows: rows
            .iter()
            .map(|it| DrawnRow {
                name: it.label(),
                cells: vec![
                    Cell::figure(&CPU, it.figures),
                    Cell::figure(ranking_column(rank_by), it.figures),
                ],
            })
            .collect(),
    })
}

fn memory(scenario: &ScenarioRecord, rows: &[Shown<'_>]) -> Drawing {
    let mebibytes = |figures: &Figures| figures.peak_resident_bytes as f64 / f64::from(1 << 20);
    let bars: Vec<BarRow> = rows
        .iter()
        .map(|it| BarRow {
            name: it.name(),
            pen: it.pen,
            value: mebibytes(it.figures),
            interval: None,
            lost: 0.0,
        })
        .collect();
    Drawing {
        id: format!("{}-memory", scenario.name),
        title: "Peak memory".to_owned(),
        description: format!("Bar chart of the peak resident memory in {}.", scenario.name),
        method:
            "Peak resident memory of the server’s process tree up to the end of the window, the \
                 highest of the trials."
                .to_owned(),
        spec: json_in_html(&plots::bars(&bars, &Scale::new("MiB", false, ".3~g"))),
        heads: [&MEMORY, &THREADS].map(|it| it.head.title.to_owned()).to_vec(),
        rows: rows
            .iter()
            .map(|it| DrawnRow {
                name: it.label(),
                cells: vec![Cell::figure(&MEMORY, it.figures), Cell::figure(&THREADS, it.figures)],
            })
            .collect(),
    }
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
    let (factor, y) = match rank_by {
        RankBy::Latency => (1e-6, Scale::new("99th percentile, milliseconds", true, ".3~g")),
        RankBy::Throughput => (1.0, Scale::new("deliveries per second", true, ".3~s")),
        RankBy::Capacity => (1.0, Scale::new("messages per second", true, ".3~s")),
    };
    let series: Vec<Series> = names
        .iter()
        .enumerate()
        .map(|(at, name)| Series {
            name: name.clone(),
            pen: Pen(at),
            points: sizes
                .iter()
                .filter_map(|it| Some((it.scenario.clients, figure(it, name)?.median)))
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
                            Cell::estimate(&figure, |value| ranking_text(rank_by, value))
                        })
                    })
                    .collect(),
            })
            .collect(),
    }
}
