//! What is recorded of a scenario.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The figure that a scenario ranks by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RankBy {
    /// 99th percentile of latency; lower is better.
    Latency,
    /// Deliveries per second; higher is better.
    Throughput,
    /// Highest rate of messages within the limits of a search; higher is better.
    Capacity,
}

impl RankBy {
    /// Whether the lower of two figures is the better one.
    #[must_use]
    pub fn lower_is_better(self) -> bool {
        self == Self::Latency
    }

    /// Whether `a` is better than `b`.
    #[must_use]
    pub fn is_better(self, a: f64, b: f64) -> bool {
        if self.lower_is_better() { a < b } else { a > b }
    }

    /// The figure as what the best come first by, in ascending order.
    #[must_use]
    pub fn sort_key(self, figure: f64) -> f64 {
        if self.lower_is_better() { figure } else { -figure }
    }
}

/// The load that the senders generate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum LoadRecord {
    /// Open loop, messages at equal intervals.
    FixedRate {
        /// Messages per second of all senders together.
        messages_per_second: f64,
    },
    /// Open loop, bursts of messages with pauses in between.
    Burst {
        /// Messages of all senders together that are due at the same moment.
        messages_per_burst: u32,
        /// Bursts per second.
        bursts_per_second: f64,
    },
    /// As fast as the sockets accept it.
    Saturate,
    /// Closed loop: each sender sends one message, and the next when every client has received all
    /// of them.
    EveryoneAtOnce,
    /// Open loop; searches for the highest rate that meets both limits.
    Search {
        /// Limit on the 99th percentile of latency, in milliseconds.
        max_latency_p99_ms: f64,
        /// Limit on the share of the expected deliveries that are lost, 0 to 1.
        max_lost_share: f64,
        /// Lowest rate of the search, in messages per second.
        min_messages_per_second: f64,
        /// Highest rate of the search, in messages per second.
        max_messages_per_second: f64,
    },
}

/// One scenario as it was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioRecord {
    /// Name: letters, digits and dashes.
    pub name: String,
    /// The question that it answers.
    pub question: String,
    /// Note on how to read its figures.
    pub note: String,
    /// The figure that it ranks by.
    pub rank_by: RankBy,
    /// The load that the senders generate.
    pub load: LoadRecord,
    /// Number of clients, all of which receive.
    pub clients: u32,
    /// Number of clients that also send.
    pub senders: u32,
    /// Number of further clients that never read.
    #[serde(default)]
    pub stalled_clients: u32,
    /// Further clients per second that connect, receive a little, and disconnect.
    #[serde(default)]
    pub churn_per_second: f64,
    /// Lengths of message bodies, used in turn, in bytes.
    pub body_bytes: Vec<u8>,
    /// Number of untimed messages that each sender sends before each timed one; they are counted
    /// and verified, but their latency is not measured.
    #[serde(default)]
    pub untimed_per_message: u32,
    /// Length of the bodies of untimed messages, in bytes.
    #[serde(default)]
    pub untimed_bytes: u8,
    /// Whether senders write the header and the body of a message with two calls, with Nagle's
    /// algorithm on.
    #[serde(default)]
    pub split_writes: bool,
    /// Duration of the load before the measured window, in seconds.
    pub warm_up_seconds: f64,
    /// Duration of the measured window, in seconds.
    pub measure_seconds: f64,
    /// Latency above which a delivery counts as late, in milliseconds.
    pub late_after_ms: f64,
    /// Number of trials per target; of a search, trials at each rate that it confirms. Where
    /// `looks_max` is above 1, there may be more.
    pub repeats: u32,
    /// How often at most the results are looked at to decide on further trials; 1 if the number of
    /// trials was fixed beforehand.
    #[serde(default = "one_look")]
    pub looks_max: u32,
}

fn one_look() -> u32 {
    1
}
