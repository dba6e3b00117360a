//! One repetition: connect, send, count, judge.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll};
use zillions_ordering::{ConnectionId, History, MessageId, StreamPosition, check};

use crate::body::{Bodies, ID_BYTES, Id, Kind};
use crate::client::{Client, READ_BYTES, ReadResult};
use crate::error::StressError;
use crate::outcome::{RepetitionResult, Violation};
use crate::parameters::Parameters;

/// Hellos that a client sends before it gives up: a server under load may drop
/// the first ones.
const HELLOS_MAX: u32 = 5;
/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;

/// A repetition whose clients are connected.
pub(crate) struct Repetition<'a> {
    parameters: &'a Parameters,
    number: u32,
    bodies: Bodies,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    started: Instant,
    clients: Vec<Client>,
    history: History,
    /// Of each client, in the history.
    connections: Vec<ConnectionId>,
    publishers: Vec<Publisher>,
    latency: &'a mut Histogram<u64>,
    /// The hello or fence that is awaited, and how many clients do not have it yet.
    awaited: Option<(Id, usize)>,
    delivered: u64,
    late: u64,
    timeouts: u64,
}

/// A publisher and the message that it waits for.
struct Publisher {
    /// Number of its client; its subscribers' numbers follow.
    client: usize,
    /// Messages sent, the current one included.
    sent: u32,
    body: Vec<u8>,
    sent_at: Instant,
    deadline: Instant,
    /// Which clients have the current message.
    has: Vec<bool>,
    /// How many of its own subscribers do not.
    missing: usize,
    done: bool,
}

impl<'a> Repetition<'a> {
    /// Connects all clients, spread over `addresses`, and waits until the server knows each of
    /// them.
    pub(crate) fn start(
        parameters: &'a Parameters,
        addresses: &[SocketAddr],
        number: u32,
        latency: &'a mut Histogram<u64>,
    ) -> Result<Self, StressError> {
        let poll = Poll::new().map_err(StressError::Setup)?;
        let mut clients = Vec::new();
        for client in 0..parameters.clients() as usize {
            let address = addresses[parameters.node_of(client, number, addresses.len())];
            let connected = Client::connect(address, poll.registry(), client);
            clients.push(connected.map_err(|source| StressError::Connect {
                client,
                address,
                repetition: number,
                source,
            })?);
        }
        let now = Instant::now();
        let publisher = |index| Publisher {
            client: usize::from(index) * (1 + usize::from(parameters.subscribers)),
            sent: 0,
            body: Vec::new(),
            sent_at: now,
            deadline: now,
            has: vec![false; parameters.clients() as usize],
            missing: 0,
            done: false,
        };
        let mut repetition = Self {
            parameters,
            number,
            bodies: Bodies { seed: parameters.seed.wrapping_add(u64::from(number)) },
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            buffer: vec![0; READ_BYTES],
            started: now,
            clients,
            history: History::new(),
            connections: Vec::new(),
            publishers: (0..parameters.publishers).map(publisher).collect(),
            latency,
            awaited: None,
            delivered: 0,
            late: 0,
            timeouts: 0,
        };
        for client in 0..repetition.clients.len() {
            repetition.say_hello(client)?;
        }
        for (node, &address) in addresses.iter().enumerate() {
            repetition.reach_all(node, addresses.len(), address)?;
        }
        for _ in 0..repetition.clients.len() {
            let connection = repetition.history.connect();
            repetition.connections.push(connection);
        }
        Ok(repetition)
    }

    /// Sends everything, waits for it, and judges the history.
    pub(crate) fn finish(mut self) -> Result<RepetitionResult, StressError> {
        for publisher in 0..self.publishers.len() {
            self.send_next(publisher)?;
        }
        while let Some(deadline) = self.next_deadline() {
            self.step(deadline)?;
            for publisher in 0..self.publishers.len() {
                self.go_on(publisher)?;
            }
        }
        for publisher in 0..self.publishers.len() {
            self.send_fence(self.publishers[publisher].client)?;
        }
        self.judge()
    }

    fn judge(self) -> Result<RepetitionResult, StressError> {
        let verdicts = check(&self.history).confirmed(&self.history)?;
        let first = verdicts.broken().next();
        let violation = first.map(|counterexample| Violation {
            repetition: self.number,
            clause: counterexample.rule.clause().to_owned(),
            explanation: counterexample.to_string(),
        });
        let messages = u64::from(self.parameters.publishers) * u64::from(self.parameters.messages);
        Ok(RepetitionResult {
            messages,
            expected: messages * self.parameters.clients(),
            delivered: self.delivered,
            late: self.late,
            timeouts: self.timeouts,
            violation,
        })
    }

