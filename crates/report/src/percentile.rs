//! Percentiles of latency: the one computation of every p50, p99 and p99.9.
//!
//! They are over all deliveries that were expected. A delivery that was lost counts as infinitely
//! late, so a server cannot look faster by dropping messages. The percentiles in the records
//! (`arrived_p99_ns`) are over the arrivals only.
//!
//! A percentile with fewer than [`SAMPLES_ABOVE_MIN`] samples above it is a lower bound: the 99th
//! of twelve deliveries is the slowest of them, and a hundred would have found slower ones. "Never"
//! is no bound, for nothing is later.

use hdrhistogram::Histogram;
use zillions_samples::histogram::value_at;

use crate::bounded::Bounded;
use crate::record::{ArrivalsRecord, LoadRecord, Measurement, ScenarioRecord, ScheduleLagRecord};

/// A percentile with fewer samples above it than this is a lower bound.
pub const SAMPLES_ABOVE_MIN: u64 = 10;

/// Median latency of `trial`, in nanoseconds; infinite if half of the deliveries never arrived.
#[must_use]
pub fn latency_p50_ns(trial: &Measurement, scenario: &ScenarioRecord) -> Bounded {
    trial_latency_ns(trial, scenario, 0.5)
}

/// 99th percentile of the latency of `trial`, in nanoseconds; infinite if more than 1 % of the
/// deliveries never arrived.
#[must_use]
pub fn latency_p99_ns(trial: &Measurement, scenario: &ScenarioRecord) -> Bounded {
    trial_latency_ns(trial, scenario, 0.99)
}

/// 99.9th percentile of the latency of `trial`, in nanoseconds; infinite likewise.
#[must_use]
pub fn latency_p999_ns(trial: &Measurement, scenario: &ScenarioRecord) -> Bounded {
    trial_latency_ns(trial, scenario, 0.999)
}

/// The latency of `trial` at `quantile`, in nanoseconds; infinite if that many deliveries
/// never arrived.
#[must_use]
pub fn trial_latency_ns(trial: &Measurement, scenario: &ScenarioRecord, quantile: f64) -> Bounded {
    // Histograms were checked when they were read.
    trial.latency.histogram().map_or(f64::INFINITY.into(), |histogram| {
        latency_ns(&histogram, expected_deliveries(trial, scenario), quantile)
    })
}

/// The latency at `quantile` of `expected` deliveries, of which those in `arrived` arrived, in
/// nanoseconds; infinite if the quantile falls among those that did not.
#[must_use]
pub fn latency_ns(arrived: &Histogram<u64>, expected: u64, quantile: f64) -> Bounded {
    let rank = rank(expected, quantile);
    if rank > arrived.len() as f64 {
        return f64::INFINITY.into();
    }
    // Half a sample less, or a rounded quotient would be the rank after it.
    let value_ns = value_at(arrived, (rank - 0.5) / arrived.len() as f64) as f64;
    of_rank(value_ns, rank, expected)
}

/// 99th percentile of what arrived, in nanoseconds.
#[must_use]
pub fn arrived_p99_ns(record: &ArrivalsRecord) -> Bounded {
    of_count(record.arrived_p99_ns as f64, record.count, 0.99)
}

/// 99th percentile of the lag of the load generator behind its schedule, in nanoseconds.
#[must_use]
pub fn lag_p99_ns(record: &ScheduleLagRecord) -> Bounded {
    of_count(record.lag_p99_ns as f64, record.count, 0.99)
}

/// `value` as what it is: the one at `quantile` of `count` samples.
#[must_use]
pub fn of_count(value: f64, count: u64, quantile: f64) -> Bounded {
    of_rank(value, rank(count, quantile), count)
}

/// How many of `number` samples are at `quantile` or below.
fn rank(number: u64, quantile: f64) -> f64 {
    (quantile * number as f64).ceil().max(1.0)
}

