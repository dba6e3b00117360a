//! What a run reports while it is going on.

use std::time::Duration;

use zillions_report::record::{Role, TrialRecord};

use crate::pin::Pinning;

/// One step of a run.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A target is about to be checked.
    Checking {
        /// Its name.
        target: &'a str,
        /// How many were checked before.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// A target was checked and will be measured.
    Passed {
        /// Its name.
        target: &'a str,
        /// Whether an earlier run had found that out.
        cached: bool,
    },
    /// A target is about to be measured while its clients are silent.
    Idling {
        /// Its name.
        target: &'a str,
        /// How many were before.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// A target was checked and will not be measured.
    Refused {
        /// Its name.
        target: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// The trials begin.
    Planned {
        /// How many there are beforehand; of a search, how many there should be.
        trials: usize,
        /// How many of them an earlier process has carried out.
        kept: usize,
        /// How long the others should take.
        estimate: Duration,
        /// How long all but searches may take with the trials that follow from their results; absent
        /// if none follow.
        budget: Option<Duration>,
        /// Who runs where.
        pinning: &'a Pinning,
    },
    /// A trial begins.
    Started {
        /// Its target.
        target: &'a str,
        /// Its scenario.
        scenario: &'a str,
        /// What it is for.
        role: Role,
        /// Messages per second that it offers, if that is fixed.
        rate: Option<f64>,
    },
    /// A trial has ended and is on disk.
    Ended {
        /// What it found.
        trial: &'a TrialRecord,
        /// How many have ended.
        done: usize,
        /// How many there should be in the end.
        total: usize,
        /// How long the remaining ones should take, going by those that have ended.
        remaining: Duration,
    },
}
