//! The schema `zillions.results/1`: what a results folder holds.
//!
//! `run.json` is one [`RunRecord`]; each file in `trials/` is one [`TrialRecord`]. All times are
//! in the unit that ends the field's name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name and version that every file begins with.
pub const SCHEMA: &str = "zillions.results/1";

/// `run.json`: what was to be measured, where, and by what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// `zillions.results/1`.
    pub schema: String,
    /// When the run began, in UTC, as RFC 3339.
    pub started: String,
    /// The command line that asked for it.
    pub command_line: Vec<String>,
    /// What the order of trials was drawn from.
    pub seed: u64,
    /// What measured.
    pub tool: ToolRecord,
    /// Where it measured.
    pub machine: MachineRecord,
    /// The scenarios, as they were carried out.
    pub scenarios: Vec<ScenarioRecord>,
    /// Everything that was asked for, measured or not.
    pub targets: Vec<TargetRecord>,
}

/// What measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolRecord {
    /// Version of zillions.
    pub version: String,
    /// The commit of the repository that the run was started in, where known.
    pub git_commit: Option<String>,
}

/// Where it measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineRecord {
    /// Operating system and kernel release.
    pub kernel: String,
    /// Model name of the processor.
    pub cpu_model: String,
    /// Processor architecture.
    pub architecture: String,
    /// Processors that the run was allowed to use.
    pub cpus: u32,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
    /// How the processor's speed is governed, where the system tells.
    pub cpu_governor: Option<String>,
    /// Average number of runnable processes in the minute before the run.
    pub load_average: f64,
    /// Descriptors that one process may have open.
    pub descriptor_limit: u64,
    /// Processors that the servers were pinned to; empty if nothing was pinned.
    pub server_cpus: Vec<u32>,
    /// The processor that the load generator was pinned to, if it was.
    pub generator_cpu: Option<u32>,
}

/// What a scenario asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Headline {
    /// How long deliveries take; ranked by the 99th percentile.
    Latency,
    /// How many deliveries there are; ranked by deliveries per second.
    Throughput,
}

/// How the senders send.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum LoadRecord {
    /// Open loop.
    FixedRate {
        /// Of all senders together.
        messages_per_second: f64,
    },
    /// As fast as the sockets take it.
    Saturate,
}

/// One scenario as it was carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioRecord {
    /// Its name: letters, digits and dashes.
    pub name: String,
    /// The question that it answers.
    pub question: String,
    /// What to keep in mind when reading its figures.
    pub note: String,
    /// What it ranks by.
    pub headline: Headline,
    /// How the senders send.
    pub load: LoadRecord,
    /// Connections, all of which receive.
    pub clients: u32,
    /// How many of them also send.
    pub senders: u32,
    /// Lengths of bodies in bytes, taken in turn.
    pub body_bytes: Vec<u8>,
    /// Load before the window, in seconds.
    pub warm_up_seconds: f64,
    /// Length of the window, in seconds.
    pub measure_seconds: f64,
    /// A delivery that took longer is late, in milliseconds.
    pub late_after_ms: f64,
    /// Trials per target.
    pub repeats: u32,
}

/// One thing that was to be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetRecord {
    /// Its name, unique in the run.
    pub name: String,
    /// The command that starts it, without the address.
    pub command: Vec<String>,
    /// The language it is written in; empty if unknown, like the fields below.
    #[serde(default)]
    pub language: String,
    /// Its style of concurrency.
    #[serde(default)]
    pub style: String,
    /// The library or runtime that gives it that style.
    #[serde(default)]
    pub library: String,
    /// One sentence on how it works.
    #[serde(default)]
    pub summary: String,
    /// What it does with a client that does not read.
    #[serde(default)]
    pub slow_reader: String,
    /// How much it holds for one client.
    #[serde(default)]
    pub queue_limit: String,
    /// What its tool chain says of its version, a line for each probe.
    #[serde(default)]
    pub toolchain: Vec<String>,
    /// How long its build command took, in seconds; its output is in the file
    /// `build-logs/NAME.log` of the results folder.
    #[serde(default)]
    pub build_seconds: Option<f64>,
    /// Whether it was measured.
    pub status: TargetStatus,
}

