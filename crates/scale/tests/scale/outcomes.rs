//! What every simulation must be like.

use proptest::prelude::*;
use zillions_scale::plan::MACHINE;
use zillions_scale::{Costs, Load, Loss, Order, Outcome, Topology, simulate};

const SECOND: u64 = 1_000_000_000;

fn run(topology: &Topology, messages_per_second: f64, loss: Option<Loss>, seed: u64) -> Outcome {
    let load = Load { messages_per_second, duration_ns: 2 * SECOND };
    simulate(topology, &Costs::measured().on(MACHINE), load, loss, seed)
}

fn topologies() -> impl Strategy<Value = Topology> {
    let orders = prop_oneof![Just(Order::Root), Just(Order::Stream)];
    (orders, 1..20_000_u64, 10..2000_u64, 2..12_u64)
        .prop_map(|(order, clients, each, fan_out)| Topology::plan(order, clients, each, fan_out))
}

/// At any level, at any time, for any time.
fn losses() -> impl Strategy<Value = (prop::sample::Index, u64, u64)> {
    (any::<prop::sample::Index>(), 0..2 * SECOND, 1..3 * SECOND)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_message_and_every_delivery_is_accounted_for(
        topology in topologies(), lost in losses(), rate in 1.0..200.0, seed in any::<u64>(),
    ) {
        let (level, at_ns, for_ns) = lost;
        let level = level.index(topology.levels.len());
        let outcome = run(&topology, rate, Some(Loss { level, at_ns, for_ns }), seed);
        prop_assert_eq!(outcome.said, outcome.ordered + outcome.lost + outcome.unsaid);
        prop_assert_eq!(outcome.ordered * outcome.clients, outcome.delivered + outcome.missed);
        prop_assert_eq!(outcome.latency.len(), outcome.delivered);
        if level == 0 && topology.order == Order::Stream {
            prop_assert_eq!(outcome.lost + outcome.missed + outcome.unsaid, 0);
        }
    }

    #[test]
    fn nothing_is_missed_while_nobody_is_lost(
        topology in topologies(), rate in 1.0..200.0, seed in any::<u64>(),
    ) {
        let outcome = run(&topology, rate, None, seed);
        prop_assert_eq!(outcome.lost + outcome.unsaid + outcome.missed, 0);
        prop_assert_eq!(outcome.ordered, outcome.said);
    }

    #[test]
    fn the_same_seed_gives_the_same_outcome(topology in topologies(), seed in any::<u64>()) {
        let (one, other) = (run(&topology, 50.0, None, seed), run(&topology, 50.0, None, seed));
        prop_assert_eq!(one.latency, other.latency);
        prop_assert_eq!(one.busiest, other.busiest);
    }

    #[test]
    fn a_deeper_tree_is_later(clients in 1..200_u64, seed in any::<u64>()) {
        let medians: Vec<u64> = (1..6)
            .map(|depth| {
                let topology = Topology { order: Order::Root, levels: vec![1; depth], clients };
                run(&topology, 50.0, None, seed).latency.value_at_quantile(0.5)
            })
            .collect();
        prop_assert!(medians.is_sorted_by(|one, next| one < next), "{medians:?}");
    }
}

#[test]
fn another_seed_gives_another_outcome() {
    let topology = Topology::plan(Order::Root, 1000, 100, 10);
    assert_ne!(run(&topology, 50.0, None, 1).latency, run(&topology, 50.0, None, 2).latency);
}

#[test]
fn a_lost_edge_is_missed_by_its_own_clients_only() {
    let topology = Topology::plan(Order::Root, 1000, 100, 10);
    let loss = Loss { level: 1, at_ns: 0, for_ns: 100 * SECOND };
    let outcome = run(&topology, 50.0, Some(loss), 1);
    assert!(outcome.ordered > 0 && outcome.unsaid > 0, "{outcome:?}");
    assert_eq!(outcome.missed, outcome.ordered * 100);
}

#[test]
fn while_the_root_is_away_everybody_waits() {
    let topology = Topology::plan(Order::Root, 1000, 100, 10);
    let loss = Loss { level: 0, at_ns: SECOND, for_ns: 10 * SECOND };
    let outcome = run(&topology, 50.0, Some(loss), 1);
    assert_eq!(outcome.missed, 0);
    assert!(outcome.latency.max() > 9 * SECOND, "{} ns", outcome.latency.max());
}

/// A server that is late sends more at once. So what it is asked for too much shows in how late it
/// is, not in a queue without end.
#[test]
fn under_a_load_that_single_sends_could_not_carry_passes_grow() {
    let topology = Topology::plan(Order::Root, 50_000, 50_000, 30);
    let few = run(&topology, 1.0, None, 1);
    let many = run(&topology, 100.0, None, 1);
    let pass_ns = 50_000.0 * Costs::measured().send.value / MACHINE.cores;
    assert!(many.busiest > 0.9, "{}", many.busiest);
    assert!((few.latency.max() as f64) < 2.5 * pass_ns, "{}", few.latency.max());
    assert!((many.latency.max() as f64) < 4.0 * pass_ns, "{}", many.latency.max());
}
