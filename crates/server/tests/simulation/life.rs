//! One server's life: clients that connect, send, stall, close and reset; then quiet; then the stop.

mod checks;
mod seen;
mod settings;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zillions_ordering::{ConnectionId, History, StreamPosition};
use zillions_server::client::DisconnectReason;
use zillions_server::keys::{ListenerId, RoomKey};
use zillions_server::listener_rules::{ListenerRules, Role};
use zillions_server::room::Room;
use zillions_server::slow_reader::SlowReader;
use zillions_server::upstream::Upstream;
use zillions_server::{Shard, Shared};
use zillions_testing::Dice;

use crate::chunks::{ChunkClient, Chunks, GOODBYE, GREETING, QUESTION, chunks};
use crate::network::{Network, SimEngine, SimStream, is_asleep, lock};
use crate::root::{ROOT_CLIENT, Root};
pub(crate) use seen::Seen;
use settings::{config, listener_rules, room_config};

/// How many things happen before it becomes quiet.
const STEPS: usize = 600;
const CLIENTS_MAX: usize = 14;
/// What waits for the upstream of an edge: so little that it is often full.
const OUTBOX_BYTES_MAX: usize = 3000;
/// Within so many rounds everything must come to rest; otherwise something waits for ever.
const ROUNDS_MAX: usize = 20_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    Drains,
    Trickles,
    Stalls,
}

struct Client {
    room: usize,
    role: Role,
    habit: Habit,
    /// What it speaks, if not the plain protocol.
    coded: Option<ChunkClient>,
    process: ConnectionId,
    /// Frames, and the offset up to which they have been sent.
    outbox: Vec<u8>,
    messages: u32,
    /// Where in its stream each message ends, and how much of the stream has been sent.
    ends: Vec<u64>,
    sent_bytes: u64,
    received: Vec<u8>,
    decoded: usize,
    frames: u64,
    /// It closed cleanly: everything it has sent counts.
    ended: bool,
    broken: bool,
}

impl Client {
    fn sent_messages(&self) -> u64 {
        if self.role == Role::ListenOnly {
            return 0;
        }
        self.ends.partition_point(|&end| end <= self.sent_bytes) as u64
    }
}

struct Life {
    dice: Dice,
    network: Arc<Mutex<Network>>,
    shared: Arc<Shared<SimStream>>,
    shards: Vec<Shard<SimEngine>>,
    done: Vec<bool>,
    clients: Vec<Client>,
    rooms: Vec<SimRoom>,
    sent_away: u64,
    /// By listening socket: for each room a plain one, one with a codec, and a plain one with rules.
    rules: Vec<ListenerRules>,
}

/// A room, and what was sent and received in it.
struct SimRoom {
    key: RoomKey,
    room: Arc<Room>,
    history: History,
    closed: bool,
    /// The upstream server, of an edge.
    root: Option<Root>,
}

impl SimRoom {
    fn new(seed: u64, key: RoomKey, room: Arc<Room>) -> Self {
        let mut history = History::new();
        let root = room.upstream.is_some().then(|| Root::new(seed, key, &room, history.connect()));
        Self { key, room, history, closed: false, root }
    }

    /// Messages that were sent up and did not come down, or could not be sent up before the end.
    fn unconfirmed(&self) -> u64 {
        self.room.upstream.as_ref().map_or(0, |it| it.unconfirmed() + it.discarded())
    }
}

