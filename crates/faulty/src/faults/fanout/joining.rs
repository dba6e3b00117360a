//! Faults of clients that join: FANOUT-2 and FANOUT-3.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::client::{Client, ClientId, End, Message};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "registered-after-first-send",
        "FANOUT-2",
        "delivers nothing to a client that has not sent anything yet",
        || Box::new(RegisteredAfterFirstSend::default()),
    )
    .by_timeout(),
    Fault::always(
        "message-lost-for-joiner",
        "FANOUT-2",
        "loses the first message for a client after it was accepted",
        || Box::new(LostForJoiner::default()),
    ),
    Fault::always(
        "quiet-client-disconnected",
        "FANOUT-2",
        "disconnects a client that has sent nothing for two seconds",
        || Box::new(QuietDisconnected::default()),
    )
    .by_timeout(),
    Fault::always(
        "silent-newcomer-blocks-accept",
        "FANOUT-2",
        "accepts nobody else until a new client has sent its first message",
        || Box::new(SilentBlocksAccept { silent: None, heard: false }),
    )
    .by_timeout(),
    Fault::always(
        "join-lost-among-leaves",
        "FANOUT-2",
        "never registers a client that joins in the same pass of its loop in which another one leaves",
        || Box::new(JoinLost::default()),
    )
    .by_timeout(),
    Fault::always("greeting", "FANOUT-3", "greets each client with a message", || {
        Box::new(Greeting)
    }),
    Fault::always(
        "history-replayed",
        "FANOUT-3",
        "sends a new client the last message from before it connected",
        || Box::new(HistoryReplayed { last: None }),
    ),
    Fault::always(
        "last-words-kept",
        "FANOUT-3",
        "sends the last message of a client that was alone to the next client that joins",
        || Box::new(LastWordsKept { last: None }),
    ),
    Fault::always(
        "joiner-mid-frame",
        "FANOUT-3",
        "sends a client that joins within a millisecond of a message the second half of it",
        || Box::new(JoinerMidFrame { last: None }),
    ),
    Fault::always(
        "slot-reuse-leaks-queue",
        "FANOUT-3",
        "sends the queue of a client that left to the next client that joins",
        || SlotLeaksQueue::make(|_| true),
    ),
    Fault::always(
        "queue-kept-at-reset-after-half-close",
        "FANOUT-3",
        "sends the queue of a client that reset after a half-close to the next client that joins",
        || SlotLeaksQueue::make(|ends| ends == [End::Finished, End::Reset]),
    ),
];

/// Longer than any check.
const UNTIL_HEARD: Duration = Duration::from_secs(3600);

struct SilentBlocksAccept {
    silent: Option<ClientId>,
    heard: bool,
}

impl Deviation for SilentBlocksAccept {
    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        self.silent = Some(id);
        // If this fails it keeps accepting, which is correct.
        let _ = state.pause_accepting(UNTIL_HEARD);
    }

    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        self.heard |= self.silent == Some(client.id);
        Some(body)
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.heard |= self.silent == Some(client.id);
    }

    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        if std::mem::take(&mut self.heard) {
            self.silent = None;
            state.resume_accepting().map_err(Error::system("resume accepting"))?;
        }
        Ok(())
    }

    fn wait_max(&self) -> Option<Duration> {
        self.heard.then_some(Duration::ZERO)
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

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.registered.remove(&client.id);
    }
}

#[derive(Default)]
struct LostForJoiner {
    joiners: HashSet<ClientId>,
}

impl Deviation for LostForJoiner {
    fn joined(&mut self, _state: &mut ServerState, id: ClientId) {
        self.joiners.insert(id);
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        // Its own first message is not lost: others registered it in time.
        if !self.joiners.remove(&client.id) || message.sender == client.id {
            correct::enqueue(self, client, message, context);
        }
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
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
    fn turn(&mut self, _state: &mut ServerState) -> Result<(), Error> {
        self.joined.clear();
        Ok(())
    }

    fn joined(&mut self, _state: &mut ServerState, id: ClientId) {
        self.joined.insert(id);
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if !self.unentered.contains(&client.id) {
            correct::enqueue(self, client, message, context);
        }
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.joined.remove(&client.id);
        self.unentered.remove(&client.id);
        self.unentered.extend(self.joined.drain());
    }
}

/// How long a client may be silent, and how often that is checked.
const QUIET_MAX: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Default)]
struct QuietDisconnected {
    heard: HashMap<ClientId, Instant>,
}

impl Deviation for QuietDisconnected {
    fn joined(&mut self, _state: &mut ServerState, id: ClientId) {
        self.heard.insert(id, Instant::now());
    }

    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        self.heard.insert(client.id, Instant::now());
        Some(body)
    }

    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        for client in state.clients.values_mut() {
            if self.heard.get(&client.id).is_some_and(|heard| heard.elapsed() >= QUIET_MAX) {
                client.remove();
            }
        }
        Ok(())
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.heard.remove(&client.id);
    }

    fn wait_max(&self) -> Option<Duration> {
        (!self.heard.is_empty()).then_some(LOOK_EVERY)
    }
}

/// Sends something to a client that has just joined.
fn send_first(state: &mut ServerState, id: ClientId, messages: impl IntoIterator<Item = Message>) {
    if let Some(client) = state.clients.get_mut(&id) {
        client.outbound.queue.extend(messages);
        state.touched = true;
    }
}

struct Greeting;

impl Deviation for Greeting {
    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        send_first(state, id, [Message::new(id, 0, b"welcome")]);
    }
}

struct HistoryReplayed {
    last: Option<Message>,
}

impl Deviation for HistoryReplayed {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        self.last = Some(message.clone());
        correct::deliver(self, state, message);
    }

    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        send_first(state, id, self.last.clone());
    }
}

struct LastWordsKept {
    /// The last message of a client that was alone.
    last: Option<Message>,
}

impl Deviation for LastWordsKept {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        if state.clients.len() == 1 {
            self.last = Some(message.clone());
        }
        correct::deliver(self, state, message);
    }

    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        let last = self.last.take();
        if state.clients.len() == 2 {
            send_first(state, id, last);
        }
    }
}

/// The maximum age of the last message.
const JUST_NOW: Duration = Duration::from_millis(1);

struct JoinerMidFrame {
    last: Option<(Message, Instant)>,
}

impl Deviation for JoinerMidFrame {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        self.last = Some((message.clone(), Instant::now()));
        correct::deliver(self, state, message);
    }

    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        if let Some((message, at)) = &self.last
            && at.elapsed() < JUST_NOW
            && message.frame.len() > 1
        {
            let half = message.frame.len().div_ceil(2);
            send_first(state, id, [message.with_frame(&message.frame[half..])]);
        }
    }
}

struct SlotLeaksQueue {
    /// Whether the queue leaks for a client with these ends, in this order.
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

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        let ends = self.ends.remove(&client.id).unwrap_or_default();
        if (self.leaks)(&ends) {
            let begun = usize::from(client.outbound.written > 0);
            self.queue = client.outbound.queue.iter().skip(begun).cloned().collect();
        }
    }

    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        send_first(state, id, std::mem::take(&mut self.queue));
    }
}
