//! After any steps in any order, the log equals the tail of a log that keeps everything.
//!
//! `cargo +nightly fuzz run log_steps -- -max_total_time=60`

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use zillions_log::{AppendError, Log, Offset, RING_BYTES_MIN};

#[derive(Arbitrary, Debug)]
enum Step {
    /// Any bytes; only whole frames may be accepted.
    Append(Vec<u8>),
    /// This many empty messages, which a fuzzer would not write out.
    AppendEmpty(u16),
    PinBehind(u16),
    Jump(u16),
    Unpin,
    Refresh,
    Boundary(u16),
}

fuzz_target!(|steps: Vec<Step>| {
    let log = Log::new(RING_BYTES_MIN, 1).expect("the smallest ring");
    let mut reader = log.reader().expect("the first");
    let mut bytes: Vec<u8> = Vec::new();
    let append = |bytes: &mut Vec<u8>, frames: &[u8]| {
        let whole = zillions_protocol::whole_frames(frames).bytes == frames.len();
        match log.append(frames) {
            Ok(head) => {
                assert!(whole);
                bytes.extend_from_slice(frames);
                assert_eq!(head.bytes, bytes.len() as u64);
            }
            Err(AppendError::Incomplete { .. }) => assert!(!whole),
            Err(AppendError::TooLong { .. }) => assert!(frames.len() > log.append_bytes_max()),
            Err(AppendError::Pinned) => {}
        }
    };
    for step in steps {
        match step {
            Step::Append(frames) => append(&mut bytes, &frames),
            Step::AppendEmpty(number) => append(&mut bytes, &vec![0; usize::from(number)]),
            Step::PinBehind(behind) => {
                let head = reader.refresh().bytes;
                let _ = reader.pin(head.saturating_sub(u64::from(behind)));
            }
            Step::Jump(lag) => check(&bytes, reader.jump(u64::from(lag))),
            Step::Unpin => reader.unpin(),
            Step::Refresh => check(&bytes, reader.refresh()),
            Step::Boundary(behind) => {
                let Some(pinned) = reader.pinned() else { continue };
                let byte =
                    (reader.head().bytes - u64::from(behind).min(reader.head().bytes)).max(pinned);
                check(&bytes, reader.boundary(byte));
            }
        }
        if let Some(pinned) = reader.pinned() {
            let head = reader.head().bytes;
            assert_eq!(reader.bytes(pinned, head), &bytes[pinned as usize..head as usize]);
        }
    }
});

/// The offset is a frame boundary, and that many messages lie before it.
fn check(bytes: &[u8], offset: Offset) {
    let whole = zillions_protocol::whole_frames(&bytes[..offset.bytes as usize]);
    assert_eq!((whole.bytes as u64, whole.number as u64), (offset.bytes, offset.messages));
}
