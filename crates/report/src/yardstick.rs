//! The limit of a scenario, and what a target reaches of it.

use crate::bounded::Bounded;
use crate::format::{count, time};
use crate::record::{Measurement, Role, ScenarioRecord, YardstickKind};
use crate::results::Results;
use crate::row::measurement_of;
use crate::statistics::{Estimate, estimate_median, estimate_ratio};
use crate::trial_figures::{cpu_per_delivery_ns, deliveries_per_second};
use crate::verdict::{VALID_TRIALS_MIN, Validity, judge_as};

/// What this machine did without a server, in one scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// What was measured.
    pub kind: YardstickKind,
    /// Deliveries per second of the bare receiver, or nanoseconds of CPU time per delivery of the
    /// bare `send()` loop.
    pub figure: Estimate,
    /// How many trials gave figures …
    pub trials: usize,
    /// … and how many of them nothing disturbed.
    pub undisturbed: usize,
    samples: Vec<f64>,
}

impl Limit {
    /// The limit that `results` have of `scenario`, if any: of the undisturbed trials, or of all
    /// where too few are.
    #[must_use]
    pub fn of(results: &Results, scenario: &ScenarioRecord) -> Option<Self> {
        let yardsticks = &results.run.yardsticks;
        let kind = yardsticks.iter().find(|it| it.scenario == scenario.name)?.kind;
        let all: Vec<&Measurement> = results
            .trials
            .iter()
            .filter(|it| it.role == Role::Yardstick && it.scenario == scenario.name)
            .filter_map(measurement_of)
            .collect();
        let is_undisturbed =
            |trial: &&&Measurement| judge_as(Role::Yardstick, trial).validity == Validity::Valid;
        let undisturbed: Vec<&Measurement> = all.iter().filter(is_undisturbed).copied().collect();
        let (trials, number) = (all.len(), undisturbed.len());
        let used = if number >= VALID_TRIALS_MIN { undisturbed } else { all };
        let samples: Vec<f64> = used.into_iter().filter_map(|it| figure(kind, it)).collect();
        let figure = estimate_median(&samples, results.run.seed)?;
        Some(Self { kind, figure, trials, undisturbed: number, samples })
    }

    /// What `trials` of a target reach of it: 1 is as much as the limit, above 1 is more. In a
    /// saturating scenario deliveries per second, at a rate deliveries per second of CPU time.
    #[must_use]
    pub fn share(&self, trials: &[&Measurement], seed: u64) -> Option<Estimate> {
        let own: Vec<f64> = trials.iter().filter_map(|it| figure(self.kind, it)).collect();
        let ratio = match self.kind {
            YardstickKind::BareReceiver => estimate_ratio(&own, &self.samples, seed),
            YardstickKind::SendLoop => estimate_ratio(&self.samples, &own, seed),
        };
        ratio.filter(|ratio| ratio.median.is_finite())
    }

    /// The figure of each trial that was used.
    #[must_use]
    pub fn samples(&self) -> Vec<Bounded> {
        self.samples.iter().copied().map(Bounded::from).collect()
    }
}

fn figure(kind: YardstickKind, trial: &Measurement) -> Option<f64> {
    match kind {
        YardstickKind::BareReceiver => Some(deliveries_per_second(trial)),
        YardstickKind::SendLoop => cpu_per_delivery_ns(trial).filter(|ns| *ns > 0.0),
    }
}

/// The limit in one sentence, as it stands below a table.
#[must_use]
pub fn sentence(limit: &Limit) -> String {
    let Limit { kind, figure, trials, undisturbed, .. } = limit;
    let what = match kind {
        YardstickKind::BareReceiver => format!(
            "a receiver that only calls recv and counts gets {} deliveries/s [{} – {}]",
            count(figure.median),
            count(figure.low),
            count(figure.high)
        ),
        YardstickKind::SendLoop => format!(
            "a loop of one send() per message and client takes {} of CPU per delivery [{} – {}]",
            time(figure.median),
            time(figure.low),
            time(figure.high)
        ),
    };
    let doubt = if *undisturbed < VALID_TRIALS_MIN {
        format!(" (only {undisturbed} of {trials} trials undisturbed)")
    } else {
        String::new()
    };
    format!("limit: {what}{doubt}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{ScenarioAnalysis, analyse};
    use crate::examples;
    use crate::record::TrialResult;

    fn share(analysis: &ScenarioAnalysis<'_>, target: &str) -> Option<f64> {
        let row = analysis.rows.iter().find(|row| row.target.name == target)?;
        Some(row.figures.as_ref()?.share_of_limit?.median)
    }

    #[test]
    fn each_server_has_its_share_of_the_limit_and_the_limit_is_no_row_and_changes_no_rank() {
        let (with, without) = (examples::with_limits(), examples::results());
        for (with, without) in analyse(&with).iter().zip(&analyse(&without)) {
            let name = &with.scenario.name;
            let fast = share(with, "fast").unwrap();
            assert!((fast - 0.8).abs() < 0.01, "{name}: {fast}");
            assert!(share(with, "slow").unwrap() < fast, "{name}");
            assert_eq!((share(without, "fast"), without.limit.as_ref()), (None, None));
            let ranks = |analysis: &ScenarioAnalysis<'_>| -> Vec<_> {
                analysis.rows.iter().map(|it| (it.target.name.clone(), it.rank.clone())).collect()
            };
            assert_eq!(ranks(with), ranks(without), "{name}");
        }
    }

    #[test]
    fn a_limit_is_of_the_undisturbed_trials_unless_they_are_too_few_and_says_so() {
        let disturb = |trials: u32| {
            let mut results = examples::with_limits();
            let of_room = |it: &&mut crate::record::TrialRecord| {
                it.role == Role::Yardstick && it.scenario == "room" && it.block < trials
            };
            for trial in results.trials.iter_mut().filter(of_room) {
                let TrialResult::Measured(figures) = &mut trial.result else { continue };
                figures.others_cpu_share = Some(0.5);
                figures.server.as_mut().unwrap().cpu_seconds *= 100.0;
            }
            Limit::of(&results, &results.run.scenarios[0]).unwrap()
        };
        let (quiet, little, much) = (disturb(0), disturb(2), disturb(5));
        assert_eq!((quiet.trials, quiet.undisturbed), (5, 5));
        assert_eq!((little.undisturbed, little.figure.samples), (3, 3));
        assert!(little.figure.median < 2.0 * quiet.figure.median);
        assert!(much.figure.median > 50.0 * quiet.figure.median);
        assert!(!sentence(&little).contains("undisturbed"), "{}", sentence(&little));
        assert!(sentence(&much).contains("only 0 of 5 trials undisturbed"), "{}", sentence(&much));
    }

    #[test]
    fn results_without_limits_are_read_and_those_of_a_limit_that_is_not_listed_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = examples::with_limits();
        examples::write(&results, folder.path()).unwrap();
        assert_eq!(Results::read(folder.path()).unwrap(), results);

        let folder = tempfile::tempdir().unwrap();
        results.run.yardsticks.clear();
        examples::write(&results, folder.path()).unwrap();
        let error = Results::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("yardstick 'send-loop', which run.json does not list"), "{error}");

        let mut old = serde_json::to_value(examples::results().run).unwrap();
        assert!(old.as_object_mut().unwrap().remove("yardsticks").is_some());
        let old: crate::record::RunRecord = serde_json::from_value(old).unwrap();
        assert_eq!(old, examples::results().run);
    }
}
