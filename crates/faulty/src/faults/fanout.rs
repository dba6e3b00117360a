//! Faults of who receives: FANOUT-1 and FANOUT-4.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;
use std::time::Duration;

use crate::client::{Client, ClientId, End, Message, State};
use crate::correct;
use crate::deviation::Deviation;
use crate::error::Error;
use crate::fault::Fault;
use crate::held::Held;
use crate::room::{Context, Room};

pub(super) const FAULTS: &[Fault] = &[
    Fault::always("no-echo", "FANOUT-1", "a sender does not receive its own messages", || {
        Box::new(Recipients { copies: |own| u8::from(!own) })
    })
    .by_omission(),
    Fault::always("double-echo", "FANOUT-1", "a sender receives its own messages twice", || {
        Box::new(Recipients { copies: |own| 1 + u8::from(own) })
    }),
    Fault::always("echo-only", "FANOUT-1", "only its sender receives a message", || {
        Box::new(Recipients { copies: u8::from })
    })
    .by_omission(),
    Fault::always(
        "first-message-is-a-name",
        "FANOUT-1",
        "the first message of a client is taken for its name, and nobody receives it",
        || Box::new(FirstIsName::default()),
    )
    .by_omission(),
    Fault::always(
        "one-message-per-connection",
        "FANOUT-1",
        "what a client sends after its first message is ignored",
        || Box::new(OneMessagePerConnection::default()),
    )
    .by_omission(),
    Fault::always(
        "deduplicates",
        "FANOUT-1",
        "a message that equals the one before it of the same sender is dropped",
        || Deduplicates::make(0),
    ),
    Fault::always(
        "deduplicates-long",
        "FANOUT-1",
        "a message of 128 bytes or more that equals the one before it of the same sender is dropped",
        || Deduplicates::make(128),
    ),
    Fault::always(
        "deduplicates-across-senders",
        "FANOUT-1",
        "a message that equals the one before it of another sender is dropped",
        || Box::new(DeduplicatesAcross { last: None }),
    ),
    Fault::always(
        "sixteen-bit-sequence",
        "FANOUT-1",
        "messages have numbers of 16 bits, and those after the 65,536th are taken for old ones",
        || Box::new(SequenceOf { bits: 16 }),
    )
    .by_omission(),
    Fault::always(
        "eighteen-bit-sequence",
        "FANOUT-1",
        "messages have numbers of 18 bits, and those after the 262,144th are taken for old ones",
        || Box::new(SequenceOf { bits: 18 }),
    )
    .by_omission(),
    Fault::always(
        "wrong-on-ipv6",
        "FANOUT-1",
        "clients connected over IPv6 receive their own messages only",
        || Box::new(WrongOnIpv6),
    )
    .by_omission(),
    Fault::always(
        "half-of-large-rooms",
        "FANOUT-1",
        "with 50 clients or more every other one receives nothing",
        || Box::new(HalfOfLargeRooms),
    )
    .by_omission(),
    Fault::always(
        "leaving-disconnects-another",
        "FANOUT-4",
        "when a client leaves, the one that joined after it is disconnected",
        || Box::new(LeavingDisconnects),
    ),
    Fault::always(
        "leaving-skips-another",
        "FANOUT-4",
        "when a client leaves, the youngest client does not receive the next message",
        || Box::new(LeavingSkips { skipped: None }),
    ),
    Fault::always(
        "joining-skips-another",
        "FANOUT-4",
        "when a client joins, the oldest client does not receive the next message",
        || Box::new(JoiningSkips { skipped: None }),
    )
    .by_omission(),
    Fault::always(
        "leaving-together-disconnects-another",
        "FANOUT-4",
        "when three clients leave in the same moment, the youngest of the others is disconnected",
        || Box::new(LeavingTogether { left: 0 }),
    ),
    Fault::always(
        "client-numbers-of-one-byte",
        "FANOUT-4",
        "clients are numbered with one byte, and the 257th takes the place of the first",
        || Box::new(NumbersOf { bits: 8 }),
    ),
    Fault::always(
        "client-numbers-of-eleven-bits",
        "FANOUT-4",
        "clients are numbered with eleven bits, and the 2,049th takes the place of the first",
        || Box::new(NumbersOf { bits: 11 }),
    ),
    Fault::always(
        "leaver-hides-message-in-large-rooms",
        "FANOUT-4",
        "with more than 64 clients, when one leaves, the one that joined last does not receive the messages of the same turn",
        || Box::new(LeaverHides { held: Held::new(Duration::ZERO) }),
    )
    .by_omission(),
    Fault::always(
        "dies-when-one-leaves-with-a-queue",
        "FANOUT-4",
        "it dies when a client leaves for which messages wait, in a turn in which somebody says something",
        || Box::new(DiesAtLeave::default()),
    ),
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

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
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

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.have_sent.remove(&client.id);
    }
}

