//! The figures that runs are compared by.

use schemars::JsonSchema;
use serde::Serialize;

use crate::bounded::{Bound, Bounded};
use crate::columns::{
    CAPACITY, CPU, DELIVERIES, FigureColumn, INSTRUCTIONS, LOST, MEMORY, OF_LIMIT, P50, P99,
};
use crate::record::{LoadRecord, Measurement, ScenarioRecord};
use crate::statistics::Estimate;

/// A figure that runs are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Deliveries that arrived, per second.
    DeliveriesPerSecond,
    /// Highest rate within the limits of a search, in messages per second.
    CapacityMessagesPerSecond,
    /// Median latency, in nanoseconds; null likewise.
    LatencyP50Ns,
    /// 99th percentile of latency, in nanoseconds; null if that many deliveries were lost.
    LatencyP99Ns,
    /// Share of the expected deliveries that never arrived, 0 to 1.
    LostShare,
    /// CPU time of the server per delivery, in nanoseconds.
    CpuPerDeliveryNs,
    /// Instructions of the server in user mode per delivery, in runs that have counted them.
    UserInstructionsPerDelivery,
    /// What is reached of the limit of the machine, in runs that have measured it.
    ShareOfLimit,
    /// Peak resident memory, in bytes.
    PeakResidentBytes,
}

impl Figure {
    /// The figures that mean something in `scenario`.
    ///
    /// At a fixed rate the throughput is what was asked for. Under a saturating load the latency
    /// is that of a full queue, so it says how long the queue is.
    #[must_use]
    pub fn of_scenario(scenario: &ScenarioRecord) -> Vec<Self> {
        if let LoadRecord::Search { .. } = scenario.load {
            // Each server was tried at rates of its own, so what it lost there says nothing.
            return vec![
                Self::CapacityMessagesPerSecond,
                Self::CpuPerDeliveryNs,
                Self::UserInstructionsPerDelivery,
                Self::PeakResidentBytes,
            ];
        }
        let mut figures = match scenario.load {
            LoadRecord::FixedRate { .. } | LoadRecord::Burst { .. } => {
                vec![Self::LatencyP50Ns, Self::LatencyP99Ns]
            }
            LoadRecord::EveryoneAtOnce => {
                vec![Self::DeliveriesPerSecond, Self::LatencyP50Ns, Self::LatencyP99Ns]
            }
            LoadRecord::Saturate | LoadRecord::Search { .. } => vec![Self::DeliveriesPerSecond],
        };
        figures.extend([
            Self::LostShare,
            Self::CpuPerDeliveryNs,
            Self::UserInstructionsPerDelivery,
            Self::ShareOfLimit,
            Self::PeakResidentBytes,
        ]);
        figures
    }

    /// The column that defines it.
    #[must_use]
    pub fn column(self) -> &'static FigureColumn {
        match self {
            Self::DeliveriesPerSecond => &DELIVERIES,
            Self::CapacityMessagesPerSecond => &CAPACITY,
            Self::LatencyP50Ns => &P50,
            Self::LatencyP99Ns => &P99,
            Self::LostShare => &LOST,
            Self::CpuPerDeliveryNs => &CPU,
            Self::UserInstructionsPerDelivery => &INSTRUCTIONS,
            Self::ShareOfLimit => &OF_LIMIT,
            Self::PeakResidentBytes => &MEMORY,
        }
    }

    /// This figure of one trial; `None` if it has none. A capacity is of all trials together, and so
    /// is a share of the limit.
    pub(super) fn of(self, trial: &Measurement, scenario: &ScenarioRecord) -> Option<Bounded> {
        self.column().trial_value(trial, scenario).main()
    }

    /// Whether higher is better.
    #[must_use]
    pub fn higher_is_better(self) -> bool {
        matches!(
            self,
            Self::DeliveriesPerSecond | Self::CapacityMessagesPerSecond | Self::ShareOfLimit
        )
    }

    /// Whether scenarios rank by it or by what it is of, so that the noise floor says something of it.
    #[must_use]
    pub fn is_ranking_figure(self) -> bool {
        matches!(
            self,
            Self::DeliveriesPerSecond
                | Self::LatencyP50Ns
                | Self::LatencyP99Ns
                | Self::ShareOfLimit
        )
    }

    /// Whether it is a share, which is compared by difference: shares are often 0.
    #[must_use]
    pub fn is_share(self) -> bool {
        self == Self::LostShare
    }

    /// Its name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.column().head.title
    }

    /// A value of it for people, with its unit; a bound has ≥ before it.
    #[must_use]
    pub fn text(self, value: &Estimate) -> String {
        value.value().text(self.column().format)
    }

    /// A change of it for people: a factor, or percentage points, or what is known of it.
    #[must_use]
    pub fn change_text(self, change: &Estimate) -> String {
        change.value().text(|change| self.end_text(change))
    }

    /// The interval of a change for people.
    #[must_use]
    pub fn interval_text(self, change: &Estimate) -> String {
        if change.bound == Bound::Unknown && change.high == f64::INFINITY {
            return "unknown".to_owned();
        }
        format!("{} – {}", self.end_text(change.low), self.end_text(change.high))
    }

    fn end_text(self, change: f64) -> String {
        if self.is_share() {
            format!("{:+.2} pp", change * 100.0)
        } else if change.is_finite() {
            format!("× {change:.2}")
        } else {
            "× ∞".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_the_name_of_its_column() {
        for figure in [
            Figure::DeliveriesPerSecond,
            Figure::CapacityMessagesPerSecond,
            Figure::LatencyP50Ns,
            Figure::LatencyP99Ns,
            Figure::LostShare,
            Figure::CpuPerDeliveryNs,
            Figure::UserInstructionsPerDelivery,
            Figure::ShareOfLimit,
            Figure::PeakResidentBytes,
        ] {
            assert_eq!(serde_json::to_value(figure).unwrap(), figure.column().head.key);
        }
    }
}
