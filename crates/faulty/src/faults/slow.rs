//! Faults of slow readers and of memory: SLOW and MEM.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::time::Duration;

use rustix::event::PollFlags;

use crate::client::{Client, ClientId, End, Message, State};
use crate::correct;
use crate::deviation::Deviation;
use crate::error::Error;
use crate::fault::Fault;
use crate::held::put;
use crate::room::{Context, Room};

pub(super) const FAULTS: &[Fault] = &[
    Fault::always(
        "stalled-reader-blocks-all",
        "SLOW-1",
        "it waits until a client takes what is written to it before it does anything else",
        || Box::new(BlocksAll),
    )
    .by_omission(),
    Fault::always(
        "stalled-reader-delays-all",
        "SLOW-1",
        "it waits up to 100 milliseconds for a client that takes nothing, each time",
        || Box::new(DelaysAll),
    )
    .by_delay(),
    Fault::always(
        "waits-a-second-for-stalled",
        "SLOW-1",
        "before a message that a full queue has no place for is dropped, it waits for a second",
        || Box::new(WaitsForStalled),
    )
    .by_delay(),
    Fault::always(
        "thirty-two-writers",
        "SLOW-1",
        "while 32 clients do not read it writes to nobody",
        || Writers::make(32),
    )
    .by_omission(),
    Fault::always(
        "fifty-stalled-stop-everybody",
        "SLOW-1",
        "while 50 clients do not read it writes to nobody",
        || Writers::make(50),
    )
    .by_omission(),
    Fault::always(
        "blocks-at-4096-queued",
        "SLOW-1",
        "it waits for a client that has 4,096 messages queued before it does anything else",
        || Box::new(BlocksWhenLong),
    )
    .by_omission(),
    Fault::always(
        "back-pressure",
        "SLOW-1",
        "it reads from nobody while one client's queue is more than half full",
        || Box::new(BackPressure),
    )
    .by_omission(),
    Fault::always(
        "full-queue-drops-for-all",
        "SLOW-1",
        "while one client's queue is full nobody receives anything new",
        || Box::new(DropsForAll),
    )
    .by_omission(),
    Fault::always(
        "full-queue-disconnects-another",
        "SLOW-1",
        "when a client's queue is full, another client is disconnected",
        || Box::new(OverflowDisconnects { full: None }),
    ),
    Fault::always(
        "sender-that-never-reads-blocks",
        "SLOW-2",
        "it waits for a client that does not read the echoes of its own messages",
        || Box::new(SenderBlocks),
    )
    .by_omission(),
    Fault::always("unbounded-client-queue", "MEM-1", "a client's queue has no bound", || {
        UnboundedClientQueue::make(|_, _| true)
    }),
    Fault::always(
        "echoes-without-bound",
        "MEM-1",
        "a client's queue has no bound for its own messages",
        || UnboundedClientQueue::make(|client, message| message.sender == client.id),
    ),
    Fault::always(
        "unbounded-inbound-queue",
        "MEM-1",
        "messages are read faster than they are passed on, and wait in a queue without a bound",
        || Box::new(UnboundedInboundQueue { waiting: VecDeque::new() }),
    ),
    Fault::always("keeps-all-messages", "MEM-1", "it never forgets a message", || {
        Box::new(KeepsAllMessages { kept: Vec::new() })
    }),
    Fault::always(
        "leaks-entry-per-message",
        "MEM-1",
        "it keeps 32 bytes of each message for good",
        || Box::new(LeaksEntries { kept: Vec::new() }),
    ),
];

/// How long one blocking wait lasts before the signals are looked at anyway.
const BLOCKING_WAIT: Duration = Duration::from_secs(1);

struct BlocksAll;

impl Deviation for BlocksAll {
    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        correct::flush(client, context)?;
        while client.outbound.blocked && !context.stop_requested() {
            context.block_until(&client.stream, PollFlags::OUT, BLOCKING_WAIT);
            correct::flush(client, context)?;
        }
        Ok(())
    }
}

/// The deadline of one write.
const WRITE_WAIT: Duration = Duration::from_millis(100);

struct DelaysAll;

impl Deviation for DelaysAll {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if client.outbound.blocked {
            context.block_until(&client.stream, PollFlags::OUT, WRITE_WAIT);
        }
        correct::enqueue(self, client, message, context);
    }
}

struct WaitsForStalled;

impl Deviation for WaitsForStalled {
    fn overflow(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if client.outbound.blocked {
            context.block_until(&client.stream, PollFlags::OUT, BLOCKING_WAIT);
        }
        correct::overflow(self, client, message, context);
    }
}

struct Writers {
    /// How many clients it can write to at the same time.
    writers: usize,
    /// Whose writer waits for the socket.
    blocked: HashSet<ClientId>,
    /// Somebody was not written to as there was no writer.
    somebody_waits: bool,
}

impl Writers {
    fn make(writers: usize) -> Box<dyn Deviation> {
        Box::new(Self { writers, blocked: HashSet::new(), somebody_waits: false })
    }

    fn all_blocked(&self) -> bool {
        self.blocked.len() >= self.writers
    }
}

