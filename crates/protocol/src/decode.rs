//! Decoding: from a stream that arrives in pieces to bodies.

use core::fmt;

use crate::frame::{FRAME_BYTES_MAX, HEADER_BYTES};

/// Finds the messages in a byte stream that arrives in pieces of any size.
///
/// A body that lies wholly in the piece at hand is lent from it, uncopied. Only a frame that the
/// end of a piece cuts is gathered in a buffer inside the decoder. Nothing is ever allocated.
#[derive(Clone)]
pub struct Decoder {
    /// Offset in the stream of the frame after the last message returned.
    position: u64,
    /// Bytes of the incomplete frame in `frame`, header included.
    filled: usize,
    frame: [u8; FRAME_BYTES_MAX],
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { position: 0, filled: 0, frame: [0; FRAME_BYTES_MAX] }
    }

    /// The body of the next message, or `None` when `input` holds no further whole message.
    ///
    /// Advances `input` past what it has taken: past one frame when it returns a message, to its
    /// end when it returns `None` (the beginning of a frame is then kept, see [`rest`]). So each
    /// piece of the stream is decoded by calling this until it returns `None`; the caller may
    /// also stop earlier and continue later with what is left of `input`.
    ///
    /// [`rest`]: Self::rest
    #[inline]
    pub fn decode<'lent, 'input: 'lent>(
        &'lent mut self,
        input: &mut &'input [u8],
    ) -> Option<&'lent [u8]> {
        if self.filled != 0 {
            return self.decode_cut(input);
        }
        match split_frame(input) {
            Some((body, tail)) => {
                *input = tail;
                self.position += (HEADER_BYTES + body.len()) as u64;
                Some(body)
            }
            None => {
                self.keep(input.len(), input);
                None
            }
        }
    }

    /// [`decode`](Self::decode) for a frame whose beginning came with an earlier piece.
    #[cold]
    fn decode_cut(&mut self, input: &mut &[u8]) -> Option<&[u8]> {
        let frame_bytes = HEADER_BYTES + usize::from(self.frame[0]);
        self.keep(frame_bytes - self.filled, input);
        if self.filled < frame_bytes {
            return None;
        }
        self.filled = 0;
        self.position += frame_bytes as u64;
        Some(&self.frame[HEADER_BYTES..frame_bytes])
    }

    /// Moves up to `bytes` bytes from the beginning of `input` to the end of the kept frame.
    fn keep(&mut self, bytes: usize, input: &mut &[u8]) {
        let (taken, tail) = input.split_at(bytes.min(input.len()));
        self.frame[self.filled..self.filled + taken.len()].copy_from_slice(taken);
        self.filled += taken.len();
        *input = tail;
    }

    /// The incomplete frame at the end of what was decoded, header included; empty at a boundary.
    ///
    /// If the stream ends here, this is what the protocol discards (FRAME-6).
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.frame[..self.filled]
    }

    /// Whether what was decoded ends where a frame ends.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        self.filled == 0
    }

    /// The offset of the next message's header in the stream, in bytes: the length of all whole
    /// frames decoded so far.
    ///
    /// Read before [`decode`](Self::decode), it is the offset of the next message.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("position", &self.position)
            .field("rest", &self.rest())
            .finish()
    }
}

/// What [`whole_frames`] found at the beginning of its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WholeFrames {
    /// How many whole frames there are.
    pub number: usize,
    /// How many bytes they take, headers included.
    pub bytes: usize,
}

/// Measures the whole frames at the beginning of `input`, which begins at a frame boundary.
///
/// For programs that forward frames unread: `input[..bytes]` is whole frames and
/// nothing else, the rest is one incomplete frame.
#[must_use]
pub fn whole_frames(input: &[u8]) -> WholeFrames {
    let mut whole = WholeFrames::default();
    let mut tail = input;
    while let Some((_, after)) = split_frame(tail) {
        whole.number += 1;
        tail = after;
    }
    whole.bytes = input.len() - tail.len();
    whole
}

/// The body of the frame at the beginning of `input` and what follows it, if that frame is whole.
#[inline]
fn split_frame(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, after_header) = input.split_first()?;
    after_header.split_at_checked(usize::from(length))
}
