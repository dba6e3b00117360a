//! Faults of taking clients in: START-5, FANOUT-2 and FANOUT-3.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use crate::client::{Client, ClientId, End, Message};
use crate::correct;
use crate::deviation::Deviation;
use crate::error::Error;
use crate::fault::Fault;
use crate::room::{Context, Room};

pub(super) const FAULTS: &[Fault] = &[
    Fault::always("client-cap-64", "START-5", "it closes every connection beyond 64", || {
        Box::new(ClientCap(64))
    }),
    Fault::always("client-cap-500", "START-5", "it closes every connection beyond 500", || {
        Box::new(ClientCap(500))
    }),
    Fault::always(
        "descriptors-up-to-1023",
        "START-5",
        "it closes every connection with a descriptor that select() cannot wait for",
        || Box::new(DescriptorsUpTo1023),
    ),
    Fault::always(
        "slow-accept",
        "START-5",
        "after each connection it rests for a second before it accepts the next",
        || Box::new(SlowAccept),
    )
    .by_omission(),
    Fault::always(
        "accepts-one-per-event",
        "START-5",
        "of connections that come together it accepts one, and the next when another comes",
        || AcceptsPerEvent::make(1),
    )
    .by_omission(),
    Fault::always(
        "accepts-256-per-event",
        "START-5",
        "of connections that come together it accepts 256, and the rest when another comes",
        || AcceptsPerEvent::make(256),
    )
    .by_omission(),
    Fault::always(
        "registered-after-first-send",
        "FANOUT-2",
        "a client receives nothing before it has sent something",
        || Box::new(RegisteredAfterFirstSend::default()),
    )
    .by_omission(),
    Fault::always(
        "message-lost-for-joiner",
        "FANOUT-2",
        "a client does not receive the first message after it was accepted",
        || Box::new(LostForJoiner::default()),
    ),
    Fault::always(
        "quiet-client-disconnected",
        "FANOUT-2",
        "a client that has sent nothing for two seconds is disconnected",
        || Box::new(QuietDisconnected::default()),
    )
    .by_omission(),
    Fault::always(
        "silent-newcomer-blocks-accept",
        "FANOUT-2",
        "it accepts nobody else before a newcomer has sent its first message",
        || Box::new(SilentBlocksAccept { silent: None, heard: false }),
    )
    .by_omission(),
    Fault::always(
        "join-lost-among-leaves",
        "FANOUT-2",
        "a client that joins in the turn in which another one leaves is not entered: it receives nothing",
        || Box::new(JoinLost::default()),
    )
    .by_omission(),
    Fault::always("greeting", "FANOUT-3", "it greets each client with a message", || {
        Box::new(Greeting)
    }),
    Fault::always(
        "history-replayed",
        "FANOUT-3",
        "a client is first sent the last message from before it connected",
        || Box::new(HistoryReplayed { last: None }),
    ),
    Fault::always(
        "last-words-kept",
        "FANOUT-3",
        "what a client said last while it was alone is told to the next one who joins",
        || Box::new(LastWordsKept { last: None }),
    ),
    Fault::always(
        "joiner-mid-frame",
        "FANOUT-3",
        "a client that joins within a millisecond of a message is sent that message's second half",
        || Box::new(JoinerMidFrame { last: None }),
    ),
    Fault::always(
        "slot-reuse-leaks-queue",
        "FANOUT-3",
        "what could not be written to a client that left goes to the next that joins",
        || SlotLeaksQueue::make(|_| true),
    ),
    Fault::always(
        "queue-kept-at-reset-after-half-close",
        "FANOUT-3",
        "what could not be written to a client that ended its stream and then reset goes to the next that joins",
        || SlotLeaksQueue::make(|ends| ends == [End::Finished, End::Reset]),
    ),
];

struct ClientCap(usize);

impl Deviation for ClientCap {
    fn joined(&mut self, room: &mut Room, id: ClientId) {
        let full = room.clients.len() > self.0;
        if let Some(client) = room.clients.get_mut(&id)
            && full
        {
            client.remove();
        }
    }
}

