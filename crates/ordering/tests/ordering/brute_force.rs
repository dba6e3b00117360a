//! The checker against the oracle, on many small random histories.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use zillions_ordering::{Claim, Class, Counterexample, History, Rule, check, confirm, save};

use crate::oracle::Model;
use crate::random::{self, IDS_ONLY, Shape};

/// How often each kind of history came up.
#[derive(Debug, Default)]
struct Seen {
    kept: u32,
    integrity: u32,
    fifo: u32,
    total_only: u32,
    total_cycle: u32,
    causal_only: u32,
    fifo_by_shorts: u32,
    missed_by_definition: u32,
}

fn text(history: &History) -> String {
    let mut text = Vec::new();
    save(history, "", &mut text).expect("memory takes it");
    String::from_utf8(text).expect("it is text")
}

/// Compares the checker with the oracle on one history. For the `exact` rules,
/// the letter and the checker's definition must agree; for the others, it must
/// decide by its definition and never raise a false alarm.
fn compare(history: &History, exact: &[Rule], seen: &mut Seen) {
    let verdicts = check(history);
    let length = history.event_count() as usize;
    let model = Model::of(history, length);
    for rule in Rule::ALL {
        let kept = verdicts.of(rule).is_ok();
        let is_exact = exact.contains(&rule);
        if !is_exact {
            assert_eq!(kept, model.keeps(rule), "{rule:?} of\n{}", text(history));
        }
        let to_the_letter = match rule {
            Rule::Integrity => model.keeps(rule),
            Rule::Fifo => model.fifo_exact(),
            Rule::Total => model.total_exact(false),
            Rule::Causal => model.total_exact(true),
        };
        assert!(kept || !to_the_letter, "a false alarm: {rule:?} of\n{}", text(history));
        assert!(!is_exact || kept == to_the_letter, "{rule:?} missed in\n{}", text(history));
        seen.missed_by_definition += u32::from(kept && !to_the_letter);
    }
    verdicts.broken().for_each(|counterexample| proves(history, counterexample));
    count(&verdicts, seen);
}

/// Checks that a counterexample is true, as early as can be, and as short.
fn proves(history: &History, counterexample: &Counterexample) {
    let shown = || format!("{counterexample}\n{counterexample:?}\n{}", text(history));
    if let Err(refutation) = confirm(history, counterexample) {
        panic!("{refutation}: {}", shown());
    }
    let closing = counterexample.closing_event as usize;
    assert!(Model::of(history, closing).keeps(counterexample.rule), "too late: {}", shown());
    let model = Model::of(history, closing + 1);
    assert!(!model.keeps(counterexample.rule), "too early: {}", shown());
    if matches!(counterexample.claims[0], Claim::Before { .. }) {
        let fewest = model.fewest_claims(counterexample.rule == Rule::Causal);
        assert_eq!(Some(counterexample.claims.len()), fewest, "{}", shown());
    }
}

fn count(verdicts: &zillions_ordering::Verdicts, seen: &mut Seen) {
    seen.kept += u32::from(verdicts.all_kept());
    seen.integrity += u32::from(verdicts.integrity.is_err());
    seen.fifo += u32::from(verdicts.fifo.is_err());
    if let (Ok(()), Err(total)) = (&verdicts.fifo, &verdicts.total) {
        seen.total_only += 1;
        seen.total_cycle += u32::from(total.class == Class::Cycle);
    }
    seen.causal_only += u32::from(verdicts.total.is_ok() && verdicts.causal.is_err());
    let by_shorts = |found: &Counterexample| {
        matches!(found.claims[0], Claim::ShortOutOfOrder { .. } | Claim::ShortUnmatched { .. })
    };
    seen.fifo_by_shorts += u32::from(verdicts.fifo.as_ref().is_err_and(by_shorts));
}

fn compare_many(seed: u64, histories: u32, shape: Shape, exact: &[Rule]) -> Seen {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut seen = Seen::default();
    for _ in 0..histories {
        compare(&random::history(&mut rng, shape), exact, &mut seen);
    }
    println!("{seen:?}");
    seen
}

#[test]
fn agrees_with_the_oracle_on_histories_with_drops() {
    let seen = compare_many(1, 30_000, IDS_ONLY, &Rule::ALL);
    for count in [seen.kept, seen.integrity, seen.fifo, seen.total_only] {
        assert!(count > 1000, "the histories do not exercise the rules: {seen:?}");
    }
}

#[test]
fn agrees_with_the_oracle_on_histories_with_many_drops() {
    let shape = Shape { drop_percent: 55, wild_percent: 0, swap_percent: 60, ..IDS_ONLY };
    let seen = compare_many(2, 25_000, shape, &Rule::ALL);
    for count in [seen.kept, seen.fifo, seen.total_only, seen.total_cycle, seen.causal_only] {
        assert!(count > 50, "the histories do not exercise the rules: {seen:?}");
    }
}

#[test]
fn agrees_with_the_oracle_on_histories_without_drops() {
    let shape = Shape { drop_percent: 0, wild_percent: 0, ..IDS_ONLY };
    let seen = compare_many(3, 20_000, shape, &Rule::ALL);
    assert_eq!(seen.integrity, 0);
    for count in [seen.kept, seen.fifo, seen.total_only] {
        assert!(count > 1000, "the histories do not exercise the rules: {seen:?}");
    }
}

#[test]
fn agrees_with_the_oracle_when_short_messages_tell_their_sender() {
    let shape = Shape {
        short_percent: 60,
        bodies: &[b"", b"x", b"\x00", b"yy"],
        own_bodies: true,
        messages_max: 5,
        ..IDS_ONLY
    };
    let seen = compare_many(4, 15_000, shape, &[Rule::Integrity, Rule::Fifo]);
    for count in [seen.kept, seen.integrity, seen.fifo_by_shorts, seen.total_only] {
        assert!(count > 100, "the histories do not exercise the rules: {seen:?}");
    }
}

#[test]
fn agrees_with_the_oracle_when_senders_share_short_messages() {
    let shape = Shape { short_percent: 60, bodies: &[b"", b"x"], messages_max: 5, ..IDS_ONLY };
    let seen = compare_many(5, 15_000, shape, &[Rule::Integrity]);
    for count in [seen.kept, seen.integrity, seen.fifo_by_shorts, seen.total_only] {
        assert!(count > 100, "the histories do not exercise the rules: {seen:?}");
    }
}
