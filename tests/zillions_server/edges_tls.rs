//! Edges whose way to the upstream server is encrypted.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};

use zillions_harness::{PortLease, Signal};

use crate::config::{Configured, outcome};
use crate::metrics::{endpoint, get, value};
use crate::one_order::talk;
use crate::support::{Running, eventually, read_until, receive, send, talk_to_the_end};
use crate::tls::Authority;

/// A server at a plain address and at a `tls://` address.
struct Encrypted {
    configured: Configured,
    plain: String,
    tls: String,
    metrics: String,
}

impl Encrypted {
    fn start(authority: &Authority, of_room: &str) -> Self {
        Self::start_at("127.0.0.1:0", authority, of_room)
    }

    fn start_at(tls: &str, authority: &Authority, of_room: &str) -> Self {
        let mut configured = Configured::start(&format!(
            "[server]\nmetrics = \"127.0.0.1:0\"\n[tls]\n{}[[room]]\nname = \"lobby\"\nlisten = [\"127.0.0.1:0\", \"tls://{tls}\"]\n{of_room}",
            authority.options()
        ));
        let plain = configured.next_address();
        let tls = configured.next_address().strip_prefix("tls://").expect("its address").to_owned();
        let line = configured.log_line_with("metrics");
        let metrics = line.split("address=").nth(1).expect("an address").trim().to_owned();
        Self { configured, plain, tls, metrics }
    }

    /// Where an edge reaches it by its certificate's name.
    fn upstream(&self) -> String {
        by_name(&self.tls)
    }

    /// A client that is certainly registered.
    fn join(&self) -> TcpStream {
        let mut client = self.configured.connect(&self.plain);
        let hello = format!("hello from {}", client.local_addr().expect("an address"));
        send(&mut client, hello.as_bytes());
        read_until(&mut client, hello.as_bytes());
        client
    }
}

fn by_name(address: &str) -> String {
    address.replace("127.0.0.1", "tls://localhost")
}

/// An authority that has signed for localhost.
fn signed() -> Authority {
    let authority = Authority::new();
    authority.sign("localhost");
    authority
}

fn ca(authority: &Authority) -> String {
    authority.path("ca.pem").display().to_string()
}

/// What makes an edge of this upstream.
fn edge_options<'text>(upstream: &'text str, ca: &'text str) -> [&'text str; 6] {
    ["--upstream", upstream, "--upstream-ca-file", ca, "--metrics", "127.0.0.1:0"]
}

/// How often it has logged this.
fn logged(running: &Running, text: &str) -> usize {
    running.server.log_tail(100).iter().filter(|line| line.contains(text)).count()
}

fn until_ready(edge: &Running) {
    eventually("the edge is ready", || get(&endpoint(edge), "/readyz").0 == 200);
}

#[test]
fn an_encrypted_tree_of_three_levels_has_one_order() {
    let authority = signed();
    let ca = ca(&authority);
    let root = Encrypted::start(&authority, "");
    // It is there before the edges are: what it says is not under way to them later.
    let mut witness = root.join();
    let upstream = root.upstream();
    let keys = format!("upstream = [\"{upstream}\"]\nupstream_ca_file = \"{ca}\"\n");
    let middle = Encrypted::start(&authority, &keys);
    let upstream = middle.upstream();
    // It appends less at once than one record of TLS holds.
    let small = ["--ring-bytes", "16KiB", "--slow-reader", "backpressure"];
    let leaf = Running::start(&[&edge_options(&upstream, &ca)[..], &small].concat());
    until_ready(&leaf);
    for _ in 0..20 {
        talk_to_the_end(leaf.connect(), &mut witness);
    }
    drop(witness);
    talk(vec![root.join(), root.join(), middle.join(), middle.join(), leaf.join(), leaf.join()]);
    assert_eq!(value(&leaf, "zillions_upstream_unconfirmed_messages_total"), 0);
}

#[test]
fn an_encrypted_edge_that_stops_sends_up_what_it_has_read() {
    const MESSAGES: u32 = 5000;
    let authority = signed();
    let ca = ca(&authority);
    let root = Encrypted::start(&authority, "slow_reader = \"backpressure\"\n");
    let mut witness = root.join();
    let upstream = root.upstream();
    let patient = ["--drain-timeout-seconds", "60", "--slow-reader", "backpressure"];
    let edge = Running::start(&[&edge_options(&upstream, &ca)[..], &patient].concat());
    let mut client = edge.join();
    receive(&mut witness).expect("its hello");
    let mut sink = client.try_clone().expect("a handle");
    let back = std::thread::scope(|scope| {
        let counting = scope.spawn(move || {
            let mut received = 0;
            while let Some(message) = receive(&mut sink) {
                assert_eq!(message[..4], u32::to_be_bytes(received));
                received += 1;
            }
            received
        });
        for number in 0..MESSAGES {
            send(&mut client, &[&number.to_be_bytes()[..], &[7; 200]].concat());
        }
        edge.server.signal(Signal::TERM);
        counting.join().expect("it does not panic")
    });
    eventually("it has ended", || edge.server.exited().is_some());
    assert!(edge.server.exited().expect("a status").success());
    let mut last = root.join();
    send(&mut last, b"end");
    assert_eq!(read_until(&mut witness, b"end").len(), back as usize + 2, "what it has read");
}

