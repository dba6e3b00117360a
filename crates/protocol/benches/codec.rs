//! Speed of the codec on one core: `cargo bench -p zillions-protocol`.

use divan::{Bencher, black_box, counter::BytesCount};
use zillions_protocol::{Decoder, encode, whole_frames};

const BODY_BYTES: [usize; 3] = [8, 64, 255];

/// Messages per round: their stream stays in the second-level cache.
const MESSAGES: usize = 1_000;

/// A usual read buffer; odd, so that frames are cut in ever other places.
const PIECE_BYTES: usize = 4_099;

fn main() {
    divan::main();
}

fn stream(body_bytes: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..MESSAGES {
        encode(&vec![b'x'; body_bytes], &mut stream).expect("the body fits");
    }
    stream
}

/// Decodes and touches the ends of each body.
fn decode_all(stream: &[u8], piece_bytes: usize) -> usize {
    let mut decoder = Decoder::new();
    let mut sum = 0;
    for mut input in stream.chunks(piece_bytes) {
        while let Some(body) = decoder.decode(&mut input) {
            sum += body.len() + body.first().map_or(0, |&byte| usize::from(byte));
        }
    }
    sum
}

#[divan::bench(args = BODY_BYTES)]
fn decode_from_one_slice(bencher: Bencher<'_, '_>, body_bytes: usize) {
    let stream = stream(body_bytes);
    bencher
        .counter(BytesCount::new(stream.len()))
        .bench_local(|| decode_all(black_box(&stream), usize::MAX));
}

#[divan::bench(args = BODY_BYTES)]
fn decode_from_cut_pieces(bencher: Bencher<'_, '_>, body_bytes: usize) {
    let stream = stream(body_bytes);
    bencher
        .counter(BytesCount::new(stream.len()))
        .bench_local(|| decode_all(black_box(&stream), PIECE_BYTES));
}

#[divan::bench(args = BODY_BYTES)]
fn measure_whole_frames(bencher: Bencher<'_, '_>, body_bytes: usize) {
    let stream = stream(body_bytes);
    bencher.counter(BytesCount::new(stream.len())).bench_local(|| whole_frames(black_box(&stream)));
}

#[divan::bench(args = BODY_BYTES)]
fn encode_into_a_warm_buffer(bencher: Bencher<'_, '_>, body_bytes: usize) {
    let body = vec![b'x'; body_bytes];
    let mut out = stream(body_bytes);
    bencher.counter(BytesCount::new(out.len())).bench_local(|| {
        out.clear();
        for _ in 0..MESSAGES {
            encode(black_box(&body), &mut out).expect("the body fits");
        }
        black_box(&out).len()
    });
}
