//! The log and its sequencing point: [`Log::append`] is where the one order is made.

use std::fmt;

use zillions_protocol::whole_frames;

use crate::error::{AppendError, LogError};
use crate::offset::Offset;
use crate::reader::Reader;
use crate::shared::{RING_BYTES_MIN, Shared, UNPINNED};
use crate::sync::{Arc, AtomicBool, Ordering};

/// The log; see the [crate's description](crate).
pub struct Log {
    shared: Arc<Shared>,
}

impl Log {
    /// A log of `ring_bytes` bytes, a power of two of at least
    /// [`RING_BYTES_MIN`], for at most `readers` readers.
    ///
    /// # Errors
    /// When the size is invalid or the memory cannot be mapped.
    pub fn new(ring_bytes: usize, readers: usize) -> Result<Self, LogError> {
        if !ring_bytes.is_power_of_two() || ring_bytes < RING_BYTES_MIN {
            return Err(LogError::Size { bytes: ring_bytes });
        }
        let shared = Shared::new(ring_bytes, readers)
            .map_err(|source| LogError::Memory { bytes: ring_bytes, source })?;
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
    /// append, or of the append that a pin is blocking.
    #[must_use]
    pub fn window_bytes(&self) -> usize {
        self.shared.window_bytes()
    }

    /// An unused reader, pinned to the head; `None` if all are taken.
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
    pub fn head(&self) -> Offset {
        self.shared.head()
    }

    /// The lowest byte that a reader has pinned.
    #[must_use]
    pub fn lowest_pin(&self) -> Option<u64> {
        Some(self.shared.lowest_pin()).filter(|&pin| pin != UNPINNED)
    }

    /// Appends whole frames and returns the offset behind them.
    ///
    /// Callers on several threads are put in one order. The frames of one call
    /// are contiguous in it.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended.
    pub fn append(&self, frames: &[u8]) -> Result<Offset, AppendError> {
        if frames.len() > self.append_bytes_max() {
            return Err(AppendError::TooLong { bytes: frames.len() });
        }
        let whole = whole_frames(frames);
        if whole.bytes < frames.len() {
            return Err(AppendError::Incomplete { bytes: frames.len() - whole.bytes });
        }
        let mut sequencer = self.shared.sequencer();
        let start = sequencer.head;
        let end = start.bytes + frames.len() as u64;
        if end > sequencer.limit {
            sequencer.limit = self.shared.reclaim(end).ok_or(AppendError::Pinned)?;
        }
        // SAFETY: the lock makes this the only writer. `end <= limit`, so that one lap earlier
        // these bytes are below every pin and below the window's start, hence no reader has or
        // gets a slice of them (see `Shared::reclaim`); one lap later nothing is written yet. They are
        // published below, with release.
        unsafe { self.shared.ring.write(start.bytes, frames) };
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
