//! Messages there and back.

use crate::servers::{Played, Running};
use crate::terminal::Terminal;

#[test]
fn what_is_typed_arrives_and_what_others_say_is_shown() {
    let server = Running::start();
    let mut other = server.join();
    let mut terminal = Terminal::start(&[&server.address()]);
    terminal.wait_for(&format!("connected to {}", server.address()));

    terminal.press("hallo, 世界\x7f\x7f\x08!\r");
    assert_eq!(other.hear().expect("a message"), "ann: hallo,!".as_bytes());
    terminal.wait_for("ann: hallo,!");

    other.say(b"bob: \x1b[2J caf\xe9 \xe4\xb8\x96 e\xcc\x81");
    terminal.wait_for("bob: \\x1b[2J caf\\xe9 世 e\u{301}");
    assert_eq!(terminal.row(0), "ann: hallo,!");

    terminal.press("\x04");
    assert_eq!(terminal.wait_for_end(), 0, "{}", terminal.text());
    terminal.is_as_before();
}

#[test]
fn a_paste_waits_for_enter_and_each_of_its_lines_is_a_message() {
    let server = Played::open();
    let mut terminal = Terminal::start(&["--name", "Ann B.", &server.address()]);
    let mut peer = server.accept();
    terminal.wait_for("connected to");
    terminal.press("\x1b[200~one\r\n\r\ntwo\x1b[201~");
    terminal.wait_for("> one⏎⏎two");
    assert!(terminal.row(-2).ends_with("2 messages, 244 left"), "{}", terminal.text());
    terminal.press("\r");
    assert_eq!(peer.hear().expect("a message"), b"Ann B.: one");
    assert_eq!(peer.hear().expect("a message"), b"Ann B.: two");
}

#[test]
fn a_long_line_is_sent_as_several_messages() {
    let server = Played::open();
    let mut terminal = Terminal::start(&[&server.address()]);
    let mut peer = server.accept();
    terminal.wait_for("250 left");
    let word = "x".repeat(200);
    terminal.press(&format!("{word} {word}"));
    terminal.wait_for("2 messages, 50 left");
    terminal.press("\r");
    assert_eq!(peer.hear().expect("a message"), format!("ann: {word} ").into_bytes());
    assert_eq!(peer.hear().expect("a message"), format!("ann: {word}").into_bytes());
}

#[test]
fn a_lost_connection_is_told_and_made_again() {
    let server = Played::open();
    let mut terminal = Terminal::start(&[&server.address()]);
    let mut peer = server.accept();
    peer.say(b"bob: one");
    terminal.wait_for("bob: one");
    terminal.press("typed");
    terminal.wait_for("> typed");
    drop(peer);
    terminal.wait_for("lost the connection: the server closed the connection");
    // What is typed waits for the connection.
    terminal.press("\r");
    let mut peer = server.accept();
    terminal.wait_for("connected again; what was said meanwhile");
    terminal.wait_for("> typed");
    terminal.press(" again\r");
    assert_eq!(peer.hear().expect("a message"), b"ann: typed again");
}

#[test]
fn what_was_typed_before_the_end_still_arrives() {
    let server = Played::open();
    let mut terminal = Terminal::start(&[&server.address()]);
    let mut peer = server.accept();
    // Closed with these unread, the connection would be reset.
    peer.say(b"bob: one");
    terminal.wait_for("bob: one");
    peer.say(b"bob: two");
    terminal.press("bye\r\x03");
    assert_eq!(peer.hear().expect("a message"), b"ann: bye");
    assert_eq!(peer.hear(), None);
    drop(peer);
    assert_eq!(terminal.wait_for_end(), 0, "{}", terminal.text());
    terminal.is_as_before();
}
