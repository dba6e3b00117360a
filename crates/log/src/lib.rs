//! One bounded log of frames, many readers.
//!
//! Every client of a chat server is sent the same bytes. So the bytes are kept
//! once, in a ring, and a client is a position in it. [`Log::append`] puts
//! whole frames at the head, in one order for all; a [`Reader`] lends slices of
//! the ring, uncopied, to whoever sends them.
//!
//! ```
//! use zillions_log::Log;
//!
//! let log = Log::new(64 * 1024, 1)?;
//! let mut reader = log.reader().expect("the first of one");
//! let joined = reader.refresh();
//! log.append(b"\x02hi\x00")?;
//! let head = reader.refresh();
//! assert_eq!(reader.bytes(joined.position, head.position), b"\x02hi\x00");
//! assert_eq!(head.message - joined.message, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds
//!
//! - A position is the number of bytes ever appended before it; it never wraps
//!   in practice (2⁶⁴ bytes at 10 GB/s are 58 years).
//! - Nothing that a reader has pinned is overwritten. A slice cannot outlive
//!   its pin: [`Reader::bytes`] borrows the reader, moving the pin takes it
//!   mutably.
//! - Only whole frames enter, so every [`Mark`] is a frame boundary, and the
//!   difference of two marks' message numbers is exactly how many messages lie
//!   between them: drop counts are exact and cost one look at an index.
//! - A reader that does not pin loses old positions instead of holding up the
//!   writers; [`Reader::pin`] then says so, and [`Reader::jump`] goes on at a
//!   later frame.
//! - The crate knows no socket, no clock and no client.
//!
//! Rooms: [`ring`](self) the memory, mapped twice so that every slice is
//! contiguous; `index` which frame begins where; `log` the sequencing point;
//! `reader` pins and slices. `docs/design/0007-broadcast-log.md` says why.

mod index;
mod log;
mod reader;
#[cfg_attr(loom, path = "ring_modelled.rs")]
mod ring;
mod sync;

pub use index::BLOCK_BYTES;
pub use log::{AppendError, Log, LogError, RING_BYTES_MIN};
pub use reader::{Overrun, Reader};

/// A frame boundary in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// How many bytes were ever appended before it.
    pub position: u64,
    /// How many messages were ever appended before it.
    pub message: u64,
}
