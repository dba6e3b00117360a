//! Deviations of known size that measurements are calibrated with: nothing in them is random.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::client::Message;
use crate::deviation::{Deviation, correct};
use crate::server_state::ServerState;

/// How long the frozen server stops.
const FREEZE: Duration = Duration::from_millis(1_400);
/// The message at which it stops.
const FROZEN_MESSAGE: u64 = 500;
/// The delay of each message.
const LATENESS: Duration = Duration::from_millis(20);
/// One message in this many is treated differently.
const PERIOD: u64 = 100;
/// How long a message is held back if no other one comes.
const HELD_MAX: Duration = Duration::from_millis(50);

/// A deviation whose size is known exactly.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Calibration {
    /// Stops once for 1.4 seconds, at its 500th message
    Frozen,
    /// Delays every message by 20 milliseconds
    Late,
    /// Loses every 100th message
    Loses,
    /// Delivers every 100th message twice
    Repeats,
    /// Delivers every 100th message after the one that follows it
    Swaps,
    /// Delivers every 100th message to half of the clients after the one that
    /// follows it, if that is from another sender
    Disagrees,
}

impl Calibration {
    pub(crate) fn deviation(self) -> Box<dyn Deviation> {
        match self {
            Self::Frozen => Box::new(Frozen { messages: 0 }),
            Self::Late => Box::new(Late { under_way: VecDeque::new() }),
            Self::Loses => Box::new(Loses { messages: 0 }),
            Self::Repeats => Box::new(Repeats { messages: 0 }),
            Self::Swaps => Box::new(Swaps { messages: 0, held: None }),
            Self::Disagrees => Box::new(Disagrees { messages: 0, held: None }),
        }
    }
}

/// Counts one message, and tells whether it is one of those that are treated differently.
fn is_chosen(messages: &mut u64) -> bool {
    *messages += 1;
    messages.is_multiple_of(PERIOD)
}

struct Frozen {
    messages: u64,
}

impl Deviation for Frozen {
    fn sequence(&mut self, state: &mut ServerState, batch: Vec<Message>) -> Vec<Message> {
        let before = self.messages;
        self.messages += batch.len() as u64;
        if (before..self.messages).contains(&FROZEN_MESSAGE) {
            state.context.pause(FREEZE);
        }
        batch
    }
}

struct Late {
    under_way: VecDeque<(Instant, Message)>,
}

impl Deviation for Late {
    fn sequence(&mut self, _state: &mut ServerState, batch: Vec<Message>) -> Vec<Message> {
        let now = Instant::now();
        self.under_way.extend(batch.into_iter().map(|message| (now + LATENESS, message)));
        let due = self.under_way.iter().take_while(|(due, _)| *due <= now).count();
        self.under_way.drain(..due).map(|(_, message)| message).collect()
    }

    fn wait_max(&self) -> Option<Duration> {
        let (due, _) = self.under_way.front()?;
        Some(due.saturating_duration_since(Instant::now()))
    }
}

struct Loses {
    messages: u64,
}

impl Deviation for Loses {
    fn sequence(&mut self, _state: &mut ServerState, mut batch: Vec<Message>) -> Vec<Message> {
        batch.retain(|_| !is_chosen(&mut self.messages));
        batch
    }
}

struct Repeats {
    messages: u64,
}

impl Deviation for Repeats {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        if is_chosen(&mut self.messages) {
            correct::deliver(self, state, message);
        }
        correct::deliver(self, state, message);
    }
}

/// A message that waits for the next one, and since when.
type Waiting = Option<(Instant, Message)>;

/// Takes a message that no other one has followed in time.
fn take_overdue(held: &mut Waiting) -> Option<Message> {
    held.take_if(|(since, _)| since.elapsed() >= HELD_MAX).map(|(_, message)| message)
}

fn wait_for(held: &Waiting) -> Option<Duration> {
    held.as_ref().map(|(since, _)| HELD_MAX.saturating_sub(since.elapsed()))
}

struct Swaps {
    messages: u64,
    held: Waiting,
}

impl Deviation for Swaps {
    fn sequence(&mut self, _state: &mut ServerState, batch: Vec<Message>) -> Vec<Message> {
        let mut sequenced = Vec::with_capacity(batch.len() + 1);
        for message in batch {
            if is_chosen(&mut self.messages) {
                self.held = Some((Instant::now(), message));
            } else {
                sequenced.push(message);
                sequenced.extend(self.held.take().map(|(_, held)| held));
            }
        }
        sequenced.extend(take_overdue(&mut self.held));
        sequenced
    }

    fn wait_max(&self) -> Option<Duration> {
        wait_for(&self.held)
    }
}

struct Disagrees {
    messages: u64,
    held: Waiting,
}

impl Disagrees {
    /// Delivers to those clients whose number is odd, or even.
    fn deliver_to_half(&mut self, state: &mut ServerState, message: &Message, odd: bool) {
        state.touched = true;
        let ServerState { clients, context, .. } = state;
        for client in clients.values_mut().filter(|client| (client.id % 2 == 1) == odd) {
            correct::enqueue(self, client, message, context);
        }
    }
}

impl Deviation for Disagrees {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        if is_chosen(&mut self.messages) {
            self.deliver_to_half(state, message, false);
            self.held = Some((Instant::now(), message.clone()));
            return;
        }
        // Each sender's own order is kept: only the order between senders differs.
        let held = self.held.take().map(|(_, held)| held);
        let (before, after) = match held {
            Some(held) if held.sender == message.sender => (Some(held), None),
            held => (None, held),
        };
        if let Some(late) = before {
            self.deliver_to_half(state, &late, true);
        }
        correct::deliver(self, state, message);
        if let Some(late) = after {
            self.deliver_to_half(state, &late, true);
        }
    }

    fn turn(&mut self, state: &mut ServerState) -> Result<(), crate::error::Error> {
        if let Some(held) = take_overdue(&mut self.held) {
            self.deliver_to_half(state, &held, true);
        }
        Ok(())
    }

    fn wait_max(&self) -> Option<Duration> {
        wait_for(&self.held)
    }
}
