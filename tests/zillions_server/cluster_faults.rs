//! Nodes of a cluster while NATS servers and nodes fail: what all clients sent and received is judged
//! by the exact checker, and nothing may be lost.
//!
//! A short part runs by default, and more rounds with `ZILLIONS_TESTS=all`. As many as one likes:
//! `ZILLIONS_CLUSTER_ROUNDS=100 cargo test --test zillions_server cluster_faults`.

mod clients;
mod core_nats;
mod links;

use std::time::{Duration, Instant};

use zillions_harness::Signal;
use zillions_ordering::check;
use zillions_testing::Dice;

use crate::metrics::{endpoint, get, value};
use crate::nats::{Nats, is_installed};
use crate::support::{Running, eventually};
use clients::Round;
use core_nats::CoreNode;
use links::Link;

const NODES: usize = 3;
const CLIENTS_PER_NODE: usize = 2;
const ROUNDS_SHORT: usize = FAULTS.len();
const ROUNDS_LONG: usize = 4 * FAULTS.len();
/// The environment variable that says how many rounds there are.
const ROUNDS_VARIABLE: &str = "ZILLIONS_CLUSTER_ROUNDS";
/// From the end of a fault until every client has a new message back, at most: what is promised.
/// NATS itself takes seconds for elections, and the machine may be busy.
const RECOVERY_TIME_MAX: Duration = Duration::from_secs(60);

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug)]
enum Fault {
    LeaderKilled,
    NodeKilled,
    /// As if its links were cut: it takes connections, and answers nothing.
    LeaderStopped,
    AllNatsKilled,
    /// Nothing passes between a node and NATS: its connections are cut, or stay and carry nothing,
    /// and what was under way comes late, or never.
    LinkCut,
}

const FAULTS: [Fault; 5] = [
    Fault::LeaderKilled,
    Fault::NodeKilled,
    Fault::LinkCut,
    Fault::LeaderStopped,
    Fault::AllNatsKilled,
];

fn rounds() -> usize {
    match std::env::var(ROUNDS_VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("invalid {ROUNDS_VARIABLE} '{text}'")),
        Err(_) if zillions_testing::runs_all() => ROUNDS_LONG,
        Err(_) => ROUNDS_SHORT,
    }
}

/// What the rounds are played on.
struct Cluster {
    nats: Nats,
    /// The way of each node to NATS.
    links: Vec<Link>,
    nodes: Vec<Running>,
}

impl Cluster {
    fn start() -> Self {
        // Told of each other's addresses, clients of NATS would find a way around the links.
        let mut nats = Nats::prepare(3, &["--jetstream", "--no_advertise"]);
        (0..3).for_each(|member| nats.start_one(member));
        let links: Vec<Link> = (0..NODES).map(|_| Link::new(&nats, 3)).collect();
        let nodes = links.iter().map(start_node).collect();
        Self { nats, links, nodes }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (number, node) in self.nodes.iter().enumerate() {
                println!("the log of node {number}:\n{}", node.server.log_tail(40).join("\n"));
            }
        }
    }
}

fn start_node(link: &Link) -> Running {
    let urls = link.urls();
    let fixed = ["--cluster", &urls, "--metrics", "127.0.0.1:0", "--shards", "2"];
    // A client of a busy machine may be slow; dropping messages for it is not what is tested.
    let patient = ["--slow-reader", "backpressure", "--eviction-timeout-seconds", "60"];
    let node = Running::start(&[&fixed[..], &patient].concat());
    eventually("a node is ready", || is_ready(&node));
    node
}

fn is_ready(node: &Running) -> bool {
    get(&endpoint(node), "/readyz").0 == 200
}

#[test]
fn whatever_fails_there_is_one_order_and_nothing_is_lost() {
    if !is_installed() {
        return;
    }
    let mut cluster = Cluster::start();
    let (mut deliveries, mut slowest) = (0, Duration::ZERO);
    for seed in 0..rounds() {
        let mut dice = Dice::new(seed as u64);
        // Each in turn, at a moment and on a victim that the seed chooses.
        let fault = FAULTS[seed % FAULTS.len()];
        let addresses = cluster.nodes.iter().map(|node| node.server.address()).collect();
        let mut round = Round::begin(addresses, CLIENTS_PER_NODE, seed as u64);
        let recovery = std::thread::scope(|scope| {
            round.talk(scope);
            round.until_echoes(1 + dice.below(300));
            let healed = strike(fault, &mut cluster, &mut round, &mut dice, scope);
            round.until_all_have_new_echoes();
            let recovery = healed.elapsed();
            round.end(cluster.nodes[dice.below(NODES)].server.address());
            recovery
        });
        assert!(recovery < RECOVERY_TIME_MAX, "round {seed}, {fault:?}: {recovery:?}");
        eventually("all nodes are ready", || cluster.nodes.iter().all(is_ready));
        let missed = |node| value(node, "zillions_upstream_missed_batches_total");
        assert_eq!(cluster.nodes.iter().map(missed).sum::<u64>(), 0, "round {seed}, {fault:?}");
        let history = round.history();
        if let Err(lost) = round.all_received_the_same() {
            panic!("round {seed}, {fault:?}: {lost}");
        }
        let verdicts = check(&history).confirmed(&history).expect("the checkers agree");
        if let Some(counterexample) = verdicts.broken().next() {
            panic!("round {seed}, {fault:?}: {counterexample}");
        }
        deliveries += history.deliveries();
        slowest = slowest.max(recovery);
        println!("round {seed}: {fault:?}, {} deliveries, {recovery:.1?}", history.deliveries());
    }
    println!(
        "{} rounds, {deliveries} deliveries, 0 violations, 0 lost, recovery in at most {slowest:.1?}",
        rounds()
    );
}

