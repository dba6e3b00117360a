//! Made-up runs, merged.

use super::*;
use crate::examples;
use crate::row::Row;

/// The example run as it might have been made on another day.
fn another_day() -> Results {
    let mut results = examples::results();
    results.run.started = "2026-11-23T12:00:00Z".to_owned();
    results
}

fn merged(second: Results) -> Merged {
    merge(vec![("one".to_owned(), examples::results()), ("two".to_owned(), second)]).unwrap()
}

fn row<'a>(analyses: &'a [ScenarioAnalysis<'_>], name: &str) -> &'a Row<'a> {
    analyses[0].rows.iter().find(|row| row.target.name == name).unwrap()
}

#[test]
fn trials_of_one_program_are_pooled_and_still_know_their_run() {
    let merged = merged(another_day());
    let one = examples::results();
    assert_eq!(merged.results.run.targets, one.run.targets);
    assert_eq!(merged.results.trials.len(), 2 * one.trials.len());
    let analyses = merged.analyse();
    let fast = row(&analyses, "fast");
    assert_eq!(fast.trials.len(), 10);
    assert_eq!(fast.rank, Rank::Ranked { tier: 1 });
    let runs: Vec<_> = fast.trials.iter().map(|it| merged.run_of(it.record.order)).collect();
    assert_eq!(runs, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
    let blocks: BTreeSet<_> = fast.trials.iter().map(|trial| trial.record.block).collect();
    assert_eq!(blocks.len(), 10, "a block of one run is none of the other");
}

#[test]
fn a_program_that_changed_is_another_target() {
    let mut second = another_day();
    second.run.targets[0].program_hash = "changed".to_owned();
    let mut first = examples::results();
    first.run.targets[0].program_hash = "before".to_owned();
    let runs = vec![("one".to_owned(), first), ("two".to_owned(), second)];
    let merged = merge(runs).unwrap();
    let names: Vec<_> = merged.results.run.targets.iter().map(|it| it.name.as_str()).collect();
    assert!(names.contains(&"fast") && names.contains(&"fast-run-2"), "{names:?}");
    let analyses = merged.analyse();
    assert_eq!(row(&analyses, "fast").trials.len(), 5);
    assert_eq!(row(&analyses, "fast-run-2").trials.len(), 5);
}

#[test]
fn what_was_not_measured_side_by_side_is_shown_and_not_ranked() {
    let mut second = another_day();
    second.run.targets.truncate(1);
    second.run.targets[0].name = "mine".to_owned();
    second.run.twin = None;
    second.trials.retain(|trial| trial.target == "fast");
    second.trials.iter_mut().for_each(|trial| trial.target = "mine".to_owned());
    let merged = merged(second);
    let analyses = merged.analyse();
    let mine = row(&analyses, "mine");
    assert!(mine.figures.is_some());
    let Rank::Unranked { reason } = &mine.rank else { panic!("it is ranked") };
    assert_eq!(
        reason,
        "measured in run 2, the ranked ones in run 1: only what was measured side by side is ranked"
    );
    assert_eq!(row(&analyses, "fast").rank, Rank::Ranked { tier: 1 });
    assert_eq!(row(&analyses, "slow").rank, Rank::Ranked { tier: 2 });
    let costs = |name| row(&analyses, name).figures.as_ref().unwrap().costs.len();
    assert_eq!((costs("mine"), costs("fast")), (0, 2), "nor is it by what a delivery costs");
}

#[test]
fn a_scenario_that_was_carried_out_differently_is_another_scenario() {
    let mut second = another_day();
    second.run.scenarios[0].clients = 99;
    let merged = merged(second);
    let names: Vec<_> = merged.results.run.scenarios.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["room", "crowd", "room-run-2"]);
    let analyses = merged.analyse();
    let trials = |at: usize| analyses[at].rows.iter().map(|row| row.trials.len()).sum::<usize>();
    assert_eq!((trials(0), trials(1), trials(2)), (20, 40, 20));
}

#[test]
fn three_runs_of_which_two_are_alike_are_two_scenarios() {
    let changed = |started: &str| {
        let mut results = another_day();
        results.run.started = started.to_owned();
        results.run.scenarios[0].clients = 99;
        results
    };
    let runs = vec![
        ("one".to_owned(), examples::results()),
        ("two".to_owned(), changed("2026-11-24T12:00:00Z")),
        ("three".to_owned(), changed("2026-11-25T12:00:00Z")),
    ];
    let merged = merge(runs).unwrap();
    assert_eq!(merged.results.run.scenarios.len(), 3);
    assert_eq!(merged.results.run.scenarios[2].name, "room-run-2");
}

#[test]
fn what_could_not_be_measured_once_is_measured_if_it_was_another_time() {
    let mut second = another_day();
    let absent = second.run.targets.iter_mut().find(|it| it.name == "absent").unwrap();
    absent.status = TargetStatus::Measured;
    let merged = merged(second);
    let absent = merged.results.run.targets.iter().find(|it| it.name == "absent").unwrap();
    assert_eq!(absent.status, TargetStatus::Measured);
}

#[test]
fn machines_are_not_mixed_and_no_run_counts_twice() {
    let with = |second: Results| {
        let runs = vec![("one".to_owned(), examples::results()), ("two".to_owned(), second)];
        merge(runs).unwrap_err().to_string()
    };
    let mut other = another_day();
    other.run.machine.cpus = 8;
    assert!(with(other).starts_with(
        "'two' was measured on another machine than 'one' (2 processors → 8 processors)"
    ));
    assert_eq!(with(examples::results()), "'two' is the same run as 'one': name each run once");
    assert_eq!(merge(Vec::new()).unwrap_err(), MergeError::Nothing);
}
