//! Scenarios as data: TOML files, those in `scenarios/` built in. `docs/scenarios.md` has every key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use zillions_harness::limits;
use zillions_load::{
    CHURN_CONNECTIONS_MAX, CLIENTS_MAX, Filler, Load, MESSAGES_PER_SECOND_MAX, Plan, PlanError,
    WireFormat,
};
use zillions_report::record::{LoadRecord, RankBy, ScenarioRecord};

/// After the window, a trial ends when nothing has arrived for this long, or for a third of it
/// if nothing is missing.
pub const QUIET: Duration = Duration::from_millis(150);
/// After the window, a trial waits at most this long for what is under way.
pub const DRAIN_MAX: Duration = Duration::from_secs(2);
/// Connecting, and being served on every connection, may take this long …
pub const READY_MAX: Duration = Duration::from_secs(10);
/// … and this much longer for each client: some servers start two threads for it.
const READY_MAX_PER_CLIENT: Duration = Duration::from_millis(2);

// `BUILT_IN`, and `BROKERS` of `zillions bench --brokers`: names and texts of the files in
// `scenarios/`.
include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// Descriptors that a server may need for one client: its socket, and a copy of it.
const DESCRIPTORS_PER_CLIENT: u64 = 2;

/// A scenario as its file gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name: the file's, without extension.
    pub name: String,
    /// Whether it runs when none is asked for.
    pub is_default: bool,
    full: ScenarioRecord,
    quick: ScenarioRecord,
}

/// A scenario that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read '{}': {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not TOML, or not a scenario.
    #[error("'{file}', line {line}: {what}")]
    Syntax {
        /// The file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// A value is invalid, or does not go with another one.
    #[error("'{file}': {what}")]
    Values {
        /// The file.
        file: String,
        /// What is wrong with them.
        what: String,
    },
    /// No scenario has this name.
    #[error("unknown scenario '{name}': choose from {known}, or name a .toml file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    question: String,
    #[serde(default)]
    note: String,
    rank_by: RankBy,
    default: bool,
    clients: u32,
    /// `clients` is an upper bound: as many as the descriptor limit allows.
    #[serde(default)]
    clients_limited_by_descriptors: bool,
    senders: u32,
    #[serde(default)]
    stalled_clients: u32,
    #[serde(default)]
    churn_per_second: f64,
    load: LoadName,
    messages_per_second: Option<f64>,
    messages_per_burst: Option<u32>,
    bursts_per_second: Option<f64>,
    min_messages_per_second: Option<f64>,
    max_messages_per_second: Option<f64>,
    max_latency_p99_ms: Option<f64>,
    max_lost_share: Option<f64>,
    body_bytes: Vec<u8>,
    #[serde(default)]
    untimed_per_message: u32,
    #[serde(default)]
    untimed_bytes: u8,
    #[serde(default)]
    split_writes: bool,
    warm_up_seconds: f64,
    measure_seconds: f64,
    late_after_ms: f64,
    repeats: u32,
    #[serde(default)]
    quick: Quick,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LoadName {
    FixedRate,
    Burst,
    Saturate,
    EveryoneAtOnce,
    Search,
}

/// What `--quick` changes.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quick {
    messages_per_second: Option<f64>,
    warm_up_seconds: Option<f64>,
    measure_seconds: Option<f64>,
    repeats: Option<u32>,
}

impl Scenario {
    /// The built-in scenarios.
    ///
    /// # Panics
    ///
    /// If one of them is invalid, which a test rules out.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        Self::parse_all("scenarios", BUILT_IN)
    }

    /// The scenarios in which the reference server is measured beside message brokers.
    ///
    /// # Panics
    ///
    /// As [`built_in`](Self::built_in).
    #[must_use]
    pub fn brokers() -> Vec<Self> {
        Self::parse_all("scenarios/brokers", BROKERS)
    }

    fn parse_all(folder: &str, files: &[(&str, &str)]) -> Vec<Self> {
        files
            .iter()
            .map(|(name, text)| Self::parse(name, &format!("{folder}/{name}.toml"), text))
            .map(|scenario| scenario.expect("the built-in scenarios are valid"))
            .collect()
    }

    /// The built-in scenario `name`, or the one in the file `name` if that ends in `.toml`.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] says what is wrong, and where.
    pub fn find(name: &str) -> Result<Self, ScenarioError> {
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(path)
                .map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            return Self::parse(&stem, name, &text);
        }
        let mut built_in = Self::built_in();
        built_in.extend(Self::brokers());
        let known = built_in.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
        match built_in.iter().position(|scenario| scenario.name == name) {
            Some(at) => Ok(built_in.swap_remove(at)),
            None => Err(ScenarioError::Unknown { name: name.to_owned(), known }),
        }
    }

    /// Parses `text`, which was read from `file`.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] says what is wrong, and where.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, ScenarioError> {
        let values = |what| ScenarioError::Values { file: file.to_owned(), what };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(values(format!(
                "invalid scenario name '{name}': use letters, digits and dashes"
            )));
        }
        let parsed: File = toml::from_str(text).map_err(|error| ScenarioError::Syntax {
            file: file.to_owned(),
            line: error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1),
            what: error.message().replace('\n', " "),
        })?;
        let full = parsed.record(name, &Quick::default()).map_err(values)?;
        let quick = parsed.record(name, &parsed.quick).map_err(values)?;
        Ok(Self { name: name.to_owned(), is_default: parsed.default, full, quick })
    }

    /// What to carry out, with or without what `--quick` changes.
    #[must_use]
    pub fn record(&self, quick: bool) -> ScenarioRecord {
        if quick { self.quick.clone() } else { self.full.clone() }
    }
}

