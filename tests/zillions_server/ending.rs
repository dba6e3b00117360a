//! The stop.

use std::io::Write;
use std::time::Duration;

use zillions_harness::Signal;

use crate::support::{Running, eventually, frame, receive, send};

#[test]
fn a_signal_stops_it_at_once_when_nothing_is_queued() {
    for signal in [Signal::TERM, Signal::INT] {
        let running = Running::start(&["--drain-timeout-seconds", "60", "--shards", "2"]);
        let mut idle: Vec<_> = (0..20).map(|_| running.join()).collect();
        running.server.signal(signal);
        eventually("it has ended", || running.server.exited().is_some());
        assert!(running.server.exited().expect("a status").success());
        for client in &mut idle {
            while receive(client).is_some() {}
        }
    }
}

#[test]
fn what_has_been_appended_is_flushed_before_it_ends() {
    // More than the sockets hold: most of it is still in the ring when the signal comes.
    const MESSAGES: u32 = 4000;
    let running = Running::start(&["--drain-timeout-seconds", "60", "--send-buffer-bytes", "8KiB"]);
    let mut reader = running.connect();
    let mut publisher = running.join();
    for number in 0..MESSAGES {
        publisher.write_all(&frame(&[number as u8; 250])).expect("it takes them");
    }
    publisher.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    for number in 0..MESSAGES {
        assert_eq!(receive(&mut publisher).expect("its echo"), [number as u8; 250]);
    }
    running.server.signal(Signal::TERM);
    eventually("it refuses new connections", || {
        std::net::TcpStream::connect(running.server.address()).is_err()
    });
    assert!(running.server.exited().is_none(), "it waits for the reader");
    let mut received = 0;
    while let Some(message) = receive(&mut reader) {
        received += u32::from(message.len() == 250);
    }
    assert_eq!(received, MESSAGES);
    drop((reader, publisher));
    eventually("it has ended", || running.server.exited().is_some());
    assert!(running.server.exited().expect("a status").success());
}

#[test]
fn a_client_that_never_reads_delays_the_end_by_the_drain_timeout_at_most() {
    let running = Running::start(&["--drain-timeout-seconds", "1", "--send-buffer-bytes", "8KiB"]);
    let _stalled = running.connect();
    let mut publisher = running.join();
    for number in 0..40_000_u32 {
        send(&mut publisher, &[number as u8; 250]);
        receive(&mut publisher).expect("its echo");
    }
    let started = std::time::Instant::now();
    running.server.signal(Signal::TERM);
    eventually("it has ended", || running.server.exited().is_some());
    assert!(started.elapsed() >= Duration::from_millis(900), "it waited for the reader");
    assert!(running.server.exited().expect("a status").success());
}

#[test]
fn it_restarts_on_the_same_address_at_once() {
    let running = Running::start(&[]);
    let _client = running.join();
    let address = running.server.address().to_string();
    running.server.signal(Signal::TERM);
    eventually("it has ended", || running.server.exited().is_some());
    let launch = zillions_harness::Launch::executable(crate::support::PROGRAM).expect("it");
    let again = zillions_harness::Server::start(&launch, &address, &Default::default());
    again.expect("the address is free");
}
