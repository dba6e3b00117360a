//! Edges: one order over several servers, whatever happens between them.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use zillions_harness::{Launch, PortLease, Server, Signal, StartOptions};

use crate::metrics::{endpoint, get, value};
use crate::one_order::talk;
use crate::promlint::lint;
use crate::support::{
    PROGRAM, Running, eventually, frame, read_until, receive, send, talk_to_the_end,
};

/// An edge of the server at this address.
fn edge_of(upstream: &str) -> Running {
    Running::start(&["--upstream", upstream, "--metrics", "127.0.0.1:0", "--shards", "2"])
}

fn address(running: &Running) -> String {
    running.server.address().to_string()
}

fn lease() -> PortLease {
    PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port")
}

#[test]
fn a_tree_of_three_levels_has_one_order() {
    let root = Running::start(&["--shards", "2"]);
    let middle = edge_of(&address(&root));
    let leaves = [edge_of(&address(&middle)), edge_of(&address(&middle))];
    let servers = [&root, &middle, &leaves[0], &leaves[1]];
    let clients: Vec<TcpStream> = servers.iter().flat_map(|it| [it.join(), it.join()]).collect();
    talk(clients);
}

#[test]
fn a_root_that_is_killed_and_comes_back_costs_messages_and_nothing_else() {
    let lease = lease();
    let root_address = lease.address().to_string();
    let start = || {
        let launch = Launch::executable(PROGRAM).expect("the program");
        Server::start(&launch, &root_address, &StartOptions::default()).expect("it starts")
    };
    let root = start();
    let edges = [edge_of(&root_address), edge_of(&root_address)];
    let mut readers = edges.each_ref().map(Running::join);
    let mut publisher = edges[0].join();
    let (ends, published) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let mut sink = publisher.try_clone().expect("a handle");
        // Nobody needs what it is sent, but unread it would be a slow reader.
        scope.spawn(move || while receive(&mut sink).is_some() {});
        let publishing = scope.spawn(|| {
            for number in 0.. {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                send(&mut publisher, &[b"n".as_slice(), &u64::to_be_bytes(number)].concat());
                published.store(number, Ordering::Relaxed);
            }
            publisher.shutdown(Shutdown::Both).expect("an open connection");
        });
        let mut last = [None; 2];
        for (reader, last) in readers.iter_mut().zip(&mut last) {
            read_numbers(reader, last, 1000);
        }
        root.signal(Signal::KILL);
        eventually("the root has ended", || root.exited().is_some());
        for edge in &edges {
            eventually("the edge knows", || get(&endpoint(edge), "/readyz").0 == 503);
        }
        let _root = start();
        for edge in &edges {
            eventually("the edge is back", || get(&endpoint(edge), "/readyz").0 == 200);
        }
        // The connections go on, with what was published since, and in its order.
        let later = published.load(Ordering::Relaxed);
        for (reader, last) in readers.iter_mut().zip(&mut last) {
            read_numbers(reader, last, later);
        }
        ends.store(true, Ordering::Relaxed);
        publishing.join().expect("it could publish to the end");
    });
    assert_eq!(value(&edges[0], "zillions_upstream_connects_total"), 2);
}

/// Reads the publisher's numbers, which only grow, up to `until`.
fn read_numbers(reader: &mut TcpStream, last: &mut Option<u64>, until: u64) {
    while last.is_none_or(|last| last < until) {
        let message = receive(reader).expect("its connection stays");
        if let Some(number) = message.strip_prefix(b"n") {
            let number = u64::from_be_bytes(number.try_into().expect("eight bytes"));
            assert!(last.is_none_or(|last| last < number), "{number} comes after {last:?}");
            *last = Some(number);
        }
    }
}

#[test]
fn a_client_of_an_edge_that_closes_its_sending_side_gets_its_messages_back_and_then_the_end() {
    let root = Running::start(&[]);
    let edge = edge_of(&address(&root));
    let mut witness = root.join();
    let mut quiet = edge.join();
    quiet.shutdown(Shutdown::Write).expect("half a close");
    assert_eq!(receive(&mut quiet), None, "nothing of its own is under way");
    receive(&mut witness).expect("the hello of the quiet one");
    for _ in 0..20 {
        talk_to_the_end(edge.connect(), &mut witness);
    }
}

