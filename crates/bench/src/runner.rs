//! Carries out trials one by one: those planned beforehand, and those that a search asks for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use zillions_harness::interrupt;
use zillions_load::WireFormat;
use zillions_report::analysis::analyse_scenario;
use zillions_report::capacity::{self, Answer};
use zillions_report::decided::ties_of;
use zillions_report::record::{
    LoadRecord, Role, RunRecord, SCHEMA, ScenarioRecord, TrialRecord, YardstickKind,
};
use zillions_report::results::Results;
use zillions_report::row::measurement_of;
use zillions_report::told_apart::Tie;
use zillions_report::verdict::{Validity, judge_as};

use crate::access::Access;
use crate::error::BenchError;
use crate::event::Event;
use crate::further::Planner;
use crate::pin::Pinning;
use crate::plan;
use crate::scenario::offered_rate;
use crate::search::Search;
use crate::store::Store;
use crate::timestamp::now;
use crate::trial;
use crate::yardstick::{self, Start};

/// A target that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) name: &'a str,
    pub(crate) access: &'a Access,
    pub(crate) wire: WireFormat,
}

/// Identifies a trial within its run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    scenario: String,
    target: String,
    role: Role,
    block: u32,
}

impl Key {
    fn of(trial: &TrialRecord) -> Self {
        Self {
            scenario: trial.scenario.clone(),
            target: trial.target.clone(),
            role: trial.role,
            block: trial.block,
        }
    }
}

/// One trial to carry out.
struct Request<'a> {
    scenario: &'a ScenarioRecord,
    /// `None` for the limit of the scenario.
    target: Option<usize>,
    role: Role,
    block: u32,
    rate: Option<f64>,
}

/// Whether the machine disturbed the trial, so that another may replace it.
fn is_noisy(trial: &TrialRecord) -> bool {
    measurement_of(trial).is_some_and(|it| judge_as(trial.role, it).validity == Validity::Noisy)
}

/// The part of a run in which servers are measured.
pub(crate) struct Runner<'a, Observe> {
    pub(crate) store: &'a Store,
    pub(crate) pinning: &'a Pinning,
    pub(crate) targets: &'a [Measured<'a>],
    /// The limits that are measured, at most one per scenario.
    limits: &'a [Start],
    pub(crate) observe: Observe,
    /// Trials of this run that an earlier process carried out.
    kept: HashMap<Key, TrialRecord>,
    trials: Vec<TrialRecord>,
    /// How many trials the whole run should take.
    expected: usize,
    /// How many trials this process has carried out itself.
    fresh: usize,
    began: Instant,
}

