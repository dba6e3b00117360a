//! Faults of what is received: ORDER-1.

use std::collections::HashMap;
use std::io;

use crate::chance::OneIn;
use crate::client::{Client, ClientId, End, Message};
use crate::deviation::{Deviation, correct};
use crate::fault::Fault;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::rarely(
        "rare-corruption",
        "ORDER-1",
        "flips one bit of the body in one delivery of 5000",
        || Box::new(RareCorruption { chance: OneIn::new(5000) }),
    ),
    Fault::rarely("rare-duplicate", "ORDER-1", "makes one delivery of 5000 twice", || {
        Box::new(RareDuplicate { chance: OneIn::new(5000) })
    }),
    Fault::always(
        "duplicate-after-drop",
        "ORDER-1",
        "repeats the last message before the gap to a client that missed messages and has caught up",
        || Box::new(DuplicateAfterDrop::default()),
    ),
    Fault::always(
        "repeats-after-would-block",
        "ORDER-1",
        "queues the last message that a socket took again when the socket takes no more",
        || Box::new(RepeatsAfterWouldBlock),
    ),
    Fault::always(
        "cached-by-length-and-ends",
        "ORDER-1",
        "delivers an earlier body that has the same length, first byte and last byte",
        || Box::new(Cached { frames: HashMap::new() }),
    ),
    Fault::always(
        "ring-wraps-inside-a-frame",
        "ORDER-1",
        "replaces the rest of a body that crosses the end of its 2 MiB ring with zeros",
        || Box::new(RingWraps { written: 0 }),
    ),
    Fault::always(
        "ring-overrun",
        "ORDER-1",
        "keeps messages in an 8 MiB ring, and sends a slow client what has overwritten its own",
        // Not zeros: the memory is there from the beginning and does not grow.
        || Box::new(RingOverrun { ring: vec![1; LARGE_RING_BYTES], written: 0 }),
    ),
    Fault::always(
        "buffer-reused-before-sent",
        "ORDER-1",
        "keeps bodies in 512 slots, and sends a client that lags further the newer bytes in them",
        || Box::new(BufferReused { slots: Vec::new() }),
    ),
];

struct RareCorruption {
    chance: OneIn,
}

impl Deviation for RareCorruption {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        // Counted over messages that have something to corrupt.
        if !message.body().is_empty() && self.chance.happens() {
            let mut frame = message.frame.to_vec();
            let index = 1 + self.chance.pick(message.body().len());
            frame[index] ^= 1 << self.chance.pick(8);
            correct::enqueue(self, client, &message.with_frame(&frame), context);
        } else {
            correct::enqueue(self, client, message, context);
        }
    }
}

struct RareDuplicate {
    chance: OneIn,
}

impl Deviation for RareDuplicate {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if self.chance.happens() {
            correct::enqueue(self, client, message, context);
        }
        correct::enqueue(self, client, message, context);
    }
}

#[derive(Default)]
struct DuplicateAfterDrop {
    /// The last message before the gap, by receiver.
    before_gap: HashMap<ClientId, Message>,
}

impl Deviation for DuplicateAfterDrop {
    fn overflow(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if let Some(last) = client.outbound.queue.back() {
            self.before_gap.insert(client.id, last.clone());
        }
        correct::overflow(self, client, message, context);
    }

    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        correct::flush(client, context)?;
        if client.outbound.queue.is_empty()
            && let Some(message) = self.before_gap.remove(&client.id)
        {
            client.outbound.queue.push_back(message);
            correct::flush(client, context)?;
        }
        Ok(())
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.before_gap.remove(&client.id);
    }
}

struct RepeatsAfterWouldBlock;

impl Deviation for RepeatsAfterWouldBlock {
    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        let before = client.outbound.queue.clone();
        correct::flush(client, context)?;
        let outbound = &mut client.outbound;
        let finished = before.len() - outbound.queue.len();
        if outbound.blocked
            && let Some(last) = finished.checked_sub(1).and_then(|last| before.get(last))
        {
            outbound.queue.insert(usize::from(outbound.written > 0), last.clone());
        }
        Ok(())
    }
}

/// What the cache takes for a whole body.
type Key = (usize, Option<u8>, Option<u8>);

struct Cached {
    /// There are no more keys than lengths times pairs of bytes: 16 million
    /// small entries at worst, for a load that no check makes.
    frames: HashMap<Key, Message>,
}

impl Deviation for Cached {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        let body = message.body();
        let key = (body.len(), body.first().copied(), body.last().copied());
        let frame = self.frames.entry(key).or_insert_with(|| message.clone()).frame.clone();
        correct::deliver(self, state, &message.with_frame(&frame));
    }
}

/// The ring that all frames are written to before they go out.
const RING_BYTES: usize = 2 << 20;

struct RingWraps {
    /// Bytes written to the ring so far.
    written: usize,
}

impl Deviation for RingWraps {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        let mut frame = message.frame.to_vec();
        let space = RING_BYTES - self.written % RING_BYTES;
        self.written += frame.len();
        // The header is always intact.
        frame.iter_mut().skip(space.max(1)).for_each(|byte| *byte = 0);
        correct::deliver(self, state, &message.with_frame(&frame));
    }
}

/// The ring that all frames are written to and sent from.
const LARGE_RING_BYTES: usize = 8 << 20;

struct RingOverrun {
    ring: Vec<u8>,
    /// Bytes written to the ring so far.
    written: usize,
}

impl RingOverrun {
    /// `message`, which is numbered by its offset in the ring, as it reads now.
    fn reread(&self, message: &Message) -> Message {
        let mut frame = message.frame.to_vec();
        // Its receiver still knows the length.
        for (index, byte) in (message.sequence as usize..).zip(&mut frame).skip(1) {
            *byte = self.ring[index % LARGE_RING_BYTES];
        }
        message.with_frame(&frame)
    }
}

impl Deviation for RingOverrun {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        let message = Message { sequence: self.written as u64, ..message.clone() };
        for byte in &*message.frame {
            self.ring[self.written % LARGE_RING_BYTES] = *byte;
            self.written += 1;
        }
        correct::deliver(self, state, &message);
    }

    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        let oldest = self.written.saturating_sub(LARGE_RING_BYTES) as u64;
        for message in client.outbound.queue.iter_mut().take_while(|m| m.sequence < oldest) {
            *message = self.reread(message);
        }
        correct::flush(client, context)
    }
}

/// The number of slots: more than one batch, so that only a client that lags reads a slot
/// that was overwritten.
const SLOTS: usize = 512;

struct BufferReused {
    /// The latest messages, each at its sequence number modulo [`SLOTS`].
    slots: Vec<Message>,
}

impl BufferReused {
    /// `message` as it reads now.
    fn reread(&self, message: &Message) -> Option<Message> {
        let now = self.slots.get(message.sequence as usize % SLOTS)?;
        if now.sequence == message.sequence {
            return None;
        }
        let mut frame = message.frame.to_vec();
        for (byte, newer) in frame.iter_mut().zip(&now.frame[..]).skip(1) {
            *byte = *newer;
        }
        Some(message.with_frame(&frame))
    }
}

impl Deviation for BufferReused {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        let index = message.sequence as usize % SLOTS;
        if index < self.slots.len() {
            self.slots[index] = message.clone();
        } else {
            self.slots.push(message.clone());
        }
        correct::deliver(self, state, message);
    }

    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        let begun = usize::from(client.outbound.written > 0);
        for message in client.outbound.queue.iter_mut().skip(begun) {
            if let Some(reread) = self.reread(message) {
                *message = reread;
            }
        }
        correct::flush(client, context)
    }
}