/// Lives one life and checks it; panics where it breaks a rule.
pub(crate) fn live(seed: u64) -> Seen {
    let mut life = Life::new(seed);
    for _ in 0..STEPS {
        life.step();
    }
    life.become_quiet();
    life.check_streams();
    life.stop();
    life.check_history();
    life.seen()
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(!seed);
        let shards = 1 + dice.below(3);
        let rooms = dice.pick(&[1, 1, 2, 3]);
        let network = Arc::new(Mutex::new(Network::new(seed, shards, 3 * rooms)));
        let woken: Vec<_> = (0..shards).map(|_| Arc::new(AtomicBool::new(false))).collect();
        let wake = |woken: &Arc<AtomicBool>| {
            let woken = Arc::clone(woken);
            let wake: zillions_server::engine::Wake =
                Box::new(move || woken.store(true, Ordering::Relaxed));
            wake
        };
        let wakes = woken.iter().map(wake).collect();
        let shared = Arc::new(Shared::new(config(&mut dice), wakes));
        let mut rules = vec![ListenerRules::default(); rooms];
        let coded = (0..rooms).map(|_| {
            if dice.one_in(2) { listener_rules(&mut dice) } else { ListenerRules::default() }
        });
        rules.extend(coded.collect::<Vec<_>>());
        rules.extend((0..rooms).map(|_| listener_rules(&mut dice)));
        for number in 0..rooms {
            let config = room_config(&mut dice, number);
            let mut room = Room::new(config, shards).expect("a ring");
            room.upstream = dice.one_in(2).then(|| Upstream::new(OUTBOX_BYTES_MAX));
            let key = shared.add_room(room);
            for listener in [number, rooms + number, 2 * rooms + number] {
                let id = listener as ListenerId;
                if (rooms..2 * rooms).contains(&listener) {
                    shared.set_protocol(id, Some(Arc::new(Chunks)));
                }
                shared.set_rules(id, rules[listener]);
                shared.add_listener(id, key);
            }
        }
        let rooms = shared.rooms().into_iter();
        let rooms = rooms.map(|(key, room)| SimRoom::new(seed, key, room));
        let rooms: Vec<_> = rooms.collect();
        let engine = |(shard, woken)| SimEngine {
            network: Arc::clone(&network),
            shard,
            woken,
            asleep: None,
        };
        let engines: Vec<_> = woken.into_iter().enumerate().map(engine).collect();
        let shard = |engine: SimEngine| Shard::new(engine.shard, engine, Arc::clone(&shared));
        let shards: Vec<_> = engines.into_iter().map(shard).collect();
        let done = vec![false; shards.len()];
        let (clients, sent_away) = (Vec::new(), 0);
        let network = Arc::clone(&network);
        Self { dice, network, shared, shards, done, clients, rooms, rules, sent_away }
    }

    /// Something happens somewhere.
    fn step(&mut self) {
        lock(&self.network).now += Duration::from_micros(self.dice.below(20_000) as u64);
        if self.clients.len() < CLIENTS_MAX && self.dice.one_in(20) {
            self.connect();
        }
        if self.rooms.len() > 1 && self.dice.one_in(2 * STEPS) {
            self.close_a_room();
        }
        if !self.clients.is_empty() {
            let client = self.dice.below(self.clients.len());
            self.act(client);
        }
        let shard = self.dice.below(self.shards.len());
        self.run(shard);
        self.run_roots(false);
    }

    /// Something happens between the edges and their upstreams; in a rush everything that can.
    /// Returns whether in a rush anything did.
    fn run_roots(&mut self, in_a_rush: bool) -> bool {
        let now = lock(&self.network).now;
        let senders: Vec<_> = self.clients.iter().map(|client| client.process).collect();
        let mut moved = false;
        for SimRoom { root, history, .. } in &mut self.rooms {
            match root {
                Some(root) if in_a_rush => moved |= root.rush(&self.shared, history, &senders, now),
                Some(root) => root.step(&self.shared, history, &senders, now),
                None => {}
            }
        }
        moved
    }

    /// All but the first may be closed.
    fn close_a_room(&mut self) {
        let number = 1 + self.dice.below(self.rooms.len() - 1);
        let room = &mut self.rooms[number];
        room.closed = true;
        self.shared.close_room(room.key);
        for listener in (0..3).map(|it| it * self.rooms.len() + number) {
            self.shared.remove_listener(listener as ListenerId);
            lock(&self.network).close_listener(listener);
        }
    }

    fn connect(&mut self) {
        let room = self.dice.below(self.rooms.len());
        if self.rooms[room].closed {
            return;
        }
        let kind = self.dice.pick(&[0, 1, 2]);
        let is_coded = kind == 1;
        let listener = kind * self.rooms.len() + room;
        let id = lock(&self.network).connect(listener);
        assert_eq!(id, self.clients.len());
        self.clients.push(Client {
            habit: self.dice.pick(&[Habit::Drains, Habit::Drains, Habit::Trickles, Habit::Stalls]),
            coded: is_coded.then(ChunkClient::default),
            process: self.rooms[room].history.connect(),
            room,
            role: self.rules[listener].role,
            outbox: Vec::new(),
            messages: 0,
            ends: Vec::new(),
            sent_bytes: 0,
            received: Vec::new(),
            decoded: 0,
            frames: 0,
            ended: false,
            broken: false,
        });
        if is_coded {
            self.greet(id);
        }
    }

    /// A client with a codec begins, or falls silent in the middle of it, or says something else.
    fn greet(&mut self, id: usize) {
        let (greeting, is_wrong) = match self.dice.below(12) {
            0 => (&GREETING[..3], true),
            1 => (&b"GET / HTTP/1.1"[..], true),
            _ => (GREETING, false),
        };
        lock(&self.network).client_sends(id, greeting);
        self.clients[id].broken = is_wrong;
    }

    /// Sends bytes of the client's stream, as it speaks.
    fn send(&mut self, id: usize, bytes: &[u8]) {
        let client = &mut self.clients[id];
        client.sent_bytes += bytes.len() as u64;
        let mut network = lock(&self.network);
        match client.coded {
            None => network.client_sends(id, bytes),
            Some(_) => network.client_sends(id, &chunks(bytes)),
        }
    }

    fn act(&mut self, id: usize) {
        match self.dice.below(120) {
            0 => self.end(id),
            1 => {
                self.clients[id].broken = true;
                lock(&self.network).client_resets(id);
            }
            2 => self.clients[id].habit = Habit::Drains,
            3..60 => self.write(id),
            _ => self.read(id),
        }
    }

    fn end(&mut self, id: usize) {
        if !self.clients[id].ended && !self.clients[id].broken {
            // What it has begun it finishes, or not: then the frame is incomplete.
            if self.dice.one_in(2) {
                let rest = std::mem::take(&mut self.clients[id].outbox);
                self.send(id, &rest);
            }
            self.clients[id].ended = true;
            let mut network = lock(&self.network);
            match self.clients[id].coded {
                // Its codec says so, and its connection may say nothing for long.
                Some(_) if self.dice.one_in(2) => network.client_sends(id, &[GOODBYE]),
                _ => network.client_ends(id),
            }
        }
    }

    /// The client makes messages and sends a piece of them, cut anywhere.
    fn write(&mut self, id: usize) {
        if self.clients[id].ended || self.clients[id].broken {
            return;
        }
        for _ in 0..self.dice.below(30) {
            let sequence = self.clients[id].messages;
            let padding = self.dice.pick(&[0, 1, 10, 60, 249]);
            let client = &mut self.clients[id];
            client.outbox.push(6 + padding as u8);
            client.outbox.extend_from_slice(&(id as u16).to_le_bytes());
            client.outbox.extend_from_slice(&sequence.to_le_bytes());
            client.outbox.extend(std::iter::repeat_n(sequence as u8, padding));
            client.messages += 1;
            client.ends.push(client.ends.last().unwrap_or(&0) + 7 + padding as u64);
            self.rooms[client.room].history.send(client.process);
        }
        let bytes = self.dice.below(self.clients[id].outbox.len() + 1);
        let piece: Vec<u8> = self.clients[id].outbox.drain(..bytes).collect();
        self.send(id, &piece);
        if self.clients[id].coded.is_some() && self.dice.one_in(4) {
            lock(&self.network).client_sends(id, &[QUESTION]);
        }
    }

    fn read(&mut self, id: usize) {
        let bytes_max = match self.clients[id].habit {
            Habit::Drains => usize::MAX,
            Habit::Trickles => 1 + self.dice.below(40),
            Habit::Stalls => return,
        };
        let bytes = lock(&self.network).client_reads(id, bytes_max);
        let client = &mut self.clients[id];
        client.received.extend(match &mut client.coded {
            None => bytes,
            Some(coded) => coded.decode(bytes),
        });
        self.decode(id);
    }

    fn decode(&mut self, id: usize) {
        loop {
            let client = &mut self.clients[id];
            let rest = &client.received[client.decoded..];
            let Some((&length, rest)) = rest.split_first() else { return };
            let Some(body) = rest.get(..usize::from(length)) else { return };
            let sender = usize::from(u16::from_le_bytes([body[0], body[1]]));
            let sequence = u32::from_le_bytes(body[2..6].try_into().expect("four bytes"));
            assert!(body[6..].iter().all(|&byte| byte == sequence as u8), "padding is intact");
            let offset = client.decoded as u64;
            client.decoded += 1 + body.len();
            client.frames += 1;
            let (room, process) = (client.room, client.process);
            let sender = match &self.rooms[room].root {
                Some(root) if sender == usize::from(ROOT_CLIENT) => root.client,
                _ => {
                    let sender = &self.clients[sender];
                    assert_eq!(sender.room, room, "client {id} received a message of another room");
                    sender.process
                }
            };
            let message = zillions_ordering::MessageId { sender, sequence };
            let position = StreamPosition { offset, time_ns: 0 };
            self.rooms[room].history.receive(process, message, position);
        }
    }

    /// A shard runs if a real one would.
    fn run(&mut self, shard: usize) -> bool {
        if self.done[shard] || !self.shards[shard].engine_mut().is_runnable() {
            return false;
        }
        match self.shards[shard].pass() {
            Ok(goes_on) => {
                self.done[shard] = !goes_on;
                self.shards[shard].check();
            }
            Err(error) if is_asleep(&error) => return false,
            Err(error) => panic!("shard {shard}: {error}"),
        }
        true
    }

    /// All clients send the rest of what they have begun and drain, until nothing moves any more.
    fn become_quiet(&mut self) {
        for id in 0..self.clients.len() {
            let outbox = std::mem::take(&mut self.clients[id].outbox);
            if !self.clients[id].ended && !self.clients[id].broken {
                self.send(id, &outbox);
            }
            self.clients[id].habit = Habit::Drains;
        }
        self.run_until_still();
    }

    fn run_until_still(&mut self) {
        // Timers come to their ends too: paused accepts, evictions.
        let mut still = 0;
        for _ in 0..ROUNDS_MAX {
            let frames: u64 = self.clients.iter().map(|client| client.frames).sum();
            (0..self.clients.len()).for_each(|id| self.read(id));
            let mut ran = self.run_roots(true);
            for shard in 0..self.shards.len() {
                ran |= self.run(shard);
            }
            let moved =
                ran || frames != self.clients.iter().map(|client| client.frames).sum::<u64>();
            still = if moved { 0 } else { still + 1 };
            if still > 0 {
                lock(&self.network).now += Duration::from_millis(100);
            }
            if still > 50 {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Every other server first sends its clients away, one by one.
    fn stop(&mut self) {
        if self.dice.one_in(2) {
            self.lame_duck();
        }
        self.shared.stop();
        self.run_until_still();
        assert!(self.done.iter().all(|&done| done), "a shard does not end");
        let network = lock(&self.network);
        for (id, end) in &network.disconnects {
            let policy = self.rooms[self.clients[*id].room].room.config.slow_reader;
            let drops = policy.reaction == SlowReader::Drop;
            assert!(drops || end.report.dropped == 0, "client {id} was promised everything");
        }
        for (id, connection) in network.connections.iter().enumerate() {
            let accepted = connection.has_ended() || self.clients[id].frames == 0;
            assert!(accepted, "client {id} is left behind");
        }
    }

    /// What is sent to a client that is sent away ends with a whole frame, and nobody stays.
    fn lame_duck(&mut self) {
        let served_before = self.shared.clients();
        let disconnected_before = lock(&self.network).disconnects.len();
        for listener in 0..2 * self.rooms.len() {
            lock(&self.network).close_listener(listener);
        }
        self.shared.begin_lame_duck();
        // Messages in the midst of it: who is still there gets them.
        for id in 0..self.clients.len() {
            let client = &self.clients[id];
            if client.ended || client.broken || !lock(&self.network).connections[id].served {
                continue;
            }
            self.write(id);
            let rest = std::mem::take(&mut self.clients[id].outbox);
            self.send(id, &rest);
        }
        self.run_until_still();
        assert_eq!(self.shared.clients(), 0, "of {served_before} clients");
        let network = lock(&self.network);
        for (id, end) in &network.disconnects[disconnected_before..] {
            let client = &self.clients[*id];
            if end.reason == DisconnectReason::Shutdown && !client.broken {
                let is_whole = client.decoded == client.received.len();
                assert!(is_whole, "client {id} is left with half a frame");
                self.sent_away += 1;
            }
        }
    }
}
