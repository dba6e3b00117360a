//! The suite over a service of several servers: its clients are spread over them, and one order is
//! decided for all.
//!
//! A few cases run by default, and all with `ZILLIONS_TESTS=all`.

use std::process::Command;

use crate::metrics::{endpoint, get};
use crate::nats::{Nats, is_installed};
use crate::support::{Running, eventually};

const ZILLIONS: &str = env!("CARGO_BIN_EXE_zillions");

/// Cases whose clients are at more than one server, of different clauses.
const SHORT: [&str; 6] = [
    "fanout/two",
    "fanout/leavers",
    "order/two-*",
    "order/many-senders",
    "drops/none-alone",
    "frame/spec-*",
];

/// Waits until all are ready, and checks them as one server.
fn check(servers: &[&Running]) {
    for server in servers {
        eventually("it is ready", || get(&endpoint(server), "/readyz").0 == 200);
    }
    let mut command = Command::new(ZILLIONS);
    command.args(["check", "--strict"]);
    for server in servers {
        command.args(["--connect", &server.server.address().to_string()]);
    }
    if !zillions_testing::runs_all() {
        command.args(SHORT.iter().flat_map(|case| ["--case", case]));
    }
    let ended = command.output().expect("it runs");
    let text = [ended.stdout, ended.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    println!("{}{}", text[0], text[1]);
    assert_eq!(ended.status.code(), Some(0), "{}{}", text[0], text[1]);
}

#[test]
fn three_nodes_on_three_nats_servers_are_one_server() {
    if !is_installed() {
        return;
    }
    let nats = Nats::start(3);
    let urls = nats.urls();
    let node = |_| Running::start(&["--cluster", &urls, "--metrics", "127.0.0.1:0"]);
    let nodes: [Running; 3] = [0, 1, 2].map(node);
    check(&nodes.each_ref());
}

#[test]
fn a_tree_of_three_levels_is_one_server() {
    let start = |upstream: &Running| {
        let upstream = upstream.server.address().to_string();
        Running::start(&["--upstream", &upstream, "--metrics", "127.0.0.1:0"])
    };
    let root = Running::start(&["--metrics", "127.0.0.1:0"]);
    let middle = start(&root);
    let leaf = start(&middle);
    check(&[&root, &middle, &leaf]);
}
