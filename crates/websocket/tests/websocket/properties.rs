//! Random streams of frames, right ones and changed ones, decode as tungstenite decodes them.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::both_decoders::{End, compare, ours, theirs};
use crate::streams::masked;

/// Frames of one stream that a client may send: messages in one frame or several, with control
/// frames in between.
fn valid() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let payload = || {
        prop_oneof![
            8 => vec(any::<u8>(), 0..40),
            2 => vec(any::<u8>(), 120..130),
            1 => vec(any::<u8>(), 700..1400),
        ]
    };
    let control =
        (prop_oneof![Just(0x89_u8), Just(0x8a)], any::<[u8; 4]>(), vec(any::<u8>(), 0..=125))
            .prop_map(|(first, mask, payload)| masked(first, mask, &payload));
    let fragment = (any::<[u8; 4]>(), payload(), proptest::option::weighted(0.3, control));
    let message = vec(fragment, 1..4).prop_map(|fragments| {
        let last = fragments.len() - 1;
        let frames =
            fragments.into_iter().enumerate().flat_map(|(index, (mask, payload, control))| {
                let opcode = if index == 0 { 2 } else { 0 };
                let fin = if index == last { 0x80 } else { 0 };
                std::iter::once(masked(fin | opcode, mask, &payload)).chain(control)
            });
        frames.collect::<Vec<_>>()
    });
    vec(message, 0..6).prop_map(|messages| messages.concat())
}

proptest! {
    #[test]
    fn what_a_client_may_send_decodes_alike(frames in valid(), pieces in vec(0_u8..20, 1..8)) {
        let stream = frames.concat();
        compare(&stream, &pieces);
        let (events, end) = ours(&stream, &pieces);
        prop_assert_eq!(end, End::Open);
        prop_assert_eq!(theirs(&stream).0, events);
    }

    #[test]
    fn changed_streams_decode_alike(
        frames in valid(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        in_header in any::<bool>(),
        pieces in vec(0_u8..20, 1..8),
    ) {
        let mut frames = frames;
        for (index, byte) in changes {
            if frames.is_empty() {
                break;
            }
            if in_header {
                // Where it matters most: the first two bytes.
                let frame = index.index(frames.len());
                frames[frame][usize::from(byte & 1)] ^= byte;
            } else {
                let frame = index.index(frames.len());
                let at = usize::from(byte) % frames[frame].len();
                frames[frame][at] ^= byte;
            }
        }
        compare(&frames.concat(), &pieces);
    }

    #[test]
    fn any_bytes_decode_alike(stream in vec(any::<u8>(), 0..300), pieces in vec(0_u8..9, 1..8)) {
        compare(&stream, &pieces);
    }

    #[test]
    fn close_frames_decode_alike(
        code in prop_oneof![990_u16..1020, 2990_u16..3010, 4990_u16..5010, any::<u16>()],
        text in vec(any::<u8>(), 0..20),
        is_text in any::<bool>(),
        pieces in vec(0_u8..9, 1..8),
    ) {
        let text = if is_text { "é".repeat(text.len()).into_bytes() } else { text };
        let payload = [&code.to_be_bytes()[..], &text].concat();
        compare(&masked(0x88, [1, 2, 3, 4], &payload), &pieces);
    }
}

#[test]
fn a_stream_that_is_cut_at_every_place_decodes_alike() {
    let message = masked(0x02, [9, 8, 7, 6], &[3; 200]);
    let ping = masked(0x89, [1, 0, 0, 1], b"are you there");
    let rest = masked(0x80, [4, 3, 2, 1], &[5; 700]);
    let close = masked(0x88, [0; 4], &[3, 232, b'b', b'y', b'e']);
    let stream = [message, ping, rest, close].concat();
    let whole = ours(&stream, &[]);
    assert_eq!(whole.1, End::Closed);
    assert_eq!(whole.0.len(), 3);
    for end in 0..=stream.len() {
        compare(&stream[..end], &[1]);
    }
    for piece in 1..=255 {
        assert_eq!(ours(&stream, &[piece]), whole);
    }
}
