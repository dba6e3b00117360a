//! Made-up results, compared.

use proptest::prelude::*;

use super::*;
use crate::examples;
use crate::record::TrialRecord;

fn rank<'a>(analysis: &'a [ScenarioAnalysis<'_>], at: usize, name: &str) -> &'a Rank {
    &analysis[at].rows.iter().find(|row| row.target.name == name).unwrap().rank
}

/// Changes every trial of `target` in the example results.
fn results_with(target: &str, change: impl Fn(&mut Measurement)) -> Results {
    let mut results = examples::results();
    for trial in results.trials.iter_mut().filter(|trial| trial.target == target) {
        if let TrialResult::Measured(figures) = &mut trial.result {
            change(figures);
        }
    }
    results
}

#[test]
fn what_ties_shares_a_tier_and_what_is_slower_comes_after() {
    let results = examples::results();
    let analysis = analyse(&results);
    for at in 0..2 {
        assert_eq!(rank(&analysis, at, "fast"), &Rank::Ranked { tier: 1 });
        assert_eq!(rank(&analysis, at, "as-fast"), &Rank::Ranked { tier: 1 });
        assert_eq!(rank(&analysis, at, "slow"), &Rank::Ranked { tier: 2 });
    }
    let slow = analysis[0].rows[2].figures.as_ref().unwrap();
    let ratio = slow.relative.unwrap().median;
    assert!((2.8..3.2).contains(&ratio), "{ratio}");
}

#[test]
fn what_was_not_measured_is_listed_with_its_reason() {
    let results = examples::results();
    let analysis = analyse(&results);
    let reason = |name| match rank(&analysis, 0, name) {
        Rank::Unranked { reason } => reason.clone(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(reason("absent"), "skipped: ghc is not installed; apt-get install ghc");
    assert_eq!(reason("wrong"), "failed the conformance check: order/fifo (ORDER-2)");
    assert_eq!(
        reason("dying"),
        "failed in 5 of 5 trials: the server ended in mid-trial (signal: 6)"
    );
}

#[test]
fn trials_that_are_not_valid_are_shown_and_not_ranked() {
    let results = results_with("fast", |figures| figures.generator.cpu_seconds = 0.49);
    let analysis = analyse(&results);
    let Rank::Unranked { reason } = rank(&analysis, 1, "fast") else {
        panic!("a client-bound target is ranked")
    };
    assert!(reason.starts_with("CLIENT-BOUND in 5 of 5 trials: "), "{reason}");
    let row = analysis[1].rows.iter().find(|row| row.target.name == "fast").unwrap();
    assert!(row.figures.is_some(), "its figures are still shown");
    assert_eq!(rank(&analysis, 1, "as-fast"), &Rank::Ranked { tier: 1 });
}

#[test]
fn a_server_that_drops_does_not_look_faster_for_it() {
    let results = results_with("fast", |figures| {
        // Two of a hundred never arrived; the survivors are as quick as before.
        let dropped = figures.pairs.delivered / 50;
        figures.pairs.dropped = dropped;
    });
    let analysis = analyse(&results);
    let row = analysis[0].rows.iter().find(|row| row.target.name == "fast").unwrap();
    let figures = row.figures.as_ref().unwrap();
    assert_eq!(figures.latency_p99_ns.median, f64::INFINITY);
    assert!(figures.latency_p50_ns.exact().is_some_and(f64::is_finite));
    assert!((figures.lost_share - 1.0 / 51.0).abs() < 1e-9);
    assert!(matches!(row.rank, Rank::Lossy { .. }));
}

#[test]
fn one_trial_is_too_few_to_rank() {
    let mut results = examples::results();
    results.trials.retain(|trial| trial.block == 0);
    let analysis = analyse(&results);
    let Rank::Unranked { reason } = rank(&analysis, 0, "fast") else {
        panic!("one trial is ranked")
    };
    assert_eq!(reason, "1 trials are too few to rank: ask for 3 or more");
}

#[test]
fn who_loses_most_is_not_first() {
    // Nine of ten are lost, and what is left arrives at once.
    let results = results_with("fast", |figures| {
        figures.pairs.dropped = figures.pairs.delivered * 9;
        figures.deliveries_arrived *= 10;
    });
    let analysis = analyse(&results);
    for at in 0..2 {
        let Rank::Lossy { reason } = rank(&analysis, at, "fast") else {
            panic!("a server that loses nine of ten is ranked")
        };
        assert_eq!(reason, "lost 90.0 % of the deliveries: above 50.0 % nothing is ranked");
        assert_eq!(rank(&analysis, at, "as-fast"), &Rank::Ranked { tier: 1 });
    }
}

#[test]
fn a_latency_that_is_never_is_not_ranked() {
    let results = results_with("fast", |figures| {
        figures.pairs.dropped = figures.pairs.delivered / 20;
    });
    let analysis = analyse(&results);
    let Rank::Lossy { reason } = rank(&analysis, 0, "fast") else {
        panic!("an infinite latency is ranked")
    };
    assert!(reason.ends_with("% of the deliveries: its p99 latency is never"), "{reason}");
    assert_eq!(rank(&analysis, 1, "fast"), &Rank::Ranked { tier: 1 }, "its deliveries count");
}

#[test]
fn a_search_ranks_by_the_capacity_that_its_holds_confirm() {
    let mut results = examples::results();
    results.run.scenarios = vec![examples::scenario("search", RankBy::Capacity)];
    results.trials.clear();
    for (target, limit) in [("fast", 4_000.0), ("slow", 1_000.0), ("as-fast", f64::MAX)] {
        for rate in [500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0] {
            let mut figures = examples::measurement();
            figures.pairs.dropped = if rate > limit { figures.pairs.delivered } else { 0 };
            let result = TrialResult::Measured(Box::new(figures));
            let order = results.trials.len() as u32;
            let trial = examples::trial("search", target, order, order, result);
            results.trials.push(TrialRecord {
                role: Role::Hold,
                offered_rate: Some(rate),
                ..trial
            });
        }
    }
    let analysis = analyse(&results);
    assert_eq!(rank(&analysis, 0, "fast"), &Rank::Ranked { tier: 1 });
    assert_eq!(rank(&analysis, 0, "slow"), &Rank::Ranked { tier: 2 });
    let Rank::Unranked { reason } = rank(&analysis, 0, "as-fast") else {
        panic!("a lower bound is ranked")
    };
    assert_eq!(reason, "a lower bound: 8000 messages/s is the end of the search");
    let fast = &analysis[0].rows[0];
    let ranking = fast.figures.as_ref().unwrap().ranking;
    assert_eq!((ranking.median, ranking.high), (4_000.0, 8_000.0));
    assert_eq!(fast.capacity.unwrap().holds, 5);
    assert_eq!(fast.figures.as_ref().unwrap().relative, None, "it is the best itself");
    let slow = analysis[0].rows[1].figures.as_ref().unwrap().relative.unwrap();
    assert_eq!((slow.median, slow.low, slow.high), (0.25, 0.125, 0.5));
}

/// Leaves of every trial of `target` only so many deliveries.
fn deliver_only(results: &mut Results, target: &str, deliveries: u64) {
    for trial in results.trials.iter_mut().filter(|trial| trial.target == target) {
        if let TrialResult::Measured(figures) = &mut trial.result {
            examples::deliver_only(figures, deliveries);
        }
    }
}

#[test]
fn a_percentile_of_twelve_deliveries_is_shown_as_a_bound_and_not_ranked() {
    let mut results = examples::results();
    deliver_only(&mut results, "fast", 12);
    let analysis = analyse(&results);
    let Rank::FewSamples { reason } = rank(&analysis, 0, "fast") else {
        panic!("a bound is ranked")
    };
    assert!(reason.contains("a trial has 12 deliveries, and 1000 are needed"), "{reason}");
    assert_eq!(analysis[0].noise, None, "bounds of two arms tell nothing of the machine");
    // It is the fastest by what is known of it, and stands behind what is ranked.
    let names: Vec<&str> = analysis[0].rows.iter().map(|row| row.target.name.as_str()).collect();
    assert_eq!(names[..3], ["as-fast", "slow", "fast"]);
    let figures = analysis[0].rows[2].figures.as_ref().unwrap();
    assert_eq!(figures.ranking.high, f64::INFINITY);
    for value in [figures.latency_p99_ns.value(), figures.latency_p999_ns] {
        assert!(!value.is_exact() && value.least() > 0.0, "{value:?}");
    }
    // Sixty of all trials together are enough for a median.
    assert!(figures.latency_p50_ns.is_exact());
    // Deliveries per second are counted, however few.
    assert_eq!(rank(&analysis, 1, "fast"), &Rank::Ranked { tier: 1 });
}

#[test]
fn one_trial_with_too_few_deliveries_keeps_a_target_unranked() {
    let mut results = examples::results();
    let of_fast = |trial: &&mut TrialRecord| trial.target == "fast" && trial.block == 3;
    for trial in results.trials.iter_mut().filter(of_fast) {
        if let TrialResult::Measured(figures) = &mut trial.result {
            examples::deliver_only(figures, 999);
        }
    }
    assert!(matches!(rank(&analyse(&results), 0, "fast"), Rank::FewSamples { .. }));
    deliver_only(&mut results, "fast", 1_000);
    assert!(matches!(rank(&analyse(&results), 0, "fast"), Rank::Ranked { .. }));
}

proptest! {
    // Each case ranks made-up runs twice.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_known_of_few_deliveries_changes_no_tier_of_others(
        few in prop::collection::vec(prop::option::of(1_u64..1_000), 3),
        speeds in prop::collection::vec(1.0_f64..4.0, 3),
    ) {
        let names = ["fast", "as-fast", "slow"];
        let mut results = examples::results();
        results.run.twin = None;
        results.trials.retain(|trial| trial.scenario == "room" && trial.role == Role::Measure);
        for trial in &mut results.trials {
            let Some(at) = names.iter().position(|name| *name == trial.target) else { continue };
            let wobble = 1.0 + f64::from(trial.block) * 0.02;
            let mut figures = examples::scaled(speeds[at] * wobble);
            if let Some(deliveries) = few[at] {
                examples::deliver_only(&mut figures, deliveries);
            }
            trial.result = TrialResult::Measured(Box::new(figures));
        }
        let mut without = results.clone();
        without.trials.retain(|trial| {
            names.iter().position(|name| *name == trial.target).is_none_or(|at| few[at].is_none())
        });
        let (with, without) = (analyse(&results), analyse(&without));
        for (name, few) in names.iter().zip(&few) {
            if few.is_some() {
                let is_bound = matches!(rank(&with, 0, name), Rank::FewSamples { .. });
                prop_assert!(is_bound, "{name}");
            } else {
                prop_assert_eq!(rank(&with, 0, name), rank(&without, 0, name));
            }
        }
        let place = |row: &Row<'_>| row.rank.tier().unwrap_or(usize::MAX);
        prop_assert!(with[0].rows.is_sorted_by_key(place), "bounds stand behind what is ranked");
    }
}
