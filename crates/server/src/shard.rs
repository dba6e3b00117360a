//! One thread's share of the clients: the loop that reads, appends and sends.
//!
//! A pass is: wait; register accepted connections; for each [`room`] that has something to do read
//! ([`receive`]) into a [`batch`] and append it to the room's log; then send every client what is
//! new ([`send`]); delay the next pass if little was sent and more is arriving ([`coalescing`]);
//! check the slow, idle and draining clients ([`upkeep`]). A room that has nothing to do is not
//! visited. All clients of a room that keep up share one offset, so a pass sends them one and the
//! same slice of the log. The others have an offset of their own until they have caught up, and so
//! has a client with a codec ([`coded`]) whenever there is something to send.

mod answers;
mod batch;
mod coalescing;
mod coded;
mod drain_queue;
mod handshakes;
mod idle_clock;
mod lame_duck;
mod leaving;
mod limited;
mod read_queue;
mod receive;
mod room;
mod send;
mod send_queue;
mod throttled;
mod under_way;
mod upkeep;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use slotmap::{Key as _, KeyData};
use tracing::debug;

use crate::client::{Client, ClientReport, Clients, Disconnect, DisconnectReason, Handoff, Key};
use crate::config::Config;
use crate::counters::Counters;
use crate::engine::{Engine, Ready};
use crate::keys::{ListenerId, RoomKey};
use crate::room::{Phase, Room};
use crate::shared::Shared;
use batch::Batch;
use coalescing::Coalescing;
use drain_queue::DrainQueue;
use handshakes::Handshakes;
use idle_clock::IdleClock;
use lame_duck::{LameDuck, Leaving};
use room::{ShardRoom, ShardRooms};
use throttled::Throttled;

/// One thread's share of the clients. [`pass`](Self::pass) is its loop's body.
pub struct Shard<E: Engine> {
    number: usize,
    engine: E,
    shared: Arc<Shared<E::Stream>>,
    clients: Clients<E::Stream>,
    rooms: ShardRooms,
    /// The rooms that have something to do; each once.
    active: Vec<RoomKey>,
    /// The rooms that are flushed.
    flushing: Vec<RoomKey>,
    batch: Batch,
    drain_queue: DrainQueue,
    handshakes: Handshakes,
    throttled: Throttled,
    /// The connections of clients that were sent away, until these have seen the end.
    leaving: Vec<Leaving<E::Stream>>,
    /// The clients that a stop sends away, once it has begun.
    lame_duck: Option<LameDuck>,
    coalescing: Coalescing,
    ready: Vec<Ready>,
    now: Duration,
    upkeep_at: Duration,
    idle_clock: IdleClock,
    /// The listening sockets at which a connection may be pending.
    pending_listeners: Vec<ListenerId>,
    /// When to try to accept again, after it failed.
    accept_at: Option<Duration>,
    /// What of the changes of rooms it has seen.
    changes_seen: Option<u64>,
    /// The limits as it last saw them.
    config: Arc<Config>,
    /// How many clients are behind in rooms where publishers wait for them.
    blocking_clients: usize,
}

