//! What holds for every stream and every way to cut it.

use crate::in_pieces::{Decoded, decode_by_hand, decode_in_pieces};
use proptest::{collection::vec, prelude::*};
use zillions_protocol::{
    BODY_BYTES_MAX, Decoder, FRAME_BYTES_MAX, TooLong, WholeFrames, encode, header, whole_frames,
};

/// Any bytes at all: every stream is a legal one.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    // Small values make streams of many short frames; all values, of few long ones.
    prop_oneof![vec(0..8_u8, 0..600), vec(any::<u8>(), 0..2_000)]
}

fn any_bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..=BODY_BYTES_MAX), 0..20)
}

fn encoded(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for body in bodies {
        encode(body, &mut stream).expect("the body fits");
    }
    stream
}

proptest! {
    #[test]
    fn any_split_of_any_stream_decodes_to_the_same_messages_and_rest(
        stream in any_stream(),
        cuts in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        prop_assert_eq!(decode_in_pieces(&stream, &cuts), decode_by_hand(&stream));
    }

    #[test]
    fn what_is_encoded_decodes_to_itself(
        bodies in any_bodies(),
        cuts in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let stream = encoded(&bodies);
        let cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        let expected = Decoded { messages: bodies, rest: Vec::new() };
        prop_assert_eq!(decode_in_pieces(&stream, &cuts), expected);
    }

    #[test]
    fn the_position_is_the_offset_of_the_next_frame(stream in any_stream(), piece in 1..300_usize) {
        let mut decoder = Decoder::new();
        for mut input in stream.chunks(piece) {
            loop {
                let offset = decoder.position();
                let Some(body) = decoder.decode(&mut input) else { break };
                let at = usize::try_from(offset).expect("a short stream");
                prop_assert_eq!(usize::from(stream[at]), body.len());
                prop_assert_eq!(&stream[at + 1..at + 1 + body.len()], body);
            }
            prop_assert!(input.is_empty(), "the whole piece is taken");
            prop_assert_eq!(decoder.is_at_boundary(), decoder.rest().is_empty());
        }
        let end = usize::try_from(decoder.position()).expect("a short stream");
        prop_assert_eq!(&stream[end..], decoder.rest());
    }

    #[test]
    fn whole_frames_are_the_frames_that_decode(stream in any_stream()) {
        let decoded = decode_by_hand(&stream);
        let expected = WholeFrames {
            number: decoded.messages.len(),
            bytes: stream.len() - decoded.rest.len(),
        };
        prop_assert_eq!(whole_frames(&stream), expected);
    }
}

#[test]
fn a_body_inside_the_input_is_lent_from_it() {
    let stream = encoded(&[b"first".to_vec(), b"second".to_vec()]);
    let mut decoder = Decoder::new();
    let mut input = &stream[..];
    for offset in [1, 7] {
        let body = decoder.decode(&mut input).expect("a whole frame");
        assert!(std::ptr::eq(body.as_ptr(), &raw const stream[offset]), "copied");
    }
}

#[test]
fn decoding_can_stop_between_messages_and_go_on() {
    let stream = encoded(&[b"first".to_vec(), b"second".to_vec()]);
    let mut decoder = Decoder::new();
    let mut input = &stream[..];
    assert_eq!(decoder.decode(&mut input), Some(&b"first"[..]));
    assert_eq!(input, &stream[6..], "no byte of the second frame is taken");
    assert!(decoder.is_at_boundary());
    assert_eq!(decoder.decode(&mut input), Some(&b"second"[..]));
    assert_eq!(decoder.decode(&mut input), None);
}

#[test]
fn a_body_of_255_bytes_fits_and_one_of_256_is_refused() {
    let body = [7; BODY_BYTES_MAX + 1];
    let mut out = vec![1, 2, 3];
    assert_eq!(encode(&body, &mut out), Err(TooLong { bytes: 256 }));
    assert_eq!(out, [1, 2, 3], "a refused body leaves no trace");
    assert_eq!(header(&body), Err(TooLong { bytes: 256 }));
    assert_eq!(header(&body[..BODY_BYTES_MAX]), Ok([255]));
    encode(&body[..BODY_BYTES_MAX], &mut out).expect("255 bytes fit");
    assert_eq!(out.len(), 3 + FRAME_BYTES_MAX);
    assert_eq!(TooLong { bytes: 256 }.to_string(), "message of 256 bytes is longer than 255 bytes");
}
