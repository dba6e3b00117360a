//! Compares two runs, target by target: is anything clearly better or worse?
//!
//! Both runs must be of the same kind of machine, and a scenario is compared only if both ran it
//! alike. Each figure is a ratio with its interval; it is worse only if the whole interval is
//! beyond the threshold. Where percentiles are lower bounds the interval is as wide as the true
//! ones allow, so what is called worse, better or the same is so whatever they are.

mod figure;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::analysis::{ScenarioAnalysis, analyse};
use crate::bounded::{Bound, Bounded};
use crate::noise::NoiseFloor;
use crate::record::{
    MachineRecord, RemoteRecord, RunRecord, ScenarioRecord, TargetStatus, TrialResult,
};
use crate::results::Results;
use crate::row::{Rank, Row};
use crate::statistics::{Estimate, estimate_difference, estimate_median, estimate_ratio};
use crate::verdict::Validity;

pub use figure::Figure;

/// The name and version of a [`Comparison`] as JSON.
pub const COMPARE_SCHEMA: &str = "zillions.compare/3";

/// What is recorded where the system does not name the processor.
const UNKNOWN_CPU: &str = "unknown";

/// The thresholds beyond which a change is clear.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Thresholds {
    /// Threshold of ratios, as a share: 0.1 is a factor of 1.1 in either direction.
    pub ratio: f64,
    /// Threshold of the difference in lost deliveries, as a share: 0.01 is one percentage point.
    pub lost_share: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { ratio: 0.10, lost_share: 0.01 }
    }
}

/// A comparison of two runs.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// Name and version of the format: `zillions.compare/3`.
    pub schema: &'static str,
    /// Overall verdict.
    pub verdict: Verdict,
    /// Thresholds beyond which a change is clear. Figures that scenarios rank by must also exceed
    /// the noise floor.
    pub thresholds: Thresholds,
    /// What else may explain a change, and what is not known, one sentence each.
    pub notes: Vec<String>,
    /// Every scenario of either run.
    pub scenarios: Vec<ScenarioComparison>,
}

/// The overall verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// At least one figure is clearly worse, or a server is broken.
    Regression,
    /// Nothing is clearly worse.
    NoRegression,
    /// No figures could be compared.
    NothingCompared,
}

/// One scenario in both runs.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ScenarioComparison {
    /// Name of the scenario.
    pub name: String,
    /// The question that it answers.
    pub question: String,
    /// Reason why it cannot be compared; empty if it can.
    pub reason: String,
    /// Every target with trials in either run, sorted by name.
    pub targets: Vec<TargetComparison>,
}

/// One target in both runs.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TargetComparison {
    /// Name of the target.
    pub target: String,
    /// Whether it was compared.
    pub status: Status,
    /// Reason why it was not; empty if it was.
    pub reason: String,
    /// Its figures in both runs; empty if it was not.
    pub changes: Vec<Change>,
}

/// Whether a target was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It was compared.
    Compared,
    /// It could not be compared.
    NotCompared,
    /// It worked in the base run and fails in the new one: a regression.
    Broken,
}

/// One figure in both runs.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Change {
    /// The figure.
    pub figure: Figure,
    /// Its value in the base run: the median over the valid trials.
    pub base: Estimate,
    /// Its value in the new run.
    pub new: Estimate,
    /// Ratio of new to base; for lost deliveries the difference, new minus base.
    pub change: Estimate,
    /// Meaning of the change.
    pub direction: Direction,
}

/// The meaning of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The whole interval is beyond the threshold, on the bad side.
    Worse,
    /// The whole interval is beyond the threshold, on the good side.
    Better,
    /// The whole interval is within the threshold.
    Same,
    /// The interval crosses the threshold: these trials are not enough to decide.
    Unclear,
}

/// Runs that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// They were made on different machines.
    #[error(
        "the runs are from different machines ({what}), and figures of different machines cannot be \
         compared: measure both on one machine"
    )]
    OtherMachine {
        /// What differs.
        what: String,
    },
    /// No scenario, or no target, is in both.
    #[error("the runs have no {what} in common: base has {base}, new has {new}")]
    NothingInCommon {
        /// Scenario or target.
        what: &'static str,
        /// The names in the base run.
        base: String,
        /// The names in the new run.
        new: String,
    },
}

