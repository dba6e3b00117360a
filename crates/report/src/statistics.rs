//! The arithmetic of comparing: medians, bootstrap intervals, tiers.
//!
//! A sample may be a lower bound. What follows from it is computed twice, with the least and with
//! the most that it may be, so an interval holds whatever the true samples would have given.

use std::borrow::Cow;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use zillions_samples::{Samples, interval};

use crate::bounded::{Bound, Bounded};

pub use zillions_samples::median;

/// Resamples per interval.
const RESAMPLES: usize = 2_000;

/// Share of resamples that an interval covers.
pub const CONFIDENCE: f64 = 0.95;

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(into = "EstimateRecord")]
pub struct Estimate {
    /// Median of the samples, or what `bound` says of it.
    pub median: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval; infinite where a bound leaves it open.
    pub high: f64,
    /// Number of samples.
    pub samples: usize,
    /// What is known of the median: a bound if any sample is one.
    pub bound: Bound,
}

/// A median with its 95 % interval. An infinite value is null. Where samples are lower bounds,
/// `at_least` or `at_most` takes the place of `median`, or nothing does.
#[derive(Serialize, JsonSchema)]
struct EstimateRecord {
    /// Median of the samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    median: Option<f64>,
    /// What the median is at least; absent if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    /// What the median is at most; absent if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    /// Lower end of the interval.
    #[schemars(with = "Option<f64>")]
    low: f64,
    /// Upper end of the interval; null also where nothing is known above.
    #[schemars(with = "Option<f64>")]
    high: f64,
    /// Number of samples.
    samples: usize,
}

impl From<Estimate> for EstimateRecord {
    fn from(estimate: Estimate) -> Self {
        let Estimate { median, low, high, samples, .. } = estimate;
        let if_it_is = |wanted| (estimate.value().bound() == wanted).then_some(median);
        Self {
            median: if_it_is(Bound::Exact),
            at_least: if_it_is(Bound::AtLeast),
            at_most: if_it_is(Bound::AtMost),
            low,
            high,
            samples,
        }
    }
}

impl JsonSchema for Estimate {
    fn schema_name() -> Cow<'static, str> {
        "Estimate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        EstimateRecord::json_schema(generator)
    }
}

impl Estimate {
    /// The median.
    #[must_use]
    pub fn value(&self) -> Bounded {
        Bounded::new(self.median, self.bound)
    }

    /// Whether two figures cannot be distinguished: their intervals have a value in common, or the
    /// larger median is at most `noise_factor` times the smaller.
    #[must_use]
    pub fn ties(&self, other: &Self, noise_factor: f64) -> bool {
        let (less, more) = if self.median <= other.median {
            (self.median, other.median)
        } else {
            (other.median, self.median)
        };
        let overlap = self.low <= other.high && other.low <= self.high;
        overlap || more <= less * noise_factor
    }
}

/// The median of `values`, at least so much if one of them is a bound. NaN of nothing.
#[must_use]
pub fn bounded_median(values: &[Bounded]) -> Bounded {
    let samples = samples_of(values);
    Bounded::new(samples.median(), bound_of(&samples))
}

/// The median of `samples` with a percentile-bootstrap interval; `None` of nothing.
///
/// The same samples and `seed` give the same interval. Few samples give an honest, wide one: of
/// five it nearly spans from the least to the greatest.
#[must_use]
pub fn estimate_median<T: Copy + Into<Bounded>>(samples: &[T], seed: u64) -> Option<Estimate> {
    if samples.is_empty() {
        return None;
    }
    let mut samples = samples_of(samples);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let medians = (0..RESAMPLES).map(|_| samples.resampled(&mut random)).collect();
    let (low, high) = interval(medians, CONFIDENCE);
    let bound = bound_of(&samples);
    Some(Estimate { median: samples.median(), low, high, samples: samples.number(), bound })
}

