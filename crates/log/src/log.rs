//! The sequencing point: where frames get their place in the one order.

use std::fmt;

use zillions_protocol::whole_frames;

use crate::Mark;
use crate::index::{BLOCK_BYTES, Index, block_start};
use crate::reader::Reader;
use crate::ring::Ring;
use crate::sync::{
    Arc, AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, Padded, fence, spin_loop,
};

/// The smallest ring, in bytes: enough blocks that slack, batch and window are whole ones.
pub const RING_BYTES_MIN: usize = 4 * BLOCK_BYTES;

/// A pin that holds nothing.
pub(crate) const UNPINNED: u64 = u64::MAX;

/// Why a log cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The size cannot be mapped as a ring.
    #[error(
        "a ring of {bytes} bytes is not possible: it has to be a power of two of at least \
         {RING_BYTES_MIN} bytes (a frame takes up to 256)"
    )]
    Size {
        /// What was asked for.
        bytes: usize,
    },
    /// The system did not give the memory.
    #[error("cannot map a ring of {bytes} bytes twice: {source}")]
    Memory {
        /// What was asked for.
        bytes: usize,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why frames were not appended. Nothing of them was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A reader still uses what would be overwritten. Try again when it has
    /// moved on; [`Reader::writer_waits`] tells the reader that someone does.
    #[error("the ring is full up to what a reader has pinned")]
    Pinned,
    /// More than [`Log::append_bytes_max`] at once.
    #[error("{bytes} bytes are more than may be appended at once")]
    TooLong {
        /// What was to be appended.
        bytes: usize,
    },
    /// The bytes end in the middle of a frame.
    #[error("the frames end with {bytes} bytes of an incomplete one")]
    Incomplete {
        /// How many bytes are left over.
        bytes: usize,
    },
}

/// The log; see the [crate's description](crate).
pub struct Log {
    pub(crate) shared: Arc<Shared>,
}

/// What writers and readers share.
pub(crate) struct Shared {
    pub(crate) ring: Ring,
    pub(crate) index: Index,
    pub(crate) ring_bytes: usize,
    head: Padded<Head>,
    /// Positions below may be overwritten any time, unless they were pinned
    /// before this was raised. A multiple of the block size; only grows.
    pub(crate) window_start: Padded<AtomicU64>,
    /// The lowest position each reader uses.
    pub(crate) pins: Box<[Padded<AtomicU64>]>,
    /// Which readers are taken.
    taken: Box<[AtomicBool]>,
    /// A writer found the ring full of pinned positions.
    pub(crate) writer_waits: AtomicBool,
    sequencer: Mutex<Sequencer>,
}

/// The head's two numbers, read as one: `version` is odd while they change.
struct Head {
    version: AtomicU64,
    position: AtomicU64,
    message: AtomicU64,
}

/// What only the thread that appends may know.
struct Sequencer {
    head: Mark,
    /// Up to here may be written without another look at the pins.
    limit: u64,
}