impl Deviation for Writers {
    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        if self.all_blocked() && !self.blocked.contains(&client.id) {
            self.somebody_waits = true;
            return Ok(());
        }
        correct::flush(client, context)?;
        if client.outbound.blocked {
            self.blocked.insert(client.id);
        } else {
            self.blocked.remove(&client.id);
        }
        Ok(())
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.blocked.remove(&client.id);
    }

    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        if !self.all_blocked() {
            room.touched |= std::mem::take(&mut self.somebody_waits);
        }
        Ok(())
    }

    fn wait_max(&self) -> Option<Duration> {
        (self.somebody_waits && !self.all_blocked()).then_some(Duration::ZERO)
    }
}

/// How many messages it holds before it waits.
const LONG_QUEUE: usize = 4_096;

struct BlocksWhenLong;

impl Deviation for BlocksWhenLong {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        while client.outbound.queue.len() >= LONG_QUEUE && !context.stop_requested() {
            context.block_until(&client.stream, PollFlags::OUT, BLOCKING_WAIT);
            if correct::flush(client, context).is_err() {
                return;
            }
        }
        put(client, message, LONG_QUEUE);
    }
}

/// How long it waits before it looks at the queues again.
const BACK_PRESSURE_WAIT: Duration = Duration::from_millis(2);

struct BackPressure;

impl Deviation for BackPressure {
    fn may_read(&mut self, room: &Room) -> bool {
        let full = room.context.knobs.queue_messages / 2;
        let pressed = room.clients.values().any(|client| client.outbound.queue.len() > full);
        if pressed {
            room.context.pause(BACK_PRESSURE_WAIT);
        }
        !pressed
    }
}

struct DropsForAll;

impl Deviation for DropsForAll {
    fn deliver(&mut self, room: &mut Room, message: &Message) {
        let full = room.context.knobs.queue_messages;
        if room.clients.values().all(|client| client.outbound.queue.len() < full) {
            correct::deliver(self, room, message);
        }
    }
}

struct OverflowDisconnects {
    /// Whose queue was full in this turn.
    full: Option<ClientId>,
}

impl Deviation for OverflowDisconnects {
    fn overflow(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if client.outbound.blocked {
            self.full = Some(client.id);
        }
        correct::overflow(self, client, message, context);
    }

    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        if let Some(full) = self.full.take()
            && let Some(other) = room.clients.values_mut().find(|client| client.id != full)
        {
            other.remove();
        }
        Ok(())
    }
}

struct SenderBlocks;

impl Deviation for SenderBlocks {
    fn overflow(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if message.sender != client.id {
            return correct::overflow(self, client, message, context);
        }
        while client.outbound.queue.len() >= context.knobs.queue_messages
            && !context.stop_requested()
        {
            context.block_until(&client.stream, PollFlags::OUT, BLOCKING_WAIT);
            if correct::flush(client, context).is_err() {
                return;
            }
        }
        client.outbound.queue.push_back(message.clone());
    }
}

/// What "no bound" means here, so that a faulty server endangers no machine.
const UNBOUNDED_BYTES_MAX: usize = 1 << 30;

/// What one message takes, at most and about: frame, header, allocation.
const MESSAGE_BYTES: usize = 320;

/// What a queue's place for a message takes.
const ENTRY_BYTES: usize = size_of::<Message>();

struct UnboundedClientQueue {
    /// Which messages are queued without a bound.
    applies_to: fn(&Client, &Message) -> bool,
    /// Places in all queues together, counted once a turn.
    entries: usize,
}

impl UnboundedClientQueue {
    fn make(applies_to: fn(&Client, &Message) -> bool) -> Box<dyn Deviation> {
        Box::new(Self { applies_to, entries: 0 })
    }
}

impl Deviation for UnboundedClientQueue {
    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        self.entries = room.clients.values().map(|client| client.outbound.queue.len()).sum();
        Ok(())
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        // Queues share their messages, so the longest one counts for those. A
        // growing queue has up to twice the places that it needs.
        let messages = client.outbound.queue.len() * MESSAGE_BYTES;
        let places = self.entries * 2 * ENTRY_BYTES;
        let has_space = messages + places < UNBOUNDED_BYTES_MAX;
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
    fn sequence(&mut self, _room: &mut Room, batch: Vec<Message>) -> Vec<Message> {
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
            // What waited for it when it closed its sending side is still its.
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
    fn deliver(&mut self, room: &mut Room, message: &Message) {
        if self.kept.len() < UNBOUNDED_BYTES_MAX / MESSAGE_BYTES {
            self.kept.push(message.clone());
        }
        correct::deliver(self, room, message);
    }
}

/// What is kept of a message: who, which, how long, when.
type Kept = [u64; 4];

struct LeaksEntries {
    kept: Vec<Kept>,
}

impl Deviation for LeaksEntries {
    fn deliver(&mut self, room: &mut Room, message: &Message) {
        if self.kept.len() < UNBOUNDED_BYTES_MAX / size_of::<Kept>() {
            self.kept.push([message.sender, message.sequence, message.frame.len() as u64, 0]);
        }
        correct::deliver(self, room, message);
    }
}
