//! The figures of a single trial.

use crate::bounded::Bounded;
use crate::percentile::latency_p99_ns;
use crate::record::{Measurement, RankBy, ScenarioRecord};

/// The figure of `trial` that `scenario` ranks by: the 99th percentile of latency in nanoseconds,
/// or deliveries per second. A percentile may be a lower bound.
#[must_use]
pub fn ranking_figure(trial: &Measurement, scenario: &ScenarioRecord) -> Bounded {
    match scenario.rank_by {
        RankBy::Latency => latency_p99_ns(trial, scenario),
        RankBy::Throughput | RankBy::Capacity => deliveries_per_second(trial).into(),
    }
}

/// Deliveries that arrived in the window of `trial`, per second.
#[must_use]
pub fn deliveries_per_second(trial: &Measurement) -> f64 {
    trial.deliveries_arrived as f64 / trial.window_seconds
}

/// Share of the expected deliveries of `trial` that never arrived, 0 to 1. Pending ones count
/// neither as lost nor as expected.
#[must_use]
pub fn lost_share(trial: &Measurement) -> f64 {
    lost_share_of([trial])
}

/// The same of several trials together.
#[must_use]
pub fn lost_share_of<'a>(trials: impl IntoIterator<Item = &'a Measurement>) -> f64 {
    let (mut lost, mut settled) = (0, 0);
    for trial in trials {
        lost += trial.pairs.lost();
        settled += trial.pairs.expected() - trial.pairs.pending;
    }
    if settled == 0 { 0.0 } else { lost as f64 / settled as f64 }
}

/// CPU time of the server per delivery, in nanoseconds; `None` if nothing was delivered, or the
/// server was not measured.
#[must_use]
pub fn cpu_per_delivery_ns(trial: &Measurement) -> Option<f64> {
    let per_second = deliveries_per_second(trial);
    let server = trial.server.as_ref()?;
    let cpu_share = server.cpu_seconds / server.sampled_seconds;
    (per_second > 0.0 && cpu_share.is_finite()).then(|| cpu_share / per_second * 1e9)
}

/// Instructions that the server executed in user mode, per delivery; `None` if nothing was
/// delivered, or they were not counted.
#[must_use]
pub fn user_instructions_per_delivery(trial: &Measurement) -> Option<f64> {
    let per_second = deliveries_per_second(trial);
    let server = trial.server.as_ref()?;
    let instructions_per_second = server.user_instructions? as f64 / server.sampled_seconds;
    (per_second > 0.0 && instructions_per_second.is_finite())
        .then(|| instructions_per_second / per_second)
}

/// Context switches of the server, voluntary and involuntary, per thousand deliveries; `None` if
/// nothing was delivered, or the server was not measured.
#[must_use]
pub fn switches_per_1000_deliveries(trial: &Measurement) -> Option<f64> {
    let server = trial.server.as_ref()?;
    let switches = server.voluntary_context_switches + server.involuntary_context_switches;
    let deliveries = trial.deliveries_arrived;
    (deliveries > 0).then(|| switches as f64 / deliveries as f64 * 1e3)
}
