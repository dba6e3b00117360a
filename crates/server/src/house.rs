//! What the shards of one server share: the log, the door, and ways to wake each other.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zillions_log::{Log, Mark};

use crate::config::Config;
use crate::counters::{Counter, Counters};

/// Makes a sleeping shard's [`Io::wait`](crate::io::Io::wait) return.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// What the shards of one server share; `S` is a connection.
pub struct House<S> {
    /// The one order.
    pub log: Log,
    /// The limits.
    pub config: Config,
    /// The door: accepting is done by one shard at a time.
    door: Mutex<Door>,
    desks: Box<[Desk<S>]>,
    phase: AtomicU8,
    /// Shards that have appended their last batch.
    quiet: AtomicUsize,
    /// Some publisher waits for a slow reader (`--slow-reader backpressure`).
    publisher_waits: AtomicBool,
    /// Connections turned away: too many in all.
    pub refused_full: Counter,
    /// Connections turned away: too many from one address.
    pub refused_ip: Counter,
    /// Attempts to accept that failed, mostly because descriptors had run out.
    pub accept_errors: Counter,
}

/// One shard, as the others see it.
struct Desk<S> {
    wake: Wake,
    /// It waits, or is about to.
    asleep: AtomicBool,
    /// It was told to look around since it last did.
    called: AtomicBool,
    clients: AtomicUsize,
    mail: Mutex<Vec<Newcomer<S>>>,
    /// Where its slowest client is (`--slow-reader backpressure`).
    floor: AtomicU64,
    counters: Counters,
}

/// A connection on its way to its shard.
#[derive(Debug)]
pub(crate) struct Newcomer<S> {
    pub(crate) stream: S,
    pub(crate) peer: IpAddr,
    /// The end of the log when it was accepted: it is sent what comes after.
    pub(crate) joined: Mark,
}

/// Who is in; behind a lock.
#[derive(Debug, Default)]
pub(crate) struct Door {
    clients: usize,
    /// Only kept when there is a limit per address.
    per_ip: HashMap<IpAddr, usize>,
    /// The last failure to accept was reported, and nothing has been accepted since.
    pub(crate) failing: bool,
}

/// What the server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Its work.
    Serving = 0,
    /// It reads no more and appends what it has read.
    Closing = 1,
    /// Everything has its place in the log; what is missing is sent.
    Flushing = 2,
}

impl<S> House<S> {
    /// A house with one desk per way to wake a shard.
    #[must_use]
    pub fn new(log: Log, config: Config, wakes: Vec<Wake>) -> Self {
        let desk = |wake| Desk {
            wake,
            asleep: AtomicBool::new(false),
            called: AtomicBool::new(false),
            clients: AtomicUsize::new(0),
            mail: Mutex::new(Vec::new()),
            floor: AtomicU64::new(u64::MAX),
            counters: Counters::default(),
        };
        Self {
            log,
            config,
            door: Mutex::new(Door::default()),
            desks: wakes.into_iter().map(desk).collect(),
            phase: AtomicU8::new(Phase::Serving as u8),
            quiet: AtomicUsize::new(0),
            publisher_waits: AtomicBool::new(false),
            refused_full: Counter::default(),
            refused_ip: Counter::default(),
            accept_errors: Counter::default(),
        }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.desks.len()
    }

