//! The results of a run of the suite, in the form that is written as JSON.
//!
//! `docs/schema/check-2.json` is this form as a JSON Schema; a test keeps it fresh.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::case::Case;
use crate::spec::{self, Obligation};
use crate::verdict::{Excerpt, Level, Outcome, Stop, Verdict};

/// Name and version of the form.
pub const SCHEMA: &str = "zillions.check/2";

/// The JSON Schema of [`CheckReport`], as it is published in `docs/schema/`.
///
/// # Panics
/// If a JSON value cannot be written as text, which does not happen.
pub fn json_schema() -> String {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = Value::from(generator.into_root_schema_for::<CheckReport>());
    serde_json::to_string_pretty(&schema).expect("a JSON value has a text") + "\n"
}

/// The results of `zillions check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "zillions.check/2")]
pub struct CheckReport {
    /// Always `zillions.check/2`.
    pub schema: String,
    /// Version of the tool.
    pub version: String,
    /// The random seed.
    pub seed: u64,
    /// Whether a SHOULD that is not met fails a target.
    pub strict: bool,
    /// One report for each target, in the order given.
    pub targets: Vec<TargetReport>,
}

/// The results of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetReport {
    /// The target's name.
    pub name: String,
    /// Its command line without the address; empty if it ran already.
    pub command: Vec<String>,
    /// Fail if any MUST failed, else error, else inconclusive, else pass.
    pub verdict: Verdict,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// One report for each case, in the order of the suite.
    pub cases: Vec<CaseReport>,
}

/// The result of one case on one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseReport {
    /// The case's id, stable over versions.
    pub id: String,
    /// The clause of the spec that it tests.
    pub clause: String,
    /// How much it weighs.
    pub level: Level,
    /// How it ended.
    pub verdict: Verdict,
    /// A note on the result, in one line; empty if there is none.
    pub detail: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Why it is known to fail; then it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_failure: Option<String>,
    /// The details of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureReport>,
}

/// The details of a failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailureReport {
    /// Id of the broken clause; mostly the case's own.
    pub clause: String,
    /// The sentence of the spec that is broken.
    pub clause_text: String,
    /// What should have happened.
    pub expected: String,
    /// What happened instead.
    pub actual: String,
    /// The connection that saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The last bytes that this connection received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<BytesReport>,
    /// The server's last log lines.
    pub log: Vec<String>,
    /// The command that runs this case alone with the same seed.
    pub rerun: String,
}

/// Part of a received stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BytesReport {
    /// Offset of the first byte in the stream.
    pub offset: u64,
    /// The bytes, hexadecimal.
    pub hex: String,
}

impl BytesReport {
    /// The bytes again, for a dump.
    pub fn excerpt(&self) -> Excerpt {
        let digits: Vec<u8> = self
            .hex
            .bytes()
            .filter_map(|digit| (digit as char).to_digit(16))
            .map(|d| d as u8)
            .collect();
        let bytes = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        Excerpt { offset: self.offset, bytes }
    }
}

impl From<Excerpt> for BytesReport {
    fn from(excerpt: Excerpt) -> Self {
        let hex = excerpt.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { offset: excerpt.offset, hex }
    }
}

impl CheckReport {
    /// The report of a run with these results.
    pub fn new(seed: u64, strict: bool, targets: Vec<TargetReport>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { schema: SCHEMA.to_owned(), version, seed, strict, targets }
    }

    /// The exit code of a run: 0 pass, 1 fail, 2 inconclusive only, 70 when
    /// the harness itself failed, 64 without any target.
    pub fn exit_code(&self) -> u8 {
        exit_code(self.targets.iter().map(|target| target.verdict))
    }
}

/// The exit code for the verdicts of some targets: the gravest counts.
pub fn exit_code(verdicts: impl IntoIterator<Item = Verdict>) -> u8 {
    let verdicts: Vec<Verdict> = verdicts.into_iter().collect();
    let any = |wanted: Verdict| verdicts.contains(&wanted);
    if verdicts.is_empty() {
        64
    } else if any(Verdict::Fail) {
        1
    } else if any(Verdict::Error) {
        70
    } else if any(Verdict::Inconclusive) {
        2
    } else {
        0
    }
}

