//! Made-up runs, compared.

use proptest::prelude::*;

use super::*;
use crate::examples;
use crate::markdown::markdown;
use crate::record::{Measurement, Role, TrialResult};

/// The example run, with every trial of `target` changed.
fn run_with(target: &str, change: impl Fn(&mut Measurement)) -> Results {
    let mut results = examples::results();
    for trial in results.trials.iter_mut().filter(|trial| trial.target == target) {
        if let TrialResult::Measured(figures) = &mut trial.result {
            change(figures);
        }
    }
    results
}

fn compared(base: &Results, new: &Results) -> Comparison {
    compare(base, new, Thresholds::default()).unwrap()
}

fn target<'a>(comparison: &'a Comparison, scenario: &str, name: &str) -> &'a TargetComparison {
    let scenario = comparison.scenarios.iter().find(|it| it.name == scenario).unwrap();
    scenario.targets.iter().find(|it| it.target == name).unwrap()
}

fn change(comparison: &Comparison, scenario: &str, name: &str, figure: Figure) -> Change {
    let changes = &target(comparison, scenario, name).changes;
    changes.iter().find(|it| it.figure == figure).unwrap().clone()
}

#[test]
fn a_run_is_the_same_as_itself() {
    let run = examples::results();
    let comparison = compared(&run, &run);
    assert_eq!(comparison.verdict, Verdict::NoRegression);
    assert_eq!(comparison.number_of(Direction::Worse), 0);
    assert_eq!(comparison.number_of(Direction::Better), 0);
    assert!(comparison.number_of(Direction::Same) >= 24, "three targets in two scenarios");
    assert_eq!(comparison.notes, Vec::<String>::new());
}

#[test]
fn what_takes_twice_the_processor_time_is_worse_and_the_other_way_round_better() {
    let (base, new) = (
        examples::results(),
        run_with("fast", |figures| figures.server.as_mut().unwrap().cpu_seconds *= 2.0),
    );
    let comparison = compared(&base, &new);
    assert_eq!(comparison.verdict, Verdict::Regression);
    let worse = change(&comparison, "room", "fast", Figure::CpuPerDeliveryNs);
    assert_eq!(worse.direction, Direction::Worse);
    assert!((worse.change.median - 2.0).abs() < 0.01, "{worse:?}");
    assert_eq!(comparison.number_of(Direction::Worse), 2, "one in each scenario, nothing else");
    let back = compared(&new, &base);
    assert_eq!(back.verdict, Verdict::NoRegression);
    assert_eq!(back.number_of(Direction::Better), 2);
}

#[test]
fn fewer_deliveries_are_worse_where_the_load_saturates_and_no_figure_at_a_fixed_rate() {
    let new = run_with("fast", |figures| figures.deliveries_arrived /= 2);
    let comparison = compared(&examples::results(), &new);
    let throughput = change(&comparison, "crowd", "fast", Figure::DeliveriesPerSecond);
    assert_eq!(throughput.direction, Direction::Worse);
    let has = |scenario, figure| {
        target(&comparison, scenario, "fast").changes.iter().any(|it| it.figure == figure)
    };
    assert!(!has("room", Figure::DeliveriesPerSecond) && has("room", Figure::LatencyP99Ns));
    assert!(!has("crowd", Figure::LatencyP99Ns));
}

#[test]
fn a_change_that_the_trials_do_not_show_clearly_is_no_regression() {
    // Every other trial takes longer: the medians differ, the intervals do not exclude it.
    let mut new = examples::results();
    for trial in new.trials.iter_mut().filter(|it| it.target == "slow" && it.block % 2 == 0) {
        if let TrialResult::Measured(figures) = &mut trial.result {
            figures.server.as_mut().unwrap().cpu_seconds *= 1.5;
        }
    }
    let comparison = compared(&examples::results(), &new);
    let cpu = change(&comparison, "room", "slow", Figure::CpuPerDeliveryNs);
    assert!(cpu.change.median > 1.4, "{cpu:?}");
    assert_eq!(cpu.direction, Direction::Unclear);
    assert_eq!(comparison.verdict, Verdict::NoRegression);
}

#[test]
fn a_change_below_the_threshold_is_none_and_the_threshold_can_be_moved() {
    let new = run_with("slow", |figures| figures.server.as_mut().unwrap().cpu_seconds *= 1.05);
    let base = examples::results();
    let of = |ratio| {
        compare(&base, &new, Thresholds { ratio, ..Thresholds::default() }).unwrap().verdict
    };
    assert_eq!(of(0.10), Verdict::NoRegression);
    assert_eq!(of(0.02), Verdict::Regression);
}

