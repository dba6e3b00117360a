//! What can go wrong, each in one line.

use crate::shared::RING_BYTES_MIN;

/// Why a log cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The size cannot be mapped as a ring.
    #[error(
        "invalid ring size of {bytes} bytes: it must be a power of two of at least \
         {RING_BYTES_MIN} bytes (a frame takes up to 256)"
    )]
    Size {
        /// The requested size.
        bytes: usize,
    },
    /// The system did not give the memory.
    #[error("cannot map a ring of {bytes} bytes twice: {source}")]
    Memory {
        /// The requested size.
        bytes: usize,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why frames were not appended. Nothing of them was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A reader still uses what would be overwritten. Retry when it has moved
    /// on; [`Reader::writer_waits`](crate::Reader::writer_waits) tells the
    /// reader that a writer is waiting.
    #[error("the ring is full up to what a reader has pinned")]
    Pinned,
    /// More than [`Log::append_bytes_max`](crate::Log::append_bytes_max) at once.
    #[error("{bytes} bytes exceed the limit of one append")]
    TooLong {
        /// What was to be appended.
        bytes: usize,
    },
    /// The bytes end in the middle of a frame.
    #[error("the last {bytes} bytes are an incomplete frame")]
    Incomplete {
        /// How many bytes are left over.
        bytes: usize,
    },
}

/// The byte has been overwritten, or may be at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {byte} has left the log")]
pub struct Overrun {
    /// What was to be pinned.
    pub byte: u64,
}
