//! When the client ends, and with which status.

use std::{io::Write, net::Shutdown, time::Duration};

use rustix::process::{Signal, kill_process};

use crate::fake_server::{FakeServer, PATIENT};

#[test]
fn what_comes_after_the_end_of_input_is_printed() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&[PATIENT]);
    client.type_in("question");
    client.end_input();
    assert_eq!(peer.hear_all(), [b"question"]);
    peer.say(b"answer");
    peer.say(b"and more");
    drop(peer);
    let ended = client.end();
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "answer\nand more\n"));
}

#[test]
fn it_sleeps_while_nothing_happens() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&["--linger-seconds=3600"]);
    peer.say(b"first");
    assert_eq!(client.read_line(), "first");
    client.assert_it_sleeps();
    client.end_input();
    assert_eq!(peer.hear(), None);
    client.assert_it_sleeps();
    peer.say(b"last");
    drop(peer);
    let ended = client.end();
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "last\n"));
}

#[test]
fn a_silent_server_that_never_closes_is_left_after_the_quiet_time() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&["--linger-seconds=0.3"]);
    client.type_in("hello\n");
    let message = peer.hear().expect("a message");
    peer.say(&message);
    assert_eq!(client.read_line(), "hello");
    client.end_input();
    assert_eq!(peer.hear(), None);
    let ended = client.end();
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), "", ""));
}

#[test]
fn a_server_on_which_others_keep_sending_is_left_too() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&["--linger-seconds=0.05"]);
    client.type_in("hello");
    client.end_input();
    assert_eq!(peer.hear_all(), [b"hello"]);
    let busy = std::thread::spawn(move || {
        // Until the client is gone.
        while peer.stream.write_all(b"\x06others").is_ok() {}
    });
    let ended = client.end();
    busy.join().expect("no panic");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert!(ended.stdout.starts_with("others\n"), "what came is printed");
    assert!(ended.stdout.ends_with("others\n"), "whole lines only");
}

#[test]
fn a_server_that_closes_first_is_reported_and_nothing_is_lost() {
    let server = FakeServer::open();
    let (client, mut peer) = server.client(&[]);
    peer.say(b"bye");
    drop(peer);
    let ended = client.end();
    assert_eq!((ended.code, &*ended.stdout), (Some(1), "bye\n"));
    assert_eq!(ended.stderr, "commandline-client: error: the server closed the connection\n");
}

#[test]
fn a_message_that_is_cut_short_is_reported_and_not_printed() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&[PATIENT]);
    client.end_input();
    peer.say(b"whole");
    peer.stream.write_all(b"\x05ab").expect("the client is there");
    assert_eq!(peer.hear(), None);
    drop(peer);
    let ended = client.end();
    assert_eq!((ended.code, &*ended.stdout), (Some(1), "whole\n"));
    assert_eq!(
        ended.stderr,
        "commandline-client: error: the server closed the connection within a message \
         (2 of 5 bytes received)\n"
    );
}

#[test]
fn a_reset_is_reported_and_what_came_before_is_printed() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&[]);
    peer.say(b"before");
    assert_eq!(client.read_line(), "before");
    socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    drop(peer);
    let ended = client.end();
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.stderr,
        "commandline-client: error: lost the connection: Connection reset by peer (os error 104)\n"
    );
}

#[test]
fn it_ends_quietly_and_at_once_when_nobody_reads_its_output() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&[]);
    peer.say(b"first");
    assert_eq!(client.read_line(), "first");
    // As `head -1` does. The server stays open and silent, the input too.
    client.stdout = None;
    let stdin = client.stdin.take();
    let ended = client.end();
    drop((peer, stdin));
    assert_eq!((ended.code, ended.signal, &*ended.stderr), (Some(0), None, ""));
}

#[test]
fn an_interrupt_ends_it_at_once() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&[]);
    peer.say(b"ready");
    assert_eq!(client.read_line(), "ready");
    kill_process(client.pid(), Signal::INT).expect("the client is there");
    let stdin = client.stdin.take();
    let ended = client.end();
    drop(stdin);
    // A shell calls this 130, and knows that it was ctrl-C.
    assert_eq!((ended.code, ended.signal, &*ended.stderr), (None, Some(2), ""));
}

#[test]
fn a_server_may_close_its_side_before_it_has_read_everything() {
    let server = FakeServer::open();
    let (mut client, peer) = server.client(&[]);
    peer.stream.shutdown(Shutdown::Write).expect("a socket");
    let stdin = client.stdin.take();
    let ended = client.end();
    drop((peer, stdin));
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, "commandline-client: error: the server closed the connection\n");
}
