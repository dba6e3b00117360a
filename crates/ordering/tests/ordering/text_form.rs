//! The text form: what it accepts, and what it says about wrong lines.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use zillions_ordering::{Event, History, LoadError, StreamPosition, load, save_text};

use crate::random::{self, IDS_ONLY, Shape};

fn text(history: &History) -> String {
    let mut text = Vec::new();
    save_text(history, "", &mut text).expect("memory takes it");
    String::from_utf8(text).expect("it is text")
}

#[test]
fn every_word_of_the_form_comes_back_as_it_was() {
    let lines = r##"zillions-history 1
connect a
connect #1
send a 0 @0 t=5
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
"##;
    let history = load(lines.as_bytes()).expect("every line is well formed");
    assert_eq!(text(&history), lines);
}

#[test]
fn random_histories_come_back_as_they_were() {
    let shape = Shape { short_percent: 30, bodies: &[b"", b" #\""], wild_percent: 20, ..IDS_ONLY };
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    for _ in 0..500 {
        let history = random::history(&mut rng, shape);
        assert!(load(text(&history).as_bytes()).expect("it is well formed") == history);
    }
}

#[test]
fn a_position_that_is_left_out_is_the_last_one() {
    let lines = "zillions-history 1 # first\n\n  connect a # it has a comment\nconnect b\n\
                 send a 0\nrecv b a0 @12 t=7\nrecv b a0\nrecv a a0 t=9\nrecv b a0 @13\n";
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
    let lines = "zillions-history 1\nconnect a\nrecv a #1:0 @0 t=0\nconnect b\nrecv a b0 @9 t=0\n";
    let history = load(lines.as_bytes()).expect("every line is well formed");
    assert_eq!(text(&history), lines);
}

#[test]
fn a_wrong_line_is_reported_with_its_number_its_byte_and_what_is_expected() {
    let before = "zillions-history 1\nconnect a\nsend a 0\n";
    let cases = [
        ("sned a 1", 0, "`sned` is none of connect, send"),
        ("send b 1", 5, "`b` is no connection: no `connect` line names it before"),
        ("send a", 6, "the message's sequence is missing at the end of the line"),
        ("send a x", 7, "`x` is no sequence"),
        ("send a 0", 0, "message #0:0 is recorded out of turn: its sender's next sequence is 1"),
        ("send a 1 @x", 9, "`@x` has no whole number after @"),
        ("send a 1 now", 9, "`now` is too much on this line"),
        ("short a 1 x", 10, "the body must stand in quotes"),
        ("short a 1 \"\\q\"", 10, "the body must stand in quotes"),
        ("short a 1 \"x", 10, "a quote is not closed"),
        ("recv a 0", 7, "`0` is no message such as `a0` or `#3:0`"),
        ("recv a b0", 7, "`b0` is no message"),
        ("recv #0 a0", 5, "`#0` is no connection"),
        ("send #1 0", 5, "`#1` is no connection: no `connect` line names it before"),
        ("connect a", 0, "two connections are named `a`"),
        ("connect r2", 0, "`r2` is no name of a connection"),
        ("connect #5", 0, "connection #5 is recorded out of turn: #1 is next"),
        ("recv-unknown a \"\\xff\"", 15, "text that is not UTF-8"),
        ("maybe-from a3", 0, "message #0:3 was not sent yet"),
    ];
    for (wrong, at, told) in cases {
        let text = format!("{before}{wrong}\nsend a 1\n");
        match load(text.as_bytes()).expect_err(wrong) {
            LoadError::Line { line, offset, what } => {
                assert!(what.starts_with(told), "{wrong}: {what}");
                assert_eq!((line, offset), (4, before.len() as u64 + at), "{wrong}: {what}");
            }
            other => panic!("{wrong}: {other}"),
        }
    }
}

#[test]
fn lines_that_are_no_text_or_without_end_are_refused() {
    let binary =
        load(&b"zillions-history 1\nconnect a\nsend \xff"[..]).expect_err("it is not text");
    assert_eq!(binary.to_string(), "line 3 of the history (byte 34): text that is not UTF-8");
    let endless = format!("zillions-history 1\nconnect {}\n", "a".repeat(100_000));
    let endless = load(endless.as_bytes()).expect_err("it is too long").to_string();
    assert!(
        endless.starts_with("line 2 of the history (byte 19): a line of more than"),
        "{endless}"
    );
}

#[test]
fn lines_and_bodies_are_taken_up_to_their_longest_and_refused_beyond() {
    let line = |bytes: usize| format!("zillions-history 1\n#{}\n", "x".repeat(bytes - 2));
    assert!(load(line(5_120).as_bytes()).is_ok());
    assert!(load(line(5_121).as_bytes()).is_err());
    let body = |bytes: usize| {
        format!("zillions-history 1\nconnect a\nshort a 0 \"{}\"\n", "x".repeat(bytes))
    };
    assert!(load(body(255).as_bytes()).is_ok());
    for bytes in [256, 257] {
        let refused = load(body(bytes).as_bytes()).expect_err("no frame holds it").to_string();
        assert!(refused.ends_with(&format!("a body of {bytes} bytes")), "{refused}");
    }
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
fn a_later_version_says_so() {
    let error = load(&b"# a comment\nzillions-history 2\n"[..]).expect_err("it is later");
    let told = "a history of version 2 (byte 29): this program reads version 1";
    assert_eq!(error.to_string(), told);
}

#[test]
fn a_text_that_is_something_else_is_refused_at_its_first_word() {
    let error = load(&b"# a comment\n  something else\n"[..]).expect_err("it is no history");
    assert!(matches!(error, LoadError::NotAHistory { offset: 14 }), "{error}");
}