/// Compares `new` with `base`.
///
/// # Errors
///
/// [`CompareError`], if the two cannot say anything about each other.
pub fn compare(
    base: &Results,
    new: &Results,
    thresholds: Thresholds,
) -> Result<Comparison, CompareError> {
    let differences = differences_of_machines(&base.run, &new.run);
    if !differences.is_empty() {
        return Err(CompareError::OtherMachine { what: differences.join("; ") });
    }
    let names = |results: &Results| -> [Vec<String>; 2] {
        [
            results.run.scenarios.iter().map(|it| it.name.clone()).collect(),
            results.run.targets.iter().map(|it| it.name.clone()).collect(),
        ]
    };
    for (what, (base, new)) in
        ["scenario", "target"].into_iter().zip(names(base).iter().zip(&names(new)))
    {
        if !base.iter().any(|name| new.contains(name)) {
            let (base, new) = (base.join(", "), new.join(", "));
            return Err(CompareError::NothingInCommon { what, base, new });
        }
    }
    let (of_base, of_new) = (analyse(base), analyse(new));
    let find = |analyses: &[ScenarioAnalysis<'_>], name: &str| {
        analyses.iter().position(|analysis| analysis.scenario.name == name)
    };
    let mut scenarios = Vec::new();
    for analysis in &of_base {
        let name = &analysis.scenario.name;
        scenarios.push(match find(&of_new, name) {
            Some(at) => compare_scenario(analysis, &of_new[at], thresholds, base.run.seed),
            None => not_compared(analysis.scenario, "only the base run has it"),
        });
    }
    let is_new =
        |analysis: &&ScenarioAnalysis<'_>| find(&of_base, &analysis.scenario.name).is_none();
    for analysis in of_new.iter().filter(is_new) {
        scenarios.push(not_compared(analysis.scenario, "only the new run has it"));
    }
    Ok(Comparison {
        schema: COMPARE_SCHEMA,
        verdict: verdict(&scenarios),
        thresholds,
        notes: notes(base, new),
        scenarios,
    })
}

impl Comparison {
    /// How many figures went in this direction.
    #[must_use]
    pub fn number_of(&self, direction: Direction) -> usize {
        let changes = self.targets().flat_map(|target| &target.changes);
        changes.filter(|change| change.direction == direction).count()
    }

    /// How many targets of how many scenarios have this status.
    #[must_use]
    pub fn number_with(&self, status: Status) -> usize {
        self.targets().filter(|target| target.status == status).count()
    }

    /// Every target of every scenario.
    pub fn targets(&self) -> impl Iterator<Item = &TargetComparison> {
        self.scenarios.iter().flat_map(|scenario| &scenario.targets)
    }
}

fn verdict(scenarios: &[ScenarioComparison]) -> Verdict {
    let targets = || scenarios.iter().flat_map(|scenario| &scenario.targets);
    let is_worse = |change: &Change| change.direction == Direction::Worse;
    if targets().any(|it| it.status == Status::Broken || it.changes.iter().any(is_worse)) {
        Verdict::Regression
    } else if targets().any(|it| !it.changes.is_empty()) {
        Verdict::NoRegression
    } else {
        Verdict::NothingCompared
    }
}

/// What makes the machines of two runs different for a measurement: where the load came from, and
/// where the servers ran.
pub(crate) fn differences_of_machines(base: &RunRecord, new: &RunRecord) -> Vec<String> {
    let mut differences = machine_differences(&base.machine, &new.machine);
    if base.load_threads != new.load_threads {
        let (base, new) = (base.load_threads, new.load_threads);
        differences.push(format!("load threads {base} → {new}"));
    }
    match (&base.remote, &new.remote) {
        (Some(base), Some(new)) => {
            differences.extend(machine_differences(&base.machine, &new.machine));
        }
        (None, None) => {}
        (base, new) => {
            let place = |remote: &Option<RemoteRecord>| {
                remote.as_ref().map_or_else(|| "here".to_owned(), |it| format!("on {}", it.host))
            };
            differences.push(format!("servers {} → {}", place(base), place(new)));
        }
    }
    differences
}

/// What makes two machines different for a measurement.
fn machine_differences(base: &MachineRecord, new: &MachineRecord) -> Vec<String> {
    let pinning = |machine: &MachineRecord| match machine.generator_cpu {
        Some(_) => format!("{} processors for servers", machine.server_cpus.len()),
        None => "not pinned".to_owned(),
    };
    let quota = |machine: &MachineRecord| match machine.cpu_quota {
        Some(quota) => format!("a quota of {quota} processors"),
        None => "no quota".to_owned(),
    };
    // The kernel's share of the memory differs a little from version to version.
    let gibibytes = |machine: &MachineRecord| {
        format!("{:.0} GiB of memory", machine.memory_bytes as f64 / f64::from(1 << 30))
    };
    [
        (base.cpu_model.clone(), new.cpu_model.clone()),
        (base.architecture.clone(), new.architecture.clone()),
        (format!("{} processors", base.cpus), format!("{} processors", new.cpus)),
        (quota(base), quota(new)),
        (pinning(base), pinning(new)),
        (gibibytes(base), gibibytes(new)),
    ]
    .into_iter()
    .filter(|(base, new)| base != new)
    .map(|(base, new)| format!("{base} → {new}"))
    .collect()
}

