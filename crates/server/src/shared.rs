//! What the shards of one server share: its rooms, admission, and a handle of each to notify it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use slotmap::SlotMap;

use crate::admission::{Admission, Rejection};
use crate::client::Handoff;
use crate::codec::Protocol;
use crate::config::Config;
use crate::counters::Counters;
use crate::engine::Wake;
use crate::keys::{ListenerId, RoomKey};
use crate::listener_rules::ListenerRules;
use crate::origin::Origin;
use crate::parker::Parker;
use crate::questions::{QUESTIONS_MAX, Question};
use crate::room::{Phase, Room, SharedPhase};
use crate::upstream::Upstream;

/// What the shards of one server share; `S` is a connection.
pub struct Shared<S> {
    /// The limits, which may be changed as a whole.
    config: RwLock<Arc<Config>>,
    rooms: RwLock<SlotMap<RoomKey, Arc<Room>>>,
    /// How often rooms, their listeners or their phases have changed.
    changes: AtomicU64,
    admission: Mutex<Admission>,
    shards: Box<[ShardHandle<S>]>,
    phase: SharedPhase,
    /// It stops, and sends its clients away one by one before it closes its rooms.
    lame_duck: AtomicBool,
}

/// One shard, as the others see it.
struct ShardHandle<S> {
    parker: Parker,
    inbox: Mutex<Inbox<S>>,
    counters: Counters,
}

/// What a shard has to look at.
#[derive(Debug)]
pub(crate) struct Inbox<S> {
    /// The connections handed off to it.
    pub(crate) handoffs: Vec<Handoff<S>>,
    /// The rooms that have new messages, or free space; each once.
    pub(crate) rooms: Vec<RoomKey>,
    /// What it was asked and has not answered.
    pub(crate) questions: VecDeque<Question>,
}

impl<S> Default for Inbox<S> {
    fn default() -> Self {
        Self { handoffs: Vec::new(), rooms: Vec::new(), questions: VecDeque::new() }
    }
}

impl<S> Inbox<S> {
    pub(crate) fn is_empty(&self) -> bool {
        self.handoffs.is_empty() && self.rooms.is_empty() && self.questions.is_empty()
    }

    /// Adds a question; `false` if too many wait already.
    fn ask(&mut self, question: Question) -> bool {
        let has_space = self.questions.len() < QUESTIONS_MAX;
        if has_space {
            self.questions.push_back(question);
        }
        has_space
    }

    /// Takes everything out, but of the questions only the first.
    pub(crate) fn take(&mut self) -> Self {
        let question = self.questions.pop_front();
        Self {
            handoffs: std::mem::take(&mut self.handoffs),
            rooms: std::mem::take(&mut self.rooms),
            questions: question.into_iter().collect(),
        }
    }
}

