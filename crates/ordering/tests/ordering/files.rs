//! History files: whole ones come back, damaged ones give one clear error.

use std::io::{self, Read};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use zillions_ordering::{History, LoadError, StreamPosition, load, save};

use crate::random::{self, IDS_ONLY, Shape};

fn sample() -> History {
    let mut history = History::new();
    let a = history.connect_named("a").expect("it is a name");
    let b = history.connect();
    for round in 0..4 {
        let id = history.send(a);
        history.send_anonymous(b, b"short");
        let position = StreamPosition { offset: 9 * round, time_ns: 1_000_000 * round };
        history.receive(b, id, position);
        history.receive_anonymous(a, b"short", position);
    }
    history.receive_unknown(b, StreamPosition { offset: 36, time_ns: 7 }, "length 3");
    history
}

fn bytes(history: &History) -> Vec<u8> {
    let mut file = Vec::new();
    save(history, &mut file).expect("memory takes it");
    file
}

/// Loads what cannot be loaded; the message is one line that names a byte.
fn error(file: &[u8]) -> LoadError {
    let error = load(file).expect_err("it is damaged");
    let text = error.to_string();
    assert!(text.contains("byte ") && !text.contains('\n'), "{text}");
    error
}

#[test]
fn random_histories_come_back_as_they_were() {
    let shape =
        Shape { short_percent: 30, bodies: &[b"", b"\xff\n"], wild_percent: 20, ..IDS_ONLY };
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for _ in 0..500 {
        let history = random::history(&mut rng, shape);
        assert!(load(&bytes(&history)[..]).expect("it is whole") == history);
    }
}

#[test]
fn a_history_of_many_blocks_comes_back_as_it_was() {
    let mut history = History::new();
    let (a, b) = (history.connect(), history.connect());
    for round in 0..120_000u64 {
        let id = history.send(a);
        history.receive(b, id, StreamPosition { offset: 100 * round, time_ns: round * round });
    }
    let file = bytes(&history);
    assert!(file.len() > 1 << 20, "{} bytes are one block", file.len());
    // Blocks are large: what they cost is nothing beside the events.
    let besides = file.len() - history.event_bytes();
    assert!(besides < 200, "{besides} bytes besides the events");
    assert!(load(&file[..]).expect("it is whole") == history);
}

#[test]
fn a_file_cut_anywhere_is_reported_with_its_length() {
    let file = bytes(&sample());
    for length in 1..file.len() {
        match error(&file[..length]) {
            LoadError::Truncated { offset, .. } => assert_eq!(offset, length as u64),
            other => panic!("cut to {length} bytes: {other}"),
        }
    }
    assert!(matches!(error(b""), LoadError::NotAHistory { offset: 0 }));
}

#[test]
fn a_file_with_any_bit_flipped_is_refused() {
    let file = bytes(&sample());
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            error(&damaged);
        }
    }
}

