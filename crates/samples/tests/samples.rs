//! What is quick is what is simple: medians of resamples, and the ends of intervals.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use zillions_samples::{Samples, interval, median};

const INFINITE: f64 = f64::INFINITY;

#[test]
fn medians_are_the_middle_value_or_the_mean_of_two() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    assert_eq!(median(&[INFINITE, INFINITE]), INFINITE);
    assert!(median(&[]).is_nan());
}

#[test]
fn a_resample_has_the_median_of_what_was_drawn() {
    let least = [&[3.0][..], &[5.0, 1.0, 5.0, INFINITE], &[2.0, 1.0, 9.0, INFINITE, 1.0, 2.0, 7.0]];
    for least in least {
        let most: Vec<f64> =
            least.iter().map(|it| if *it > 4.0 { INFINITE } else { *it }).collect();
        let mut known = Samples::new(least, None);
        let mut open = Samples::new(least, Some(&most));
        assert_eq!((known.number(), known.median()), (least.len(), median(least)));
        assert!(known.are_known() && !open.are_known());
        let mut random = ChaCha8Rng::seed_from_u64(least.len() as u64);
        for _ in 0..500 {
            let mut again = random.clone();
            let mut draw = || again.random_range(0..least.len());
            let drawn: Vec<usize> = (0..least.len()).map(|_| draw()).collect();
            let of =
                |values: &[f64]| median(&drawn.iter().map(|&at| values[at]).collect::<Vec<_>>());
            let expected = (of(least), of(&most));
            assert_eq!(known.resampled(&mut random.clone()), (expected.0, expected.0));
            assert_eq!(open.resampled(&mut random), expected, "{least:?} at {drawn:?}");
        }
    }
}

#[test]
fn the_ends_of_an_interval_are_those_of_the_sorted_figures() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for number in [1, 2, 40, 999] {
        let least: Vec<f64> = (0..number).map(|_| random.random_range(0.0..10.0)).collect();
        let resampled = least.iter().map(|&it| (it, it * 2.0)).collect();
        let mut sorted = least;
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted[(share * (number - 1) as f64).round() as usize];
        assert_eq!(interval(resampled, 0.95), (at(0.025), at(0.975) * 2.0), "{number}");
    }
}
