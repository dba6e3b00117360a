//! The arithmetic of comparing: medians, bootstrap intervals, tiers.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::Serialize;

/// Resamples per interval.
const RESAMPLES: usize = 2_000;

/// Share of resamples that an interval covers.
pub const CONFIDENCE: f64 = 0.95;

/// A median with its 95 % interval. In JSON, an infinite value is null.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Estimate {
    /// Median of the samples.
    #[schemars(with = "Option<f64>")]
    pub median: f64,
    /// Lower end of the interval.
    #[schemars(with = "Option<f64>")]
    pub low: f64,
    /// Upper end of the interval.
    #[schemars(with = "Option<f64>")]
    pub high: f64,
    /// Number of samples.
    pub samples: usize,
}

impl Estimate {
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

/// The median: the mean of the two middle values where their number is even. NaN of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        // Two equal values, infinite ones included, are their own mean.
        _ if sorted[middle - 1] == sorted[middle] => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The median of `samples` with a percentile-bootstrap interval; `None` of nothing.
///
/// The same samples and `seed` give the same interval. Few samples give an honest, wide one: of
/// five it nearly spans from the least to the greatest.
#[must_use]
pub fn estimate_median(samples: &[f64], seed: u64) -> Option<Estimate> {
    if samples.is_empty() {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let medians = (0..RESAMPLES).map(|_| median(&resample(samples, &mut random))).collect();
    Some(interval(median(samples), medians, samples.len()))
}

/// The ratio of the medians of `samples` and `base` with a bootstrap interval; `None` if either
/// has no sample. Equal medians have the ratio 1, also where they are 0 or infinite.
#[must_use]
pub fn estimate_ratio(samples: &[f64], base: &[f64], seed: u64) -> Option<Estimate> {
    estimate_pair(samples, base, seed, |new, base| if new == base { 1.0 } else { new / base })
}

/// The difference of the medians, `samples` minus `base`, likewise.
#[must_use]
pub fn estimate_difference(samples: &[f64], base: &[f64], seed: u64) -> Option<Estimate> {
    estimate_pair(samples, base, seed, |new, base| if new == base { 0.0 } else { new - base })
}

fn estimate_pair(
    samples: &[f64],
    base: &[f64],
    seed: u64,
    of: impl Fn(f64, f64) -> f64,
) -> Option<Estimate> {
    if samples.is_empty() || base.is_empty() {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let resampled = (0..RESAMPLES)
        .map(|_| of(median(&resample(samples, &mut random)), median(&resample(base, &mut random))))
        .collect();
    let number = samples.len().min(base.len());
    Some(interval(of(median(samples), median(base)), resampled, number))
}

fn resample(samples: &[f64], random: &mut ChaCha8Rng) -> Vec<f64> {
    samples.iter().map(|_| samples[random.random_range(0..samples.len())]).collect()
}

fn interval(median: f64, mut resampled: Vec<f64>, samples: usize) -> Estimate {
    resampled.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let last = resampled.len() - 1;
    let low = resampled[(tail * last as f64).round() as usize];
    let high = resampled[((1.0 - tail) * last as f64).round() as usize];
    Estimate { median, low, high, samples }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn estimate(low: f64, median: f64, high: f64) -> Estimate {
        Estimate { median, low, high, samples: 5 }
    }

    #[test]
    fn medians_are_the_middle_value_or_the_mean_of_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[f64::INFINITY, f64::INFINITY]), f64::INFINITY);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_same_samples_give_the_same_interval() {
        let samples = [9.0, 10.0, 11.0, 12.0, 30.0];
        assert_eq!(estimate_median(&samples, 7), estimate_median(&samples, 7));
        assert_eq!(estimate_median(&[], 7), None);
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
            estimate(50.0, 60.0, 70.0),
            estimate(95.0, 100.0, 105.0),
            estimate(90.0, 92.0, 96.0),
            estimate(69.0, 72.0, 80.0),
        ];
        // Higher is better: 100 and 92 tie; 72 opens the second tier, in which 60 ties.
        assert_eq!(tiers(&figures, 1.0, |a, b| a > b), [2, 1, 1, 2]);
        // Lower is better.
        assert_eq!(tiers(&figures, 1.0, |a, b| a < b), [1, 2, 2, 1]);
    }

    #[test]
    fn a_difference_that_noise_alone_makes_separates_nothing() {
        let figures = [estimate(99.0, 100.0, 101.0), estimate(94.0, 95.0, 96.0)];
        assert_eq!(tiers(&figures, 1.0, |a, b| a > b), [1, 2]);
        assert_eq!(tiers(&figures, 1.06, |a, b| a > b), [1, 1]);
        assert_eq!(tiers(&figures, 1.06, |a, b| a < b), [1, 1]);
        assert_eq!(tiers(&figures, 1.05, |a, b| a > b), [1, 2]);
    }

    #[test]
    fn a_target_that_loses_too_much_is_last_however_fast_the_rest_was() {
        let lost = estimate(f64::INFINITY, f64::INFINITY, f64::INFINITY);
        assert_eq!(tiers(&[lost, estimate(1.0, 2.0, 3.0)], 9.0, |a, b| a < b), [2, 1]);
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
        fn no_tier_is_better_than_the_one_above_it(
            medians in prop::collection::vec((1.0_f64..100.0, 0.0_f64..20.0), 0..12),
        ) {
            let figures: Vec<_> = medians.iter().map(|&(m, w)| estimate(m - w, m, m + w)).collect();
            let tiers = tiers(&figures, 1.0, |a, b| a > b);
            for (a, tier_a) in figures.iter().zip(&tiers) {
                for (b, tier_b) in figures.iter().zip(&tiers) {
                    prop_assert!(tier_a >= tier_b || a.median >= b.median);
                }
            }
        }
    }
}
