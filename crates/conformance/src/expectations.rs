//! Failures that are known, each with its reason.
//!
//! A known failure does not count against its server. One that passes is an
//! error: the note is out of date, and would hide the next real failure.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One failure that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    /// Id of the case.
    pub case: String,
    /// Why the server does not pass it.
    pub reason: String,
}

/// The known failures of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectations {
    known: Vec<KnownFailure>,
}

/// The form of an expectations file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    known_failure: Vec<KnownFailure>,
}

/// Why expectations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExpectationError {
    /// The file cannot be read.
    #[error("cannot read the expectations '{}': {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system sent.
        source: io::Error,
    },
    /// The file is not in the form of expectations.
    #[error("invalid expectations file '{}': {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// There is no such case.
    #[error("known failure of unknown case '{case}'")]
    UnknownCase {
        /// As given.
        case: String,
    },
    /// A reason is the point of the note.
    #[error("known failure of '{case}': the reason is missing")]
    NoReason {
        /// The case.
        case: String,
    },
    /// A case is named twice.
    #[error("known failure of '{case}': listed twice")]
    Twice {
        /// The case.
        case: String,
    },
}

impl Expectations {
    /// Checks a list of known failures; `ids` are those of all cases.
    ///
    /// # Errors
    /// When one of them names no case or has no reason, or two name the same case.
    pub fn new(known: Vec<KnownFailure>, ids: &[&str]) -> Result<Self, ExpectationError> {
        let mut checked = Self::default();
        for KnownFailure { case, reason } in known {
            if !ids.contains(&case.as_str()) {
                return Err(ExpectationError::UnknownCase { case });
            }
            if reason.trim().is_empty() {
                return Err(ExpectationError::NoReason { case });
            }
            if checked.known.iter().any(|known| known.case == case) {
                return Err(ExpectationError::Twice { case });
            }
            checked.known.push(KnownFailure { case, reason });
        }
        Ok(checked)
    }

    /// Reads a TOML file of `[[known_failure]]` tables with `case` and `reason`; `ids`
    /// are those of all cases.
    ///
    /// # Errors
    /// When it cannot be read or is invalid.
    pub fn read(path: &Path, ids: &[&str]) -> Result<Self, ExpectationError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ExpectationError::Read { path: path.to_owned(), source })?;
        let file: File = toml::from_str(&text).map_err(|error| ExpectationError::Form {
            path: path.to_owned(),
            reason: error.to_string().trim().replace('\n', " "),
        })?;
        Self::new(file.known_failure, ids)
    }

    /// Both lists; where both name a case, `other` counts.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.known.retain(|known| other.known.iter().all(|theirs| theirs.case != known.case));
        self.known.extend(other.known);
        self
    }

    /// Why the case with this id is known to fail, if it is.
    pub fn reason(&self, case_id: &str) -> Option<&str> {
        self.known.iter().find(|known| known.case == case_id).map(|known| known.reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const IDS: [&str; 3] = ["life/idle-cpu", "end/close-after-end", "start/ipv6"];

    fn known(case: &str, reason: &str) -> KnownFailure {
        KnownFailure { case: case.to_owned(), reason: reason.to_owned() }
    }

    #[test]
    fn an_expectation_must_name_a_case_once_and_give_a_reason() {
        for (list, expected) in [
            (vec![known("life/immortal", "x")], "known failure of unknown case 'life/immortal'"),
            (
                vec![known("life/idle-cpu", " ")],
                "known failure of 'life/idle-cpu': the reason is missing",
            ),
            (
                vec![known("life/idle-cpu", "x"), known("life/idle-cpu", "y")],
                "known failure of 'life/idle-cpu': listed twice",
            ),
        ] {
            assert_eq!(Expectations::new(list, &IDS).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn of_two_reasons_for_one_case_the_later_counts() {
        let own =
            vec![known("life/idle-cpu", "it spins"), known("end/close-after-end", "it waits")];
        let theirs = vec![known("life/idle-cpu", "it polls")];
        let both =
            Expectations::new(own, &IDS).unwrap().with(Expectations::new(theirs, &IDS).unwrap());
        assert_eq!(both.reason("life/idle-cpu"), Some("it polls"));
        assert_eq!(both.reason("end/close-after-end"), Some("it waits"));
        assert_eq!(both.reason("start/ipv6"), None);
    }

    #[test]
    fn a_file_of_expectations_is_read_and_its_mistakes_are_one_line() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        writeln!(file, "[[known_failure]]\ncase = 'life/idle-cpu'\nreason = 'it spins'")
            .expect("write");
        let expectations = Expectations::read(file.path(), &IDS).expect("a right file");
        assert_eq!(
            expectations,
            Expectations::new(vec![known("life/idle-cpu", "it spins")], &IDS).expect("right")
        );
        writeln!(file, "because = 'of that'").expect("write");
        let error = Expectations::read(file.path(), &IDS).unwrap_err().to_string();
        assert!(error.contains("because") && !error.contains('\n'), "{error}");
    }
}
