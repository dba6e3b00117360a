//! Faults of who receives a message: FANOUT-1.

use std::collections::{HashMap, HashSet};

use crate::client::{Client, ClientId, End, Message};
use crate::deviation::{Deviation, correct};
use crate::fault::Fault;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always("no-echo", "FANOUT-1", "does not deliver a message to its sender", || {
        Box::new(Recipients { copies: |own| u8::from(!own) })
    })
    .by_timeout(),
    Fault::always("double-echo", "FANOUT-1", "delivers a message to its sender twice", || {
        Box::new(Recipients { copies: |own| 1 + u8::from(own) })
    }),
    Fault::always("echo-only", "FANOUT-1", "delivers a message to its sender only", || {
        Box::new(Recipients { copies: u8::from })
    })
    .by_timeout(),
    Fault::always(
        "first-message-is-a-name",
        "FANOUT-1",
        "takes the first message of a client for its name and delivers it to nobody",
        || Box::new(FirstIsName::default()),
    )
    .by_timeout(),
    Fault::always(
        "one-message-per-connection",
        "FANOUT-1",
        "ignores what a client sends after its first message",
        || Box::new(OneMessagePerConnection::default()),
    )
    .by_timeout(),
    Fault::always(
        "deduplicates",
        "FANOUT-1",
        "drops a message that equals the previous one of the same sender",
        || Deduplicates::make(0),
    ),
    Fault::always(
        "deduplicates-long",
        "FANOUT-1",
        "drops a message of 128 bytes or more that equals the previous one of the same sender",
        || Deduplicates::make(128),
    ),
    Fault::always(
        "deduplicates-across-senders",
        "FANOUT-1",
        "drops a message that equals the previous one of another sender",
        || Box::new(DeduplicatesAcross { last: None }),
    ),
    Fault::always(
        "sixteen-bit-sequence",
        "FANOUT-1",
        "numbers messages with 16 bits and takes those after the 65,536th for old ones",
        || Box::new(SequenceOf { bits: 16 }),
    )
    .by_timeout(),
    Fault::always(
        "eighteen-bit-sequence",
        "FANOUT-1",
        "numbers messages with 18 bits and takes those after the 262,144th for old ones",
        || Box::new(SequenceOf { bits: 18 }),
    )
    .by_timeout(),
    Fault::always(
        "wrong-on-ipv6",
        "FANOUT-1",
        "delivers only their own messages to clients that are connected over IPv6",
        || Box::new(WrongOnIpv6),
    )
    .by_timeout(),
    Fault::always(
        "half-of-large-rooms",
        "FANOUT-1",
        "delivers nothing to every other client once there are 50",
        || Box::new(HalfOfLargeRooms),
    )
    .by_timeout(),
];

/// How many copies of a message go to its sender, and to the others.
struct Recipients {
    copies: fn(bool) -> u8,
}

impl Deviation for Recipients {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        for _ in 0..(self.copies)(message.sender == client.id) {
            correct::enqueue(self, client, message, context);
        }
    }
}

#[derive(Default)]
struct FirstIsName {
    named: HashSet<ClientId>,
}

impl Deviation for FirstIsName {
    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        (!self.named.insert(client.id)).then_some(body)
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.named.remove(&client.id);
    }
}

#[derive(Default)]
struct OneMessagePerConnection {
    have_sent: HashSet<ClientId>,
}

impl Deviation for OneMessagePerConnection {
    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        self.have_sent.insert(client.id).then_some(body)
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.have_sent.remove(&client.id);
    }
}

struct Deduplicates {
    /// The length of the shortest body that it compares.
    bytes_min: usize,
    last: HashMap<ClientId, Vec<u8>>,
}

impl Deduplicates {
    fn make(bytes_min: usize) -> Box<dyn Deviation> {
        Box::new(Self { bytes_min, last: HashMap::new() })
    }
}

impl Deviation for Deduplicates {
    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        let before = self.last.insert(client.id, body.clone());
        let same = body.len() >= self.bytes_min && before.as_ref() == Some(&body);
        (!same).then_some(body)
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.last.remove(&client.id);
    }
}

struct DeduplicatesAcross {
    last: Option<(ClientId, Vec<u8>)>,
}

impl Deviation for DeduplicatesAcross {
    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        let before = self.last.replace((client.id, body.clone()));
        let same = before.is_some_and(|(sender, last)| sender != client.id && last == body);
        (!same).then_some(body)
    }
}

struct SequenceOf {
    bits: u32,
}

impl Deviation for SequenceOf {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        if message.sequence >> self.bits == 0 {
            correct::deliver(self, state, message);
        }
    }
}

struct WrongOnIpv6;

impl Deviation for WrongOnIpv6 {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        let ipv6 = client.stream.local_addr().is_ok_and(|address| address.is_ipv6());
        if !ipv6 || message.sender == client.id {
            correct::enqueue(self, client, message, context);
        }
    }
}

/// A room with this many clients is large.
const LARGE_ROOM: usize = 50;

struct HalfOfLargeRooms;

impl Deviation for HalfOfLargeRooms {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        let step = if state.clients.len() >= LARGE_ROOM { 2 } else { 1 };
        state.touched = true;
        let ServerState { clients, context, .. } = state;
        for client in clients.values_mut().step_by(step) {
            self.enqueue(client, message, context);
        }
    }
}
