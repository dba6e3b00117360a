//! Faults of receivers that see different orders: ORDER-3.

use std::time::Duration;

use crate::chance::OneIn;
use crate::client::{ClientId, Message};
use crate::deviation::Deviation;
use crate::error::Error;
use crate::fault::Fault;
use crate::faults::shared::late::Late;
use crate::faults::shared::overtaking::overtaking;
use crate::server::UNDER_WAY_MAX;
use crate::server_state::ServerState;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::rarely(
        "per-receiver-locks",
        "ORDER-3",
        "locks one receiver at a time in the thread of each sender, so that two receivers see two orders",
        || overtaking(8, swapped_between_senders),
    ),
    Fault::always(
        "per-core-sequencers",
        "ORDER-3",
        "splits clients between two sequencers, each of which merges the messages of the other late",
        || Late::make(|late| late.is_other_half()),
    ),
    Fault::always(
        "two-sequencers-in-large-rooms",
        "ORDER-3",
        "splits clients between two sequencers once there are 32",
        || Late::make(|late| late.clients >= LARGE_ROOM && late.is_other_half()),
    ),
    Fault::always(
        "two-sequencers-beyond-64",
        "ORDER-3",
        "splits clients between two sequencers once there are more than 64",
        || Late::make(|late| late.clients > LARGER_ROOM && late.is_other_half()),
    ),
    Fault::always(
        "two-sequencers-after-a-leave",
        "ORDER-3",
        "splits clients between two sequencers once one has left",
        || Late::make(|late| late.someone_left && late.is_other_half()),
    ),
    Fault::always(
        "self-echo-before-sequencing",
        "ORDER-3",
        "delivers a message to its sender at once, and to the others once it is sequenced",
        || Late::make(|late| late.sender != late.receiver),
    ),
    Fault::rarely(
        "three-cycle",
        "ORDER-3",
        "loses a message each for three clients under load, so that their orders form a cycle although no two disagree",
        || Box::new(ThreeCycle { chance: OneIn::new(10), busy: false }),
    ),
    Fault::always(
        "halves-in-large-rooms",
        "ORDER-3",
        "splits more than 256 clients into halves, each of which receives the messages of the other at the end of a pass of its loop",
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
        "delivers to the newest of more than 16 clients its own messages before others of the same pass of its loop",
        || {
            let is_later =
                |turn: &InTurn| turn.receiver == turn.youngest && turn.sender != turn.receiver;
            Box::new(LaterInTurn { above: 16, is_later })
        },
    ),
];

fn swapped_between_senders(held: Message, next: &Message) -> Vec<Message> {
    if held.sender == next.sender { vec![held, next.clone()] } else { vec![next.clone(), held] }
}

/// A room with more clients than this is large, or larger still.
const LARGE_ROOM: usize = 32;
const LARGER_ROOM: usize = 64;

/// How long a busy server gathers messages, so that batches come about.
const GATHERING: Duration = Duration::from_millis(1);

struct ThreeCycle {
    chance: OneIn,
    busy: bool,
}

impl ThreeCycle {
    /// The index of three consecutive messages of three senders in a batch that is long
    /// enough to drop from, now and then.
    fn find_three(&mut self, batch: &[Message]) -> Option<usize> {
        let index = batch.windows(3).position(|three| {
            let [a, b, c] = [0, 1, 2].map(|at: usize| three[at].sender);
            a != b && b != c && c != a
        });
        index.filter(|_| batch.len() > UNDER_WAY_MAX && self.chance.happens())
    }

    /// The first client receives A and B, the second B and C, the third C and
    /// A. All others receive B only, which contradicts nobody.
    fn deliver_in_a_circle(&mut self, state: &mut ServerState, three: &[Message]) {
        let ServerState { clients, context, .. } = state;
        for (index, client) in clients.values_mut().enumerate() {
            let order: &[usize] = match index {
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
    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        if std::mem::take(&mut self.busy) {
            state.context.pause(GATHERING);
        }
        Ok(())
    }

    fn distribute(&mut self, state: &mut ServerState, batch: &[Message]) {
        self.busy |= !batch.is_empty();
        let circle = if state.clients.len() < 3 { None } else { self.find_three(batch) };
        for (index, message) in batch.iter().enumerate() {
            match circle {
                Some(first) if index == first => {
                    self.deliver_in_a_circle(state, &batch[first..first + 3]);
                }
                Some(first) if index > first && index < first + 3 => {}
                _ => self.deliver(state, message),
            }
        }
        state.touched |= !batch.is_empty();
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
    fn distribute(&mut self, state: &mut ServerState, batch: &[Message]) {
        let youngest = match state.clients.keys().next_back() {
            Some(&youngest) if state.clients.len() > self.above => youngest,
            _ => return batch.iter().for_each(|message| self.deliver(state, message)),
        };
        state.touched |= !batch.is_empty();
        let ServerState { clients, context, .. } = state;
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
