//! What is recorded of those who used the machine beside the server and the load generator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What else used the machine; what is unknown is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DisturbancesRecord {
    /// Share of the processors in use that a hypervisor gave to other machines (steal time) within
    /// the window, 0 to 1.
    pub steal_share: Option<f64>,
    /// Share of the processors in use that handled soft interrupts within the window, those of the
    /// trial's own traffic included, 0 to 1.
    pub soft_interrupt_share: Option<f64>,
    /// In how many periods within the window a container's quota held processes back.
    pub throttled_periods: Option<u64>,
    /// The other programs that used most CPU time from before the warm-up to after the window, the
    /// busiest first; kernel threads are one of them.
    pub programs: Vec<ProgramRecord>,
}

/// Another program of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramRecord {
    /// Name of its processes, which are taken together, as the kernel has it.
    pub name: String,
    /// CPU time of these processes, as a share of one processor; above 1 for more than one.
    pub cpu_share: f64,
}
