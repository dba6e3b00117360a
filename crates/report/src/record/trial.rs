//! What is recorded of a trial.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::disturbance::DisturbancesRecord;
use super::histogram::{ArrivalsRecord, ScheduleLagRecord};

/// A file in `trials/`: one server process, one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrialRecord {
    /// Name and version of the format: `zillions.results/3`.
    pub schema: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the target, or of the kind of a yardstick.
    pub target: String,
    /// Purpose of the trial.
    #[serde(default)]
    pub role: Role,
    /// Offered load of all senders together, in messages per second; absent where the load follows
    /// the server.
    #[serde(default)]
    pub offered_rate: Option<f64>,
    /// Index of the block, from 0: in each block every target runs once, in random order. Of further
    /// trials and of a search, index among the trials of the target in the same role.
    pub block: u32,
    /// Index of the trial in the run, from 0.
    pub order: u32,
    /// Start of the trial, in UTC, as RFC 3339.
    pub started: String,
    /// Duration of the whole trial, from starting the server to its end, in seconds; absent in
    /// files of older versions.
    #[serde(default)]
    pub took_seconds: Option<f64>,
    /// Result of the trial.
    pub result: TrialResult,
}

/// The purpose of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// One of the repeats that the scenario ranks by.
    #[default]
    Measure,
    /// The second arm of the A/A test, which ranks nothing; the first arm has the role `measure`.
    Twin,
    /// Narrows a search.
    Search,
    /// Confirms or refutes a rate that a search found; the scenario ranks by these.
    Hold,
    /// One point of the curves of latency and loss against the offered rate.
    Curve,
    /// A limit of the machine, measured without a server; ranks nothing.
    Yardstick,
}

/// The result of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TrialResult {
    /// The trial gave figures.
    Measured(Box<Measurement>),
    /// The server exited, hung, or lost every connection.
    Failed {
        /// Reason, in one line.
        reason: String,
        /// Last lines that the server wrote to standard error.
        log: Vec<String>,
    },
    /// The machine did not allow the trial, for example because it had no local port left: this
    /// says nothing about the server.
    Prevented {
        /// What the machine lacks or forbids, and the remedy, in one line.
        reason: String,
    },
}

/// The figures of one trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// Duration of the measured window, in seconds.
    pub window_seconds: f64,
    /// Number of messages completely written within the window.
    pub messages_written: u64,
    /// Number of messages that were delayed by a full socket, because the server did not read.
    pub messages_held_back: u64,
    /// Number of deliveries that arrived within the window.
    pub deliveries_arrived: u64,
    /// Size of these deliveries, headers included, in bytes.
    pub bytes_arrived: u64,
    /// Number of deliveries whose latency exceeded the scenario's `late_after_ms`.
    pub late: u64,
    /// What became of every expected (message, receiver) pair.
    pub pairs: PairsRecord,
    /// Violations of the spec.
    pub anomalies: AnomaliesRecord,
    /// Exact check of the order on a sample of the deliveries.
    #[serde(default)]
    pub order: OrderRecord,
    /// Counts that only some scenarios have.
    #[serde(default)]
    pub extras: ExtrasRecord,
    /// Time from the intended send to the arrival, per delivery.
    pub latency: ArrivalsRecord,
    /// Time from the actual write to the arrival, per delivery.
    pub service: ArrivalsRecord,
    /// Time from the intended send to the arrival at the last receiver, per message.
    pub last_receiver: ArrivalsRecord,
    /// Delay of the load generator against its own schedule, per message; empty without one.
    pub schedule_lag: ScheduleLagRecord,
    /// Resources that the load generator used within the window.
    pub generator: GeneratorRecord,
    /// Resources that the server used within the window; absent for one that was running already
    /// and whose processes were not named.
    pub server: Option<ServerRecord>,
    /// CPU use of other programs, as a share of the processors in use, 0 to 1; absent if unknown.
    pub others_cpu_share: Option<f64>,
    /// How long a container's quota held processes back within the window, in seconds; absent if
    /// nothing tells.
    #[serde(default)]
    pub throttled_seconds: Option<f64>,
    /// What else used the machine; unknown in files of older versions.
    #[serde(default)]
    pub disturbances: DisturbancesRecord,
    /// Connections that ended before the trial did.
    pub lost_connections: Vec<LostConnectionRecord>,
}

/// What became of every expected (message, receiver) pair of the window: one message is one pair
/// per connected client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PairsRecord {
    /// Number of pairs that arrived in order.
    pub delivered: u64,
    /// Number of pairs that arrived after a later message of the same sender.
    pub reordered: u64,
    /// Number of pairs that never arrived.
    pub dropped: u64,
    /// Number of pairs that never arrived because the receiver's connection ended.
    pub cut_off: u64,
    /// Number of pairs that had not arrived when the time to drain was over.
    pub pending: u64,
    /// Number of pairs that were due, but whose message the server did not accept.
    pub unsent: u64,
}

impl PairsRecord {
    /// All pairs.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.delivered + self.reordered + self.dropped + self.cut_off + self.pending + self.unsent
    }

    /// Lost pairs: expected, and known never to arrive.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped + self.cut_off + self.unsent
    }
}