impl<E: Engine> Shard<E> {
    /// The shard with this number, of a server whose rooms are made for it.
    #[must_use]
    pub fn new(number: usize, engine: E, shared: Arc<Shared<E::Stream>>) -> Self {
        Self {
            number,
            engine,
            clients: Clients::with_key(),
            rooms: ShardRooms::new(),
            active: Vec::new(),
            flushing: Vec::new(),
            batch: Batch::new(),
            drain_queue: DrainQueue::default(),
            handshakes: Handshakes::default(),
            throttled: Throttled::default(),
            leaving: Vec::new(),
            lame_duck: None,
            coalescing: Coalescing::default(),
            ready: Vec::new(),
            now: Duration::ZERO,
            upkeep_at: Duration::ZERO,
            idle_clock: IdleClock::default(),
            pending_listeners: Vec::new(),
            accept_at: None,
            changes_seen: None,
            config: shared.config(),
            blocking_clients: 0,
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
        self.wait()?;
        self.idle_clock.advance(self.now);
        self.counters().passes.add(1);
        // In this order: a server that stops has told the rooms before; and once the flush of a
        // room has begun, no client of it is handed off any more.
        let stops = self.shared.phase() != Phase::Serving;
        let phases = self.changed_phases();
        self.take_inbox();
        phases.into_iter().for_each(|(room, phase)| self.enter(room, phase));
        if !self.throttled.is_empty() {
            self.resume_throttled();
        }
        if !self.pending_listeners.is_empty() {
            self.accept_pending();
        }
        self.continue_lame_duck();
        let mut active = std::mem::take(&mut self.active);
        for &room in &active {
            self.with_room(room, Self::receive_and_append);
        }
        // Those of clients that have just been accepted.
        active.append(&mut self.active);
        let sent = active.iter().filter_map(|&room| self.with_room(room, Self::deliver));
        let sent_bytes = sent.max().unwrap_or(0);
        self.coalesce(sent_bytes, &active);
        self.upkeep(&active);
        self.keep_active(active);
        self.forget_ended();
        Ok(!(stops && self.rooms.is_empty() && self.leaving.is_empty()))
    }

    /// Calls `what` with a room, unless the shard does not have it.
    fn with_room<T>(
        &mut self,
        key: RoomKey,
        what: impl FnOnce(&mut Self, &mut ShardRoom) -> T,
    ) -> Option<T> {
        let mut room = self.rooms.get_mut(key)?.take()?;
        let result = what(self, &mut room);
        if let Some(place) = self.rooms.get_mut(key) {
            *place = Some(room);
        }
        Some(result)
    }

    /// A room that is not taken out.
    fn room(&self, key: RoomKey) -> Option<&ShardRoom> {
        self.rooms.get(key)?.as_deref()
    }

    /// The room has something to do.
    fn activate(&mut self, key: RoomKey) {
        if let Some(Some(room)) = self.rooms.get_mut(key)
            && !room.is_active
        {
            room.is_active = true;
            self.active.push(key);
        }
    }

    /// The room may have something to do.
    fn activate_if_possible(&mut self, key: RoomKey) {
        if self.room(key).is_some_and(ShardRoom::can_proceed) {
            self.activate(key);
        }
    }

    /// After a pass: those that cannot proceed wait until something happens.
    fn keep_active(&mut self, mut visited: Vec<RoomKey>) {
        visited.retain(|&key| match self.rooms.get_mut(key) {
            Some(Some(room)) => {
                room.is_active = room.can_proceed();
                room.is_active
            }
            _ => false,
        });
        // Those that upkeep has activated.
        visited.append(&mut self.active);
        self.active = visited;
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
        self.drain_queue.check(&self.clients);
        self.throttled.check(&self.clients);
        let counted = self.clients.len() + self.shared.inbox(self.number).handoffs.len();
        assert_eq!(self.counters().clients.get(), counted as u64, "clients are counted once");
        let (mut clients, mut lagging) = (0, 0);
        for (key, room) in &self.rooms {
            let room = room.as_deref().expect("it is put back after use");
            room.check(&self.clients);
            clients += room.clients;
            lagging += room.lagging_counted;
            let counted = room.room.counters(self.number).lagging_clients.get();
            assert_eq!(counted, room.lagging_counted as u64, "of the room, too");
            let times = self.active.iter().filter(|&&active| active == key).count();
            assert_eq!(times, usize::from(room.is_active), "in the list of active rooms once");
            assert!(room.is_active || !room.can_proceed(), "it can proceed and is forgotten");
        }
        assert_eq!(clients, self.clients.len(), "every client is in a room");
        assert_eq!(self.counters().lagging_clients.get(), lagging as u64);
        assert!(self.batch.is_empty(), "what was read is appended, or with its room");
    }

    fn counters(&self) -> &Counters {
        self.shared.counters(self.number)
    }

    /// Counts messages that were handed to clients' sockets.
    fn count_sent(&self, room: &ShardRoom, messages: u64) {
        self.counters().sent_messages.add(messages);
        room.room.counters(self.number).sent_messages.add(messages);
    }

    /// Waits for something to do, and records what has become ready.
    fn wait(&mut self) -> io::Result<()> {
        let parks = self.active.is_empty() && self.shared.park(self.number);
        let time_max = if parks { self.time_to_next_upkeep() } else { Some(Duration::ZERO) };
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        let before = self.engine.now();
        self.engine.wait(time_max, &mut ready)?;
        self.shared.unpark(self.number);
        self.now = self.engine.now();
        self.coalescing.waited(self.now.saturating_sub(before));
        for ready in &ready {
            match *ready {
                Ready::Listener(listener) => self.remember_listener(listener),
                Ready::Client { key, readable, writable, ended } => {
                    self.client_ready(key, readable, writable, ended);
                }
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn client_ready(&mut self, key: u64, readable: bool, writable: bool, ended: bool) {
        let key = Key::from(KeyData::from_ffi(key));
        // It may have been closed since.
        let Some(client) = self.clients.get_mut(key) else { return };
        client.read.ended |= ended;
        let room_key = client.room;
        let Some(Some(room)) = self.rooms.get_mut(room_key) else { return };
        if readable {
            room.read_queue.push(key, client);
        }
        if writable {
            room.send_queue.writable(key, client);
        }
        self.activate_if_possible(room_key);
    }

    /// Sees which rooms there are now, and what they are doing.
    fn changed_phases(&mut self) -> Vec<(RoomKey, Phase)> {
        let changes = self.shared.changes();
        if self.changes_seen == Some(changes) {
            return Vec::new();
        }
        self.changes_seen = Some(changes);
        self.config = self.shared.config();
        self.begin_lame_duck();
        let mut phases = Vec::new();
        for (key, room) in self.shared.rooms() {
            let phase = room.phase();
            // One that is flushed and unknown has been forgotten already.
            if !self.rooms.contains_key(key) && phase < Phase::Flushing {
                self.add_room(key, Arc::clone(&room));
            }
            if let Some(Some(known)) = self.rooms.get_mut(key) {
                known.listeners.clone_from(&room.listeners());
                if known.phase != phase {
                    phases.push((key, phase));
                }
            }
        }
        phases
    }

    fn add_room(&mut self, key: RoomKey, room: Arc<Room>) {
        // It was not known what to look at; now it is looked at anyway.
        room.clear_notified(self.number);
        self.rooms.insert(key, Some(Box::new(ShardRoom::new(key, room))));
        self.activate(key);
    }

    fn enter(&mut self, key: RoomKey, phase: Phase) {
        self.with_room(key, |shard, room| {
            room.phase = phase;
            if phase == Phase::Flushing {
                shard.begin_flush(room);
            }
        });
        self.activate(key);
    }

    /// Registers the connections that other shards have accepted, sees which rooms have something
    /// new, and answers a question: one at a time, so that messages are not held up.
    fn take_inbox(&mut self) {
        let (inbox, has_more) = {
            let mut inbox = self.shared.inbox(self.number);
            if inbox.is_empty() {
                return;
            }
            (inbox.take(), !inbox.questions.is_empty())
        };
        if has_more {
            self.shared.notify(self.number);
        }
        for handoff in inbox.handoffs {
            self.register(handoff);
        }
        for key in inbox.rooms {
            if let Some(room) = self.room(key) {
                room.room.clear_notified(self.number);
                self.activate(key);
            }
        }
        inbox.questions.into_iter().for_each(|question| self.answer(question));
    }

    fn register(&mut self, handoff: Handoff<E::Stream>) {
        let key = handoff.room;
        if !self.rooms.contains_key(key) {
            let room = self.shared.room(key).expect("a room with clients on their way stays");
            self.add_room(key, room);
        }
        self.with_room(key, |shard, room| shard.register_in(room, handoff));
        self.activate(key);
    }

    fn register_in(&mut self, room: &mut ShardRoom, handoff: Handoff<E::Stream>) {
        if room.clients == 0 {
            room.send_queue.sent_up_to = room.reader.pin_head();
        }
        room.clients += 1;
        let peer = handoff.origin.peer;
        let index = room.send_queue.lagging.len();
        let active_at = room.idle_time(self.idle_clock.now());
        let key = self.clients.insert(Client::new(handoff, index, self.now, active_at));
        room.send_queue.add(key);
        if self.clients[key].coded.is_some() {
            self.handshakes.add(key, self.now + self.config.handshake_timeout);
        }
        self.counters().connections_accepted.add(1);
        let name = &room.room.config.name;
        debug!(shard = self.number, room = %name, client = key.data().as_ffi(), %peer, "client connected");
        let registered = self.engine.register(key.data().as_ffi(), &self.clients[key].stream);
        if let Err(error) = registered {
            debug!(client = key.data().as_ffi(), %error, "client cannot be served");
            self.close(room, key, DisconnectReason::Error);
        }
    }

    /// Closes a client's connection and forgets it.
    fn close(&mut self, room: &mut ShardRoom, key: Key, reason: DisconnectReason) {
        self.last_words(key, reason);
        drop(self.forget(room, key, reason));
    }

    /// Forgets a client, which counts no more, and returns its connection.
    fn forget(
        &mut self,
        room: &mut ShardRoom,
        key: Key,
        reason: DisconnectReason,
    ) -> Option<E::Stream> {
        let client = self.clients.remove(key)?;
        room.send_queue.remove(&client, &mut self.clients);
        if client.is_throttled() {
            self.no_longer_throttled(key, &client);
        }
        room.clients -= 1;
        self.shared.release(&room.room, self.number, client.origin);
        self.counters().disconnects.by(reason).add(1);
        let report = client.report(key);
        debug!(
            shard = self.number,
            room = %room.room.config.name,
            client = report.key,
            peer = %client.origin.peer,
            reason = reason.name(),
            dropped = report.dropped,
            "client disconnected"
        );
        self.engine.closed(Disconnect { report, reason });
        if room.clients == 0 {
            room.reader.unpin();
            self.shared.set_low_watermark(room.key, &room.room, self.number, u64::MAX);
            if room.reader.writer_waits() {
                self.shared.notify_writers(room.key, &room.room);
            }
        }
        // It no longer blocks publishers, if it did.
        room.watermark_is_old = room.room.has_backpressure() && room.clients > 0;
        self.count_lagging(room);
        Some(client.stream)
    }

    /// Corrects the counts of clients that are behind by those of a room.
    fn count_lagging(&mut self, room: &mut ShardRoom) {
        let (before, now) = (room.lagging_counted, room.send_queue.lagging.len());
        if before == now {
            return;
        }
        room.lagging_counted = now;
        let lagging = &self.counters().lagging_clients;
        lagging.set(lagging.get() + now as u64 - before as u64);
        room.room.counters(self.number).lagging_clients.set(now as u64);
        if room.room.has_backpressure() {
            self.blocking_clients = self.blocking_clients + now - before;
        }
    }

    /// Delays the next pass if the shard is busy sending little to many.
    fn coalesce(&mut self, sent_bytes: u64, visited: &[RoomKey]) {
        let can_send =
            |&key: &RoomKey| self.room(key).is_some_and(|room| !room.send_queue.ready.is_empty());
        if self.coalescing.is_worthwhile(sent_bytes)
            && !visited.iter().any(can_send)
            && self.shared.phase() == Phase::Serving
            && let pass = self.engine.now().saturating_sub(self.now)
            && let Some(delay) = coalescing::delay_after(pass, self.config.coalesce_max)
        {
            self.counters().coalesced_passes.add(1);
            self.engine.pause(delay);
        }
    }
}
