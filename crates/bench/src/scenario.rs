//! Scenarios as data: TOML files, the usual ones built in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use zillions_load::{Load, Plan, PlanError, WireFormat};
use zillions_report::record::{Headline, LoadRecord, ScenarioRecord};

/// After the window, a trial ends when nothing has arrived for this long.
pub const QUIET: Duration = Duration::from_millis(150);
/// After the window, a trial waits at most this long for what is under way.
pub const DRAIN_MAX: Duration = Duration::from_secs(2);
/// Connecting, and being served on every connection, may take this long.
pub const READY_MAX: Duration = Duration::from_secs(10);

const BUILT_IN: [(&str, &str); 3] = [
    ("small-room", include_str!("../../../scenarios/small-room.toml")),
    ("one-to-many", include_str!("../../../scenarios/one-to-many.toml")),
    ("many-to-many", include_str!("../../../scenarios/many-to-many.toml")),
];

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
    /// It is not what a scenario file has to be.
    #[error("'{file}', line {line}: {what}")]
    Syntax {
        /// The file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// Its values do not go together.
    #[error("'{file}': {what}")]
    Values {
        /// The file.
        file: String,
        /// What is wrong with them.
        what: String,
    },
    /// There is none of this name.
    #[error("there is no scenario '{name}': the scenarios are {known}; or name a .toml file")]
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
    headline: Headline,
    default: bool,
    clients: u32,
    senders: u32,
    load: LoadName,
    messages_per_second: Option<f64>,
    body_bytes: Vec<u8>,
    warm_up_seconds: f64,
    measure_seconds: f64,
    late_after_ms: f64,
    repeats: u32,
    #[serde(default)]
    quick: Quick,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LoadName {
    FixedRate,
    Saturate,
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
    /// If one of them is wrong, which a test rules out.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        BUILT_IN
            .iter()
            .map(|(name, text)| Self::parse(name, &format!("scenarios/{name}.toml"), text))
            .map(|scenario| scenario.expect("the built-in scenarios are right"))
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
        let known = built_in.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
        match built_in.iter().position(|scenario| scenario.name == name) {
            Some(at) => Ok(built_in.swap_remove(at)),
            None => Err(ScenarioError::Unknown { name: name.to_owned(), known }),
        }
    }

    /// Parses `text`, which came from `file`.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] says what is wrong, and where.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, ScenarioError> {
        let values = |what| ScenarioError::Values { file: file.to_owned(), what };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(values(format!(
                "'{name}' is no name of a scenario: use letters, digits and dashes"
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

    /// What is to be carried out: the usual way, or the quick one.
    #[must_use]
    pub fn record(&self, quick: bool) -> ScenarioRecord {
        if quick { self.quick.clone() } else { self.full.clone() }
    }
}

impl File {
    fn record(&self, name: &str, quick: &Quick) -> Result<ScenarioRecord, String> {
        let rate = quick.messages_per_second.or(self.messages_per_second);
        let load = match (&self.load, rate) {
            (LoadName::FixedRate, Some(messages_per_second)) => {
                LoadRecord::FixedRate { messages_per_second }
            }
            (LoadName::Saturate, None) => LoadRecord::Saturate,
            (LoadName::FixedRate, None) => {
                return Err("load 'fixed-rate' needs messages_per_second".to_owned());
            }
            (LoadName::Saturate, Some(_)) => {
                return Err("load 'saturate' has no messages_per_second".to_owned());
            }
        };
        let record = ScenarioRecord {
            name: name.to_owned(),
            question: self.question.clone(),
            note: self.note.clone(),
            headline: self.headline,
            load,
            clients: self.clients,
            senders: self.senders,
            stalled_clients: 0,
            visits_per_second: 0.0,
            body_bytes: self.body_bytes.clone(),
            tiny_per_message: 0,
            tiny_bytes: 0,
            warm_up_seconds: quick.warm_up_seconds.unwrap_or(self.warm_up_seconds),
            measure_seconds: quick.measure_seconds.unwrap_or(self.measure_seconds),
            late_after_ms: self.late_after_ms,
            repeats: quick.repeats.unwrap_or(self.repeats),
        };
        check(&record)?;
        Ok(record)
    }
}

/// Refuses a scenario that could not be carried out; says why.
///
/// # Errors
///
/// In one line.
pub fn check(scenario: &ScenarioRecord) -> Result<(), String> {
    const SECONDS_MAX: f64 = 3_600.0;
    for (name, seconds) in [
        ("warm_up_seconds", scenario.warm_up_seconds),
        ("measure_seconds", scenario.measure_seconds),
        ("late_after_ms", scenario.late_after_ms / 1e3),
    ] {
        if !(0.0..=SECONDS_MAX).contains(&seconds) {
            return Err(format!("{name} is out of range: give 0 to {SECONDS_MAX} seconds"));
        }
    }
    if scenario.repeats == 0 {
        return Err("repeats is 0: give 1 or more".to_owned());
    }
    load_plan(scenario, 0).check().map_err(|error: PlanError| error.to_string())
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

/// What the load generator has to do for one trial of `scenario`.
#[must_use]
pub fn load_plan(scenario: &ScenarioRecord, tag: u32) -> Plan {
    Plan {
        wire: WireFormat::Zillions,
        clients: scenario.clients as usize,
        senders: scenario.senders as usize,
        stalled: 0,
        load: match scenario.load {
            LoadRecord::FixedRate { messages_per_second } => {
                Load::FixedRate { messages_per_second }
            }
            // A file cannot ask for the others.
            _ => Load::Saturate,
        },
        body_bytes: scenario.body_bytes.clone(),
        warm_up: Duration::from_secs_f64(scenario.warm_up_seconds),
        measure: Duration::from_secs_f64(scenario.measure_seconds),
        late_after: Duration::from_secs_f64(scenario.late_after_ms / 1e3),
        quiet: QUIET,
        drain_max: DRAIN_MAX,
        ready_max: READY_MAX,
        tag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl Fn(&str) -> String) -> String {
        let (name, text) = BUILT_IN[0];
        Scenario::parse(name, "s.toml", &change(text)).unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_scenarios_are_right_and_two_or_more_run_by_default() {
        let scenarios = Scenario::built_in();
        assert!(scenarios.iter().filter(|scenario| scenario.is_default).count() >= 2);
        for scenario in &scenarios {
            let (full, quick) = (scenario.record(false), scenario.record(true));
            assert!(full.question.ends_with('?'), "{}", full.question);
            assert!(quick.measure_seconds < full.measure_seconds);
            assert_eq!(Scenario::find(&scenario.name).unwrap(), *scenario);
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_file_and_line() {
        let error = error(|text| text.replace("clients = 10", "cleints = 10"));
        assert!(error.starts_with("'s.toml', line "), "{error}");
        assert!(error.contains("unknown field `cleints`"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn an_unknown_key_in_a_table_is_an_error_too() {
        let error = error(|text| text.replace("[quick]", "[quick]\nclients = 3"));
        assert!(error.contains("unknown field `clients`"), "{error}");
    }

    #[test]
    fn values_that_do_not_go_together_are_errors() {
        let rate = error(|text| text.replace("messages_per_second = 1000", ""));
        assert_eq!(rate, "'s.toml': load 'fixed-rate' needs messages_per_second");
        let senders = error(|text| text.replace("senders = 10", "senders = 11"));
        assert!(senders.contains("11 of 10 clients cannot send"), "{senders}");
        let body = error(|text| text.replace("[32, 64, 128]", "[3]"));
        assert!(body.contains("a body of 3 bytes is too short"), "{body}");
        let time = error(|text| text.replace("measure_seconds = 0.3", "measure_seconds = -1.0"));
        assert!(time.contains("measure_seconds is out of range"), "{time}");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_names_there_are() {
        let error = Scenario::find("small-rom").unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no scenario 'small-rom': the scenarios are small-room, one-to-many, \
             many-to-many; or name a .toml file"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Scenario::find("no/such.toml").unwrap_err().to_string();
        assert!(error.starts_with("cannot read 'no/such.toml': "), "{error}");
    }
}
