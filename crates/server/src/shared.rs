//! What the shards of one server share: the log, admission, and a handle of each to notify it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zillions_log::{Log, Offset};

use crate::admission::{Admission, Rejection};
use crate::config::Config;
use crate::counters::Counters;
use crate::engine::Wake;
use crate::slow_reader::Backpressure;

/// What the shards of one server share; `S` is a connection.
pub struct Shared<S> {
    /// The one order.
    pub log: Log,
    /// The limits.
    pub config: Config,
    admission: Mutex<Admission>,
    shards: Box<[ShardHandle<S>]>,
    phase: AtomicU8,
    /// Shards that have appended everything they have read.
    drained: AtomicUsize,
    backpressure: Option<Backpressure>,
}

/// One shard, as the others see it.
struct ShardHandle<S> {
    wake: Wake,
    /// It waits, or is about to.
    parked: AtomicBool,
    /// It was notified since it last looked.
    notified: AtomicBool,
    inbox: Mutex<Vec<Handoff<S>>>,
    counters: Counters,
}

/// An admitted connection on its way to its shard.
#[derive(Debug)]
pub(crate) struct Handoff<S> {
    pub(crate) stream: S,
    pub(crate) peer: IpAddr,
    /// The log's head when it was accepted: it is sent what follows.
    pub(crate) joined: Offset,
}

/// What the server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// It accepts, reads and sends.
    Serving = 0,
    /// It reads no more and appends what it has read.
    Closing = 1,
    /// Everything has been appended; the clients are sent the rest.
    Flushing = 2,
}

impl<S> Shared<S> {
    /// The state of a server with one shard for each of `wakes`.
    #[must_use]
    pub fn new(log: Log, config: Config, wakes: Vec<Wake>) -> Self {
        let backpressure = config.slow_reader.backpressure(wakes.len());
        let shard = |wake| ShardHandle {
            wake,
            parked: AtomicBool::new(false),
            notified: AtomicBool::new(false),
            inbox: Mutex::new(Vec::new()),
            counters: Counters::default(),
        };
        Self {
            log,
            admission: Mutex::new(Admission::new(config.admission)),
            config,
            shards: wakes.into_iter().map(shard).collect(),
            phase: AtomicU8::new(Phase::Serving as u8),
            drained: AtomicUsize::new(0),
            backpressure,
        }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// What a shard has counted.
    #[must_use]
    pub fn counters(&self, shard: usize) -> &Counters {
        &self.shards[shard].counters
    }

    /// What the server is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Closing,
            _ => Phase::Flushing,
        }
    }

    /// Begins to stop: nothing is accepted or read any more.
    pub fn stop(&self) {
        self.phase.fetch_max(Phase::Closing as u8, Ordering::AcqRel);
        self.notify_all();
    }

    /// A shard has appended everything it has read; the last shard to do so starts the flush.
    pub(crate) fn set_drained(&self) {
        if self.drained.fetch_add(1, Ordering::AcqRel) + 1 == self.shards() {
            self.phase.fetch_max(Phase::Flushing as u8, Ordering::AcqRel);
            self.notify_all();
        }
    }

    // Parking. A shard stores that it parks and then loads whether it was notified; a notifier
    // stores that and then loads whether the shard is parked. With the fences in between one of
    // the two sees the other.

    /// Makes a shard run another pass, and wakes it if it is parked: one system call per park.
    pub(crate) fn notify(&self, shard: usize) {
        let shard = &self.shards[shard];
        shard.notified.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if shard.parked.load(Ordering::Relaxed) && shard.parked.swap(false, Ordering::AcqRel) {
            (shard.wake)();
        }
    }

    fn notify_all(&self) {
        (0..self.shards()).for_each(|shard| self.notify(shard));
    }

    /// Notifies all other shards that have clients: there are new messages, or free space.
    pub(crate) fn notify_others(&self, from: usize) {
        for shard in (0..self.shards()).filter(|&shard| shard != from) {
            if self.counters(shard).clients.get() > 0 {
                self.notify(shard);
            }
        }
    }

    /// Whether the shard may wait now. `false`: it was notified and must run another pass.
    pub(crate) fn park(&self, shard: usize) -> bool {
        let handle = &self.shards[shard];
        handle.parked.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        let parks = !handle.notified.load(Ordering::Acquire);
        if !parks {
            self.unpark(shard);
        }
        parks
    }

    /// The shard runs again and takes note of its notifications.
    pub(crate) fn unpark(&self, shard: usize) {
        self.shards[shard].parked.store(false, Ordering::Release);
        self.shards[shard].notified.swap(false, Ordering::AcqRel);
    }

    // Connections.

    pub(crate) fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits one more client and chooses the shard with the fewest, which then counts it. Among
    /// equals `from`, the shard that accepts, comes first: no handing over.
    ///
    /// Only here does a number of clients grow, under the lock of `admission`, so their sum is
    /// never above the limit.
    pub(crate) fn admit(
        &self,
        admission: &mut Admission,
        peer: IpAddr,
        from: usize,
    ) -> Result<usize, Rejection> {
        let clients = |shard: usize| self.counters(shard).clients.get();
        admission.admit((0..self.shards()).map(clients).sum(), peer)?;
        let candidates = (from..self.shards()).chain(0..from);
        let shard = candidates.min_by_key(|&shard| clients(shard)).expect("at least one shard");
        self.counters(shard).clients.increment();
        Ok(shard)
    }

    /// A client of the shard has been closed.
    pub(crate) fn release(&self, shard: usize, peer: IpAddr) {
        self.counters(shard).clients.decrement();
        if self.config.admission.clients_per_ip_max.is_some() {
            self.admission().release(peer);
        }
    }

    pub(crate) fn hand_off(&self, shard: usize, handoff: Handoff<S>) {
        self.inbox(shard).push(handoff);
        self.notify(shard);
    }

    /// The connections handed off to a shard.
    pub(crate) fn inbox(&self, shard: usize) -> MutexGuard<'_, Vec<Handoff<S>>> {
        self.shards[shard].inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Back-pressure.

    /// Whether the policy makes publishers wait for slow readers.
    pub(crate) fn has_backpressure(&self) -> bool {
        self.backpressure.is_some()
    }

    /// Publishes where a shard's slowest client is, as a byte offset; `u64::MAX` without clients.
    pub(crate) fn set_low_watermark(&self, shard: usize, bytes: u64) {
        if let Some(backpressure) = &self.backpressure
            && backpressure.set_low_watermark(shard, bytes)
        {
            self.notify_all();
        }
    }

    /// Whether publishers must wait for a slow reader. If so the shard is notified later.
    pub(crate) fn is_backpressured(&self) -> bool {
        self.backpressure
            .as_ref()
            .is_some_and(|backpressure| backpressure.blocks_publishers(&self.log))
    }
}
