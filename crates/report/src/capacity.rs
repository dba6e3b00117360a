//! The capacity of a server: the highest rate within limits, from trials at given rates.

use crate::percentile::latency_p99_ns;
use crate::record::{LoadRecord, Role, ScenarioRecord, TrialRecord, TrialResult};
use crate::verdict::{Validity, judge};

/// The answer of one trial at one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The limits were met.
    Met,
    /// They were not, because of the server.
    Missed,
    /// They were not, and other programs or the machine may be to blame.
    Disturbed,
    /// They were not, and the load generator may be to blame; then higher rates tell nothing either.
    Unreachable,
}

/// The highest rate that meets the limits, with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// The highest rate that was met more often than not, and all rates below it too; in messages
    /// per second.
    pub messages_per_second: f64,
    /// The highest rate that was met every time, and all rates below it too; 0 if none was.
    pub low: f64,
    /// The lowest rate that was missed every time; `None` if none was, so that the capacity may
    /// lie anywhere above.
    pub high: Option<f64>,
    /// Number of trials that it is based on.
    pub holds: usize,
}

/// What `trial` says about the rate it offered; `None` if `scenario` searches for nothing, or the
/// trial was no open loop.
#[must_use]
pub fn answer(trial: &TrialRecord, scenario: &ScenarioRecord) -> Option<(f64, Answer)> {
    let LoadRecord::Search { max_latency_p99_ms, max_lost_share, .. } = scenario.load else {
        return None;
    };
    let rate = trial.offered_rate?;
    let figures = match &trial.result {
        TrialResult::Measured(figures) => figures,
        TrialResult::Failed { .. } => return Some((rate, Answer::Missed)),
        TrialResult::Prevented { .. } => return Some((rate, Answer::Disturbed)),
    };
    let validity = judge(figures).validity;
    let failed = figures.pairs.lost() + figures.pairs.pending;
    let lost_share = failed as f64 / figures.pairs.expected().max(1) as f64;
    // The limit is on the deliveries of this trial, so where they are few the least that their
    // percentile may be decides: above the limit it is missed whatever more of them would show.
    let p99_ms = latency_p99_ns(figures, scenario).least() / 1e6;
    let is_met = p99_ms <= max_latency_p99_ms && lost_share <= max_lost_share;
    let answer = match validity {
        // What disturbs only ever makes it harder: a limit that was met was met.
        Validity::Valid | Validity::Noisy | Validity::ClientBound if is_met => Answer::Met,
        Validity::Noisy => Answer::Disturbed,
        Validity::ClientBound => Answer::Unreachable,
        Validity::Valid | Validity::Incorrect => Answer::Missed,
    };
    Some((rate, answer))
}

/// The answers of the trials of `target` in `scenario` that are there for `role`.
#[must_use]
pub fn answers<'a>(
    trials: impl IntoIterator<Item = &'a TrialRecord>,
    scenario: &ScenarioRecord,
    target: &str,
    role: Role,
) -> Vec<(f64, Answer)> {
    trials
        .into_iter()
        .filter(|it| it.role == role && it.scenario == scenario.name && it.target == target)
        .filter_map(|trial| answer(trial, scenario))
        .collect()
}

/// How often a rate was met and missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Holds that met the limits.
    pub met: usize,
    /// Holds that missed them because of the server.
    pub missed: usize,
    /// Holds that tell nothing.
    pub void: usize,
}

