//! Frames that a server sends: never masked, never fragmented.

use crate::close::CloseCode;
use crate::decode::CONTROL_BYTES_MAX;

/// The longest header of a server's frame, in bytes.
pub const HEADER_BYTES_MAX: usize = 10;

const FIN: u8 = 0x80;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

/// The header of a binary message, as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    length: u8,
}

impl MessageHeader {
    /// What is sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The header of a binary message of `length` bytes, which follow it unchanged.
#[must_use]
pub fn message_header(length: usize) -> MessageHeader {
    let mut bytes = [0; HEADER_BYTES_MAX];
    bytes[0] = FIN | BINARY;
    let length = length as u64;
    let header_bytes = if length < 126 {
        bytes[1] = length as u8;
        2
    } else if let Ok(length) = u16::try_from(length) {
        bytes[1] = 126;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        4
    } else {
        bytes[1] = 127;
        bytes[2..].copy_from_slice(&length.to_be_bytes());
        10
    };
    MessageHeader { bytes, length: header_bytes }
}

/// Appends a close frame with this code and no text.
pub fn close_frame(code: CloseCode, out: &mut Vec<u8>) {
    close_frame_with(code.number(), out);
}

/// Appends a close frame with the code of the other side.
pub(crate) fn close_frame_with(code: u16, out: &mut Vec<u8>) {
    control(CLOSE, &code.to_be_bytes(), out);
}

/// Appends a close frame without a code.
pub(crate) fn empty_close_frame(out: &mut Vec<u8>) {
    control(CLOSE, &[], out);
}

/// Appends the answer to a ping.
///
/// # Panics
/// When the payload is longer than 125 bytes, which that of no ping is.
pub fn pong_frame(payload: &[u8], out: &mut Vec<u8>) {
    control(PONG, payload, out);
}

fn control(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    assert!(payload.len() <= CONTROL_BYTES_MAX, "control frames are short");
    out.extend_from_slice(&[FIN | opcode, payload.len() as u8]);
    out.extend_from_slice(payload);
}