impl<S> Shared<S> {
    /// The state of a server with one shard for each of `wakes`, and no room yet.
    #[must_use]
    pub fn new(config: Config, wakes: Vec<Wake>) -> Self {
        let shard = |wake| ShardHandle {
            parker: Parker::new(wake),
            inbox: Mutex::new(Inbox::default()),
            counters: Counters::default(),
        };
        Self {
            rooms: RwLock::new(SlotMap::with_key()),
            changes: AtomicU64::new(0),
            admission: Mutex::new(Admission::new(config.admission)),
            config: RwLock::new(Arc::new(config)),
            shards: wakes.into_iter().map(shard).collect(),
            phase: SharedPhase::new(),
            lame_duck: AtomicBool::new(false),
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

    /// The limits as of now.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on other limits hold. Clients that are connected stay.
    pub fn set_config(&self, config: Config) {
        self.admission().set_limits(config.admission);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.changed();
        self.notify_all();
    }

    /// What the server is doing: serving, or closing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Begins to send the clients away, over the configured time. Who is still there is served
    /// until [`stop`](Self::stop), which follows; the caller has closed the listening sockets.
    pub fn begin_lame_duck(&self) {
        self.lame_duck.store(true, Ordering::Release);
        self.changed();
        self.notify_all();
    }

    /// Whether the server sends its clients away.
    #[must_use]
    pub fn is_lame_duck(&self) -> bool {
        self.lame_duck.load(Ordering::Acquire)
    }

    /// How many clients there are, in all shards.
    #[must_use]
    pub fn clients(&self) -> u64 {
        (0..self.shards()).map(|shard| self.counters(shard).clients.get()).sum()
    }

    /// Begins to stop: nothing is accepted or read any more, and every room is closed.
    pub fn stop(&self) {
        // First: listening sockets may stay open for another process.
        self.admission().forget_rooms();
        for (_, room) in self.rooms() {
            room.advance(Phase::Closing);
        }
        self.changed();
        // Last: a shard that sees this also sees the rooms' phases.
        self.phase.advance(Phase::Closing);
        self.notify_all();
    }

    // The rooms. One thread adds and closes them; the shards see that something has changed, and
    // then what.

    /// Adds a room, made for as many shards as there are.
    pub fn add_room(&self, room: Room) -> RoomKey {
        let key = self.rooms.write().unwrap_or_else(PoisonError::into_inner).insert(Arc::new(room));
        self.changed();
        self.notify_all();
        key
    }

    /// From now on the connections of this listening socket are clients of the room.
    pub fn add_listener(&self, listener: ListenerId, room: RoomKey) {
        let Some(to) = self.room(room) else { return };
        let mut admission = self.admission();
        if admission.room_of(listener).is_some_and(|(key, _)| key == room) {
            return;
        }
        if let Some(from) = admission.forget_listener(listener) {
            from.listeners().retain(|&it| it != listener);
        }
        admission.set_room(listener, room, Arc::clone(&to));
        to.listeners().push(listener);
        self.changed();
    }

    /// From now on this listening socket is no room's; the caller closes it.
    pub fn remove_listener(&self, listener: ListenerId) {
        let mut admission = self.admission();
        admission.forget_protocol(listener);
        admission.set_rules(listener, ListenerRules::default());
        if let Some(from) = admission.forget_listener(listener) {
            from.listeners().retain(|&it| it != listener);
        }
        self.changed();
    }

    /// From now on a room admits so many clients; those that it has stay.
    pub fn set_clients_max(&self, key: RoomKey, clients_max: Option<usize>) {
        if let Some(room) = self.room(key) {
            room.set_clients_max(clients_max);
        }
    }

    /// From now on new connections of this listening socket speak this; `None` is the plain
    /// protocol. To be called before [`add_listener`](Self::add_listener).
    pub fn set_protocol(&self, listener: ListenerId, protocol: Option<Arc<dyn Protocol>>) {
        match protocol {
            Some(protocol) => self.admission().set_protocol(listener, protocol),
            None => self.admission().forget_protocol(listener),
        }
    }

    /// From now on these rules hold for new connections of this listening socket. To be called
    /// before [`add_listener`](Self::add_listener).
    pub fn set_rules(&self, listener: ListenerId, rules: ListenerRules) {
        self.admission().set_rules(listener, rules);
    }

    /// Closes a room: its clients are sent what is queued and disconnected, and then it is removed.
    pub fn close_room(&self, key: RoomKey) {
        let Some(room) = self.room(key) else { return };
        self.admission().forget_room(key);
        room.advance(Phase::Closing);
        self.changed();
        self.notify_all();
    }

    /// All rooms, those that are closing included.
    pub fn rooms(&self) -> Vec<(RoomKey, Arc<Room>)> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.iter().map(|(key, room)| (key, Arc::clone(room))).collect()
    }

    pub(crate) fn room(&self, key: RoomKey) -> Option<Arc<Room>> {
        self.rooms.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// How often rooms, their listeners or their phases have changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// A shard has appended everything it has read for a room that closes. The last shard to do so
    /// starts the flush, or, on an edge, has the uplink do it when everything has come down.
    pub(crate) fn set_drained(&self, room: &Room) {
        if room.drained_by_all() && room.upstream.as_ref().is_none_or(Upstream::finish) {
            self.flush(room);
        }
    }

    /// Starts the flush of a room: its log has everything it will have.
    pub(crate) fn flush(&self, room: &Room) {
        room.advance(Phase::Flushing);
        self.changed();
        self.notify_all();
    }

    /// A shard has closed its clients of a room that closes; the last shard to do so removes it.
    pub(crate) fn set_ended(&self, key: RoomKey, room: &Room) {
        if room.ended_by_all() {
            self.rooms.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
    }

    /// Makes a shard run another pass, and wakes it if it is parked: one system call per park.
    pub(crate) fn notify(&self, shard: usize) {
        self.shards[shard].parker.notify();
    }

    /// Makes all shards run another pass.
    pub(crate) fn notify_all(&self) {
        (0..self.shards()).for_each(|shard| self.notify(shard));
    }

    /// Makes a shard look at a room.
    fn notify_of(&self, key: RoomKey, room: &Room, shard: usize) {
        // One that has been told and has not looked yet will see this, too.
        if room.set_notified(shard) {
            self.inbox(shard).rooms.push(key);
            self.notify(shard);
        }
    }

    /// Notifies all other shards that have clients in the room: there are new messages.
    pub(crate) fn notify_others(&self, key: RoomKey, room: &Room, from: usize) {
        for shard in (0..self.shards()).filter(|&shard| shard != from) {
            if room.clients(shard) > 0 {
                self.notify_of(key, room, shard);
            }
        }
    }

    /// Notifies all shards, this one included, and the uplink: what could not be appended to the
    /// room may be now.
    pub(crate) fn notify_writers(&self, key: RoomKey, room: &Room) {
        (0..self.shards()).for_each(|shard| self.notify_of(key, room, shard));
        if let Some(upstream) = &room.upstream {
            upstream.notify();
        }
    }

    /// Whether the shard may wait now. `false`: it was notified and must run another pass.
    pub(crate) fn park(&self, shard: usize) -> bool {
        self.shards[shard].parker.park()
    }

    /// The shard runs again and takes note of its notifications.
    pub(crate) fn unpark(&self, shard: usize) {
        self.shards[shard].parker.unpark();
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
        room: &Room,
        origin: Origin,
        from: usize,
    ) -> Result<usize, Rejection> {
        if room.is_full() {
            return Err(Rejection::MaxClientsOfRoom);
        }
        let clients = |shard: usize| self.counters(shard).clients.get();
        admission.admit(self.clients(), origin)?;
        let candidates = (from..self.shards()).chain(0..from);
        let shard = candidates.min_by_key(|&shard| clients(shard)).expect("at least one shard");
        self.counters(shard).clients.increment();
        room.admitted(shard);
        Ok(shard)
    }

    /// A client of the room and the shard has been closed.
    pub(crate) fn release(&self, room: &Room, shard: usize, origin: Origin) {
        self.counters(shard).clients.decrement();
        room.released(shard);
        self.admission().release(origin);
    }

    pub(crate) fn hand_off(&self, shard: usize, handoff: Handoff<S>) {
        self.inbox(shard).handoffs.push(handoff);
        self.notify(shard);
    }

    /// Leaves a question with a shard, which is still to be notified; `false` if too many wait for
    /// it already.
    pub(crate) fn ask(&self, shard: usize, question: Question) -> bool {
        self.inbox(shard).ask(question)
    }

    /// What a shard has to look at.
    pub(crate) fn inbox(&self, shard: usize) -> MutexGuard<'_, Inbox<S>> {
        self.shards[shard].inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes where a shard's slowest client of a room is, as a byte offset; `u64::MAX` without
    /// clients.
    pub(crate) fn set_low_watermark(&self, key: RoomKey, room: &Room, shard: usize, bytes: u64) {
        if let Some(backpressure) = &room.backpressure
            && backpressure.set_low_watermark(shard, bytes)
        {
            self.notify_writers(key, room);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn questions_to_a_shard_that_hangs_are_bounded_and_each_waits_for_its_turn() {
        let mut inbox = Inbox::<()>::default();
        let question = |key| Question::Close { key, reply: sync_channel(1).0 };
        for key in 0..QUESTIONS_MAX as u64 {
            assert!(inbox.ask(question(key)));
        }
        assert!(!inbox.ask(question(0)), "one too many");
        for expected in 0..QUESTIONS_MAX as u64 {
            assert!(!inbox.is_empty());
            let taken: Vec<Question> = inbox.take().questions.into();
            let [Question::Close { key, .. }] = taken[..] else { panic!("not one: {taken:?}") };
            assert_eq!(key, expected, "in their order");
        }
        assert!(inbox.is_empty());
    }
}