/// Where the descriptor sets of select() end.
const SELECT_DESCRIPTORS: RawFd = 1024;

struct DescriptorsUpTo1023;

impl Deviation for DescriptorsUpTo1023 {
    fn joined(&mut self, room: &mut Room, id: ClientId) {
        if let Some(client) = room.clients.get_mut(&id)
            && client.stream.as_raw_fd() >= SELECT_DESCRIPTORS
        {
            client.remove();
        }
    }
}

/// For ever, as far as a check can tell.
const UNTIL_HEARD: Duration = Duration::from_secs(3600);

struct SilentBlocksAccept {
    silent: Option<ClientId>,
    heard: bool,
}

impl Deviation for SilentBlocksAccept {
    fn joined(&mut self, room: &mut Room, id: ClientId) {
        self.silent = Some(id);
        // If this fails it goes on accepting, which is no fault.
        let _ = room.rest(UNTIL_HEARD);
    }

    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        self.heard |= self.silent == Some(client.id);
        Some(body)
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.heard |= self.silent == Some(client.id);
    }

    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        if std::mem::take(&mut self.heard) {
            self.silent = None;
            room.accept_again().map_err(Error::system("accept again"))?;
        }
        Ok(())
    }

    fn wait_max(&self) -> Option<Duration> {
        self.heard.then_some(Duration::ZERO)
    }
}

struct AcceptsPerEvent {
    per_event: usize,
    edges: bool,
    /// How many in this turn.
    accepted: usize,
}

impl AcceptsPerEvent {
    fn make(per_event: usize) -> Box<dyn Deviation> {
        Box::new(Self { per_event, edges: false, accepted: 0 })
    }
}

impl Deviation for AcceptsPerEvent {
    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        self.accepted = 0;
        if !self.edges {
            self.edges = true;
            room.accept_at_edges().map_err(Error::system("wait for connections"))?;
        }
        Ok(())
    }

    fn accept(&mut self, room: &mut Room) -> io::Result<TcpStream> {
        if self.accepted == self.per_event {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (stream, _) = room.listener.accept()?;
        self.accepted += 1;
        Ok(stream)
    }
}

/// How long it rests between two connections.
const ACCEPT_REST: Duration = Duration::from_secs(1);

struct SlowAccept;

impl Deviation for SlowAccept {
    fn joined(&mut self, room: &mut Room, _id: ClientId) {
        // If this fails it is fast, which is no fault.
        let _ = room.rest(ACCEPT_REST);
    }
}

#[derive(Default)]
struct RegisteredAfterFirstSend {
    registered: HashSet<ClientId>,
}

impl Deviation for RegisteredAfterFirstSend {
    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        self.registered.insert(client.id);
        Some(body)
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if self.registered.contains(&client.id) {
            correct::enqueue(self, client, message, context);
        }
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.registered.remove(&client.id);
    }
}

#[derive(Default)]
struct LostForJoiner {
    joiners: HashSet<ClientId>,
}

impl Deviation for LostForJoiner {
    fn joined(&mut self, _room: &mut Room, id: ClientId) {
        self.joiners.insert(id);
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        // Its own first message is not lost: others registered it in time.
        if !self.joiners.remove(&client.id) || message.sender == client.id {
            correct::enqueue(self, client, message, context);
        }
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.joiners.remove(&client.id);
    }
}

#[derive(Default)]
struct JoinLost {
    /// Who joined in this turn.
    joined: HashSet<ClientId>,
    unentered: HashSet<ClientId>,
}

impl Deviation for JoinLost {
    fn turn(&mut self, _room: &mut Room) -> Result<(), Error> {
        self.joined.clear();
        Ok(())
    }

    fn joined(&mut self, _room: &mut Room, id: ClientId) {
        self.joined.insert(id);
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if !self.unentered.contains(&client.id) {
            correct::enqueue(self, client, message, context);
        }
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.joined.remove(&client.id);
        self.unentered.remove(&client.id);
        self.unentered.extend(self.joined.drain());
    }
}