#[test]
fn an_unknown_authority_is_said_once_and_the_file_is_read_again() {
    let (authority, stranger) = (signed(), Authority::new());
    let root = Encrypted::start(&authority, "");
    let ca = ca(&stranger);
    let edge = Running::start(&edge_options(&root.upstream(), &ca));
    let reason = "its certificate is of an unknown authority: name it with --upstream-ca-file";
    eventually("it tries again", || value(&edge, "zillions_upstream_failures_total") >= 3);
    assert_eq!(logged(&edge, reason), 1);
    assert_eq!(get(&endpoint(&edge), "/readyz"), (503, "the upstream is not connected\n".into()));
    let mut early = edge.connect();
    send(&mut early, b"is anybody there");
    fs::copy(authority.path("ca.pem"), &ca).expect("a file");
    read_until(&mut early, b"is anybody there");
    until_ready(&edge);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = signed();
    let root = Encrypted::start(&authority, "");
    let upstream = format!("tls://{}", root.tls);
    let edge = Running::start(&edge_options(&upstream, &ca(&authority)));
    eventually("it says so", || logged(&edge, "certificate not valid for name") == 1);
    assert_eq!(value(&edge, "zillions_upstream_connected"), 0);
}

#[test]
fn one_side_that_is_encrypted_and_one_that_is_not_find_out() {
    let authority = signed();
    let root = Encrypted::start(&authority, "");
    // A plain server waits for the rest of a frame, and says nothing.
    let plain = format!("tls://{}", root.plain);
    let edge = Running::start(&edge_options(&plain, &ca(&authority)));
    eventually("it says so", || logged(&edge, "if it does not speak TLS there") == 1);
    // Others say something else.
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = other.local_addr().expect("an address");
    let edge = Running::start(&edge_options(&format!("tls://{address}"), &ca(&authority)));
    let (mut stream, _) = other.accept().expect("a connection");
    stream.write_all(b"220 welcome\r\n").expect("it is sent");
    eventually("it says so", || {
        logged(&edge, "it does not speak TLS there: leave out tls://") == 1
    });

    let edge = Running::start(&["--upstream", &root.tls]);
    let mut client = edge.connect();
    send(&mut client, &[b'x'; 200]);
    eventually("it says so", || logged(&edge, "it speaks TLS there: write tls://") == 1);
}

#[test]
fn a_loop_that_is_encrypted_in_a_part_is_found() {
    let authority = signed();
    let ca = ca(&authority);
    let own = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port");
    let own = own.address().to_string();
    let other = Running::start(&edge_options(&by_name(&own), &ca));
    let upstream = other.server.address();
    let edge = Encrypted::start_at(&own, &authority, &format!("upstream = [\"{upstream}\"]\n"));
    let endpoints = [endpoint(&other), edge.metrics];
    eventually("one of them knows", || {
        let is_found = |it: &String| get(it, "/readyz").1 == "the upstream is this edge itself\n";
        endpoints.iter().any(is_found)
    });
}

#[test]
fn options_of_an_encrypted_upstream_that_can_only_be_wrong_are_usage_errors() {
    let authority = Authority::new();
    fs::write(authority.path("empty.pem"), "").expect("a file");
    let (ca, empty) = (ca(&authority), authority.path("empty.pem").display().to_string());
    for (upstream, ca, expected) in [
        ("wss://127.0.0.1:1", &ca, "'wss://' is not supported for an upstream; tls:// is, or none"),
        ("127.0.0.1:1", &ca, "--upstream-ca-file requires an --upstream that begins with tls://"),
        ("tls://127.0.0.1:1", &"/no/file".to_owned(), "--upstream-ca-file '/no/file': cannot read"),
        ("tls://127.0.0.1:1", &empty, "there is no certificate in it; PEM is expected"),
        ("tls://127.0.0.1", &ca, "the port is missing"),
    ] {
        let options = edge_options(upstream, ca);
        let (code, stdout, stderr) = outcome(&[&options[..], &["127.0.0.1:0"]].concat());
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{upstream}: {stderr}");
        assert!(stderr.contains(expected) && stderr.lines().count() == 1, "{upstream}: {stderr}");
    }
}
