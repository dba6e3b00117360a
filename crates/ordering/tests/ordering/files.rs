//! History files: whole ones come back; damaged, truncated and wrong ones give
//! one clear error.

use std::io::{self, Read};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use zillions_ordering::{Event, History, LoadError, StreamPosition, load, save};

use crate::random::{self, IDS_ONLY, Shape};

fn text(history: &History) -> String {
    let mut text = Vec::new();
    save(history, "", &mut text).expect("memory takes it");
    String::from_utf8(text).expect("it is text")
}

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

/// Loads what cannot be loaded; the message is one line that names a byte.
fn error(file: &[u8]) -> LoadError {
    let error = load(file).expect_err("it is damaged");
    let text = error.to_string();
    assert!(text.contains("byte ") && !text.contains('\n'), "{text}");
    error
}

#[test]
fn every_word_of_the_form_comes_back_as_it_was() {
    let lines = r##"zillions-history 1
connect a
connect #1
send a 0
send a 1
short a 2 "\x00\"\\ #\'"
maybe a 3
maybe-short a 4 ""
maybe-from a1
recv #1 a0 @0 t=900
recv #1 #9:4294967295 @9 t=901
recv a #1:0 @0 t=18446744073709551615
recv-short #1 "\x00\"\\ #\'" @18446744073709551615 t=0
recv-unknown #1 "cut in the \xc3\xbc middle" @11 t=1
end events=13
"##;
    let history = load(lines.as_bytes()).expect("every line is well formed");
    assert_eq!(text(&history), lines);
}

#[test]
fn random_histories_come_back_as_they_were() {
    let shape = Shape {
        short_percent: 30,
        bodies: &[b"", b" #\"", b"\xff\n"],
        wild_percent: 20,
        ..IDS_ONLY
    };
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    for _ in 0..500 {
        let history = random::history(&mut rng, shape);
        assert!(load(text(&history).as_bytes()).expect("it is well formed") == history);
    }
}

#[test]
fn a_position_that_is_omitted_is_the_last_one() {
    let lines = "zillions-history 1 # first\n\n  connect a # it has a comment\nconnect b\n\
                 send a 0\nrecv b a0 @12 t=7\nrecv b a0\nrecv a a0 t=9\nrecv b a0 @13\n end # of it\n\n";
    let history = load(lines.as_bytes()).expect("every line is well formed");
    let positions = history.events().filter_map(|event| match event {
        Event::Receive { position: StreamPosition { offset, time_ns }, .. } => {
            Some((offset, time_ns))
        }
        _ => None,
    });
    assert_eq!(positions.collect::<Vec<_>>(), [(12, 7), (12, 7), (0, 9), (13, 9)]);
}

#[test]
fn a_name_that_comes_later_can_be_received_by_number() {
    let lines = "zillions-history 1\nconnect a\nrecv a #1:0 @0 t=0\nconnect b\nrecv a b0 @9 t=0\n\
                 end events=4\n";
    let history = load(lines.as_bytes()).expect("every line is well formed");
    assert_eq!(text(&history), lines);
}

#[test]
fn details_come_back_whatever_they_hold() {
    let mut history = History::new();
    let a = history.connect();
    let at = StreamPosition { offset: 0, time_ns: 0 };
    history.receive_unknown(a, at, "a line\nand\ranother\t\"one\" \\ 'x'");
    // As long as it may be, and every byte takes four in the text.
    history.receive_unknown(a, at, "\u{1}".repeat(1_024));
    assert!(load(text(&history).as_bytes()).expect("it was saved so") == history);
}

#[test]
fn the_largest_numbers_come_back() {
    let mut history = History::new();
    let a = history.connect_named("from-a_to-b").expect("it is a name");
    let id = history.send(a);
    for value in [u64::MAX, 1 << 63, (1 << 63) - 1, 0] {
        history.receive(a, id, StreamPosition { offset: value, time_ns: value });
    }
    assert!(load(text(&history).as_bytes()).expect("it was saved so") == history);
}