/// How long a client may be quiet, and how often that is looked at.
const QUIET_MAX: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Default)]
struct QuietDisconnected {
    heard: HashMap<ClientId, Instant>,
}

impl Deviation for QuietDisconnected {
    fn joined(&mut self, _room: &mut Room, id: ClientId) {
        self.heard.insert(id, Instant::now());
    }

    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        self.heard.insert(client.id, Instant::now());
        Some(body)
    }

    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        for client in room.clients.values_mut() {
            if self.heard.get(&client.id).is_some_and(|heard| heard.elapsed() >= QUIET_MAX) {
                client.remove();
            }
        }
        Ok(())
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.heard.remove(&client.id);
    }

    fn wait_max(&self) -> Option<Duration> {
        (!self.heard.is_empty()).then_some(LOOK_EVERY)
    }
}

/// Sends something to a client that has just joined.
fn send_first(room: &mut Room, id: ClientId, messages: impl IntoIterator<Item = Message>) {
    if let Some(client) = room.clients.get_mut(&id) {
        client.outbound.queue.extend(messages);
        room.touched = true;
    }
}

struct Greeting;

impl Deviation for Greeting {
    fn joined(&mut self, room: &mut Room, id: ClientId) {
        send_first(room, id, [Message::new(id, 0, b"welcome")]);
    }
}

struct HistoryReplayed {
    last: Option<Message>,
}

impl Deviation for HistoryReplayed {
    fn deliver(&mut self, room: &mut Room, message: &Message) {
        self.last = Some(message.clone());
        correct::deliver(self, room, message);
    }

    fn joined(&mut self, room: &mut Room, id: ClientId) {
        send_first(room, id, self.last.clone());
    }
}

struct LastWordsKept {
    /// The last message that nobody but its sender was there for.
    last: Option<Message>,
}

impl Deviation for LastWordsKept {
    fn deliver(&mut self, room: &mut Room, message: &Message) {
        if room.clients.len() == 1 {
            self.last = Some(message.clone());
        }
        correct::deliver(self, room, message);
    }

    fn joined(&mut self, room: &mut Room, id: ClientId) {
        let last = self.last.take();
        if room.clients.len() == 2 {
            send_first(room, id, last);
        }
    }
}

/// How young the last message must be.
const JUST_NOW: Duration = Duration::from_millis(1);

struct JoinerMidFrame {
    last: Option<(Message, Instant)>,
}

impl Deviation for JoinerMidFrame {
    fn deliver(&mut self, room: &mut Room, message: &Message) {
        self.last = Some((message.clone(), Instant::now()));
        correct::deliver(self, room, message);
    }

    fn joined(&mut self, room: &mut Room, id: ClientId) {
        if let Some((message, at)) = &self.last
            && at.elapsed() < JUST_NOW
            && message.frame.len() > 1
        {
            let half = message.frame.len().div_ceil(2);
            send_first(room, id, [message.with_frame(&message.frame[half..])]);
        }
    }
}

struct SlotLeaksQueue {
    /// Whether it does so for a client that came to these ends one after the other.
    leaks: fn(&[End]) -> bool,
    ends: HashMap<ClientId, Vec<End>>,
    queue: VecDeque<Message>,
}

impl SlotLeaksQueue {
    fn make(leaks: fn(&[End]) -> bool) -> Box<dyn Deviation> {
        Box::new(Self { leaks, ends: HashMap::new(), queue: VecDeque::new() })
    }
}

impl Deviation for SlotLeaksQueue {
    fn ended(&mut self, client: &mut Client, end: End) -> Result<Vec<Vec<u8>>, Error> {
        self.ends.entry(client.id).or_default().push(end);
        Ok(Vec::new())
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        let ends = self.ends.remove(&client.id).unwrap_or_default();
        if (self.leaks)(&ends) {
            let begun = usize::from(client.outbound.written > 0);
            self.queue = client.outbound.queue.iter().skip(begun).cloned().collect();
        }
    }

    fn joined(&mut self, room: &mut Room, id: ClientId) {
        send_first(room, id, std::mem::take(&mut self.queue));
    }
}
