//! The search for the highest rate that a server carries: which rate to try next.
//!
//! Pure: it takes answers and returns rates, and the same answers always lead to the same rates. So
//! an interrupted search is resumed by repeating the answers.
//!
//! Bracket: from the lowest rate upwards in large steps until one is missed. Bisect: halve the
//! ratio between the highest met and the lowest missed rate until it is [`GRID_RATIO`]. Confirm:
//! hold rates on a grid around the result, several times each, in shuffled order; where the
//! grid's lowest rate is missed, or its highest is met, it grows. Single trials are wrong now and then,
//! so only the holds decide. Then the curve: single trials at fixed shares of the capacity.

use std::collections::VecDeque;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use zillions_report::capacity::{Answer, capacity, tallies};
use zillions_report::record::Role;

/// From one rate of the bracket to the next.
const BRACKET_RATIO: f64 = 4.0;
/// From one rate of the grid to the next: the resolution of the search.
pub const GRID_RATIO: f64 = 1.15;
/// The initial grid: this many steps below and above the rate that bisecting found.
const GRID_STEPS: i32 = 2;
/// The grid grows at most this many times, by one rate each.
const GROWTH_MAX: u32 = 8;
/// A disturbed trial is repeated at most this many times.
const RERUNS_MAX: u32 = 2;
/// The rates of the curve, as shares of the capacity.
pub const CURVE: [f64; 7] = [0.25, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5];

/// A trial that is wanted next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// What for.
    pub role: Role,
    /// Messages per second.
    pub rate: f64,
    /// Its number among the search's trials in this role, from 0.
    pub number: u32,
}

/// The search for one server's capacity.
#[derive(Clone, Debug)]
pub struct Search {
    rate_min: f64,
    rate_max: f64,
    holds_per_rate: u32,
    random: ChaCha8Rng,
    stage: Stage,
    /// The highest rate that was met, and the lowest that was not, while narrowing.
    met: Option<f64>,
    missed: Option<f64>,
    /// How often the current trial was repeated because it was disturbed.
    reruns: u32,
    grown: u32,
    /// The highest rate that the load generator can be asked for.
    reachable_max: f64,
    holds: Vec<(f64, Answer)>,
    queue: VecDeque<f64>,
    numbers: [u32; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Narrow,
    Hold,
    Curve,
    Done,
}

impl Search {
    /// A search between two rates, with `holds_per_rate` trials at each rate that is confirmed.
    #[must_use]
    pub fn new(rate_min: f64, rate_max: f64, holds_per_rate: u32, seed: u64) -> Self {
        Self {
            rate_min,
            rate_max,
            holds_per_rate,
            random: ChaCha8Rng::seed_from_u64(seed),
            stage: Stage::Narrow,
            met: None,
            missed: None,
            reruns: 0,
            grown: 0,
            reachable_max: rate_max,
            holds: Vec::new(),
            queue: VecDeque::from([rate_min]),
            numbers: [0; 3],
        }
    }

