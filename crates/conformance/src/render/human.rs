//! Results for people: groups, then failures in full, then one line that sums up.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};

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
    writeln!(text, "{}", paint(look, Style::new().bold(), &target.name))?;
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
        (Some(reason), Some(_)) => format!("{head}  known: {reason}"),
        // The failure itself follows at the end, in full.
        (None, Some(_)) => head,
        _ if case.detail.is_empty() => head,
        _ => format!("{head}  {}", case.detail),
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

/// All there is to know about a failure, without colours.
pub fn failure_lines(failure: &FailureReport) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", failure.clause, failure.clause_text)];
    push_field(&mut lines, "expected", &failure.expected);
    push_field(&mut lines, "came", &failure.came);
    if let Some(connection) = &failure.connection {
        push_field(&mut lines, "connection", connection);
    }
    if let Some(bytes) = &failure.bytes {
        lines.push("received last (offset, bytes):".to_owned());
        lines.extend(bytes.excerpt().rows().into_iter().map(|row| format!("  {row}")));
    }
    if !failure.log.is_empty() {
        lines.push("the server's log:".to_owned());
        lines.extend(failure.log.iter().map(|line| format!("  | {line}")));
    }
    push_field(&mut lines, "again", &failure.rerun);
    lines
}

/// A label and a text that may have several lines.
fn push_field(lines: &mut Vec<String>, label: &str, value: &str) {
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
    format!("{}: {verdict} ({}{strict}) in {:.1} s", target.name, counts.join(", "), target.seconds)
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
