//! How many may be in, and for how long.

use std::time::{Duration, Instant};

use crate::support::{Running, eventually, receive, send};

#[test]
fn one_more_than_the_limit_is_turned_away_until_somebody_leaves() {
    for limit in ["--max-clients", "--max-clients-per-ip"] {
        let running = Running::start(&[limit, "3", "--shards", "2"]);
        // The harness's own trial connection may still be on its way out.
        let mut clients = Vec::new();
        eventually("three are in", || {
            let mut client = running.connect();
            send(&mut client, b"in?");
            if receive(&mut client).is_some() {
                clients.push(client);
            }
            clients.len() == 3
        });
        assert_eq!(receive(&mut running.connect()), None, "a fourth");
        drop(clients.pop());
        eventually("there is room again", || {
            let mut client = running.connect();
            send(&mut client, b"in?");
            receive(&mut client).is_some()
        });
    }
}

#[test]
fn the_silent_are_disconnected_and_those_who_talk_stay() {
    let running = Running::start(&["--idle-seconds", "1"]);
    let mut silent = running.join();
    let mut talker = running.connect();
    let started = Instant::now();
    // The talker's messages keep coming to the silent one, until it is cut off.
    loop {
        send(&mut talker, b"still here");
        assert_eq!(receive(&mut talker).expect("it is still in"), b"still here");
        if receive(&mut silent).is_none() {
            break;
        }
    }
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    running.hello(&mut talker);
}

#[test]
fn when_descriptors_run_out_those_inside_are_served_and_later_others_again() {
    let running = Running::start_with(&["--shards", "2"], Some(60));
    let mut witness = running.join();
    let mut crowd: Vec<_> = (0..100).map(|_| running.connect()).collect();
    eventually("it says that it cannot accept", || {
        running.server.log_tail(20).iter().any(|line| line.contains("cannot accept"))
    });
    running.hello(&mut witness);
    crowd.clear();
    let mut newcomer = running.join();
    send(&mut newcomer, b"in again");
    crate::support::read_until(&mut witness, b"in again");
}
