//! The log against a model that keeps everything; error messages.

#![cfg(not(loom))]

use std::thread;

use proptest::prelude::*;
use zillions_log::{AppendError, BLOCK_BYTES, Log, Offset, RING_BYTES_MIN};

/// Everything ever appended, and every boundary.
struct Model {
    bytes: Vec<u8>,
    boundaries: Vec<Offset>,
}

impl Model {
    fn new() -> Self {
        Self { bytes: Vec::new(), boundaries: vec![Offset::default()] }
    }

    fn append(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        let messages = self.boundaries.len() as u64;
        self.boundaries.push(Offset { bytes: self.bytes.len() as u64, messages });
    }

    fn head(&self) -> Offset {
        *self.boundaries.last().unwrap()
    }

    fn boundary(&self, byte: u64) -> Offset {
        self.boundaries[self.boundaries.partition_point(|offset| offset.bytes < byte)]
    }
}

fn frame(length: u8, seed: u64) -> Vec<u8> {
    let body = (0..u64::from(length)).map(|at| (seed.wrapping_mul(31) + at) as u8);
    std::iter::once(length).chain(body).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    PinBehind(u64),
    PinHead,
    Jump(u64),
    Unpin,
    Look(f64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lengths = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..30),
        1 => prop::collection::vec(Just(0_u8), 0..4000),
        1 => prop::collection::vec(Just(255_u8), 0..15),
    ];
    let behind = 0..2 * RING_BYTES_MIN as u64;
    prop::collection::vec(
        prop_oneof![
            6 => lengths.prop_map(Step::Append),
            1 => behind.clone().prop_map(Step::PinBehind),
            1 => Just(Step::PinHead),
            1 => behind.prop_map(Step::Jump),
            1 => Just(Step::Unpin),
            2 => (0.0..1.0).prop_map(Step::Look),
        ],
        1..150,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn it_equals_the_tail_of_a_log_that_keeps_everything(steps in steps()) {
        let log = Log::new(RING_BYTES_MIN, 1).unwrap();
        let mut reader = log.reader().unwrap();
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Append(lengths) => {
                    let mut batch = Vec::new();
                    let mut after = Model { bytes: vec![], boundaries: model.boundaries.clone() };
                    after.bytes.clone_from(&model.bytes);
                    for length in lengths {
                        let frame = frame(length, after.head().messages);
                        after.append(&frame);
                        batch.extend_from_slice(&frame);
                    }
                    match log.append(&batch) {
                        Ok(head) => {
                            model = after;
                            prop_assert_eq!(head, model.head());
                        }
                        Err(AppendError::Pinned) => {
                            let end = after.head().bytes;
                            let pinned = reader.pinned().expect("a pin");
                            let full = end - pinned + BLOCK_BYTES as u64 > log.ring_bytes() as u64;
                            prop_assert!(full, "it was not full");
                            prop_assert!(reader.writer_waits());
                        }
                        Err(error) => prop_assert!(
                            batch.len() > log.append_bytes_max(), "{}", error
                        ),
                    }
                }
                Step::PinBehind(behind) => {
                    let head = reader.refresh().bytes;
                    let byte = head.saturating_sub(behind);
                    let safe = log.window_bytes() - log.append_bytes_max();
                    let pinned = reader.pin(byte).is_ok();
                    prop_assert!(pinned || head - byte > safe as u64);
                    prop_assert!(!pinned || head - byte <= log.ring_bytes() as u64);
                }
                Step::PinHead => prop_assert_eq!(reader.pin_head(), model.head()),
                Step::Jump(lag) => {
                    reader.unpin();
                    reader.refresh();
                    let offset = reader.jump(lag);
                    let (head, least) = (model.head().bytes, lag.min(log.ring_bytes() as u64 / 2));
                    prop_assert_eq!(offset, model.boundary(offset.bytes));
                    // Within two blocks of what was asked for, or of the log's ends.
                    let lag = head - offset.bytes;
                    prop_assert!(lag <= least + BLOCK_BYTES as u64);
                    prop_assert!(lag + 256 >= least.min(head));
                }
                Step::Unpin => reader.unpin(),
                Step::Look(share) => {
                    let head = reader.refresh();
                    prop_assert_eq!(head, model.head());
                    let Some(pinned) = reader.pinned() else { continue };
                    let byte = pinned + ((head.bytes - pinned) as f64 * share) as u64;
                    prop_assert_eq!(reader.boundary(byte), model.boundary(byte));
                    let expected = &model.bytes[pinned as usize..];
                    prop_assert!(reader.bytes(pinned, head.bytes) == expected);
                }
            }
        }
    }
}