/// The value that has `rank` of `number` samples at it or below.
fn of_rank(value: f64, rank: f64, number: u64) -> Bounded {
    let above = number as f64 - rank;
    if above < SAMPLES_ABOVE_MIN as f64 { Bounded::at_least(value) } else { value.into() }
}

/// The fewest samples of which `quantile` is a figure and no bound.
#[must_use]
pub fn samples_needed(quantile: f64) -> u64 {
    (SAMPLES_ABOVE_MIN as f64 / (1.0 - quantile)).round() as u64
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
    use proptest::prelude::*;

    use super::*;
    use crate::examples;
    use crate::record::RankBy;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        values.into_iter().for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    #[test]
    fn percentiles_are_of_everything_expected() {
        let histogram = histogram(1..=90);
        assert_eq!(latency_ns(&histogram, 100, 0.5).exact(), Some(50.0));
        assert_eq!(latency_ns(&histogram, 100, 0.9).exact(), Some(90.0));
        assert_eq!(latency_ns(&histogram, 100, 0.91).exact(), Some(f64::INFINITY));
        assert_eq!(latency_ns(&histogram, 0, 0.5), Bounded::at_least(1.0));
    }

    #[test]
    fn of_twelve_deliveries_only_the_slowest_is_known_and_it_is_a_bound() {
        let twelve = histogram(1..=12);
        for quantile in [0.99, 0.999] {
            assert_eq!(latency_ns(&twelve, 12, quantile), Bounded::at_least(12.0));
        }
        assert_eq!(latency_ns(&twelve, 12, 0.5), Bounded::at_least(6.0));
        let recorded = ArrivalsRecord::new(&twelve);
        assert_eq!(arrived_p99_ns(&recorded), Bounded::at_least(12.0));
        assert_eq!(lag_p99_ns(&ScheduleLagRecord::new(&twelve)), Bounded::at_least(12.0));
    }

    #[test]
    fn a_percentile_is_a_figure_from_ten_samples_above_it_on() {
        for (quantile, needed) in [(0.5, 20), (0.99, 1_000), (0.999, 10_000)] {
            assert_eq!(samples_needed(quantile), needed);
            let is_exact = |number| latency_ns(&histogram(1..=number), number, quantile).is_exact();
            assert!(is_exact(needed) && !is_exact(needed - 1), "{quantile}");
        }
    }

    #[test]
    fn a_recorded_percentile_of_the_arrivals_is_not_the_percentile_of_a_trial_that_lost_messages() {
        let scenario = examples::scenario("room", RankBy::Latency);
        let mut trial = examples::measurement();
        let p99 = latency_p99_ns(&trial, &scenario);
        assert_eq!(p99, arrived_p99_ns(&trial.latency), "nothing was lost");
        trial.pairs.dropped = trial.pairs.delivered / 50;
        assert_eq!(latency_p99_ns(&trial, &scenario).exact(), Some(f64::INFINITY));
        assert!(latency_p50_ns(&trial, &scenario).least() > trial.latency.arrived_p50_ns as f64);
        assert_eq!(p99, arrived_p99_ns(&trial.latency));
    }

    proptest! {
        #[test]
        fn a_bound_has_few_samples_above_it_and_is_none_of_what_never_arrived(
            values in prop::collection::vec(1_u64..2_000, 1..400),
            lost in 0_u64..40,
            quantile in 0.01_f64..0.999,
        ) {
            let expected = values.len() as u64 + lost;
            let found = latency_ns(&histogram(values.iter().copied()), expected, quantile);
            let at_or_below = (quantile * expected as f64).ceil();
            let above = expected as f64 - at_or_below;
            if at_or_below > values.len() as f64 {
                prop_assert_eq!(found.exact(), Some(f64::INFINITY));
            } else {
                prop_assert_eq!(found.is_exact(), above >= SAMPLES_ABOVE_MIN as f64);
                let mut sorted = values.clone();
                sorted.sort_unstable();
                prop_assert_eq!(found.least(), sorted[at_or_below as usize - 1] as f64);
            }
        }
    }
}
