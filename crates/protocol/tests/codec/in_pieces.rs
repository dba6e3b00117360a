//! A stream decoded in pieces, and the same by a second, plainer decoder to compare with.

use zillions_protocol::Decoder;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) rest: Vec<u8>,
}

/// Decodes `stream` cut at the offsets `cuts`, in any order; equal ones give empty pieces.
pub(crate) fn decode_in_pieces(stream: &[u8], cuts: &[usize]) -> Decoded {
    let mut cuts = cuts.to_vec();
    cuts.push(stream.len());
    cuts.sort_unstable();
    let mut decoder = Decoder::new();
    let mut messages = Vec::new();
    let mut start = 0;
    for end in cuts {
        let mut input = &stream[start..end];
        while let Some(body) = decoder.decode(&mut input) {
            messages.push(body.to_vec());
        }
        start = end;
    }
    Decoded { messages, rest: decoder.rest().to_vec() }
}

/// Decodes a stream that is there as a whole, one byte after the other.
pub(crate) fn decode_by_hand(stream: &[u8]) -> Decoded {
    let mut messages = Vec::new();
    let mut frame = Vec::new();
    for &byte in stream {
        frame.push(byte);
        if frame.len() == 1 + usize::from(frame[0]) {
            messages.push(frame.split_off(1));
            frame.clear();
        }
    }
    Decoded { messages, rest: frame }
}
