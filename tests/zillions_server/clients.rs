//! Clients that misbehave do not affect others, and leave nothing behind.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::support::{Running, eventually, receive, send, talk_to_the_end};

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
}

#[test]
fn an_incomplete_frame_delays_nobody_and_is_never_delivered() {
    let running = Running::start(&["--shards", "2"]);
    let mut witness = running.join();
    let mut slow = running.connect();
    slow.write_all(b"\x05ab").expect("three bytes");
    for round in 0..100_u8 {
        send(&mut witness, &[round]);
        assert_eq!(receive(&mut witness).expect("a message"), [round]);
    }
    slow.shutdown(Shutdown::Write).expect("half a close");
    reset(running.connect());
    let mut broken = running.connect();
    broken.write_all(b"\xffabc").expect("four bytes");
    reset(broken);
    send(&mut witness, b"last");
    assert_eq!(receive(&mut witness).expect("a message"), b"last");
}

#[test]
fn a_client_that_closes_its_sending_side_gets_its_own_messages_back_and_then_the_end() {
    let running = Running::start(&["--shards", "2"]);
    let mut witness = running.join();
    for _ in 0..50 {
        talk_to_the_end(running.connect(), &mut witness);
    }
}

#[test]
fn thousands_of_short_connections_leave_nothing_behind() {
    let running = Running::start(&["--shards", "2"]);
    let mut witness = running.join();
    let before = running.server.sample().expect("a sample");
    for round in 0..3000_u32 {
        let mut client = running.connect();
        match round % 3 {
            0 => reset(client),
            1 => client.write_all(b"\x07part").expect("half a frame"),
            _ => drop(client),
        }
    }
    eventually("the descriptors are closed", || running.descriptors() == before.descriptors);
    let after = running.server.sample().expect("a sample");
    let grown = after.resident_bytes.saturating_sub(before.resident_bytes);
    assert!(grown < 2 << 20, "{grown} bytes are leaked");
    running.hello(&mut witness);
}
