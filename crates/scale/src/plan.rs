//! How many clients one server should have, and what all servers cost together.

use crate::costs::{Costs, Machine};
use crate::{Order, Topology};

/// A server has so much to do at most: the other half is for bursts, and for the clients of servers
/// that have failed.
const SHARE_USED_MAX: f64 = 0.5;

/// Servers below one server, nodes at one stream.
pub(crate) const FAN_OUT: u64 = 30;

/// What each server is in the tables.
pub const MACHINE: Machine = Machine { cores: 4.0, gigabits_per_second: 10.0, memory_bytes: 16e9 };

/// What all servers need together.
#[derive(Clone, Copy, Debug)]
pub struct Bill {
    /// Cores that are busy all the time.
    pub cores: f64,
    /// Memory for clients, in bytes.
    pub memory_bytes: f64,
    /// To clients, headers and acknowledgements included.
    pub bits_per_second: f64,
}

/// How many clients a server may have in a room with so many messages a second. At least one.
#[must_use]
pub fn clients_per_server(costs: &Costs, machine: Machine, messages_per_second: f64) -> u64 {
    let cpu = machine.cores * 1e9 / (messages_per_second * costs.send.value);
    let wire = machine.gigabits_per_second * 1e9 / (messages_per_second * bits_per_delivery(costs));
    let memory = machine.memory_bytes / memory_per_client(costs);
    ((cpu.min(wire).min(memory) * SHARE_USED_MAX) as u64).max(1)
}

/// Plans for a room with so many messages a second.
#[must_use]
pub fn plan(costs: &Costs, order: Order, clients: u64, messages_per_second: f64) -> Topology {
    let each = clients_per_server(costs, MACHINE, messages_per_second);
    Topology::plan(order, clients, each, FAN_OUT)
}

/// What `topology` needs. Each message is sent to each client alone, and to each server once.
#[must_use]
pub fn bill(costs: &Costs, topology: &Topology, messages_per_second: f64) -> Bill {
    let clients = topology.clients as f64;
    let servers = topology.servers() as f64;
    let up = topology.last() as f64 * costs.up.value;
    let cpu_ns = (clients + servers) * costs.send.value + servers * costs.down.value + up;
    Bill {
        cores: messages_per_second * cpu_ns / 1e9,
        memory_bytes: clients * memory_per_client(costs),
        bits_per_second: clients * messages_per_second * bits_per_delivery(costs),
    }
}

/// How many batches a stream stores in a second, when it does nothing else and sends each to so many
/// nodes.
#[must_use]
pub fn batches_per_second(costs: &Costs, nodes: u64) -> f64 {
    1e9 / (costs.store.value + nodes as f64 * costs.stream_send.value)
}

/// The fewest rooms, each with a stream of its own, that order so many batches a second on leaders
/// that are busy half of the time.
#[must_use]
pub fn rooms(costs: &Costs, nodes: u64, per_second: f64) -> u64 {
    (per_second / (batches_per_second(costs, nodes) * SHARE_USED_MAX)).ceil() as u64
}

fn memory_per_client(costs: &Costs) -> f64 {
    costs.user_memory.value + costs.kernel_memory.value
}

fn bits_per_delivery(costs: &Costs) -> f64 {
    8.0 * (costs.bytes_per_message.value + costs.bytes_per_send.value)
}
