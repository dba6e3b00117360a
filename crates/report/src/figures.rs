//! The figures of a target in a scenario, over several trials.

use hdrhistogram::Histogram;

use crate::bounded::Bounded;
use crate::cost::RankedCosts;
use crate::percentile::{expected_deliveries, latency_ns, latency_p99_ns};
use crate::record::{Measurement, ScenarioRecord};
use crate::statistics::{Estimate, estimate_median, median};
use crate::trial_figures::{
    cpu_per_delivery_ns, deliveries_per_second, lost_share_of, ranking_figure,
    switches_per_1000_deliveries, user_instructions_per_delivery,
};

/// The figures of a target in a scenario, over several trials.
#[derive(Clone, Debug)]
pub struct Figures {
    /// What the scenario ranks by: the 99th percentile of latency in nanoseconds, deliveries per
    /// second, or the highest rate within the limits in messages per second.
    pub ranking: Estimate,
    /// The ranking figure relative to the best median of the scenario.
    pub relative: Option<Estimate>,
    /// What it reaches of the limit of the machine, 1 for all; absent where none was measured.
    pub share_of_limit: Option<Estimate>,
    /// The highest rate within the limits, in messages per second, if the scenario searches.
    pub capacity_messages_per_second: Option<Estimate>,
    /// Deliveries that arrived, per second.
    pub deliveries_per_second: Estimate,
    /// Median latency of all expected deliveries, in nanoseconds; infinite where fewer arrived.
    pub latency_p50_ns: Bounded,
    /// 99th percentile likewise, with the interval over the trials.
    pub latency_p99_ns: Estimate,
    /// 99.9th percentile likewise.
    pub latency_p999_ns: Bounded,
    /// Share of the expected deliveries that never arrived, 0 to 1.
    pub lost_share: f64,
    /// CPU time of the server per delivery, in nanoseconds, if there were deliveries.
    pub cpu_per_delivery_ns: Option<Estimate>,
    /// Instructions of the server in user mode per delivery, if they were counted.
    pub user_instructions_per_delivery: Option<Estimate>,
    /// Peak of resident memory in any trial, in bytes, if it was measured.
    pub peak_resident_bytes: Option<u64>,
    /// Most threads in any trial, if they were counted.
    pub threads: Option<u64>,
    /// Context switches of the server per thousand deliveries: the median over the trials.
    pub switches_per_1000_deliveries: Option<f64>,
    /// The costs of a delivery that are ranked, each with its tier.
    pub costs: RankedCosts,
    /// Latencies of the arrivals of all trials together.
    pub latency: Histogram<u64>,
    /// How many deliveries those would have been if none had been lost.
    pub expected: u64,
}

impl Figures {
    /// The figures of `trials`; `None` if there are none.
    #[must_use]
    pub fn of(trials: &[&Measurement], scenario: &ScenarioRecord, seed: u64) -> Option<Self> {
        let estimate = |of: &dyn Fn(&Measurement) -> Option<Bounded>| {
            let samples: Vec<Bounded> = trials.iter().filter_map(|trial| of(trial)).collect();
            estimate_median(&samples, seed)
        };
        let mut latency: Option<Histogram<u64>> = None;
        for histogram in trials.iter().filter_map(|trial| trial.latency.histogram().ok()) {
            match &mut latency {
                None => latency = Some(histogram),
                // No version of this tool writes histograms of other bounds.
                Some(sum) => sum.add(&histogram).ok()?,
            }
        }
        let latency = latency?;
        let servers = || trials.iter().filter_map(|trial| trial.server.as_ref());
        let expected = trials.iter().map(|trial| expected_deliveries(trial, scenario)).sum();
        let switches: Vec<f64> =
            trials.iter().filter_map(|trial| switches_per_1000_deliveries(trial)).collect();
        Some(Self {
            ranking: estimate(&|trial| Some(ranking_figure(trial, scenario)))?,
            relative: None,
            share_of_limit: None,
            capacity_messages_per_second: None,
            deliveries_per_second: estimate(&|trial| Some(deliveries_per_second(trial).into()))?,
            latency_p50_ns: latency_ns(&latency, expected, 0.5),
            latency_p99_ns: estimate(&|trial| Some(latency_p99_ns(trial, scenario)))?,
            latency_p999_ns: latency_ns(&latency, expected, 0.999),
            lost_share: lost_share_of(trials.iter().copied()),
            cpu_per_delivery_ns: estimate(&|trial| cpu_per_delivery_ns(trial).map(Bounded::from)),
            user_instructions_per_delivery: estimate(&|trial| {
                user_instructions_per_delivery(trial).map(Bounded::from)
            }),
            peak_resident_bytes: servers().map(|server| server.peak_resident_bytes).max(),
            threads: servers().map(|server| server.threads).max(),
            switches_per_1000_deliveries: (!switches.is_empty()).then(|| median(&switches)),
            costs: RankedCosts::new(),
            latency,
            expected,
        })
    }
}
