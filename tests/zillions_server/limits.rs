//! How many clients there may be, and for how long.

use std::io::Write;
use std::time::{Duration, Instant};

use zillions_harness::Signal;

use crate::support::{Running, eventually, frame, receive, send};

#[test]
fn a_connection_beyond_the_limit_is_rejected_until_a_client_disconnects() {
    for limit in ["--max-clients", "--max-clients-per-ip"] {
        let running = Running::start(&[limit, "3", "--shards", "2"]);
        // The harness's own connection may not be closed yet.
        let mut clients = Vec::new();
        eventually("three clients are served", || {
            let mut client = running.connect();
            send(&mut client, b"in?");
            if receive(&mut client).is_some() {
                clients.push(client);
            }
            clients.len() == 3
        });
        assert_eq!(receive(&mut running.connect()), None, "a fourth");
        drop(clients.pop());
        eventually("another is accepted again", || {
            let mut client = running.connect();
            send(&mut client, b"in?");
            receive(&mut client).is_some()
        });
    }
}

#[test]
fn idle_clients_are_disconnected_and_active_ones_stay() {
    let running = Running::start(&["--idle-timeout-seconds", "1"]);
    let mut idle = running.join();
    let mut active = running.connect();
    let started = Instant::now();
    // The active client's messages keep arriving at the idle one, until it is disconnected.
    loop {
        send(&mut active, b"still here");
        assert_eq!(receive(&mut active).expect("it is still connected"), b"still here");
        if receive(&mut idle).is_none() {
            break;
        }
    }
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    running.hello(&mut active);
}

#[test]
fn time_in_which_the_process_was_stopped_makes_nobody_idle() {
    let running = Running::start(&["--idle-timeout-seconds", "1", "--shards", "1"]);
    let mut active = running.join();
    running.server.signal(Signal::STOP);
    send(&mut active, b"sent in time");
    assert!(running.server.wait(2.5).is_none(), "it is stopped, not ended");
    running.server.signal(Signal::CONT);
    assert_eq!(receive(&mut active).expect("it is still connected"), b"sent in time");
    running.hello(&mut active);
}

#[test]
fn a_client_that_is_not_read_because_another_is_slow_is_not_idle() {
    const MESSAGES: usize = 10_000;
    let running = Running::start(&[
        "--shards",
        "1",
        "--idle-timeout-seconds",
        "1",
        "--slow-reader",
        "backpressure",
        "--eviction-timeout-seconds",
        "4",
        "--ring-bytes",
        "64KiB",
        "--send-buffer-bytes",
        "8KiB",
    ]);
    let mut publisher = running.join();
    let mut stalled = running.join();
    running.hello(&mut publisher);
    let mut reader = publisher.try_clone().expect("another handle");
    let started = Instant::now();
    let reading = std::thread::spawn(move || {
        let received = std::iter::from_fn(|| receive(&mut reader));
        received.filter(|message| message.len() == 250).take(MESSAGES).count()
    });
    for number in 0..MESSAGES {
        // If it fails, the count shows it.
        let _ = publisher.write_all(&frame(&[number as u8; 250]));
        if number % 50 == 0 {
            // It does not read, but it is not idle either, until nobody is read.
            let _ = stalled.write_all(&frame(b""));
        }
    }
    assert_eq!(reading.join().expect("it counts"), MESSAGES, "it was disconnected");
    assert!(started.elapsed() >= Duration::from_secs(3), "nothing was held up");
}

#[test]
fn a_client_that_only_reads_is_not_idle_if_what_it_takes_counts() {
    let running = Running::start(&["--idle-timeout-seconds", "1", "--idle-traffic", "both"]);
    let mut reader = running.join();
    let mut publisher = running.join();
    running.hello(&mut reader);
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(2500) {
        running.hello(&mut publisher);
        receive(&mut reader).expect("it is still connected");
    }
    // Until nothing is sent any more.
    while receive(&mut reader).is_some() {}
    assert!(started.elapsed() >= Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn when_descriptors_run_out_connected_clients_are_served_and_later_others_again() {
    let running = Running::start_with(&["--shards", "2"], Some(60));
    let mut witness = running.join();
    let mut crowd: Vec<_> = (0..100).map(|_| running.connect()).collect();
    eventually("it logs that it cannot accept", || {
        running.server.log_tail(20).iter().any(|line| line.contains("cannot accept"))
    });
    running.hello(&mut witness);
    crowd.clear();
    let mut next = running.join();
    send(&mut next, b"in again");
    crate::support::read_until(&mut witness, b"in again");
}
