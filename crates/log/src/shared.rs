//! What writers and readers share, and the protocol between them: the published
//! head, the pins, and giving up old bytes.

use std::io;

use crate::index::{BLOCK_BYTES, Index, block_start};
use crate::offset::Offset;
use crate::ring::Ring;
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, Padded, fence, spin_loop};

/// The smallest ring, in bytes: enough blocks that slack, batch and window are whole ones.
pub const RING_BYTES_MIN: usize = 4 * BLOCK_BYTES;

/// A pin that holds nothing.
pub(crate) const UNPINNED: u64 = u64::MAX;

/// What writers and readers share.
pub(crate) struct Shared {
    pub(crate) ring: Ring,
    pub(crate) index: Index,
    pub(crate) ring_bytes: usize,
    head: Padded<Head>,
    /// Bytes below may be overwritten at any time, unless they were pinned
    /// before this was raised. A multiple of the block size; only grows.
    pub(crate) window_start: Padded<AtomicU64>,
    /// The lowest byte each reader uses.
    pub(crate) pins: Box<[Padded<AtomicU64>]>,
    /// Which readers are taken.
    pub(crate) taken: Box<[AtomicBool]>,
    /// A writer found the ring full of pinned bytes.
    pub(crate) writer_waits: AtomicBool,
    sequencer: Mutex<Sequencer>,
}

/// The head, read as one value (a seqlock): `version` is odd while it changes.
struct Head {
    version: AtomicU64,
    bytes: AtomicU64,
    messages: AtomicU64,
}

/// What only the appending thread may access.
pub(crate) struct Sequencer {
    pub(crate) head: Offset,
    /// Up to here the ring may be written without loading the pins again.
    pub(crate) limit: u64,
}

impl Shared {
    pub(crate) fn new(ring_bytes: usize, readers: usize) -> io::Result<Self> {
        let head = Head {
            version: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            messages: AtomicU64::new(0),
        };
        let sequencer = Sequencer { head: Offset::default(), limit: ring_bytes as u64 };
        Ok(Self {
            ring: Ring::new(ring_bytes)?,
            index: Index::new(ring_bytes),
            ring_bytes,
            head: Padded(head),
            window_start: Padded(AtomicU64::new(0)),
            pins: (0..readers).map(|_| Padded(AtomicU64::new(UNPINNED))).collect(),
            taken: (0..readers).map(|_| AtomicBool::new(false)).collect(),
            writer_waits: AtomicBool::new(false),
            sequencer: Mutex::new(sequencer),
        })
    }

    pub(crate) fn sequencer(&self) -> MutexGuard<'_, Sequencer> {
        // A writer that panicked had published nothing, or everything.
        self.sequencer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn window_bytes(&self) -> usize {
        self.ring_bytes - self.ring_bytes / 4
    }

    pub(crate) fn lowest_pin(&self) -> u64 {
        // Acquire: what a reader did before it moved its pin happens before what is written now.
        let pins = self.pins.iter().map(|pin| pin.0.load(Ordering::Acquire));
        pins.min().unwrap_or(UNPINNED)
    }

    /// Makes `head` visible, and with it everything before it.
    pub(crate) fn publish(&self, head: Offset) {
        let Head { version, bytes, messages } = &self.head.0;
        let before = version.load(Ordering::Relaxed);
        version.store(before + 1, Ordering::Relaxed);
        // A reader of one of the numbers stored next also sees the odd version (or a later one).
        fence(Ordering::Release);
        bytes.store(head.bytes, Ordering::Relaxed);
        messages.store(head.messages, Ordering::Relaxed);
        version.store(before + 2, Ordering::Release);
    }

    pub(crate) fn head(&self) -> Offset {
        let Head { version, bytes, messages } = &self.head.0;
        loop {
            let before = version.load(Ordering::Acquire);
            let head = Offset {
                bytes: bytes.load(Ordering::Relaxed),
                messages: messages.load(Ordering::Relaxed),
            };
            // Pairs with the release fence in `publish`.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && version.load(Ordering::Relaxed) == before {
                return head;
            }
            spin_loop();
        }
    }

    /// Gives up old bytes so that the ring can be written up to `end`, and
    /// returns the limit up to which it then can; `None` if a pin is in the way.
    ///
    /// Here writer and readers each store one variable and then load the
    /// other's: the writer raises the window's start and then loads the pins, a
    /// reader stores its pin and then loads the window's start. A sequentially
    /// consistent fence between the two on either side guarantees that at least
    /// one sees the other: either the reader learns that its byte is gone, or
    /// the writer sees the pin and stays below it. A pin set later than that, at
    /// or above the window's start, is above what the limit allows to be
    /// overwritten anyway.
    pub(crate) fn reclaim(&self, end: u64) -> Option<u64> {
        // A quarter more than is needed now, so that this happens a few times per lap.
        let start = block_start(end - self.window_bytes() as u64);
        if start > self.window_start.0.load(Ordering::Relaxed) {
            self.window_start.0.store(start, Ordering::Release);
        }
        fence(Ordering::SeqCst);
        let limit = |pin: u64| block_start(pin).min(start) + self.ring_bytes as u64;
        let before_waiting = limit(self.lowest_pin());
        if end <= before_waiting {
            return Some(before_waiting);
        }
        // A reader moves its pin and then loads this flag; the writer stores the flag and then
        // loads the pins again. So either the writer sees the new pin, or the reader the flag.
        self.writer_waits.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        let limit = limit(self.lowest_pin());
        (end <= limit).then_some(limit)
    }

    pub(crate) fn give_back(&self, number: usize) {
        self.pins[number].0.store(UNPINNED, Ordering::Release);
        self.taken[number].store(false, Ordering::Release);
    }
}