impl Log {
    /// A log of `ring_bytes` bytes, a power of two of at least
    /// [`RING_BYTES_MIN`], for at most `readers` readers.
    ///
    /// # Errors
    /// When the size is not possible or the memory is not there.
    pub fn new(ring_bytes: usize, readers: usize) -> Result<Self, LogError> {
        if !ring_bytes.is_power_of_two() || ring_bytes < RING_BYTES_MIN {
            return Err(LogError::Size { bytes: ring_bytes });
        }
        let memory = |source| LogError::Memory { bytes: ring_bytes, source };
        let head = Head {
            version: AtomicU64::new(0),
            position: AtomicU64::new(0),
            message: AtomicU64::new(0),
        };
        let sequencer = Sequencer { head: Mark::default(), limit: ring_bytes as u64 };
        let shared = Shared {
            ring: Ring::new(ring_bytes).map_err(|error| memory(error.into()))?,
            index: Index::new(ring_bytes),
            ring_bytes,
            head: Padded(head),
            window_start: Padded(AtomicU64::new(0)),
            pins: (0..readers).map(|_| Padded(AtomicU64::new(UNPINNED))).collect(),
            taken: (0..readers).map(|_| AtomicBool::new(false)).collect(),
            writer_waits: AtomicBool::new(false),
            sequencer: Mutex::new(sequencer),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The size of the ring, in bytes.
    #[must_use]
    pub fn ring_bytes(&self) -> usize {
        self.shared.ring_bytes
    }

    /// The most that one [`append`](Self::append) takes, in bytes: a quarter of the ring.
    #[must_use]
    pub fn append_bytes_max(&self) -> usize {
        self.shared.ring_bytes / 4
    }

    /// How much of its past the log keeps whether it is pinned or not, in
    /// bytes: three quarters of the ring, counted from the end of the latest
    /// append, or of the one that a pin is just holding up.
    #[must_use]
    pub fn window_bytes(&self) -> usize {
        self.shared.window_bytes()
    }

    /// A reader that nobody else has, pinned to the head; `None` if all are taken.
    ///
    /// Dropping it gives it back.
    #[must_use]
    pub fn reader(&self) -> Option<Reader> {
        let free = |taken: &AtomicBool| !taken.swap(true, Ordering::AcqRel);
        let number = self.shared.taken.iter().position(free)?;
        Some(Reader::new(Arc::clone(&self.shared), number))
    }

    /// The end of the log: everything before it can be read.
    #[must_use]
    pub fn head(&self) -> Mark {
        self.shared.head()
    }

    /// The lowest position that a reader has pinned.
    #[must_use]
    pub fn lowest_pin(&self) -> Option<u64> {
        Some(self.shared.lowest_pin()).filter(|&pin| pin != UNPINNED)
    }

    /// Appends whole frames and returns the mark behind them.
    ///
    /// Callers on several threads are put in one order. The frames of one call
    /// stand together.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended.
    pub fn append(&self, frames: &[u8]) -> Result<Mark, AppendError> {
        if frames.len() > self.append_bytes_max() {
            return Err(AppendError::TooLong { bytes: frames.len() });
        }
        let whole = whole_frames(frames);
        if whole.bytes < frames.len() {
            return Err(AppendError::Incomplete { bytes: frames.len() - whole.bytes });
        }
        let mut sequencer = self.shared.sequencer();
        let start = sequencer.head;
        let end = start.position + frames.len() as u64;
        if end > sequencer.limit {
            sequencer.limit = self.shared.make_room(end)?;
        }
        // SAFETY: the lock makes this the only writer. `end <= limit`, so that one lap earlier
        // these bytes are below every pin and below the window's start, hence no reader has or
        // gets a slice of them (see `make_room`); one lap later nothing is written yet. They are
        // published below, with release.
        unsafe { self.shared.ring.write(start.position, frames) };
        sequencer.head = self.shared.index.extend(start, frames);
        self.shared.publish(sequencer.head);
        Ok(sequencer.head)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Log")
            .field("ring_bytes", &self.ring_bytes())
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn sequencer(&self) -> MutexGuard<'_, Sequencer> {
        // A writer that panicked had published nothing, or everything.
        self.sequencer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn window_bytes(&self) -> usize {
        self.ring_bytes - self.ring_bytes / 4
    }

    pub(crate) fn lowest_pin(&self) -> u64 {
        // Acquire: what a reader did before it moved its pin on comes before what is written now.
        let pins = self.pins.iter().map(|pin| pin.0.load(Ordering::Acquire));
        pins.min().unwrap_or(UNPINNED)
    }

    /// Makes `head` visible, and with it everything before it.
    fn publish(&self, head: Mark) {
        let Head { version, position, message } = &self.head.0;
        let before = version.load(Ordering::Relaxed);
        version.store(before + 1, Ordering::Relaxed);
        // Whoever reads one of the numbers stored next also sees the odd version (or a later one).
        fence(Ordering::Release);
        position.store(head.position, Ordering::Relaxed);
        message.store(head.message, Ordering::Relaxed);
        version.store(before + 2, Ordering::Release);
    }

    pub(crate) fn head(&self) -> Mark {
        let Head { version, position, message } = &self.head.0;
        loop {
            let before = version.load(Ordering::Acquire);
            let head = Mark {
                position: position.load(Ordering::Relaxed),
                message: message.load(Ordering::Relaxed),
            };
            // Pairs with the release fence in `publish`.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && version.load(Ordering::Relaxed) == before {
                return head;
            }
            spin_loop();
        }
    }

    /// Gives up old positions so that the ring can be written up to `end`, and
    /// returns the limit up to which it then can.
    ///
    /// Here writer and readers each store one thing and then load the other's:
    /// the writer raises the window's start and then looks at the pins, a
    /// reader sets its pin and then looks at the window's start. A sequentially
    /// consistent fence stands between the two on either side, so at least one
    /// sees the other: either the reader learns that its position is gone, or
    /// the writer sees the pin and stays below it. And whoever pins later than
    /// that, at or above the window's start, is above what the limit allows to
    /// be overwritten anyway.
    fn make_room(&self, end: u64) -> Result<u64, AppendError> {
        // A quarter more than is needed now, so that this is done a few times per lap.
        let start = block_start(end - self.window_bytes() as u64);
        if start > self.window_start.0.load(Ordering::Relaxed) {
            self.window_start.0.store(start, Ordering::Release);
        }
        fence(Ordering::SeqCst);
        let limit = |pin: u64| block_start(pin).min(start) + self.ring_bytes as u64;
        let before_waiting = limit(self.lowest_pin());
        if end <= before_waiting {
            return Ok(before_waiting);
        }
        // A reader moves its pin and then looks here; this looks at the pins again after
        // saying that it waits. So a reader that moves on is either seen, or sees.
        self.writer_waits.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        let limit = limit(self.lowest_pin());
        if end <= limit { Ok(limit) } else { Err(AppendError::Pinned) }
    }

    pub(crate) fn give_back(&self, number: usize) {
        self.pins[number].0.store(UNPINNED, Ordering::Release);
        self.taken[number].store(false, Ordering::Release);
    }
}
