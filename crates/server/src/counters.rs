//! What a shard counts: each number has one writer, anybody may look.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::client::Reason;

/// A number that one thread changes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; by the owning thread only, so that no locked instruction is needed.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Sets; by the owning thread only.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything one shard counts, since it began or (where it says so) now.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// Clients now.
    pub clients: Counter,
    /// Clients now that are behind.
    pub lagging: Counter,
    /// How far the slowest is behind, in bytes, at the last survey.
    pub lag_bytes_max: Counter,
    /// Clients that joined.
    pub joined: Counter,
    /// Clients that are gone, by [`Reason`] in the order of [`Reason::ALL`].
    pub gone: [Counter; Reason::ALL.len()],
    /// Messages received.
    pub messages_in: Counter,
    /// Bytes of them, headers included.
    pub bytes_in: Counter,
    /// Messages handed to clients' sockets.
    pub messages_out: Counter,
    /// Bytes handed to clients' sockets.
    pub bytes_out: Counter,
    /// Sends that took at least one byte.
    pub sends: Counter,
    /// Messages that a client was not sent because it was too slow.
    pub dropped: Counter,
    /// Rounds of the shard's loop: how often it was woken or went on by itself.
    pub passes: Counter,
    /// Rounds after which the shard rested, so that more messages share a send.
    pub rests: Counter,
    /// Rounds that could not append because a shard or a slow reader was behind.
    pub held_up: Counter,
}

impl Counters {
    /// How many clients are gone for this reason.
    #[must_use]
    pub fn gone_for(&self, reason: Reason) -> &Counter {
        &self.gone[reason as usize]
    }
}
