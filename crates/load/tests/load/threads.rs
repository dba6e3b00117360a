//! Several threads find what one finds: on paper, for every anomaly at every place and for streams
//! that proptest makes up, and with a server.

use proptest::prelude::*;
use zillions_load::{Filler, Load, LoadError, Plan, PlanError, WireFormat, run};

use crate::both_ways::{Anomaly, BothWays};
use crate::equality::{deliver_all, made_up, places};
use crate::server::{FakeServer, Fault};
use crate::{CLIENTS, fixed_rate, plan};

const THREADS: usize = 3;

/// A receiver of each thread has `anomaly` at `place` once.
fn check(wire: WireFormat, anomaly: Anomaly, place: usize, piece_bytes: usize) {
    // One client per thread, and two.
    for clients in [THREADS, 2 * THREADS] {
        for wronged in clients - THREADS..clients {
            let per_message = u32::from(wire == WireFormat::Zillions);
            let filler = Filler { per_message, bytes: 1 };
            let mut trial = BothWays::on_threads(THREADS, wire, clients, 2, filler);
            trial.send(0, 64, 1);
            trial.open_samples();
            for (sender, length, number) in [(0, 64, 3), (1, 20, 2), (0, 255, 1), (1, 64, 2)] {
                trial.send(sender, length, number);
            }
            let receivers = (0..clients).rev();
            deliver_all(&mut trial, receivers, wronged, (anomaly, place), piece_bytes);
            trial.send(0, 64, 2);
            trial.finish_threads();
        }
    }
}

#[test]
fn every_anomaly_in_any_thread_is_entered_as_by_one_thread() {
    for wire in [WireFormat::Zillions, WireFormat::Nats, WireFormat::Redis] {
        for anomaly in Anomaly::ALL {
            // What one protocol has in common with the others is checked with the first.
            let places = if wire == WireFormat::Zillions { places() } else { 1 };
            for place in 0..places {
                check(wire, anomaly, place, 19);
            }
            check(wire, anomaly, 1, 100_000);
        }
    }
}

#[test]
fn many_messages_together_are_entered_as_by_one_thread() {
    let mut trial = BothWays::on_threads(THREADS, WireFormat::Zillions, 7, 4, Filler::default());
    trial.open_samples();
    for round in 0..40 {
        trial.send(round % 4, 64, 30);
        for receiver in 0..7 {
            // Some are behind the others.
            if usize::from(round) % (receiver + 1) == 0 {
                trial.deliver(receiver, usize::MAX);
                trial.receive_all(receiver, 1_000);
            }
        }
    }
    trial.finish_threads();
}

proptest! {
    #![proptest_config(made_up())]

    #[test]
    fn any_streams_are_entered_as_by_one_thread(
        clients in THREADS..6,
        senders in 1_usize..4,
        steps in prop::collection::vec(any::<[u8; 4]>(), 0..120),
    ) {
        let filler = Filler { per_message: 1, bytes: 0 };
        let wire = WireFormat::Zillions;
        let mut trial = BothWays::on_threads(THREADS, wire, clients, senders, filler);
        trial.open_samples();
        steps.into_iter().for_each(|step| trial.step(step));
        trial.finish_threads();
    }
}

/// What does not depend on the time, by one thread and by three.
fn by_one_and_by_three(fault: Fault, plan: &Plan) {
    let mut found = Vec::new();
    for load_threads in [1, THREADS] {
        let server = FakeServer::start(fault);
        let plan = Plan { load_threads, ..plan.clone() };
        let outcome = run(server.address(), &plan, |_| {}).unwrap();
        assert_eq!(outcome.generator.len(), load_threads);
        let arrived = outcome.generator.iter().map(|it| it.deliveries_arrived).sum::<u64>();
        assert_eq!(arrived, outcome.traffic.deliveries_arrived);
        let latencies = &outcome.latencies;
        let recorded =
            [&latencies.delivery, &latencies.service, &latencies.last_receiver].map(|it| it.len());
        found.push((outcome.pairs, outcome.anomalies, recorded, outcome.lost.len()));
    }
    assert_eq!(found[0], found[1], "{fault:?}");
}

