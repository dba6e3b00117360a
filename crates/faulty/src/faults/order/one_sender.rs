//! Faults of the order of one sender's messages: ORDER-2.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::chance::OneIn;
use crate::client::{Client, ClientId, End, Message, State};
use crate::deviation::{Deviation, correct};
use crate::fault::Fault;
use crate::faults::shared::held::put;
use crate::faults::shared::late::Late;
use crate::faults::shared::overtaking::overtaking;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::rarely(
        "task-per-delivery",
        "ORDER-2",
        "races deliveries to one client, so that one of 50 arrives after the next one",
        || overtaking(50, swapped),
    ),
    Fault::rarely(
        "rare-adjacent-swap",
        "ORDER-2",
        "makes one delivery of 5000 after the next one to the same client",
        || overtaking(5000, swapped),
    ),
    Fault::rarely(
        "swapped-for-everyone",
        "ORDER-2",
        "sequences one in 100 pairs of messages that a client sends together in reverse order",
        || Box::new(SwappedForEveryone { chance: OneIn::new(100) }),
    ),
    Fault::always(
        "empty-overtakes",
        "ORDER-2",
        "sequences an empty message before others that arrive with it",
        || Box::new(EmptyOvertakes),
    ),
    Fault::always(
        "retries-dropped",
        "ORDER-2",
        "delivers the first message that a full queue dropped later, after newer ones",
        || Box::new(RetriesDropped::default()),
    ),
    Fault::always(
        "long-bodies-overtaken",
        "ORDER-2",
        "delivers bodies of 200 bytes and more late, after shorter ones",
        || Late::make(|late| late.body_bytes >= LONG_BODY),
    ),
    Fault::always(
        "sole-client-overtakes",
        "ORDER-2",
        "delivers messages of a client that is alone before earlier ones of it that still wait to be sequenced",
        || Box::new(SoleOvertakes::default()),
    ),
    Fault::always(
        "short-overtakes-in-backlog",
        "ORDER-2",
        "moves a body of less than 12 bytes to the front of a queue that is more than a quarter full",
        || Box::new(ShortOvertakes),
    ),
];

fn swapped(held: Message, next: &Message) -> Vec<Message> {
    vec![next.clone(), held]
}

struct SwappedForEveryone {
    chance: OneIn,
}

impl Deviation for SwappedForEveryone {
    fn sequence(&mut self, _state: &mut ServerState, mut batch: Vec<Message>) -> Vec<Message> {
        for second in 1..batch.len() {
            if batch[second - 1].sender == batch[second].sender && self.chance.happens() {
                batch.swap(second - 1, second);
            }
        }
        batch
    }
}

struct EmptyOvertakes;

impl Deviation for EmptyOvertakes {
    fn sequence(&mut self, _state: &mut ServerState, mut batch: Vec<Message>) -> Vec<Message> {
        // A stable sort: the order of the others stays.
        batch.sort_by_key(|message| !message.body().is_empty());
        batch
    }
}

#[derive(Default)]
struct RetriesDropped {
    /// What is to be tried again, by receiver.
    dropped: HashMap<ClientId, Message>,
}

impl Deviation for RetriesDropped {
    fn overflow(&mut self, client: &mut Client, message: &Message, context: &Context) {
        self.dropped.entry(client.id).or_insert_with(|| message.clone());
        correct::overflow(self, client, message, context);
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        let queue_messages = context.knobs.queue_messages;
        let has_room = client.outbound.queue.len() + 1 < queue_messages;
        correct::enqueue(self, client, message, context);
        if has_room && let Some(dropped) = self.dropped.remove(&client.id) {
            correct::enqueue(self, client, &dropped, context);
        }
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.dropped.remove(&client.id);
    }
}

/// How long a message waits to be sequenced: long enough for another client to
/// leave.
const SEQUENCING: Duration = Duration::from_millis(2);

/// Sequences messages a moment after they arrive, except those of a client that is
/// alone, which seem to need no order.
#[derive(Default)]
struct SoleOvertakes {
    /// What waits to be sequenced, and until when.
    waiting: VecDeque<(Instant, Message)>,
}

impl Deviation for SoleOvertakes {
    fn sequence(&mut self, state: &mut ServerState, batch: Vec<Message>) -> Vec<Message> {
        let now = Instant::now();
        let due = self.waiting.iter().take_while(|(due, _)| *due <= now).count();
        let due = self.waiting.drain(..due).map(|(_, message)| message).collect();
        let open = state.clients.values().filter(|client| client.state == State::Open);
        if open.count() == 1 {
            return [batch, due].concat();
        }
        self.waiting.extend(batch.into_iter().map(|message| (now + SEQUENCING, message)));
        due
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if client.state == State::Draining {
            // It still receives what waited when it closed its sending side.
            put(client, message, context.knobs.queue_messages);
        } else {
            correct::enqueue(self, client, message, context);
        }
    }

    fn wait_max(&self) -> Option<Duration> {
        let (due, _) = self.waiting.front()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    fn holds_back_for(&self, _id: ClientId) -> bool {
        !self.waiting.is_empty()
    }
}

/// A body of this many bytes is long.
const LONG_BODY: usize = 200;

/// A body of fewer bytes is short.
const SHORT_BODY: usize = 12;

struct ShortOvertakes;

impl Deviation for ShortOvertakes {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        let queued = client.outbound.queue.len();
        correct::enqueue(self, client, message, context);
        let outbound = &mut client.outbound;
        if message.body().len() < SHORT_BODY
            && queued > context.knobs.queue_messages / 4
            && outbound.queue.len() > queued
            && let Some(short) = outbound.queue.pop_back()
        {
            // Not into a frame that has been begun.
            outbound.queue.insert(usize::from(outbound.written > 0), short);
        }
    }
}