impl File {
    fn record(&self, name: &str, quick: &Quick) -> Result<ScenarioRecord, String> {
        let load = self.load(quick)?;
        let record = ScenarioRecord {
            name: name.to_owned(),
            question: self.question.clone(),
            note: self.note.clone(),
            rank_by: self.rank_by,
            load,
            clients: if self.clients_limited_by_descriptors {
                self.clients.min(clients_max())
            } else {
                self.clients
            },
            senders: self.senders,
            stalled_clients: self.stalled_clients,
            churn_per_second: self.churn_per_second,
            body_bytes: self.body_bytes.clone(),
            untimed_per_message: self.untimed_per_message,
            untimed_bytes: self.untimed_bytes,
            split_writes: self.split_writes,
            warm_up_seconds: quick.warm_up_seconds.unwrap_or(self.warm_up_seconds),
            measure_seconds: quick.measure_seconds.unwrap_or(self.measure_seconds),
            late_after_ms: self.late_after_ms,
            repeats: quick.repeats.unwrap_or(self.repeats),
            looks_max: 1,
        };
        check(&record)?;
        Ok(record)
    }

    /// The load by its name, with the keys that it needs and no other load's.
    fn load(&self, quick: &Quick) -> Result<LoadRecord, String> {
        let rate = quick.messages_per_second.or(self.messages_per_second);
        let mut keys = Keys(vec![
            ("messages_per_second", rate),
            ("messages_per_burst", self.messages_per_burst.map(f64::from)),
            ("bursts_per_second", self.bursts_per_second),
            ("min_messages_per_second", self.min_messages_per_second),
            ("max_messages_per_second", self.max_messages_per_second),
            ("max_latency_p99_ms", self.max_latency_p99_ms),
            ("max_lost_share", self.max_lost_share),
        ]);
        let (name, load) = match self.load {
            LoadName::FixedRate => {
                let messages_per_second = keys.take("fixed-rate", "messages_per_second")?;
                ("fixed-rate", LoadRecord::FixedRate { messages_per_second })
            }
            LoadName::Burst => {
                let messages_per_burst = keys.take("burst", "messages_per_burst")? as u32;
                let bursts_per_second = keys.take("burst", "bursts_per_second")?;
                ("burst", LoadRecord::Burst { messages_per_burst, bursts_per_second })
            }
            LoadName::Saturate => ("saturate", LoadRecord::Saturate),
            LoadName::EveryoneAtOnce => ("everyone-at-once", LoadRecord::EveryoneAtOnce),
            LoadName::Search => {
                let mut take = |key| keys.take("search", key);
                let load = LoadRecord::Search {
                    max_latency_p99_ms: take("max_latency_p99_ms")?,
                    max_lost_share: take("max_lost_share")?,
                    min_messages_per_second: take("min_messages_per_second")?,
                    max_messages_per_second: take("max_messages_per_second")?,
                };
                ("search", load)
            }
        };
        keys.refuse_rest(name)?;
        Ok(load)
    }
}

