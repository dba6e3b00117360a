//! Faults of memory without a bound: MEM.

use std::collections::VecDeque;
use std::time::Duration;

use crate::client::{Client, ClientId, Message, State};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::faults::shared::held::put;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "unbounded-client-queue",
        "MEM-1",
        "queues messages for a client without a bound",
        || UnboundedClientQueue::make(|_, _| true),
    ),
    Fault::always(
        "echoes-without-bound",
        "MEM-1",
        "queues a client's own messages for it without a bound",
        || UnboundedClientQueue::make(|client, message| message.sender == client.id),
    ),
    Fault::always(
        "unbounded-inbound-queue",
        "MEM-1",
        "reads messages faster than it passes them on, and queues them without a bound",
        || Box::new(UnboundedInboundQueue { waiting: VecDeque::new() }),
    ),
    Fault::always("keeps-all-messages", "MEM-1", "never frees a message", || {
        Box::new(KeepsAllMessages { kept: Vec::new() })
    }),
    Fault::always("leaks-entry-per-message", "MEM-1", "leaks 32 bytes per message", || {
        Box::new(LeaksEntries { kept: Vec::new() })
    }),
];

/// What "without a bound" means here, so that a faulty server cannot harm a machine.
const UNBOUNDED_BYTES_MAX: usize = 1 << 30;

/// Approximate maximum size of a message: frame, header, allocation.
const MESSAGE_BYTES: usize = 320;

/// Size of the entry of a message in a queue.
const ENTRY_BYTES: usize = size_of::<Message>();

struct UnboundedClientQueue {
    /// Which messages are queued without a bound.
    applies_to: fn(&Client, &Message) -> bool,
    /// Entries in all queues together, counted once per turn.
    entries: usize,
}

impl UnboundedClientQueue {
    fn make(applies_to: fn(&Client, &Message) -> bool) -> Box<dyn Deviation> {
        Box::new(Self { applies_to, entries: 0 })
    }
}

impl Deviation for UnboundedClientQueue {
    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        self.entries = state.clients.values().map(|client| client.outbound.queue.len()).sum();
        Ok(())
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        // Queues share their messages, so the longest one counts for those. A
        // growing queue has up to twice the entries that it needs.
        let messages = client.outbound.queue.len() * MESSAGE_BYTES;
        let entries = self.entries * 2 * ENTRY_BYTES;
        let has_space = messages + entries < UNBOUNDED_BYTES_MAX;
        if has_space && client.state == State::Open && (self.applies_to)(client, message) {
            client.outbound.queue.push_back(message.clone());
            self.entries += 1;
        } else {
            correct::enqueue(self, client, message, context);
        }
    }
}

/// How many messages are passed on per turn.
const PASSED_ON_PER_TURN: usize = 8;

struct UnboundedInboundQueue {
    waiting: VecDeque<Message>,
}

impl Deviation for UnboundedInboundQueue {
    fn sequence(&mut self, _state: &mut ServerState, batch: Vec<Message>) -> Vec<Message> {
        // A read is one batch or several; only the turn's own call is empty.
        if !batch.is_empty() {
            let space = UNBOUNDED_BYTES_MAX / MESSAGE_BYTES - self.waiting.len();
            self.waiting.extend(batch.into_iter().take(space));
        }
        let count = self.waiting.len().min(PASSED_ON_PER_TURN);
        self.waiting.drain(..count).collect()
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
        (!self.waiting.is_empty()).then_some(Duration::ZERO)
    }

    fn holds_back_for(&self, _id: ClientId) -> bool {
        !self.waiting.is_empty()
    }
}

struct KeepsAllMessages {
    kept: Vec<Message>,
}

impl Deviation for KeepsAllMessages {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        if self.kept.len() < UNBOUNDED_BYTES_MAX / MESSAGE_BYTES {
            self.kept.push(message.clone());
        }
        correct::deliver(self, state, message);
    }
}

/// What is kept of a message: sender, number, length, time.
type Kept = [u64; 4];

struct LeaksEntries {
    kept: Vec<Kept>,
}

impl Deviation for LeaksEntries {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        if self.kept.len() < UNBOUNDED_BYTES_MAX / size_of::<Kept>() {
            self.kept.push([message.sender, message.sequence, message.frame.len() as u64, 0]);
        }
        correct::deliver(self, state, message);
    }
}
