//! Faults where one delivery overtakes another, or runs into it.
//!
//! They stand for races between threads. Instead of leaving them to luck, a
//! delivery is held back now and then until the next one to the same client,
//! or for a moment if none comes: see [`Held`].

use std::time::Duration;

use crate::chance::OneIn;
use crate::client::{Client, ClientId, Message, State};
use crate::correct;
use crate::deviation::Deviation;
use crate::error::Error;
use crate::fault::Fault;
use crate::held::Held;
use crate::room::{Context, Room};

pub(super) const FAULTS: &[Fault] = &[
    Fault::rarely(
        "header-body-interleaved",
        "FRAME-5",
        "two writers write headers and bodies separately, so that frames of two senders mix",
        || overtaking(100, interleaved),
    )
    .by_omission(),
    Fault::rarely(
        "task-per-delivery",
        "ORDER-2",
        "deliveries to one client race, and one of 50 comes after the next",
        || overtaking(50, swapped),
    ),
    Fault::rarely(
        "rare-adjacent-swap",
        "ORDER-2",
        "one delivery of 5000 comes after the next one to the same client",
        || overtaking(5000, swapped),
    ),
    Fault::rarely(
        "per-receiver-locks",
        "ORDER-3",
        "each sender's thread locks one receiver after the other, so that two receivers see two orders",
        || overtaking(8, swapped_between_senders),
    ),
];

/// How long a delivery is held back at most.
const HELD_MAX: Duration = Duration::from_millis(2);

/// What becomes of a delivery that was held back, and the next one.
type Meeting = fn(held: Message, next: &Message) -> Vec<Message>;

struct Overtaking {
    chance: OneIn,
    held: Held,
    meeting: Meeting,
}

fn overtaking(one_in: u64, meeting: Meeting) -> Box<dyn Deviation> {
    Box::new(Overtaking { chance: OneIn::new(one_in), held: Held::new(HELD_MAX), meeting })
}

impl Deviation for Overtaking {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if let Some(held) = self.held.take(client.id) {
            for message in (self.meeting)(held, message) {
                correct::enqueue(self, client, &message, context);
            }
        } else if client.state == State::Open && self.chance.happens() {
            self.held.hold(client.id, message.clone());
        } else {
            correct::enqueue(self, client, message, context);
        }
    }

    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        self.held.release(room);
        Ok(())
    }

    fn wait_max(&self) -> Option<Duration> {
        self.held.wait_max()
    }

    fn holds_back_for(&self, id: ClientId) -> bool {
        self.held.holds_for(id)
    }
}

fn swapped(held: Message, next: &Message) -> Vec<Message> {
    vec![next.clone(), held]
}

fn swapped_between_senders(held: Message, next: &Message) -> Vec<Message> {
    if held.sender == next.sender { vec![held, next.clone()] } else { vec![next.clone(), held] }
}

fn interleaved(held: Message, next: &Message) -> Vec<Message> {
    if held.sender == next.sender {
        return vec![held, next.clone()];
    }
    let headers = [held.frame[0], next.frame[0]];
    let bytes = [&headers[..], held.body(), next.body()].concat();
    vec![held.with_frame(&bytes)]
}
