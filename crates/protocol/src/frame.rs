//! The sizes of a frame.

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 1;

/// The longest body a frame can carry, in bytes.
pub const BODY_BYTES_MAX: usize = u8::MAX as usize;

/// The longest frame, header included, in bytes.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + BODY_BYTES_MAX;
