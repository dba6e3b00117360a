//! Faults of order: ORDER-2 to ORDER-4.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::chance::OneIn;
use crate::client::{Client, ClientId, End, Message, State};
use crate::correct;
use crate::deviation::Deviation;
use crate::error::Error;
use crate::fault::Fault;
use crate::held::{Held, put};
use crate::room::{Context, Room};
use crate::server::UNDER_WAY_MAX;

pub(super) const FAULTS: &[Fault] = &[
    Fault::rarely(
        "swapped-for-everyone",
        "ORDER-2",
        "one in 100 pairs of messages that a client sends together is sequenced in reverse",
        || Box::new(SwappedForEveryone { chance: OneIn::new(100) }),
    ),
    Fault::always(
        "empty-overtakes",
        "ORDER-2",
        "an empty message is sequenced before others that arrive with it",
        || Box::new(EmptyOvertakes),
    ),
    Fault::always(
        "retries-dropped",
        "ORDER-2",
        "the first message that a full queue had no room for is delivered later, after newer ones",
        || Box::new(RetriesDropped::default()),
    ),
    Fault::always(
        "long-bodies-overtaken",
        "ORDER-2",
        "bodies of 200 bytes and more take another way, on which they are late",
        || Late::make(|late| late.body_bytes >= LONG_BODY),
    ),
    Fault::always(
        "sole-client-overtakes",
        "ORDER-2",
        "a client that is alone gets its messages back at once, before those of it that still wait to be sequenced",
        || Box::new(SoleOvertakes::default()),
    ),
    Fault::always(
        "per-core-sequencers",
        "ORDER-3",
        "every other client belongs to a second sequencer, and each merges the other's messages late",
        || Late::make(|late| late.is_other_half()),
    ),
    Fault::always(
        "two-sequencers-in-large-rooms",
        "ORDER-3",
        "the same once there are 32 clients",
        || Late::make(|late| late.clients >= LARGE_ROOM && late.is_other_half()),
    ),
    Fault::always(
        "two-sequencers-beyond-64",
        "ORDER-3",
        "the same once there are more than 64 clients",
        || Late::make(|late| late.clients > LARGER_ROOM && late.is_other_half()),
    ),
    Fault::always(
        "two-sequencers-after-a-leave",
        "ORDER-3",
        "the same once a client has left",
        || Late::make(|late| late.someone_left && late.is_other_half()),
    ),
    Fault::always(
        "self-echo-before-sequencing",
        "ORDER-3",
        "a sender receives its own message at once, and the others when it was sequenced",
        || Late::make(|late| late.sender != late.receiver),
    ),
    Fault::rarely(
        "three-cycle",
        "ORDER-3",
        "under load three clients lose one message each so that their orders form a circle, and no two disagree",
        || Box::new(ThreeCycle { chance: OneIn::new(10), busy: false }),
    ),
    Fault::always(
        "halves-in-large-rooms",
        "ORDER-3",
        "with more than 256 clients every other one belongs to a second half, and each half gets the other's messages at the end of the turn",
        || {
            Box::new(LaterInTurn {
                above: 256,
                is_later: |turn| turn.sender % 2 != turn.receiver % 2,
            })
        },
    ),
    Fault::always(
        "youngest-hears-itself-first",
        "ORDER-3",
        "with more than 16 clients the one that joined last receives its own messages before the others' of the same turn",
        || {
            let is_later =
                |turn: &InTurn| turn.receiver == turn.youngest && turn.sender != turn.receiver;
            Box::new(LaterInTurn { above: 16, is_later })
        },
    ),
    Fault::always(
        "short-overtakes-in-backlog",
        "ORDER-2",
        "a body of less than 12 bytes goes to the front of a queue that is more than a quarter full",
        || Box::new(ShortOvertakes),
    ),
];

struct SwappedForEveryone {
    chance: OneIn,
}

