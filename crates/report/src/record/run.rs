//! What is recorded of a run: what was to be measured, where, and by what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scenario::ScenarioRecord;
use super::target::TargetRecord;
use super::yardstick::YardstickRecord;

/// The name and version that every file begins with.
pub const SCHEMA: &str = "zillions.results/3";

/// A run: what was measured, where, and by which tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// Name and version of the format: `zillions.results/3`.
    pub schema: String,
    /// Start of the run, in UTC, as RFC 3339.
    pub started: String,
    /// Each time at which it was resumed after an interruption, in UTC, as RFC 3339.
    #[serde(default)]
    pub resumed: Vec<String>,
    /// Command line of the run.
    pub command_line: Vec<String>,
    /// Random seed of the trial order.
    pub seed: u64,
    /// The tool that measured.
    pub tool: ToolRecord,
    /// The machine that it measured on.
    pub machine: MachineRecord,
    /// Number of threads of the load generator; 1 in files of older versions.
    #[serde(default = "one")]
    pub load_threads: u32,
    /// Another machine that the servers ran on; absent if they ran where the load came from.
    #[serde(default)]
    pub remote: Option<RemoteRecord>,
    /// The scenarios, as they were run.
    pub scenarios: Vec<ScenarioRecord>,
    /// Every requested target, measured or not.
    pub targets: Vec<TargetRecord>,
    /// Target of the A/A test: it is measured as two arms, as if it were two targets, and the
    /// difference between the arms is the noise of the machine. Absent if there is none.
    #[serde(default)]
    pub twin: Option<String>,
    /// Limits of the machine that were measured beside the targets, at most one per scenario; empty
    /// without them.
    #[serde(default)]
    pub yardsticks: Vec<YardstickRecord>,
    /// Time for all trials but those of searches, in seconds, after which no further trial of the
    /// scenarios with several looks is begun; absent if every number of trials was fixed.
    #[serde(default)]
    pub budget_seconds: Option<f64>,
}

fn one() -> u32 {
    1
}

/// The tool that measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolRecord {
    /// Version of zillions.
    pub version: String,
    /// Commit that the tool was built from, with `-dirty` behind it if files had been changed;
    /// absent if it was not built in a clone.
    pub git_commit: Option<String>,
}

/// Another machine that the servers ran on, while the load came from the one of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RemoteRecord {
    /// Name of the machine, as it was given to `ssh`.
    pub host: String,
    /// Address that the servers listened on.
    pub address: String,
    /// The tool that started and sampled the servers there.
    pub tool: ToolRecord,
    /// The facts of that machine.
    pub machine: MachineRecord,
}

/// The machine that was measured on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineRecord {
    /// Operating system and kernel release.
    pub kernel: String,
    /// Model name of the processor.
    pub cpu_model: String,
    /// Processor architecture.
    pub architecture: String,
    /// Number of processors that the run was allowed to use.
    pub cpus: u32,
    /// Processors whose time a container's quota granted; absent without a quota.
    #[serde(default)]
    pub cpu_quota: Option<f64>,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
    /// Frequency governor of the processors; absent if the system reports none.
    pub cpu_governor: Option<String>,
    /// Load average over the minute before the run, in runnable processes.
    pub load_average: f64,
    /// Limit on open file descriptors per process.
    pub descriptor_limit: u64,
    /// Processors that the servers were pinned to; empty without pinning.
    pub server_cpus: Vec<u32>,
    /// Processor that the load generator was pinned to, or its first thread; absent without pinning.
    pub generator_cpu: Option<u32>,
    /// Processors that the threads of the load generator were pinned to, in their order; empty without
    /// pinning and in files of older versions.
    #[serde(default)]
    pub generator_cpus: Vec<u32>,
    /// Why the instructions of servers were not counted, and what to do; absent if they were, and in
    /// files of older versions.
    #[serde(default)]
    pub instructions_uncounted: Option<String>,
}
