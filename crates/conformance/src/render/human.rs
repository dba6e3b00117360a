//! Results for people: groups, then failures in full, then one line that sums up.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};

use zillions_escape::{visible, visible_lines};

use crate::report::{CaseReport, CheckReport, FailureReport, TargetReport};
use crate::verdict::Verdict;

/// How much colour and detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether escape codes for colours are written.
    pub colours: bool,
    /// Whether cases that passed are listed one by one, too.
    pub every_case: bool,
}

/// The whole report.
pub fn render(report: &CheckReport, look: Look) -> String {
    let mut text = String::new();
    for target in &report.targets {
        // Writing to a String does not fail.
        let _ = write_target(&mut text, target, report.strict, look);
    }
    if report.targets.len() > 1 {
        let _ = write_overview(&mut text, report, look);
    }
    text
}

fn write_target(text: &mut String, target: &TargetReport, strict: bool, look: Look) -> fmt::Result {
    writeln!(text, "{}", paint(look, Style::new().bold(), &visible(&target.name)))?;
    for group in groups(&target.cases) {
        write_group(text, group, look)?;
    }
    for case in &target.cases {
        if let Some(failure) = &case.failure {
            writeln!(text)?;
            write_failure(text, case, failure, look)?;
        }
    }
    writeln!(text)?;
    writeln!(text, "{}", summary(target, strict, look))
}

/// Runs of cases with the same group.
fn groups(cases: &[CaseReport]) -> impl Iterator<Item = &[CaseReport]> {
    cases.chunk_by(|a, b| group(a) == group(b))
}

fn group(case: &CaseReport) -> &str {
    case.id.split('/').next().unwrap_or(&case.id)
}

fn write_group(text: &mut String, cases: &[CaseReport], look: Look) -> fmt::Result {
    let Some(first) = cases.first() else { return Ok(()) };
    let passed = cases.iter().filter(|case| is_quiet(case)).count();
    let seconds: f64 = cases.iter().map(|case| case.seconds).sum();
    writeln!(text, "  {:<8} {passed}/{} passed  {seconds:.1} s", group(first), cases.len())?;
    for case in cases {
        if look.every_case || !is_quiet(case) {
            writeln!(text, "    {}", case_line(case, look))?;
        }
    }
    Ok(())
}

fn is_quiet(case: &CaseReport) -> bool {
    matches!(case.verdict, Verdict::Pass | Verdict::Info)
}

/// One line for one case, also for a live display.
pub fn case_line(case: &CaseReport, look: Look) -> String {
    let verdict = paint(look, style(case.verdict), &format!("{:<12}", case.verdict.as_str()));
    let head = format!("{verdict} {:<28} {:<8} {:>5.2} s", case.id, case.clause, case.seconds);
    match (&case.known_failure, &case.failure) {
        (Some(reason), Some(_)) => format!("{head}  known: {}", visible(reason)),
        // The failure itself follows at the end, in full.
        (None, Some(_)) => head,
        _ if case.detail.is_empty() => head,
        _ => format!("{head}  {}", visible(&case.detail)),
    }
}

fn write_failure(
    text: &mut String,
    case: &CaseReport,
    failure: &FailureReport,
    look: Look,
) -> fmt::Result {
    let verdict = paint(look, style(case.verdict), case.verdict.as_str());
    writeln!(text, "{verdict} {}", paint(look, Style::new().bold(), &case.id))?;
    for line in failure_lines(failure) {
        writeln!(text, "  {line}")?;
    }
    Ok(())
}

/// The details of a failure, without colours.
pub fn failure_lines(failure: &FailureReport) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", failure.clause, failure.clause_text)];
    push_field(&mut lines, "expected", &failure.expected);
    push_field(&mut lines, "actual", &failure.actual);
    if let Some(connection) = &failure.connection {
        push_field(&mut lines, "connection", connection);
    }
    if let Some(bytes) = &failure.bytes {
        lines.push("received last (offset, bytes):".to_owned());
        lines.extend(bytes.excerpt().rows().into_iter().map(|row| format!("  {row}")));
    }
    if !failure.log.is_empty() {
        lines.push("the server's log:".to_owned());
        lines.extend(failure.log.iter().map(|line| format!("  | {}", visible(line))));
    }
    push_field(&mut lines, "rerun", &failure.rerun);
    lines
}

/// A label and a text that may have several lines.
fn push_field(lines: &mut Vec<String>, label: &str, value: &str) {
    let value = visible_lines(value);
    let mut parts = value.lines();
    lines.push(format!("{label:<11} {}", parts.next().unwrap_or_default()));
    lines.extend(parts.map(|part| format!("{:<11} {part}", "")));
}

fn summary(target: &TargetReport, strict: bool, look: Look) -> String {
    let mut counts = Vec::new();
    for (verdict, word) in [
        (Verdict::Pass, "passed"),
        (Verdict::Fail, "failed"),
        (Verdict::Nonstrict, "nonstrict"),
        (Verdict::Info, "info"),
        (Verdict::Inconclusive, "inconclusive"),
        (Verdict::Skip, "skipped"),
        (Verdict::Error, "errors"),
    ] {
        let count = target.count(verdict);
        if count > 0 {
            counts.push(format!("{count} {word}"));
        }
    }
    let verdict = paint(look, style(target.verdict).bold(), target.verdict.as_str());
    let strict = if strict { ", strict" } else { "" };
    format!(
        "{}: {verdict} ({}{strict}) in {:.1} s",
        visible(&target.name),
        counts.join(", "),
        target.seconds
    )
}

