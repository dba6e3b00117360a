//! One thread's share of the clients: the loop that reads, appends and sends.
//!
//! A pass is: wait; register accepted connections; read ([`receive`]) into a [`batch`]; append
//! it to the log; send every client what is new ([`send`]); delay the next pass if little was
//! sent and more is arriving ([`coalescing`]); check the slow, idle and draining clients
//! ([`upkeep`]). All clients that keep up share one offset, so a pass sends them one and the same
//! slice of the log. The others have an offset of their own until they have caught up.

mod batch;
mod coalescing;
mod drain_queue;
mod idle_clock;
mod read_queue;
mod receive;
mod send;
mod send_queue;
mod upkeep;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use slotmap::{Key as _, KeyData};
use tracing::debug;
use zillions_log::Reader;

use crate::client::{Client, ClientReport, Clients, Disconnect, DisconnectReason, Key};
use crate::counters::Counters;
use crate::engine::{Engine, Ready};
use crate::shared::{Handoff, Phase, Shared};
use batch::Batch;
use coalescing::Coalescing;
use drain_queue::DrainQueue;
use idle_clock::IdleClock;
use read_queue::ReadQueue;
use send_queue::SendQueue;

/// One thread's share of the clients. [`pass`](Self::pass) is its loop's body.
pub struct Shard<E: Engine> {
    number: usize,
    engine: E,
    shared: Arc<Shared<E::Stream>>,
    reader: Reader,
    clients: Clients<E::Stream>,
    read_queue: ReadQueue,
    batch: Batch,
    send_queue: SendQueue,
    drain_queue: DrainQueue,
    coalescing: Coalescing,
    ready: Vec<Ready>,
    now: Duration,
    upkeep_at: Duration,
    idle_clock: IdleClock,
    /// The head, in bytes, at the last lag check.
    lag_checked_at: u64,
    /// When to try to accept again, after it failed.
    accept_at: Option<Duration>,
    /// The server stops, and everything that was read has been appended.
    drained: bool,
}

impl<E: Engine> Shard<E> {
    /// The shard with this number, of a log that has a reader left for it.
    ///
    /// # Panics
    /// When the log has no reader left, which is a bug of the caller.
    #[must_use]
    pub fn new(number: usize, engine: E, shared: Arc<Shared<E::Stream>>) -> Self {
        let mut reader = shared.log.reader().expect("the log has a reader for each shard");
        reader.unpin();
        let batch = Batch::new(shared.log.append_bytes_max());
        Self {
            number,
            engine,
            reader,
            clients: Clients::with_key(),
            read_queue: ReadQueue::default(),
            batch,
            send_queue: SendQueue::default(),
            drain_queue: DrainQueue::default(),
            coalescing: Coalescing::default(),
            ready: Vec::new(),
            now: Duration::ZERO,
            upkeep_at: Duration::ZERO,
            idle_clock: IdleClock::default(),
            lag_checked_at: 0,
            accept_at: None,
            drained: false,
            shared,
        }
    }