/// The ratio of the medians of `samples` and `base` with a bootstrap interval; `None` if either
/// has no sample. Equal medians have the ratio 1, also where they are 0 or infinite.
#[must_use]
pub fn estimate_ratio<T: Copy + Into<Bounded>>(
    samples: &[T],
    base: &[T],
    seed: u64,
) -> Option<Estimate> {
    estimate_pair(samples, base, seed, |new, base| if new == base { 1.0 } else { new / base })
}

/// The difference of the medians, `samples` minus `base`, likewise.
#[must_use]
pub fn estimate_difference<T: Copy + Into<Bounded>>(
    samples: &[T],
    base: &[T],
    seed: u64,
) -> Option<Estimate> {
    estimate_pair(samples, base, seed, |new, base| if new == base { 0.0 } else { new - base })
}

/// What `of` makes of two medians; it grows with the first and falls with the second.
fn estimate_pair<T: Copy + Into<Bounded>>(
    samples: &[T],
    base: &[T],
    seed: u64,
    of: impl Fn(f64, f64) -> f64,
) -> Option<Estimate> {
    if samples.is_empty() || base.is_empty() {
        return None;
    }
    let (mut samples, mut base) = (samples_of(samples), samples_of(base));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut pair = || {
        let (new, base) = (samples.resampled(&mut random), base.resampled(&mut random));
        (of(new.0, base.1), of(new.1, base.0))
    };
    let (low, high) = interval((0..RESAMPLES).map(|_| pair()).collect(), CONFIDENCE);
    Some(Estimate {
        median: of(samples.median(), base.median()),
        low,
        high,
        samples: samples.number().min(base.number()),
        bound: match (samples.are_known(), base.are_known()) {
            (true, true) => Bound::Exact,
            (false, true) => Bound::AtLeast,
            (true, false) => Bound::AtMost,
            (false, false) => Bound::Unknown,
        },
    })
}

/// Samples of which some may be lower bounds.
fn samples_of<T: Copy + Into<Bounded>>(samples: &[T]) -> Samples {
    let samples: Vec<Bounded> = samples.iter().map(|&sample| sample.into()).collect();
    let least: Vec<f64> = samples.iter().map(Bounded::least).collect();
    if samples.iter().all(Bounded::is_exact) {
        return Samples::new(&least, None);
    }
    let most: Vec<f64> = samples.iter().map(Bounded::most).collect();
    Samples::new(&least, Some(&most))
}

/// What is known of the median of `samples`.
fn bound_of(samples: &Samples) -> Bound {
    if samples.are_known() { Bound::Exact } else { Bound::AtLeast }
}

/// Puts figures into tiers, the best first; the tier of each, from 1.
///
/// `better` says whether its first argument beats its second. A tier is opened by the best figure
/// that is left, and holds the figures after it up to the first that does not tie with it.
/// Differences up to `noise_factor` separate nothing; it is 1 where the noise is not known. Within
/// a tier nothing is ranked.
#[must_use]
pub fn tiers(
    figures: &[Estimate],
    noise_factor: f64,
    better: impl Fn(f64, f64) -> bool,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..figures.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (figures[a].median, figures[b].median);
        better(b, a).cmp(&better(a, b)).then_with(|| a.total_cmp(&b))
    });
    let mut tiers = vec![0; figures.len()];
    let mut tier = 0;
    let mut leader: Option<Estimate> = None;
    for at in order {
        if leader.is_none_or(|leader| !leader.ties(&figures[at], noise_factor)) {
            tier += 1;
            leader = Some(figures[at]);
        }
        tiers[at] = tier;
    }
    tiers
}

