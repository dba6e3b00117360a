//! JUnit XML, for build servers.
//!
//! A failure is a failure, an error of the harness is an error, and what was
//! skipped, was inconclusive or is a known failure is skipped, with the reason.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use zillions_escape::{visible, visible_lines};

use crate::report::{CaseReport, CheckReport, TargetReport};
use crate::verdict::Verdict;

/// The report as JUnit XML.
///
/// # Errors
/// When the XML cannot be written, which does not happen with text in memory.
pub fn render(report: &CheckReport) -> Result<String, quick_junit::SerializeError> {
    let mut junit = Report::new("zillions check");
    for target in &report.targets {
        junit.add_test_suite(suite(target, report.strict));
    }
    junit.to_string().map(without_skipped_at_root)
}

/// Jenkins' schema knows a number of skipped tests for a suite, and none for
/// all suites together.
fn without_skipped_at_root(text: String) -> String {
    let tag = "<testsuites ";
    let root = text.find(tag).and_then(|start| Some(start..start + text[start..].find('>')?));
    let skipped = root.and_then(|root| {
        let start = root.start + text[root.clone()].find(" skipped=\"")?;
        let value = start + " skipped=\"".len();
        Some(start..value + text[value..root.end].find('"')? + 1)
    });
    match skipped {
        Some(skipped) => [&text[..skipped.start], &text[skipped.end..]].concat(),
        None => text,
    }
}

fn suite(target: &TargetReport, strict: bool) -> TestSuite {
    let mut suite = TestSuite::new(visible(&target.name));
    suite.set_time(Duration::from_secs_f64(target.seconds));
    for case in &target.cases {
        let mut test = TestCase::new(case.id.as_str(), status(case, strict));
        test.set_classname(format!("{}.{}", visible(&target.name), case.clause));
        test.set_time(Duration::from_secs_f64(case.seconds));
        suite.add_test_case(test);
    }
    suite
}

fn status(case: &CaseReport, strict: bool) -> TestCaseStatus {
    let mut status = match case.verdict {
        _ if case.counts(strict) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::Pass | Verdict::Info => TestCaseStatus::success(),
        Verdict::Nonstrict if case.known_failure.is_none() => TestCaseStatus::success(),
        Verdict::Fail | Verdict::Nonstrict | Verdict::Inconclusive | Verdict::Skip => {
            TestCaseStatus::skipped()
        }
    };
    if !matches!(status, TestCaseStatus::Success { .. }) {
        let reason = case.known_failure.as_deref().unwrap_or(&case.detail);
        status.set_message(format!("{}: {}", case.verdict.as_str(), visible_lines(reason)));
        status.set_type(case.clause.as_str());
        if let Some(failure) = &case.failure {
            status.set_description(super::human::failure_lines(failure).join("\n"));
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::FailureReport;
    use crate::verdict::Level;

    fn case(verdict: Verdict, known_failure: Option<&str>) -> CaseReport {
        CaseReport {
            id: format!("group/{}", verdict.as_str()),
            clause: "LIFE-4".to_owned(),
            level: Level::Should,
            verdict,
            detail: "it spins".to_owned(),
            seconds: 0.25,
            known_failure: known_failure.map(str::to_owned),
            failure: None,
        }
    }

    /// What `render` says inside the element of each case: what it ended with and why.
    fn endings(strict: bool, cases: Vec<CaseReport>) -> Vec<String> {
        let target = TargetReport {
            name: "spin".to_owned(),
            command: Vec::new(),
            verdict: Verdict::Fail,
            seconds: 1.5,
            cases,
        };
        let text = render(&CheckReport::new(7, strict, vec![target])).expect("text in memory");
        assert!(text.contains("<testsuite name=\"spin\" "), "{text}");
        let elements = text.split("<testcase ").skip(1);
        elements
            .map(|element| {
                let (head, inside) = element.split_once('>').expect("a whole element");
                assert!(head.contains("classname=\"spin.LIFE-4\" time=\"0.250\""), "{head}");
                inside.split_once("</testcase>").map_or("", |(inside, _)| inside).trim().to_owned()
            })
            .collect()
    }

    #[test]
    fn each_verdict_has_its_own_end() {
        let told = |kind: &str, verdict: &str, why: &str| {
            format!("<{kind} message=\"{verdict}: {why}\" type=\"LIFE-4\"/>")
        };
        let all = || {
            let unknown = [
                Verdict::Pass,
                Verdict::Info,
                Verdict::Nonstrict,
                Verdict::Fail,
                Verdict::Error,
                Verdict::Inconclusive,
                Verdict::Skip,
            ];
            let known = [Verdict::Nonstrict, Verdict::Fail];
            let unknown = unknown.map(|verdict| case(verdict, None));
            unknown
                .into_iter()
                .chain(known.map(|verdict| case(verdict, Some("ever since"))))
                .collect()
        };
        let mut expected = [
            String::new(),
            String::new(),
            String::new(),
            told("failure", "fail", "it spins"),
            told("error", "error", "it spins"),
            told("skipped", "inconclusive", "it spins"),
            told("skipped", "skip", "it spins"),
            told("skipped", "nonstrict", "ever since"),
            told("skipped", "fail", "ever since"),
        ];
        assert_eq!(endings(false, all()), expected);
        expected[2] = told("failure", "nonstrict", "it spins");
        assert_eq!(endings(true, all()), expected);
    }

    #[test]
    fn whatever_a_server_writes_it_stays_xml() {
        let all: String = (1..=char::MAX as u32).filter_map(char::from_u32).collect();
        let failing = CaseReport {
            detail: all.clone(),
            failure: Some(FailureReport {
                clause: "LIFE-4".to_owned(),
                clause_text: "Idle costs nothing.".to_owned(),
                expected: all.clone(),
                actual: all.clone(),
                connection: Some(all.clone()),
                bytes: None,
                log: vec![all.clone()],
                rerun: all.clone(),
            }),
            ..case(Verdict::Fail, None)
        };
        let target = TargetReport {
            name: all,
            command: Vec::new(),
            verdict: Verdict::Fail,
            seconds: 1.5,
            cases: vec![failing],
        };
        let text = render(&CheckReport::new(7, false, vec![target])).expect("text in memory");
        // The production Char of XML 1.0.
        let is_char = |c| matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        assert_eq!(text.chars().find(|&c| !is_char(c)), None);
        assert_eq!(text.matches("\\u{fffe}").count(), 8, "each of them is shown");
    }

    #[test]
    fn the_root_tells_no_number_of_skipped_tests_and_suites_do() {
        let mut junit = Report::new("a name with skipped=\"1\"");
        let mut suite = TestSuite::new("suite");
        suite.add_test_case(TestCase::new("case", TestCaseStatus::skipped()));
        junit.add_test_suite(suite);
        let text = without_skipped_at_root(junit.to_string().expect("text in memory"));
        let (root, suite) = text.split_once("<testsuite ").expect("a suite");
        assert!(!root.contains(" skipped=\""), "{root}");
        assert!(root.contains("\" tests=\"1\" failures=\"0\" errors=\"0\">"), "{root}");
        assert!(suite.contains(" skipped=\"1\""), "{suite}");
    }
}
