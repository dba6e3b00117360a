//! What the reference server claims over the brokers, and beside a bare `send()` loop: ratios, each
//! with its target.

use serde::Serialize;
use zillions_report::analysis::analyse;
use zillions_report::bounded::Bounded;
use zillions_report::format::{count, digits, time};
use zillions_report::percentile::latency_p99_ns;
use zillions_report::record::{Measurement, ScenarioRecord, YardstickKind};
use zillions_report::results::Results;
use zillions_report::row::measurement_of;
use zillions_report::statistics::{Estimate, bounded_median, estimate_ratio};
use zillions_report::trial_figures::{cpu_per_delivery_ns, deliveries_per_second};
use zillions_report::verdict::Validity;

use super::names::{self, NATS, OWN_PREFIX, REDIS};
use crate::table::{Column, Table};

const SATURATED: [&str; 3] = ["1-to-8", "1-to-64", "8-to-8"];
const FIXED_RATE: [&str; 3] = ["1000-to-64", "10000-to-64", "200-to-500"];
/// Those of them in which messages come alone, so that a delivery is one system call: what that
/// costs is this machine's, and no server can do for much less.
const ONE_SEND_EACH: [&str; 2] = ["1000-to-64", "200-to-500"];
const UNDISTURBED: &str = "1-to-64";
const STALLED: &str = "1-to-64-stalled";

/// A figure that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Figure {
    DeliveriesPerSecond,
    /// Per second of the server's own CPU time: what it could deliver if nothing else, such
    /// as the load generator, were the limit.
    DeliveriesPerCpuSecond,
    CpuPerDelivery,
    LatencyP99,
}

/// How large a ratio is to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// One ratio: the reference server's figure over another one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Claim {
    scenario: String,
    figure: Figure,
    /// Which target of the reference server.
    target: String,
    /// What it is compared with.
    base: String,
    /// Its own figure, the median over trials: per second, µs or ns.
    own: Bounded,
    /// The other one.
    other: Bounded,
    ratio: Bounded,
    ratio_low: f64,
    ratio_high: f64,
    goal: Goal,
    /// Whether the median meets the goal; of a bound, whether it does whatever the true one is.
    is_met: bool,
    /// Whether the whole interval is on one side of it.
    is_certain: bool,
    /// Trials that were used on the side that has fewer, and whether all of them were valid.
    trials: usize,
    all_valid: bool,
}

/// One side of a ratio.
struct Side {
    samples: Vec<Bounded>,
    all_valid: bool,
}

/// Every claim that `results` have figures for.
pub(crate) fn claims(results: &Results) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (_, own) in names::own() {
        let target = own.as_str();
        let mut claim = |scenario, figure, base, goal| {
            claims.extend(compare(results, scenario, figure, target, base, goal));
        };
        let flow = [Figure::DeliveriesPerSecond, Figure::DeliveriesPerCpuSecond];
        for scenario in SATURATED {
            for (base, figure) in [NATS, REDIS].iter().flat_map(|base| flow.map(|it| (base, it))) {
                claim(scenario, figure, (scenario, base), Goal::AtLeast(12.0));
            }
        }
        for scenario in FIXED_RATE {
            let (base, bound) = match ONE_SEND_EACH.contains(&scenario) {
                true => (YardstickKind::SendLoop.name(), 1.0),
                false => (REDIS, 0.75),
            };
            for (base, bound) in [(NATS, 0.5), (base, bound)] {
                claim(scenario, Figure::CpuPerDelivery, (scenario, base), Goal::AtMost(bound));
            }
            claim(scenario, Figure::LatencyP99, (scenario, NATS), Goal::AtMost(0.5));
        }
        let undisturbed = (UNDISTURBED, target);
        for figure in flow {
            claim(STALLED, figure, undisturbed, Goal::AtLeast(0.98));
        }
    }
    claims
}

fn compare(
    results: &Results,
    scenario: &str,
    figure: Figure,
    target: &str,
    (base_scenario, base): (&str, &str),
    goal: Goal,
) -> Option<Claim> {
    let own = side(results, scenario, target, figure)?;
    let other = side(results, base_scenario, base, figure)?;
    let estimate = estimate_ratio(&own.samples, &other.samples, results.run.seed)?;
    // What was too little to be measured has no ratio.
    if !estimate.median.is_finite() {
        return None;
    }
    let (ratio, Estimate { low, high, samples, .. }) = (estimate.value(), estimate);
    let base = if base == target { format!("itself in {base_scenario}") } else { base.to_owned() };
    Some(Claim {
        scenario: scenario.to_owned(),
        figure,
        target: target.to_owned(),
        base,
        own: bounded_median(&own.samples),
        other: bounded_median(&other.samples),
        ratio,
        ratio_low: low,
        ratio_high: high,
        goal,
        is_met: goal.is_met(ratio.least()) && goal.is_met(ratio.most()),
        is_certain: goal.is_met(low) == goal.is_met(high),
        trials: samples,
        all_valid: own.all_valid && other.all_valid,
    })
}