#[cfg(test)]
impl Estimate {
    /// An exact median of five samples.
    pub(crate) fn exact(low: f64, median: f64, high: f64) -> Self {
        Self { median, low, high, samples: 5, bound: Bound::Exact }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_samples_give_the_same_interval() {
        let samples = [9.0, 10.0, 11.0, 12.0, 30.0];
        assert_eq!(estimate_median(&samples, 7), estimate_median(&samples, 7));
        assert_eq!(estimate_median::<f64>(&[], 7), None);
    }

    #[test]
    fn a_ratio_of_what_differs_twofold_is_two_and_its_interval_excludes_one() {
        let ratio =
            estimate_ratio(&[20.0, 21.0, 19.0, 20.5, 19.5], &[10.0, 10.2, 9.8, 10.1, 9.9], 1)
                .unwrap();
        assert!((ratio.median - 2.0).abs() < 1e-9);
        assert!(ratio.low > 1.8 && ratio.high < 2.2, "{ratio:?}");
    }

    #[test]
    fn equal_medians_have_the_ratio_one_also_where_nothing_arrived() {
        let ratio = |new: f64, base: f64| estimate_ratio(&[new; 3], &[base; 3], 1).unwrap();
        let never = f64::INFINITY;
        assert_eq!((ratio(0.0, 0.0).median, ratio(never, never).high), (1.0, 1.0));
        assert_eq!((ratio(never, 2.0).low, ratio(2.0, never).high), (never, 0.0));
        assert_eq!(estimate_difference(&[0.5; 3], &[0.25; 3], 1).unwrap().low, 0.25);
        assert_eq!(estimate_ratio(&[], &[1.0], 1), None);
    }

    #[test]
    fn what_overlaps_the_leader_shares_its_tier_and_the_next_opens_another() {
        let figures = [
            Estimate::exact(50.0, 60.0, 70.0),
            Estimate::exact(95.0, 100.0, 105.0),
            Estimate::exact(90.0, 92.0, 96.0),
            Estimate::exact(69.0, 72.0, 80.0),
        ];
        // Higher is better: 100 and 92 tie; 72 opens the second tier, in which 60 ties.
        assert_eq!(tiers(&figures, 1.0, |a, b| a > b), [2, 1, 1, 2]);
        // Lower is better.
        assert_eq!(tiers(&figures, 1.0, |a, b| a < b), [1, 2, 2, 1]);
    }

    #[test]
    fn a_difference_that_noise_alone_makes_separates_nothing() {
        let figures = [Estimate::exact(99.0, 100.0, 101.0), Estimate::exact(94.0, 95.0, 96.0)];
        assert_eq!(tiers(&figures, 1.0, |a, b| a > b), [1, 2]);
        assert_eq!(tiers(&figures, 1.06, |a, b| a > b), [1, 1]);
        assert_eq!(tiers(&figures, 1.06, |a, b| a < b), [1, 1]);
        assert_eq!(tiers(&figures, 1.05, |a, b| a > b), [1, 2]);
    }

    #[test]
    fn a_target_that_loses_too_much_is_last_however_fast_the_rest_was() {
        let lost = Estimate::exact(f64::INFINITY, f64::INFINITY, f64::INFINITY);
        assert_eq!(tiers(&[lost, Estimate::exact(1.0, 2.0, 3.0)], 9.0, |a, b| a < b), [2, 1]);
    }

    /// Samples, some of them bounds, and what their true values may be.
    fn bounded_samples() -> impl Strategy<Value = (Vec<Bounded>, Vec<f64>)> {
        let excess = prop_oneof![Just(0.0), 0.0_f64..1e3, Just(f64::INFINITY)];
        let sample = (1.0_f64..1e3, any::<bool>(), excess).prop_map(|(value, is_bound, excess)| {
            if is_bound {
                (Bounded::at_least(value), value + excess)
            } else {
                (value.into(), value)
            }
        });
        prop::collection::vec(sample, 1..8).prop_map(|samples| samples.into_iter().unzip())
    }

    /// Whether what is known of an estimate allows that it is `truth`.
    fn allows(known: &Estimate, truth: &Estimate) -> bool {
        let value = known.value();
        known.low <= truth.low
            && truth.high <= known.high
            && value.least() <= truth.median
            && truth.median <= value.most()
    }

    #[test]
    fn a_median_of_bounds_is_a_bound_and_a_ratio_of_bounds_is_not_known() {
        let (bounds, exact) = ([Bounded::at_least(5.0); 3], [Bounded::from(2.0); 3]);
        let median = estimate_median(&bounds, 1).unwrap();
        assert_eq!((median.value(), median.high), (Bounded::at_least(5.0), f64::INFINITY));
        assert_eq!(bounded_median(&bounds), Bounded::at_least(5.0));
        assert_eq!(bounded_median(&exact).exact(), Some(2.0));
        // Two of three never arrived, so neither did the median.
        let never = [Bounded::at_least(5.0), f64::INFINITY.into(), f64::INFINITY.into()];
        assert_eq!(bounded_median(&never).exact(), Some(f64::INFINITY));
        let ratio = |new: &[Bounded], base: &[Bounded]| estimate_ratio(new, base, 1).unwrap();
        let ends = |it: Estimate| (it.bound, it.low, it.high);
        assert_eq!(ends(ratio(&bounds, &exact)), (Bound::AtLeast, 2.5, f64::INFINITY));
        assert_eq!(ends(ratio(&exact, &bounds)), (Bound::AtMost, 0.0, 0.4));
        assert_eq!(ends(ratio(&bounds, &bounds)), (Bound::Unknown, 0.0, f64::INFINITY));
    }

    #[test]
    fn in_json_a_bound_takes_the_place_of_the_median() {
        let json = |new: &[Bounded], base: &[Bounded]| {
            serde_json::to_value(estimate_ratio(new, base, 1).unwrap()).unwrap()
        };
        let (bounds, exact) = ([Bounded::at_least(5.0); 3], [Bounded::from(2.0); 3]);
        let expected =
            serde_json::json!({ "at_least": 2.5, "low": 2.5, "high": null, "samples": 3 });
        assert_eq!(json(&bounds, &exact), expected);
        assert_eq!(json(&exact, &bounds)["at_most"], 0.4);
        assert_eq!(json(&exact, &exact)["median"], 1.0);
        let unknown = json(&bounds, &bounds);
        let keys: Vec<&String> = unknown.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["high", "low", "samples"]);
    }

