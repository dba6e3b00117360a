//! One thread's share of the clients: the loop that reads, appends and sends.
//!
//! A pass is: wait; take in newcomers; read what has come ([`receive`]); give it
//! its place in the log; send everybody what is new ([`send`]); rest a moment if that was
//! little and there is no end of it ([`rest`]); look after the slow, the silent and the
//! leaving ([`upkeep`]). All clients that keep up share
//! one position, so a pass sends them one and the same slice of the log. The
//! others have a position of their own until they have caught up.

mod receive;
mod rest;
mod send;
mod upkeep;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use slotmap::{Key as _, KeyData, SlotMap};
use tracing::debug;
use zillions_log::{Mark, Reader};

use crate::client::{Client, Key, Lag, Place, Reason};
use crate::config::SlowReader;
use crate::counters::Counters;
use crate::house::{House, Newcomer, Phase};
use crate::io::{Io, Ready};
use receive::Batch;
use rest::Haste;

/// One thread's share of the clients. [`pass`](Self::pass) is its loop's body.
pub struct Shard<I: Io> {
    number: usize,
    io: I,
    house: Arc<House<I::Stream>>,
    reader: Reader,
    clients: SlotMap<Key, Client<I::Stream>>,
    /// Those who have been sent everything up to `sent_up_to`, or so it seems.
    current: Vec<Key>,
    sent_up_to: Mark,
    /// The others.
    lagging: Vec<Key>,
    /// Those of `lagging` that are worth trying.
    to_send: Vec<Key>,
    /// Those who may have sent something, in the order of their turns.
    to_read: VecDeque<Key>,
    /// Those who have said their last word.
    leaving: Vec<Key>,
    batch: Batch,
    /// What was read cannot be appended yet, or publishers have to wait: called when it changes.
    stalled: bool,
    ready: Vec<Ready>,
    now: Duration,
    haste: Haste,
    upkeep_at: Duration,
    /// The head when lags were last looked at.
    surveyed_at: u64,
    /// When to try to accept again, after it failed.
    accept_at: Option<Duration>,
    quiet: bool,
    /// When a flush has to be over.
    flush_deadline: Option<Duration>,
}

/// What a client was sent, told when it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Its name, as given to [`Io::register`].
    pub key: u64,
    /// Why.
    pub reason: Reason,
    /// Where in the log it came in.
    pub joined: Mark,
    /// How many messages it was not sent because it was too slow.
    pub dropped: u64,
}

impl<I: Io> Shard<I> {
    /// The shard with this number, of a log that has a reader left for it.
    ///
    /// # Panics
    /// When the log has no reader left, which is a bug of the caller's.
    #[must_use]
    pub fn new(number: usize, io: I, house: Arc<House<I::Stream>>) -> Self {
        let mut reader = house.log.reader().expect("the log has a reader for each shard");
        reader.unpin();
        let batch = Batch::new(house.log.append_bytes_max());
        Self {
            number,
            io,
            reader,
            clients: SlotMap::with_key(),
            current: Vec::new(),
            sent_up_to: Mark::default(),
            lagging: Vec::new(),
            to_send: Vec::new(),
            to_read: VecDeque::new(),
            leaving: Vec::new(),
            batch,
            stalled: false,
            ready: Vec::new(),
            now: Duration::ZERO,
            haste: Haste::default(),
            upkeep_at: Duration::ZERO,
            surveyed_at: 0,
            accept_at: None,
            quiet: false,
            flush_deadline: None,
            house,
        }
    }

    /// Runs until the server stops.
    ///
    /// # Errors
    /// When waiting is broken.
    pub fn run(&mut self) -> io::Result<()> {
        while self.pass()? {}
        Ok(())
    }

    /// One round; `false` when the server stops and this shard has nothing left to do.
    ///
    /// # Errors
    /// When waiting is broken.
    pub fn pass(&mut self) -> io::Result<bool> {
        let listener_is_ready = self.wait()?;
        self.counters().passes.add(1);
        self.welcome();
        self.stalled = false;
        match self.house.phase() {
            Phase::Serving => {
                self.receive();
                // Who connected before a message came has to be here when it gets its place.
                if listener_is_ready || !self.batch.is_empty() || self.accept_is_due() {
                    self.admit();
                }
                self.append();
            }
            Phase::Closing => {
                self.append();
                if self.batch.is_empty() && !self.quiet {
                    self.quiet = true;
                    self.house.is_quiet();
                }
            }
            Phase::Flushing => self.begin_flush(),
        }
        let sent_before = self.sent_up_to.position;
        self.send();
        self.rest(sent_before);
        self.upkeep();
        Ok(!(self.flush_deadline.is_some() && self.clients.is_empty()))
    }

    /// The system behind the shard; for the simulator, which is part of it.
    pub fn io_mut(&mut self) -> &mut I {
        &mut self.io
    }

    /// What is known of each client that is here.
    pub fn clients(&self) -> impl Iterator<Item = Farewell> {
        self.clients.iter().map(|(key, client)| farewell(key, client, Reason::Shutdown))
    }

    fn counters(&self) -> &Counters {
        self.house.counters(self.number)
    }