#[test]
fn a_change_that_noise_alone_could_make_is_none() {
    let slower = |results: &mut Results, target: &str, role: Option<Role>| {
        for trial in &mut results.trials {
            if trial.target == target && role.is_none_or(|role| trial.role == role) {
                trial.result = TrialResult::Measured(Box::new(examples::scaled(1.5)));
            }
        }
    };
    let mut new = examples::results();
    slower(&mut new, "as-fast", None);
    let direction = |new: &Results| {
        let comparison = compared(&examples::results(), new);
        change(&comparison, "room", "as-fast", Figure::LatencyP99Ns).direction
    };
    assert_eq!(direction(&new), Direction::Worse);
    // One and the same program differs from itself as much.
    slower(&mut new, "fast", Some(Role::Twin));
    assert_ne!(direction(&new), Direction::Worse);
}

#[test]
fn a_capacity_is_compared_by_its_interval() {
    let base = examples::detailed_results();
    let halved = |by: f64| {
        let mut new = examples::detailed_results();
        for trial in new.trials.iter_mut().filter(|it| it.target == "fast") {
            trial.offered_rate = trial.offered_rate.map(|rate| rate / by);
        }
        let comparison = compared(&base, &new);
        change(&comparison, "limit", "fast", Figure::CapacityMessagesPerSecond)
    };
    assert_ne!(halved(1.0).direction, Direction::Worse);
    let far_less = halved(100.0);
    assert!((far_less.change.median - 0.01).abs() < 1e-9, "{far_less:?}");
}

#[test]
fn lost_messages_are_compared_by_difference() {
    let new = run_with("fast", |figures| {
        figures.pairs.dropped = figures.pairs.delivered / 9;
    });
    let comparison = compared(&examples::results(), &new);
    let lost = change(&comparison, "crowd", "fast", Figure::LostShare);
    assert!((lost.change.median - 0.1).abs() < 1e-3, "{lost:?}");
    assert_eq!(lost.direction, Direction::Worse);
    assert_eq!(lost.figure.change_text(&lost.change), "+9.99 pp");
    // The 99th percentile now is of messages that never came.
    let p99 = change(&comparison, "room", "fast", Figure::LatencyP99Ns);
    assert_eq!((p99.direction, p99.change.median), (Direction::Worse, f64::INFINITY));
}

#[test]
fn a_server_that_can_no_longer_be_started_is_broken() {
    let mut new = examples::results();
    let at = new.run.targets.iter().position(|it| it.name == "fast").unwrap();
    let reason = "it could not be built".to_owned();
    new.run.targets[at].status = TargetStatus::Skipped { reason, remedy: String::new() };
    new.trials.retain(|trial| trial.target != "fast");
    let comparison = compared(&examples::results(), &new);
    assert_eq!(comparison.verdict, Verdict::Regression);
    let target = comparison.targets().find(|it| it.target == "fast").unwrap();
    assert_eq!(target.status, Status::Broken);
    assert!(target.reason.contains("it could not be built"), "{}", target.reason);
}

#[test]
fn what_worked_and_now_fails_is_a_regression() {
    let mut new = examples::results();
    for trial in new.trials.iter_mut().filter(|it| it.target == "fast" && it.block == 1) {
        trial.result =
            TrialResult::Failed { reason: "the server hung".to_owned(), log: Vec::new() };
    }
    new.run.targets[1].status = TargetStatus::FailedCheck { reason: "order/fifo".to_owned() };
    new.trials.retain(|trial| trial.target != "as-fast");
    let comparison = compared(&examples::results(), &new);
    assert_eq!(comparison.verdict, Verdict::Regression);
    let fast = target(&comparison, "room", "fast");
    assert_eq!(fast.status, Status::Broken);
    assert_eq!(fast.reason, "failed in 1 of 5 trials: the server hung");
    assert_eq!(target(&comparison, "room", "as-fast").status, Status::Broken);
    // It never worked.
    assert_eq!(target(&comparison, "room", "dying").status, Status::NotCompared);
}

#[test]
fn a_noisy_run_says_nothing() {
    let mut new = examples::results();
    for trial in &mut new.trials {
        if let TrialResult::Measured(figures) = &mut trial.result {
            figures.others_cpu_share = Some(0.5);
            figures.server.as_mut().unwrap().cpu_seconds *= 3.0;
        }
    }
    new.trials.retain(|trial| trial.target != "dying");
    let comparison = compared(&examples::results(), &new);
    assert_eq!(comparison.verdict, Verdict::NothingCompared);
    let fast = target(&comparison, "room", "fast");
    assert!(fast.reason.starts_with("in the new run NOISY in 5 of 5 trials"), "{}", fast.reason);
}