fn write_overview(text: &mut String, report: &CheckReport, look: Look) -> fmt::Result {
    writeln!(text)?;
    for target in &report.targets {
        writeln!(text, "{}", summary(target, report.strict, look))?;
    }
    Ok(())
}

fn style(verdict: Verdict) -> Style {
    let colour = match verdict {
        Verdict::Pass => AnsiColor::Green,
        Verdict::Fail | Verdict::Error => AnsiColor::Red,
        Verdict::Nonstrict | Verdict::Inconclusive => AnsiColor::Yellow,
        Verdict::Info => AnsiColor::Cyan,
        Verdict::Skip => AnsiColor::Blue,
    };
    colour.on_default()
}

fn paint(look: Look, style: Style, text: &str) -> String {
    if look.colours { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::BytesReport;
    use crate::verdict::Level;

    const PLAIN: Look = Look { colours: false, every_case: false };

    fn case(id: &str, clause: &str, verdict: Verdict, detail: &str) -> CaseReport {
        CaseReport {
            id: id.to_owned(),
            clause: clause.to_owned(),
            level: Level::Must,
            verdict,
            detail: detail.to_owned(),
            seconds: 0.25,
            known_failure: None,
            failure: None,
        }
    }

    fn failure() -> FailureReport {
        FailureReport {
            clause: "LIFE-4".to_owned(),
            clause_text: "Idle costs nothing.".to_owned(),
            expected: "next to no CPU time".to_owned(),
            actual: "all of it,\nall the time".to_owned(),
            connection: Some("#1".to_owned()),
            bytes: Some(BytesReport { offset: 16, hex: "0568656c6c6f".to_owned() }),
            log: vec!["spinning".to_owned()],
            rerun: "zillions check spin --case life/idle-cpu".to_owned(),
        }
    }

    fn report(cases: Vec<CaseReport>) -> CheckReport {
        let (name, verdict) = ("spin".to_owned(), Verdict::Fail);
        let target = TargetReport { name, command: Vec::new(), verdict, seconds: 1.5, cases };
        CheckReport::new(7, true, vec![target])
    }

    #[test]
    fn groups_come_first_then_failures_in_full_then_the_sum() {
        let failing = CaseReport {
            failure: Some(failure()),
            ..case("life/idle-cpu", "LIFE-4", Verdict::Fail, "it spins")
        };
        let known = CaseReport {
            known_failure: Some("ever since".to_owned()),
            failure: None,
            ..case("life/sigterm", "LIFE-1", Verdict::Skip, "no such signal")
        };
        let cases = vec![
            case("start/ipv6", "START-8", Verdict::Pass, ""),
            case("start/says-why", "START-7", Verdict::Info, "it says why"),
            failing,
            known,
        ];
        let expected = "\
spin
  start    2/2 passed  0.5 s
  life     0/2 passed  0.5 s
    fail         life/idle-cpu                LIFE-4    0.25 s
    skip         life/sigterm                 LIFE-1    0.25 s  no such signal

fail life/idle-cpu
  LIFE-4: Idle costs nothing.
  expected    next to no CPU time
  actual      all of it,
              all the time
  connection  #1
  received last (offset, bytes):
          16  05 68 65 6c 6c 6f                                .hello
  the server's log:
    | spinning
  rerun       zillions check spin --case life/idle-cpu

spin: fail (1 passed, 1 failed, 1 info, 1 skipped, strict) in 1.5 s
";
        assert_eq!(render(&report(cases), PLAIN), expected);
    }

    #[test]
    fn a_known_failure_tells_its_reason_and_a_failure_without_a_log_shows_none() {
        let failing = CaseReport {
            known_failure: Some("ever since".to_owned()),
            failure: Some(FailureReport {
                log: Vec::new(),
                connection: None,
                bytes: None,
                ..failure()
            }),
            ..case("life/idle-cpu", "LIFE-4", Verdict::Fail, "")
        };
        let line = case_line(&failing, PLAIN);
        assert!(line.ends_with("0.25 s  known: ever since"), "{line}");
        let lines = failure_lines(failing.failure.as_ref().expect("it failed"));
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[4], "rerun       zillions check spin --case life/idle-cpu");
    }

    #[test]
    fn every_case_is_listed_where_that_is_asked_for_and_colours_where_they_may_be() {
        let cases = || vec![case("start/ipv6", "START-8", Verdict::Pass, "")];
        assert!(!render(&report(cases()), PLAIN).contains("start/ipv6"));
        let look = Look { every_case: true, ..PLAIN };
        let listed = render(&report(cases()), look);
        let line = "    pass         start/ipv6                   START-8   0.25 s\n";
        assert!(listed.contains(line), "{listed}");
        let coloured = render(&report(cases()), Look { colours: true, ..look });
        assert!(coloured.contains("\u{1b}[32mpass"), "{coloured:?}");
    }

    #[test]
    fn of_several_targets_there_is_an_overview() {
        let mut two = report(vec![case("start/ipv6", "START-8", Verdict::Pass, "")]);
        let sum = "spin: fail (1 passed, strict) in 1.5 s\n";
        assert_eq!(render(&two, PLAIN).matches(sum).count(), 1);
        two.targets.push(two.targets[0].clone());
        assert_eq!(render(&two, PLAIN).matches(sum).count(), 4);
        assert!(render(&two, PLAIN).ends_with(&format!("\n\n{sum}{sum}")));
    }
}