    /// The earliest time-out among the publishers that are not done.
    fn next_deadline(&self) -> Option<Instant> {
        self.publishers.iter().filter(|it| !it.done).map(|it| it.deadline).min()
    }

    /// The publisher's next message, if its subscribers have the current one
    /// or the time is up.
    fn go_on(&mut self, publisher: usize) -> Result<(), StressError> {
        let state = &self.publishers[publisher];
        if state.done || (state.missing > 0 && Instant::now() < state.deadline) {
            return Ok(());
        }
        self.timeouts += u64::from(state.missing > 0);
        self.send_next(publisher)
    }

    fn send_next(&mut self, publisher: usize) -> Result<(), StressError> {
        let state = &mut self.publishers[publisher];
        if state.sent == self.parameters.messages {
            state.done = true;
            return Ok(());
        }
        let client = state.client;
        let id = Id { kind: Kind::Test, sender: client as u16, sequence: state.sent };
        state.sent += 1;
        state.body = self.bodies.make(id);
        state.has.fill(false);
        state.missing = usize::from(self.parameters.subscribers);
        let connection = self.connections[client];
        if Id::of(&state.body).is_some() {
            self.history.send(connection);
        } else {
            self.history.send_anonymous(connection, &state.body);
        }
        state.sent_at = Instant::now();
        state.deadline = state.sent_at + self.parameters.timeout;
        let sent = self.clients[client].send(&self.publishers[publisher].body);
        sent.map_err(|error| self.lost(client, error.to_string()))
    }

    /// Sends hellos until one comes back: from then on the server knows `client`.
    fn say_hello(&mut self, client: usize) -> Result<(), StressError> {
        for sequence in 0..HELLOS_MAX {
            let hello = Id { kind: Kind::Hello, sender: client as u16, sequence };
            if self.send_and_wait(client, hello, 1)? {
                return Ok(());
            }
        }
        let seconds = self.parameters.timeout.as_secs_f64() * f64::from(HELLOS_MAX);
        Err(StressError::NoEcho { client, repetition: self.number, seconds })
    }

    /// With several addresses: sends hellos from a client at this one until one has reached all
    /// clients at all of them. From then on the service is one for these clients. (Its own echo
    /// shows that a client is registered; this shows that the addresses belong together.)
    fn reach_all(
        &mut self,
        node: usize,
        nodes: usize,
        address: SocketAddr,
    ) -> Result<(), StressError> {
        let at_node = |&client: &usize| self.parameters.node_of(client, self.number, nodes) == node;
        let Some(client) = (0..self.clients.len()).find(at_node).filter(|_| nodes > 1) else {
            return Ok(());
        };
        for sequence in HELLOS_MAX..2 * HELLOS_MAX {
            let hello = Id { kind: Kind::Hello, sender: client as u16, sequence };
            if self.send_and_wait(client, hello, self.clients.len())? {
                return Ok(());
            }
        }
        let seconds = self.parameters.timeout.as_secs_f64() * f64::from(HELLOS_MAX);
        Err(StressError::Apart { client, from: address, seconds })
    }

    /// Sends a last message and waits until every client has it or the time is
    /// up: what the same client sent before has arrived by then, or never will.
    fn send_fence(&mut self, client: usize) -> Result<(), StressError> {
        let fence =
            Id { kind: Kind::Fence, sender: client as u16, sequence: self.parameters.messages };
        self.history.send(self.connections[client]);
        self.send_and_wait(client, fence, self.clients.len()).map(drop)
    }

    /// Sends message `id` and waits until `receivers` clients have it (a first hello
    /// counts only at its own sender); `false` if the time is up before.
    fn send_and_wait(
        &mut self,
        client: usize,
        id: Id,
        receivers: usize,
    ) -> Result<bool, StressError> {
        self.awaited = Some((id, receivers));
        let sent = self.clients[client].send(&self.bodies.make(id));
        sent.map_err(|error| self.lost(client, error.to_string()))?;
        let deadline = Instant::now() + self.parameters.timeout;
        while self.awaited.is_some_and(|(_, missing)| missing > 0) && Instant::now() < deadline {
            self.step(deadline)?;
        }
        Ok(self.awaited.take().is_none_or(|(_, missing)| missing == 0))
    }

