//! Curves against the offered rate: where a server begins to be late, and to lose.

use std::collections::BTreeMap;

use crate::analysis::ScenarioAnalysis;
use crate::bounded::Bounded;
use crate::columns::{LOST, P99};
use crate::format::count;
use crate::percentile::latency_p99_ns;
use crate::plots::{self, Scale, Series};
use crate::record::{Role, TrialRecord};
use crate::row::measurement_of;
use crate::statistics::{bounded_median, median};
use crate::trial_figures::lost_share;
use crate::verdict::{Validity, judge};

use super::cells::Cell;
use super::drawing::{Drawing, DrawnRow, shown};
use crate::markup::json_in_html;

/// One rate at which a target was measured.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    messages_per_second: f64,
    latency_p99_ns: Bounded,
    lost_share: f64,
    trials: usize,
}

/// Latency and loss against the offered rate; none unless rates were tried.
pub(super) fn rate_drawings(
    analysis: &ScenarioAnalysis<'_>,
    trials: &[TrialRecord],
) -> Vec<Drawing> {
    let name = &analysis.scenario.name;
    let curves: Vec<Curve> = shown(analysis)
        .iter()
        .map(|it| Curve { name: it.name(), points: points(analysis, trials, &it.row.target.name) })
        .filter(|curve| curve.points.len() > 1)
        .collect();
    if curves.is_empty() {
        return Vec::new();
    }
    let x = Scale::new("messages per second, offered", true, ".3~s");
    let latency = plots::lines(
        &series(&curves, |point| Some(point.latency_p99_ns.exact()? / 1e6)),
        &x,
        &Scale::new("99th percentile, milliseconds", true, ".3~g"),
    );
    let lost = plots::lines(
        &series(&curves, |point| Some(point.lost_share * 100.0)),
        &x,
        &Scale::new("percent lost", false, ".3~g"),
    );
    let heads = ["Offered, messages/s", P99.head.title, LOST.head.title, "Trials"]
        .map(str::to_owned)
        .to_vec();
    vec![
        Drawing {
            id: format!("{name}-latency-by-rate"),
            title: "Latency against offered rate".to_owned(),
            description: format!(
                "Line plot of the 99th percentile of latency of {name} against the offered rate."
            ),
            method: METHOD.to_owned(),
            spec: json_in_html(&latency),
            heads: heads.clone(),
            rows: rows(&curves),
        },
        Drawing {
            id: format!("{name}-lost-by-rate"),
            title: "Lost messages against offered rate".to_owned(),
            description: format!("Line plot of the lost share of {name} against the offered rate."),
            method: METHOD.to_owned(),
            spec: json_in_html(&lost),
            heads,
            rows: rows(&curves),
        },
    ]
}

/// The points of one target.
struct Curve {
    name: String,
    points: Vec<Point>,
}

const METHOD: &str = "Each point is one offered rate: the median over the valid trials at it. The \
                      load is open-loop, so the latency of a message counts from the time at \
                      which it was due. Percentiles of too few deliveries are lower bounds (≥): \
                      they are in the table only.";

/// The curves with what `value` makes of each point, where that is known and finite.
fn series(curves: &[Curve], value: impl Fn(&Point) -> Option<f64>) -> Vec<Series> {
    curves
        .iter()
        .map(|curve| Series {
            name: curve.name.clone(),
            points: curve
                .points
                .iter()
                .filter_map(|point| Some((point.messages_per_second, value(point)?)))
                .filter(|(_, value)| value.is_finite())
                .collect(),
            errors: Vec::new(),
        })
        .collect()
}

/// The table below the plots.
fn rows(curves: &[Curve]) -> Vec<DrawnRow> {
    let row = |name: &String, point: &Point| DrawnRow {
        name: name.clone(),
        cells: vec![
            Cell::new(point.messages_per_second, count(point.messages_per_second)),
            Cell::bounded(point.latency_p99_ns, point.latency_p99_ns.text(P99.format)),
            Cell::new(point.lost_share, (LOST.format)(point.lost_share)),
            Cell::new(point.trials as f64, point.trials.to_string()),
        ],
    };
    let all =
        curves.iter().flat_map(|curve| curve.points.iter().map(move |point| (&curve.name, point)));
    all.map(|(name, point)| row(name, point)).collect()
}

/// The rates at which `target` was validly measured, in their order.
fn points(analysis: &ScenarioAnalysis<'_>, trials: &[TrialRecord], target: &str) -> Vec<Point> {
    let scenario = analysis.scenario;
    let mut by_rate: BTreeMap<u64, Vec<(Bounded, f64)>> = BTreeMap::new();
    for trial in trials {
        let is_point = matches!(trial.role, Role::Curve | Role::Search | Role::Hold)
            && trial.scenario == scenario.name
            && trial.target == target;
        let (true, Some(rate), Some(figures)) =
            (is_point, trial.offered_rate, measurement_of(trial))
        else {
            continue;
        };
        if judge(figures).validity == Validity::Valid && rate > 0.0 {
            let figure = (latency_p99_ns(figures, scenario), lost_share(figures));
            by_rate.entry(rate.round() as u64).or_default().push(figure);
        }
    }
    by_rate
        .into_iter()
        .map(|(rate, figures)| {
            let (latencies, shares): (Vec<Bounded>, Vec<f64>) = figures.iter().copied().unzip();
            Point {
                messages_per_second: rate as f64,
                latency_p99_ns: bounded_median(&latencies),
                lost_share: median(&shares),
                trials: figures.len(),
            }
        })
        .collect()
}
