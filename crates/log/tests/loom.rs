//! Every interleaving of a writer and readers, and every stale value that the
//! memory model lets them see. The ring is modelled: a read and a write of the
//! same bytes that nothing orders fail the model.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p zillions-log --test loom --target-dir target/loom`

#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use zillions_log::{AppendError, BLOCK_BYTES, Log, Offset, RING_BYTES_MIN};

/// A frame that fills a block, so that few of them fill the ring.
fn frame(value: u8) -> Vec<u8> {
    let mut frame = vec![value; BLOCK_BYTES];
    frame[0] = 255;
    frame
}

const FRAMES_IN_RING: u8 = (RING_BYTES_MIN / BLOCK_BYTES) as u8;

/// Checks that `bytes` are whole frames whose bodies are all of one value, counted up from `first`.
fn assert_frames(bytes: &[u8], first: u64) {
    assert!(bytes.len().is_multiple_of(BLOCK_BYTES));
    for (number, frame) in bytes.chunks(BLOCK_BYTES).enumerate() {
        assert_eq!(frame[0], 255);
        assert!(frame[1..].iter().all(|&byte| u64::from(byte) == first + number as u64));
    }
}

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

#[test]
fn a_reader_sees_whole_frames_and_their_exact_number() {
    model(|| {
        let log = Arc::new(Log::new(RING_BYTES_MIN, 1).unwrap());
        let mut reader = log.reader().unwrap();
        let writer = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                for value in 0..2 {
                    log.append(&frame(value)).unwrap();
                }
            })
        };
        let head = reader.refresh();
        assert_eq!(head.bytes, head.messages * BLOCK_BYTES as u64);
        assert_frames(reader.bytes(0, head.bytes), 0);
        if head.messages > 0 {
            let second = Offset { bytes: BLOCK_BYTES as u64, messages: 1 };
            assert_eq!(reader.boundary(1), second);
        }
        writer.join().unwrap();
    });
}

#[test]
fn two_writers_make_one_order() {
    model(|| {
        let log = Arc::new(Log::new(RING_BYTES_MIN, 1).unwrap());
        let mut reader = log.reader().unwrap();
        let writer = {
            let log = Arc::clone(&log);
            thread::spawn(move || log.append(&frame(1)).unwrap())
        };
        let mine = log.append(&frame(2)).unwrap();
        let theirs = writer.join().unwrap();
        assert_ne!(mine, theirs);
        let head = reader.refresh();
        assert_eq!(head, mine.max(theirs));
        let first = reader.bytes(0, head.bytes)[1];
        assert_eq!(first, if mine < theirs { 2 } else { 1 });
    });
}

#[test]
fn what_is_pinned_is_never_overwritten() {
    model(|| {
        let log = Arc::new(Log::new(RING_BYTES_MIN, 1).unwrap());
        let mut reader = log.reader().unwrap();
        for value in 0..FRAMES_IN_RING {
            log.append(&frame(value)).unwrap();
        }
        let writer = {
            let log = Arc::clone(&log);
            thread::spawn(move || log.append(&frame(FRAMES_IN_RING)).is_ok())
        };
        // Pinned to the beginning, which the writer wants; then it moves on.
        let head = reader.refresh();
        assert_frames(reader.bytes(0, head.bytes), 0);
        reader.pin(BLOCK_BYTES as u64).unwrap();
        let notified = reader.writer_waits();
        assert_frames(reader.bytes(BLOCK_BYTES as u64, head.bytes), 1);
        let written = writer.join().unwrap();
        assert!(written || notified, "nobody would notify the writer");
        if !written {
            log.append(&frame(FRAMES_IN_RING)).unwrap();
        }
    });
}

#[test]
fn a_late_pin_is_refused_or_holds() {
    model(|| {
        let log = Arc::new(Log::new(RING_BYTES_MIN, 1).unwrap());
        let mut reader = log.reader().unwrap();
        for value in 0..FRAMES_IN_RING {
            log.append(&frame(value)).unwrap();
        }
        reader.pin_head();
        let writer = {
            let log = Arc::clone(&log);
            thread::spawn(move || log.append(&frame(FRAMES_IN_RING)))
        };
        // A client that lags asks for the oldest frame while the writer is about to take it.
        if reader.pin(0).is_ok() {
            assert_frames(reader.bytes(0, BLOCK_BYTES as u64), 0);
            reader.pin_head();
        }
        let notified = reader.writer_waits();
        match writer.join().unwrap() {
            Ok(head) => assert_eq!(head.messages, u64::from(FRAMES_IN_RING) + 1),
            Err(error) => {
                assert_eq!(error, AppendError::Pinned);
                assert!(notified, "nobody would notify the writer");
                log.append(&frame(FRAMES_IN_RING)).unwrap();
            }
        }
    });
}

#[test]
fn a_jump_lands_on_a_frame_that_exists() {
    model(|| {
        let log = Arc::new(Log::new(RING_BYTES_MIN, 1).unwrap());
        let mut reader = log.reader().unwrap();
        for value in 0..FRAMES_IN_RING {
            log.append(&frame(value)).unwrap();
        }
        reader.pin_head();
        let writer = {
            let log = Arc::clone(&log);
            thread::spawn(move || log.append(&frame(FRAMES_IN_RING)).unwrap())
        };
        let offset = reader.jump(2 * BLOCK_BYTES as u64);
        let head = reader.head();
        assert_eq!(offset.bytes, offset.messages * BLOCK_BYTES as u64);
        assert_frames(reader.bytes(offset.bytes, head.bytes), offset.messages);
        writer.join().unwrap();
    });
}
