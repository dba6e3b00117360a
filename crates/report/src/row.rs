//! One target in one scenario: its trials with their verdicts, its figures, its rank.

use crate::capacity::Capacity;
use crate::figures::Figures;
use crate::record::{Measurement, TargetRecord, TargetStatus, TrialRecord, TrialResult};
use crate::verdict::{Validity, Verdict};

/// One target in one scenario.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The target.
    pub target: &'a TargetRecord,
    /// Whether it is ranked, and if not, why.
    pub rank: Rank,
    /// Its figures: of its valid trials if it is ranked, otherwise of all that gave any.
    pub figures: Option<Figures>,
    /// The trials that it is ranked by, in the order of their blocks.
    pub trials: Vec<JudgedTrial<'a>>,
    /// What a search found, if the scenario searches.
    pub capacity: Option<Capacity>,
    /// Whether its ranking figure is a lower bound, because the load generator was the bottleneck.
    pub lower_bound: bool,
    /// Whether that lower bound is above every ranked figure: faster than the load generator.
    pub generator_bound: bool,
}

/// Whether a target is ranked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rank {
    /// It is, in this tier, from 1.
    Ranked {
        /// Within a tier nothing is ranked.
        tier: usize,
    },
    /// It is not, for what it lost: its figures are valid, and who does least would be first.
    Lossy {
        /// How much, in one line.
        reason: String,
    },
    /// It is not, for its ranking figure is a percentile of too few samples, a lower bound: its
    /// figures are valid, and the true one may be anywhere above.
    FewSamples {
        /// How few, in one line.
        reason: String,
    },
    /// It is not, for this reason.
    Unranked {
        /// In one line.
        reason: String,
    },
}

impl Rank {
    /// The tier, if it is ranked.
    #[must_use]
    pub fn tier(&self) -> Option<usize> {
        match self {
            Self::Ranked { tier } => Some(*tier),
            Self::Lossy { .. } | Self::FewSamples { .. } | Self::Unranked { .. } => None,
        }
    }

    /// Why it is not ranked; `None` if it is.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Ranked { .. } => None,
            Self::Lossy { reason } | Self::FewSamples { reason } | Self::Unranked { reason } => {
                Some(reason)
            }
        }
    }
}

/// A trial and the verdict on its figures; a failed trial has none.
#[derive(Clone, Debug)]
pub struct JudgedTrial<'a> {
    /// The trial.
    pub record: &'a TrialRecord,
    /// The verdict on its figures.
    pub verdict: Option<Verdict>,
}

impl JudgedTrial<'_> {
    /// Whether the verdict is this one.
    #[must_use]
    pub fn is(&self, validity: Validity) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.validity == validity)
    }
}

impl<'a> Row<'a> {
    /// The figures of each valid trial.
    pub fn valid_measurements(&self) -> impl Iterator<Item = &'a Measurement> {
        let valid = self.trials.iter().filter(|trial| trial.is(Validity::Valid));
        valid.filter_map(|trial| measurement_of(trial.record))
    }

    /// How many of its trials have this verdict.
    #[must_use]
    pub fn number_of(&self, validity: Validity) -> usize {
        number_of(&self.trials, validity)
    }
}

/// How many of `trials` have this verdict.
#[must_use]
pub fn number_of(trials: &[JudgedTrial<'_>], validity: Validity) -> usize {
    trials.iter().filter(|trial| trial.is(validity)).count()
}

/// The figures of a trial; `None` if it failed or was prevented.
#[must_use]
pub fn measurement_of(trial: &TrialRecord) -> Option<&Measurement> {
    match &trial.result {
        TrialResult::Measured(figures) => Some(figures),
        TrialResult::Failed { .. } | TrialResult::Prevented { .. } => None,
    }
}

/// Why there is nothing to rank a target by; `None` if there is.
pub(crate) fn why_unmeasured(target: &TargetRecord, trials: &[JudgedTrial<'_>]) -> Option<String> {
    match &target.status {
        TargetStatus::Skipped { reason, remedy } if remedy.is_empty() => {
            Some(format!("skipped: {reason}"))
        }
        TargetStatus::Skipped { reason, remedy } => Some(format!("skipped: {reason}; {remedy}")),
        TargetStatus::FailedCheck { reason } => {
            Some(format!("failed the conformance check: {reason}"))
        }
        TargetStatus::Measured => trials.is_empty().then(|| "no trial was run".to_owned()),
    }
}