struct Deduplicates {
    /// How long a body is that it compares, at least.
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

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
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
    fn deliver(&mut self, room: &mut Room, message: &Message) {
        if message.sequence >> self.bits == 0 {
            correct::deliver(self, room, message);
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

/// From how many clients on a room is large.
const LARGE_ROOM: usize = 50;

struct HalfOfLargeRooms;

impl Deviation for HalfOfLargeRooms {
    fn deliver(&mut self, room: &mut Room, message: &Message) {
        let step = if room.clients.len() >= LARGE_ROOM { 2 } else { 1 };
        room.touched = true;
        let Room { clients, context, .. } = room;
        for client in clients.values_mut().step_by(step) {
            self.enqueue(client, message, context);
        }
    }
}

struct LeavingDisconnects;

impl Deviation for LeavingDisconnects {
    fn left(&mut self, room: &mut Room, client: Client, end: End) {
        let younger = (Bound::Excluded(client.id), Bound::Unbounded);
        let next = room.clients.range_mut(younger).next();
        // One victim per client that leaves by itself: no chain reaction.
        if let Some((_, next)) = next
            && end != End::Removed
        {
            next.remove();
        }
    }
}

/// How many have to leave in one turn.
const TOGETHER: usize = 3;

struct LeavingTogether {
    left: usize,
}

impl Deviation for LeavingTogether {
    fn turn(&mut self, _room: &mut Room) -> Result<(), Error> {
        self.left = 0;
        Ok(())
    }

    fn left(&mut self, room: &mut Room, _client: Client, end: End) {
        // One victim per moment: no chain reaction.
        self.left += usize::from(end != End::Removed);
        let youngest = room.clients.values_mut().rev().find(|client| !client.is_gone());
        if let Some(youngest) = youngest
            && self.left == TOGETHER
        {
            youngest.remove();
        }
    }
}

struct LeavingSkips {
    skipped: Option<ClientId>,
}

impl Deviation for LeavingSkips {
    fn left(&mut self, room: &mut Room, _client: Client, _end: End) {
        self.skipped = room.clients.keys().next_back().copied();
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if self.skipped == Some(client.id) {
            self.skipped = None;
        } else {
            correct::enqueue(self, client, message, context);
        }
    }
}

struct JoiningSkips {
    skipped: Option<ClientId>,
}

impl Deviation for JoiningSkips {
    fn joined(&mut self, room: &mut Room, id: ClientId) {
        self.skipped = room.clients.keys().next().copied().filter(|oldest| *oldest != id);
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if self.skipped == Some(client.id) {
            self.skipped = None;
        } else {
            correct::enqueue(self, client, message, context);
        }
    }
}

struct NumbersOf {
    bits: u32,
}

impl Deviation for NumbersOf {
    fn joined(&mut self, room: &mut Room, id: ClientId) {
        let same = |other: ClientId| other != id && (other ^ id).trailing_zeros() >= self.bits;
        if let Some(client) = room.clients.values_mut().find(|client| same(client.id)) {
            client.remove();
        }
    }
}

/// A room with more clients is larger still.
const LARGER_ROOM: usize = 64;

struct LeaverHides {
    /// What the youngest client is to receive at the end of the turn.
    held: Held,
}

impl Deviation for LeaverHides {
    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        self.held.release(room);
        Ok(())
    }

    fn deliver(&mut self, room: &mut Room, message: &Message) {
        let is_large = room.clients.len() > LARGER_ROOM;
        let youngest = room.clients.keys().next_back().copied().filter(|_| is_large);
        room.touched = true;
        let Room { clients, context, .. } = room;
        for client in clients.values_mut() {
            if Some(client.id) == youngest && client.state == State::Open {
                self.held.hold(client.id, message.clone());
            } else {
                self.enqueue(client, message, context);
            }
        }
    }

    fn left(&mut self, _room: &mut Room, _client: Client, _end: End) {
        self.held = Held::new(Duration::ZERO);
    }

    fn wait_max(&self) -> Option<Duration> {
        self.held.wait_max()
    }

    fn holds_back_for(&self, id: ClientId) -> bool {
        self.held.holds_for(id)
    }
}

/// What has happened in this turn.
#[derive(Default)]
struct DiesAtLeave {
    sequenced: bool,
    left_with_queue: bool,
}

impl Deviation for DiesAtLeave {
    fn sequence(&mut self, _room: &mut Room, batch: Vec<Message>) -> Vec<Message> {
        self.sequenced |= !batch.is_empty();
        batch
    }

    fn ended(&mut self, client: &mut Client, _end: End) -> Result<Vec<Vec<u8>>, Error> {
        self.left_with_queue |= !client.outbound.queue.is_empty();
        Ok(Vec::new())
    }

    fn turn(&mut self, _room: &mut Room) -> Result<(), Error> {
        let before = std::mem::take(self);
        if before.sequenced && before.left_with_queue {
            let reason = "a message was queued for a client that had left".to_owned();
            return Err(Error::Fault { fault: "dies-when-one-leaves-with-a-queue", reason });
        }
        Ok(())
    }

    fn wait_max(&self) -> Option<Duration> {
        (self.sequenced && self.left_with_queue).then_some(Duration::ZERO)
    }
}
