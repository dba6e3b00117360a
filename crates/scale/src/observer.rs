//! The servers whose clients are looked at, and what they receive.

use hdrhistogram::Histogram;

use crate::Topology;

/// A server gets the same messages as all others of its level, so some show what all do.
const SERVERS_MAX: u64 = 64;

/// At one server, clients are sent to one after the other: so many of them are looked at, and each
/// stands for those beside it.
const POSITIONS: u64 = 8;

/// Three digits, as far as an hour.
const HIGHEST_NS: u64 = 3_600_000_000_000;

/// Counts what the clients of some servers of the last level receive.
pub(crate) struct Observer {
    /// The servers, ascending.
    pub(crate) servers: Vec<u64>,
    /// How many clients each has.
    clients: Vec<u64>,
    pub(crate) latency: Histogram<u64>,
}

impl Observer {
    pub(crate) fn new(topology: &Topology) -> Self {
        let all = topology.levels[topology.last()];
        let observed = all.min(SERVERS_MAX);
        let spread = |it| (u128::from(it) * u128::from(all) / u128::from(observed)) as u64;
        let servers: Vec<u64> = (0..observed).map(spread).collect();
        let clients = servers.iter().map(|&it| topology.below(topology.last(), it)).collect();
        let latency = Histogram::new_with_bounds(1, HIGHEST_NS, 3).expect("valid bounds");
        Self { servers, clients, latency }
    }

    /// The clients of all observed servers.
    pub(crate) fn clients(&self) -> u64 {
        self.clients.iter().sum()
    }

    /// The clients of the observed servers at or below `node` of `level`.
    pub(crate) fn clients_below(&self, topology: &Topology, level: usize, node: u64) -> u64 {
        let servers = self.servers.iter().zip(&self.clients);
        servers.filter(|it| topology.ancestor(*it.0, level) == node).map(|it| it.1).sum()
    }

    /// Records that the clients of `server`, which is observed, are sent a message in a pass that
    /// takes `pass_ns`, starts at `start` and ends with the last of them. Returns how many they are.
    pub(crate) fn deliver(&mut self, server: u64, said: u64, start: u64, pass_ns: u64) -> u64 {
        let index = self.servers.binary_search(&server).expect("an observed server");
        let clients = self.clients[index];
        let (each, rest) = (clients / POSITIONS, clients % POSITIONS);
        for position in 0..POSITIONS {
            let stands_for = each + u64::from(position < rest);
            let sent = start + pass_ns * (2 * position + 1) / (2 * POSITIONS);
            self.latency.saturating_record_n(sent - said, stands_for);
        }
        clients
    }
}