/// What may explain a change, besides the servers.
fn notes(base: &Results, new: &Results) -> Vec<String> {
    let unknown = || "unknown".to_owned();
    let (old, now) = (&base.run, &new.run);
    let mut notes: Vec<String> = [
        ("kernel", old.machine.kernel.clone(), now.machine.kernel.clone()),
        ("zillions", old.tool.version.clone(), now.tool.version.clone()),
        (
            "frequency governor",
            old.machine.cpu_governor.clone().unwrap_or_else(unknown),
            now.machine.cpu_governor.clone().unwrap_or_else(unknown),
        ),
    ]
    .into_iter()
    .filter(|(_, base, new)| base != new)
    .map(|(what, base, new)| format!("the runs differ in {what}: {base} → {new}"))
    .collect();
    if [&old.machine.cpu_model, &now.machine.cpu_model].iter().all(|it| *it == UNKNOWN_CPU) {
        notes.push("neither run knows its processor: they may be of different machines".to_owned());
    }
    for target in &now.targets {
        let other = old.targets.iter().find(|it| it.name == target.name);
        if let Some(other) = other.filter(|other| other.toolchain != target.toolchain) {
            let line = |lines: &[String]| lines.join(", ");
            let (base, new) = (line(&other.toolchain), line(&target.toolchain));
            notes.push(format!("the runs differ in toolchain of {}: {base} → {new}", target.name));
        }
    }
    notes
}

fn not_compared(scenario: &ScenarioRecord, reason: impl Into<String>) -> ScenarioComparison {
    ScenarioComparison {
        name: scenario.name.clone(),
        question: scenario.question.clone(),
        reason: reason.into(),
        targets: Vec::new(),
    }
}

/// What differs between two definitions of a scenario, as far as it matters to its figures.
pub(crate) fn scenario_differences(base: &ScenarioRecord, new: &ScenarioRecord) -> Vec<String> {
    /// What people read, and how often it was done.
    const IMMATERIAL: [&str; 5] = ["name", "question", "note", "repeats", "looks_max"];
    let fields = |scenario: &ScenarioRecord| match serde_json::to_value(scenario) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (base, new) = (fields(base), fields(new));
    let keys: BTreeSet<&String> = base.keys().chain(new.keys()).collect();
    let text = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    keys.into_iter()
        .filter(|key| !IMMATERIAL.contains(&key.as_str()) && base.get(*key) != new.get(*key))
        .map(|key| format!("{key} {} → {}", text(base.get(key)), text(new.get(key))))
        .collect()
}

fn compare_scenario(
    base: &ScenarioAnalysis<'_>,
    new: &ScenarioAnalysis<'_>,
    thresholds: Thresholds,
    seed: u64,
) -> ScenarioComparison {
    let differences = scenario_differences(base.scenario, new.scenario);
    if !differences.is_empty() {
        let reason = format!("it was run differently: {}", differences.join(", "));
        return not_compared(new.scenario, reason);
    }
    let limits = Limits::of(thresholds, base, new);
    let rows = base.rows.iter().chain(&new.rows);
    let names: BTreeSet<&str> = rows.map(|row| row.target.name.as_str()).collect();
    let targets = names
        .into_iter()
        .filter_map(|name| {
            let row = |analysis: &'_ ScenarioAnalysis<'_>| {
                analysis.rows.iter().position(|row| row.target.name == name)
            };
            let old = row(base).map(|at| &base.rows[at]);
            let now = row(new).map(|at| &new.rows[at]);
            if [old, now].into_iter().flatten().all(|row| row.trials.is_empty()) {
                return None;
            }
            let (status, reason) = status(old, now);
            let changes = match (status, old, now) {
                (Status::Compared, Some(old), Some(now)) => {
                    changes(old, now, new.scenario, &limits, seed)
                }
                _ => Vec::new(),
            };
            Some(TargetComparison { target: name.to_owned(), status, reason, changes })
        })
        .collect();
    ScenarioComparison { targets, ..not_compared(new.scenario, "") }
}