/// Whether a target was measured, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TargetStatus {
    /// It was.
    Measured,
    /// It cannot run here.
    Skipped {
        /// Why.
        reason: String,
        /// What to do about it, such as a command that installs what is missing.
        remedy: String,
    },
    /// It does not keep the spec, so its speed means nothing.
    FailedCheck {
        /// Which cases failed and how.
        reason: String,
    },
}

/// A file in `trials/`: one server process, one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrialRecord {
    /// `zillions.results/1`.
    pub schema: String,
    /// Which scenario.
    pub scenario: String,
    /// Which target.
    pub target: String,
    /// Which block of the run, from 0: in each block every target runs once, in random order.
    pub block: u32,
    /// Which trial of the run, from 0.
    pub order: u32,
    /// When it began, in UTC, as RFC 3339.
    pub started: String,
    /// What came of it.
    pub result: TrialResult,
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
    /// Per delivery, from the intended send.
    pub latency: HistogramRecord,
    /// Per delivery, from the actual write.
    pub service: HistogramRecord,
    /// Per message, from the intended send to the last receiver.
    pub last_receiver: HistogramRecord,
    /// How far the generator was behind its own schedule, per message.
    pub schedule_lag: HistogramRecord,
    /// What the generator used within the window.
    pub generator: GeneratorRecord,
    /// What the server used within the window.
    pub server: ServerRecord,
    /// Share of the processors in use that went to neither, 0 to 1; absent if unknown.
    pub others_cpu_share: Option<f64>,
    /// Connections that ended early.
    pub lost_connections: Vec<LostRecord>,
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
    pub fn failed(&self) -> u64 {
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

/// What the load generator used within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorRecord {
    /// The time that the figures below are of, in seconds.
    pub sampled_seconds: f64,
    /// CPU time of its one thread, in seconds.
    pub cpu_seconds: f64,
    /// Time that it was ready to run while others had its processor, in seconds.
    pub ready_wait_seconds: f64,
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
    pub resident_bytes_idle: u64,
    /// Peak of resident memory up to the end of the window, in bytes.
    pub resident_bytes_peak: u64,
    /// Threads at the end of the window.
    pub threads: u64,
    /// Processes at the end of the window.
    pub processes: u64,
    /// Voluntary context switches within the window.
    pub context_switches_voluntary: u64,
    /// Involuntary ones.
    pub context_switches_involuntary: u64,
}

/// A connection that ended before the trial did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LostRecord {
    /// The index of the client.
    pub client: u32,
    /// When, in seconds after the first message was due.
    pub at_seconds: f64,
    /// How.
    pub reason: String,
}

/// Times in nanoseconds: the usual figures, and the whole histogram to merge and recompute from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistogramRecord {
    /// How many times were recorded.
    pub count: u64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The histogram, in HdrHistogram's V2 compressed format, in base64.
    pub hdr: String,
}

/// A histogram in a file that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the histogram is damaged ({0})")]
pub struct HistogramError(String);

impl HistogramRecord {
    /// Records `histogram`, whose values are nanoseconds.
    ///
    /// # Panics
    ///
    /// If writing to memory fails, which it does not.
    #[must_use]
    pub fn new(histogram: &Histogram<u64>) -> Self {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(histogram, &mut bytes)
            .expect("a histogram can be written to memory");
        Self {
            count: histogram.len(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
            hdr: BASE64.encode(bytes),
        }
    }

    /// The recorded histogram.
    ///
    /// # Errors
    ///
    /// If `hdr` is not what [`new`](Self::new) writes.
    pub fn histogram(&self) -> Result<Histogram<u64>, HistogramError> {
        let bytes = BASE64.decode(&self.hdr).map_err(|e| HistogramError(e.to_string()))?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|e| HistogramError(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_recording() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for value in [1, 1_000, 5_000_000, 5_000_000] {
            histogram.record(value).unwrap();
        }
        let record = HistogramRecord::new(&histogram);
        assert_eq!(record.count, 4);
        assert_eq!(record.histogram().unwrap(), histogram);
    }

    #[test]
    fn a_damaged_histogram_is_an_error_and_no_panic() {
        for hdr in ["", "!", "AAAA", "HISTFAAAAB542pNpmSzMwMDAxQABzFCaEUoz"] {
            let record = HistogramRecord { hdr: hdr.to_owned(), ..HistogramRecord::default() };
            assert!(record.histogram().is_err(), "{hdr:?}");
        }
    }
}