impl<'a, Observe: FnMut(&Event<'_>)> Runner<'a, Observe> {
    /// A runner that takes over the trials in `kept`.
    pub(crate) fn new(
        store: &'a Store,
        pinning: &'a Pinning,
        targets: &'a [Measured<'a>],
        limits: &'a [Start],
        kept: Vec<TrialRecord>,
        expected: usize,
        observe: Observe,
    ) -> Self {
        Self {
            store,
            pinning,
            targets,
            limits,
            observe,
            kept: kept.into_iter().map(|trial| (Key::of(&trial), trial)).collect(),
            trials: Vec::new(),
            expected,
            fresh: 0,
            began: Instant::now(),
        }
    }

    /// Carries out what is planned, and what follows from its results; `run` is what was recorded of
    /// the run.
    pub(crate) fn blocks(
        &mut self,
        scenarios: &'a [ScenarioRecord],
        run: &RunRecord,
        mut planner: Planner<'_>,
    ) -> Result<(), BenchError> {
        let foreseen = planner.planned();
        // Its searches, which come later.
        let others = self.expected.saturating_sub(foreseen);
        while let Some(trial) = planner.next_trial(|at| self.ties(run, &scenarios[at])) {
            self.expected = others + planner.planned();
            let scenario = &scenarios[trial.scenario];
            let record = self.carry_out(&Request {
                scenario,
                target: trial.target,
                role: trial.role,
                block: trial.block,
                rate: offered_rate(scenario),
            })?;
            let took = record.took_seconds.map(Duration::from_secs_f64);
            let took = took.unwrap_or_else(|| plan::duration(scenario, trial.role));
            planner.ended(&trial, is_noisy(record), took);
        }
        self.expected = others + planner.planned();
        self.take_over_the_rest();
        Ok(())
    }

    /// Which targets are not told apart in `scenario` by the trials so far.
    fn ties(&mut self, run: &RunRecord, scenario: &ScenarioRecord) -> Vec<Tie<usize>> {
        let trials = std::mem::take(&mut self.trials);
        let results = Results { run: run.clone(), trials };
        let analysis = analyse_scenario(&results, scenario);
        let position = |row: usize| {
            let name = &analysis.rows[row].target.name;
            self.targets.iter().position(|target| target.name == name)
        };
        let ties = ties_of(&analysis)
            .into_iter()
            .filter_map(|it| {
                let (leader, other) = (position(it.leader)?, position(it.other)?);
                Some(Tie { leader, other, trials_needed: it.trials_needed })
            })
            .collect();
        drop(analysis);
        self.trials = results.trials;
        ties
    }

    /// A run that is resumed may decide otherwise where a trial had to be measured again. What it
    /// no longer asks for was measured all the same.
    fn take_over_the_rest(&mut self) {
        let is_of_blocks = |key: &Key| matches!(key.role, Role::Measure | Role::Twin);
        let mut rest: Vec<TrialRecord> =
            self.kept.extract_if(|key, _| is_of_blocks(key)).map(|(_, trial)| trial).collect();
        rest.sort_by_key(|trial| trial.order);
        self.trials.extend(rest);
    }

    /// Searches every target's capacity in `scenario`, one step of each in turn, in random order.
    pub(crate) fn search(
        &mut self,
        scenario: &'a ScenarioRecord,
        seed: u64,
    ) -> Result<(), BenchError> {
        let LoadRecord::Search { min_messages_per_second, max_messages_per_second, .. } =
            scenario.load
        else {
            return Ok(());
        };
        let (min, max) = (min_messages_per_second, max_messages_per_second);
        let mut searches: Vec<Search> = (0..self.targets.len() as u64)
            .map(|target| Search::new(min, max, scenario.repeats, seed.wrapping_add(target)))
            .collect();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let foreseen = self.trials.len() + plan::search_trials(scenario.repeats) * searches.len();
        loop {
            let mut active: Vec<usize> =
                (0..searches.len()).filter(|&at| searches[at].wanted().is_some()).collect();
            if active.is_empty() {
                break;
            }
            active.shuffle(&mut random);
            for target in active {
                let Some(wanted) = searches[target].wanted() else { continue };
                let trial = self.carry_out(&Request {
                    scenario,
                    target: Some(target),
                    role: wanted.role,
                    block: wanted.number,
                    rate: Some(wanted.rate),
                })?;
                let answer = capacity::answer(trial, scenario).map_or(Answer::Missed, |it| it.1);
                searches[target].answer(answer);
            }
        }
        // What it took more or less than foreseen.
        self.expected = (self.expected + self.trials.len()).saturating_sub(foreseen);
        Ok(())
    }

    /// All trials so far, in the order in which they were asked for.
    pub(crate) fn into_trials(self) -> Vec<TrialRecord> {
        self.trials
    }

    /// Carries out one trial and keeps it, unless it was kept before.
    fn carry_out(&mut self, request: &Request<'_>) -> Result<&TrialRecord, BenchError> {
        let key = Key {
            scenario: request.scenario.name.clone(),
            target: self.name(request).to_owned(),
            role: request.role,
            block: request.block,
        };
        let kept = self.kept.remove(&key).filter(|trial| trial.offered_rate == request.rate);
        let is_kept = kept.is_some();
        let record = match kept {
            Some(trial) => trial,
            None => self.measure(request)?,
        };
        self.trials.push(record);
        self.fresh += usize::from(!is_kept);
        let done = self.trials.len();
        let remaining = self.remaining();
        let trial = &self.trials[done - 1];
        if !is_kept {
            let total = self.expected.max(done);
            (self.observe)(&Event::Ended { trial, done, total, remaining });
        }
        Ok(trial)
    }

    fn measure(&mut self, request: &Request<'_>) -> Result<TrialRecord, BenchError> {
        let order = self.free_order();
        let target = self.name(request);
        let Request { scenario, role, rate, .. } = *request;
        (self.observe)(&Event::Started { target, scenario: &scenario.name, role, rate });
        let (started, began) = (now(), Instant::now());
        let result = match request.target {
            Some(at) => {
                let Measured { access, wire, .. } = self.targets[at];
                trial::run(access, wire, scenario, rate, self.pinning, order)
            }
            None => yardstick::run(self.limits, scenario, self.pinning),
        };
        // Ctrl-C ends the servers too; that must not count as their failure.
        interrupt::wait_if_pending();
        // Nor must the end of a connection.
        if let Some(lost) = request.target.and_then(|at| self.targets[at].access.lost()) {
            return Err(lost.into());
        }
        let record = TrialRecord {
            schema: SCHEMA.to_owned(),
            scenario: scenario.name.clone(),
            target: target.to_owned(),
            role,
            offered_rate: rate,
            block: request.block,
            order,
            started,
            took_seconds: Some(began.elapsed().as_secs_f64()),
            result,
        };
        self.store.keep_trial(&record)?;
        Ok(record)
    }

    /// The next number in the run that no kept trial has.
    fn free_order(&self) -> u32 {
        let mut order = self.trials.len() as u32;
        while self.kept.values().chain(&self.trials).any(|trial| trial.order == order) {
            order += 1;
        }
        order
    }

    /// The name of what is measured.
    fn name(&self, request: &Request<'_>) -> &'a str {
        match request.target {
            Some(at) => self.targets[at].name,
            None => YardstickKind::of(request.scenario).map_or("", YardstickKind::name),
        }
    }

    fn remaining(&self) -> Duration {
        let left = self.expected.saturating_sub(self.trials.len()) as u32;
        self.began.elapsed() / self.fresh.max(1) as u32 * left
    }
}