#[test]
fn threads_that_append_and_read_at_full_speed_agree_on_one_stream() {
    const WRITERS: u8 = 2;
    const READERS: usize = 2;
    const MESSAGES: u64 = 20_000;
    let log = Log::new(RING_BYTES_MIN, READERS).unwrap();
    let readers: Vec<_> = (0..READERS).map(|_| log.reader().unwrap()).collect();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let log = &log;
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    let mut frame = vec![9, writer];
                    frame.extend_from_slice(&number.to_le_bytes());
                    while let Err(error) = log.append(&frame) {
                        assert_eq!(error, AppendError::Pinned);
                        thread::yield_now();
                    }
                }
            });
        }
        let read = |mut reader: zillions_log::Reader| {
            let mut next = [0; WRITERS as usize];
            let mut byte = 0;
            while next != [MESSAGES; WRITERS as usize] {
                let head = reader.refresh();
                for frame in reader.bytes(byte, head.bytes).chunks(10) {
                    let number = u64::from_le_bytes(frame[2..].try_into().unwrap());
                    assert_eq!(number, next[usize::from(frame[1])]);
                    next[usize::from(frame[1])] += 1;
                }
                byte = head.bytes;
                reader.pin(byte).unwrap();
                assert_eq!(head.messages, byte / 10);
                thread::yield_now();
            }
        };
        for reader in readers {
            scope.spawn(move || read(reader));
        }
    });
}

#[test]
fn a_reader_that_jumps_knows_exactly_how_much_it_missed() {
    let log = Log::new(RING_BYTES_MIN, 1).unwrap();
    let mut reader = log.reader().unwrap();
    reader.unpin();
    for number in 0..100_000_u64 {
        log.append(&frame((number % 256) as u8, number)).unwrap();
    }
    reader.refresh();
    let offset = reader.jump(u64::MAX);
    let bytes = reader.bytes(offset.bytes, reader.head().bytes);
    assert_eq!(
        bytes[0],
        (offset.messages % 256) as u8,
        "the message at the offset has the number it says"
    );
    let whole = zillions_protocol::whole_frames(bytes);
    assert_eq!(offset.messages + whole.number as u64, 100_000);
    assert_eq!(whole.bytes, bytes.len());
}

#[test]
fn a_slice_across_the_end_of_the_ring_is_contiguous() {
    let log = Log::new(RING_BYTES_MIN, 1).unwrap();
    let mut reader = log.reader().unwrap();
    while log.head().bytes < RING_BYTES_MIN as u64 - 100 {
        reader.pin_head();
        log.append(&frame(99, 0)).unwrap();
    }
    let before = reader.pin_head();
    log.append(&frame(255, 7)).unwrap();
    let after = reader.refresh();
    assert_eq!(reader.bytes(before.bytes, after.bytes), frame(255, 7));
}

#[test]
fn only_whole_frames_are_accepted() {
    let log = Log::new(RING_BYTES_MIN, 0).unwrap();
    assert_eq!(log.append(b"\x01a\x05bc"), Err(AppendError::Incomplete { bytes: 3 }));
    let long = vec![0; log.append_bytes_max() + 1];
    assert_eq!(log.append(&long), Err(AppendError::TooLong { bytes: long.len() }));
    assert_eq!(log.head(), Offset::default());
}

#[test]
fn an_invalid_ring_size_is_refused_with_the_reason() {
    for bytes in [0, 4096, RING_BYTES_MIN + 4096, RING_BYTES_MIN - 1] {
        let error = Log::new(bytes, 1).unwrap_err().to_string();
        assert!(error.contains(&format!("invalid ring size of {bytes} bytes")), "{error}");
    }
    let error = Log::new(1 << 46, 1).unwrap_err().to_string();
    assert!(error.starts_with("cannot map a ring of 70368744177664 bytes twice: "), "{error}");
}

#[test]
fn readers_are_limited_and_given_back() {
    let log = Log::new(RING_BYTES_MIN, 1).unwrap();
    let reader = log.reader().unwrap();
    assert!(log.reader().is_none());
    assert_eq!(log.lowest_pin(), Some(0));
    drop(reader);
    assert_eq!(log.lowest_pin(), None);
    assert!(log.reader().is_some());
}
