//! Nobody who can reach the address of the metrics can use it up, or the server.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::time::Duration;

use zillions_harness::PortLease;

use crate::metrics::{ask, endpoint, get, value};
use crate::support::{PATIENCE, Running, eventually, receive, send};

/// What the process may grow by, whatever is sent to the address of the metrics. A request line of
/// 64 MiB is far beyond it.
const GROWTH_BYTES_MAX: u64 = 24 << 20;

fn peak_bytes(running: &Running) -> u64 {
    running.server.sample().expect("a sample").resident_bytes_peak
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the metrics' address");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

#[test]
fn it_answers_while_clients_have_all_descriptors_and_afterwards() {
    let options = ["--metrics", "127.0.0.1:0", "--shards", "1"];
    let running = Running::start_with(&options, Some(40));
    let address = endpoint(&running);
    let crowd: Vec<_> = (0..60).map(|_| running.connect()).collect();
    eventually("descriptors have run out", || {
        running.server.log_tail(20).iter().any(|line| line.contains("cannot accept"))
    });
    assert_eq!(get(&address, "/healthz").0, 200);
    drop(crowd);
    for _ in 0..3 {
        assert_eq!(get(&address, "/healthz").0, 200);
        drop(running.join());
    }
    let lines = running.server.log_tail(100);
    assert!(!lines.iter().any(|line| line.contains("for metrics")), "{lines:?}");
}

#[test]
fn half_requests_take_no_descriptor_that_clients_were_promised() {
    let options = ["--metrics", "127.0.0.1:0", "--max-clients", "136", "--shards", "2"];
    let running = Running::start_with(&options, Some(200));
    let address = endpoint(&running);
    let mut halves: Vec<TcpStream> = (0..120).map(|_| connect(&address)).collect();
    for half in &mut halves {
        // Those that were closed for newer ones may refuse it.
        let _ = half.write_all(b"GET /");
    }
    // The last one's turn has come: so has that of the others.
    assert_eq!(get(&address, "/healthz").0, 200);
    let mut clients: Vec<TcpStream> = (0..136).map(|_| running.join()).collect();
    send(&mut clients[0], b"to all");
    for client in &mut clients {
        while receive(client).expect("all are served") != b"to all" {}
    }
    assert_eq!(value(&running, "zillions_clients{"), 136);
    let threads = std::fs::read_dir(format!("/proc/{}/task", running.server.pid()));
    let threads = threads.expect("the server lives").count();
    assert!(threads <= 8, "{threads} threads");
}

#[test]
fn a_request_whose_body_never_comes_holds_up_nobody_and_is_closed() {
    let running = Running::start(&["--metrics", "127.0.0.1:0"]);
    let address = endpoint(&running);
    let mut silent = connect(&address);
    let mut waiting = connect(&address);
    write!(waiting, "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n")
        .expect("a request");
    assert_eq!(get(&address, "/healthz").0, 200);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).expect("its answer and the end");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // The time-out of `read_to_end` is an error.
    let mut nothing = Vec::new();
    let _reset_or_end = silent.read_to_end(&mut nothing).map_err(|error| {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it is never closed");
    });
    assert_eq!(nothing, b"");
}

#[test]
fn clients_that_never_read_or_never_end_their_request_cost_bounded_memory() {
    let running = Running::start(&["--metrics", "127.0.0.1:0"]);
    let address = endpoint(&running);
    assert_eq!(get(&address, "/metrics").0, 200);
    let before = peak_bytes(&running);
    let mut pipeline = String::new();
    for _ in 0..20_000 {
        write!(pipeline, "GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("text");
    }
    let endless = "GET /".to_owned() + &"a".repeat(64 << 20);
    // Each is written until the server has had enough of it.
    for request in [&pipeline, &endless] {
        let mut stream = connect(&address);
        stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        let _ = stream.write_all(request.as_bytes());
        assert_eq!(get(&address, "/healthz").0, 200);
        let grown = peak_bytes(&running).saturating_sub(before);
        assert!(grown <= GROWTH_BYTES_MAX, "it has grown by {grown} bytes");
    }
}

#[test]
fn what_is_not_a_request_is_refused_and_head_has_no_body() {
    let running = Running::start(&["--metrics", "127.0.0.1:0"]);
    let address = endpoint(&running);
    for (request, status) in [
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", "405"),
        ("GET /healthz HTTP/1.0\r\n\r\n", "200"),
        ("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let mut stream = connect(&address);
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert_eq!(answer.split(' ').nth(1), Some(status), "{request:?}: {answer}");
        let body = answer.split_once("\r\n\r\n").expect("a head").1;
        assert_eq!(body.is_empty(), request.starts_with("HEAD") || status == "400", "{body}");
    }
}

#[test]
fn it_is_the_text_format_unless_open_metrics_is_asked_for() {
    let running = Running::start(&["--metrics", "127.0.0.1:0"]);
    let address = endpoint(&running);
    for accept in ["text/plain;version=0.0.4", "*/*"] {
        let (head, body) = ask(&address, "/metrics", &format!("Accept: {accept}\r\n"));
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("# TYPE zillions_sends_total counter\n"), "{body}");
        assert!(!body.contains("# EOF"), "{body}");
    }
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.4\r\n";
    let (head, body) = ask(&address, "/metrics", accept);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.contains("# TYPE zillions_sends counter\n"), "{body}");
    assert!(body.contains("\nzillions_sends_total{shard=\"0\"} 0\n"), "{body}");
    assert!(body.contains("# TYPE zillions_clients gauge\n"), "{body}");
    assert!(body.ends_with("\n# EOF\n"), "{body}");
}

#[test]
fn an_ipv6_address_of_metrics_leaves_the_ipv4_one_to_others() {
    let lease = PortLease::take(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).expect("a port");
    let both = format!("[{}]:{}", Ipv6Addr::UNSPECIFIED, lease.address().port());
    let start = zillions_harness::StartOptions::default();
    let launch = zillions_harness::Launch {
        arguments: ["--metrics", &both].map(Into::into).to_vec(),
        ..zillions_harness::Launch::new(crate::support::PROGRAM)
    };
    let address = lease.address().to_string();
    let server = zillions_harness::Server::start(&launch, &address, &start);
    let _server = server.expect("both addresses are free");
    let local = format!("[{}]:{}", Ipv6Addr::LOCALHOST, lease.address().port());
    assert_eq!(get(&local, "/healthz").0, 200);
}
