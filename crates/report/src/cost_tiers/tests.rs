use super::*;
use crate::analysis::{ScenarioAnalysis, analyse};
use crate::columns::{CPU, INSTRUCTIONS, Measured, SWITCHES, target_figures, trial_figures};
use crate::decided::{by_cost, sentence};
use crate::examples;
use crate::record::Measurement;

/// Changes every trial of `target`, in all roles that rank.
fn change(results: &mut Results, target: &str, change: impl Fn(&mut Measurement)) {
    for trial in results.trials.iter_mut().filter(|it| it.target == target) {
        if let TrialResult::Measured(figures) = &mut trial.result {
            change(figures);
        }
    }
}

fn tier(analysis: &ScenarioAnalysis<'_>, target: &str, cost: Cost) -> Option<usize> {
    let row = analysis.rows.iter().find(|row| row.target.name == target)?;
    Some(row.figures.as_ref()?.costs.get(&cost)?.tier)
}

fn make_noisy(trial: &mut Measurement) {
    trial.others_cpu_share = Some(0.5);
}

#[test]
fn costs_have_tiers_of_their_own() {
    let mut results = examples::results();
    // The slowest costs least.
    change(&mut results, "slow", |it| it.server.as_mut().unwrap().cpu_seconds /= 100.0);
    for analysis in analyse(&results) {
        assert_eq!(sentence(&analysis)[..24], *"Decided: fast and as-fas");
        assert_eq!(tier(&analysis, "slow", Cost::Cpu), Some(1));
        assert_eq!(tier(&analysis, "fast", Cost::Cpu), Some(2));
        assert_eq!(tier(&analysis, "as-fast", Cost::Cpu), Some(2));
        let said = by_cost(&analysis)[0].text();
        let begin = "By CPU time per delivery: slow leads; 3 are in 2 tiers. Not told apart: fast \
                     and as-fast (";
        assert!(said.starts_with(begin), "{said}");
    }
}

#[test]
fn a_busy_machine_takes_the_tier_of_latency_and_of_switches_but_not_that_of_cpu_time() {
    let mut results = examples::results();
    for target in ["fast", "as-fast", "slow"] {
        change(&mut results, target, make_noisy);
    }
    for looks_max in [1, 6] {
        results.run.scenarios[0].looks_max = looks_max;
        let analysis = &analyse(&results)[0];
        assert!(analysis.rows.iter().all(|row| row.rank.tier().is_none()));
        let tiers = |cost| ["fast", "as-fast", "slow"].map(|it| tier(analysis, it, cost));
        assert_eq!(tiers(Cost::Cpu), [Some(1), Some(1), Some(2)], "{looks_max} looks");
        assert_eq!(tiers(Cost::Switches), [None; 3]);
        let decisions = by_cost(analysis);
        assert_eq!(decisions.len(), 1);
        assert_eq!(decisions[0].by, "cpu_per_delivery_ns");
    }
}

#[test]
fn what_fails_or_loses_or_violates_the_spec_has_no_tier() {
    let mut results = examples::results();
    change(&mut results, "fast", |it| it.anomalies.corrupted = 1);
    change(&mut results, "slow", |it| {
        it.pairs.dropped = it.pairs.delivered;
        it.pairs.delivered /= 10;
    });
    let analysis = &analyse(&results)[0];
    for target in ["fast", "slow", "dying", "absent"] {
        for cost in Cost::ALL {
            assert_eq!(tier(analysis, target, cost), None, "{target}");
        }
    }
    assert_eq!(tier(analysis, "as-fast", Cost::Cpu), Some(1));
    assert_eq!(by_cost(analysis), [], "one alone decides nothing");
}

#[test]
fn what_the_arms_of_one_program_differ_in_separates_nothing() {
    let mut results = examples::results();
    for trial in results.trials.iter_mut().filter(|it| it.role == Role::Twin) {
        let TrialResult::Measured(figures) = &mut trial.result else { continue };
        figures.server.as_mut().unwrap().cpu_seconds *= 20.0;
    }
    let analysis = &analyse(&results)[0];
    assert!(analysis.cost_noise[&Cost::Cpu].factor() > 15.0);
    assert_eq!(tier(analysis, "slow", Cost::Cpu), Some(1));
    assert_eq!(by_cost(analysis)[0].decided, "By CPU time per delivery: all 3 share one tier.");
    assert_eq!(sentence(analysis), sentence(&analyse(&examples::results())[0]));
}

#[test]
fn each_cost_has_a_column() {
    assert_eq!(Cost::ALL.map(Cost::key), [CPU.head.key, INSTRUCTIONS.head.key, SWITCHES.head.key]);
}

#[test]
fn a_search_has_no_tiers_of_costs() {
    let results = examples::detailed_results();
    let analyses = analyse(&results);
    let search = analyses.iter().find(|it| it.scenario.name == "limit").unwrap();
    assert_eq!(by_cost(search), []);
}

#[test]
fn instructions_have_tiers_and_columns_where_they_were_counted() {
    let mut results = examples::results();
    let keys = |analysis: &ScenarioAnalysis<'_>| -> Vec<&str> {
        let measured = analysis.measured();
        let of_targets = target_figures(analysis.scenario.rank_by, measured).into_iter();
        of_targets.chain(trial_figures(measured)).map(|it| it.head.key).collect()
    };
    let key = INSTRUCTIONS.head.key;
    let analysis = &analyse(&results)[0];
    assert_eq!(analysis.measured(), Measured::default());
    assert!(!keys(analysis).contains(&key));
    assert!(by_cost(analysis).iter().all(|it| it.by != key));
    for (target, instructions) in [("fast", 2_000_000), ("as-fast", 2_000_000), ("slow", 50_000)] {
        change(&mut results, target, |it| {
            it.server.as_mut().unwrap().user_instructions = Some(instructions);
        });
        // Others neither execute a server's instructions nor take its tier away.
        change(&mut results, target, make_noisy);
    }
    let analysis = &analyse(&results)[0];
    assert_eq!(keys(analysis).iter().filter(|it| **it == key).count(), 2);
    assert_eq!(tier(analysis, "slow", Cost::UserInstructions), Some(1));
    assert_eq!(tier(analysis, "fast", Cost::UserInstructions), Some(2));
    let decision = by_cost(analysis).into_iter().find(|it| it.by == key).unwrap();
    assert!(decision.decided.starts_with("By user instructions per delivery: slow leads; "));
}
