//! One server, or the stream, at work: what waits there, and how long a pass over it takes.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::costs::Figures;

/// A message: its index among those that were said.
pub(crate) type Message = usize;

/// What waits at a node. It works in passes: each takes everything that waits, however much that is,
/// so a node that is late sends more at once, and cheaper.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// On their way to the top.
    pub(crate) up: Vec<Message>,
    /// In their order, for all below.
    pub(crate) down: Vec<Message>,
    /// Batches that `up` came in; the stream stores each by itself.
    pub(crate) batches: u64,
    /// A pass is due.
    pub(crate) scheduled: bool,
    /// The current pass ends then.
    pub(crate) free_at: u64,
    /// A batch is on its way to the stream and not stored yet.
    pub(crate) unstored: bool,
    /// When the last that it has sent up arrives: nothing overtakes on a connection.
    pub(crate) up_until: u64,
    /// The same for what is sent down to it.
    pub(crate) down_until: u64,
    /// For how long it has worked.
    pub(crate) busy_ns: u64,
}

/// How long a server takes to send `messages` to each of `receivers`, in nanoseconds: on all its
/// cores, and not faster than its network.
pub(crate) fn send_ns(figures: &Figures, receivers: u64, messages: u64) -> u64 {
    let receivers = receivers as f64;
    let bytes = messages as f64 * figures.bytes_per_message + figures.bytes_per_send;
    let work = (figures.send_ns + messages as f64 * figures.message_ns) / figures.cores;
    let wire = bytes / figures.wire_bytes_per_ns;
    (receivers * work.max(wire)) as u64
}

/// How long the stream takes to store `batches` and send each to `nodes`, in nanoseconds.
pub(crate) fn store_ns(figures: &Figures, nodes: u64, batches: u64) -> u64 {
    (batches as f64 * (figures.store_ns + nodes as f64 * figures.stream_send_ns)) as u64
}

/// Time around `mean_ns`: half of it for certain, the other half exponentially distributed.
pub(crate) fn around(rng: &mut ChaCha8Rng, mean_ns: f64) -> u64 {
    (mean_ns / 2.0 + exponential(rng, mean_ns / 2.0)) as u64
}

/// Exponentially distributed with this mean, as the times between independent messages are.
pub(crate) fn exponential(rng: &mut ChaCha8Rng, mean: f64) -> f64 {
    // 0 is among the random numbers, 1 is not.
    -(1.0 - rng.random::<f64>()).ln() * mean
}
