//! What shards and uplink of an edge share: the way of its clients' messages to the upstream
//! server, which puts them in the one order.
//!
//! Shards put whole frames into a bounded outbox; the [uplink](crate::uplink) takes them out,
//! and says up to which of them the upstream has answered. `docs/design/0018-edges.md` says why.

pub(crate) mod address;
pub(crate) mod echoes;
pub(crate) mod metrics;
mod outbox;
pub(crate) mod probe;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::counter::Counter;
use crate::engine::Wake;
use crate::parker::Parker;
use outbox::Outbox;
use probe::{NodeId, Probe};

/// How many bytes of clients' messages wait for the uplink, which holds as many again while it
/// writes them.
const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// How many probes for loops may wait to be passed on.
const PROBES_MAX: usize = 4;

/// What shards and uplink of an edge share.
pub struct Upstream {
    outbox: Mutex<Outbox>,
    uplink: Parker,
    /// What wakes the uplink, once there is one.
    waker: Arc<OnceLock<Wake>>,
    /// Messages that are settled, in the order in which they were put.
    settled: AtomicU64,
    condition: AtomicU8,
    /// Who this edge is to those that look for loops, or this node to its cluster.
    pub(crate) id: NodeId,
    probes: Mutex<VecDeque<Probe>>,
    pub(crate) counters: UplinkCounters,
}

/// What the uplink counts; it is exported by [`metrics`].
#[derive(Debug, Default)]
pub(crate) struct UplinkCounters {
    pub(crate) connects: Counter,
    pub(crate) failures: Counter,
    pub(crate) sent: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) received: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) unconfirmed: Counter,
    pub(crate) under_way: Counter,
    pub(crate) round_trip_microseconds: Counter,
    pub(crate) retries: Counter,
    pub(crate) missed_batches: Counter,
    pub(crate) ignored_batches: Counter,
}

/// What is known of the upstream server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Condition {
    /// There is no connection.
    Away = 0,
    /// It is connected, and nothing is overdue.
    Connected = 1,
    /// It is connected, and nothing comes down though something went up long ago.
    Silent = 2,
    /// It is this server itself, directly or over others.
    Loop = 3,
}

impl Default for Upstream {
    fn default() -> Self {
        Self::new(OUTBOX_BYTES_MAX)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Upstream")
            .field("condition", &self.condition())
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// Nothing is connected, and nothing on its way: at most `outbox_bytes_max` bytes will wait,
    /// or one batch.
    #[must_use]
    pub fn new(outbox_bytes_max: usize) -> Self {
        let waker = Arc::new(OnceLock::new());
        let wake: Arc<OnceLock<Wake>> = Arc::clone(&waker);
        Self {
            outbox: Mutex::new(Outbox::new(outbox_bytes_max)),
            uplink: Parker::new(Box::new(move || {
                if let Some(wake) = wake.get() {
                    wake();
                }
            })),
            waker,
            settled: AtomicU64::new(0),
            condition: AtomicU8::new(Condition::Away as u8),
            id: NodeId::random(),
            probes: Mutex::new(VecDeque::new()),
            counters: UplinkCounters::default(),
        }
    }

    /// There is an uplink now, and this wakes it.
    pub(crate) fn set_waker(&self, wake: Wake) {
        // There is one uplink, so it is not set twice.
        let _ = self.waker.set(wake);
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the upstream server.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self.condition.load(Ordering::Acquire) {
            0 => Condition::Away,
            1 => Condition::Connected,
            2 => Condition::Silent,
            _ => Condition::Loop,
        }
    }

    // The shards' side.

    /// Puts whole frames on their way up. Returns the number of messages that were ever put: when
    /// so many are [settled](Self::settled), these are. `None`: there is no space; all shards are
    /// notified when there is.
    pub(crate) fn put(&self, frames: &[u8], messages: usize) -> Option<u64> {
        let ticket = self.outbox().put(frames, messages)?;
        self.notify();
        Some(ticket)
    }

    /// How many messages, in the order in which they were put, have come down or will not.
    pub(crate) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// A client's stream has ended inside this frame. If it is a probe for loops, it is passed on.
    pub(crate) fn probed(&self, incomplete: &[u8]) {
        let Some(probe) = Probe::parse(incomplete) else { return };
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        if probes.len() < PROBES_MAX {
            probes.push_back(probe);
            drop(probes);
            self.notify();
        }
    }

    /// The room closes: what cannot be sent up any more is dropped.
    pub(crate) fn stop(&self) {
        self.outbox().stopping = true;
        self.notify();
    }

    /// The room closes and all shards have put what they have read. Returns whether nothing more
    /// will come down; otherwise the uplink starts the flush.
    pub(crate) fn finish(&self) -> bool {
        let mut outbox = self.outbox();
        outbox.finishing = true;
        let away = !outbox.connected;
        if away {
            outbox.discard();
        }
        drop(outbox);
        self.notify();
        away
    }

    /// Makes the uplink look again at what there is to do.
    pub(crate) fn notify(&self) {
        self.uplink.notify();
    }

    // The uplink's side.

    /// Whether the uplink may wait now; see [`Parker::park`].
    pub(crate) fn park(&self) -> bool {
        self.uplink.park()
    }

    pub(crate) fn unpark(&self) {
        self.uplink.unpark();
    }

    pub(crate) fn next_probe(&self) -> Option<Probe> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Moves everything that waits to `taken`, which is empty. Returns whether shards waited for
    /// the space: then all must be notified.
    #[must_use]
    pub(crate) fn take(&self, taken: &mut Vec<u8>) -> bool {
        self.outbox().take(taken)
    }

    /// So many messages are settled.
    pub(crate) fn set_settled(&self, messages: u64) {
        self.settled.fetch_max(messages, Ordering::AcqRel);
    }

    /// Whether there is a connection from now on. Returns whether the shards have nothing more to
    /// put, because the room closes.
    #[must_use]
    pub(crate) fn set_connected(&self, connected: bool) -> bool {
        let mut outbox = self.outbox();
        outbox.connected = connected;
        if outbox.finishing && !connected {
            outbox.discard();
        }
        outbox.finishing
    }

    pub(crate) fn set_condition(&self, condition: Condition) {
        self.condition.store(condition as u8, Ordering::Release);
    }

    /// Whether the room closes, and everything that shards will ever put has been taken.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let outbox = self.outbox();
        outbox.finishing && outbox.is_empty()
    }

    /// How many bytes wait in the outbox.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.outbox().len()
    }

    /// How many messages were sent up and did not come down; whether they were put in order is
    /// not known.
    #[must_use]
    pub fn unconfirmed(&self) -> u64 {
        self.counters.unconfirmed.get()
    }

    /// So many messages that were taken will not be sent up.
    pub(crate) fn discard_taken(&self, messages: u64) {
        self.outbox().discarded += messages;
    }

    /// How many messages were dropped because they could not be sent up before the stop.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        self.outbox().discarded
    }
}