    proptest! {
        // Each case draws thousands of resamples.
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn an_interval_holds_the_median_and_stays_within_the_samples(
            samples in prop::collection::vec(0.0_f64..1e9, 1..20), seed: u64,
        ) {
            let estimate = estimate_median(&samples, seed).unwrap();
            let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = samples.iter().copied().fold(0.0, f64::max);
            prop_assert!(least <= estimate.low && estimate.low <= estimate.median);
            prop_assert!(estimate.median <= estimate.high && estimate.high <= greatest);
        }

        #[test]
        fn what_is_said_of_bounds_holds_whatever_the_true_samples_are(
            (new, true_new) in bounded_samples(), (base, true_base) in bounded_samples(), seed: u64,
        ) {
            let known = estimate_median(&new, seed).unwrap();
            let truth = estimate_median(&true_new, seed).unwrap();
            prop_assert!(allows(&known, &truth), "{known:?} {truth:?}");
            let known = estimate_ratio(&new, &base, seed).unwrap();
            let truth = estimate_ratio(&true_new, &true_base, seed).unwrap();
            prop_assert!(allows(&known, &truth), "{known:?} {truth:?}");
        }

        #[test]
        fn no_tier_is_better_than_the_one_above_it(
            medians in prop::collection::vec((1.0_f64..100.0, 0.0_f64..20.0), 0..12),
        ) {
            let figures: Vec<_> = medians.iter().map(|&(m, w)| Estimate::exact(m - w, m, m + w)).collect();
            let tiers = tiers(&figures, 1.0, |a, b| a > b);
            for (a, tier_a) in figures.iter().zip(&tiers) {
                for (b, tier_b) in figures.iter().zip(&tiers) {
                    prop_assert!(tier_a >= tier_b || a.median >= b.median);
                }
            }
        }
    }
}
