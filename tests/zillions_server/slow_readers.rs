//! What happens to clients that do not read, and to the others.

use std::io::Write;
use std::net::TcpStream;

use crate::metrics::value;
use crate::support::{Running, frame, read_until, receive};

const BODY_BYTES: usize = 200;
/// Far more than the ring and the socket buffers hold together.
const MESSAGES: u32 = 100_000;

const SMALL: [&str; 8] = [
    "--ring-bytes",
    "256KiB",
    "--send-buffer-bytes",
    "16KiB",
    "--metrics",
    "127.0.0.1:0",
    "--shards",
    "2",
];

fn body(number: u32) -> Vec<u8> {
    let mut body = vec![number as u8; BODY_BYTES];
    body[..4].copy_from_slice(&number.to_le_bytes());
    body
}

/// Sends all messages, never more in flight than a reader that keeps up may be behind.
fn publish(publisher: &mut TcpStream) {
    const WINDOW: u32 = 100;
    for start in (0..MESSAGES).step_by(WINDOW as usize) {
        let numbers = start..start + WINDOW;
        let burst: Vec<u8> = numbers.clone().flat_map(|number| frame(&body(number))).collect();
        publisher.write_all(&burst).expect("the messages are sent");
        for number in numbers {
            assert_eq!(receive(publisher).expect("its own message"), body(number));
        }
    }
}

#[test]
fn dropping_costs_the_slow_client_whole_messages_and_counts_them_exactly() {
    let running = Running::start(&SMALL);
    let mut stalled = running.join();
    let mut publisher = running.join();
    running.hello(&mut stalled);
    running.hello(&mut publisher);
    publish(&mut publisher);

    // It reads again, and gets new messages again.
    let mut newest = running.hello(&mut stalled);
    newest.pop();
    let numbers: Vec<u32> = newest
        .iter()
        .filter(|message| message.len() == BODY_BYTES)
        .map(|message| u32::from_le_bytes(message[..4].try_into().expect("four bytes")))
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order, at most once");
    assert!(
        newest
            .iter()
            .filter(|m| m.len() == BODY_BYTES)
            .all(|m| m[4..] == vec![m[0]; BODY_BYTES - 4])
    );
    let missed = u64::from(MESSAGES) - numbers.len() as u64;
    assert!(missed > 0, "nothing was dropped, so nothing was tested");
    assert_eq!(value(&running, "zillions_dropped_messages_total"), missed);
}

#[test]
fn disconnecting_closes_the_slow_client_and_no_other_misses_anything() {
    let running = Running::start(&[&SMALL[..], &["--slow-reader", "disconnect"]].concat());
    let mut stalled = running.join();
    let mut publisher = running.join();
    running.hello(&mut publisher);
    publish(&mut publisher);
    while receive(&mut stalled).is_some() {}
    assert_eq!(value(&running, "zillions_dropped_messages_total"), 0);
    assert_eq!(value(&running, "reason=\"slow\""), 1);
}

#[test]
fn backpressure_makes_publishers_wait_until_the_slow_client_is_evicted() {
    let policy = ["--slow-reader", "backpressure", "--eviction-timeout-seconds", "1"];
    let running = Running::start(&[&SMALL[..], &policy].concat());
    let mut stalled = running.join();
    let mut publisher = running.join();
    running.hello(&mut publisher);
    publish(&mut publisher);
    while receive(&mut stalled).is_some() {}
    assert_eq!(value(&running, "zillions_dropped_messages_total"), 0);
    assert_eq!(value(&running, "reason=\"evicted\""), 1);
    assert!(value(&running, "zillions_backpressured_passes_total") > 0);
}

#[test]
fn backpressure_delivers_everything_to_a_slow_reader() {
    let policy = ["--slow-reader", "backpressure", "--eviction-timeout-seconds", "30"];
    let running = Running::start(&[&SMALL[..], &policy].concat());
    let mut reader = running.join();
    let mut publisher = running.join();
    let mut echo = publisher.try_clone().expect("a second handle");
    running.hello(&mut publisher);
    let writer = std::thread::spawn(move || {
        for number in 0..20_000 {
            publisher.write_all(&frame(&body(number))).expect("the messages are sent in the end");
        }
        publisher
    });
    // The publisher's own echo is read concurrently; the reader is behind all the time.
    let drain = std::thread::spawn(move || read_until(&mut echo, &body(19_999)).len());
    let mut next = 0;
    while next < 20_000 {
        let message = receive(&mut reader).expect("the stream continues");
        if message.len() == BODY_BYTES {
            assert_eq!(message, body(next));
            next += 1;
        }
    }
    drop(writer.join().expect("the writer"));
    drain.join().expect("the echo");
    assert_eq!(value(&running, "zillions_dropped_messages_total"), 0);
}
