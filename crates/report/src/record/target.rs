//! What is recorded of a target: what it is, whether it keeps the spec, what it costs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that was to be measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Where to read about that library.
    #[serde(default)]
    pub url: String,
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
    /// The program's text, as it was when it was measured.
    #[serde(default)]
    pub sources: Vec<SourceRecord>,
    /// BLAKE3 of the program's file and of its sources, in hexadecimal: what was measured.
    #[serde(default)]
    pub program_hash: String,
    /// What the suite found before the measurement; absent if it was not asked.
    #[serde(default)]
    pub conformance: Option<ConformanceRecord>,
    /// What it costs beyond speed.
    #[serde(default)]
    pub costs: CostsRecord,
    /// Whether it was measured.
    pub status: TargetStatus,
}

/// Whether a target was measured, and if not, why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TargetStatus {
    /// It was.
    #[default]
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

/// One file of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceRecord {
    /// Relative to the entry's folder.
    pub path: String,
    /// The language that its name tells; empty if none.
    pub language: String,
    /// All of it.
    pub text: String,
}

/// What the conformance suite found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConformanceRecord {
    /// `pass`, `fail`, `inconclusive` or `error`.
    pub verdict: String,
    /// Whether only the quick selection was run.
    pub quick: bool,
    /// Whether this was found before, of the same program with the same suite.
    pub cached: bool,
    /// Version of the suite.
    pub suite: String,
    /// Cases that passed.
    pub passed: u32,
    /// Cases of MUST clauses that failed.
    pub failed: u32,
    /// Cases of SHOULD clauses that were not met.
    pub nonstrict: u32,
    /// Cases that tell something and judge nothing.
    pub info: u32,
    /// Cases that could not be decided.
    pub inconclusive: u32,
    /// Cases that were skipped.
    pub skipped: u32,
    /// Cases that the suite itself could not carry out.
    pub errors: u32,
    /// What did not pass: failed, nonstrict, inconclusive and in error.
    pub findings: Vec<CaseRecord>,
}

/// A case that did not pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseRecord {
    /// Its id.
    pub id: String,
    /// The clause of the spec that it tests.
    pub clause: String,
    /// `fail`, `nonstrict`, `inconclusive` or `error`.
    pub verdict: String,
    /// What there is to say, in one line.
    pub detail: String,
}

/// What a program costs beyond speed; what could not be found out is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostsRecord {
    /// Size of the program's file, in bytes; absent for scripts.
    #[serde(default)]
    pub binary_bytes: Option<u64>,
    /// How many packages its lock file pins beside itself.
    #[serde(default)]
    pub dependencies: Option<u32>,
    /// Lines of its sources.
    #[serde(default)]
    pub lines: Option<LinesRecord>,
    /// How long its build command took where there was no program yet, in seconds; absent if
    /// that was not seen. What it printed this time is in the file `build-logs/NAME.log` of the
    /// results folder.
    #[serde(default)]
    pub build_seconds: Option<f64>,
    /// From starting the process to its `listening on` line, in seconds, each time.
    #[serde(default)]
    pub start_up_seconds: Vec<f64>,
    /// What it uses while nobody says anything.
    #[serde(default)]
    pub idle: Option<IdleRecord>,
    /// Why there are no figures of it being idle.
    #[serde(default)]
    pub idle_failure: Option<String>,
}

/// Lines of source code, as tokei counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinesRecord {
    /// With code.
    pub code: u32,
    /// With nothing but comment.
    pub comments: u32,
    /// With nothing.
    pub blanks: u32,
}

/// A server whose clients say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdleRecord {
    /// Clients connected at the first sample.
    pub few_connections: u32,
    /// Resident memory then, in bytes.
    pub few_resident_bytes: u64,
    /// Clients connected at the second sample.
    pub many_connections: u32,
    /// Resident memory then, in bytes.
    pub many_resident_bytes: u64,
    /// Threads then.
    pub many_threads: u64,
    /// How long those many stayed connected in silence, in seconds.
    pub window_seconds: f64,
    /// CPU time that the server used meanwhile, in seconds.
    pub cpu_seconds: f64,
}

impl IdleRecord {
    /// Share of one processor that is used for nothing, 0 to 1 for each processor.
    #[must_use]
    pub fn cpu_share(&self) -> f64 {
        self.cpu_seconds / self.window_seconds
    }

    /// What one more client costs in memory, in bytes: the slope between few and many.
    #[must_use]
    pub fn memory_per_connection_bytes(&self) -> f64 {
        let bytes = self.many_resident_bytes as f64 - self.few_resident_bytes as f64;
        let connections = self.many_connections.saturating_sub(self.few_connections);
        bytes / f64::from(connections.max(1))
    }
}
