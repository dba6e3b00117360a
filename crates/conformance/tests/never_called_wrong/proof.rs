//! The proof: the suite runs again and again, with another seed each time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::Failed;
use zillions_conformance::{CaseReport, Options, TargetReport, Unobserved, Verdict, run};

use crate::busy::BusyLoops;
use crate::subject::Subject;

/// If set, the whole suite runs so often on each server, each time with another seed.
const SEEDS: &str = "ZILLIONS_SLOW_SEEDS";
/// Where the machine is busy so many cases of a run may be inconclusive; elsewhere none may.
const INCONCLUSIVE_MAX: usize = 3;
/// A case whose note begins with a number of deliveries, under as much load as the server takes.
const LOAD: &str = "order/many-receivers-agree";

/// What else the machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    Quiet,
    Busy,
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if *self == Self::Quiet { "quiet" } else { "busy" })
    }
}

/// How much is to be proven.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    seeds: u64,
    quick: bool,
    /// Only these cases; all if empty.
    cases: Vec<String>,
}

/// The results of all runs of one server.
#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    /// How often each case was inconclusive, or a SHOULD was not met.
    inconclusive: BTreeMap<String, usize>,
    nonstrict: BTreeMap<String, usize>,
    inconclusive_most: usize,
    failures: Vec<String>,
    seconds: Vec<f64>,
    deliveries_a_second: Vec<f64>,
}

static ROWS: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Plan {
    pub(crate) fn from_environment() -> Result<Self, String> {
        let Some(text) = std::env::var_os(SEEDS) else {
            return Ok(Self { seeds: 1, quick: true, cases: Vec::new() });
        };
        match text.to_str().and_then(|text| text.parse().ok()) {
            Some(seeds) if seeds > 0 => Ok(Self { seeds, quick: false, cases: Vec::new() }),
            _ => Err(format!("invalid {SEEDS} {text:?}: write a number of runs, for example 20")),
        }
    }

    /// The same plan for some cases, which need not be of the quick selection.
    pub(crate) fn only(&self, cases: &str) -> Self {
        Self { seeds: self.seeds, quick: false, cases: vec![cases.to_owned()] }
    }

    /// Whether all cases run on each server, on a quiet machine and on a busy one.
    pub(crate) fn is_whole(&self) -> bool {
        !self.quick
    }

    /// How many servers are under test at the same time: one where the time is measured.
    pub(crate) fn servers_at_once(&self) -> usize {
        if self.quick { 2 } else { 1 }
    }

    /// Runs the suite on `subject`.
    pub(crate) fn prove(&self, subject: &Subject, machine: Machine) -> Result<(), Failed> {
        let Some(target) = subject.target()? else {
            if std::env::var_os("CI").is_some() {
                return Err("its language is not installed: see .ci/run".into());
            }
            eprintln!("{} was left out: its language is not installed", subject.name());
            return Ok(());
        };
        let _loops = (machine == Machine::Busy).then(BusyLoops::start).transpose()?;
        let mut tally = Tally::default();
        for seed in 1..=self.seeds {
            let options = Options {
                seed,
                quick: self.quick,
                case_globs: self.cases.clone(),
                ..Options::default()
            };
            tally.add(seed, &run(&target, &options, &mut Unobserved)?);
        }
        let row = tally.row(subject.name(), machine);
        eprintln!("{row}");
        ROWS.lock().unwrap_or_else(PoisonError::into_inner).push(row);
        // Several at once keep the machine busy for each other.
        let is_busy = machine == Machine::Busy || self.servers_at_once() > 1;
        tally.judge(if is_busy { INCONCLUSIVE_MAX } else { 0 })
    }
}

impl Tally {
    fn add(&mut self, seed: u64, report: &TargetReport) {
        self.runs += 1;
        self.seconds.push(report.seconds);
        let mut inconclusive = 0;
        for case in &report.cases {
            match case.verdict {
                Verdict::Fail | Verdict::Error => self.failures.push(failure(seed, case)),
                Verdict::Inconclusive => {
                    inconclusive += 1;
                    *self.inconclusive.entry(case.id.clone()).or_default() += 1;
                }
                Verdict::Nonstrict => *self.nonstrict.entry(case.id.clone()).or_default() += 1,
                Verdict::Pass | Verdict::Info | Verdict::Skip => {}
            }
            if case.id == LOAD {
                self.deliveries_a_second.extend(rate(case));
            }
        }
        self.inconclusive_most = self.inconclusive_most.max(inconclusive);
    }

    fn judge(&self, inconclusive_max: usize) -> Result<(), Failed> {
        if let Some(failure) = self.failures.first() {
            return Err(format!("{} failures; the first: {failure}", self.failures.len()).into());
        }
        if self.inconclusive_most > inconclusive_max {
            return Err(format!("inconclusive in too many cases: {:?}", self.inconclusive).into());
        }
        Ok(())
    }

    fn row(&self, name: &str, machine: Machine) -> String {
        let counts = |counts: &BTreeMap<String, usize>| {
            let counts: Vec<String> =
                counts.iter().map(|(id, count)| format!("`{id}` {count}")).collect();
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
        };
        let longest = self.seconds.iter().copied().fold(0.0, f64::max);
        let rate = match median(&self.deliveries_a_second) {
            Some(rate) => format!("{rate:.0}"),
            None => "–".to_owned(),
        };
        format!(
            "| {name} | {machine} | {rate} | {} | {} | {} | {} | {:.0} s, {longest:.0} s |",
            self.runs,
            self.failures.len(),
            counts(&self.inconclusive),
            counts(&self.nonstrict),
            median(&self.seconds).unwrap_or_default(),
        )
    }
}

/// Prints the table of all servers, for the documents.
pub(crate) fn print_table() {
    let rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    if rows.is_empty() {
        return;
    }
    println!(
        "| server | machine | deliveries/s | runs | failed cases | inconclusive | SHOULD not met | \
         a run (median, longest) |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    rows.iter().for_each(|row| println!("{row}"));
}

fn failure(seed: u64, case: &CaseReport) -> String {
    let why = case.failure.as_ref().map_or_else(
        || case.detail.clone(),
        |failure| {
            let log = failure.log.join(" | ");
            format!("expected {}; actual: {}; log: {log}", failure.expected, failure.actual)
        },
    );
    format!("seed {seed}, {}: {why}", case.id)
}

/// Deliveries a second, from the note of [`LOAD`].
fn rate(case: &CaseReport) -> Option<f64> {
    let deliveries: f64 = case.detail.split_whitespace().next()?.parse().ok()?;
    (case.seconds > 0.0).then(|| deliveries / case.seconds)
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
