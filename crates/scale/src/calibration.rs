//! What the model says of a tree that was measured.

use crate::costs::{Costs, Machine};
use crate::{Load, Order, Topology, simulate};

/// One measurement of `examples/measure.rs`.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Where the clients were.
    pub place: &'static str,
    /// How many servers there are at each level down to them.
    pub levels: &'static [u64],
    /// Servers beside the root, whether clients are there or not.
    pub edges: f64,
    /// Time until another client received the message, in nanoseconds: a tenth was faster.
    pub latency_ns: f64,
    /// CPU time of all servers for a delivery to one of the sixteen clients, in nanoseconds.
    pub cpu_ns: f64,
    /// Whether a cost was chosen so that latency, and CPU time, are near this one.
    pub fitted: [bool; 2],
}

/// Clients of the measured tree.
const CLIENTS: u64 = 16;

/// The machine was shared: the best tenth was disturbed least.
const QUIET: f64 = 0.1;

/// All servers had one shard, and the network was the loopback device.
const LOOPBACK: Machine =
    Machine { cores: 1.0, gigabits_per_second: 100.0, memory_bytes: f64::INFINITY };

/// Latency of the model, in nanoseconds, for messages that are said one at a time: that which a
/// tenth of the deliveries stays below.
#[must_use]
pub fn latency_ns(costs: &Costs, measured: &Measured) -> f64 {
    let topology =
        Topology { order: Order::Root, levels: measured.levels.to_vec(), clients: CLIENTS };
    let mut figures = costs.on(LOOPBACK);
    figures.link_ns = 0.0;
    let load = Load { messages_per_second: 20.0, duration_ns: 50_000_000_000 };
    simulate(&topology, &figures, load, None, 1).latency.value_at_quantile(QUIET) as f64
}

/// CPU time of the model for a delivery, in nanoseconds, that of the edges included: each is sent
/// every message, wherever the clients are.
#[must_use]
pub fn cpu_ns(costs: &Costs, measured: &Measured) -> f64 {
    let (clients, edges) = (CLIENTS as f64, measured.edges);
    let up = measured.levels.len() as f64 - 1.0;
    let sends = costs.send.value * (clients + edges);
    (sends + costs.down.value * edges + costs.up.value * up) / clients
}

/// A server alone and the tree on loopback, one message at a time: of three runs the one between.
pub const MEASURED: [Measured; 4] = [
    Measured {
        place: "at a server alone",
        levels: &[1],
        edges: 0.0,
        latency_ns: 41_000.0,
        cpu_ns: 4355.0,
        fitted: [true, true],
    },
    Measured {
        place: "at the root of six edges",
        levels: &[1],
        edges: 6.0,
        latency_ns: 105_000.0,
        cpu_ns: 11_613.0,
        fitted: [false, true],
    },
    Measured {
        place: "at its two edges",
        levels: &[1, 2],
        edges: 6.0,
        latency_ns: 165_000.0,
        cpu_ns: 16_956.0,
        fitted: [true, true],
    },
    Measured {
        place: "at their four edges",
        levels: &[1, 2, 4],
        edges: 6.0,
        latency_ns: 204_000.0,
        cpu_ns: 19_689.0,
        fitted: [false, false],
    },
];