/// The figure of each valid trial, or of every measured one if fewer than two are valid: a
/// comparison that nobody may rank is still worth a look, and says so.
fn side(results: &Results, scenario: &str, target: &str, figure: Figure) -> Option<Side> {
    let analysis = analyse(results).into_iter().find(|it| it.scenario.name == scenario)?;
    if target == YardstickKind::SendLoop.name() {
        let limit = analysis.limit.filter(|limit| limit.kind == YardstickKind::SendLoop)?;
        let all_valid = limit.undisturbed == limit.trials;
        return Some(Side { samples: limit.samples(), all_valid });
    }
    let row = analysis.rows.iter().find(|row| row.target.name == target)?;
    let valid: Vec<_> = row.trials.iter().filter(|trial| trial.is(Validity::Valid)).collect();
    let all_valid = valid.len() == row.trials.len();
    let used = if valid.len() >= 2 { valid } else { row.trials.iter().collect() };
    let samples: Vec<Bounded> = used
        .iter()
        .filter_map(|trial| figure.of(measurement_of(trial.record)?, analysis.scenario))
        .collect();
    (!samples.is_empty()).then_some(Side { samples, all_valid })
}

impl Figure {
    fn of(self, trial: &Measurement, scenario: &ScenarioRecord) -> Option<Bounded> {
        match self {
            Self::DeliveriesPerSecond => Some(deliveries_per_second(trial).into()),
            Self::DeliveriesPerCpuSecond => cpu_per_delivery_ns(trial).map(|ns| (1e9 / ns).into()),
            Self::CpuPerDelivery => cpu_per_delivery_ns(trial).map(Bounded::from),
            Self::LatencyP99 => Some(latency_p99_ns(trial, scenario)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::DeliveriesPerSecond => "deliveries/s",
            Self::DeliveriesPerCpuSecond => "deliveries per CPU second",
            Self::CpuPerDelivery => "CPU per delivery",
            Self::LatencyP99 => "p99 latency",
        }
    }

    fn text(self, value: Bounded) -> String {
        value.text(match self {
            Self::DeliveriesPerSecond | Self::DeliveriesPerCpuSecond => count,
            Self::CpuPerDelivery | Self::LatencyP99 => time,
        })
    }
}

impl Goal {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(bound) => ratio >= bound,
            Self::AtMost(bound) => ratio <= bound,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(formatter, "≥ {bound}"),
            Self::AtMost(bound) => write!(formatter, "≤ {bound}"),
        }
    }
}

/// A ratio to three digits. A base of nothing (time is counted in steps) makes it infinite.
fn ratio(number: f64) -> String {
    if number.is_finite() { digits(number) } else { "∞".to_owned() }
}

/// The claims, a row each.
pub(crate) fn table(claims: &[Claim]) -> Table {
    let mut table = Table::new([
        Column::words("scenario"),
        Column::words("figure"),
        Column::words("server"),
        Column::numbers("its").optional(2),
        Column::words("compared with"),
        Column::numbers("its").optional(1),
        Column::numbers("ratio [95 %]"),
        Column::words("goal").optional(3),
        Column::words("met"),
    ]);
    for claim in claims {
        let met = match (claim.is_met, claim.is_certain) {
            (true, true) => "yes",
            (true, false) => "yes, not certain",
            (false, false) => "no, not certain",
            (false, true) => "no",
        };
        let doubt = if claim.all_valid { "" } else { " (not all trials valid)" };
        let median = claim.ratio.text(ratio);
        let [low, high] = [claim.ratio_low, claim.ratio_high].map(ratio);
        table.row([
            claim.scenario.as_str(),
            claim.figure.name(),
            claim.target.trim_start_matches(OWN_PREFIX),
            &claim.figure.text(claim.own),
            &claim.base,
            &claim.figure.text(claim.other),
            &format!("{median} [{low} – {high}]"),
            &claim.goal.to_string(),
            &format!("{met}{doubt}"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A claim of twice as much, `goal` apart.
    fn claim(goal: Goal, low: f64, high: f64) -> Claim {
        Claim {
            scenario: "1-to-8".to_owned(),
            figure: Figure::DeliveriesPerSecond,
            target: format!("{OWN_PREFIX}epoll"),
            base: NATS.to_owned(),
            own: 2e6.into(),
            other: 1e6.into(),
            ratio: 2.0.into(),
            ratio_low: low,
            ratio_high: high,
            goal,
            is_met: goal.is_met(2.0),
            is_certain: goal.is_met(low) == goal.is_met(high),
            trials: 5,
            all_valid: true,
        }
    }

    #[test]
    fn a_goal_is_met_by_the_median_and_certain_by_the_whole_interval() {
        for (goal, low, high, met) in [
            (Goal::AtLeast(1.5), 1.6, 2.4, "  yes"),
            (Goal::AtLeast(1.9), 1.6, 2.4, "  yes, not certain"),
            (Goal::AtMost(1.9), 1.6, 2.4, "  no, not certain"),
            (Goal::AtLeast(12.0), 1.6, 2.4, "  no"),
        ] {
            let table = table(&[claim(goal, low, high)]).render(None);
            let row = table.lines().last().unwrap_or_default();
            assert!(row.ends_with(met), "{row}");
            let words: Vec<&str> = row.split_whitespace().take(6).collect();
            assert_eq!(words, ["1-to-8", "deliveries/s", "epoll", "2.00", "M", "nats-server"]);
        }
    }
}