#[test]
fn three_threads_find_in_a_server_what_one_finds() {
    let mut plan = fixed_rate();
    plan.warm_up = std::time::Duration::ZERO;
    for fault in [Fault::None, Fault::DropTenth, Fault::DuplicateTenth, Fault::FlipTenth] {
        by_one_and_by_three(fault, &plan);
    }
    // Every client sends, so every thread has senders.
    plan.senders = CLIENTS;
    by_one_and_by_three(Fault::None, &plan);
    by_one_and_by_three(Fault::DropTenth, &plan);
    plan.load = Load::Burst { messages_per_burst: 50, bursts_per_second: 20.0 };
    by_one_and_by_three(Fault::None, &plan);
}

#[test]
fn three_threads_saturate_a_server_and_nothing_is_missing() {
    let plan = Plan { load_threads: THREADS, ..plan(Load::Saturate) };
    let server = FakeServer::start(Fault::None);
    let outcome = run(server.address(), &plan, |_| {}).unwrap();
    let pairs = outcome.pairs;
    assert!(pairs.delivered > 0);
    assert_eq!((pairs.dropped, pairs.unsent, pairs.cut_off), (0, 0, 0), "{pairs:?}");
    assert_eq!(outcome.latencies.service.len(), pairs.delivered);
    assert_eq!(outcome.latencies.last_receiver.len() * CLIENTS as u64, pairs.delivered);
    assert!(outcome.anomalies.is_none(), "{:?}", outcome.anomalies);
    let of_threads: Vec<u16> = outcome.sample.clients.iter().map(|client| client % 3).collect();
    assert_eq!(of_threads, [0, 1, 2, 0], "every thread has a sampled client");
}

#[test]
fn a_closed_loop_churn_and_stalled_clients_stay_with_one_thread() {
    let server = FakeServer::start(Fault::None);
    let closed_loop = Plan { load_threads: THREADS, ..plan(Load::EveryoneAtOnce) };
    let outcome = run(server.address(), &closed_loop, |_| {}).unwrap();
    assert!(outcome.generator.len() == 1 && outcome.extras.rounds.rounds > 0);
    let beside =
        Plan { load_threads: THREADS, churn_per_second: 100.0, stalled: 1, ..fixed_rate() };
    let outcome = run(server.address(), &beside, |_| {}).unwrap();
    let churn = outcome.extras.churn;
    assert!(churn.connections == 35 && churn.failed == 0, "{churn:?}");
    assert_eq!(outcome.pairs.delivered, 300 * CLIENTS as u64);
}

#[test]
fn what_one_thread_meets_ends_the_trial_of_all() {
    let threads = |plan: Plan| Plan { load_threads: THREADS, ..plan };
    let server = FakeServer::start(Fault::CloseAll);
    // The trial ends with the connections, long before this window does.
    let plan = threads(Plan { measure: std::time::Duration::from_secs(60), ..fixed_rate() });
    let error = run(server.address(), &plan, |_| {}).unwrap_err();
    assert!(matches!(error, LoadError::AllLost { clients: CLIENTS, .. }), "{error}");
    let server = FakeServer::start(Fault::Silent);
    let ready_max = std::time::Duration::from_millis(300);
    let error = run(server.address(), &threads(Plan { ready_max, ..fixed_rate() }), |_| {});
    assert_eq!(
        error.unwrap_err().to_string(),
        "only 0 of 4 clients received a message within 0.3 s of connecting"
    );
    let server = FakeServer::start(Fault::CloseOne);
    let outcome = run(server.address(), &threads(fixed_rate()), |_| {}).unwrap();
    assert_eq!(outcome.lost.len(), 1, "{:?}", outcome.lost);
    assert!(outcome.pairs.cut_off > 0);
}

#[test]
fn a_plan_without_a_thread_or_with_too_many_is_refused() {
    for load_threads in [0, zillions_load::THREADS_MAX + 1] {
        let plan = Plan { load_threads, ..fixed_rate() };
        assert_eq!(plan.check(), Err(PlanError::Threads(load_threads)));
    }
    assert_eq!(Plan { load_threads: 9, ..fixed_rate() }.threads(), CLIENTS);
}