#[test]
fn other_machines_are_refused() {
    let mut new = examples::results();
    new.run.machine.cpu_model = "Another processor".to_owned();
    new.run.machine.cpus = 64;
    let error = compare(&examples::results(), &new, Thresholds::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the runs are from different machines (A processor → Another processor; 2 processors → 64 \
         processors), and figures of different machines cannot be compared: measure both on one \
         machine"
    );
}

#[test]
fn what_else_may_explain_a_change_is_said() {
    let mut new = examples::results();
    new.run.machine.kernel = "Linux 6.2".to_owned();
    new.run.targets[0].toolchain = vec!["rustc 1.95".to_owned()];
    let comparison = compared(&examples::results(), &new);
    assert_eq!(
        comparison.notes,
        [
            "the runs differ in kernel: Linux 6.1 → Linux 6.2",
            "the runs differ in toolchain of fast:  → rustc 1.95"
        ]
    );
}

#[test]
fn a_scenario_that_was_carried_out_differently_is_not_compared() {
    let mut new = examples::results();
    new.run.scenarios[0].clients = 16;
    new.run.scenarios[0].note = "Another note.".to_owned();
    new.run.scenarios[1].repeats = 9;
    let comparison = compared(&examples::results(), &new);
    let [room, crowd] = &comparison.scenarios[..] else { panic!("two scenarios") };
    assert_eq!(room.reason, "it was run differently: clients 8 → 16");
    assert_eq!((room.targets.len(), crowd.reason.as_str()), (0, ""));
}

#[test]
fn runs_with_nothing_in_common_are_refused() {
    let mut new = examples::results();
    new.run.targets.iter_mut().for_each(|target| target.name += "-2");
    new.trials.clear();
    let error = compare(&examples::results(), &new, Thresholds::default()).unwrap_err().to_string();
    assert!(error.starts_with("the runs have no target in common: base has fast, "), "{error}");
}

#[test]
fn markdown_says_what_is_clear_and_keeps_texts_from_breaking_out() {
    let mut new = run_with("fast", |figures| figures.server.as_mut().unwrap().cpu_seconds *= 2.0);
    let mut base = examples::results();
    for run in [&mut base, &mut new] {
        run.run.targets[0].name = "a|b <i>".to_owned();
        for trial in run.trials.iter_mut().filter(|trial| trial.target == "fast") {
            trial.target = "a|b <i>".to_owned();
        }
    }
    let text = markdown(&compared(&base, &new));
    assert!(text.starts_with("### Clearly worse\n\n2 figures worse, 0 better, "), "{text}");
    let row = "| room | a\\|b &lt;i&gt; | CPU per delivery | ";
    assert!(text.lines().any(|it| it.starts_with(row) && it.ends_with("| **worse** |")), "{text}");
    assert!(!text.contains("<i>"));
    assert!(text.contains("dying was not compared: in the base run failed in 5 of 5 trials"));
}

/// The p99 change of the target "fast", whose trials have these numbers of deliveries and speeds.
fn p99_of_few(base: (u64, f64), new: (u64, f64)) -> Change {
    let run = |(deliveries, slowness): (u64, f64)| {
        run_with("fast", |figures| {
            *figures = examples::scaled(slowness);
            examples::deliver_only(figures, deliveries);
        })
    };
    change(&compared(&run(base), &run(new)), "room", "fast", Figure::LatencyP99Ns)
}