/// The tally of each rate in `holds`, the lowest rate first.
#[must_use]
pub fn tallies(holds: &[(f64, Answer)]) -> Vec<(f64, Tally)> {
    let mut rates: Vec<f64> = holds.iter().map(|(rate, _)| *rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let tally = |rate: f64| {
        let mut tally = Tally::default();
        for (_, answer) in holds.iter().filter(|(other, _)| *other == rate) {
            match answer {
                Answer::Met => tally.met += 1,
                Answer::Missed => tally.missed += 1,
                Answer::Disturbed | Answer::Unreachable => tally.void += 1,
            }
        }
        (rate, tally)
    };
    rates.into_iter().map(tally).collect()
}

/// The capacity by `holds`; `None` if no rate was met more often than not.
#[must_use]
pub fn capacity(holds: &[(f64, Answer)]) -> Option<Capacity> {
    let tallies = tallies(holds);
    let highest_while = |keeps: &dyn Fn(&Tally) -> bool| {
        tallies.iter().take_while(|(_, tally)| keeps(tally)).last().map(|(rate, _)| *rate)
    };
    let messages_per_second = highest_while(&|tally| tally.met > tally.missed)?;
    let low = highest_while(&|tally| tally.met > 0 && tally.missed == 0).unwrap_or(0.0);
    let high = tallies
        .iter()
        .find(|(rate, tally)| *rate > messages_per_second && tally.met == 0 && tally.missed > 0)
        .map(|(rate, _)| *rate);
    Some(Capacity { messages_per_second, low, high, holds: holds.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;
    use crate::record::RankBy;
    use Answer::{Disturbed, Met, Missed, Unreachable};

    #[test]
    fn the_capacity_is_the_highest_rate_below_which_everything_was_met() {
        let holds = [(100.0, Met), (200.0, Met), (400.0, Missed), (800.0, Missed)];
        let expected =
            Capacity { messages_per_second: 200.0, low: 200.0, high: Some(400.0), holds: 4 };
        assert_eq!(capacity(&holds), Some(expected));
    }

    #[test]
    fn rates_that_are_met_now_and_then_widen_the_interval() {
        let holds = [
            (100.0, Met),
            (100.0, Met),
            (200.0, Met),
            (200.0, Missed),
            (200.0, Met),
            (300.0, Met),
            (300.0, Missed),
            (300.0, Missed),
            (400.0, Missed),
        ];
        let found = capacity(&holds).unwrap();
        assert_eq!((found.low, found.messages_per_second, found.high), (100.0, 200.0, Some(400.0)));
    }

    #[test]
    fn a_lucky_hold_above_a_rate_that_is_missed_counts_for_nothing() {
        let holds = [(100.0, Met), (200.0, Missed), (300.0, Met)];
        assert_eq!(capacity(&holds).unwrap().messages_per_second, 100.0);
    }

    #[test]
    fn without_a_rate_that_is_missed_there_is_no_upper_end() {
        assert_eq!(capacity(&[(100.0, Met), (200.0, Unreachable)]).unwrap().high, None);
        assert_eq!(capacity(&[(100.0, Missed), (50.0, Disturbed)]), None);
        assert_eq!(capacity(&[]), None);
    }

    #[test]
    fn a_trial_answers_by_its_latency_its_losses_and_its_validity() {
        let scenario = examples::scenario("search", RankBy::Capacity);
        let ask = |change: &dyn Fn(&mut crate::record::Measurement)| {
            let mut figures = examples::measurement();
            change(&mut figures);
            let result = TrialResult::Measured(Box::new(figures));
            answer(&examples::trial("search", "any", 0, 0, result), &scenario).unwrap().1
        };
        assert_eq!(ask(&|_| {}), Met);
        assert_eq!(ask(&|it| it.others_cpu_share = Some(0.5)), Met);
        let losing =
            |it: &mut crate::record::Measurement| it.pairs.dropped = it.pairs.delivered / 500;
        assert_eq!(ask(&losing), Missed);
        assert_eq!(
            ask(&|it| {
                losing(it);
                it.others_cpu_share = Some(0.5);
            }),
            Disturbed
        );
        assert_eq!(
            ask(&|it| {
                losing(it);
                it.generator.cpu_seconds = it.generator.sampled_seconds;
            }),
            Unreachable
        );
        assert_eq!(ask(&|it| it.anomalies.duplicated = 1), Missed);
        let failed = TrialResult::Failed { reason: "it ended".to_owned(), log: Vec::new() };
        let trial = examples::trial("search", "any", 0, 0, failed);
        assert_eq!(answer(&trial, &scenario), Some((1_000.0, Missed)));
    }
}
