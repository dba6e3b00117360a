//! Faults of clients that leave while others stay: FANOUT-4.

use std::collections::HashSet;
use std::ops::Bound;
use std::time::Duration;

use crate::client::{Client, ClientId, End, Message, State};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::faults::shared::held::Held;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "counts-leavers-in-mid-frame",
        "FANOUT-4",
        "closes connections beyond 2,000, and counts clients that left inside a frame for ever",
        || Box::new(CountsLeavers::default()),
    ),
    Fault::always(
        "ten-thousand-ever",
        "FANOUT-4",
        "closes every connection after the 10,000th, even if the earlier ones have left",
        || Box::new(TenThousandEver { joined: 0 }),
    ),
    Fault::always(
        "leaving-disconnects-another",
        "FANOUT-4",
        "disconnects the client that joined after a client that leaves",
        || Box::new(LeavingDisconnects),
    ),
    Fault::always(
        "leaving-skips-another",
        "FANOUT-4",
        "skips the newest client at the next message after a client leaves",
        || Box::new(LeavingSkips { skipped: None }),
    ),
    Fault::always(
        "joining-skips-another",
        "FANOUT-4",
        "skips the oldest client at the next message after a client joins",
        || Box::new(JoiningSkips { skipped: None }),
    )
    .by_timeout(),
    Fault::always(
        "leaving-together-disconnects-another",
        "FANOUT-4",
        "disconnects the newest client when three others leave at the same moment",
        || Box::new(LeavingTogether { left: 0 }),
    ),
    Fault::always(
        "client-numbers-of-one-byte",
        "FANOUT-4",
        "numbers clients with one byte, so that the 257th replaces the first",
        || Box::new(NumbersOf { bits: 8 }),
    ),
    Fault::always(
        "client-numbers-of-eleven-bits",
        "FANOUT-4",
        "numbers clients with eleven bits, so that the 2,049th replaces the first",
        || Box::new(NumbersOf { bits: 11 }),
    ),
    Fault::always(
        "leaver-hides-message-in-large-rooms",
        "FANOUT-4",
        "loses the messages of a pass of its loop for the newest of more than 64 clients if another client leaves in the same pass",
        || Box::new(LeaverHides { held: Held::new(Duration::ZERO) }),
    )
    .by_timeout(),
    Fault::always(
        "dies-when-one-leaves-with-a-queue",
        "FANOUT-4",
        "dies when a client with a queue leaves in a pass of its loop in which somebody sends",
        || Box::new(DiesAtLeave::default()),
    ),
];

/// Closes the connection of a client that has just joined.
fn turn_away(state: &mut ServerState, id: ClientId) {
    if let Some(client) = state.clients.get_mut(&id) {
        client.remove();
    }
}

/// How many clients it accepts at a time.
const CLIENTS_MAX: usize = 2_000;

#[derive(Default)]
struct CountsLeavers {
    taken: usize,
    in_mid_frame: HashSet<ClientId>,
}

impl Deviation for CountsLeavers {
    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        self.taken += 1;
        if self.taken > CLIENTS_MAX {
            turn_away(state, id);
        }
    }

    fn ended(&mut self, client: &mut Client, _end: End) -> Result<Vec<Vec<u8>>, Error> {
        if !client.inbound.is_empty() {
            self.in_mid_frame.insert(client.id);
        }
        Ok(Vec::new())
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        if !self.in_mid_frame.remove(&client.id) {
            self.taken -= 1;
        }
    }
}

/// How many connections it accepts in its lifetime.
const JOINED_MAX: usize = 10_000;

struct TenThousandEver {
    joined: usize,
}

impl Deviation for TenThousandEver {
    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        self.joined += 1;
        if self.joined > JOINED_MAX {
            turn_away(state, id);
        }
    }
}

struct LeavingDisconnects;

impl Deviation for LeavingDisconnects {
    fn left(&mut self, state: &mut ServerState, client: Client, end: End) {
        let younger = (Bound::Excluded(client.id), Bound::Unbounded);
        let next = state.clients.range_mut(younger).next();
        // One victim per client that leaves by itself, to avoid a chain reaction.
        if let Some((_, next)) = next
            && end != End::Removed
        {
            next.remove();
        }
    }
}

/// How many clients leave in one turn.
const TOGETHER: usize = 3;

struct LeavingTogether {
    left: usize,
}

impl Deviation for LeavingTogether {
    fn turn(&mut self, _state: &mut ServerState) -> Result<(), Error> {
        self.left = 0;
        Ok(())
    }

    fn left(&mut self, state: &mut ServerState, _client: Client, end: End) {
        // One victim at a time, to avoid a chain reaction.
        self.left += usize::from(end != End::Removed);
        let youngest = state.clients.values_mut().rev().find(|client| !client.is_gone());
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
    fn left(&mut self, state: &mut ServerState, _client: Client, _end: End) {
        self.skipped = state.clients.keys().next_back().copied();
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
    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        self.skipped = state.clients.keys().next().copied().filter(|oldest| *oldest != id);
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
    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        let same = |other: ClientId| other != id && (other ^ id).trailing_zeros() >= self.bits;
        if let Some(client) = state.clients.values_mut().find(|client| same(client.id)) {
            client.remove();
        }
    }
}

/// A room with more clients is larger still.
const LARGER_ROOM: usize = 64;

struct LeaverHides {
    /// What the newest client is to receive at the end of the turn.
    held: Held,
}

impl Deviation for LeaverHides {
    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        self.held.release(state);
        Ok(())
    }

    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        let is_large = state.clients.len() > LARGER_ROOM;
        let youngest = state.clients.keys().next_back().copied().filter(|_| is_large);
        state.touched = true;
        let ServerState { clients, context, .. } = state;
        for client in clients.values_mut() {
            if Some(client.id) == youngest && client.state == State::Open {
                self.held.hold(client.id, message.clone());
            } else {
                self.enqueue(client, message, context);
            }
        }
    }

    fn left(&mut self, _state: &mut ServerState, _client: Client, _end: End) {
        self.held = Held::new(Duration::ZERO);
    }

    fn wait_max(&self) -> Option<Duration> {
        self.held.wait_max()
    }

    fn holds_back_for(&self, id: ClientId) -> bool {
        self.held.holds_for(id)
    }
}

/// What happened in this turn.
#[derive(Default)]
struct DiesAtLeave {
    sequenced: bool,
    left_with_queue: bool,
}

impl Deviation for DiesAtLeave {
    fn sequence(&mut self, _state: &mut ServerState, batch: Vec<Message>) -> Vec<Message> {
        self.sequenced |= !batch.is_empty();
        batch
    }

    fn ended(&mut self, client: &mut Client, _end: End) -> Result<Vec<Vec<u8>>, Error> {
        self.left_with_queue |= !client.outbound.queue.is_empty();
        Ok(Vec::new())
    }

    fn turn(&mut self, _state: &mut ServerState) -> Result<(), Error> {
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