/// Violations of the spec, in the whole trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AnomaliesRecord {
    /// Number of messages that arrived twice at the same receiver.
    pub duplicated: u64,
    /// Number of messages with a wrong byte.
    pub corrupted: u64,
    /// Number of messages that were never sent.
    pub invented: u64,
    /// Number of messages that arrived after a later one of the same sender.
    pub reordered: u64,
}

/// The exact check of one total and causal order, on a sample: the first deliveries to a few
/// receivers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderRecord {
    /// Number of receivers that were compared; 0 without a sample.
    pub receivers: u32,
    /// Number of deliveries that were compared.
    pub deliveries: u64,
    /// How they contradict one another, in one line; empty if they agree.
    pub violation: String,
}

/// Counts that only some scenarios have; zero in the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExtrasRecord {
    /// Number of expected deliveries of untimed messages in the whole trial: one per message and
    /// client.
    pub untimed_expected: u64,
    /// Number of them that arrived.
    pub untimed_delivered: u64,
    /// Number of short-lived connections during the load.
    pub churn_connections: u64,
    /// Number of them that could not connect, or that the server closed.
    pub churn_failures: u64,
    /// Number of clients that never read and that the server disconnected.
    pub stalled_disconnected: u64,
    /// Number of rounds of a closed loop that began and ended within the window.
    pub rounds: u64,
    /// Number of them that were abandoned because something did not arrive.
    pub rounds_incomplete: u64,
}

/// Resources that the load generator used within the window; sums over its threads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorRecord {
    /// Time that the figures below cover, in seconds.
    pub sampled_seconds: f64,
    /// CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Time for which it was ready to run while others used its processor, in seconds.
    pub ready_wait_seconds: f64,
    /// Number of reads that returned data; 0 if unknown.
    #[serde(default)]
    pub reads: u64,
    /// The same for each of several threads, in their order; empty if there was only one.
    #[serde(default)]
    pub threads: Vec<GeneratorThreadRecord>,
}

/// Resources that one of several threads of the load generator used within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorThreadRecord {
    /// Processor that it was pinned to; absent without pinning.
    pub cpu: Option<u32>,
    /// Time that the figures below cover, in seconds.
    pub sampled_seconds: f64,
    /// CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Time for which it was ready to run while others used its processor, in seconds.
    pub ready_wait_seconds: f64,
    /// Number of reads that returned data.
    pub reads: u64,
    /// Number of deliveries that arrived at its receivers within the window.
    pub deliveries_arrived: u64,
}

impl GeneratorRecord {
    /// The record of a generator with these threads.
    #[must_use]
    pub fn new(threads: Vec<GeneratorThreadRecord>) -> Self {
        Self {
            sampled_seconds: threads.iter().map(|it| it.sampled_seconds).fold(0.0, f64::max),
            cpu_seconds: threads.iter().map(|it| it.cpu_seconds).sum(),
            ready_wait_seconds: threads.iter().map(|it| it.ready_wait_seconds).sum(),
            reads: threads.iter().map(|it| it.reads).sum(),
            threads: if threads.len() > 1 { threads } else { Vec::new() },
        }
    }

    /// What each thread used, if `deliveries_arrived` deliveries arrived in all; at least one.
    #[must_use]
    pub fn each(&self, deliveries_arrived: u64) -> Vec<GeneratorThreadRecord> {
        if !self.threads.is_empty() {
            return self.threads.clone();
        }
        vec![GeneratorThreadRecord {
            cpu: None,
            sampled_seconds: self.sampled_seconds,
            cpu_seconds: self.cpu_seconds,
            ready_wait_seconds: self.ready_wait_seconds,
            reads: self.reads,
            deliveries_arrived,
        }]
    }
}

impl GeneratorThreadRecord {
    /// Share of the time for which it used a processor. The two clocks are read one after the other,
    /// so it may seem to be a little above 1.
    #[must_use]
    pub fn busy_share(&self) -> f64 {
        self.cpu_seconds / self.sampled_seconds
    }

    /// Share of the time for which it was kept waiting, likewise.
    #[must_use]
    pub fn waiting_share(&self) -> f64 {
        self.ready_wait_seconds / self.sampled_seconds
    }
}

/// Resources that the server's process tree used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerRecord {
    /// Time from starting the process to its `listening on` line, in seconds; absent for one that
    /// was running already.
    pub start_seconds: Option<f64>,
    /// Time between the two samples of which the figures below are differences, in seconds.
    pub sampled_seconds: f64,
    /// CPU time between the samples, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory with all clients connected, before the load, in bytes.
    pub idle_resident_bytes: u64,
    /// Peak of resident memory up to the end of the window, in bytes: of several processes the sum of
    /// their peaks, less what they share at the end.
    pub peak_resident_bytes: u64,
    /// Number of threads at the end of the window.
    pub threads: u64,
    /// Number of processes at the end of the window.
    pub processes: u64,
    /// Number of voluntary context switches within the window.
    pub voluntary_context_switches: u64,
    /// Number of involuntary context switches within the window.
    pub involuntary_context_switches: u64,
    /// Number of instructions executed in user mode between the samples; absent if they were not
    /// counted, which `instructions_uncounted` of the machine explains, and in files of older
    /// versions.
    #[serde(default)]
    pub user_instructions: Option<u64>,
}

/// A connection that ended before the trial did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LostConnectionRecord {
    /// Index of the client.
    pub client: u32,
    /// Time at which it ended, in seconds after the first message was due.
    pub at_seconds: f64,
    /// How it ended.
    pub reason: String,
}