#[test]
fn an_edge_that_stops_brings_up_and_back_what_it_has_read() {
    const MESSAGES: u32 = 2000;
    let root = Running::start(&[]);
    let mut witness = root.join();
    let edge = Running::start(&["--upstream", &address(&root), "--drain-timeout-seconds", "60"]);
    let mut client = edge.join();
    receive(&mut witness).expect("its hello");
    for number in 0..MESSAGES {
        send(&mut client, &number.to_be_bytes());
    }
    // One is back, so all have been read or are about to be; which ones, the count says.
    assert_eq!(receive(&mut client).expect("an echo"), 0_u32.to_be_bytes());
    edge.server.signal(Signal::TERM);
    let mut received = 1;
    while let Some(message) = receive(&mut client) {
        assert_eq!(message, u32::to_be_bytes(received));
        received += 1;
    }
    eventually("it has ended", || edge.server.exited().is_some());
    assert!(edge.server.exited().expect("a status").success());
    let mut root_client = root.join();
    send(&mut root_client, b"end");
    assert_eq!(
        read_until(&mut witness, b"end").len(),
        received as usize + 2,
        "as many as it has read"
    );
}

#[test]
fn an_edge_in_a_loop_finds_out_and_refuses() {
    let leases = [lease(), lease()];
    let addresses = leases.each_ref().map(|lease| lease.address().to_string());
    let start = |own: usize| {
        let arguments = [PROGRAM, "--upstream", &addresses[1 - own], "--metrics", "127.0.0.1:0"];
        let launch = Launch {
            arguments: arguments.iter().map(std::ffi::OsString::from).collect(),
            ..Launch::new("env")
        };
        Server::start(&launch, &addresses[own], &StartOptions::default()).expect("it starts")
    };
    let edges = [start(0), start(1)];
    eventually("one of them knows", || {
        let lines = edges.iter().flat_map(|edge| edge.log_tail(100));
        lines.into_iter().any(|line| line.contains("reaches itself"))
    });
}

#[test]
fn an_upstream_that_can_only_be_wrong_is_a_usage_error() {
    let lease = lease();
    let own = lease.address().to_string();
    for (upstream, expected) in [
        (own.as_str(), "is where this server itself listens"),
        ("127.0.0.1:0", "port 0 is not a port to connect to"),
        ("127.0.0.1", "the port is missing"),
        ("nowhere.invalid:4000", "invalid address 'nowhere.invalid:4000'"),
    ] {
        let run = Command::new(PROGRAM)
            .args([own.as_str(), "--upstream", upstream])
            .output()
            .expect("it");
        let text = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(64), "{upstream}: {text}");
        assert!(text.contains(expected) && run.stdout.is_empty(), "{upstream}: {text}");
    }
}

#[test]
fn an_edge_tries_one_upstream_after_the_other_and_is_not_ready_before() {
    let lease = lease();
    let nobody = lease.address().to_string();
    let lonely = edge_of(&nobody);
    assert_eq!(get(&endpoint(&lonely), "/readyz"), (503, "the upstream is not connected\n".into()));
    let mut waiting = lonely.connect();
    send(&mut waiting, b"is anybody there");

    let root = Running::start(&[]);
    let upstreams = ["--upstream", &nobody, "--upstream", &address(&root)];
    let edge = Running::start(&[&upstreams[..], &["--metrics", "127.0.0.1:0"]].concat());
    eventually("it is ready", || get(&endpoint(&edge), "/readyz").0 == 200);
    let mut client = edge.join();
    let mut witness = root.join();
    send(&mut client, b"here");
    read_until(&mut witness, b"here");
    let (_, text) = get(&endpoint(&edge), "/metrics");
    assert_eq!(lint(&text), Vec::<String>::new(), "{text}");
    assert_eq!(value(&edge, "zillions_upstream_connected"), 1);
    assert_eq!(value(&lonely, "zillions_upstream_connected"), 0);
}

#[test]
fn an_upstream_that_does_not_read_costs_bounded_memory() {
    const OUTBOX_BYTES_MAX: u64 = 1 << 20;
    const SENT_BYTES: usize = 64 << 20;
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
    let edge = edge_of(&upstream.local_addr().expect("an address").to_string());
    let _silent: Vec<TcpStream> =
        (0..2).map(|_| upstream.accept().expect("it connects").0).collect();
    let before = edge.server.sample().expect("a sample").resident_bytes;
    let publisher = edge.connect();
    let mut writer = publisher.try_clone().expect("a handle");
    let writing =
        thread::spawn(move || writer.write_all(&frame(&[7; 255]).repeat(SENT_BYTES / 256)));
    eventually("the outbox is full", || {
        value(&edge, "zillions_upstream_outbox_bytes") > OUTBOX_BYTES_MAX - (256 << 10)
    });
    let grown = edge.server.sample().expect("a sample").resident_bytes.saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes");
    assert!(!writing.is_finished(), "the publisher waits");
    publisher.shutdown(Shutdown::Both).expect("an open connection");
    assert!(writing.join().expect("it does not panic").is_err());
}
