//! Everything a shard counts, and how it is exported: one row per metric.
//!
//! A counter exists only by its row in the table below, so none can be counted and not exported.
//! Names keep Prometheus' conventions: base units as suffix, `_total` on counters only.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::admission::Rejection;
use crate::client::DisconnectReason;
use crate::counter::Counter;

/// Receives each sample of a metric: its reason, if the metric is split by one, and its value.
pub(crate) type Visit<'a> = dyn FnMut(Option<&'static str>, u64) + 'a;

/// Something with samples.
pub(crate) trait Samples {
    fn visit(&self, visit: &mut Visit<'_>);
}

impl Samples for Counter {
    fn visit(&self, visit: &mut Visit<'_>) {
        visit(None, self.get());
    }
}

/// A number that several threads change.
#[derive(Debug, Default)]
pub struct SharedGauge(AtomicU64);

impl SharedGauge {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Samples for SharedGauge {
    fn visit(&self, visit: &mut Visit<'_>) {
        visit(None, self.get());
    }
}

/// Disconnects, by reason.
#[derive(Debug, Default)]
pub struct Disconnects([Counter; DisconnectReason::ALL.len()]);

impl Disconnects {
    /// How many had this reason.
    #[must_use]
    pub fn by(&self, reason: DisconnectReason) -> &Counter {
        &self.0[reason as usize]
    }
}

impl Samples for Disconnects {
    fn visit(&self, visit: &mut Visit<'_>) {
        DisconnectReason::ALL
            .iter()
            .for_each(|&reason| visit(Some(reason.name()), self.by(reason).get()));
    }
}

/// Rejected connections, by reason.
#[derive(Debug, Default)]
pub struct Rejections([Counter; Rejection::ALL.len()]);

impl Rejections {
    /// How many had this reason.
    #[must_use]
    pub fn by(&self, reason: Rejection) -> &Counter {
        &self.0[reason as usize]
    }
}

impl Samples for Rejections {
    fn visit(&self, visit: &mut Visit<'_>) {
        Rejection::ALL.iter().for_each(|&reason| visit(Some(reason.name()), self.by(reason).get()));
    }
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Kind {
    /// As Prometheus names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// How a field of [`Counters`] is exported.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
    pub(crate) samples: fn(&Counters) -> &dyn Samples,
}

macro_rules! metrics {
    ($($field:ident: $type:ty, $kind:ident $name:literal, $help:literal;)*) => {
        /// Everything one shard counts, since it started or (gauges) now.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $(#[doc = $help] pub $field: $type,)*
        }

        /// Every field of [`Counters`], exported.
        pub(crate) const METRICS: &[Metric] = &[
            $(Metric {
                name: concat!("zillions_", $name),
                kind: Kind::$kind,
                help: $help,
                samples: |counters| &counters.$field,
            },)*
        ];
    };
}

metrics! {
    clients: SharedGauge, Gauge "clients",
        "Connected clients, including those on their way to the shard";
    lagging_clients: Counter, Gauge "lagging_clients",
        "Connected clients that are behind";
    lag_max_bytes: Counter, Gauge "lag_max_bytes",
        "Lag of the slowest client at the last lag check";
    connections_accepted: Counter, Counter "connections_accepted_total",
        "Connections accepted and registered";
    connections_rejected: Rejections, Counter "connections_rejected_total",
        "Connections closed at once because of a limit, by limit";
    accept_errors: Counter, Counter "accept_errors_total",
        "Failed attempts to accept, mostly for lack of descriptors";
    disconnects: Disconnects, Counter "disconnects_total",
        "Closed connections, by reason";
    received_messages: Counter, Counter "received_messages_total",
        "Messages received";
    received_bytes: Counter, Counter "received_bytes_total",
        "Bytes of whole frames received, headers included";
    discarded_messages: Counter, Counter "discarded_messages_total",
        "Messages of clients that may only listen, passed on to nobody";
    throttled_clients: Counter, Gauge "throttled_clients",
        "Clients that have sent more than they may and are not read for a while";
    throttles: Counter, Counter "throttles_total",
        "How often a client had to wait because it had sent more than it may";
    sent_messages: Counter, Counter "sent_messages_total",
        "Deliveries: messages handed to clients' sockets";
    sent_bytes: Counter, Counter "sent_bytes_total",
        "Bytes handed to clients' sockets";
    sends: Counter, Counter "sends_total",
        "Sends that transferred bytes; sent bytes by sends is the mean size of a send";
    dropped_messages: Counter, Counter "dropped_messages_total",
        "Messages not sent to a client because it was too slow";
    passes: Counter, Counter "passes_total",
        "Iterations of the shard's event loop";
    coalesced_passes: Counter, Counter "coalesced_passes_total",
        "Passes after which a busy shard paused so that small messages share a send";
    backpressured_passes: Counter, Counter "backpressured_passes_total",
        "Passes that could not append because a shard or a slow reader was behind";
}