/// Whether a target can be compared, and if not, why.
fn status(base: Option<&Row<'_>>, new: Option<&Row<'_>>) -> (Status, String) {
    // What was lost is a figure like others: it can become better or worse.
    let unranked = |row: &Row<'_>| match &row.rank {
        Rank::Unranked { reason } => Some(reason.clone()),
        // Percentiles of few samples are compared as the bounds that they are.
        Rank::Ranked { .. } | Rank::Lossy { .. } | Rank::FewSamples { .. } => None,
    };
    let (Some(base), Some(new)) = (base, new) else {
        let only = if new.is_some() { "new" } else { "base" };
        return (Status::NotCompared, format!("only the {only} run has it"));
    };
    match (unranked(base), unranked(new)) {
        (None, None) => (Status::Compared, String::new()),
        (None, Some(reason)) if is_broken(new) => (Status::Broken, reason),
        (Some(reason), _) => (Status::NotCompared, format!("in the base run {reason}")),
        (None, Some(reason)) => (Status::NotCompared, format!("in the new run {reason}")),
    }
}

/// Whether the server itself is why it has no figures.
fn is_broken(row: &Row<'_>) -> bool {
    // What is skipped now could be started before: it works no more.
    !matches!(row.target.status, TargetStatus::Measured)
        || row.trials.iter().any(|trial| {
            matches!(trial.record.result, TrialResult::Failed { .. })
                || trial.is(Validity::Incorrect)
        })
}

fn changes(
    base: &Row<'_>,
    new: &Row<'_>,
    scenario: &ScenarioRecord,
    limits: &Limits,
    seed: u64,
) -> Vec<Change> {
    let change = |figure: Figure| {
        let of_all = |row: &Row<'_>| match figure {
            Figure::CapacityMessagesPerSecond => Some(row.figures.as_ref()?.ranking),
            Figure::ShareOfLimit => row.figures.as_ref()?.share_of_limit,
            _ => None,
        };
        if let (Some(base), Some(new)) = (of_all(base), of_all(new)) {
            let change = ratio_of(&new, &base);
            let direction = limits.direction(figure, &change);
            return Some(Change { figure, base, new, change, direction });
        }
        let samples = |row: &Row<'_>| -> Vec<Bounded> {
            row.valid_measurements().filter_map(|trial| figure.of(trial, scenario)).collect()
        };
        let (old, now) = (samples(base), samples(new));
        let change = if figure.is_share() {
            estimate_difference(&now, &old, seed)?
        } else {
            estimate_ratio(&now, &old, seed)?
        };
        Some(Change {
            figure,
            base: estimate_median(&old, seed)?,
            new: estimate_median(&now, seed)?,
            change,
            direction: limits.direction(figure, &change),
        })
    };
    Figure::of_scenario(scenario).into_iter().filter_map(change).collect()
}

/// The ratio of two figures of which only the intervals are known: as wide as they allow.
fn ratio_of(new: &Estimate, base: &Estimate) -> Estimate {
    Estimate {
        median: new.median / base.median,
        low: new.low / base.high,
        high: if base.low > 0.0 { new.high / base.low } else { f64::INFINITY },
        samples: new.samples.min(base.samples),
        bound: Bound::Exact,
    }
}

/// From where on a change is clear, in one scenario.
struct Limits {
    thresholds: Thresholds,
    /// What noise alone does to the figure that the scenario ranks by, in the noisier run; as a
    /// ratio, 1 for nothing.
    noise_factor: f64,
}

impl Limits {
    fn of(thresholds: Thresholds, base: &ScenarioAnalysis<'_>, new: &ScenarioAnalysis<'_>) -> Self {
        let floors = [base, new].into_iter().filter_map(|analysis| analysis.noise.as_ref());
        Self { thresholds, noise_factor: floors.map(NoiseFloor::factor).fold(1.0, f64::max) }
    }

    fn direction(&self, figure: Figure, change: &Estimate) -> Direction {
        let (least, most) = if figure.is_share() {
            (-self.thresholds.lost_share, self.thresholds.lost_share)
        } else {
            let noise = if figure.is_ranking_figure() { self.noise_factor } else { 1.0 };
            let most = noise.max(1.0 + self.thresholds.ratio);
            (1.0 / most, most)
        };
        let (above, below) = if figure.higher_is_better() {
            (Direction::Better, Direction::Worse)
        } else {
            (Direction::Worse, Direction::Better)
        };
        match change {
            change if change.low > most => above,
            change if change.high < least => below,
            change if least <= change.low && change.high <= most => Direction::Same,
            _ => Direction::Unclear,
        }
    }
}

#[cfg(test)]
mod tests;
