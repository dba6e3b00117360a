//! What separates two targets, where the results are looked at several times, and what it would
//! take to separate those that are not.
//!
//! A comparison after every few trials, until two intervals are apart, finds differences that do not
//! exist. So the number of looks is limited beforehand, and the risk of 5 % is divided
//! among them: at each look the interval of a target covers its true median with 1 - 0.05 / looks. It is
//! the interval of order statistics, which holds for samples of any distribution. A target may have
//! more trials than another at a look: whether its own intervals cover its median depends on its own
//! samples alone.

use crate::bounded::{Bound, Bounded};
use crate::record::{LoadRecord, ScenarioRecord};
use crate::row::{Rank, Row, measurement_of};
use crate::statistics::{CONFIDENCE, Estimate, bounded_median};
use crate::trial_figures::ranking_figure;

/// More trials of one target than this are not foreseen: what differs so little does not matter.
pub const TRIALS_FORESEEN_MAX: usize = 1_000;

/// The share of the intervals at one look that cover the true median, if there are up to
/// `looks_max` looks.
#[must_use]
pub fn confidence(looks_max: u32) -> f64 {
    1.0 - (1.0 - CONFIDENCE) / f64::from(looks_max.max(1))
}

/// The median of `samples` with the interval of order statistics at one of `looks_max` looks;
/// `None` of nothing. Too few samples for that confidence give their whole range.
#[must_use]
pub fn interval(samples: &[Bounded], looks_max: u32) -> Option<Estimate> {
    let sorted = |of: fn(&Bounded) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (least, most) = (sorted(Bounded::least), sorted(Bounded::most));
    let last = least.len().checked_sub(1)?;
    let outside = samples_outside(least.len(), (1.0 - confidence(looks_max)) / 2.0);
    let value = bounded_median(samples);
    Some(Estimate {
        median: value.least(),
        low: least[outside],
        high: most[last - outside],
        samples: least.len(),
        bound: if value.is_exact() { Bound::Exact } else { Bound::AtLeast },
    })
}

/// How many of `number` samples may be left out at one end: so many that the median is beyond the
/// others with a probability of `tail` at most. Each sample is below the median with probability ½.
fn samples_outside(number: usize, tail: f64) -> usize {
    let mut probability = 0.5_f64.powi(i32::try_from(number).unwrap_or(i32::MAX));
    let mut sum = probability;
    let mut outside = 0;
    for at in 1..=number / 2 {
        probability *= (number - at + 1) as f64 / at as f64;
        sum += probability;
        if sum > tail {
            break;
        }
        outside = at;
    }
    outside
}

/// The figure that tells a target in `scenario` from others; `None` if it has none.
#[must_use]
pub fn of_row(row: &Row<'_>, scenario: &ScenarioRecord) -> Option<Estimate> {
    let ranking = row.figures.as_ref()?.ranking;
    if scenario.looks_max <= 1 || matches!(scenario.load, LoadRecord::Search { .. }) {
        return Some(ranking);
    }
    let figure = |it| ranking_figure(it, scenario);
    let samples: Vec<Bounded> = match row.rank {
        Rank::Ranked { .. } => row.valid_measurements().map(figure).collect(),
        _ => row.trials.iter().filter_map(|it| measurement_of(it.record)).map(figure).collect(),
    };
    interval(&samples, scenario.looks_max)
}

/// Two targets in one tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie<T> {
    /// The one that leads the tier.
    pub leader: T,
    /// The other one.
    pub other: T,
    /// How many trials of each would separate them, if they go on as they began; `None` if more
    /// than [`TRIALS_FORESEEN_MAX`].
    pub trials_needed: Option<usize>,
}

/// The ties of targets with these figures in these tiers, as indices; `better` is that of
/// [`tiers`](crate::statistics::tiers).
#[must_use]
pub fn ties(
    figures: &[Estimate],
    tiers: &[usize],
    noise_factor: f64,
    better: impl Fn(f64, f64) -> bool,
) -> Vec<Tie<usize>> {
    let leader_of = |tier: usize| {
        let members = (0..tiers.len()).filter(|&at| tiers[at] == tier);
        members.reduce(|a, b| if better(figures[b].median, figures[a].median) { b } else { a })
    };
    let tie = |other: usize| {
        let leader = leader_of(tiers[other]).filter(|&leader| leader != other)?;
        let trials_needed = trials_needed(&figures[leader], &figures[other], noise_factor);
        Some(Tie { leader, other, trials_needed })
    };
    (0..figures.len()).filter_map(tie).collect()
}

