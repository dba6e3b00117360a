//! Histograms as they are recorded.
//!
//! Percentiles in a record cover only what was recorded, so their names say what that is:
//! `arrived_p99_ns` is over the deliveries that arrived. A p99 without such a word counts what
//! never arrived as infinitely late; [`percentile`](crate::percentile) computes it.

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zillions_samples::histogram::{decode, encode, value_at};

/// Latencies of what arrived, in nanoseconds: the usual percentiles, and the whole histogram to
/// merge and recompute from. What was lost is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArrivalsRecord {
    /// Number of arrivals.
    pub count: u64,
    /// Median latency of the arrivals, in nanoseconds.
    pub arrived_p50_ns: u64,
    /// 90th percentile of the latency of the arrivals, in nanoseconds.
    pub arrived_p90_ns: u64,
    /// 99th percentile of the latency of the arrivals, in nanoseconds.
    pub arrived_p99_ns: u64,
    /// 99.9th percentile of the latency of the arrivals, in nanoseconds.
    pub arrived_p999_ns: u64,
    /// Longest latency of the arrivals, in nanoseconds.
    pub arrived_max_ns: u64,
    /// The histogram, in HdrHistogram's V2 compressed format, in base64.
    pub hdr: String,
}

/// How far the load generator was behind its own schedule, in nanoseconds, for each message that
/// it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleLagRecord {
    /// Number of messages; 0 where the load has no schedule.
    pub count: u64,
    /// Median lag, in nanoseconds.
    pub lag_p50_ns: u64,
    /// 90th percentile of the lag, in nanoseconds.
    pub lag_p90_ns: u64,
    /// 99th percentile of the lag, in nanoseconds.
    pub lag_p99_ns: u64,
    /// 99.9th percentile of the lag, in nanoseconds.
    pub lag_p999_ns: u64,
    /// Longest lag, in nanoseconds.
    pub lag_max_ns: u64,
    /// The histogram, in HdrHistogram's V2 compressed format, in base64.
    pub hdr: String,
}

/// An invalid histogram in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the histogram is damaged ({0})")]
pub struct HistogramError(String);

impl ArrivalsRecord {
    /// Records `histogram`, whose values are nanoseconds.
    ///
    /// # Panics
    ///
    /// If writing to memory fails, which it does not.
    #[must_use]
    pub fn new(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            arrived_p50_ns: value_at(histogram, 0.5),
            arrived_p90_ns: value_at(histogram, 0.9),
            arrived_p99_ns: value_at(histogram, 0.99),
            arrived_p999_ns: value_at(histogram, 0.999),
            arrived_max_ns: histogram.max(),
            hdr: encode(histogram),
        }
    }

    /// The recorded histogram.
    ///
    /// # Errors
    ///
    /// If `hdr` is not what [`new`](Self::new) writes.
    pub fn histogram(&self) -> Result<Histogram<u64>, HistogramError> {
        decode(&self.hdr).map_err(HistogramError)
    }
}

impl ScheduleLagRecord {
    /// Records `histogram`, whose values are nanoseconds.
    ///
    /// # Panics
    ///
    /// If writing to memory fails, which it does not.
    #[must_use]
    pub fn new(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            lag_p50_ns: value_at(histogram, 0.5),
            lag_p90_ns: value_at(histogram, 0.9),
            lag_p99_ns: value_at(histogram, 0.99),
            lag_p999_ns: value_at(histogram, 0.999),
            lag_max_ns: histogram.max(),
            hdr: encode(histogram),
        }
    }

    /// The recorded histogram.
    ///
    /// # Errors
    ///
    /// If `hdr` is not what [`new`](Self::new) writes.
    pub fn histogram(&self) -> Result<Histogram<u64>, HistogramError> {
        decode(&self.hdr).map_err(HistogramError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_recording() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for value in [1, 1_000, 5_000_000, 5_000_000] {
            histogram.record(value).unwrap();
        }
        let record = ArrivalsRecord::new(&histogram);
        assert_eq!(record.count, 4);
        assert_eq!(record.histogram().unwrap(), histogram);
        let lag = ScheduleLagRecord::new(&histogram);
        assert_eq!((lag.count, lag.lag_p99_ns), (record.count, record.arrived_p99_ns));
        assert_eq!(lag.histogram().unwrap(), histogram);
    }

    #[test]
    fn a_damaged_histogram_is_an_error_and_no_panic() {
        for hdr in ["", "!", "AAAA", "HISTFAAAAB542pNpmSzMwMDAxQABzFCaEUoz"] {
            let record = ArrivalsRecord { hdr: hdr.to_owned(), ..ArrivalsRecord::default() };
            assert!(record.histogram().is_err(), "{hdr:?}");
        }
    }
}
