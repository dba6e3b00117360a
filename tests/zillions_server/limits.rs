//! How many clients there may be, and for how long.

use std::time::{Duration, Instant};

use crate::support::{Running, eventually, receive, send};

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