/// Intervals, and the noise floor, shrink with the square root of the number of trials.
fn trials_needed(a: &Estimate, b: &Estimate, noise_factor: f64) -> Option<usize> {
    let (less, more) = if a.median <= b.median { (a, b) } else { (b, a) };
    let difference = (more.median / less.median).ln();
    if difference.is_nan() || difference <= 0.0 {
        return None;
    }
    let width = (less.high / less.median).ln() + (more.median / more.low).ln();
    let factor = width.max(noise_factor.ln()) / difference;
    let needed = (less.samples.max(more.samples) as f64 * factor * factor).ceil();
    // One more than there are, where the two only just touch.
    let needed = needed.max(less.samples.max(more.samples) as f64 + 1.0);
    (needed <= TRIALS_FORESEEN_MAX as f64).then_some(needed as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_order_statistics_cover_the_median_as_often_as_the_tables_say() {
        // Of the binomial distribution with ½: 12 samples without the outermost on each side cover
        // with 1 - 2 × 13 / 4096; without two on each side with 1 - 2 × 79 / 4096.
        assert_eq!(samples_outside(12, 13.0 / 4096.0), 1);
        assert_eq!(samples_outside(12, 12.9 / 4096.0), 0);
        assert_eq!(samples_outside(12, 79.0 / 4096.0), 2);
        // As every table of the sign test has it for 95 %.
        let known = [(5, 0), (6, 0), (8, 0), (9, 1), (12, 2), (15, 3), (20, 5), (25, 7)];
        for (number, outside) in known {
            assert_eq!(samples_outside(number, 0.025), outside, "of {number}");
        }
    }

    #[test]
    fn more_looks_widen_the_interval_and_too_few_samples_give_their_range() {
        let samples: Vec<Bounded> = (1..=20).map(|it| f64::from(it).into()).collect();
        let ends = |looks| interval(&samples, looks).map(|it| (it.low, it.median, it.high));
        assert_eq!(ends(1), Some((6.0, 10.5, 15.0)));
        assert_eq!(ends(6), Some((4.0, 10.5, 17.0)));
        let few = interval(&samples[..5], 6).unwrap();
        assert_eq!((few.low, few.median, few.high), (1.0, 3.0, 5.0));
        assert_eq!(interval(&[], 6), None);
    }

    #[test]
    fn a_bound_leaves_the_interval_open_above() {
        let samples = [1.0.into(), 2.0.into(), Bounded::at_least(3.0)];
        let found = interval(&samples, 6).unwrap();
        assert_eq!((found.low, found.high), (1.0, f64::INFINITY));
        assert!(!found.value().is_exact());
    }

    #[test]
    fn ties_are_with_the_leader_of_the_tier_and_say_what_it_takes() {
        let figures = [
            Estimate::exact(90.0, 100.0, 110.0),
            Estimate::exact(75.0, 85.0, 95.0),
            Estimate::exact(90.0, 100.0, 110.0),
            Estimate::exact(9.0, 10.0, 11.0),
        ];
        let found = ties(&figures, &[1, 1, 1, 2], 1.0, |a, b| a > b);
        assert_eq!(found.len(), 2, "the last is alone in its tier");
        assert_eq!((found[0].leader, found[0].other), (0, 1));
        let needed = found[0].trials_needed.unwrap();
        assert!((6..12).contains(&needed), "{needed}");
        assert_eq!((found[1].leader, found[1].other, found[1].trials_needed), (0, 2, None));
        // A rough machine needs more, or does not get there.
        let noisy = ties(&figures, &[1, 1, 1, 2], 1.5, |a, b| a > b);
        assert!(noisy[0].trials_needed.unwrap() > needed);
    }
}