    /// What a shard has counted.
    #[must_use]
    pub fn counters(&self, shard: usize) -> &Counters {
        &self.desks[shard].counters
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

    /// Begins to stop: nobody is accepted or read any more.
    pub fn close(&self) {
        self.phase.fetch_max(Phase::Closing as u8, Ordering::AcqRel);
        self.call_all();
    }

    /// A shard has appended its last batch; the last shard to say so starts the flush.
    pub(crate) fn is_quiet(&self) {
        if self.quiet.fetch_add(1, Ordering::AcqRel) + 1 == self.shards() {
            self.phase.fetch_max(Phase::Flushing as u8, Ordering::AcqRel);
            self.call_all();
        }
    }

    // Waking. A shard says that it sleeps and then looks whether it was called; a caller calls
    // and then looks whether it sleeps. With the fences in between one of the two sees the other.

    /// Has a shard look around, and wakes it if it sleeps: one system call per sleep.
    pub(crate) fn call(&self, shard: usize) {
        let desk = &self.desks[shard];
        desk.called.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if desk.asleep.load(Ordering::Relaxed) && desk.asleep.swap(false, Ordering::AcqRel) {
            (desk.wake)();
        }
    }

    fn call_all(&self) {
        (0..self.shards()).for_each(|shard| self.call(shard));
    }

    /// Has all other shards that have clients look around: there are messages, or there is room.
    pub(crate) fn call_others(&self, from: usize) {
        for shard in (0..self.shards()).filter(|&shard| shard != from) {
            if self.desks[shard].clients.load(Ordering::Relaxed) > 0 {
                self.call(shard);
            }
        }
    }

    /// Whether the shard may sleep now. `false`: it was called, and has to look around first.
    pub(crate) fn fall_asleep(&self, shard: usize) -> bool {
        let desk = &self.desks[shard];
        desk.asleep.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        let sleeps = !desk.called.load(Ordering::Acquire);
        if !sleeps {
            self.wake_up(shard);
        }
        sleeps
    }

    /// The shard looks around.
    pub(crate) fn wake_up(&self, shard: usize) {
        self.desks[shard].asleep.store(false, Ordering::Release);
        self.desks[shard].called.swap(false, Ordering::AcqRel);
    }

    // The door.

    pub(crate) fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more may come in; counts it if so. The caller holds the door.
    pub(crate) fn enter(&self, door: &mut Door, peer: IpAddr) -> bool {
        if self.config.clients_max.is_some_and(|max| door.clients >= max) {
            self.refused_full.add(1);
            return false;
        }
        if let Some(max) = self.config.clients_per_ip_max {
            let clients = door.per_ip.entry(peer).or_default();
            if *clients >= max {
                self.refused_ip.add(1);
                return false;
            }
            *clients += 1;
        }
        door.clients += 1;
        true
    }

    /// One is gone.
    pub(crate) fn leave(&self, peer: IpAddr) {
        let mut door = self.door();
        door.clients -= 1;
        if let Some(clients) = door.per_ip.get_mut(&peer) {
            *clients -= 1;
            if *clients == 0 {
                door.per_ip.remove(&peer);
            }
        }
    }

    /// The shard with the fewest clients, those on their way to it included. It has one more now.
    pub(crate) fn least_loaded(&self, from: usize) -> usize {
        let clients = |shard: usize| self.desks[shard].clients.load(Ordering::Relaxed);
        // The shard that asks comes first among equals: no handing over.
        let candidates = (from..self.shards()).chain(0..from);
        let shard = candidates.min_by_key(|&shard| clients(shard)).expect("at least one shard");
        self.desks[shard].clients.fetch_add(1, Ordering::Relaxed);
        shard
    }

    /// A shard has one client less.
    pub(crate) fn one_less(&self, shard: usize) {
        self.desks[shard].clients.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn hand_over(&self, shard: usize, newcomer: Newcomer<S>) {
        self.mail(shard).push(newcomer);
        self.call(shard);
    }

    pub(crate) fn mail(&self, shard: usize) -> MutexGuard<'_, Vec<Newcomer<S>>> {
        self.desks[shard].mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Back-pressure: how far the slowest client is, over all shards.

    /// A shard tells where its slowest client is; those who waited for it are called.
    pub(crate) fn set_floor(&self, shard: usize, floor: u64) {
        self.desks[shard].floor.store(floor, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.publisher_waits.load(Ordering::Relaxed)
            && self.publisher_waits.swap(false, Ordering::AcqRel)
        {
            self.call_all();
        }
    }

    /// Whether publishers have to wait for a slow reader. If so the shard is called later.
    pub(crate) fn is_held_up(&self) -> bool {
        if self.floor_is_high_enough() {
            return false;
        }
        self.publisher_waits.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        !self.floor_is_high_enough()
    }

    fn floor_is_high_enough(&self) -> bool {
        let floors = self.desks.iter().map(|desk| desk.floor.load(Ordering::Acquire));
        let floor = floors.min().unwrap_or(u64::MAX);
        self.log.head().position.saturating_sub(floor) <= self.config.client_lag_bytes_max
    }
}
