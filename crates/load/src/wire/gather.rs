//! Decoding protocols whose units begin with text, from a stream that is cut anywhere.

use std::marker::PhantomData;

use super::{Decode, Heard};

/// The longest unit that is gathered: the longest greetings are a few kilobytes.
pub(super) const UNIT_BYTES_MAX: usize = 16 * 1024;

/// A protocol: how one unit of it looks.
pub(crate) trait Protocol: Clone + Default {
    /// Looks at the unit that begins at the beginning of `input`, which is not empty.
    fn parse(input: &[u8]) -> Parsed<'_>;
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// A unit of so many bytes.
    Unit(usize, Heard<'a>),
    /// The beginning of a unit that has at least so many bytes.
    Bytes(usize),
    /// The beginning of a unit that goes on at least to the next end of a line.
    Line,
}

/// A decoder that lends what is whole from the piece at hand, and gathers only what a piece's end
/// cuts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gather<P> {
    gathered: Vec<u8>,
    /// `gathered` is a whole unit that was lent.
    is_spent: bool,
    protocol: PhantomData<P>,
}

impl<P: Protocol> Decode for Gather<P> {
    #[inline]
    fn decode<'lent, 'input: 'lent>(
        &'lent mut self,
        input: &mut &'input [u8],
    ) -> Option<Heard<'lent>> {
        if !self.gathered.is_empty() {
            return self.decode_cut(input);
        }
        if input.is_empty() {
            return None;
        }
        match P::parse(input) {
            Parsed::Unit(bytes, heard) => {
                *input = &input[bytes..];
                Some(heard)
            }
            Parsed::Bytes(_) | Parsed::Line if input.len() > UNIT_BYTES_MAX => {
                *input = &[];
                Some(too_long())
            }
            Parsed::Bytes(_) | Parsed::Line => {
                self.gathered.extend_from_slice(input);
                *input = &[];
                None
            }
        }
    }
}

impl<P: Protocol> Gather<P> {
    /// [`decode`](Decode::decode) for a unit whose beginning came with an earlier piece.
    #[cold]
    fn decode_cut<'lent, 'input: 'lent>(
        &'lent mut self,
        input: &mut &'input [u8],
    ) -> Option<Heard<'lent>> {
        if std::mem::take(&mut self.is_spent) {
            self.gathered.clear();
            return self.decode(input);
        }
        loop {
            let wanted = match P::parse(&self.gathered) {
                Parsed::Unit(..) => break,
                Parsed::Bytes(bytes) => bytes.saturating_sub(self.gathered.len()),
                Parsed::Line => line_bytes(input),
            };
            if self.gathered.len().saturating_add(wanted) > UNIT_BYTES_MAX {
                self.gathered.clear();
                *input = &[];
                return Some(too_long());
            }
            let (taken, rest) = input.split_at(wanted.min(input.len()));
            self.gathered.extend_from_slice(taken);
            *input = rest;
            if taken.len() < wanted || taken.is_empty() {
                return None;
            }
        }
        self.is_spent = true;
        match P::parse(&self.gathered) {
            Parsed::Unit(_, heard) => Some(heard),
            // It was one a moment ago.
            Parsed::Bytes(_) | Parsed::Line => None,
        }
    }
}

/// Up to the end of the line, that included, or all there is.
fn line_bytes(input: &[u8]) -> usize {
    input.iter().position(|&byte| byte == b'\n').map_or(input.len(), |end| end + 1)
}

fn too_long() -> Heard<'static> {
    Heard::Refusal(format!("it sent a unit of more than {UNIT_BYTES_MAX} bytes"))
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