    /// The trial that is wanted next; `None` when the search is over.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        let role = match self.stage {
            Stage::Narrow => Role::Search,
            Stage::Hold => Role::Hold,
            Stage::Curve => Role::Curve,
            Stage::Done => return None,
        };
        let rate = *self.queue.front()?;
        Some(Wanted { role, rate, number: self.numbers[self.stage as usize] })
    }

    /// Takes the answer of the trial that was wanted.
    pub fn answer(&mut self, answer: Answer) {
        let Some(rate) = self.queue.pop_front() else { return };
        self.numbers[self.stage as usize] += 1;
        if answer == Answer::Disturbed && self.stage != Stage::Curve && self.reruns < RERUNS_MAX {
            self.reruns += 1;
            self.queue.push_front(rate);
            return;
        }
        self.reruns = 0;
        match self.stage {
            Stage::Narrow => self.narrow(rate, answer),
            Stage::Hold => self.hold(rate, answer),
            Stage::Curve if self.queue.is_empty() => self.stage = Stage::Done,
            Stage::Curve | Stage::Done => {}
        }
    }

    fn narrow(&mut self, rate: f64, answer: Answer) {
        match answer {
            Answer::Met => self.met = Some(rate),
            Answer::Missed | Answer::Disturbed => self.missed = Some(rate),
            Answer::Unreachable => {
                // Above this, trials would tell about the load generator.
                self.missed = Some(rate);
                self.reachable_max = self.reachable_max.min(rate);
            }
        }
        let next = match (self.met, self.missed) {
            (Some(met), None) if met < self.rate_max => {
                Some((met * BRACKET_RATIO).min(self.rate_max))
            }
            (Some(met), Some(missed)) if missed / met > GRID_RATIO => Some((met * missed).sqrt()),
            _ => None,
        };
        match (next, self.met) {
            (Some(rate), _) => self.queue.push_back(rate),
            // Not even the lowest rate was met: holds at it decide.
            (None, met) => self.begin_holds(met.unwrap_or(self.rate_min)),
        }
    }

    fn begin_holds(&mut self, around: f64) {
        self.stage = Stage::Hold;
        let mut rates: Vec<f64> = (-GRID_STEPS..=GRID_STEPS)
            .map(|step| around * GRID_RATIO.powi(step))
            .filter(|&rate| self.allows(rate))
            .collect();
        if rates.is_empty() {
            rates.push(around);
        }
        self.queue_holds(&rates);
    }

    fn allows(&self, rate: f64) -> bool {
        rate >= self.rate_min && rate <= self.reachable_max
    }

    fn queue_holds(&mut self, rates: &[f64]) {
        let mut queue: Vec<f64> =
            rates.iter().flat_map(|&rate| (0..self.holds_per_rate).map(move |_| rate)).collect();
        queue.shuffle(&mut self.random);
        self.queue = queue.into();
    }

    fn hold(&mut self, rate: f64, answer: Answer) {
        self.holds.push((rate, answer));
        if !self.queue.is_empty() {
            return;
        }
        if self.grown < GROWTH_MAX
            && let Some(rate) = self.growth()
        {
            self.grown += 1;
            self.queue_holds(&[rate]);
            return;
        }
        self.begin_curve();
    }

    /// A rate beyond the grid's end, where that end does not tell enough.
    fn growth(&self) -> Option<f64> {
        let tallies = tallies(&self.holds);
        let ((lowest, first), (highest, last)) = (tallies.first()?, tallies.last()?);
        let below = (first.met == 0 || first.missed > 0).then_some(lowest / GRID_RATIO);
        let above = (last.met > 0).then_some(highest * GRID_RATIO);
        below.into_iter().chain(above).find(|&rate| self.allows(rate))
    }

    fn begin_curve(&mut self) {
        let capacity = capacity(&self.holds);
        let share_of = |share| capacity.map(|found| found.messages_per_second * share);
        self.queue = CURVE.into_iter().filter_map(share_of).collect();
        self.stage = if self.queue.is_empty() { Stage::Done } else { Stage::Curve };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::RngExt;
    use zillions_report::capacity::Capacity;

    use super::*;

    const RATE_MIN: f64 = 100.0;
    const RATE_MAX: f64 = 1_000_000.0;
    /// More trials than any search takes.
    const TRIALS_MAX: usize = 200;

    /// Searches a server that is simulated by `respond`; all trials, and what the holds say.
    fn run(mut respond: impl FnMut(f64) -> Answer) -> (Vec<(Wanted, Answer)>, Option<Capacity>) {
        let mut search = Search::new(RATE_MIN, RATE_MAX, 3, 1);
        let mut trials = Vec::new();
        while let Some(wanted) = search.wanted() {
            let answer = respond(wanted.rate);
            trials.push((wanted, answer));
            search.answer(answer);
            assert!(trials.len() < TRIALS_MAX, "the search does not end");
        }
        let holds: Vec<_> = trials
            .iter()
            .filter(|(wanted, _)| wanted.role == Role::Hold)
            .map(|(wanted, answer)| (wanted.rate, *answer))
            .collect();
        (trials, capacity(&holds))
    }

    fn steady(limit: f64) -> impl FnMut(f64) -> Answer {
        move |rate| if rate <= limit { Answer::Met } else { Answer::Missed }
    }

    proptest! {
        #[test]
        fn a_steady_servers_capacity_is_found_to_one_step_of_the_grid(
            limit in RATE_MIN * 1.2..RATE_MAX / 1.2,
        ) {
            let (trials, found) = run(steady(limit));
            let found = found.unwrap();
            prop_assert!(found.low <= limit && limit < found.high.unwrap(), "{found:?}");
            prop_assert!(found.high.unwrap() / found.low < GRID_RATIO * 1.001, "{found:?}");
            prop_assert!(trials.len() < 50, "{} trials", trials.len());
        }

        #[test]
        fn a_server_whose_limit_wanders_is_found_between_the_ends_of_its_wandering(
            limit in 1_000.0..100_000.0_f64, seed: u64,
        ) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let (_, found) = run(|rate| {
                let today = limit * random.random_range(0.9..1.1);
                if rate <= today { Answer::Met } else { Answer::Missed }
            });
            let found = found.unwrap();
            prop_assert!(found.low <= limit * 1.1, "{found:?}");
            prop_assert!(found.high.is_none_or(|high| high >= limit * 0.9), "{found:?}");
            let ratio = found.messages_per_second / limit;
            prop_assert!((0.7..1.2).contains(&ratio), "{found:?}");
        }

        #[test]
        fn any_answers_lead_to_an_end_and_to_rates_within_bounds(
            answers in prop::collection::vec(0_u8..4, TRIALS_MAX),
        ) {
            let mut answers = answers.into_iter();
            let (trials, _) = run(|_| match answers.next() {
                Some(0) => Answer::Met,
                Some(1) => Answer::Missed,
                Some(2) => Answer::Disturbed,
                _ => Answer::Unreachable,
            });
            for (wanted, _) in trials {
                let most = if wanted.role == Role::Curve { RATE_MAX * 1.5 } else { RATE_MAX };
                prop_assert!(wanted.rate <= most && wanted.rate >= RATE_MIN * CURVE[0]);
            }
        }
    }

    #[test]
    fn a_server_that_carries_everything_has_no_upper_end() {
        let (_, found) = run(|_| Answer::Met);
        let found = found.unwrap();
        assert_eq!((found.high, found.messages_per_second), (None, RATE_MAX));
    }

    #[test]
    fn a_server_that_carries_not_even_the_least_has_no_capacity_and_no_curve() {
        let (trials, found) = run(|_| Answer::Missed);
        assert_eq!(found, None);
        assert!(trials.iter().all(|(wanted, _)| wanted.role != Role::Curve));
    }

    #[test]
    fn beyond_the_generators_own_limit_nothing_is_held_and_the_end_stays_open() {
        let (trials, found) =
            run(|rate| if rate <= 30_000.0 { Answer::Met } else { Answer::Unreachable });
        let found = found.unwrap();
        assert_eq!(found.high, None);
        assert!(found.messages_per_second <= 30_000.0 && found.messages_per_second > 20_000.0);
        let held = trials.iter().filter(|(wanted, _)| wanted.role == Role::Hold);
        assert!(held.map(|(wanted, _)| wanted.rate).all(|rate| rate < 30_000.0 * GRID_RATIO));
    }

    #[test]
    fn a_disturbed_trial_is_repeated_and_changes_nothing() {
        let mut calls = 0;
        let mut respond = steady(5_000.0);
        let (_, found) = run(|rate| {
            calls += 1;
            if calls % 3 == 0 { Answer::Disturbed } else { respond(rate) }
        });
        let (_, undisturbed) = run(steady(5_000.0));
        let of = |found: Option<Capacity>| found.map(|it| (it.low, it.high));
        assert_eq!(of(found), of(undisturbed));
    }

    #[test]
    fn holds_come_in_shuffled_order_and_each_trial_has_a_number_of_its_own() {
        let (trials, _) = run(steady(5_000.0));
        let held: Vec<f64> =
            trials.iter().filter(|(w, _)| w.role == Role::Hold).map(|(w, _)| w.rate).collect();
        assert!(!held.is_sorted());
        for role in [Role::Search, Role::Hold, Role::Curve] {
            let numbers: Vec<u32> =
                trials.iter().filter(|(w, _)| w.role == role).map(|(w, _)| w.number).collect();
            assert_eq!(numbers, (0..numbers.len() as u32).collect::<Vec<_>>());
        }
    }
}
