//! Nodes of a cluster: one order over several servers, made by a stream of a real NATS server.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::thread;

use zillions_harness::Signal;

use crate::metrics::{endpoint, get, value};
use crate::nats::{Nats, is_installed};
use crate::one_order::talk;
use crate::promlint::lint;
use crate::support::{PROGRAM, Running, eventually, read_until, receive, send, talk_to_the_end};

/// What one NATS server alone can hold.
const ONE: [&str; 4] = ["--cluster-replicas", "1", "--cluster-storage", "memory"];

/// A node that may not be ready yet.
fn unready_node_of(nats: &Nats, options: &[&str]) -> Running {
    let urls = nats.urls();
    let fixed = ["--cluster", &urls, "--metrics", "127.0.0.1:0", "--shards", "2"];
    Running::start(&[&fixed, options].concat())
}

fn node_of(nats: &Nats, options: &[&str]) -> Running {
    let node = unready_node_of(nats, options);
    until_ready(&node);
    node
}

fn until_ready(node: &Running) {
    eventually("it is ready", || get(&endpoint(node), "/readyz").0 == 200);
}

fn until_logged(node: &Running, text: &str) {
    let logs = || node.server.log_tail(100).join("\n");
    eventually(text, || logs().contains(text));
}

#[test]
fn three_nodes_have_one_order() {
    if !is_installed() {
        return;
    }
    let nats = Nats::start(1);
    let nodes: Vec<Running> = (0..3).map(|_| node_of(&nats, &ONE)).collect();
    let clients: Vec<TcpStream> = nodes.iter().flat_map(|it| [it.join(), it.join()]).collect();
    talk(clients);
    let (_, text) = get(&endpoint(&nodes[0]), "/metrics");
    assert_eq!(lint(&text), Vec::<String>::new(), "{text}");
    assert_eq!(value(&nodes[0], "zillions_upstream_under_way_messages"), 0);
}

#[test]
fn rooms_of_one_nats_are_apart() {
    if !is_installed() {
        return;
    }
    let nats = Nats::start(1);
    let rooms = ["hall", "attic"].map(|room| [&ONE[..], &["--cluster-room", room]].concat());
    let [hall, attic] = rooms.each_ref().map(|options| node_of(&nats, options));
    let (mut in_hall, mut in_attic) = (hall.join(), attic.join());
    send(&mut in_hall, b"not up there");
    read_until(&mut in_hall, b"not up there");
    send(&mut in_attic, b"nor down there");
    assert_eq!(receive(&mut in_attic).expect("its own"), b"nor down there");
}

#[test]
fn a_client_of_a_node_that_closes_its_sending_side_gets_its_messages_back_and_then_the_end() {
    if !is_installed() {
        return;
    }
    let nats = Nats::start(1);
    let nodes = [node_of(&nats, &ONE), node_of(&nats, &ONE)];
    let mut witness = nodes[1].join();
    // A node that lags would deliver the witness's hello to the first client.
    let _caught_up = nodes[0].join();
    receive(&mut witness).expect("its hello");
    for _ in 0..20 {
        talk_to_the_end(nodes[0].connect(), &mut witness);
    }
    assert_eq!(value(&nodes[0], "zillions_upstream_unconfirmed_messages_total"), 0);
}

#[test]
fn a_node_that_stops_publishes_and_reads_back_what_it_has_read() {
    const MESSAGES: u32 = 2000;
    if !is_installed() {
        return;
    }
    let nats = Nats::start(1);
    let other = node_of(&nats, &ONE);
    let mut witness = other.join();
    let node = node_of(&nats, &[&ONE[..], &["--drain-timeout-seconds", "60"]].concat());
    let mut client = node.join();
    receive(&mut witness).expect("its hello");
    for number in 0..MESSAGES {
        send(&mut client, &number.to_be_bytes());
    }
    // One is back, so all have been read or are about to be; which ones, the count says.
    assert_eq!(receive(&mut client).expect("an echo"), 0_u32.to_be_bytes());
    node.server.signal(Signal::TERM);
    let mut received = 1;
    while let Some(message) = receive(&mut client) {
        assert_eq!(message, u32::to_be_bytes(received));
        received += 1;
    }
    eventually("it has ended", || node.server.exited().is_some());
    assert!(node.server.exited().expect("a status").success());
    let mut last = other.join();
    send(&mut last, b"end");
    assert_eq!(read_until(&mut witness, b"end").len(), received as usize + 2, "what it has read");
}

