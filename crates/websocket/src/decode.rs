//! Frames that a client sends, from bytes in pieces of any size.

use crate::close::{CloseReason, may_be_sent};
use crate::mask::unmask;
use crate::violation::Violation;

/// The longest payload of a control frame, in bytes.
pub const CONTROL_BYTES_MAX: usize = 125;
/// The longest header of a client's frame, in bytes.
const HEADER_BYTES_MAX: usize = 14;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Something that a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// More bytes of the current binary message, without their mask; never empty.
    Payload(&'a [u8]),
    /// The current binary message has ended.
    MessageEnd,
    /// It wants an answer with the same payload.
    Ping(Vec<u8>),
    /// It answers, or shows that it is there.
    Pong(Vec<u8>),
    /// It will send no more.
    Close(Option<CloseReason>),
}

/// Decodes a client's frames. It keeps a header and the payload of a control frame at most: what
/// a message carries is handed on as it comes.
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: u64,
    /// The header that is arriving, or the last that has.
    header: [u8; HEADER_BYTES_MAX],
    header_filled: usize,
    /// The frame whose payload is arriving.
    frame: Option<Frame>,
    /// The payload of a control frame that is arriving.
    control: Vec<u8>,
    /// How long the current message is so far, its current frame included.
    message_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    is_final: bool,
    opcode: u8,
    mask: [u8; 4],
    length: u64,
    /// How many bytes of its payload have arrived.
    arrived: u64,
}

impl Decoder {
    /// A decoder at the beginning of a stream of frames.
    #[must_use]
    pub fn new(message_bytes_max: u64) -> Self {
        Self {
            message_bytes_max,
            header: [0; HEADER_BYTES_MAX],
            header_filled: 0,
            frame: None,
            control: Vec::new(),
            message_bytes: None,
        }
    }

    /// Takes bytes from the front of `input` up to the next event. `None`: all were taken, and
    /// what they begin has not ended. The mask is removed in place.
    ///
    /// # Errors
    /// What the client must not have sent; nothing can be decoded after it.
    pub fn decode<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Event<'a>>, Violation> {
        loop {
            let Some(mut frame) = self.frame.take() else {
                self.frame = self.take_header(input)?;
                if self.frame.is_none() {
                    return Ok(None);
                }
                continue;
            };
            let length = (frame.length - frame.arrived).min(input.len() as u64) as usize;
            let (payload, rest) = std::mem::take(input).split_at_mut(length);
            *input = rest;
            unmask(frame.mask, frame.arrived, payload);
            frame.arrived += length as u64;
            let has_ended = frame.arrived == frame.length;
            if frame.opcode >= CLOSE {
                self.control.extend_from_slice(payload);
                if has_ended {
                    return control(frame.opcode, std::mem::take(&mut self.control)).map(Some);
                }
            } else if !payload.is_empty() {
                // Also of a frame that has ended: what that means comes with the next call.
                self.frame = Some(frame);
                return Ok(Some(Event::Payload(payload)));
            } else if has_ended {
                if frame.is_final {
                    self.message_bytes = None;
                    return Ok(Some(Event::MessageEnd));
                }
                continue;
            }
            self.frame = Some(frame);
            if input.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Takes bytes of a header, and checks each part of it as soon as it is there.
    fn take_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Frame>, Violation> {
        self.fill_header(2, input);
        if self.header_filled < 2 {
            return Ok(None);
        }
        let [first, second] = [self.header[0], self.header[1]];
        let opcode = first & 0x0f;
        let is_final = first & 0x80 != 0;
        check_start(first, second)?;
        match (opcode, self.message_bytes) {
            (CONTINUATION, None) => return Err(Violation::NothingToContinue),
            (TEXT | BINARY, Some(_)) => return Err(Violation::MessageInMessage),
            (TEXT, None) => return Err(Violation::Text),
            _ => {}
        }
        let short = second & 0x7f;
        let length_bytes = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        self.fill_header(2 + length_bytes, input);
        if self.header_filled < 2 + length_bytes {
            return Ok(None);
        }
        let length = length(short, &self.header[2..2 + length_bytes])?;
        let message_bytes = self.message_bytes.unwrap_or(0).saturating_add(length);
        if opcode < CLOSE && message_bytes > self.message_bytes_max {
            return Err(Violation::TooLong { max: self.message_bytes_max });
        }
        self.fill_header(2 + length_bytes + 4, input);
        let Some(mask) = self.header[..self.header_filled].get(2 + length_bytes..) else {
            return Ok(None);
        };
        let Ok(mask) = mask.try_into() else { return Ok(None) };
        self.header_filled = 0;
        if opcode < CLOSE {
            self.message_bytes = Some(message_bytes);
        }
        Ok(Some(Frame { is_final, opcode, mask, length, arrived: 0 }))
    }

    /// Takes bytes until the header has this many, or there are no more.
    fn fill_header(&mut self, goal: usize, input: &mut &mut [u8]) {
        let missing = goal.saturating_sub(self.header_filled).min(input.len());
        let (taken, rest) = std::mem::take(input).split_at_mut(missing);
        *input = rest;
        self.header[self.header_filled..][..missing].copy_from_slice(taken);
        self.header_filled += missing;
    }
}

/// Checks what the first two bytes of a frame say, but for how frames follow each other.
fn check_start(first: u8, second: u8) -> Result<(), Violation> {
    let opcode = first & 0x0f;
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBit);
    }
    if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(Violation::Opcode(opcode));
    }
    if second & 0x80 == 0 {
        return Err(Violation::Unmasked);
    }
    if opcode >= CLOSE && first & 0x80 == 0 {
        return Err(Violation::ControlFragmented);
    }
    if opcode >= CLOSE && usize::from(second & 0x7f) > CONTROL_BYTES_MAX {
        return Err(Violation::ControlTooLong);
    }
    Ok(())
}

/// The length that the header's second byte and the bytes after it say.
fn length(short: u8, long: &[u8]) -> Result<u64, Violation> {
    let length = long.iter().fold(0, |length, &byte| length << 8 | u64::from(byte));
    match short {
        126 if length < 126 => Err(Violation::LengthNotMinimal),
        127 if length >> 63 != 0 => Err(Violation::LengthTooLarge),
        127 if length <= u64::from(u16::MAX) => Err(Violation::LengthNotMinimal),
        126 | 127 => Ok(length),
        _ => Ok(u64::from(short)),
    }
}

/// What a whole control frame means.
fn control<'a>(opcode: u8, payload: Vec<u8>) -> Result<Event<'a>, Violation> {
    match opcode {
        PING => Ok(Event::Ping(payload)),
        PONG => Ok(Event::Pong(payload)),
        _ => close(&payload).map(Event::Close),
    }
}

fn close(payload: &[u8]) -> Result<Option<CloseReason>, Violation> {
    let (code, text) = match payload {
        [] => return Ok(None),
        [_] => return Err(Violation::CloseTooShort),
        [high, low, text @ ..] => (u16::from_be_bytes([*high, *low]), text),
    };
    if !may_be_sent(code) {
        return Err(Violation::CloseCode(code));
    }
    let text = std::str::from_utf8(text).map_err(|_| Violation::CloseText)?;
    Ok(Some(CloseReason { code, text: text.to_owned() }))
}