#[test]
fn a_wrong_line_is_reported_with_its_number_its_byte_and_what_is_expected() {
    let before = "zillions-history 1\nconnect a\nsend a 0\n";
    let cases = [
        ("sned a 1", 0, "invalid event `sned`: expected connect, send"),
        ("send b 1", 5, "unknown connection `b`: no `connect` line before names it"),
        ("send a", 6, "the message's sequence is missing at the end of the line"),
        ("send a x", 7, "invalid sequence `x`"),
        ("send a 0", 0, "message #0:0 is recorded out of turn: its sender's next sequence is 1"),
        ("recv a a0 @x", 10, "`@x` has no whole number after @"),
        ("send a 1 now", 9, "unexpected `now`"),
        ("short a 1 x", 10, "the body must be in quotes"),
        ("short a 1 \"\\q\"", 10, "the body must be in quotes"),
        ("short a 1 \"x", 10, "unterminated quote"),
        ("recv a 0", 7, "invalid message `0`: write it as `a0` or `#3:0`"),
        ("recv a #0:0", 7, "invalid message `#0:0`"),
        ("recv a b0", 7, "invalid message `b0`"),
        ("recv #0 a0", 5, "unknown connection `#0`"),
        ("send #1 0", 5, "unknown connection `#1`"),
        ("connect a", 0, "two connections are named `a`"),
        ("connect r2", 0, "invalid name of a connection `r2`"),
        ("connect #5", 0, "connection #5 is recorded out of turn: #1 is next"),
        ("recv-unknown a \"\\xff\"", 15, "invalid UTF-8"),
        ("end events=3", 0, "2 events precede this line"),
        ("end 2", 4, "unexpected `2`"),
        ("end\nsend a 1", 4, "unexpected `send` after the line `end`"),
        ("maybe-from a3", 0, "message #0:3 was not sent yet"),
    ];
    for (wrong, at, told) in cases {
        let text = format!("{before}{wrong}\nsend a 1\n");
        match load(text.as_bytes()).expect_err(wrong) {
            LoadError::Line { line, offset, what } => {
                assert!(what.starts_with(told), "{wrong}: {what}");
                let lines = wrong.matches('\n').count() as u64;
                assert_eq!(
                    (line, offset),
                    (4 + lines, before.len() as u64 + at),
                    "{wrong}: {what}"
                );
            }
            other => panic!("{wrong}: {other}"),
        }
    }
}

#[test]
fn lines_that_are_not_text_or_endless_are_refused() {
    let binary =
        load(&b"zillions-history 1\nconnect a\nsend \xff\n"[..]).expect_err("it is not text");
    assert_eq!(binary.to_string(), "line 3 of the history (byte 34): invalid UTF-8");
    let endless = format!("zillions-history 1\nconnect {}\n", "a".repeat(100_000));
    let endless = load(endless.as_bytes()).expect_err("it is too long").to_string();
    assert!(
        endless.starts_with("line 2 of the history (byte 19): a line of more than"),
        "{endless}"
    );
}

#[test]
fn lines_and_bodies_are_taken_up_to_their_longest_and_refused_beyond() {
    let line = |bytes: usize| format!("zillions-history 1\n#{}\nend\n", "x".repeat(bytes - 2));
    assert!(load(line(5_120).as_bytes()).is_ok());
    assert!(load(line(5_121).as_bytes()).is_err());
    let body = |bytes: usize| {
        format!("zillions-history 1\nconnect a\nshort a 0 \"{}\"\nend\n", "x".repeat(bytes))
    };
    assert!(load(body(255).as_bytes()).is_ok());
    for bytes in [256, 257] {
        let refused = load(body(bytes).as_bytes()).expect_err("no frame holds it").to_string();
        assert!(refused.contains(&format!("a body of {bytes} bytes")), "{refused}");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = text(&sample());
    let header = "zillions-history 1".len();
    for length in 0..file.len() {
        match error(&file.as_bytes()[..length]) {
            LoadError::Truncated { offset } => assert_eq!(offset, length as u64),
            LoadError::NotAHistory { offset } if length < header => assert!(offset <= 17),
            other => panic!("cut to {length} bytes: {other}"),
        }
    }
}

#[test]
fn a_file_without_a_line_is_refused() {
    let file = text(&sample());
    let lines: Vec<&str> = file.lines().collect();
    for without in 0..lines.len() {
        let kept = lines.iter().enumerate().filter(|(line, _)| *line != without);
        let kept: String = kept.map(|(_, line)| format!("{line}\n")).collect();
        error(kept.as_bytes());
    }
}

#[test]
fn a_file_with_a_bit_flipped_is_another_history_or_refused() {
    let file = text(&sample()).into_bytes();
    let mut refused = 0;
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            if load(&damaged[..]).is_err() {
                error(&damaged);
                refused += 1;
            }
        }
    }
    // What is left are other numbers, other bodies, other details.
    assert!(refused * 10 > file.len() * 8 * 7, "{refused} of {}", file.len() * 8);
}

#[test]
fn other_files_are_refused_at_their_first_word() {
    for other in [&b"#!/bin/sh\necho\n"[..], b"\x7fELF\x02\x01", b"\xff\xfe", b"hello", b"# only\n"]
    {
        assert!(matches!(error(other), LoadError::NotAHistory { .. }), "{other:?}");
    }
    let text = error(b"{\"schema\": 1}").to_string();
    assert!(text.starts_with("not a history (byte 0): "), "{text}");
    assert!(text.contains("`zillions-history 1`"), "{text}");
    let text = b"# a comment\n  something else\n";
    assert!(matches!(error(text), LoadError::NotAHistory { offset: 14 }));
}

#[test]
fn a_later_version_says_so() {
    let error = load(&b"# a comment\nzillions-history 2\n"[..]).expect_err("it is later");
    let told = "a history of version 2 (byte 29): this program reads version 1";
    assert_eq!(error.to_string(), told);
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
    let file = text(&sample());
    let reader = Interrupted { rest: file.as_bytes(), calls: 0 };
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
    let file = text(&sample());
    let text = load(file.as_bytes()[..30].chain(Fails)).expect_err("it fails").to_string();
    assert_eq!(text, "cannot read the history at byte 30");
}