#[test]
fn a_bound_is_worse_than_what_is_clearly_below_it_and_otherwise_nothing_is_said() {
    let worse = p99_of_few((4_000, 1.0), (12, 9.0));
    assert_eq!((worse.direction, worse.change.bound), (Direction::Worse, Bound::AtLeast));
    assert!(worse.figure.change_text(&worse.change).starts_with("≥ × "), "{worse:?}");
    assert!(worse.figure.text(&worse.new).starts_with("≥ "), "{worse:?}");
    let better = p99_of_few((12, 9.0), (4_000, 1.0));
    assert_eq!((better.direction, better.change.bound), (Direction::Better, Bound::AtMost));
    // Equal bounds are not equal percentiles, and the higher bound is not the higher percentile.
    for slowness in [1.0, 9.0] {
        let unknown = p99_of_few((12, 1.0), (12, slowness));
        assert_eq!((unknown.direction, unknown.change.bound), (Direction::Unclear, Bound::Unknown));
        assert_eq!(unknown.figure.change_text(&unknown.change), "–");
        assert_eq!(unknown.figure.interval_text(&unknown.change), "unknown");
    }
    // A bound below an exact figure tells nothing of it.
    assert_eq!(p99_of_few((4_000, 9.0), (12, 1.0)).direction, Direction::Unclear);
    // "Never" is no bound; of a base of which little is known it is not clearly worse.
    let lost = |figures: &mut Measurement| {
        examples::deliver_only(figures, 12);
        figures.pairs.dropped = 1;
    };
    let base = run_with("fast", |figures| examples::deliver_only(figures, 12));
    let comparison = compared(&base, &run_with("fast", lost));
    let never = change(&comparison, "room", "fast", Figure::LatencyP99Ns);
    assert_eq!((never.direction, never.new.bound), (Direction::Unclear, Bound::Exact));
    let shares = change(&comparison, "room", "fast", Figure::LostShare);
    assert_eq!(shares.direction, Direction::Worse);
}

#[test]
fn in_text_and_json_a_change_of_bounds_has_no_figure() {
    let few = run_with("fast", |figures| examples::deliver_only(figures, 12));
    let comparison = compared(&few, &few);
    let text = markdown(&comparison);
    let row = text.lines().find(|it| it.starts_with("| fast | p99 latency | ")).unwrap();
    assert_eq!(row, "| fast | p99 latency | ≥ 158 µs | ≥ 158 µs | – (unknown) | unclear |");
    let unknown = change(&comparison, "room", "fast", Figure::LatencyP99Ns);
    let json = serde_json::to_value(&unknown).unwrap();
    assert!(json["base"]["at_least"].is_number() && json["base"].get("median").is_none(), "{json}");
    assert!(json["change"].get("median").is_none(), "{json}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_is_said_of_bounds_stays_true_whatever_the_percentiles_are(
        samples in prop::collection::vec((1.0_f64..9.0, any::<bool>(), 1.0_f64..9.0), 10),
        seed: u64,
    ) {
        let known = |it: &(f64, bool, f64)| if it.1 { Bounded::at_least(it.0) } else { it.0.into() };
        let truth = |it: &(f64, bool, f64)| if it.1 { it.0 * it.2 } else { it.0 };
        let (base, new) = samples.split_at(5);
        let of = |samples: &[(f64, bool, f64)]| samples.iter().map(known).collect::<Vec<_>>();
        let true_of = |samples: &[(f64, bool, f64)]| samples.iter().map(truth).collect::<Vec<_>>();
        let limits = Limits { thresholds: Thresholds::default(), noise_factor: 1.0 };
        let direction = |ratio: Option<Estimate>| {
            limits.direction(Figure::LatencyP99Ns, &ratio.expect("samples"))
        };
        let said = direction(estimate_ratio(&of(new), &of(base), seed));
        let is = direction(estimate_ratio(&true_of(new), &true_of(base), seed));
        prop_assert!(said == Direction::Unclear || said == is, "{said:?} {is:?}");
    }
}

#[test]
fn shares_of_the_limit_are_compared_where_both_runs_have_measured_it() {
    let (with, without) = (examples::with_limits(), examples::results());
    let shares = |base: &Results, new: &Results| -> Vec<Change> {
        let comparison = compare(base, new, Thresholds::default()).unwrap();
        let changes = comparison.targets().flat_map(|it| it.changes.clone());
        changes.filter(|it| it.figure == Figure::ShareOfLimit).collect()
    };
    assert!(shares(&without, &with).is_empty() && shares(&with, &without).is_empty());
    let mut slower = examples::with_limits();
    for trial in slower.trials.iter_mut().filter(|it| it.role != Role::Yardstick) {
        if let TrialResult::Measured(figures) = &mut trial.result {
            figures.deliveries_arrived /= 4;
        }
    }
    let changes = shares(&with, &slower);
    // Three targets in two scenarios.
    assert_eq!(changes.len(), 6);
    assert!(changes.iter().all(|it| it.direction == Direction::Worse), "{changes:?}");
    let same = shares(&with, &with);
    let is_clear = |it: &&Change| matches!(it.direction, Direction::Worse | Direction::Better);
    assert_eq!((same.len(), same.iter().filter(is_clear).count()), (6, 0), "{same:?}");
}
