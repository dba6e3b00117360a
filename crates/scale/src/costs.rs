//! What the work of a server costs, each figure with where it is from, and the machine it runs on.

/// One figure of a cost.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// In `unit`.
    pub value: f64,
    /// Such as `ns`.
    pub unit: &'static str,
    /// What it says.
    pub what: &'static str,
    /// The measurement, or that it is an assumption.
    pub source: &'static str,
    /// Of the measurement, as year-month-day.
    pub date: &'static str,
}

/// All costs that the simulation knows.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// CPU time of a server for a send of its own to one receiver.
    pub send: Figure,
    /// CPU time for one more message in the same send.
    pub message: Figure,
    /// CPU time of an edge for a message that comes down to it, without its sends.
    pub down: Figure,
    /// CPU time of an edge, and of the server above, for a message that goes up.
    pub up: Figure,
    /// What one message adds to a send, on the wire.
    pub bytes_per_message: Figure,
    /// Headers of TCP and IP for a send, and acknowledgements of it.
    pub bytes_per_send: Figure,
    /// Memory of the server for a client, in user space.
    pub user_memory: Figure,
    /// Memory of the kernel for a connection with empty queues.
    pub kernel_memory: Figure,
    /// From a message's arrival at a server until the first send.
    pub passage: Figure,
    /// What the thread of an edge's uplink adds, each way.
    pub uplink: Figure,
    /// Between two machines, one way.
    pub link: Figure,
    /// What storing on most NATS servers takes.
    pub commit: Figure,
    /// How long a stream's leader is busy with a batch.
    pub store: Figure,
    /// The same for each node that it sends the batch to.
    pub stream_send: Figure,
}

impl Costs {
    /// Those of `docs/design/0025-scale.md`.
    #[must_use]
    pub const fn measured() -> Self {
        MEASURED
    }

    /// Each of them, in the order of the note's table.
    #[must_use]
    pub fn all(&self) -> [&Figure; 14] {
        [
            &self.send,
            &self.message,
            &self.down,
            &self.up,
            &self.bytes_per_message,
            &self.bytes_per_send,
            &self.user_memory,
            &self.kernel_memory,
            &self.passage,
            &self.uplink,
            &self.link,
            &self.commit,
            &self.store,
            &self.stream_send,
        ]
    }

    /// As the simulation needs them, on machines such as `machine`.
    #[must_use]
    pub fn on(&self, machine: Machine) -> Figures {
        Figures {
            send_ns: self.send.value,
            message_ns: self.message.value,
            bytes_per_message: self.bytes_per_message.value,
            bytes_per_send: self.bytes_per_send.value,
            passage_ns: self.passage.value,
            uplink_ns: self.uplink.value,
            link_ns: self.link.value,
            commit_ns: self.commit.value,
            store_ns: self.store.value,
            stream_send_ns: self.stream_send.value,
            cores: machine.cores,
            wire_bytes_per_ns: machine.gigabits_per_second / 8.0,
        }
    }
}

const DAY: &str = "2026-11-28";
const MEASURE: &str = "`examples/measure.rs`";

const fn figure(
    value: f64,
    unit: &'static str,
    what: &'static str,
    source: &'static str,
    date: &'static str,
) -> Figure {
    Figure { value, unit, what, source, date }
}

const MEASURED: Costs = Costs {
    send: figure(4355.0, "ns", "CPU per delivery, sent alone", MEASURE, DAY),
    message: figure(
        19.0,
        "ns",
        "CPU per delivery, sent with many others",
        "[1-to-64](../benchmarks-server.md#results)",
        "2026-11-22",
    ),
    down: figure(15_000.0, "ns", "CPU of an edge per message, its sends aside", MEASURE, DAY),
    up: figure(86_000.0, "ns", "CPU per message and edge on the way up", MEASURE, DAY),
    bytes_per_message: figure(
        65.0,
        "bytes",
        "a message of 64 bytes",
        "[the spec](../spec.md)",
        DAY,
    ),
    bytes_per_send: figure(86.0, "bytes", "TCP, IP and acknowledgements per send", MEASURE, DAY),
    user_memory: figure(313.0, "bytes", "an idle client in the server", MEASURE, DAY),
    kernel_memory: figure(
        3712.0,
        "bytes",
        "an idle connection in the kernel",
        "`/proc/slabinfo`: TCP, its inode, file and dentry, epoll item",
        DAY,
    ),
    passage: figure(42_000.0, "ns", "from a message's arrival until the first send", MEASURE, DAY),
    uplink: figure(30_000.0, "ns", "added by an edge's uplink, each way", MEASURE, DAY),
    link: figure(250_000.0, "ns", "between two machines of one site, one way", "assumed", "–"),
    commit: figure(190_000.0, "ns", "added by storing on three NATS servers", MEASURE, DAY),
    store: figure(175_000.0, "ns", "CPU of each of three NATS servers per batch", MEASURE, DAY),
    stream_send: figure(
        6900.0,
        "ns",
        "a leader's CPU per batch and node",
        "[1000-to-64, NATS](../benchmarks-server.md#results)",
        "2026-11-22",
    ),
};

/// What one server has.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Cores that send.
    pub cores: f64,
    /// Of its network.
    pub gigabits_per_second: f64,
    /// For clients.
    pub memory_bytes: f64,
}

/// Costs and machine as plain numbers.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// [`Costs::send`].
    pub send_ns: f64,
    /// [`Costs::message`].
    pub message_ns: f64,
    /// [`Costs::bytes_per_message`].
    pub bytes_per_message: f64,
    /// [`Costs::bytes_per_send`].
    pub bytes_per_send: f64,
    /// [`Costs::passage`].
    pub passage_ns: f64,
    /// [`Costs::uplink`].
    pub uplink_ns: f64,
    /// [`Costs::link`].
    pub link_ns: f64,
    /// [`Costs::commit`].
    pub commit_ns: f64,
    /// [`Costs::store`].
    pub store_ns: f64,
    /// [`Costs::stream_send`].
    pub stream_send_ns: f64,
    /// [`Machine::cores`].
    pub cores: f64,
    /// The network's, in bytes per nanosecond.
    pub wire_bytes_per_ns: f64,
}
