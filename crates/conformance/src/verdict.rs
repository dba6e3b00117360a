//! What a case can end with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a case weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Tests a MUST clause: not met is a failure.
    Must,
    /// Tests a SHOULD clause: not met is nonstrict.
    Should,
    /// Only reports what the server does.
    Info,
}

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The clause was tested and holds.
    Pass,
    /// A MUST clause does not hold.
    Fail,
    /// A SHOULD clause does not hold.
    Nonstrict,
    /// Nothing to hold: what was seen is reported.
    Info,
    /// The run never produced the condition that the case tests.
    Inconclusive,
    /// Cannot be run here; the reason is given.
    Skip,
    /// The tool itself failed, or an expectation is out of date.
    Error,
}

impl Level {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::Info => "info",
        }
    }
}

impl Verdict {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Nonstrict => "nonstrict",
            Self::Info => "info",
            Self::Inconclusive => "inconclusive",
            Self::Skip => "skip",
            Self::Error => "error",
        }
    }
}

/// The note of a case that ran to its end; often empty.
pub type Note = String;

/// What the function of a case returns.
pub type Outcome = Result<Note, Stop>;

/// Why a case did not run to its end.
#[derive(Debug)]
pub enum Stop {
    /// The server did what the clause forbids.
    Fail(Box<Failure>),
    /// The condition under test never came about.
    Inconclusive(String),
    /// Cannot be run here.
    Skip(String),
    /// The tool itself failed.
    Error(String),
}

/// What a failing case knows, for finding the bug.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// What should have happened.
    pub expected: String,
    /// What happened instead.
    pub actual: String,
    /// The clause that is broken, where it is not the one that the case tests:
    /// a server that dies breaks LIFE-1 whatever was being tested.
    pub clause: Option<&'static str>,
    /// The connection that saw it, for example `#3 (stalled reader)`.
    pub connection: Option<String>,
    /// The bytes around the place, and their offset in the stream.
    pub bytes: Option<Excerpt>,
    /// The server's last log lines.
    pub log: Vec<String>,
}

/// Part of the byte stream that a connection received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// Offset of the first byte in the stream.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Stop {
    /// A failure: `expected` should have happened, `actual` did.
    pub fn fail(expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Self::Fail(Box::new(Failure {
            expected: expected.into(),
            actual: actual.into(),
            ..Failure::default()
        }))
    }

    /// Inconclusive, because a busy machine gave the server no processor for long; `state` is
    /// how it was left.
    pub fn starved(state: &str) -> Self {
        Self::Inconclusive(format!(
            "{state}, but this machine is so busy that it had hardly a processor: run it when the \
             machine is less busy"
        ))
    }

    /// The same failure, counted against another clause than the case's.
    pub(crate) fn breaking(mut self, clause: &'static str) -> Self {
        if let Self::Fail(failure) = &mut self {
            failure.clause = Some(clause);
        }
        self
    }

    /// The same failure, counted against the case's own clause.
    pub(crate) fn breaking_its_own(mut self) -> Self {
        if let Self::Fail(failure) = &mut self {
            failure.clause = None;
        }
        self
    }
}

/// Turns an error of the operating system that the server did not cause into
/// a harness error that says what was tried.
pub(crate) fn harness(what: &str) -> impl FnOnce(std::io::Error) -> Stop {
    let what = what.to_owned();
    move |error| Stop::Error(format!("{what}: {error}"))
}

impl Excerpt {
    /// Rows of sixteen bytes: offset, hexadecimal, printable characters.
    pub fn rows(&self) -> Vec<String> {
        const ROW_BYTES: usize = 16;
        self.bytes
            .chunks(ROW_BYTES)
            .enumerate()
            .map(|(row, bytes)| {
                let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let text: String = bytes
                    .iter()
                    .map(|&byte| if (0x20..0x7f).contains(&byte) { byte as char } else { '.' })
                    .collect();
                let offset = self.offset + (row * ROW_BYTES) as u64;
                format!("{offset:>8}  {:<47}  {text}", hex.join(" "))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_offsets_hexadecimal_and_text() {
        let excerpt = Excerpt { offset: 32, bytes: b"\x05hello\x00\xff0123456789".to_vec() };
        let rows = excerpt.rows();
        assert_eq!(
            rows[0],
            "      32  05 68 65 6c 6c 6f 00 ff 30 31 32 33 34 35 36 37  .hello..01234567"
        );
        assert!(rows[1].starts_with("      48  38 39 "), "{}", rows[1]);
    }

    #[test]
    fn the_words_of_reports_are_those_of_json() {
        for level in [Level::Must, Level::Should, Level::Info] {
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
        for verdict in [
            Verdict::Pass,
            Verdict::Fail,
            Verdict::Nonstrict,
            Verdict::Info,
            Verdict::Inconclusive,
            Verdict::Skip,
            Verdict::Error,
        ] {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
        }
    }

    #[test]
    fn a_failure_can_count_against_another_clause_and_back() {
        let clause = |stop: Stop| match stop {
            Stop::Fail(failure) => {
                assert_eq!((&*failure.expected, &*failure.actual), ("a server", "none"));
                failure.clause
            }
            other => panic!("no failure any more: {other:?}"),
        };
        let stop = || Stop::fail("a server", "none").breaking("LIFE-1");
        assert_eq!(clause(stop()), Some("LIFE-1"));
        assert_eq!(clause(stop().breaking_its_own()), None);
    }

    #[test]
    fn an_error_of_the_system_is_the_harnesss_and_says_what_was_tried() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        match harness("connecting")(refused) {
            Stop::Error(told) => assert_eq!(told, "connecting: connection refused"),
            other => panic!("{other:?}"),
        }
    }
}
