//! Deliveries that a fault holds back for a moment.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::client::{Client, ClientId, Message};
use crate::server_state::ServerState;

/// One delivery that was not made yet.
struct Entry {
    due: Instant,
    receiver: ClientId,
    message: Message,
}

/// Deliveries to certain receivers, each due after the same time at the latest.
///
/// A real race shows when the machine happens to schedule two threads one way
/// and not the other. Holding one delivery back until the next one, or for a
/// moment when there is none, shows the same at a known rate.
pub(crate) struct Held {
    longest: Duration,
    entries: VecDeque<Entry>,
}

impl Held {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, entries: VecDeque::new() }
    }

    pub(crate) fn hold(&mut self, receiver: ClientId, message: Message) {
        let due = Instant::now() + self.longest;
        self.entries.push_back(Entry { due, receiver, message });
    }

    /// Takes the oldest delivery to `receiver`.
    pub(crate) fn take(&mut self, receiver: ClientId) -> Option<Message> {
        let index = self.entries.iter().position(|entry| entry.receiver == receiver)?;
        self.entries.remove(index).map(|entry| entry.message)
    }

    pub(crate) fn holds_for(&self, receiver: ClientId) -> bool {
        self.entries.iter().any(|entry| entry.receiver == receiver)
    }

    /// Makes those deliveries that are due.
    pub(crate) fn release(&mut self, state: &mut ServerState) {
        let now = Instant::now();
        // All wait equally long, so the first is due first.
        let due = self.entries.iter().take_while(|entry| entry.due <= now).count();
        for entry in self.entries.drain(..due) {
            // The receiver may have left meanwhile.
            if let Some(client) = state.clients.get_mut(&entry.receiver) {
                put(client, &entry.message, state.context.knobs.queue_messages);
                state.touched = true;
            }
        }
    }

    /// How long until the next delivery is due.
    pub(crate) fn wait_max(&self) -> Option<Duration> {
        let first = self.entries.front()?;
        Some(first.due.saturating_duration_since(Instant::now()))
    }
}

/// Queues a late delivery, also for a client that closed its sending side: it
/// was sequenced before that.
pub(crate) fn put(client: &mut Client, message: &Message, queue_messages: usize) {
    if !client.is_gone() && client.outbound.queue.len() < queue_messages {
        client.outbound.queue.push_back(message.clone());
    }
}
