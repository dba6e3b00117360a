//! Percentiles of latency: the one computation of every p50, p99 and p99.9.
//!
//! They are over all deliveries that were expected. A delivery that was lost counts as infinitely
//! late, so a server cannot look faster by dropping messages. The percentiles in the records
//! (`arrived_p99_ns`) are over the arrivals only.

use hdrhistogram::Histogram;

use crate::record::{LoadRecord, Measurement, ScenarioRecord};

/// Median latency of `trial`, in nanoseconds; infinite if half of the deliveries never arrived.
#[must_use]
pub fn latency_p50_ns(trial: &Measurement, scenario: &ScenarioRecord) -> f64 {
    trial_latency_ns(trial, scenario, 0.5)
}

/// 99th percentile of the latency of `trial`, in nanoseconds; infinite if more than 1 % of the
/// deliveries never arrived.
#[must_use]
pub fn latency_p99_ns(trial: &Measurement, scenario: &ScenarioRecord) -> f64 {
    trial_latency_ns(trial, scenario, 0.99)
}

/// 99.9th percentile of the latency of `trial`, in nanoseconds; infinite likewise.
#[must_use]
pub fn latency_p999_ns(trial: &Measurement, scenario: &ScenarioRecord) -> f64 {
    trial_latency_ns(trial, scenario, 0.999)
}

/// The latency of `trial` at `quantile`, in nanoseconds; infinite if that many deliveries
/// never arrived.
#[must_use]
pub fn trial_latency_ns(trial: &Measurement, scenario: &ScenarioRecord, quantile: f64) -> f64 {
    // Histograms were checked when they were read.
    trial.latency.histogram().map_or(f64::INFINITY, |histogram| {
        latency_ns(&histogram, expected_deliveries(trial, scenario), quantile)
    })
}

/// The latency at `quantile` of `expected` deliveries, of which those in `arrived` arrived, in
/// nanoseconds; infinite if the quantile falls among those that did not.
#[must_use]
pub fn latency_ns(arrived: &Histogram<u64>, expected: u64, quantile: f64) -> f64 {
    let rank = (quantile * expected as f64).ceil().max(1.0);
    if rank > arrived.len() as f64 {
        return f64::INFINITY;
    }
    arrived.value_at_quantile(rank / arrived.len() as f64) as f64
}

/// The deliveries that a percentile of `trial` is of. Pending ones count as not arrived where
/// messages were due at fixed times; a saturating sender always has some in flight.
#[must_use]
pub fn expected_deliveries(trial: &Measurement, scenario: &ScenarioRecord) -> u64 {
    match scenario.load {
        LoadRecord::Saturate => trial.pairs.expected() - trial.pairs.pending,
        _ => trial.pairs.expected(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;
    use crate::record::RankBy;

    #[test]
    fn percentiles_are_of_everything_expected() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        (1..=90).for_each(|value| histogram.record(value).unwrap());
        assert_eq!(latency_ns(&histogram, 100, 0.5), 50.0);
        assert_eq!(latency_ns(&histogram, 100, 0.9), 90.0);
        assert_eq!(latency_ns(&histogram, 100, 0.91), f64::INFINITY);
        assert_eq!(latency_ns(&histogram, 0, 0.5), 1.0);
    }

    #[test]
    fn a_recorded_percentile_of_the_arrivals_is_not_the_percentile_of_a_trial_that_lost_messages() {
        let scenario = examples::scenario("room", RankBy::Latency);
        let mut trial = examples::measurement();
        let p99 = latency_p99_ns(&trial, &scenario);
        assert_eq!(p99, trial.latency.arrived_p99_ns as f64, "nothing was lost");
        trial.pairs.dropped = trial.pairs.delivered / 50;
        assert_eq!(latency_p99_ns(&trial, &scenario), f64::INFINITY);
        assert!(latency_p50_ns(&trial, &scenario) > trial.latency.arrived_p50_ns as f64);
        assert_eq!(p99, trial.latency.arrived_p99_ns as f64);
    }
}
