//! What is recorded of the limits that servers are compared with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scenario::{LoadRecord, ScenarioRecord};

/// A limit of the machine: no server, measured in the blocks of a scenario like one, and never
/// ranked. Its trials have the role `yardstick` and the kind as the name of their target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct YardstickRecord {
    /// Name of the scenario.
    pub scenario: String,
    /// What is measured.
    pub kind: YardstickKind,
    /// Command that starts its sender, without the address.
    pub command: Vec<String>,
}

/// A limit of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum YardstickKind {
    /// Deliveries per second of a receiver that only calls `recv` and counts bytes, from a sender
    /// that sends as much as the sockets take.
    BareReceiver,
    /// CPU time per delivery of a loop that makes the messages itself, at the scenario's rate, with
    /// one `send` per message and client.
    SendLoop,
}

impl YardstickKind {
    /// The limit of a scenario: of a saturating one what can be received, of one with a rate what
    /// sending costs. `None` for rounds and searches, whose rate is the server's, and where clients
    /// stall or come and go.
    #[must_use]
    pub fn of(scenario: &ScenarioRecord) -> Option<Self> {
        if scenario.stalled_clients > 0 || scenario.churn_per_second > 0.0 {
            return None;
        }
        match scenario.load {
            LoadRecord::Saturate => Some(Self::BareReceiver),
            LoadRecord::FixedRate { .. } | LoadRecord::Burst { .. } => Some(Self::SendLoop),
            LoadRecord::EveryoneAtOnce | LoadRecord::Search { .. } => None,
        }
    }

    /// Its name in files and command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BareReceiver => "bare-receiver",
            Self::SendLoop => "send-loop",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_one_in_files() {
        for kind in [YardstickKind::BareReceiver, YardstickKind::SendLoop] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