    /// Waits for something to do, and notes what has become ready. Returns whether that
    /// includes a listening socket.
    fn wait(&mut self) -> io::Result<bool> {
        let can_read = !self.to_read.is_empty() && self.house.phase() == Phase::Serving;
        let busy = !self.to_send.is_empty() || (can_read && !self.stalled);
        let sleeps = !busy && self.house.fall_asleep(self.number);
        let time_max = if sleeps { self.time_to_next_upkeep() } else { Some(Duration::ZERO) };
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        let asked = self.io.now();
        self.io.wait(time_max, &mut ready)?;
        self.house.wake_up(self.number);
        self.now = self.io.now();
        self.haste.waited(self.now.saturating_sub(asked));
        let mut listener_is_ready = false;
        for ready in &ready {
            match *ready {
                Ready::Listener => listener_is_ready = true,
                Ready::Client { key, readable, writable, ended } => {
                    self.note(key, readable, writable, ended);
                }
            }
        }
        self.ready = ready;
        Ok(listener_is_ready)
    }

    fn note(&mut self, key: u64, readable: bool, writable: bool, ended: bool) {
        let key = Key::from(KeyData::from_ffi(key));
        // It may have been closed since.
        let Some(client) = self.clients.get_mut(key) else { return };
        client.ended |= ended;
        if readable && !client.queued {
            client.queued = true;
            self.to_read.push_back(key);
        }
        if let Some(lag) = client.lag_mut()
            && writable
            && !lag.writable
        {
            lag.writable = true;
            self.to_send.push(key);
        }
    }

    /// Takes in those whom another shard has accepted.
    fn welcome(&mut self) {
        let newcomers = std::mem::take(&mut *self.house.mail(self.number));
        for newcomer in newcomers {
            self.join(newcomer);
        }
    }

    fn join(&mut self, newcomer: Newcomer<I::Stream>) {
        let Newcomer { stream, peer, joined } = newcomer;
        if self.clients.is_empty() {
            self.sent_up_to = self.reader.pin_head();
        }
        let checkpoint = (joined.position, self.now);
        let lag = Lag { stash: Vec::new(), next: joined, writable: true, checkpoint };
        let key = self.clients.insert(Client {
            stream,
            peer,
            place: Place::Lagging { slot: self.lagging.len(), lag },
            partial: Vec::new(),
            queued: false,
            ended: false,
            leaving: None,
            joined,
            dropped: 0,
            heard_at: self.now,
        });
        self.lagging.push(key);
        self.to_send.push(key);
        self.counters().joined.add(1);
        self.counters().clients.set(self.clients.len() as u64);
        debug!(shard = self.number, client = key.data().as_ffi(), %peer, "client joined");
        if let Err(error) = self.io.register(key.data().as_ffi(), &self.clients[key].stream) {
            debug!(client = key.data().as_ffi(), %error, "client cannot be served");
            self.part(key, Reason::Broken);
        }
    }

    /// Ends a client's connection and forgets it.
    fn part(&mut self, key: Key, reason: Reason) {
        let Some(client) = self.clients.remove(key) else { return };
        match client.place {
            Place::Current { slot } => self.leave_current(slot),
            Place::Lagging { slot, .. } => self.leave_lagging(slot),
        }
        self.house.one_less(self.number);
        self.house.leave(client.peer);
        self.counters().gone_for(reason).add(1);
        self.counters().clients.set(self.clients.len() as u64);
        let farewell = farewell(key, &client, reason);
        debug!(
            shard = self.number,
            client = farewell.key,
            peer = %client.peer,
            reason = reason.name(),
            dropped = farewell.dropped,
            "client gone"
        );
        self.io.gone(farewell);
        if self.clients.is_empty() {
            self.reader.unpin();
            self.house.set_floor(self.number, u64::MAX);
        }
    }

    fn leave_current(&mut self, slot: usize) {
        self.current.swap_remove(slot);
        if let Some(&moved) = self.current.get(slot) {
            self.clients[moved].place = Place::Current { slot };
        }
    }

    fn leave_lagging(&mut self, slot: usize) {
        self.lagging.swap_remove(slot);
        if let Some(&moved) = self.lagging.get(slot)
            && let Place::Lagging { slot: moved_slot, .. } = &mut self.clients[moved].place
        {
            *moved_slot = slot;
        }
    }

    /// The client has caught up.
    fn become_current(&mut self, key: Key) {
        let place = Place::Current { slot: self.current.len() };
        if let Place::Lagging { slot, .. } = std::mem::replace(&mut self.clients[key].place, place)
        {
            self.current.push(key);
            self.leave_lagging(slot);
        }
    }

    /// The client has been sent everything before `next`, but for the stash.
    fn become_lagging(&mut self, key: Key, stash: Vec<u8>, next: Mark) {
        let checkpoint = (next.position, self.now);
        let lag = Lag { stash, next, writable: false, checkpoint };
        let place = Place::Lagging { slot: self.lagging.len(), lag };
        if let Place::Current { slot } = std::mem::replace(&mut self.clients[key].place, place) {
            self.lagging.push(key);
            self.leave_current(slot);
        }
    }

    fn has_backpressure(&self) -> bool {
        self.house.config.slow_reader == SlowReader::Backpressure
    }
}

fn farewell<S>(key: Key, client: &Client<S>, reason: Reason) -> Farewell {
    Farewell { key: key.data().as_ffi(), reason, joined: client.joined, dropped: client.dropped }
}