impl TargetReport {
    /// How many cases ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cases.iter().filter(|case| case.verdict == verdict).count()
    }
}

impl CaseReport {
    /// Whether this result counts against its target, as far as `strict` goes.
    pub fn counts(&self, strict: bool) -> bool {
        match self.verdict {
            Verdict::Fail => self.known_failure.is_none(),
            Verdict::Nonstrict => strict && self.known_failure.is_none(),
            _ => false,
        }
    }
}

/// The verdict on a target with these results.
pub fn target_verdict(cases: &[CaseReport], strict: bool) -> Verdict {
    let any = |wanted: Verdict| cases.iter().any(|case| case.verdict == wanted);
    if cases.iter().any(|case| case.counts(strict)) {
        Verdict::Fail
    } else if any(Verdict::Error) {
        Verdict::Error
    } else if any(Verdict::Inconclusive) || cases.iter().all(|c| c.verdict == Verdict::Skip) {
        // A target of which nothing was tested has not passed either.
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    }
}

/// The report of a case that ended with `outcome`.
pub(crate) fn case_report(
    case: &Case,
    outcome: Outcome,
    seconds: f64,
    known: Option<&str>,
    rerun: String,
) -> CaseReport {
    let mut report = CaseReport {
        id: case.id.to_owned(),
        clause: case.clause.to_owned(),
        level: case.level,
        verdict: Verdict::Pass,
        detail: String::new(),
        seconds,
        known_failure: known.map(str::to_owned),
        failure: None,
    };
    match outcome {
        Ok(note) => {
            report.detail = note;
            report.verdict = passed(case.level);
        }
        Err(Stop::Inconclusive(reason)) => {
            (report.verdict, report.detail) = (Verdict::Inconclusive, reason);
        }
        Err(Stop::Skip(reason)) => (report.verdict, report.detail) = (Verdict::Skip, reason),
        Err(Stop::Error(reason)) => (report.verdict, report.detail) = (Verdict::Error, reason),
        Err(Stop::Fail(failure)) => {
            let clause = failure.clause.and_then(spec::clause).unwrap_or_else(|| case.clause());
            report.verdict = failed(case, failure.clause.is_some(), clause.obligation);
            report.detail = format!("expected {}; {}", failure.expected, failure.actual);
            report.failure = Some(FailureReport {
                clause: clause.id.to_owned(),
                clause_text: clause.text.to_owned(),
                expected: failure.expected,
                actual: failure.actual,
                connection: failure.connection,
                bytes: failure.bytes.map(BytesReport::from),
                log: failure.log,
                rerun,
            });
        }
    }
    if let (Some(reason), Verdict::Pass) = (known, report.verdict) {
        report.verdict = Verdict::Error;
        report.detail =
            format!("passes, but is listed as a known failure ({reason}): remove the entry");
    }
    report
}

fn passed(level: Level) -> Verdict {
    match level {
        Level::Info => Verdict::Info,
        Level::Must | Level::Should => Verdict::Pass,
    }
}

