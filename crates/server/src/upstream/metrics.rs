//! How the way upstream is exported: one row per metric, of the whole process.

use super::{Condition, Upstream};
use crate::counters::Kind;

/// A metric of the uplink.
pub(crate) struct UplinkMetric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
    pub(crate) value: fn(&Upstream) -> f64,
}

/// Up to 2⁵³ a count is exact.
#[expect(clippy::cast_precision_loss, reason = "such counts are not reached")]
fn count(value: u64) -> f64 {
    value as f64
}

macro_rules! metrics {
    ($($kind:ident $name:literal, $help:literal, $value:expr;)*) => {
        /// Every metric of the uplink.
        pub(crate) const METRICS: &[UplinkMetric] = &[
            $(UplinkMetric {
                name: concat!("zillions_upstream_", $name),
                kind: Kind::$kind,
                help: $help,
                value: $value,
            },)*
        ];
    };
}

metrics! {
    Gauge "connected", "Whether the upstream server is connected, 0 or 1",
        |it| f64::from(u8::from(matches!(it.condition(), Condition::Connected | Condition::Silent)));
    Gauge "silent", "Whether what went up has had no answer for 10 s, 0 or 1",
        |it| f64::from(u8::from(it.condition() == Condition::Silent));
    Gauge "loop", "Whether the upstream server was refused because it is this one, 0 or 1",
        |it| f64::from(u8::from(it.condition() == Condition::Loop));
    Counter "connects_total", "Connections made to an upstream server; all but one are reconnections",
        |it| count(it.counters.connects.get());
    Counter "failures_total", "Attempts to connect that failed, and connections that were lost",
        |it| count(it.counters.failures.get());
    Gauge "outbox_bytes", "Bytes of clients' messages that wait to be sent up",
        |it| count(it.waiting_bytes() as u64);
    Gauge "under_way_messages", "Own messages that were sent up and have not come down",
        |it| count(it.counters.under_way.get());
    Gauge "round_trip_seconds", "From sending a message up to its coming down, the last time",
        |it| count(it.counters.round_trip_microseconds.get()) / 1e6;
    Counter "sent_messages_total", "Own messages sent up",
        |it| count(it.counters.sent.get());
    Counter "sent_bytes_total", "Bytes of own messages sent up, headers included",
        |it| count(it.counters.sent_bytes.get());
    Counter "received_messages_total", "Messages that came down, own ones included",
        |it| count(it.counters.received.get());
    Counter "received_bytes_total", "Bytes of messages that came down, headers included",
        |it| count(it.counters.received_bytes.get());
    Counter "unconfirmed_messages_total",
        "Own messages that were sent up and did not come down: dropped, or put in order unseen",
        |it| count(it.counters.unconfirmed.get());
    Counter "retries_total", "Batches of own messages published again to a cluster",
        |it| count(it.counters.retries.get());
    Counter "missed_batches_total", "Batches that the cluster's stream no longer had to be read",
        |it| count(it.counters.missed_batches.get());
    Counter "ignored_batches_total", "Batches of the cluster's stream that were repeated or invalid",
        |it| count(it.counters.ignored_batches.get());
    Counter "discarded_messages_total", "Own messages that could not be sent up before the stop",
        |it| count(it.discarded());
}
