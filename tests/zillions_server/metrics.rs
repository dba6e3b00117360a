//! What operators look at: metrics, health, logs.

use std::io::{Read, Write};
use std::net::TcpStream;

use zillions_harness::Signal;

use crate::promlint::lint;
use crate::support::{PATIENCE, Running, eventually, read_until, send};

/// The address of the metrics, from the server's log.
pub(crate) fn endpoint(running: &Running) -> String {
    let mut address = String::new();
    eventually("it logs the address of the metrics", || {
        let lines = running.server.log_tail(100);
        let line = lines.iter().find(|line| line.contains("metrics"));
        let text = line.and_then(|line| line.split("address=").nth(1));
        address = text.unwrap_or_default().trim().to_owned();
        !address.is_empty()
    });
    address
}

/// The status and the body that a GET is answered with.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let (head, body) = ask(address, path, "");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, body)
}

/// The head and the body that a GET with more headers is answered with.
pub(crate) fn ask(address: &str, path: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("the metrics' address");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let headers = format!("Host: {address}\r\nConnection: close\r\n{headers}");
    write!(stream, "GET {path} HTTP/1.1\r\n{headers}\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

/// The sum of all samples whose line contains `name`.
pub(crate) fn value(running: &Running, name: &str) -> u64 {
    let (status, text) = get(&endpoint(running), "/metrics");
    assert_eq!(status, 200);
    let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains(name));
    let values: Vec<u64> =
        lines.map(|line| line.rsplit(' ').next().unwrap().parse().expect("a number")).collect();
    assert!(!values.is_empty(), "no {name} in {text}");
    values.iter().sum()
}

#[test]
fn metrics_count_what_happened() {
    let running = Running::start(&["--metrics", "127.0.0.1:0", "--shards", "2"]);
    eventually("the harness's own connection is closed", || {
        value(&running, "zillions_clients{") == 0
    });
    let mut clients = [running.connect(), running.connect()];
    for number in 0..10_u8 {
        send(&mut clients[0], &[number]);
    }
    clients.iter_mut().for_each(|client| drop(read_until(client, &[9])));
    eventually("everything is counted", || value(&running, "zillions_sent_messages_total") == 20);
    for (name, expected) in [
        ("zillions_clients{", 2),
        ("zillions_lagging_clients{", 0),
        ("zillions_received_messages_total", 10),
        ("zillions_received_bytes_total", 20),
        ("zillions_sent_bytes_total", 40),
        ("zillions_dropped_messages_total", 0),
    ] {
        assert_eq!(value(&running, name), expected, "{name}");
    }
    let sends = value(&running, "zillions_sends_total");
    assert!((2..=20).contains(&sends), "{sends}");
    assert!(value(&running, "zillions_passes_total") > 0);
}

#[test]
fn the_exposition_keeps_the_conventions_of_prometheus() {
    let running = Running::start(&["--metrics", "127.0.0.1:0", "--shards", "2"]);
    let (status, text) = get(&endpoint(&running), "/metrics");
    assert_eq!(status, 200);
    assert_eq!(lint(&text), Vec::<String>::new(), "{text}");
    for metric in ["zillions_backpressured_passes_total", "zillions_connections_rejected_total"] {
        assert!(text.contains(metric), "{metric}");
    }
}

#[test]
fn a_shard_that_is_busy_with_small_messages_coalesces_unless_it_is_disabled() {
    let coalesced = |delay_max: &str| {
        let options = ["--shards", "1", "--max-coalesce-microseconds", delay_max];
        let running = Running::start(&[&options[..], &["--metrics", "127.0.0.1:0"]].concat());
        // So many that sending to all takes longer than until the next message arrives.
        let mut clients: Vec<TcpStream> = (0..64).map(|_| running.connect()).collect();
        let mut passes = 0;
        for _ in 0..50 {
            for _ in 0..200 {
                send(&mut clients[0], b"");
            }
            passes = value(&running, "zillions_coalesced_passes_total");
            if passes > 0 {
                break;
            }
        }
        passes
    };
    assert_eq!(coalesced("0"), 0);
    // Where server and publisher share a processor, one mostly waits for the other.
    eventually("a shard coalesces", || coalesced("100") > 0);
}

#[test]
fn health_and_readiness_are_served_and_nothing_else() {
    let running = Running::start(&["--metrics", "127.0.0.1:0"]);
    let address = endpoint(&running);
    assert_eq!(get(&address, "/healthz"), (200, "ok\n".into()));
    assert_eq!(get(&address, "/readyz"), (200, "ready\n".into()));
    assert_eq!(get(&address, "/elsewhere").0, 404);
}

#[test]
fn log_lines_are_json_if_asked() {
    let running = Running::start(&["--log-format", "json", "--log-level", "debug"]);
    drop(running.join());
    eventually("a client disconnected", || {
        let lines = running.server.log_tail(100);
        let ended = |line: &serde_json::Value| line["message"] == "client disconnected";
        let parsed = lines.iter().map(|line| serde_json::from_str(line).expect("JSON"));
        parsed.filter(ended).any(|line| line["reason"] == "closed" && line["dropped"] == 0)
    });
    running.server.signal(Signal::TERM);
}
