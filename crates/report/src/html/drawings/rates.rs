//! Curves against the offered rate: where a server begins to be late, and to lose.

use std::collections::BTreeMap;

use crate::analysis::{ScenarioAnalysis, lost_share, trial_latency_ns};
use crate::format::{count, percent, time};
use crate::plots::{self, Pen, Scale, Series};
use crate::record::{Role, TrialRecord, TrialResult};
use crate::statistics::median;
use crate::verdict::{Validity, judge};

use super::{Cell, Drawing, DrawnRow, data, shown};

/// One rate at which a target was measured.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    messages_per_second: f64,
    latency_p99_ns: f64,
    lost_share: f64,
    trials: usize,
}

/// Latency and loss against the offered rate; none unless rates were tried.
pub(in crate::html) fn rate_drawings(
    analysis: &ScenarioAnalysis<'_>,
    trials: &[TrialRecord],
) -> Vec<Drawing> {
    let name = &analysis.scenario.name;
    let targets: Vec<(String, Pen, Vec<Point>)> = shown(analysis)
        .iter()
        .map(|it| (it.name(), it.pen, points(analysis, trials, &it.row.target.name)))
        .filter(|(_, _, points)| points.len() > 1)
        .collect();
    if targets.is_empty() {
        return Vec::new();
    }
    let x = Scale::new("messages per second, offered", true, ".3~s");
    let series = |of: &dyn Fn(&Point) -> f64| -> Vec<Series> {
        targets
            .iter()
            .map(|(name, pen, points)| Series {
                name: name.clone(),
                pen: *pen,
                points: points
                    .iter()
                    .map(|point| (point.messages_per_second, of(point)))
                    .filter(|(_, value)| value.is_finite())
                    .collect(),
                errors: Vec::new(),
            })
            .collect()
    };
    let rows = || -> Vec<DrawnRow> {
        let row = |name: &String, point: &Point| DrawnRow {
            name: name.clone(),
            cells: vec![
                Cell::new(point.messages_per_second, count(point.messages_per_second)),
                Cell::new(point.latency_p99_ns, time(point.latency_p99_ns)),
                Cell::new(point.lost_share, percent(point.lost_share)),
                Cell::new(point.trials as f64, point.trials.to_string()),
            ],
        };
        let all =
            targets.iter().flat_map(|(name, _, points)| points.iter().map(move |it| (name, it)));
        all.map(|(name, point)| row(name, point)).collect()
    };
    let heads = ["offered", "p99", "lost", "trials"].map(str::to_owned).to_vec();
    let method = "Each point is one offered rate: the median over the valid trials at it. The \
                  load is open-loop, so what waits in line is counted from the time at which it \
                  was due.";
    let latency = plots::lines(
        &series(&|point| point.latency_p99_ns / 1e6),
        &x,
        &Scale::new("99th percentile, milliseconds", true, ".3~g"),
    );
    let lost = plots::lines(
        &series(&|point| point.lost_share * 100.0),
        &x,
        &Scale::new("percent lost", false, ".3~g"),
    );
    vec![
        Drawing {
            id: format!("{name}-latency-by-rate"),
            title: "Latency against offered rate".to_owned(),
            description: format!(
                "Line plot of the 99th percentile of latency of {name} against the offered rate."
            ),
            method: method.to_owned(),
            spec: data(&latency),
            heads: heads.clone(),
            rows: rows(),
        },
        Drawing {
            id: format!("{name}-lost-by-rate"),
            title: "Lost messages against offered rate".to_owned(),
            description: format!("Line plot of the lost share of {name} against the offered rate."),
            method: method.to_owned(),
            spec: data(&lost),
            heads,
            rows: rows(),
        },
    ]
}

/// The rates at which `target` was validly measured, in their order.
fn points(analysis: &ScenarioAnalysis<'_>, trials: &[TrialRecord], target: &str) -> Vec<Point> {
    let scenario = analysis.scenario;
    let mut by_rate: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for trial in trials {
        let is_point = matches!(trial.role, Role::Curve | Role::Search | Role::Hold)
            && trial.scenario == scenario.name
            && trial.target == target;
        let (true, Some(rate), TrialResult::Measured(figures)) =
            (is_point, trial.offered_rate, &trial.result)
        else {
            continue;
        };
        if judge(figures).validity == Validity::Valid && rate > 0.0 {
            let figure = (trial_latency_ns(figures, scenario, 0.99), lost_share(figures));
            by_rate.entry(rate.round() as u64).or_default().push(figure);
        }
    }
    by_rate
        .into_iter()
        .map(|(rate, figures)| {
            let (latencies, shares): (Vec<f64>, Vec<f64>) = figures.iter().copied().unzip();
            Point {
                messages_per_second: rate as f64,
                latency_p99_ns: median(&latencies),
                lost_share: median(&shares),
                trials: figures.len(),
            }
        })
        .collect()
}