/// Injects the fault, and repairs it: the moment since which all is well.
fn strike<'scope>(
    fault: Fault,
    cluster: &mut Cluster,
    round: &mut Round,
    dice: &mut Dice,
    scope: &'scope std::thread::Scope<'scope, '_>,
) -> Instant {
    let Cluster { nats, links, nodes } = cluster;
    match fault {
        Fault::LeaderKilled | Fault::LeaderStopped => {
            let mut leader = None;
            eventually("the stream has a leader", || {
                leader = nats.leader("main");
                leader.is_some()
            });
            let leader = leader.expect("it was found");
            if matches!(fault, Fault::LeaderKilled) {
                nats.kill(leader);
                // The others go on without it.
                round.until_all_have_new_echoes();
                nats.start_one(leader);
            } else {
                nats.signal(leader, Signal::STOP);
                round.until_all_have_new_echoes();
                nats.signal(leader, Signal::CONT);
            }
        }
        Fault::NodeKilled => {
            let victim = dice.below(NODES);
            round.node_will_end(victim);
            nodes[victim].server.signal(Signal::KILL);
            eventually("the node has ended", || nodes[victim].server.exited().is_some());
            round.until_all_have_new_echoes();
            nodes[victim] = start_node(&links[victim]);
            round.join(scope, victim, nodes[victim].server.address(), CLIENTS_PER_NODE);
        }
        Fault::AllNatsKilled => {
            (0..3).for_each(|member| nats.kill(member));
            eventually("all nodes know", || nodes.iter().all(|node| !is_ready(node)));
            (0..3).for_each(|member| nats.start_one(member));
        }
        Fault::LinkCut => {
            let victim = dice.below(NODES);
            cut(&links[victim], &nodes[victim], dice, || {
                round.until_others_have_new_echoes(victim)
            });
        }
    }
    Instant::now()
}

/// Cuts the way of a node in one of three manners, and repairs it. The others go on meanwhile.
fn cut(link: &Link, node: &Running, dice: &mut Dice, until_others_go_on: impl Fn()) {
    let failures = || value(node, "zillions_upstream_failures_total");
    let before = failures();
    // Stopped, the node waits for answers and gives its connection up; what it had sent there comes
    // late then, after it has connected anew, or is lost.
    let [stops, loses] = [[false, true], [true, false], [true, true]][dice.below(3)];
    if stops {
        link.stop();
    } else {
        link.cut();
    }
    until_others_go_on();
    eventually("the node gives its connection up", || failures() > before);
    if stops && loses {
        link.cut();
    }
    link.repair();
}

/// That the test can fail: the same clients, on nodes of a few lines that publish to core NATS,
/// which keeps the order of each publisher and no other.
#[test]
fn on_core_nats_the_same_clients_see_different_orders() {
    const ROUNDS_MAX: u64 = 50;
    if !is_installed() {
        return;
    }
    let mut nats = Nats::prepare(3, &[]);
    (0..3).for_each(|member| nats.start_one(member));
    nats.until_routed();
    for seed in 0..ROUNDS_MAX {
        let nodes: Vec<CoreNode> =
            (0..NODES).map(|member| CoreNode::start(nats.address(member))).collect();
        let addresses = nodes.iter().map(|node| node.address).collect();
        let round = Round::begin(addresses, CLIENTS_PER_NODE, seed);
        std::thread::scope(|scope| {
            round.talk(scope);
            round.until_echoes(300);
            round.end(nodes[0].address);
        });
        let verdicts = check(&round.history());
        if verdicts.total.is_err() {
            assert!(round.all_received_the_same().is_err(), "they disagree");
            assert!(verdicts.fifo.is_ok() && verdicts.integrity.is_ok(), "that NATS does keep");
            return;
        }
    }
    panic!("core NATS has kept one order for {ROUNDS_MAX} rounds");
}
