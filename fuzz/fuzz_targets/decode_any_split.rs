//! Any stream decodes to the same messages however it is cut.
//!
//! `cargo +nightly fuzz run decode_any_split -- -max_total_time=60`

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use zillions_protocol::{Decoder, encode, whole_frames};

#[derive(Arbitrary, Debug)]
struct Input {
    /// The lengths of the pieces, repeated; 0 is an empty piece.
    piece_bytes: Vec<u8>,
    stream: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let Input { piece_bytes, stream } = input;
    let mut decoder = Decoder::new();
    let mut messages = 0;
    let mut again = Vec::new();
    let mut feed = |mut piece: &[u8]| {
        loop {
            let offset = decoder.position();
            let Some(body) = decoder.decode(&mut piece) else { break };
            assert_eq!(offset, again.len() as u64);
            encode(body, &mut again).expect("a body that was decoded fits");
            messages += 1;
        }
        assert!(piece.is_empty(), "the whole piece is taken");
    };

    let mut tail = &stream[..];
    for bytes in piece_bytes.iter().cycle().take(2 * stream.len()) {
        let (piece, after) = tail.split_at(usize::from(*bytes).min(tail.len()));
        feed(piece);
        tail = after;
    }
    feed(tail);

    let whole = whole_frames(&stream);
    assert_eq!((whole.number, whole.bytes), (messages, again.len()));
    assert_eq!(decoder.position(), again.len() as u64);
    assert_eq!(decoder.is_at_boundary(), decoder.rest().is_empty());
    // Messages and rest, encoded again, are the stream: nothing is lost, moved or invented.
    again.extend_from_slice(decoder.rest());
    assert_eq!(again, stream);
});
