//! A comparison as Markdown.

use std::fmt::Write;

use zillions_escape::visible_lines;

use crate::compare::{Change, Comparison, Direction, Figure, ScenarioComparison, Status, Verdict};

/// The comparison as Markdown, for a comment on a change. Clear changes come first; everything
/// else is one click away.
#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    let mut text = format!("### {}\n\n{}\n", title(comparison), counts(comparison));
    let clear = |change: &Change| matches!(change.direction, Direction::Worse | Direction::Better);
    if comparison.targets().any(|target| target.changes.iter().any(clear)) {
        text += "\n| scenario | implementation | figure | base | new | change |  |\n";
        text += "| --- | --- | --- | --: | --: | --: | --- |\n";
        for scenario in &comparison.scenarios {
            for target in &scenario.targets {
                for change in target.changes.iter().filter(|change| clear(change)) {
                    let names = format!("{} | {}", escape(&scenario.name), escape(&target.target));
                    let _ = writeln!(text, "| {names} | {} |", cells(change));
                }
            }
        }
    }
    for scenario in &comparison.scenarios {
        for target in scenario.targets.iter().filter(|it| it.status == Status::Broken) {
            let (name, reason) = (escape(&target.target), escape(&target.reason));
            let _ = writeln!(text, "\n**Broken:** {name} in {}: {reason}", escape(&scenario.name));
        }
    }
    if !comparison.notes.is_empty() {
        text += "\nWhat else may matter:\n\n";
        for note in &comparison.notes {
            let _ = writeln!(text, "- {}", escape(note));
        }
    }
    text += "\n<details><summary>All figures</summary>\n";
    for scenario in &comparison.scenarios {
        text += &all_of(scenario);
    }
    text + "\n</details>\n"
}

fn title(comparison: &Comparison) -> &'static str {
    match comparison.verdict {
        Verdict::Regression => "Clearly worse",
        Verdict::NoRegression => "No clear regression",
        Verdict::NothingCompared => "Nothing could be compared",
    }
}

fn counts(comparison: &Comparison) -> String {
    let number = |direction| comparison.number_of(direction);
    format!(
        "{} figures worse, {} better, {} the same, {} unclear; {} servers broken. A change is \
         clear if its whole 95 % interval lies beyond {:.0} % (lost messages: {:.2} percentage \
         points).",
        number(Direction::Worse),
        number(Direction::Better),
        number(Direction::Same),
        number(Direction::Unclear),
        comparison.number_with(Status::Broken),
        comparison.thresholds.ratio * 100.0,
        comparison.thresholds.lost_share * 100.0,
    )
}

fn all_of(scenario: &ScenarioComparison) -> String {
    let mut text = format!("\n**{}**: {}\n", escape(&scenario.name), escape(&scenario.question));
    if !scenario.reason.is_empty() {
        let _ = writeln!(text, "\nNot compared: {}", escape(&scenario.reason));
    }
    if scenario.targets.iter().any(|target| !target.changes.is_empty()) {
        text += "\n| implementation | figure | base | new | change |  |\n";
        text += "| --- | --- | --: | --: | --: | --- |\n";
    }
    for target in &scenario.targets {
        for change in &target.changes {
            let _ = writeln!(text, "| {} | {} |", escape(&target.target), cells(change));
        }
    }
    for target in scenario.targets.iter().filter(|it| it.status == Status::NotCompared) {
        let (name, reason) = (escape(&target.target), escape(&target.reason));
        let _ = writeln!(text, "\n{name} was not compared: {reason}");
    }
    text
}

fn cells(change: &Change) -> String {
    let figure: Figure = change.figure;
    let direction = match change.direction {
        Direction::Worse => "**worse**",
        Direction::Better => "better",
        Direction::Same => "same",
        Direction::Unclear => "unclear",
    };
    format!(
        "{} | {} | {} | {} ({}) | {direction}",
        figure.title(),
        figure.text(&change.base),
        figure.text(&change.new),
        figure.change_text(&change.change),
        figure.interval_text(&change.change),
    )
}

/// Names and reasons come from elsewhere: they must not end a table, or be HTML or markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible_lines(text).chars() {
        match c {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            '\n' => escaped.push(' '),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '!' | '@' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}
