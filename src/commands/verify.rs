//! `zillions verify`: judges recorded histories again.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use zillions_ordering::{Counterexample, History, Rule, account, check, load};

use crate::failure::{Failure, Outcome};
use crate::options::Format;
use crate::output::{self, BAD, FAINT, GOOD, HEADING, paint};

/// Judge recorded histories: integrity, FIFO, total and causal order.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    zillions check ./server --save-history histories && zillions verify histories/*\n  \
    zillions verify crates/ordering/tests/histories/bad-total/*.history\n\n\
    Exit codes: 0 every history keeps every rule, 1 one does not, 64 a file is not a history,\n\
    70 the checker itself failed.")]
pub struct Arguments {
    /// History files, such as 'zillions check --save-history' writes.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// `zillions.verify/1`.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    histories: Vec<Judged>,
}

#[derive(Debug, Serialize)]
struct Judged {
    file: PathBuf,
    verdict: &'static str,
    connections: usize,
    messages: u64,
    deliveries: u64,
    dropped: u64,
    interleaved: bool,
    rules: Vec<JudgedRule>,
}

#[derive(Debug, Serialize)]
struct JudgedRule {
    clause: &'static str,
    rule: &'static str,
    holds: bool,
    explanation: Option<String>,
    counterexample: Option<Counterexample>,
}

/// Judges the files.
///
/// # Errors
/// When a file is not a history, or breaks a rule.
pub fn run(arguments: &Arguments) -> Outcome {
    let histories =
        arguments.files.iter().map(|file| judge(file)).collect::<Result<Vec<_>, _>>()?;
    let broken = histories.iter().filter(|judged| judged.verdict == "fail").count();
    match arguments.format {
        Format::Human => output::print(&histories.iter().map(human).collect::<String>())?,
        Format::Json => {
            output::print_json(&Report { schema: "zillions.verify/1", histories })?;
        }
    }
    match broken {
        0 => Ok(()),
        _ => Err(Failure::fail(format!(
            "{broken} of {} histories break a rule",
            arguments.files.len()
        ))),
    }
}

fn judge(path: &Path) -> Result<Judged, Failure> {
    let file = File::open(path).map_err(|error| {
        Failure::usage(format!("cannot read the history '{}': {error}", path.display()))
    })?;
    let history: History = load(file)
        .map_err(|error| Failure::usage(format!("cannot load '{}': {error}", path.display())))?;
    let verdicts = check(&history)
        .confirmed(&history)
        .map_err(|error| Failure::harness(format!("'{}': {error}", path.display())))?;
    let account = account(&history);
    let rules: Vec<JudgedRule> = Rule::ALL
        .into_iter()
        .map(|rule| {
            let broken = verdicts.of(rule).as_ref().err();
            JudgedRule {
                clause: rule.clause(),
                rule: rule.name(),
                holds: broken.is_none(),
                explanation: broken.map(ToString::to_string),
                counterexample: broken.cloned(),
            }
        })
        .collect();
    Ok(Judged {
        file: path.to_owned(),
        verdict: if verdicts.all_kept() { "pass" } else { "fail" },
        connections: history.connections(),
        messages: history.messages(),
        deliveries: history.deliveries(),
        dropped: account.totals().dropped,
        interleaved: account.interleaved(),
        rules,
    })
}

fn human(judged: &Judged) -> String {
    let mut text = format!(
        "{}\n  {} connections, {} messages, {} deliveries, {} dropped{}\n",
        paint(HEADING, judged.file.display()),
        judged.connections,
        judged.messages,
        judged.deliveries,
        judged.dropped,
        if judged.interleaved { "" } else { "; no two senders interleaved" },
    );
    for rule in &judged.rules {
        let word = if rule.holds { paint(GOOD, "holds ") } else { paint(BAD, "broken") };
        text += &format!("  {word} {} {}\n", rule.clause, paint(FAINT, rule.rule));
    }
    // What breaks one rule breaks the next ones too: the first proof is enough.
    if let Some(explanation) = judged.rules.iter().find_map(|rule| rule.explanation.as_ref()) {
        text += &explanation.lines().map(|line| format!("    {line}\n")).collect::<String>();
    }
    text
}
