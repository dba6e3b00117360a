//! What the machine does without a server: the limit that the servers of a scenario are compared
//! with, measured in the same blocks, on the same processors, with the same samples.

use std::ffi::OsString;

use zillions_harness::Launch;
use zillions_load::yardstick::{Pace, receive_only};
use zillions_report::record::{
    LoadRecord, ScenarioRecord, TrialResult, YardstickKind, YardstickRecord,
};

use crate::access::Access;
use crate::pin::Pinning;
use crate::scenario::{load_plan, offered_rate};
use crate::trial::run_load;

/// How the sender of one limit is started.
#[derive(Clone, Debug)]
pub struct Start {
    scenario: String,
    access: Access,
}

/// The arguments of a sender for `scenario`: what it sends, how often, and to how many clients.
/// `None` if the scenario has no limit.
#[must_use]
pub fn arguments(scenario: &ScenarioRecord) -> Option<Vec<OsString>> {
    let kind = YardstickKind::of(scenario)?;
    let bodies: Vec<String> = scenario.body_bytes.iter().map(u8::to_string).collect();
    let mut arguments = vec![
        kind.name().to_owned(),
        format!("--clients={}", scenario.clients),
        format!("--body-bytes={}", bodies.join(",")),
    ];
    if scenario.untimed_per_message > 0 {
        arguments.push(format!("--untimed={}", scenario.untimed_per_message));
        arguments.push(format!("--untimed-bytes={}", scenario.untimed_bytes));
    }
    if let Some(Pace::Rate { messages, per_second }) = pace(scenario) {
        arguments.push(format!("--messages={messages}"));
        arguments.push(format!("--per-second={per_second}"));
    }
    Some(arguments.into_iter().map(Into::into).collect())
}

fn pace(scenario: &ScenarioRecord) -> Option<Pace> {
    match scenario.load {
        LoadRecord::Search { .. } => None,
        _ => Pace::of(&load_plan(scenario, offered_rate(scenario), 0)),
    }
}

/// `program` with the arguments of a sender for `scenario`.
fn launch(program: &Launch, scenario: &ScenarioRecord) -> Option<Launch> {
    let mut launch = program.clone();
    launch.arguments.extend(arguments(scenario)?);
    Some(launch)
}

/// What is recorded of the limits of `scenarios`.
pub(crate) fn records(program: &Launch, scenarios: &[ScenarioRecord]) -> Vec<YardstickRecord> {
    let record = |scenario: &ScenarioRecord| {
        Some(YardstickRecord {
            scenario: scenario.name.clone(),
            kind: YardstickKind::of(scenario)?,
            command: launch(program, scenario)?.command(),
        })
    };
    scenarios.iter().filter_map(record).collect()
}

/// How the recorded limits are started; none without a program.
pub(crate) fn starts(
    program: Option<&Launch>,
    scenarios: &[ScenarioRecord],
    records: &[YardstickRecord],
) -> Vec<Start> {
    let Some(program) = program else { return Vec::new() };
    let is_recorded = |name: &str| records.iter().any(|it| it.scenario == name);
    let start = |scenario: &ScenarioRecord| {
        let launch = launch(program, scenario).filter(|_| is_recorded(&scenario.name))?;
        Some(Start { scenario: scenario.name.clone(), access: Access::Launch(launch) })
    };
    scenarios.iter().filter_map(start).collect()
}

/// Measures the limit of `scenario` once.
pub(crate) fn run(limits: &[Start], scenario: &ScenarioRecord, pinning: &Pinning) -> TrialResult {
    let Some(start) = limits.iter().find(|it| it.scenario == scenario.name) else {
        let reason = format!("the scenario '{}' has no limit", scenario.name);
        return TrialResult::Prevented { reason };
    };
    let plan = load_plan(scenario, offered_rate(scenario), 0);
    run_load(&start.access, pinning, |addresses, observe| {
        receive_only(addresses[0], &plan, observe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn senders_know_what_the_scenario_sends_and_how_often() {
        for (name, expected) in [
            ("one-to-many", "bare-receiver --clients=33 --body-bytes=64"),
            (
                "small-room",
                "send-loop --clients=10 --body-bytes=32,64,128 --messages=1 --per-second=1000",
            ),
            (
                "burst",
                "send-loop --clients=20 --body-bytes=32,64,128 --messages=100 --per-second=5",
            ),
            (
                "tiny-frames",
                "send-loop --clients=10 --body-bytes=18 --untimed=19 --untimed-bytes=1 \
                 --messages=1 --per-second=200",
            ),
        ] {
            let scenario = Scenario::find(name).unwrap().record(false);
            let words = arguments(&scenario).unwrap();
            let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
            assert_eq!(words.join(" "), expected);
        }
        for name in ["capacity", "everyone-at-once", "churn", "slow-reader"] {
            assert_eq!(arguments(&Scenario::find(name).unwrap().record(false)), None, "{name}");
        }
    }
}