#[test]
fn a_file_with_more_after_its_end_is_refused_there() {
    let mut file = bytes(&sample());
    let length = file.len() as u64;
    file.push(b'\n');
    match error(&file) {
        LoadError::Corrupt { offset, what } => {
            assert_eq!((offset, &*what), (length, "something follows the end mark"));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_file_of_a_later_version_says_so() {
    let mut file = bytes(&sample());
    file[8] = 2;
    let text = error(&file).to_string();
    assert_eq!(text, "a history of version 2 (byte 8): this program reads version 1");
}

#[test]
fn other_files_are_no_histories() {
    for other in [&b"#!/bin/sh\necho\n"[..], b"\x7fELF\x02\x01", b"\xff\xfe", b"hello", b"# only\n"]
    {
        assert!(matches!(error(other), LoadError::NotAHistory { .. }), "{other:?}");
    }
    let text = error(b"{\"schema\": 1}").to_string();
    assert!(text.starts_with("not a history (byte 0): "), "{text}");
    assert!(text.contains("`zillions-history 1`"), "{text}");
}

/// Puts events in a file by hand: checksums and counts are right.
fn file_of(block: &[u8], events: u64) -> Vec<u8> {
    let mut file = bytes(&History::new());
    file.truncate(12);
    for payload in [block, &events.to_le_bytes()] {
        let is_end = payload.len() == 8 && payload == events.to_le_bytes();
        let length = if is_end { 0 } else { payload.len() as u32 };
        file.extend(length.to_le_bytes());
        file.extend(crc32fast::hash(payload).to_le_bytes());
        file.extend(payload);
    }
    file
}

#[test]
fn events_that_make_no_sense_are_refused_where_they_stand() {
    let (connect, length) = ([0, 0], 20);
    let cases: [(&[u8], u64, &str); 9] = [
        (&[7], 0, "an unknown kind of event"),
        (&[0b1000_0100], 0, "an unknown kind of event"),
        (&[1, 5], 1, "a connection that does not exist"),
        (&[3, 0, 0], 2, "a message that was not sent yet"),
        (&[4, 0, 0, 2, 0, 0], 3, "a sequence out of range"),
        (&[2, 0, 1], 2, "a body that was not seen before"),
        (&[2, 0, 0, 1, b'x', 2, 0, 1, 1, b'x'], 5, "a body is listed twice"),
        (&[0, 2, b'1', b'2'], 0, "`12` is no name"),
        (
            &[4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2],
            1,
            "a number of more than 64",
        ),
    ];
    assert!(load(&file_of(&connect, 1)[..]).is_ok());
    for (event, at, told) in cases {
        let block = [&connect[..], event].concat();
        match error(&file_of(&block, 9)) {
            LoadError::Corrupt { offset, what } => {
                assert!(what.contains(told), "{event:?}: {what}");
                assert_eq!(offset, length + connect.len() as u64 + at, "{event:?}: {what}");
            }
            other => panic!("{event:?}: {other}"),
        }
    }
}

#[test]
fn texts_are_taken_up_to_their_longest_and_refused_beyond() {
    // A name of 64 letters, and one of 65.
    let connect = |letters: u8| [&[0, letters][..], &vec![b'n'; letters.into()]].concat();
    assert!(load(&file_of(&connect(64), 1)[..]).is_ok());
    match error(&file_of(&connect(65), 1)) {
        LoadError::Corrupt { what, .. } => assert_eq!(what, "a name that is too long"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_block_larger_than_any_is_refused_before_it_is_read() {
    let mut file = bytes(&History::new());
    file.truncate(12);
    file.extend((1u32 << 20).to_le_bytes());
    file.extend(0u32.to_le_bytes());
    match error(&file) {
        LoadError::Corrupt { offset, what } => {
            assert_eq!(offset, 12);
            assert!(what.starts_with("a block of 1048576 bytes; the most is "), "{what}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_wrong_number_of_events_is_refused() {
    match error(&file_of(&[0, 0], 2)) {
        LoadError::Corrupt { what, .. } => assert!(what.contains("number of events"), "{what}"),
        other => panic!("{other}"),
    }
}

#[test]
fn the_longest_event_has_room_at_the_end_of_a_full_block() {
    // Blocks end after some 256 KiB: of these lengths one or the other nearly fills one before
    // its last event begins.
    for detail_bytes in (964..=1_024).step_by(4) {
        let mut history = History::new();
        let a = history.connect();
        for number in 0..300 {
            let position = StreamPosition { offset: number, time_ns: number };
            history.receive_unknown(a, position, "x".repeat(detail_bytes));
        }
        assert!(load(&bytes(&history)[..]).expect("it was saved so") == history);
    }
}

#[test]
fn a_reader_that_is_interrupted_goes_on() {
    struct Interrupted<'f> {
        rest: &'f [u8],
        calls: usize,
    }
    impl Read for Interrupted<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.calls += 1;
            match self.calls % 2 {
                1 => Err(io::ErrorKind::Interrupted.into()),
                _ => self.rest.read(bytes),
            }
        }
    }
    let file = bytes(&sample());
    let reader = Interrupted { rest: &file, calls: 0 };
    assert!(load(reader).expect("nothing is wrong with it") == sample());
}

#[test]
fn a_reader_that_fails_is_reported_with_how_far_it_came() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let file = bytes(&sample());
    let text = load(file[..30].chain(Fails)).expect_err("it fails").to_string();
    assert_eq!(text, "cannot read the history at byte 30");
}