#[test]
fn a_node_waits_for_nats_and_what_its_clients_say_waits_too() {
    if !is_installed() {
        return;
    }
    let mut nats = Nats::prepare(1, &["--jetstream"]);
    let options = ["--cluster-replicas", "1"];
    let nodes = [unready_node_of(&nats, &options), unready_node_of(&nats, &options)];
    let unready = (503, "the cluster is not connected\n".to_owned());
    assert_eq!(get(&endpoint(&nodes[0]), "/readyz"), unready);
    let mut early = nodes[0].connect();
    send(&mut early, b"is anybody there");
    nats.start_one(0);
    nodes.iter().for_each(until_ready);
    read_until(&mut early, b"is anybody there");

    // It is killed and comes back, with what it has stored: nothing is lost, nothing twice.
    let mut witness = nodes[1].join();
    for number in 0..100_u8 {
        send(&mut early, &[b'n', number]);
        if number == 50 {
            nats.kill(0);
            nodes.iter().for_each(|node| {
                eventually("it knows", || get(&endpoint(node), "/readyz") == unready);
            });
        }
    }
    nats.start_one(0);
    let heard = read_until(&mut witness, b"n\x63");
    let heard: Vec<u8> =
        heard.iter().filter_map(|it| it.strip_prefix(b"n")).map(|it| it[0]).collect();
    assert_eq!(heard, (0..100).collect::<Vec<_>>());
    nodes.iter().for_each(until_ready);
}

#[test]
fn what_the_stream_no_longer_has_is_counted_and_the_node_goes_on() {
    if !is_installed() {
        return;
    }
    let nats = Nats::start(1);
    let options = [&ONE[..], &["--max-cluster-bytes", "1MiB"]].concat();
    let [speaking, away] = [node_of(&nats, &options), node_of(&nats, &options)];
    let (mut speaker, mut reader) = (speaking.join(), away.join());
    away.server.signal(Signal::STOP);
    let end = u64::to_be_bytes(120_000);
    let said = thread::scope(|scope| {
        let mut sink = speaker.try_clone().expect("a handle");
        scope.spawn(move || drop(read_until(&mut sink, &[&end[..], &[7; 200]].concat())));
        for number in 0..=120_000_u64 {
            send(&mut speaker, &[&number.to_be_bytes()[..], &[7; 200]].concat());
        }
        120_000
    });
    away.server.signal(Signal::CONT);
    let mut last = None;
    while last != Some(said) {
        let message = receive(&mut reader).expect("its connection stays");
        let Some((number, &[7, ..])) = message.split_first_chunk() else { continue };
        let number = u64::from_be_bytes(*number);
        assert!(last.is_none_or(|last| last < number), "{number} comes after {last:?}");
        last = Some(number);
    }
    assert!(value(&away, "zillions_upstream_missed_batches_total") > 0);
}

#[test]
fn a_nats_that_cannot_be_used_is_said_in_one_line_and_the_node_is_not_ready() {
    if !is_installed() {
        return;
    }
    let mut nats = Nats::prepare(1, &[]);
    nats.start_one(0);
    let node = unready_node_of(&nats, &ONE);
    until_logged(&node, "is it enabled on the NATS servers (nats-server -js)");
    assert_eq!(get(&endpoint(&node), "/readyz").0, 503);

    let nats = Nats::start(1);
    let node = unready_node_of(&nats, &[]);
    until_logged(&node, "one NATS server alone holds one replica: --cluster-replicas 1");
    let _fits = node_of(&nats, &ONE);
    let node = unready_node_of(&nats, &[&ONE[..], &["--max-cluster-bytes", "1MiB"]].concat());
    until_logged(&node, "has max_bytes 268435456, and this node wants 1048576");
    assert_eq!(get(&endpoint(&node), "/readyz").0, 503);
}

#[test]
fn credentials_are_read_from_a_file() {
    if !is_installed() {
        return;
    }
    let mut nats = Nats::prepare(1, &["--jetstream", "--user", "node", "--pass", "secret"]);
    nats.start_one(0);
    let node = unready_node_of(&nats, &ONE);
    until_logged(&node, "authorization violation");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("credentials");
    fs::write(&path, "node:secret\n").expect("a file");
    let path = path.display().to_string();
    let node = node_of(&nats, &[&ONE[..], &["--cluster-credentials-file", &path]].concat());
    node.join();
}

#[test]
fn a_cluster_that_can_only_be_wrong_is_a_usage_error() {
    for (options, expected) in [
        (&["--cluster", "http://127.0.0.1:1"][..], "its scheme is neither nats nor tls"),
        (&["--cluster", "nats://me:secret@a:1"], "a URL holds a password"),
        (&["--cluster", "a", "--cluster-room", "a.b"], "invalid name of a room in a cluster 'a.b'"),
        (&["--cluster", "a", "--cluster-replicas", "2"], "--cluster-replicas 2 is not 1 or 3"),
        (&["--cluster", "a", "--upstream", "127.0.0.1:1"], "--cluster excludes --upstream"),
        (&["--cluster", "a", "--max-cluster-bytes", "7"], "is not between 1 MiB and 1024 GiB"),
        (&["--cluster", "a", "--cluster-ca-file", "/no/file"], "--cluster-ca-file: cannot read"),
        (&["--cluster-room", "a"], "--cluster-room requires --cluster"),
    ] {
        let run = Command::new(PROGRAM).arg("127.0.0.1:0").args(options).output().expect("it");
        let text = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(64), "{options:?}: {text}");
        assert!(text.contains(expected) && run.stdout.is_empty(), "{options:?}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
