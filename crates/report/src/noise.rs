//! The noise floor, by an A/A test: one target is measured as two arms.

use crate::bounded::Bounded;
use crate::record::{Measurement, Role, ScenarioRecord};
use crate::results::Results;
use crate::row::measurement_of;
use crate::statistics::{Estimate, estimate_ratio};
use crate::trial_figures::ranking_figure;
use crate::verdict::{VALID_TRIALS_MIN, Validity, judge};

/// The noise floor of one scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseFloor {
    /// The target that was measured as two arms.
    pub target: String,
    /// The second arm's ranking figure relative to the first arm's. Both are of the same program, so
    /// any ratio in this interval may be noise.
    pub ratio: Estimate,
}

impl NoiseFloor {
    /// What two arms of `target` with these figures differ in; `None` if they are too few, or their
    /// ratio says nothing.
    pub(crate) fn of_arms(
        target: String,
        first: &[Bounded],
        second: &[Bounded],
        seed: u64,
    ) -> Option<Self> {
        if first.len().min(second.len()) < VALID_TRIALS_MIN {
            return None;
        }
        let ratio = estimate_ratio(second, first, seed)?;
        let is_usable = ratio.low > 0.0 && ratio.high.is_finite();
        is_usable.then_some(Self { target, ratio })
    }

    /// Two ranking figures of which the larger is at most this many times the smaller are not told
    /// apart; 1 or more.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.ratio.high.max(1.0 / self.ratio.low).max(1.0)
    }
}

/// The noise floor of `scenario`; `None` if an arm has too few valid trials, or no figure.
#[must_use]
pub fn noise_floor(results: &Results, scenario: &ScenarioRecord) -> Option<NoiseFloor> {
    let target = results.run.twin.clone()?;
    let arm = |role| -> Vec<Bounded> {
        results
            .trials
            .iter()
            .filter(|it| it.role == role && it.scenario == scenario.name && it.target == target)
            .filter_map(measurement_of)
            .filter(|figures| is_valid(figures))
            .map(|figures| ranking_figure(figures, scenario))
            .collect()
    };
    let (first, second) = (arm(Role::Measure), arm(Role::Twin));
    NoiseFloor::of_arms(target, &first, &second, results.run.seed)
}

fn is_valid(figures: &Measurement) -> bool {
    judge(figures).validity == Validity::Valid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::Bound;
    use crate::examples;

    #[test]
    fn two_arms_of_one_target_give_the_noise_floor() {
        let results = examples::results();
        let floor = noise_floor(&results, &results.run.scenarios[0]).unwrap();
        assert_eq!(floor.target, "fast");
        assert!((1.0..1.1).contains(&floor.factor()), "{floor:?}");
    }

    #[test]
    fn an_arm_with_too_few_valid_trials_gives_none() {
        let mut results = examples::results();
        results.trials.retain(|trial| trial.role != Role::Twin || trial.block < 2);
        assert_eq!(noise_floor(&results, &results.run.scenarios[0]), None);
        results.run.twin = None;
        assert_eq!(noise_floor(&results, &results.run.scenarios[0]), None);
    }

    #[test]
    fn a_second_arm_that_is_faster_counts_like_one_that_is_slower() {
        let ratio = Estimate { median: 0.9, low: 0.8, high: 1.0, samples: 5, bound: Bound::Exact };
        let floor = NoiseFloor { target: "any".to_owned(), ratio };
        assert!((floor.factor() - 1.25).abs() < 1e-9);
    }
}
