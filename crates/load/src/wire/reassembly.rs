//! Decoding protocols whose units begin with text, from a stream that is cut anywhere.

use std::marker::PhantomData;

use super::inbound::{Decode, Inbound};

/// The longest unit that is put together: the longest greetings are a few kilobytes.
pub(super) const UNIT_BYTES_MAX: usize = 16 * 1024;

/// The bytes around the bodies of a protocol whose messages have a text around them.
///
/// A message is an opening, the length of its body in decimal, `\r\n`, the body and `\r\n`.
#[derive(Debug)]
pub(super) struct TextFormat {
    /// What a client that only receives says first.
    pub(super) hello: &'static [u8],
    /// What a client that also sends says first.
    pub(super) hello_of_sender: &'static [u8],
    /// How a message to the server begins.
    pub(super) send_opening: &'static [u8],
    /// How a message from the server begins.
    pub(super) receive_opening: &'static [u8],
}

impl TextFormat {
    /// Bytes of a message that begins with `opening` and has a body of `body_bytes` bytes.
    pub(super) fn bytes(&self, opening: &[u8], body_bytes: usize) -> usize {
        const LINE_END_BYTES: usize = 2;
        opening.len() + decimals(body_bytes) + LINE_END_BYTES + body_bytes + LINE_END_BYTES
    }
}

/// Digits of `number`.
pub(super) fn decimals(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// A protocol: how one unit of it looks.
pub(crate) trait TextProtocol: Clone + Default {
    /// Looks at the unit that begins at the beginning of `input`, which is not empty.
    fn parse(input: &[u8]) -> Parsed<'_>;
}

/// What some bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// A unit of so many bytes.
    Unit(usize, Inbound<'a>),
    /// The beginning of a unit that has at least so many bytes.
    Bytes(usize),
    /// The beginning of a unit that goes on at least to the next end of a line.
    Line,
}

/// A decoder that lends what is whole from the piece at hand, and copies only what the end of a
/// piece cuts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reassembler<P> {
    partial: Vec<u8>,
    /// `partial` is a whole unit that was lent.
    is_spent: bool,
    protocol: PhantomData<P>,
}

impl<P: TextProtocol> Decode for Reassembler<P> {
    #[inline]
    fn decode<'lent, 'input: 'lent>(
        &'lent mut self,
        input: &mut &'input [u8],
    ) -> Option<Inbound<'lent>> {
        if !self.partial.is_empty() {
            return self.decode_cut(input);
        }
        if input.is_empty() {
            return None;
        }
        match P::parse(input) {
            Parsed::Unit(bytes, inbound) => {
                *input = &input[bytes..];
                Some(inbound)
            }
            Parsed::Bytes(_) | Parsed::Line if input.len() > UNIT_BYTES_MAX => {
                *input = &[];
                Some(too_long())
            }
            Parsed::Bytes(_) | Parsed::Line => {
                self.partial.extend_from_slice(input);
                *input = &[];
                None
            }
        }
    }

    #[inline]
    fn rest(&self) -> &[u8] {
        if self.is_spent { &[] } else { &self.partial }
    }
}

impl<P: TextProtocol> Reassembler<P> {
    /// [`decode`](Decode::decode) for a unit that began in an earlier piece.
    #[cold]
    fn decode_cut<'lent, 'input: 'lent>(
        &'lent mut self,
        input: &mut &'input [u8],
    ) -> Option<Inbound<'lent>> {
        if std::mem::take(&mut self.is_spent) {
            self.partial.clear();
            return self.decode(input);
        }
        loop {
            let wanted = match P::parse(&self.partial) {
                Parsed::Unit(..) => break,
                Parsed::Bytes(bytes) => bytes.saturating_sub(self.partial.len()),
                Parsed::Line => line_bytes(input),
            };
            if self.partial.len().saturating_add(wanted) > UNIT_BYTES_MAX {
                self.partial.clear();
                *input = &[];
                return Some(too_long());
            }
            let (taken, rest) = input.split_at(wanted.min(input.len()));
            self.partial.extend_from_slice(taken);
            *input = rest;
            if taken.len() < wanted || taken.is_empty() {
                return None;
            }
        }
        self.is_spent = true;
        match P::parse(&self.partial) {
            Parsed::Unit(_, inbound) => Some(inbound),
            // The loop above has found a whole unit.
            Parsed::Bytes(_) | Parsed::Line => None,
        }
    }
}

/// Up to the end of the line, that included, or all there is.
fn line_bytes(input: &[u8]) -> usize {
    input.iter().position(|&byte| byte == b'\n').map_or(input.len(), |end| end + 1)
}

fn too_long() -> Inbound<'static> {
    Inbound::Error(format!("the server sent a unit of more than {UNIT_BYTES_MAX} bytes"))
}

/// The line at the beginning of `input` without its end, and the bytes it takes with it.
pub(super) fn split_line(input: &[u8]) -> Option<(&[u8], usize)> {
    let end = input.iter().position(|&byte| byte == b'\n')?;
    let line = &input[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

/// A number of up to five digits at the beginning of `input` that ends with `\r\n`, and the bytes
/// it takes with those; `None` if there is none, or not yet.
#[inline]
pub(super) fn short_number(input: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    for (at, &byte) in input.iter().take(6).enumerate() {
        match byte {
            b'0'..=b'9' if at < 5 => number = number * 10 + usize::from(byte - b'0'),
            b'\r' if at > 0 && input.get(at + 1) == Some(&b'\n') => return Some((number, at + 2)),
            _ => return None,
        }
    }
    None
}

/// A line, or a part of one, for people: short, and without what would spoil a terminal.
pub(super) fn excerpt(line: &[u8]) -> String {
    const CHARACTERS_MAX: usize = 120;
    String::from_utf8_lossy(line)
        .chars()
        .take(CHARACTERS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
