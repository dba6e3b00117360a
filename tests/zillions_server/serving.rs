//! Addresses, shards and engines: all clients get all messages in one order.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv6Addr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use zillions_harness::PortLease;
use zillions_server::engines::ENGINES;

use crate::support::{PROGRAM, Running, frame, read_until, receive, send};

/// Every engine that works on this machine, one shard and several. io_uring may be forbidden, for
/// example in a container; that it is then refused is tested in `engines`.
fn variants() -> Vec<Vec<&'static str>> {
    let mut variants = Vec::new();
    for engine in ENGINES.iter().filter(|engine| engine.probe().is_ok()) {
        variants.push(vec!["--engine", engine.name, "--shards", "1"]);
        variants.push(vec!["--engine", engine.name, "--shards", "2"]);
        variants.push(vec!["--engine", engine.name, "--shards", "3", "--ring-bytes", "16KiB"]);
    }
    assert!(!variants.is_empty(), "epoll works everywhere");
    variants
}

#[test]
fn all_clients_get_all_messages_in_one_order() {
    for options in variants() {
        let running = Running::start(&options);
        let mut clients: Vec<_> = (0..8).map(|_| running.join()).collect();
        // The first have received messages of later ones; from here on all receive the same.
        send(&mut clients[0], b"begin");
        clients.iter_mut().for_each(|client| drop(read_until(client, b"begin")));
        for round in 0..20_u8 {
            for (number, client) in clients.iter_mut().enumerate() {
                send(client, &[round, number as u8]);
            }
        }
        let received: Vec<Vec<_>> = clients
            .iter_mut()
            .map(|client| (0..160).map(|_| receive(client).expect("a message")).collect())
            .collect();
        assert!(received.iter().all(|messages| *messages == received[0]), "{options:?}");
        for number in 0..8 {
            let own: Vec<_> = received[0].iter().filter(|message| message[1] == number).collect();
            assert!(own.iter().zip(0..).all(|(message, round)| message[0] == round));
            assert_eq!(own.len(), 20);
        }
    }
}

#[test]
fn a_connection_made_before_a_message_is_sent_receives_it() {
    for options in variants() {
        let running = Running::start(&options);
        let mut sender = running.join();
        for round in 0..200_u32 {
            // No handshake of any kind: the connection is established, and that is all.
            let mut next = running.connect();
            send(&mut sender, &round.to_le_bytes());
            assert_eq!(receive(&mut next).expect("its first message"), round.to_le_bytes());
        }
    }
}

#[test]
fn it_listens_on_several_addresses_and_prints_each() {
    let leases = [
        PortLease::take(IpAddr::from([127, 0, 0, 1])).expect("a port"),
        PortLease::take(IpAddr::V6(Ipv6Addr::LOCALHOST)).expect("a port"),
    ];
    let addresses = leases.each_ref().map(|lease| lease.address().to_string());
    let mut server = Command::new(PROGRAM)
        .args(&addresses)
        .args(["--log-level", "error"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(server.stdout.take().expect("a pipe")).lines();
    for address in &addresses {
        let line = lines.next().expect("a line").expect("text");
        assert_eq!(line, format!("listening on {address}"));
    }
    let mut by_4 = TcpStream::connect(&addresses[0]).expect("IPv4");
    let mut by_6 = TcpStream::connect(&addresses[1]).expect("IPv6");
    send(&mut by_4, b"four");
    assert_eq!(receive(&mut by_6).expect("a message"), b"four");
    send(&mut by_6, b"six");
    assert_eq!(read_until(&mut by_4, b"six"), [&b"four"[..], b"six"]);
    server.kill().expect("it is there");
    server.wait().expect("it ends");
}

#[test]
fn frames_may_arrive_byte_by_byte_and_have_any_length() {
    for options in variants() {
        let running = Running::start(&options);
        let mut reader = running.join();
        let mut writer = running.connect();
        for byte in frame(b"in pieces") {
            writer.write_all(&[byte]).expect("a byte");
        }
        for length in 0..=255_u8 {
            let body: Vec<u8> = (0..length).map(|at| at ^ length).collect();
            send(&mut writer, &body);
        }
        read_until(&mut reader, b"in pieces");
        for length in 0..=255_u8 {
            let body: Vec<u8> = (0..length).map(|at| at ^ length).collect();
            assert_eq!(receive(&mut reader).expect("a message"), body);
        }
    }
}

/// How many messages bring a connection to where the kernel delays acknowledgements, by 40 ms.
const ANSWERED_MESSAGES: usize = 30;
/// How many headers are then sent alone.
const HEADERS_ALONE: usize = 10;

#[test]
fn a_body_that_waits_for_the_acknowledgement_of_its_header_is_not_held_up() {
    for options in variants() {
        let running = Running::start(&options);
        let mut client = running.join();
        client.set_nodelay(false).expect("Nagle's algorithm");
        for _ in 0..ANSWERED_MESSAGES {
            send(&mut client, b"in one segment");
            receive(&mut client).expect("its echo");
        }
        let mut fastest = Duration::MAX;
        for _ in 0..HEADERS_ALONE {
            let begun = Instant::now();
            client.write_all(&[4]).expect("the header leaves at once");
            client.write_all(b"body").expect("the body waits in the kernel");
            assert_eq!(receive(&mut client).expect("its echo"), b"body");
            fastest = fastest.min(begun.elapsed());
        }
        // The fastest of them, because a busy machine makes some slow.
        assert!(fastest < Duration::from_millis(25), "{options:?}: {fastest:?}");
    }
}
