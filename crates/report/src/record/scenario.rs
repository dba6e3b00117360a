//! What is recorded of a scenario.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a scenario asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RankBy {
    /// How long deliveries take; ranked by the 99th percentile.
    Latency,
    /// How many deliveries there are; ranked by deliveries per second.
    Throughput,
    /// How much may be asked; ranked by the highest rate of messages that meets the limits.
    Capacity,
}

/// How the senders send.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum LoadRecord {
    /// Open loop, messages at equal distances.
    FixedRate {
        /// Of all senders together.
        messages_per_second: f64,
    },
    /// Open loop, many messages at once and then none for a while.
    Burst {
        /// Of all senders together, due at the same moment.
        messages_per_burst: u32,
        /// How many such moments there are.
        bursts_per_second: f64,
    },
    /// As fast as the sockets take it.
    Saturate,
    /// Closed loop: each sender sends one message, and when everybody has received all of them,
    /// again.
    EveryoneAtOnce,
    /// Open loop at rates that are searched for: the highest that meets both limits.
    Search {
        /// The 99th percentile of latency may be this long, in milliseconds.
        max_latency_p99_ms: f64,
        /// This share of the expected deliveries may fail, 0 to 1.
        max_lost_share: f64,
        /// Rates below this one are not tried.
        min_messages_per_second: f64,
        /// Nor are rates above this one.
        max_messages_per_second: f64,
    },
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
    pub rank_by: RankBy,
    /// How the senders send.
    pub load: LoadRecord,
    /// Connections, all of which receive.
    pub clients: u32,
    /// How many of them also send.
    pub senders: u32,
    /// Connections beside those of `clients` that never read what they are sent.
    #[serde(default)]
    pub stalled_clients: u32,
    /// Connections beside those of `clients` that come, receive a little, and go again.
    #[serde(default)]
    pub churn_per_second: f64,
    /// Lengths of bodies in bytes, taken in turn.
    pub body_bytes: Vec<u8>,
    /// Messages that each sender sends before each of its timed messages; they are counted and
    /// their bytes are checked, but they carry no time.
    #[serde(default)]
    pub untimed_per_message: u32,
    /// The length of their bodies, in bytes.
    #[serde(default)]
    pub untimed_bytes: u8,
    /// Load before the window, in seconds.
    pub warm_up_seconds: f64,
    /// Length of the window, in seconds.
    pub measure_seconds: f64,
    /// A delivery that took longer is late, in milliseconds.
    pub late_after_ms: f64,
    /// Trials per target; of a search, holds at each of the rates that it confirms.
    pub repeats: u32,
}
