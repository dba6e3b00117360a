//! Samples, resamples, and their medians.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Samples of each of which may be known only what it is at least and at most.
#[derive(Clone, Debug)]
pub struct Samples {
    least: Ordered,
    /// Absent if all of them are known.
    most: Option<Ordered>,
    /// Which of them were drawn; kept, since thousands of times as many are.
    drawn: Vec<usize>,
}

impl Samples {
    /// Samples of which each is at least this and, if they are not all known, at most that.
    ///
    /// # Panics
    ///
    /// If there are not as many of these as of those.
    #[must_use]
    pub fn new(least: &[f64], most: Option<&[f64]>) -> Self {
        assert!(most.is_none_or(|most| most.len() == least.len()), "two numbers of each sample");
        let drawn = Vec::with_capacity(least.len());
        Self { least: Ordered::of(least), most: most.map(Ordered::of), drawn }
    }

    /// How many there are.
    #[must_use]
    pub fn number(&self) -> usize {
        self.least.values.len()
    }

    /// Whether all of them are known.
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.most.is_none()
    }

    /// What their median is at least. NaN of nothing.
    #[must_use]
    pub fn median(&self) -> f64 {
        median(&self.least.values)
    }

    /// The median of as many samples, drawn with repetition: the least and the most that it may be.
    ///
    /// # Panics
    ///
    /// If there are no samples.
    pub fn resampled(&mut self, random: &mut ChaCha8Rng) -> (f64, f64) {
        let number = self.number();
        self.drawn.clear();
        self.drawn.extend((0..number).map(|_| random.random_range(0..number)));
        let least = self.least.median_of(&self.drawn);
        let most = self.most.as_mut().map_or(least, |most| most.median_of(&self.drawn));
        (least, most)
    }
}

/// Values in ascending order. The median of some that are drawn from them is found by counting,
/// without sorting those.
#[derive(Clone, Debug)]
struct Ordered {
    values: Vec<f64>,
    /// Where in `values` each is, in the order in which they were given.
    places: Vec<usize>,
    /// How often each of `values` was drawn.
    counts: Vec<usize>,
}

impl Ordered {
    fn of(given: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..given.len()).collect();
        order.sort_by(|&a, &b| given[a].total_cmp(&given[b]));
        let mut places = vec![0; given.len()];
        for (place, &at) in order.iter().enumerate() {
            places[at] = place;
        }
        let values = order.iter().map(|&at| given[at]).collect();
        Self { values, counts: vec![0; places.len()], places }
    }

    /// The median of the values that were given at the positions `drawn`, at least one.
    fn median_of(&mut self, drawn: &[usize]) -> f64 {
        self.counts.fill(0);
        for &at in drawn {
            self.counts[self.places[at]] += 1;
        }
        let (mut place, mut up_to_here) = (0, self.counts[0]);
        let mut of_rank = |rank: usize| {
            while up_to_here <= rank {
                place += 1;
                up_to_here += self.counts[place];
            }
            self.values[place]
        };
        let (lower, upper) = (of_rank((drawn.len() - 1) / 2), of_rank(drawn.len() / 2));
        between(lower, upper)
    }
}

/// The median: the mean of the two middle values where their number is even. NaN of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        number => between(sorted[(number - 1) / 2], sorted[number / 2]),
    }
}

/// The median of values of which these are the two middle ones, or both the middle one.
fn between(lower: f64, upper: f64) -> f64 {
    // Two equal values, infinite ones included, are their own mean.
    if lower == upper { lower } else { f64::midpoint(lower, upper) }
}

/// The ends of the interval that holds this share of the `resampled` figures, each of which is given
/// as the least and the most that it may be.
///
/// # Panics
///
/// If there are none.
#[must_use]
pub fn interval(resampled: Vec<(f64, f64)>, share: f64) -> (f64, f64) {
    let (mut least, mut most): (Vec<f64>, Vec<f64>) = resampled.into_iter().unzip();
    let tail = (1.0 - share) / 2.0;
    let last = (least.len() - 1) as f64;
    let at = |values: &mut [f64], share: f64| {
        *values.select_nth_unstable_by((share * last).round() as usize, f64::total_cmp).1
    };
    (at(&mut least, tail), at(&mut most, 1.0 - tail))
}
