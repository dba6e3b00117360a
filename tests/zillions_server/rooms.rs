//! Several rooms on one server, each with a log of its own.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::thread;

use zillions_harness::PortLease;

use crate::config::Configured;
use crate::metrics::get;
use crate::support::{eventually, frame, receive, send};

/// How many rooms a server of the tests has; each is a socket, too.
const ROOMS: usize = 200;
/// How many messages are exchanged beside a room whose publishers wait.
const MESSAGES: u32 = 200;

fn room(name: &str, more: &str) -> String {
    format!(
        "[[room]]\nname = \"{name}\"\nlisten = [\"127.0.0.1:0\"]\nring_bytes = \"16KiB\"\n{more}"
    )
}

#[test]
fn messages_stay_in_their_room() {
    let rooms: String = (0..ROOMS).map(|number| room(&format!("room-{number}"), "")).collect();
    let mut configured = Configured::start(&format!("[server]\nshards = 2\n{rooms}"));
    let mut clients: Vec<[TcpStream; 2]> = Vec::new();
    for _ in 0..ROOMS {
        let address = configured.next_address();
        clients.push([configured.connect(&address), configured.connect(&address)]);
    }
    for round in 0..3_u8 {
        for (number, [one, other]) in clients.iter_mut().enumerate() {
            send(one, &[round, number as u8, 0]);
            send(other, &[round, number as u8, 1]);
        }
    }
    for (number, pair) in clients.iter_mut().enumerate() {
        let [one, other] = pair
            .each_mut()
            .map(|client| (0..6).map(|_| receive(client).expect("a message")).collect::<Vec<_>>());
        assert_eq!(one, other, "room {number}: one order");
        assert!(one.iter().all(|message| message[1] == number as u8), "room {number}: {one:?}");
    }
    for pair in &mut clients {
        // Nothing else was on its way.
        for client in &*pair {
            client.shutdown(Shutdown::Write).expect("it is connected");
        }
        assert_eq!(pair.each_mut().map(receive), [None, None]);
    }
}

#[test]
fn a_room_whose_publishers_wait_for_a_slow_reader_holds_up_no_other() {
    let metrics = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port");
    let metrics = metrics.address().to_string();
    // One shard, so that both rooms are on it.
    let mut configured = Configured::start(&format!(
        "[server]\nshards = 1\nmetrics = \"{metrics}\"\n[clients]\nsend_buffer_bytes = 4096\n{}{}",
        room("flooded", "slow_reader = \"backpressure\"\neviction_timeout_seconds = 3600\n"),
        room("quiet", ""),
    ));
    let (flooded, quiet) = (configured.next_address(), configured.next_address());
    let stalled = configured.connect(&flooded);
    let flood = configured.connect(&flooded);
    let mut writer = flood.try_clone().expect("a descriptor");
    let flooding = thread::spawn(move || {
        let messages = frame(&[1; 255]).repeat(100);
        // Until the test ends it. It reads as little as the other.
        while writer.write_all(&messages).is_ok() {}
    });
    eventually("publishers wait", || {
        let (_, text) = get(&metrics, "/metrics");
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with("zillions_backpressured_passes_total"));
        line.is_some_and(|line| !line.ends_with(" 0"))
    });
    let mut speaker = configured.connect(&quiet);
    let mut listener = configured.connect(&quiet);
    for number in 0..MESSAGES {
        send(&mut speaker, &number.to_le_bytes());
        assert_eq!(receive(&mut listener).expect("a message"), number.to_le_bytes());
    }
    flood.shutdown(Shutdown::Both).expect("it is connected");
    flooding.join().expect("it ends");
    drop(stalled);
}
