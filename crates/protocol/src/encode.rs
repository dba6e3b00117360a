//! Encoding: from bodies to frames.

use core::{error::Error, fmt};

use alloc::vec::Vec;

use crate::frame::{BODY_BYTES_MAX, HEADER_BYTES};

/// A body that does not fit a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The length of the body that was refused.
    pub bytes: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message of {} bytes is longer than {BODY_BYTES_MAX} bytes", self.bytes)
    }
}

impl Error for TooLong {}

/// The header of the frame that carries `body`.
///
/// For callers that write header and body separately, for example with a vectored write.
///
/// # Errors
///
/// [`TooLong`] if `body` is longer than [`BODY_BYTES_MAX`].
#[inline]
pub fn header(body: &[u8]) -> Result<[u8; HEADER_BYTES], TooLong> {
    match u8::try_from(body.len()) {
        Ok(length) => Ok([length]),
        Err(_) => Err(TooLong { bytes: body.len() }),
    }
}

/// Appends the frame that carries `body` to `out`.
///
/// # Errors
///
/// [`TooLong`] if `body` is longer than [`BODY_BYTES_MAX`]; `out` is unchanged then.
#[inline]
pub fn encode(body: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
    let header = header(body)?;
    out.reserve(HEADER_BYTES + body.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
    Ok(())
}
