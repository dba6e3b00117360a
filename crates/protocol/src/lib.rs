//! The frames of the chat protocol (clauses FRAME-1 to FRAME-6 of `docs/spec.md`): one header
//! byte, the length of the body, then the body.
//!
//! This crate does no I/O, has no dependencies and runs without `std`. Every stream of bytes is a
//! legal stream of frames, so decoding cannot fail; the only error is a body that no header can
//! announce ([`TooLong`]).
//!
//! ```
//! use zillions_protocol::{Decoder, encode};
//!
//! let mut stream = Vec::new();
//! encode(b"hello", &mut stream)?;
//! encode(b"", &mut stream)?;
//!
//! let mut decoder = Decoder::new();
//! let mut messages = Vec::new();
//! for mut input in stream.chunks(2) {
//!     while let Some(body) = decoder.decode(&mut input) {
//!         messages.push(body.to_vec());
//!     }
//! }
//! assert_eq!(messages, [b"hello".to_vec(), b"".to_vec()]);
//! assert!(decoder.is_at_boundary());
//! # Ok::<(), zillions_protocol::TooLong>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod decode;
mod encode;
mod frame;

pub use decode::{Decoder, WholeFrames, whole_frames};
pub use encode::{TooLong, encode, header};
pub use frame::{BODY_BYTES_MAX, FRAME_BYTES_MAX, HEADER_BYTES};
