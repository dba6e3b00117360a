//! The index: the first frame to begin in each block of the ring, and its message number.

use zillions_protocol::HEADER_BYTES;

use crate::offset::Offset;
use crate::sync::{AtomicU64, Ordering};

/// The granularity of the index, in bytes: a jump reads one entry, finding the
/// frame at a given byte walks at most this far. Old bytes are given up in whole
/// blocks.
///
/// No frame is longer, so that in every full block a frame begins.
pub const BLOCK_BYTES: usize = if cfg!(loom) { 256 } else { 4096 };

const NOTHING: u64 = u64::MAX;

/// One entry per block of the ring. An entry is overwritten a lap later, never
/// while its block is pinned.
pub(crate) struct Index {
    entries: Box<[Entry]>,
}

struct Entry {
    bytes: AtomicU64,
    messages: AtomicU64,
}

/// The number of the block that holds byte `byte`, counted over all laps.
pub(crate) fn block(byte: u64) -> u64 {
    byte / BLOCK_BYTES as u64
}

/// The beginning of the block that holds byte `byte`.
pub(crate) fn block_start(byte: u64) -> u64 {
    block(byte) * BLOCK_BYTES as u64
}

impl Index {
    pub(crate) fn new(ring_bytes: usize) -> Self {
        let nothing =
            || Entry { bytes: AtomicU64::new(NOTHING), messages: AtomicU64::new(NOTHING) };
        Self { entries: (0..ring_bytes / BLOCK_BYTES).map(|_| nothing()).collect() }
    }

    fn entry(&self, byte: u64) -> &Entry {
        &self.entries[block(byte) as usize & (self.entries.len() - 1)]
    }

    /// Enters the first frames of all blocks in which a frame of `frames` is the
    /// first to begin; they are appended at `start`. Returns the offset after them.
    ///
    /// Called at the sequencing point only, before the frames are published.
    pub(crate) fn extend(&self, start: Offset, frames: &[u8]) -> Offset {
        let mut offset = start;
        // The first block in which no frame has begun yet.
        let mut next = block(start.bytes) + u64::from(self.begins_at(start.bytes));
        let mut walked = 0;
        while let Some(&length) = frames.get(walked) {
            if block(offset.bytes) >= next {
                let entry = self.entry(offset.bytes);
                entry.bytes.store(offset.bytes, Ordering::Relaxed);
                entry.messages.store(offset.messages, Ordering::Relaxed);
                next = block(offset.bytes) + 1;
            }
            let frame_bytes = HEADER_BYTES + usize::from(length);
            walked += frame_bytes;
            offset.bytes += frame_bytes as u64;
            offset.messages += 1;
        }
        offset
    }

    /// Whether a frame has begun in the block of `byte`, as far as the index knows.
    fn begins_at(&self, byte: u64) -> bool {
        block(self.entry(byte).bytes.load(Ordering::Relaxed)) == block(byte)
    }

    /// The first frame that begins in the block of `byte`, unless that is
    /// `head` or later: then there is none that the caller may use.
    ///
    /// The block is pinned by the caller, and the caller has acquired `head`.
    pub(crate) fn first_in_block(&self, byte: u64, head: Offset) -> Offset {
        let entry = self.entry(byte);
        let first = entry.bytes.load(Ordering::Relaxed);
        // An entry of an earlier lap, or one that a writer is just making: the frame
        // it names is not before `head`, and its number may not be visible yet.
        if block(first) != block(byte) || first >= head.bytes {
            return head;
        }
        Offset { bytes: first, messages: entry.messages.load(Ordering::Relaxed) }
    }
}
