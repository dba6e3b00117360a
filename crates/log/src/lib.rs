//! One bounded log of frames, many readers.
//!
//! Every client of a chat server is sent the same bytes. So the bytes are kept
//! once, in a ring, and a client is an offset in it. [`Log::append`] puts
//! whole frames at the head, in one order for all; a [`Reader`] lends slices of
//! the ring, uncopied, to the code that sends them.
//!
//! ```
//! use zillions_log::Log;
//!
//! let log = Log::new(64 * 1024, 1)?;
//! let mut reader = log.reader().expect("the first of one");
//! let joined = reader.refresh();
//! log.append(b"\x02hi\x00")?;
//! let head = reader.refresh();
//! assert_eq!(reader.bytes(joined.bytes, head.bytes), b"\x02hi\x00");
//! assert_eq!(head.messages - joined.messages, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - An [`Offset`] is a frame boundary: the number of bytes, and of messages,
//!   ever appended before it. It never wraps in practice (2⁶⁴ bytes at 10 GB/s
//!   are 58 years).
//! - Nothing that a reader has pinned is overwritten. A slice cannot outlive
//!   its pin: [`Reader::bytes`] borrows the reader, moving the pin takes it
//!   mutably.
//! - Only whole frames enter, so the difference of two offsets' `messages` is
//!   exactly how many messages lie between them: drop counts are exact and cost
//!   one index lookup.
//! - A reader that does not pin loses old bytes instead of blocking the
//!   writers; [`Reader::pin`] then says so, and [`Reader::jump`] continues at a
//!   later frame.
//! - The crate knows no socket, no clock and no client.
//!
//! Modules: `offset`; [`ring`](self) the memory, mapped twice so that every
//! slice is contiguous; `index` which frame begins where; `shared` the protocol
//! of head and pins; `log` the sequencing point; `reader` pins and slices;
//! `error`. `docs/design/0007-broadcast-log.md` says why.

mod error;
mod index;
mod log;
mod offset;
mod reader;
#[cfg_attr(loom, path = "ring_modelled.rs")]
mod ring;
mod shared;
mod sync;

pub use error::{AppendError, LogError, Overrun};
pub use index::BLOCK_BYTES;
pub use log::Log;
pub use offset::Offset;
pub use reader::Reader;
pub use shared::RING_BYTES_MIN;