/// Keys of a file that belong to one load or another, with their values.
struct Keys(Vec<(&'static str, Option<f64>)>);

impl Keys {
    fn take(&mut self, load: &str, wanted: &str) -> Result<f64, String> {
        self.0
            .iter_mut()
            .find(|(key, _)| *key == wanted)
            .and_then(|(_, value)| value.take())
            .ok_or_else(|| format!("load '{load}' needs {wanted}"))
    }

    fn refuse_rest(&self, load: &str) -> Result<(), String> {
        match self.0.iter().find(|(_, value)| value.is_some()) {
            Some((key, _)) => Err(format!("load '{load}' does not use {key}")),
            None => Ok(()),
        }
    }
}

/// How many clients a server can have before descriptors run out, there or here.
fn clients_max() -> u32 {
    let limit = limits::raise_descriptor_limit().saturating_sub(limits::DESCRIPTORS_RESERVED);
    let most = limit.min(CLIENTS_MAX as u64 * DESCRIPTORS_PER_CLIENT) / DESCRIPTORS_PER_CLIENT;
    u32::try_from(most).unwrap_or(u32::MAX)
}

/// Connections that the load generator may have open at once in `scenario`.
#[must_use]
pub fn connections(scenario: &ScenarioRecord) -> u32 {
    let churn = if scenario.churn_per_second > 0.0 { CHURN_CONNECTIONS_MAX as u32 } else { 0 };
    scenario.clients.saturating_add(scenario.stalled_clients).saturating_add(churn)
}

/// Refuses a scenario that could not be carried out.
///
/// # Errors
///
/// One line that names the key, what it must be, and what it is.
pub fn check(scenario: &ScenarioRecord) -> Result<(), String> {
    const SECONDS_MAX: f64 = 3_600.0;
    for (key, value, max) in [
        ("warm_up_seconds", scenario.warm_up_seconds, SECONDS_MAX),
        ("measure_seconds", scenario.measure_seconds, SECONDS_MAX),
        ("late_after_ms", scenario.late_after_ms, SECONDS_MAX * 1e3),
    ] {
        if !(0.0..=max).contains(&value) {
            return Err(format!("{key} must be 0 to {max} (got {value})"));
        }
    }
    if scenario.repeats == 0 {
        return Err("repeats must be at least 1 (got 0)".to_owned());
    }
    let of_kind = |wanted| scenario.rank_by == wanted;
    if let LoadRecord::Search {
        max_latency_p99_ms,
        max_lost_share,
        min_messages_per_second: min,
        max_messages_per_second: max,
    } = scenario.load
    {
        if !(0.0 < min && min < max && max <= MESSAGES_PER_SECOND_MAX) {
            return Err(format!(
                "min_messages_per_second must be above 0 and below max_messages_per_second, and \
                 that at most {MESSAGES_PER_SECOND_MAX} (got {min} and {max})"
            ));
        }
        if max_latency_p99_ms.is_nan() || max_latency_p99_ms <= 0.0 {
            return Err(format!("max_latency_p99_ms must be above 0 (got {max_latency_p99_ms})"));
        }
        if !(0.0..1.0).contains(&max_lost_share) {
            return Err(format!("max_lost_share must be 0 to below 1 (got {max_lost_share})"));
        }
        if !of_kind(RankBy::Capacity) {
            return Err("load 'search' needs rank_by 'capacity'".to_owned());
        }
    } else if of_kind(RankBy::Capacity) {
        return Err("rank_by 'capacity' needs load 'search'".to_owned());
    }
    load_plan(scenario, offered_rate(scenario).or(Some(1.0)), 0)
        .check()
        .map_err(|error: PlanError| error.to_string())
}

/// How many messages per second are due in `scenario`, where that does not depend on the server.
#[must_use]
pub fn offered_rate(scenario: &ScenarioRecord) -> Option<f64> {
    match scenario.load {
        LoadRecord::FixedRate { messages_per_second } => Some(messages_per_second),
        LoadRecord::Burst { messages_per_burst, bursts_per_second } => {
            Some(f64::from(messages_per_burst) * bursts_per_second)
        }
        LoadRecord::Saturate | LoadRecord::EveryoneAtOnce | LoadRecord::Search { .. } => None,
    }
}

/// The load of one trial of `scenario`.
///
/// `rate` is the rate of a trial of a search, in messages per second; other loads have their own.
#[must_use]
pub fn load_plan(scenario: &ScenarioRecord, rate: Option<f64>, tag: u32) -> Plan {
    Plan {
        wire: WireFormat::Zillions,
        clients: scenario.clients as usize,
        senders: scenario.senders as usize,
        stalled: scenario.stalled_clients as usize,
        churn_per_second: scenario.churn_per_second,
        load: match scenario.load {
            LoadRecord::FixedRate { messages_per_second } => {
                Load::FixedRate { messages_per_second }
            }
            LoadRecord::Burst { messages_per_burst, bursts_per_second } => {
                Load::Burst { messages_per_burst, bursts_per_second }
            }
            LoadRecord::Saturate => Load::Saturate,
            LoadRecord::EveryoneAtOnce => Load::EveryoneAtOnce,
            LoadRecord::Search { min_messages_per_second, .. } => {
                Load::FixedRate { messages_per_second: rate.unwrap_or(min_messages_per_second) }
            }
        },
        body_bytes: scenario.body_bytes.clone(),
        filler: Filler { per_message: scenario.untimed_per_message, bytes: scenario.untimed_bytes },
        split_writes: scenario.split_writes,
        warm_up: Duration::from_secs_f64(scenario.warm_up_seconds),
        measure: Duration::from_secs_f64(scenario.measure_seconds),
        late_after: Duration::from_secs_f64(scenario.late_after_ms / 1e3),
        quiet: QUIET,
        drain_max: DRAIN_MAX,
        ready_max: READY_MAX + READY_MAX_PER_CLIENT * scenario.clients,
        load_threads: 1,
        tag,
    }
}

#[cfg(test)]
mod tests;
