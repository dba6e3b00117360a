//! Which frame is the first to begin in each block of the ring, and its number.

use zillions_protocol::HEADER_BYTES;

use crate::Mark;
use crate::sync::{AtomicU64, Ordering};

/// The grain of the index, in bytes: a skip looks at one entry, finding the
/// frame at a given byte walks at most this far. Positions that were given up
/// are given up by whole blocks.
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
    position: AtomicU64,
    message: AtomicU64,
}

/// The number of the block that holds the byte at `position`, counted over all laps.
pub(crate) fn block(position: u64) -> u64 {
    position / BLOCK_BYTES as u64
}

/// The beginning of the block that holds the byte at `position`.
pub(crate) fn block_start(position: u64) -> u64 {
    block(position) * BLOCK_BYTES as u64
}

impl Index {
    pub(crate) fn new(ring_bytes: usize) -> Self {
        let nothing =
            || Entry { position: AtomicU64::new(NOTHING), message: AtomicU64::new(NOTHING) };
        Self { entries: (0..ring_bytes / BLOCK_BYTES).map(|_| nothing()).collect() }
    }

    fn entry(&self, position: u64) -> &Entry {
        &self.entries[block(position) as usize & (self.entries.len() - 1)]
    }

    /// Notes the first frames of all blocks in which a frame of `frames` is the
    /// first to begin; they go to `start`. Returns the mark behind them.
    ///
    /// Called at the sequencing point only, before the frames are published.
    pub(crate) fn extend(&self, start: Mark, frames: &[u8]) -> Mark {
        let mut mark = start;
        // The first block in which no frame has begun yet.
        let mut next = block(start.position) + u64::from(self.begins_at(start.position));
        let mut offset = 0;
        while let Some(&length) = frames.get(offset) {
            if block(mark.position) >= next {
                let entry = self.entry(mark.position);
                entry.position.store(mark.position, Ordering::Relaxed);
                entry.message.store(mark.message, Ordering::Relaxed);
                next = block(mark.position) + 1;
            }
            let frame_bytes = HEADER_BYTES + usize::from(length);
            offset += frame_bytes;
            mark.position += frame_bytes as u64;
            mark.message += 1;
        }
        mark
    }

    /// Whether a frame has begun in the block of `position`, as far as the index knows.
    fn begins_at(&self, position: u64) -> bool {
        block(self.entry(position).position.load(Ordering::Relaxed)) == block(position)
    }

    /// The first frame that begins in the block of `position`, unless that is
    /// `head` or later: then there is none that the caller may know of.
    ///
    /// The block is pinned by the caller, and the caller has acquired `head`.
    pub(crate) fn first_in_block(&self, position: u64, head: Mark) -> Mark {
        let entry = self.entry(position);
        let first = entry.position.load(Ordering::Relaxed);
        // An entry of an earlier lap, or one that a writer is just making: the frame
        // it names is not before `head`, and its number may not have arrived.
        if block(first) != block(position) || first >= head.position {
            return head;
        }
        Mark { position: first, message: entry.message.load(Ordering::Relaxed) }
    }
}
