//! Faults of clients that do not read: SLOW.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use rustix::event::PollFlags;

use crate::client::{Client, ClientId, End, Message};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::faults::shared::held::put;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "stalled-reader-blocks-all",
        "SLOW-1",
        "blocks until a client takes what is written to it",
        || Box::new(BlocksAll),
    )
    .by_timeout(),
    Fault::always(
        "stalled-reader-delays-all",
        "SLOW-1",
        "blocks for up to 100 ms at each write to a client that takes nothing",
        || Box::new(DelaysAll),
    )
    .by_delay(),
    Fault::always(
        "waits-a-second-for-stalled",
        "SLOW-1",
        "blocks for a second before it drops a message for a full queue",
        || Box::new(WaitsForStalled),
    )
    .by_delay(),
    Fault::always(
        "thirty-two-writers",
        "SLOW-1",
        "writes to nobody while 32 clients do not read",
        || Writers::make(32),
    )
    .by_timeout(),
    Fault::always(
        "fifty-stalled-stop-everybody",
        "SLOW-1",
        "writes to nobody while 50 clients do not read",
        || Writers::make(50),
    )
    .by_timeout(),
    Fault::always(
        "blocks-at-4096-queued",
        "SLOW-1",
        "blocks on a client that has 4,096 messages queued",
        || Box::new(BlocksWhenLong),
    )
    .by_timeout(),
    Fault::always(
        "back-pressure",
        "SLOW-1",
        "reads from nobody while one client's queue is more than half full",
        || Box::new(BackPressure),
    )
    .by_timeout(),
    Fault::always(
        "full-queue-drops-for-all",
        "SLOW-1",
        "delivers nothing new to anybody while one client's queue is full",
        || Box::new(DropsForAll),
    )
    .by_timeout(),
    Fault::always(
        "full-queue-disconnects-another",
        "SLOW-1",
        "disconnects another client when a client's queue is full",
        || Box::new(OverflowDisconnects { full: None }),
    ),
    Fault::always(
    "late-witnesses-starve",
    "SLOW-1",
    "queues nothing for clients that joined after the first one stalled while 4 MiB wait for stalled clients",
    || Box::new(LateStarve::default()),
)
.by_timeout(),
    Fault::always(
        "sender-that-never-reads-blocks",
        "SLOW-2",
        "blocks on a client that does not read the echoes of its own messages",
        || Box::new(SenderBlocks),
    )
    .by_timeout(),
];

/// How long one blocking wait lasts before signals are checked.
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
    /// The clients whose writer waits for the socket.
    blocked: HashSet<ClientId>,
    /// A client was not written to for lack of a writer.
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

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.blocked.remove(&client.id);
    }

    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        if !self.all_blocked() {
            state.touched |= std::mem::take(&mut self.somebody_waits);
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

/// How long it waits before it checks the queues again.
const BACK_PRESSURE_WAIT: Duration = Duration::from_millis(2);

struct BackPressure;

impl Deviation for BackPressure {
    fn may_read(&mut self, state: &ServerState) -> bool {
        let full = state.context.knobs.queue_messages / 2;
        let pressed = state.clients.values().any(|client| client.outbound.queue.len() > full);
        if pressed {
            state.context.pause(BACK_PRESSURE_WAIT);
        }
        !pressed
    }
}

struct DropsForAll;

impl Deviation for DropsForAll {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        let full = state.context.knobs.queue_messages;
        if state.clients.values().all(|client| client.outbound.queue.len() < full) {
            correct::deliver(self, state, message);
        }
    }
}

struct OverflowDisconnects {
    /// The client whose queue was full in this turn.
    full: Option<ClientId>,
}

impl Deviation for OverflowDisconnects {
    fn overflow(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if client.outbound.blocked {
            self.full = Some(client.id);
        }
        correct::overflow(self, client, message, context);
    }

    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        if let Some(full) = self.full.take()
            && let Some(other) = state.clients.values_mut().find(|client| client.id != full)
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

/// How many bytes are queued for stalled clients when the others starve.
const QUEUED_BYTES_MAX: usize = 4 << 20;

#[derive(Default)]
struct LateStarve {
    /// How many bytes are queued for each client whose socket takes no more.
    queued_bytes: HashMap<ClientId, usize>,
    newest: ClientId,
    /// The newest client when the first one stalled.
    newest_in_time: ClientId,
    starves: bool,
}

impl Deviation for LateStarve {
    fn joined(&mut self, _state: &mut ServerState, id: ClientId) {
        self.newest = id;
    }

    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        self.starves = self.queued_bytes.values().sum::<usize>() >= QUEUED_BYTES_MAX;
        correct::deliver(self, state, message);
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if self.starves && client.id > self.newest_in_time {
            return;
        }
        let before = client.outbound.queue.len();
        correct::enqueue(self, client, message, context);
        if client.outbound.queue.len() > before
            && let Some(bytes) = self.queued_bytes.get_mut(&client.id)
        {
            *bytes += message.frame.len();
        }
    }

    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        correct::flush(client, context)?;
        if client.outbound.blocked {
            if self.queued_bytes.is_empty() {
                self.newest_in_time = self.newest;
            }
            let bytes = client.outbound.queue.iter().map(|message| message.frame.len()).sum();
            self.queued_bytes.insert(client.id, bytes);
        } else {
            self.queued_bytes.remove(&client.id);
        }
        Ok(())
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.queued_bytes.remove(&client.id);
    }
}
