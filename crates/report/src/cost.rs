//! What a delivery costs beyond the time that it takes: CPU time, instructions, context switches.

use std::collections::BTreeMap;

use crate::record::Measurement;
use crate::statistics::Estimate;
use crate::trial_figures::{
    cpu_per_delivery_ns, switches_per_1000_deliveries, user_instructions_per_delivery,
};
use crate::verdict::Validity;

/// What a delivery costs, less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cost {
    /// CPU time of the process tree.
    Cpu,
    /// Instructions of the process tree in user mode, where the machine counts them.
    UserInstructions,
    /// Context switches of the process tree.
    Switches,
}

/// The cost of one target in one scenario, and its tier among the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankedCost {
    /// The median, with the interval that tells it from others.
    pub estimate: Estimate,
    /// The tier, from 1.
    pub tier: usize,
}

/// The costs of a target that are ranked.
pub type RankedCosts = BTreeMap<Cost, RankedCost>;

impl Cost {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::UserInstructions, Self::Switches];

    /// The key of the column that shows it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_per_delivery_ns",
            Self::UserInstructions => "user_instructions_per_delivery",
            Self::Switches => "switches_per_1000_deliveries",
        }
    }

    /// What it is, in a sentence that begins with "By".
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU time per delivery",
            Self::UserInstructions => "user instructions per delivery",
            Self::Switches => "context switches per delivery",
        }
    }

    /// The cost in one trial; `None` if nothing was delivered, or nothing tells.
    pub(crate) fn of(self, trial: &Measurement) -> Option<f64> {
        match self {
            Self::Cpu => cpu_per_delivery_ns(trial),
            Self::UserInstructions => user_instructions_per_delivery(trial),
            Self::Switches => switches_per_1000_deliveries(trial),
        }
    }

    /// Whether a trial with this verdict tells the cost. Other programs make a server switch, but
    /// they neither use its CPU time nor execute
    /// its instructions.
    pub(crate) fn is_told_by(self, validity: Validity) -> bool {
        match validity {
            Validity::Valid | Validity::ClientBound => true,
            Validity::Noisy => self != Self::Switches,
            Validity::Incorrect => false,
        }
    }
}
