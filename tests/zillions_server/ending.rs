//! The stop.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use zillions_harness::Signal;

use crate::support::{PROGRAM, Running, eventually, frame, receive, send};

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
fn an_ordinary_stop_warns_of_nothing() {
    for _ in 0..10 {
        let running = Running::start(&["--shards", "8"]);
        drop((running.join(), running.join()));
        running.server.signal(Signal::TERM);
        eventually("it has ended", || running.server.exited().is_some());
        // The harness reads on to the end.
        eventually("its last line is read", || {
            running.server.log_tail(1).iter().any(|line| line.contains("stopped"))
        });
        let lines = running.server.log_tail(100);
        assert!(lines.iter().all(|line| line.contains("INFO")), "{lines:?}");
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

/// The kernel hides a signal from process 1 of a container that has no handler for it.
#[test]
fn as_process_1_of_a_container_it_obeys_sigterm() {
    let contained = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"];
    let possible = Command::new("unshare").args(contained).arg("true").output();
    if !possible.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this machine lets nobody make a process namespace: {possible:?}");
        return;
    }
    let mut unshare = Command::new("unshare")
        .args(contained)
        .args(["--kill-child", PROGRAM, "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("unshare");
    let mut line = String::new();
    let stdout = unshare.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut line).expect("its line");
    assert!(line.starts_with("listening on 127.0.0.1:"), "{line:?}");
    let children = format!("/proc/{0}/task/{0}/children", unshare.id());
    let server = std::fs::read_to_string(children).expect("its children");
    let killed = Command::new("kill").args(["-TERM", server.trim()]).status().expect("kill");
    assert!(killed.success(), "process {server}");
    assert_eq!(unshare.wait().expect("it ends").code(), Some(0));
}
