//! Nodes of a cluster whose way to NATS is encrypted.

use std::fs;
use std::net::TcpStream;

use crate::metrics::{endpoint, get, value};
use crate::nats::{Nats, is_installed};
use crate::one_order::talk;
use crate::support::{Running, eventually};
use crate::tls::Authority;

const ADDRESS: &str = "127.0.0.1";

/// A NATS server with a certificate of this authority.
fn encrypted(authority: &Authority) -> Nats {
    authority.sign(ADDRESS);
    let path = |ending: &str| authority.path(&format!("{ADDRESS}.{ending}")).display().to_string();
    let (certificate, key) = (path("pem"), path("key"));
    let tls = ["--tls", "--tlscert", &certificate, "--tlskey", &key];
    let mut nats = Nats::prepare(1, &[&["--jetstream"], &tls[..]].concat());
    nats.start_one(0);
    nats
}

fn node_of(urls: &str, options: &[&str]) -> Running {
    let one = ["--cluster-replicas", "1", "--cluster-storage", "memory"];
    let fixed = ["--cluster", urls, "--metrics", "127.0.0.1:0"];
    Running::start(&[&fixed, &one, options].concat())
}

fn until_ready(node: &Running) {
    eventually("it is ready", || get(&endpoint(node), "/readyz").0 == 200);
}

/// Waits until it has failed several times, and returns the one line that says why.
fn only_reason(node: &Running) -> String {
    eventually("it tries again", || value(node, "zillions_upstream_failures_total") >= 3);
    let lines = node.server.log_tail(100);
    let mut reasons = lines.iter().filter(|line| line.contains("WARN"));
    let reason = reasons.next().expect("a reason").clone();
    assert_eq!(reasons.next(), None, "{reason}");
    assert_eq!(get(&endpoint(node), "/readyz").0, 503);
    reason
}

#[test]
fn nodes_that_reach_nats_over_tls_have_one_order() {
    if !is_installed() {
        return;
    }
    let authority = Authority::new();
    let nats = encrypted(&authority);
    let ca = authority.path("ca.pem").display().to_string();
    let (urls, with_scheme) = (nats.urls(), nats.urls().replace("nats://", "tls://"));
    let nodes = [&urls, &with_scheme].map(|urls| node_of(urls, &["--cluster-ca-file", &ca]));
    nodes.iter().for_each(until_ready);
    let clients: Vec<TcpStream> = nodes.iter().flat_map(|it| [it.join(), it.join()]).collect();
    talk(clients);
}

#[test]
fn a_nats_of_an_unknown_authority_is_said_once_and_the_file_is_read_again() {
    if !is_installed() {
        return;
    }
    let (authority, stranger) = (Authority::new(), Authority::new());
    let nats = encrypted(&authority);
    let ca = stranger.path("ca.pem").display().to_string();
    let node = node_of(&nats.urls(), &["--cluster-ca-file", &ca]);
    let reason = only_reason(&node);
    assert!(reason.contains("name it with --cluster-ca-file"), "{reason}");
    fs::copy(authority.path("ca.pem"), &ca).expect("a file");
    until_ready(&node);
    node.join();
}

#[test]
fn a_nats_of_another_name_and_one_that_is_not_encrypted_are_refused() {
    if !is_installed() {
        return;
    }
    let authority = Authority::new();
    let nats = encrypted(&authority);
    let ca = ["--cluster-ca-file", &authority.path("ca.pem").display().to_string()];
    let node = node_of(&nats.urls().replace(ADDRESS, "localhost"), &ca);
    let reason = only_reason(&node);
    assert!(reason.contains("certificate not valid for name"), "{reason}");
    let plain = Nats::start(1);
    let node = node_of(&plain.urls(), &ca);
    let reason = only_reason(&node);
    assert!(
        reason.contains("it does not speak TLS there: leave out tls:// and --cluster-ca-file"),
        "{reason}"
    );
}
