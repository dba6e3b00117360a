//! A room, as all shards share it: a log of its own, and so an order of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zillions_log::{Log, LogError};

use crate::cluster::config::ClusterConfig;
use crate::keys::ListenerId;
use crate::room_counters::RoomCounters;
use crate::slow_reader::{Backpressure, SlowReaderPolicy};
use crate::upstream::Upstream;

/// What is chosen for one room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomConfig {
    /// Its name, in logs.
    pub name: String,
    /// The size of its ring, in bytes.
    pub ring_bytes: usize,
    /// What happens to slow readers.
    pub slow_reader: SlowReaderPolicy,
    /// How many clients it may have; a room may be given another limit later.
    pub clients_max: Option<usize>,
    /// The servers that make its order, one after the other if one fails; none: it is made here.
    pub upstreams: Vec<String>,
    /// The certificates that sign those of upstreams at `tls://`, if not the system's.
    pub upstream_ca: Option<PathBuf>,
    /// The cluster whose stream makes its order, if it has one.
    pub cluster: Option<ClusterConfig>,
}

impl RoomConfig {
    /// Whether a room with this configuration may be given the other one.
    #[must_use]
    pub fn may_become(&self, other: &Self) -> bool {
        Self { clients_max: other.clients_max, ..self.clone() } == *other
    }
}

/// What a room, or the whole server, is doing.
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

/// A phase that several threads see; it only goes on.
#[derive(Debug)]
pub(crate) struct SharedPhase(AtomicU8);

impl SharedPhase {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(Phase::Serving as u8))
    }

    pub(crate) fn get(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Closing,
            _ => Phase::Flushing,
        }
    }

    pub(crate) fn advance(&self, to: Phase) {
        self.0.fetch_max(to as u8, Ordering::AcqRel);
    }
}

/// How many rooms the process has opened.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// What the shards share of one room.
#[derive(Debug)]
pub struct Room {
    /// Its name and what it was made with.
    pub config: RoomConfig,
    /// How many rooms were opened before it.
    pub(crate) number: u64,
    /// How many clients it may have now.
    clients_max: AtomicUsize,
    /// The one order of its messages.
    pub log: Log,
    phase: SharedPhase,
    /// Shards that have appended everything they have read for it.
    drained: AtomicUsize,
    /// Shards that have closed all its clients, for ever.
    ended: AtomicUsize,
    pub(crate) backpressure: Option<Backpressure>,
    /// Where its order is made, if not here.
    pub upstream: Option<Upstream>,
    members: Box<[Members]>,
    /// What each shard counts of it.
    counters: Box<[RoomCounters]>,
    listeners: Mutex<Vec<ListenerId>>,
}

/// One shard's clients in a room, as the other shards see them. Alone in its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Members {
    clients: AtomicUsize,
    /// The shard has been told that there is something to do, and has not looked yet.
    notified: AtomicBool,
}

impl Room {
    /// A room without clients, for so many shards.
    ///
    /// # Errors
    /// When its ring has an invalid size or cannot be mapped.
    pub fn new(config: RoomConfig, shards: usize) -> Result<Self, LogError> {
        let is_ordered_here = config.upstreams.is_empty() && config.cluster.is_none();
        let upstream = (!is_ordered_here).then(Upstream::default);
        Ok(Self {
            log: Log::new(config.ring_bytes, shards)?,
            number: OPENED.fetch_add(1, Ordering::Relaxed),
            phase: SharedPhase::new(),
            drained: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            clients_max: AtomicUsize::new(config.clients_max.unwrap_or(usize::MAX)),
            backpressure: config.slow_reader.backpressure(shards),
            members: (0..shards).map(|_| Members::default()).collect(),
            counters: (0..shards).map(|_| RoomCounters::default()).collect(),
            listeners: Mutex::new(Vec::new()),
            upstream,
            config,
        })
    }

    /// What it is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(crate) fn advance(&self, to: Phase) {
        self.phase.advance(to);
        if let Some(upstream) = &self.upstream {
            upstream.stop();
        }
    }

    /// One more shard has appended everything it has read for it. Whether it was the last.
    pub(crate) fn drained_by_all(&self) -> bool {
        self.drained.fetch_add(1, Ordering::AcqRel) + 1 == self.members.len()
    }

    /// One more shard has closed its clients. Whether it was the last.
    pub(crate) fn ended_by_all(&self) -> bool {
        self.ended.fetch_add(1, Ordering::AcqRel) + 1 == self.members.len()
    }

    /// From now on so many clients are admitted; those that it has stay.
    pub(crate) fn set_clients_max(&self, clients_max: Option<usize>) {
        self.clients_max.store(clients_max.unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// Whether it admits no more clients. Exact under the lock of admission.
    pub(crate) fn is_full(&self) -> bool {
        self.all_clients() >= self.clients_max.load(Ordering::Relaxed) as u64
    }

    /// How many clients it has.
    pub(crate) fn all_clients(&self) -> u64 {
        (0..self.members.len()).map(|shard| self.clients(shard) as u64).sum()
    }

    /// How many of its clients a shard has, including those on their way to it.
    pub(crate) fn clients(&self, shard: usize) -> usize {
        self.members[shard].clients.load(Ordering::Relaxed)
    }

    /// What a shard counts of it.
    pub(crate) fn counters(&self, shard: usize) -> &RoomCounters {
        &self.counters[shard]
    }

    /// What each shard counts of it.
    pub(crate) fn counters_of_all(&self) -> impl Iterator<Item = &RoomCounters> {
        self.counters.iter()
    }

    pub(crate) fn admitted(&self, shard: usize) {
        self.members[shard].clients.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn released(&self, shard: usize) {
        self.members[shard].clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// Marks a shard as notified. `false`: it was, and has not looked yet.
    pub(crate) fn set_notified(&self, shard: usize) -> bool {
        !self.members[shard].notified.swap(true, Ordering::AcqRel)
    }

    /// A shard is about to look: what was appended before it was notified is seen from here on.
    pub(crate) fn clear_notified(&self, shard: usize) {
        self.members[shard].notified.swap(false, Ordering::AcqRel);
    }

    /// The sockets whose connections are its clients.
    pub(crate) fn listeners(&self) -> MutexGuard<'_, Vec<ListenerId>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the policy makes publishers wait for slow readers.
    pub(crate) fn has_backpressure(&self) -> bool {
        self.backpressure.is_some()
    }

    /// Whether publishers must wait for a slow reader. If so the shard is notified later.
    pub(crate) fn is_backpressured(&self) -> bool {
        let backpressure = self.backpressure.as_ref();
        backpressure.is_some_and(|backpressure| backpressure.blocks_publishers(&self.log))
    }
}
