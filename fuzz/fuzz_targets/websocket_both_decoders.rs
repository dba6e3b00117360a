//! Whatever a WebSocket client sends, and however it is cut: the server's decoder makes of it what
//! tungstenite makes of it, or is stricter where it says so.
//!
//! `cargo +nightly fuzz run websocket_both_decoders -- -max_total_time=60`

#![no_main]

#[path = "../../crates/websocket/tests/websocket/both_decoders.rs"]
mod both_decoders;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../crates/websocket/tests/websocket/streams.rs"]
mod streams;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    /// The lengths of the pieces, repeated; 0 is an empty piece.
    piece_bytes: Vec<u8>,
    /// First bytes and payloads of frames.
    frames: Vec<(u8, [u8; 4], Vec<u8>)>,
    /// What follows the frames.
    tail: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let Input { piece_bytes, frames, tail } = input;
    let frames =
        frames.iter().map(|(first, mask, payload)| streams::masked(*first, *mask, payload));
    let mut stream: Vec<u8> = frames.flatten().collect();
    stream.extend_from_slice(&tail);
    both_decoders::compare(&stream, &piece_bytes);
});
