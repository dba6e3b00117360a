//! Every plan keeps its bounds, whatever is asked for.

use proptest::prelude::*;
use zillions_scale::{Order, Topology};

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Root), Just(Order::Stream)]
}

/// Levels that are small enough to look at every server.
fn plans() -> impl Strategy<Value = (Topology, u64, u64)> {
    (orders(), 0..100_000_u64, 20..5000_u64, 2..40_u64).prop_map(
        |(order, clients, each, fan_out)| {
            (Topology::plan(order, clients, each, fan_out), each, fan_out)
        },
    )
}

proptest! {
    #[test]
    fn no_server_has_more_below_it_than_its_bound((topology, each, fan_out) in plans()) {
        for (level, &servers) in topology.levels.iter().enumerate() {
            let bound = if level == topology.last() { each } else { fan_out.max(3) };
            for server in 0..servers {
                prop_assert!(topology.below(level, server) <= bound, "{topology:?} at {level}");
            }
        }
    }

    #[test]
    fn everyone_is_below_exactly_one_server((topology, ..) in plans()) {
        for (level, &servers) in topology.levels.iter().enumerate() {
            let below = topology.levels.get(level + 1).copied();
            let sum: u64 = (0..servers).map(|server| topology.below(level, server)).sum();
            prop_assert_eq!(sum, below.unwrap_or(topology.clients));
            for child in 0..below.unwrap_or(0) {
                let above = topology.above(level + 1, child);
                let first = topology.first_below(level, above);
                prop_assert!((first..first + topology.below(level, above)).contains(&child));
            }
        }
    }

    #[test]
    fn there_is_one_at_the_top_and_a_cluster_has_three_nodes_or_more((topology, ..) in plans()) {
        prop_assert_eq!(topology.levels[0], 1);
        if topology.order == Order::Stream {
            prop_assert!(topology.levels[1] >= 3);
        }
    }
}

#[test]
fn a_hundred_million_clients_need_four_levels_of_thirty() {
    let topology = Topology::plan(Order::Root, 100_000_000, 40_000, 30);
    assert_eq!(topology.levels, [1, 3, 84, 2500]);
    assert_eq!(topology.servers(), 2588);
}
