//! What is recorded of a target: what it is, whether it conforms, what it costs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One implementation or server that was to be measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetRecord {
    /// Name, unique in the run.
    pub name: String,
    /// Command that starts it, without the address; empty for one that was running already.
    pub command: Vec<String>,
    /// Addresses of one that was running already, over which the clients were spread.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Programming language; empty if unknown, like the texts below.
    #[serde(default)]
    pub language: String,
    /// Style of concurrency.
    #[serde(default)]
    pub style: String,
    /// Library or runtime of that style.
    #[serde(default)]
    pub library: String,
    /// Address of that library's documentation.
    #[serde(default)]
    pub url: String,
    /// One sentence on how it works.
    #[serde(default)]
    pub summary: String,
    /// Slow-reader policy: what it does with a client that does not read.
    #[serde(default)]
    pub slow_reader: String,
    /// Limit on what it queues per client.
    #[serde(default)]
    pub queue_limit: String,
    /// Versions of its toolchain, one line per probe.
    #[serde(default)]
    pub toolchain: Vec<String>,
    /// Source files at the time of the measurement.
    #[serde(default)]
    pub sources: Vec<SourceRecord>,
    /// BLAKE3 hash of the program file and its sources, in hexadecimal.
    #[serde(default)]
    pub program_hash: String,
    /// Result of the conformance suite before the measurement; absent if it was not run.
    #[serde(default)]
    pub conformance: Option<ConformanceRecord>,
    /// Costs beyond speed.
    #[serde(default)]
    pub costs: CostsRecord,
    /// Whether it was measured, and if not, why.
    pub status: TargetStatus,
}

/// Whether a target was measured, and if not, why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TargetStatus {
    /// It was measured.
    #[default]
    Measured,
    /// It was not measured, because it cannot run here.
    Skipped {
        /// Reason, in one line.
        reason: String,
        /// Remedy, such as a command that installs what is missing.
        remedy: String,
    },
    /// It was not measured, because it failed the conformance check.
    FailedCheck {
        /// Cases that failed, and how.
        reason: String,
    },
}

/// One source file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceRecord {
    /// Path relative to the folder of the entry.
    pub path: String,
    /// Programming language by its file name; empty if unknown.
    pub language: String,
    /// Content.
    pub text: String,
}

/// The result of the conformance suite.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConformanceRecord {
    /// Verdict: `pass`, `fail`, `inconclusive` or `error`.
    pub verdict: String,
    /// Whether only the quick selection of cases was run.
    pub quick: bool,
    /// Whether this is a cached result of the same program and suite.
    pub cached: bool,
    /// Version of the suite.
    pub suite: String,
    /// Number of cases that passed.
    pub passed: u32,
    /// Number of cases of MUST clauses that failed.
    pub failed: u32,
    /// Number of cases of SHOULD clauses that were not met.
    pub nonstrict: u32,
    /// Number of informative cases, which judge nothing.
    pub info: u32,
    /// Number of cases that could not be decided.
    pub inconclusive: u32,
    /// Number of cases that were skipped.
    pub skipped: u32,
    /// Number of cases that the suite itself could not run.
    pub errors: u32,
    /// Cases that did not pass: failed, nonstrict, inconclusive or in error.
    pub findings: Vec<CaseRecord>,
}

/// A case that did not pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseRecord {
    /// Id of the case.
    pub id: String,
    /// Clause of the spec that it tests.
    pub clause: String,
    /// Verdict: `fail`, `nonstrict`, `inconclusive` or `error`.
    pub verdict: String,
    /// Details, in one line.
    pub detail: String,
}

/// Costs beyond speed; unknown ones are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostsRecord {
    /// Size of the program file, in bytes; absent for scripts.
    #[serde(default)]
    pub binary_bytes: Option<u64>,
    /// Number of packages that its lock file pins, itself not counted.
    #[serde(default)]
    pub dependencies: Option<u32>,
    /// Lines of its sources.
    #[serde(default)]
    pub lines: Option<LinesRecord>,
    /// Time of the first build, dependencies included, in seconds; absent if it was built before.
    /// The output of the build of this run is in `build-logs/NAME.log` of the results folder.
    #[serde(default)]
    pub build_seconds: Option<f64>,
    /// Each time from starting the process to its `listening on` line, in seconds.
    #[serde(default)]
    pub start_up_seconds: Vec<f64>,
    /// Resources that it uses while its clients are silent.
    #[serde(default)]
    pub idle: Option<IdleRecord>,
    /// Reason why there are none.
    #[serde(default)]
    pub idle_failure: Option<String>,
}

/// Lines of source code; see crates/source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinesRecord {
    /// Lines of code.
    pub code: u32,
    /// Lines with comments only.
    pub comments: u32,
    /// Blank lines.
    pub blanks: u32,
}

/// A server whose clients are connected and silent, sampled with few and with many clients. Memory
/// that its processes share counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdleRecord {
    /// Number of clients at the first sample.
    pub few_connections: u32,
    /// Resident memory at the first sample, in bytes.
    pub few_resident_bytes: u64,
    /// Number of clients at the second sample.
    pub many_connections: u32,
    /// Resident memory at the second sample, in bytes.
    pub many_resident_bytes: u64,
    /// Number of threads at the second sample.
    pub many_threads: u64,
    /// Duration of the silence of the many clients, in seconds.
    pub window_seconds: f64,
    /// CPU time of the server in that window, in seconds.
    pub cpu_seconds: f64,
}

impl IdleRecord {
    /// CPU use while idle, as a share of one processor: 0 to 1 per processor.
    #[must_use]
    pub fn cpu_share(&self) -> f64 {
        self.cpu_seconds / self.window_seconds
    }

    /// Memory per connection, in bytes: the slope between few and many.
    #[must_use]
    pub fn memory_per_connection_bytes(&self) -> f64 {
        let bytes = self.many_resident_bytes as f64 - self.few_resident_bytes as f64;
        let connections = self.many_connections.saturating_sub(self.few_connections);
        bytes / f64::from(connections.max(1))
    }
}
