//! A stop that closes its clients one by one.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use zillions_harness::Signal;

use crate::metrics::{endpoint, get};
use crate::support::{Running, eventually, read_until, receive, send};

fn refuses(running: &Running) -> bool {
    let refused = TcpStream::connect(running.server.address());
    refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn clients_leave_at_equal_intervals_and_those_that_stay_are_served() {
    const CLIENTS: u32 = 3;
    let seconds = CLIENTS.to_string();
    let options = ["--shards", "1", "--lame-duck-seconds", &seconds, "--metrics", "127.0.0.1:0"];
    let running = Running::start(&options);
    let metrics = endpoint(&running);
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| running.join()).collect();
    send(&mut clients[0], b"all are here");
    clients.iter_mut().for_each(|client| drop(read_until(client, b"all are here")));
    let started = Instant::now();
    running.server.signal(Signal::TERM);
    eventually("it refuses new connections", || refuses(&running));
    eventually("it is not ready", || get(&metrics, "/readyz").0 == 503);
    assert_eq!(get(&metrics, "/healthz").0, 200);
    // None reads beyond what it is sent, so an end shows at once. The last connected leaves first.
    let mut left = Duration::ZERO;
    for turn in 1..=CLIENTS {
        let mut next = clients.pop().expect("one is left");
        assert_eq!(receive(&mut next), None, "the end, after whole frames");
        left = started.elapsed();
        // Its time was counted from when the shard saw the stop.
        assert!(left >= Duration::from_millis(u64::from(turn) * 1000 - 50), "{turn}: {left:?}");
        if turn == 1 {
            // One that stays is served: its own message comes back.
            send(&mut clients[0], b"still here");
            clients.iter_mut().for_each(|client| drop(read_until(client, b"still here")));
        }
    }
    eventually("it has ended", || running.server.exited().is_some());
    assert!(running.server.exited().expect("a status").success());
    assert!(left < Duration::from_secs(50), "{left:?}");
}

#[test]
fn it_ends_once_nobody_is_left_and_a_second_signal_ends_it_at_once() {
    for second in [false, true] {
        let running = Running::start(&["--shards", "2", "--lame-duck-seconds", "3600"]);
        let client = running.join();
        running.server.signal(Signal::TERM);
        eventually("it refuses new connections", || refuses(&running));
        assert!(running.server.exited().is_none(), "a client is left");
        let mut client = Some(client);
        if second {
            running.server.signal(Signal::TERM);
        } else {
            drop(client.take());
        }
        eventually("it has ended", || running.server.exited().is_some());
        assert!(running.server.exited().expect("a status").success());
    }
}

#[test]
fn a_client_that_does_not_read_is_sent_what_is_due_to_it_before_it_leaves() {
    // More than the sockets hold: most of it is still in the ring when the signal comes.
    const MESSAGES: u32 = 4000;
    let options = ["--send-buffer-bytes", "8KiB", "--lame-duck-seconds", "1"];
    let running = Running::start(&[&options[..], &["--drain-timeout-seconds", "60"]].concat());
    let mut reader = running.connect();
    let mut publisher = running.join();
    for number in 0..MESSAGES {
        send(&mut publisher, &[number as u8; 250]);
        while receive(&mut publisher).expect("its echo") != [number as u8; 250] {}
    }
    running.server.signal(Signal::TERM);
    while receive(&mut publisher).is_some() {}
    let mut received = 0;
    while let Some(message) = receive(&mut reader) {
        received += u32::from(message.len() == 250);
    }
    assert_eq!(received, MESSAGES);
    eventually("it has ended", || running.server.exited().is_some());
    assert!(running.server.exited().expect("a status").success());
}