fn failed(case: &Case, another_clause: bool, obligation: Obligation) -> Verdict {
    match (another_clause, obligation, case.level) {
        (true, Obligation::Must, _) | (false, _, Level::Must) => Verdict::Fail,
        (true, Obligation::Should, _) | (false, _, Level::Should) => Verdict::Nonstrict,
        (true, Obligation::May, _) | (false, _, Level::Info) => Verdict::Info,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn case(verdict: Verdict) -> CaseReport {
        CaseReport {
            id: "life/idle-cpu".to_owned(),
            clause: "LIFE-4".to_owned(),
            level: Level::Should,
            verdict,
            detail: String::new(),
            seconds: 0.5,
            known_failure: None,
            failure: None,
        }
    }

    fn target(verdict: Verdict) -> TargetReport {
        let cases = vec![case(verdict)];
        TargetReport { name: "x".to_owned(), command: Vec::new(), verdict, seconds: 0.5, cases }
    }

    fn verdict(verdicts: &[Verdict], strict: bool) -> Verdict {
        let cases: Vec<CaseReport> = verdicts.iter().map(|&verdict| case(verdict)).collect();
        target_verdict(&cases, strict)
    }

    #[test]
    fn the_gravest_case_decides_the_target() {
        use Verdict::{Error, Fail, Inconclusive, Info, Nonstrict, Pass, Skip};
        assert_eq!(verdict(&[Pass, Fail, Error, Inconclusive], false), Fail);
        assert_eq!(verdict(&[Pass, Error, Inconclusive], false), Error);
        assert_eq!(verdict(&[Pass, Inconclusive, Skip], false), Inconclusive);
        assert_eq!(verdict(&[Pass, Info, Skip, Nonstrict], false), Pass);
    }

    #[test]
    fn strict_counts_nonstrict_as_fail_unless_it_is_known() {
        assert_eq!(verdict(&[Verdict::Pass, Verdict::Nonstrict], true), Verdict::Fail);
        let mut known = case(Verdict::Nonstrict);
        known.known_failure = Some("one thread does all".to_owned());
        assert_eq!(target_verdict(&[known], true), Verdict::Pass);
    }

    #[test]
    fn a_target_of_which_nothing_was_tested_has_not_passed() {
        assert_eq!(verdict(&[Verdict::Skip, Verdict::Skip], false), Verdict::Inconclusive);
    }

    #[test]
    fn exit_codes_follow_the_gravest_target() {
        use Verdict::{Error, Fail, Inconclusive, Pass};
        for (verdicts, code) in [
            (vec![], 64),
            (vec![Pass], 0),
            (vec![Pass, Inconclusive], 2),
            (vec![Inconclusive, Error], 70),
            (vec![Error, Fail, Pass], 1),
        ] {
            assert_eq!(exit_code(verdicts.clone()), code, "{verdicts:?}");
            let targets = verdicts.iter().map(|&verdict| target(verdict)).collect();
            assert_eq!(CheckReport::new(1, false, targets).exit_code(), code, "{verdicts:?}");
        }
    }

    fn idle_cpu() -> Case {
        let passes = |_: &mut _| Ok(String::new());
        Case::must("life/idle-cpu", "LIFE-4", "it idles", passes).should()
    }

    fn report_of(outcome: Outcome, known: Option<&str>) -> CaseReport {
        case_report(&idle_cpu(), outcome, 0.1, known, "zillions check x".to_owned())
    }

    #[test]
    fn a_known_failure_that_passes_is_an_error() {
        let report = report_of(Ok(String::new()), Some("it spins"));
        assert_eq!(report.verdict, Verdict::Error);
        assert!(report.detail.contains("remove the entry"), "{}", report.detail);
    }

    #[test]
    fn a_failure_quotes_the_clause_that_is_broken() {
        let report = report_of(Err(Stop::fail("little", "much")), None);
        assert_eq!(report.verdict, Verdict::Nonstrict);
        assert!(report.failure.expect("a failure").clause_text.contains("next to no CPU time"));
        let died = Stop::fail("a server", "none").breaking("LIFE-1");
        let report = report_of(Err(died), None);
        assert_eq!(report.verdict, Verdict::Fail, "a dead server fails even a SHOULD case");
        assert_eq!(report.failure.expect("a failure").clause, "LIFE-1");
    }

    #[test]
    fn bytes_come_back_from_their_digits() {
        let excerpt = Excerpt { offset: 7, bytes: (0..=255).collect() };
        let report = BytesReport::from(excerpt.clone());
        assert!(report.hex.starts_with("000102") && report.hex.ends_with("fdfeff"));
        assert_eq!(report.excerpt(), excerpt);
    }

    #[test]
    fn the_published_schema_is_that_of_the_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/check-2.json");
        if std::env::var_os("ZILLIONS_UPDATE").is_some() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("make the folder");
            fs::write(&path, json_schema()).expect("write the schema");
        }
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == json_schema(),
            "docs/schema/check-2.json is out of date: \
             run ZILLIONS_UPDATE=1 cargo test -p zillions-conformance --lib"
        );
    }
}