    /// Waits for sockets, at most until `deadline`, and serves those that are ready.
    fn step(&mut self, deadline: Instant) -> Result<(), StressError> {
        let left = deadline.saturating_duration_since(Instant::now());
        // The kernel counts in milliseconds; rounded up, or short waits would spin.
        let timeout = if left.is_zero() { left } else { left.max(Duration::from_millis(1)) };
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            Err(error) => return Err(StressError::Setup(error)),
        }
        for event in &events {
            let client = event.token().0;
            if event.is_writable() {
                let flushed = self.clients[client].flush();
                flushed.map_err(|error| self.lost(client, error.to_string()))?;
            }
            if event.is_readable() || event.is_error() || event.is_read_closed() {
                self.read_all(client)?;
            }
        }
        self.events = events;
        Ok(())
    }

    fn read_all(&mut self, client: usize) -> Result<(), StressError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = loop {
            match self.clients[client].read(&mut buffer) {
                ReadResult::Bytes(length) => self.decode(client, &buffer[..length]),
                ReadResult::Later => break Ok(()),
                ReadResult::Over(reason) => break Err(self.lost(client, reason)),
            }
        };
        self.buffer = buffer;
        result
    }

    fn decode(&mut self, client: usize, mut input: &[u8]) {
        let mut decoder = std::mem::take(&mut self.clients[client].decoder);
        let now = Instant::now();
        loop {
            let offset = decoder.position();
            let Some(body) = decoder.decode(&mut input) else { break };
            self.deliver(client, body, offset, now);
        }
        self.clients[client].decoder = decoder;
    }

    fn deliver(&mut self, client: usize, body: &[u8], offset: u64, now: Instant) {
        let id = Id::of(body);
        if let (Some(id), Some((awaited, missing))) = (id, &mut self.awaited)
            && id == *awaited
            && (id.kind == Kind::Fence
                || id.sequence >= HELLOS_MAX
                || usize::from(id.sender) == client)
        {
            *missing = missing.saturating_sub(1);
        }
        let is_hello = id.is_some_and(|id| id.kind == Kind::Hello);
        let Some(&receiver) = self.connections.get(client) else {
            // The test has not begun: only hellos are under way.
            return;
        };
        if is_hello && id.is_some_and(|id| body == self.bodies.make(id)) {
            return;
        }
        let time_ns = now.duration_since(self.started).as_nanos() as u64;
        let position = StreamPosition { offset, time_ns };
        match id {
            Some(id) if self.is_exact(id, body) => {
                let sender = ConnectionId::from_index(u32::from(id.sender));
                let message = MessageId { sender, sequence: id.sequence };
                self.history.receive(receiver, message, position);
                if id.kind == Kind::Test {
                    self.count_with_id(client, id, now);
                }
            }
            None if body.len() < ID_BYTES => {
                self.history.receive_anonymous(receiver, body, position);
                self.count_short(client, body, now);
            }
            _ => {
                let detail = format!("its {} bytes are not a message that was sent", body.len());
                self.history.receive_unknown(receiver, position, detail);
            }
        }
    }

    /// Whether `body` is, byte by byte, that of message `id`.
    fn is_exact(&self, id: Id, body: &[u8]) -> bool {
        let stride = 1 + usize::from(self.parameters.subscribers);
        let Some(publisher) = self.publishers.get(usize::from(id.sender) / stride) else {
            return false;
        };
        let is_current = id.kind == Kind::Test
            && publisher.client == usize::from(id.sender)
            && id.sequence + 1 == publisher.sent;
        if is_current { body == publisher.body } else { body == self.bodies.make(id) }
    }

    fn count_with_id(&mut self, client: usize, id: Id, now: Instant) {
        let stride = 1 + usize::from(self.parameters.subscribers);
        let publisher = usize::from(id.sender) / stride;
        if id.sequence + 1 == self.publishers[publisher].sent {
            self.count_current(client, publisher, now);
        } else {
            self.delivered += 1;
            self.late += u64::from(client / stride == publisher);
        }
    }

    /// A short message is taken for the oldest current one with this content.
    fn count_short(&mut self, client: usize, body: &[u8], now: Instant) {
        let candidates = self.publishers.iter().enumerate();
        let oldest = candidates
            .filter(|(_, it)| !it.done && it.body == body && !it.has[client])
            .min_by_key(|(_, it)| it.sent_at)
            .map(|(publisher, _)| publisher);
        match oldest {
            Some(publisher) => self.count_current(client, publisher, now),
            None => self.delivered += 1,
        }
    }

    fn count_current(&mut self, client: usize, publisher: usize, now: Instant) {
        let stride = 1 + usize::from(self.parameters.subscribers);
        let state = &mut self.publishers[publisher];
        let is_first = !std::mem::replace(&mut state.has[client], true);
        let is_own_subscriber = client / stride == publisher && client != state.client;
        if is_first && is_own_subscriber {
            state.missing -= 1;
        }
        self.delivered += 1;
        let latency_ns = now.duration_since(state.sent_at).as_nanos() as u64;
        self.latency.saturating_record(latency_ns);
    }

    fn lost(&self, client: usize, reason: String) -> StressError {
        StressError::Lost { client, repetition: self.number, reason }
    }
}