    /// Runs until the server stops.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn run(&mut self) -> io::Result<()> {
        while self.pass()? {}
        Ok(())
    }

    /// One pass; `false` when the server stops and this shard has nothing left to do.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn pass(&mut self) -> io::Result<bool> {
        let listener_is_ready = self.wait()?;
        self.idle_clock.advance(self.now, !self.read_queue.stalled);
        self.counters().passes.add(1);
        // Loaded before the inbox is: once the flush has begun, no more is handed off.
        let phase = self.shared.phase();
        self.take_handoffs();
        self.read_queue.stalled = false;
        match phase {
            Phase::Serving => {
                self.receive();
                // A client that connected before a message arrived must be registered before the
                // message is appended.
                if listener_is_ready || !self.batch.is_empty() || self.accept_is_due() {
                    self.accept();
                }
                self.append();
            }
            Phase::Closing => {
                self.append();
                if self.batch.is_empty() && !self.drained {
                    self.drained = true;
                    self.shared.set_drained();
                }
            }
            Phase::Flushing => self.begin_flush(),
        }
        let sent_before = self.send_queue.sent_up_to.bytes;
        self.send();
        self.coalesce(sent_before);
        self.upkeep();
        Ok(!(self.drain_queue.flush_deadline.is_some() && self.clients.is_empty()))
    }

    /// The engine; for the simulator, which is part of it.
    pub fn engine_mut(&mut self) -> &mut E {
        &mut self.engine
    }

    /// A report of each connected client.
    pub fn reports(&self) -> impl Iterator<Item = ClientReport> {
        self.clients.iter().map(|(key, client)| client.report(key))
    }

    /// Panics if what is known of the clients contradicts itself; for the simulator, between
    /// passes, while no other shard runs.
    pub fn check(&self) {
        self.read_queue.check(&self.clients);
        self.send_queue.check(&self.clients);
        self.drain_queue.check(&self.clients);
        for key in &self.batch.ended {
            let draining = self.clients.get(*key).map(|client| client.draining);
            assert!(
                draining.is_none_or(|it| it.is_some_and(|it| it.until.is_none())),
                "its end has not been appended"
            );
        }
        let counted = self.clients.len() + self.shared.inbox(self.number).len();
        assert_eq!(self.counters().clients.get(), counted as u64, "clients are counted once");
        let pinned = self.reader.pinned();
        assert_eq!(pinned.is_some(), !self.clients.is_empty(), "pinned for the clients, if any");
        assert!(pinned.is_none_or(|bytes| bytes <= self.send_queue.sent_up_to.bytes));
    }

    fn counters(&self) -> &Counters {
        self.shared.counters(self.number)
    }

    /// Waits for something to do, and records what has become ready. Returns whether that
    /// includes a listening socket.
    fn wait(&mut self) -> io::Result<bool> {
        let can_read = !self.read_queue.is_empty() && self.shared.phase() == Phase::Serving;
        let busy = !self.send_queue.ready.is_empty() || (can_read && !self.read_queue.stalled);
        let parks = !busy && self.shared.park(self.number);
        let time_max = if parks { self.time_to_next_upkeep() } else { Some(Duration::ZERO) };
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        let before = self.engine.now();
        self.engine.wait(time_max, &mut ready)?;
        self.shared.unpark(self.number);
        self.now = self.engine.now();
        self.coalescing.waited(self.now.saturating_sub(before));
        let mut listener_is_ready = false;
        for ready in &ready {
            match *ready {
                Ready::Listener => listener_is_ready = true,
                Ready::Client { key, readable, writable, ended } => {
                    self.client_ready(key, readable, writable, ended);
                }
            }
        }
        self.ready = ready;
        Ok(listener_is_ready)
    }

    fn client_ready(&mut self, key: u64, readable: bool, writable: bool, ended: bool) {
        let key = Key::from(KeyData::from_ffi(key));
        // It may have been closed since.
        let Some(client) = self.clients.get_mut(key) else { return };
        client.read.ended |= ended;
        if readable {
            self.read_queue.push(key, client);
        }
        if writable {
            self.send_queue.writable(key, client);
        }
    }

    /// Registers the connections that other shards have accepted.
    fn take_handoffs(&mut self) {
        let handoffs = std::mem::take(&mut *self.shared.inbox(self.number));
        for handoff in handoffs {
            self.register(handoff);
        }
    }

    fn register(&mut self, handoff: Handoff<E::Stream>) {
        let Handoff { stream, peer, joined } = handoff;
        if self.clients.is_empty() {
            self.send_queue.sent_up_to = self.reader.pin_head();
        }
        let index = self.send_queue.lagging.len();
        let key = self.clients.insert(Client::new(
            stream,
            peer,
            joined,
            index,
            self.now,
            self.idle_clock.now(),
        ));
        self.send_queue.add(key);
        self.counters().connections_accepted.add(1);
        debug!(shard = self.number, client = key.data().as_ffi(), %peer, "client connected");
        let registered = self.engine.register(key.data().as_ffi(), &self.clients[key].stream);
        if let Err(error) = registered {
            debug!(client = key.data().as_ffi(), %error, "client cannot be served");
            self.close(key, DisconnectReason::Error);
        }
    }

    /// Closes a client's connection and forgets it.
    fn close(&mut self, key: Key, reason: DisconnectReason) {
        let Some(client) = self.clients.remove(key) else { return };
        self.send_queue.remove(&client.progress, &mut self.clients);
        self.shared.release(self.number, client.peer);
        self.counters().disconnects.by(reason).add(1);
        let report = client.report(key);
        debug!(
            shard = self.number,
            client = report.key,
            peer = %client.peer,
            reason = reason.name(),
            dropped = report.dropped,
            "client disconnected"
        );
        self.engine.closed(Disconnect { report, reason });
        if self.clients.is_empty() {
            self.reader.unpin();
            self.shared.set_low_watermark(self.number, u64::MAX);
        }
    }

    /// Delays the next pass if the shard is busy sending little to many.
    fn coalesce(&mut self, sent_before: u64) {
        let bytes = self.send_queue.sent_up_to.bytes.saturating_sub(sent_before);
        if self.coalescing.is_worthwhile(bytes)
            && self.send_queue.ready.is_empty()
            && self.shared.phase() == Phase::Serving
            && let pass = self.engine.now().saturating_sub(self.now)
            && let Some(delay) = coalescing::delay_after(pass, self.shared.config.coalesce_max)
        {
            self.counters().coalesced_passes.add(1);
            self.engine.pause(delay);
        }
    }
}
