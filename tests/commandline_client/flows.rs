//! Sending and printing do not wait for each other, and what waits is bounded.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

use crate::fake_server::{FakeServer, PATIENT};

/// More than all buffers between the two ends take together.
const FLOOD_BYTES: usize = 64 << 20;

/// Far above what the client needs, far below the flood.
const RESIDENT_KIB_MAX: u64 = 16 << 10;

#[test]
fn a_server_that_does_not_read_has_its_messages_printed() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&[PATIENT]);
    let mut stdin = client.stdin.take().expect("the input is open");
    let flood = thread::spawn(move || {
        let lines = b"all work and no play\n".repeat(1_000);
        (0..FLOOD_BYTES / lines.len()).try_for_each(|_| stdin.write_all(&lines))
    });
    for number in 0..1_000 {
        peer.say(format!("message {number}").as_bytes());
        assert_eq!(client.read_line(), format!("message {number}"));
    }
    client.assert_it_sleeps();
    let resident = client.resident_kib_peak();
    assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB resident");
    drop(client);
    let error = flood.join().expect("no panic").expect_err("all was read though none was sent");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn an_output_that_nobody_reads_stops_no_message_to_the_server() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&[PATIENT]);
    peer.stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a limit");
    // The longest messages, of bytes that are printed as four: more than a pipe takes at once.
    let frames = [0xff].repeat(256 * 100);
    let error = (0..FLOOD_BYTES / frames.len())
        .try_for_each(|_| peer.stream.write_all(&frames))
        .expect_err("all was received though none was printed");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    client.assert_it_sleeps();
    for number in 0..1_000 {
        client.type_in(format!("line {number}\n"));
        assert_eq!(peer.hear(), Some(format!("line {number}").into_bytes()));
    }
    let resident = client.resident_kib_peak();
    assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB resident");
}

#[test]
fn a_long_input_comes_back_whole_and_in_order() {
    let server = FakeServer::open();
    let (mut client, mut peer) = server.client(&[PATIENT]);
    let input: String = (0..200_000).map(|number| format!("line {number}\n")).collect();
    let echo = thread::spawn(move || {
        let mut back = peer.stream.try_clone().expect("a socket");
        io::copy(&mut peer.stream, &mut back).expect("the client is there");
    });
    let mut stdin = client.stdin.take().expect("the input is open");
    let bytes = input.clone();
    let feed = thread::spawn(move || stdin.write_all(bytes.as_bytes()));
    let ended = client.end();
    feed.join().expect("no panic").expect("all input is read");
    echo.join().expect("no panic");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert!(ended.stdout == input, "the output differs from the input");
}