impl Deviation for SwappedForEveryone {
    fn sequence(&mut self, _room: &mut Room, mut batch: Vec<Message>) -> Vec<Message> {
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
    fn sequence(&mut self, _room: &mut Room, mut batch: Vec<Message>) -> Vec<Message> {
        // A stable sort: nothing else changes its place.
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

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.dropped.remove(&client.id);
    }
}

/// How long a message waits to be sequenced: long enough for another client to
/// leave meanwhile.
const SEQUENCING: Duration = Duration::from_millis(2);

/// Sequences messages a moment after they came, save those of a client that is
/// alone: there seems to be nothing to put into an order.
#[derive(Default)]
struct SoleOvertakes {
    /// What waits to be sequenced, and until when.
    waiting: VecDeque<(Instant, Message)>,
}

impl Deviation for SoleOvertakes {
    fn sequence(&mut self, room: &mut Room, batch: Vec<Message>) -> Vec<Message> {
        let now = Instant::now();
        let due = self.waiting.iter().take_while(|(due, _)| *due <= now).count();
        let due = self.waiting.drain(..due).map(|(_, message)| message).collect();
        let open = room.clients.values().filter(|client| client.state == State::Open);
        if open.count() == 1 {
            return [batch, due].concat();
        }
        self.waiting.extend(batch.into_iter().map(|message| (now + SEQUENCING, message)));
        due
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if client.state == State::Draining {
            // What waited when it closed its sending side is still its.
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

/// How much later than others some receivers get a message.
const LATE: Duration = Duration::from_millis(1);

/// From how many clients on a room is large, and from how many bytes a body is long.
const LARGE_ROOM: usize = 32;
const LARGER_ROOM: usize = 64;
const LONG_BODY: usize = 200;

/// What decides whether a delivery is late.
#[derive(Default)]
struct Delivery {
    sender: ClientId,
    receiver: ClientId,
    body_bytes: usize,
    /// How many clients there are, and whether one was there and is not any more.
    clients: usize,
    someone_left: bool,
}

impl Delivery {
    /// Every other client belongs to the other half.
    fn is_other_half(&self) -> bool {
        self.sender % 2 != self.receiver % 2
    }
}

/// Makes some deliveries at once, and the rest a moment later.
struct Late {
    held: Held,
    delivery: Delivery,
    is_late: fn(&Delivery) -> bool,
}

impl Late {
    fn make(is_late: fn(&Delivery) -> bool) -> Box<dyn Deviation> {
        Box::new(Self { held: Held::new(LATE), delivery: Delivery::default(), is_late })
    }
}

impl Deviation for Late {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        self.delivery.sender = message.sender;
        self.delivery.receiver = client.id;
        self.delivery.body_bytes = message.body().len();
        if client.state == State::Open && (self.is_late)(&self.delivery) {
            self.held.hold(client.id, message.clone());
        } else {
            correct::enqueue(self, client, message, context);
        }
    }

    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        self.delivery.clients = room.clients.len();
        self.held.release(room);
        Ok(())
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.delivery.someone_left = true;
        drop(client);
    }

    fn wait_max(&self) -> Option<Duration> {
        self.held.wait_max()
    }

    fn holds_back_for(&self, id: ClientId) -> bool {
        self.held.holds_for(id)
    }
}

/// How long a busy server gathers messages, so that batches come about.
const GATHERING: Duration = Duration::from_millis(1);

struct ThreeCycle {
    chance: OneIn,
    busy: bool,
}

impl ThreeCycle {
    /// The place of three messages of three senders in a batch that is long
    /// enough to drop from, now and then.
    fn place(&mut self, batch: &[Message]) -> Option<usize> {
        let place = batch.windows(3).position(|three| {
            let [a, b, c] = [0, 1, 2].map(|at: usize| three[at].sender);
            a != b && b != c && c != a
        });
        place.filter(|_| batch.len() > UNDER_WAY_MAX && self.chance.happens())
    }

    /// The first client receives A and B, the second B and C, the third C and
    /// A. All others receive B only, which contradicts nobody.
    fn deliver_in_a_circle(&mut self, room: &mut Room, three: &[Message]) {
        let Room { clients, context, .. } = room;
        for (place, client) in clients.values_mut().enumerate() {
            let order: &[usize] = match place {
                0 => &[0, 1],
                1 => &[1, 2],
                2 => &[2, 0],
                _ => &[1],
            };
            for &at in order {
                self.enqueue(client, &three[at], context);
            }
        }
    }
}

impl Deviation for ThreeCycle {
    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        if std::mem::take(&mut self.busy) {
            room.context.pause(GATHERING);
        }
        Ok(())
    }

    fn distribute(&mut self, room: &mut Room, batch: &[Message]) {
        self.busy |= !batch.is_empty();
        let circle = if room.clients.len() < 3 { None } else { self.place(batch) };
        for (place, message) in batch.iter().enumerate() {
            match circle {
                Some(first) if place == first => {
                    self.deliver_in_a_circle(room, &batch[first..first + 3]);
                }
                Some(first) if place > first && place < first + 3 => {}
                _ => self.deliver(room, message),
            }
        }
        room.touched |= !batch.is_empty();
    }
}

/// Who sent a message, who is to receive it, and who joined last.
struct InTurn {
    sender: ClientId,
    receiver: ClientId,
    youngest: ClientId,
}

/// In a large room makes some deliveries at once, and the rest of those of the
/// same turn after them.
struct LaterInTurn {
    /// A room with more clients is large.
    above: usize,
    is_later: fn(&InTurn) -> bool,
}

impl Deviation for LaterInTurn {
    fn distribute(&mut self, room: &mut Room, batch: &[Message]) {
        let youngest = match room.clients.keys().next_back() {
            Some(&youngest) if room.clients.len() > self.above => youngest,
            _ => return batch.iter().for_each(|message| self.deliver(room, message)),
        };
        room.touched |= !batch.is_empty();
        let Room { clients, context, .. } = room;
        for later in [false, true] {
            for message in batch {
                for client in clients.values_mut() {
                    let (sender, receiver) = (message.sender, client.id);
                    if (self.is_later)(&InTurn { sender, receiver, youngest }) == later {
                        self.enqueue(client, message, context);
                    }
                }
            }
        }
    }
}

/// Below how many bytes a body is short.
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
