//! What a stress test found.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The whole test.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Repetitions carried out.
    pub repetitions: u32,
    /// Messages sent.
    pub messages: u64,
    /// Deliveries due: every message to every client, its sender included.
    pub expected: u64,
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Deliveries that did not.
    pub dropped: u64,
    /// `dropped / expected`.
    pub drop_rate: f64,
    /// Deliveries that arrived after their publisher had stopped waiting.
    pub late: u64,
    /// How often a publisher stopped waiting.
    pub timeouts: u64,
    /// From the first connection to the last verdict.
    pub seconds: f64,
    /// Latency of the deliveries that arrived, if any did.
    pub latency: Option<Latency>,
    /// The first broken clause, if any.
    pub violation: Option<Violation>,
}

/// Latency from sending to receiving, in microseconds. It covers only the
/// deliveries that arrived: see [`Summary::drop_rate`] for the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Deliveries that were timed: those that arrived before their publisher went on. A percentile
    /// with fewer than ten of them above it is a lower bound.
    pub timed: u64,
    /// Median.
    pub arrived_p50_us: f64,
    /// 90th percentile.
    pub arrived_p90_us: f64,
    /// 99th percentile.
    pub arrived_p99_us: f64,
    /// 99.9th percentile.
    pub arrived_p999_us: f64,
    /// Maximum.
    pub arrived_max_us: f64,
}

/// A broken clause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// In which repetition, from 1.
    pub repetition: u32,
    /// Its id in the spec.
    pub clause: String,
    /// Who received what; several lines.
    pub explanation: String,
}

/// One repetition.
#[derive(Debug)]
pub(crate) struct RepetitionResult {
    pub(crate) messages: u64,
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) late: u64,
    pub(crate) timeouts: u64,
    pub(crate) violation: Option<Violation>,
}

impl Summary {
    pub(crate) fn add(&mut self, result: RepetitionResult) {
        self.repetitions += 1;
        self.messages += result.messages;
        self.expected += result.expected;
        self.delivered += result.delivered;
        self.dropped += result.expected.saturating_sub(result.delivered);
        self.late += result.late;
        self.timeouts += result.timeouts;
        self.violation = result.violation;
        self.drop_rate =
            if self.expected == 0 { 0.0 } else { self.dropped as f64 / self.expected as f64 };
    }
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let us = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        (!histogram.is_empty()).then(|| Self {
            timed: histogram.len(),
            arrived_p50_us: us(0.5),
            arrived_p90_us: us(0.9),
            arrived_p99_us: us(0.99),
            arrived_p999_us: us(0.999),
            arrived_max_us: histogram.max() as f64 / 1000.0,
        })
    }
}
