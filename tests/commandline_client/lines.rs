//! From lines to messages and back.

use crate::fake_server::{FakeServer, PATIENT};

/// What the server hears of `input`, and how the client ends.
fn heard(input: &[u8]) -> (Vec<Vec<u8>>, crate::fake_server::Ended) {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&[PATIENT]);
    client.type_in(input);
    client.end_input();
    let messages = peer.hear_all();
    drop(peer);
    (messages, client.end())
}

/// What the client prints of `messages`.
fn printed(messages: &[&[u8]], options: &[&str]) -> Vec<u8> {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(options);
    client.end_input();
    messages.iter().for_each(|message| peer.say(message));
    assert_eq!(peer.hear(), None);
    drop(peer);
    let mut stdout = Vec::new();
    let mut pipe = client.stdout.take().expect("the output is open");
    std::io::Read::read_to_end(&mut pipe, &mut stdout).expect("a pipe");
    assert_eq!(client.end().code, Some(0));
    stdout
}

#[test]
fn each_line_is_a_message_and_each_message_is_a_line() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&[PATIENT]);
    client.type_in("a\nb\n");
    client.end_input();
    while let Some(message) = peer.hear() {
        peer.say(&message);
    }
    drop(peer);
    let ended = client.end();
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), "a\nb\n", ""));
}

#[test]
fn an_empty_line_is_an_empty_message_and_the_last_line_needs_no_newline() {
    let (messages, ended) = heard(b"a\n\nlast");
    assert_eq!(messages, [&b"a"[..], b"", b"last"]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[test]
fn an_empty_input_sends_nothing() {
    let (messages, ended) = heard(b"");
    assert_eq!(messages, [b""; 0]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[test]
fn every_byte_but_the_newline_is_sent_as_it_is() {
    let (messages, _) = heard(b"dos\r\n\0\xff\x1b \t\n");
    assert_eq!(messages, [&b"dos\r"[..], b"\0\xff\x1b \t"]);
}

#[test]
fn a_line_that_is_too_long_is_refused_and_all_others_are_sent() {
    let (fits, too_long) = ("x".repeat(255), "y".repeat(256));
    let huge = "z".repeat(1_000_000);
    let (messages, ended) = heard(format!("a\n{too_long}\n{fits}\n{huge}\nb\n").as_bytes());
    assert_eq!(messages, [&b"a"[..], fits.as_bytes(), b"b"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.stderr,
        "commandline-client: error: line 2 not sent: message of 256 bytes is longer than 255 \
         bytes\n\
         commandline-client: error: line 4 not sent: message of 1000000 bytes is longer than 255 \
         bytes\n"
    );
}

#[test]
fn what_a_terminal_would_obey_is_printed_as_escapes() {
    let messages: [&[u8]; 5] =
        [b"\x1b[2J", "Grüße\t世界".as_bytes(), b"\xff\xfe", b"two\nlines", "\u{202e}".as_bytes()];
    let shown = "\\x1b[2J\nGrüße\t世界\n\\xff\\xfe\ntwo\\nlines\n\\u{202e}\n";
    assert_eq!(printed(&messages, &[PATIENT]), shown.as_bytes());
}

#[test]
fn raw_output_is_every_byte_that_came() {
    let every_byte: Vec<u8> = (0..=254).collect();
    let mut expected = every_byte.clone();
    expected.extend_from_slice(b"\n\n\xff\n");
    assert_eq!(printed(&[&every_byte, b"", b"\xff"], &[PATIENT, "--raw"]), expected);
}
