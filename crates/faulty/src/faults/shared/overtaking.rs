//! A deviation where one delivery overtakes another, or runs into it.
//!
//! It stands for races between threads. Instead of leaving them to chance, a
//! delivery is held back now and then until the next one to the same client,
//! or for a moment if none comes: see [`Held`].

use std::time::Duration;

use crate::chance::OneIn;
use crate::client::{Client, ClientId, Message, State};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::faults::shared::held::Held;
use crate::server_state::{Context, ServerState};

/// How long a delivery is held back at most.
const HELD_MAX: Duration = Duration::from_millis(2);

/// What is delivered in place of a delivery that was held back and the next one.
pub(crate) type Meeting = fn(held: Message, next: &Message) -> Vec<Message>;

pub(crate) struct Overtaking {
    chance: OneIn,
    held: Held,
    meeting: Meeting,
}

pub(crate) fn overtaking(one_in: u64, meeting: Meeting) -> Box<dyn Deviation> {
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

    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        self.held.release(state);
        Ok(())
    }

    fn wait_max(&self) -> Option<Duration> {
        self.held.wait_max()
    }

    fn holds_back_for(&self, id: ClientId) -> bool {
        self.held.holds_for(id)
    }
}
