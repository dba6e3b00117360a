//! What is recorded of a run: what was to be measured, where, and by what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scenario::ScenarioRecord;
use super::target::TargetRecord;

/// The name and version that every file begins with.
pub const SCHEMA: &str = "zillions.results/3";

/// `run.json`: what was to be measured, where, and by what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// `zillions.results/3`.
    pub schema: String,
    /// When the run began, in UTC, as RFC 3339.
    pub started: String,
    /// When it was taken up again after an interruption, each time.
    #[serde(default)]
    pub resumed: Vec<String>,
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
    /// The target that was measured as two arms, as if it were two: by how much the arms differ
    /// is what the machine's noise alone does. Absent if nothing could be measured.
    #[serde(default)]
    pub twin: Option<String>,
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
