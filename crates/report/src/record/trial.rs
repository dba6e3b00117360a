//! What is recorded of a trial.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::histogram::{ArrivalsRecord, ScheduleLagRecord};

/// A file in `trials/`: one server process, one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrialRecord {
    /// `zillions.results/3`.
    pub schema: String,
    /// Which scenario.
    pub scenario: String,
    /// Which target.
    pub target: String,
    /// What it is for.
    #[serde(default)]
    pub role: Role,
    /// Messages per second that were due, of all senders together; absent where the load follows
    /// the server.
    #[serde(default)]
    pub offered_rate: Option<f64>,
    /// Which block of the run, from 0: in each block every target runs once, in random order. Of
    /// a search, which of the target's trials in the same role.
    pub block: u32,
    /// Which trial of the run, from 0.
    pub order: u32,
    /// When it began, in UTC, as RFC 3339.
    pub started: String,
    /// What came of it.
    pub result: TrialResult,
}

/// What a trial is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It is one of the repeats that the scenario ranks by.
    #[default]
    Measure,
    /// The same of the target that is measured as two arms: the second arm, which ranks nothing.
    Twin,
    /// It narrows a search.
    Search,
    /// It confirms a rate that a search found, or refutes it; the scenario ranks by these.
    Hold,
    /// It is one point of the curve of latency and loss against the offered rate.
    Curve,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TrialResult {
    /// Figures.
    Measured(Box<Measurement>),
    /// No figures.
    Failed {
        /// Why, in one line.
        reason: String,
        /// The last lines that the server wrote to standard error.
        log: Vec<String>,
    },
}

/// The figures of one trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// Length of the window, in seconds.
    pub window_seconds: f64,
    /// Messages wholly written within the window.
    pub messages_written: u64,
    /// Messages that met a full socket because the server did not take them in time.
    pub messages_held_back: u64,
    /// Deliveries that arrived within the window.
    pub deliveries_arrived: u64,
    /// Their bytes, headers included.
    pub bytes_arrived: u64,
    /// Deliveries that took longer than the scenario's `late_after_ms`.
    pub late: u64,
    /// Where every expected (message, receiver) pair ended up.
    pub pairs: PairsRecord,
    /// What arrived that should not have.
    pub anomalies: AnomaliesRecord,
    /// Whether a few receivers, compared message by message, agree on one order.
    #[serde(default)]
    pub order: OrderRecord,
    /// What only some scenarios have.
    #[serde(default)]
    pub extras: ExtrasRecord,
    /// Per delivery, from the intended send.
    pub latency: ArrivalsRecord,
    /// Per delivery, from the actual write.
    pub service: ArrivalsRecord,
    /// Per message, from the intended send to the last receiver.
    pub last_receiver: ArrivalsRecord,
    /// How far the generator was behind its own schedule, per message; empty where it has none.
    pub schedule_lag: ScheduleLagRecord,
    /// What the generator used within the window.
    pub generator: GeneratorRecord,
    /// What the server used within the window.
    pub server: ServerRecord,
    /// Share of the processors in use that went to neither, 0 to 1; absent if unknown.
    pub others_cpu_share: Option<f64>,
    /// Connections that ended early.
    pub lost_connections: Vec<LostConnectionRecord>,
}

/// Where every expected (message, receiver) pair of the window ended up: one message is one pair
/// per connected client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PairsRecord {
    /// Arrived in order.
    pub delivered: u64,
    /// Arrived after a later message of its sender.
    pub reordered: u64,
    /// Never arrived.
    pub dropped: u64,
    /// Never arrived because the receiver's connection ended.
    pub cut_off: u64,
    /// Had not arrived when the time to drain was up.
    pub pending: u64,
    /// Due, but the server did not take the message.
    pub unsent: u64,
}

impl PairsRecord {
    /// All pairs.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.delivered + self.reordered + self.dropped + self.cut_off + self.pending + self.unsent
    }

    /// Pairs that failed: everything that was expected and is known not to come.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped + self.cut_off + self.unsent
    }
}

/// Violations of the spec, in the whole trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AnomaliesRecord {
    /// Messages that came again to the same receiver.
    pub duplicated: u64,
    /// Messages of which some byte was wrong.
    pub corrupted: u64,
    /// Messages that nobody had sent.
    pub invented: u64,
    /// Messages that came after a later one of their sender.
    pub reordered: u64,
}

/// The exact check of one total and causal order, on a sample: the first deliveries to a few
/// receivers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderRecord {
    /// Receivers that were compared; 0 if there was no sample.
    pub receivers: u32,
    /// Deliveries that were compared.
    pub deliveries: u64,
    /// How they contradict one another, in one line; empty if they do not.
    pub violation: String,
}

/// What only some scenarios have; zeros in the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExtrasRecord {
    /// Untimed tiny messages that were to be delivered in the whole trial: one for each message
    /// and client.
    pub untimed_expected: u64,
    /// Those that arrived.
    pub untimed_delivered: u64,
    /// Connections that came and went during the load.
    pub churn_connections: u64,
    /// Those among them that could not connect, or that the server ended.
    pub churn_failures: u64,
    /// Clients that never read and that the server disconnected.
    pub stalled_disconnected: u64,
    /// Rounds of a closed loop that began and ended within the window.
    pub rounds: u64,
    /// Those among them that were given up because something did not arrive.
    pub rounds_incomplete: u64,
}

/// What the load generator used within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorRecord {
    /// The time that the figures below are of, in seconds.
    pub sampled_seconds: f64,
    /// CPU time of its one thread, in seconds.
    pub cpu_seconds: f64,
    /// Time that it was ready to run while others had its processor, in seconds.
    pub ready_wait_seconds: f64,
    /// Reads that brought something; 0 if it is not known.
    #[serde(default)]
    pub reads: u64,
}

/// What the server's whole process tree used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerRecord {
    /// From starting the process to its `listening on` line, in seconds.
    pub start_seconds: f64,
    /// Time between the two samples that the figures below are differences of, in seconds.
    pub sampled_seconds: f64,
    /// CPU time within it, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory when all clients were connected, before the load, in bytes.
    pub idle_resident_bytes: u64,
    /// Peak of resident memory up to the end of the window, in bytes.
    pub peak_resident_bytes: u64,
    /// Threads at the end of the window.
    pub threads: u64,
    /// Processes at the end of the window.
    pub processes: u64,
    /// Voluntary context switches within the window.
    pub voluntary_context_switches: u64,
    /// Involuntary ones.
    pub involuntary_context_switches: u64,
}

/// A connection that ended before the trial did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LostConnectionRecord {
    /// The index of the client.
    pub client: u32,
    /// When, in seconds after the first message was due.
    pub at_seconds: f64,
    /// How.
    pub reason: String,
}
