//! What one trial has found.

use hdrhistogram::Histogram;

use crate::churn::ChurnCounts;
use crate::clock::ThreadUse;
use crate::closed_loop::RoundCounts;
use crate::order_sample::OrderSample;

/// Where every expected (message, receiver) pair of the window ended up.
///
/// One message that was to be sent is one pair per connected client, so the classes add up to
/// messages × clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Arrived, in the order of its sender.
    pub delivered: u64,
    /// Arrived, but after a later message of its sender (a violation of ORDER-2).
    pub reordered: u64,
    /// Never arrived, though its receiver was connected and the server had fallen silent.
    pub dropped: u64,
    /// Never arrived, and its receiver lost its connection.
    pub cut_off: u64,
    /// Had not arrived when the time to drain was up.
    pub pending: u64,
    /// Due but never wholly written, because the server did not take it.
    pub unsent: u64,
}

impl Pairs {
    /// All pairs.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.delivered + self.reordered + self.dropped + self.cut_off + self.pending + self.unsent
    }
}

/// What arrived beside the expected pairs, in the whole trial. Anything but zeros is a violation
/// of the spec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies {
    /// Messages that arrived again at the same receiver (ORDER-1).
    pub duplicated: u64,
    /// Messages of which some byte was wrong (FRAME-2, ORDER-1).
    pub corrupted: u64,
    /// Messages that no client had sent (ORDER-1).
    pub invented: u64,
    /// Messages that arrived after a later one of their sender (ORDER-2).
    pub reordered: u64,
}

impl Anomalies {
    pub(crate) fn add(&mut self, other: &Self) {
        self.duplicated += other.duplicated;
        self.corrupted += other.corrupted;
        self.invented += other.invented;
        self.reordered += other.reordered;
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// How much was sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Messages wholly written within the window.
    pub messages_written: u64,
    /// Messages of the window that met a full socket: the server did not take them in time.
    pub messages_held_back: u64,
    /// Deliveries that arrived within the window, whenever they were sent.
    pub deliveries_arrived: u64,
    /// Their bytes, headers included.
    pub bytes_arrived: u64,
    /// The length of the window in seconds.
    pub window_seconds: f64,
    /// Deliveries of the window that took longer than the plan's `late_after`.
    pub late: u64,
}

/// Times in nanoseconds; of messages of the window.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Per delivery, from the intended send to the arrival.
    pub delivery: Histogram<u64>,
    /// Per delivery, from the actual write to the arrival: what a closed loop would have seen.
    pub service: Histogram<u64>,
    /// Per message that everybody received, from the intended send to the last arrival.
    pub last_receiver: Histogram<u64>,
    /// Per message that was not held back by a full socket, from the intended send to the actual
    /// write: how far the generator was behind its own schedule.
    pub schedule_lag: Histogram<u64>,
}

/// What one thread of the generator used within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GeneratorUse {
    /// The time that the figures below cover, in seconds: the window, and by how much a disturbed
    /// generator was late for its end.
    pub sampled_seconds: f64,
    /// Its CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Time it was ready to run and did not run, in seconds: others had its core.
    pub ready_wait_seconds: f64,
    /// Reads that returned bytes: few deliveries in each mean that it is ahead of the server.
    pub reads: u64,
    /// Deliveries that arrived at its receivers within the window.
    pub deliveries_arrived: u64,
}

impl GeneratorUse {
    /// Between two readings of the thread's use and of how many reads there were.
    pub(crate) fn between(before: (ThreadUse, u64), after: (ThreadUse, u64)) -> Self {
        let ((before, reads_before), (after, reads_after)) = (before, after);
        Self {
            sampled_seconds: (after.at - before.at).as_secs_f64(),
            cpu_seconds: (after.cpu - before.cpu).as_secs_f64(),
            ready_wait_seconds: after.ready_wait.saturating_sub(before.ready_wait).as_secs_f64(),
            reads: reads_after - reads_before,
            deliveries_arrived: 0,
        }
    }
}

/// A connection that ended before the trial did.
#[derive(Clone, Debug, PartialEq)]
pub struct LostConnection {
    /// The index of the client.
    pub client: usize,
    /// When, in seconds after the first message was due.
    pub at_seconds: f64,
    /// How: end of file, or the system's words for the error.
    pub reason: String,
}

/// What only some plans ask for; zeros with the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Filler messages that were to be delivered in the whole trial: one per message and client.
    pub filler_expected: u64,
    /// Those that arrived.
    pub filler_delivered: u64,
    /// Short-lived connections.
    pub churn: ChurnCounts,
    /// Clients that never read and that the server disconnected.
    pub stalled_disconnected: u64,
    /// ClosedLoop of a closed loop.
    pub rounds: RoundCounts,
}

/// Everything one trial has found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Where every expected pair of the window ended up.
    pub pairs: Pairs,
    /// What arrived that should not have.
    pub anomalies: Anomalies,
    /// How much was sent and received.
    pub traffic: Traffic,
    /// How long it took.
    pub latencies: Latencies,
    /// What each thread of the generator used; at least one.
    pub generator: Vec<GeneratorUse>,
    /// What only some plans ask for.
    pub extras: Extras,
    /// What a few clients saw, in order.
    pub sample: OrderSample,
    /// Connections that ended early.
    pub lost: Vec<LostConnection>,
    /// Whether no connection was left at the end.
    pub are_all_lost: bool,
}
