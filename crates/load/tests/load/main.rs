//! Whole trials against small servers: a correct one, and ones with a single known fault.

mod both_ways;
mod brokers;
mod equality;
mod server;
mod threads;
mod yardstick;

use std::net::SocketAddr;
use std::time::Duration;

use server::{FakeServer, Fault};
use socket2::{Domain, Socket, Type};
use zillions_load::{Filler, Load, LoadError, Outcome, Phase, Plan, WireFormat, run};

const CLIENTS: usize = 4;

fn plan(load: Load) -> Plan {
    Plan {
        wire: WireFormat::Zillions,
        clients: CLIENTS,
        senders: 2,
        stalled: 0,
        churn_per_second: 0.0,
        filler: Filler::default(),
        split_writes: false,
        load,
        body_bytes: vec![18, 64, 255],
        warm_up: Duration::from_millis(50),
        measure: Duration::from_millis(300),
        late_after: Duration::from_secs(5),
        quiet: Duration::from_millis(500),
        drain_max: Duration::from_secs(10),
        ready_max: Duration::from_secs(20),
        load_threads: 1,
        tag: 77,
    }
}

fn fixed_rate() -> Plan {
    plan(Load::FixedRate { messages_per_second: 1_000.0 })
}

fn trial(fault: Fault, plan: &Plan) -> Outcome {
    let server = FakeServer::start(fault);
    run(server.address(), plan, |_| {}).unwrap()
}

#[test]
fn every_message_at_a_fixed_rate_is_one_delivery_per_client() {
    let outcome = trial(Fault::None, &fixed_rate());
    assert_eq!(outcome.pairs.expected(), 300 * CLIENTS as u64);
    assert_eq!(outcome.pairs.delivered, outcome.pairs.expected());
    assert!(outcome.anomalies.is_none(), "{:?}", outcome.anomalies);
    assert_eq!(outcome.latencies.delivery.len(), outcome.pairs.delivered);
    assert_eq!(outcome.latencies.service.len(), outcome.pairs.delivered);
    assert_eq!(outcome.latencies.last_receiver.len(), 300);
    assert_eq!(outcome.latencies.schedule_lag.len(), 300);
    assert!(outcome.lost.is_empty());
}

#[test]
fn a_saturated_server_that_drops_nothing_delivers_everything_that_was_written() {
    let outcome = trial(Fault::None, &plan(Load::Saturate));
    let pairs = outcome.pairs;
    assert!(pairs.delivered > 0);
    assert_eq!((pairs.dropped, pairs.unsent, pairs.cut_off), (0, 0, 0), "{pairs:?}");
    assert!(outcome.anomalies.is_none(), "{:?}", outcome.anomalies);
    assert!(outcome.traffic.deliveries_arrived > 0);
    assert!(outcome.generator[0].cpu_seconds > 0.0);
}

#[test]
fn phases_come_once_each_and_in_order() {
    let server = FakeServer::start(Fault::None);
    let mut phases = Vec::new();
    run(server.address(), &fixed_rate(), |phase| phases.push(phase)).unwrap();
    assert_eq!(phases, [Phase::WarmUp, Phase::Measure, Phase::Drain]);
}

#[test]
fn drops_are_counted_exactly() {
    // Message k of the server goes to nobody if k is a multiple of 10; probes come before.
    let outcome = trial(Fault::DropTenth, &fixed_rate());
    let pairs = outcome.pairs;
    assert_eq!(pairs.expected(), 300 * CLIENTS as u64);
    assert_eq!(pairs.dropped, 30 * CLIENTS as u64, "{pairs:?}");
    assert_eq!(pairs.delivered, 270 * CLIENTS as u64);
    assert_eq!(outcome.latencies.delivery.len(), pairs.delivered);
    assert!(outcome.anomalies.is_none());
}

#[test]
fn duplicates_reordering_and_corruption_are_told_apart() {
    let duplicated = trial(Fault::DuplicateTenth, &fixed_rate()).anomalies;
    assert!(duplicated.duplicated > 0);
    assert_eq!((duplicated.reordered, duplicated.corrupted, duplicated.invented), (0, 0, 0));

    let reordered = trial(Fault::SwapTenth, &fixed_rate());
    assert!(reordered.anomalies.reordered > 0);
    assert!(reordered.pairs.reordered > 0);
    assert_eq!((reordered.anomalies.duplicated, reordered.anomalies.corrupted), (0, 0));

    let corrupted = trial(Fault::FlipTenth, &fixed_rate()).anomalies;
    assert!(corrupted.corrupted > 0);
    assert_eq!((corrupted.duplicated, corrupted.reordered, corrupted.invented), (0, 0, 0));
}

#[test]
fn a_frozen_server_is_charged_for_every_message_it_kept_waiting() {
    // Once, in the window, the server stops for 150 ms: half of the window's messages wait.
    let outcome = trial(Fault::FreezeOnce(Duration::from_millis(150)), &fixed_rate());
    let latency = &outcome.latencies.delivery;
    assert_eq!(outcome.pairs.delivered, outcome.pairs.expected());
    assert!(latency.max() >= 140_000_000, "max {} ns", latency.max());
    // 75 of 300 messages waited for at least half of the freeze. A loop that waits for its own
    // message would have seen one such message.
    let waited = latency.count_between(75_000_000, u64::MAX);
    assert!(waited >= 60 * CLIENTS as u64, "{waited} deliveries waited for 75 ms or more");
}

#[test]
fn bursts_are_due_at_once_and_arrive_whole() {
    let load = Load::Burst { messages_per_burst: 50, bursts_per_second: 20.0 };
    let outcome = trial(Fault::None, &plan(load));
    assert_eq!(outcome.pairs.expected(), 6 * 50 * CLIENTS as u64);
    assert_eq!(outcome.pairs.delivered, outcome.pairs.expected());
}

#[test]
fn a_closed_loop_waits_for_everybody_before_it_asks_again() {
    let outcome = trial(Fault::None, &plan(Load::EveryoneAtOnce));
    let rounds = outcome.extras.rounds;
    assert!(rounds.rounds > 0 && rounds.incomplete == 0, "{rounds:?}");
    // Each round is one message of both senders to all clients; one more may have begun.
    let of_rounds = rounds.rounds * 2 * CLIENTS as u64;
    let delivered = outcome.pairs.delivered;
    assert!((of_rounds..=of_rounds + 2 * 2 * CLIENTS as u64).contains(&delivered), "{delivered}");
    assert_eq!(outcome.pairs.expected(), delivered);
}

#[test]
fn a_round_that_lost_a_message_is_given_up_and_the_next_one_begins() {
    let mut plan = plan(Load::EveryoneAtOnce);
    plan.measure = Duration::from_millis(2_500);
    plan.warm_up = Duration::ZERO;
    let outcome = trial(Fault::DropTenth, &plan);
    assert!(outcome.extras.rounds.incomplete >= 1, "{:?}", outcome.extras.rounds);
    assert!(outcome.pairs.dropped > 0);
    assert!(outcome.anomalies.is_none());
}

#[test]
fn filler_messages_are_counted_and_timed_ones_stay_timed() {
    let mut plan = fixed_rate();
    plan.filler = Filler { per_message: 5, bytes: 0 };
    let outcome = trial(Fault::None, &plan);
    assert_eq!(outcome.pairs.delivered, 300 * CLIENTS as u64);
    // 50 ms of warm-up before 300 ms of window, at 1000 messages a second.
    assert_eq!(outcome.extras.filler_expected, 350 * 5 * CLIENTS as u64);
    assert_eq!(outcome.extras.filler_delivered, outcome.extras.filler_expected);
    assert!(outcome.anomalies.is_none(), "{:?}", outcome.anomalies);
}

#[test]
fn split_writes_wait_for_an_acknowledgement_and_arrive_whole() {
    let mut plan = plan(Load::FixedRate { messages_per_second: 20.0 });
    (plan.senders, plan.split_writes) = (1, true);
    plan.measure = Duration::from_secs(1);
    let outcome = trial(Fault::None, &plan);
    assert_eq!(outcome.pairs.delivered, 20 * CLIENTS as u64);
    assert!(outcome.anomalies.is_none(), "{:?}", outcome.anomalies);
    // The kernel of this server delays the acknowledgement of a header by 40 ms.
    let median_ns = outcome.latencies.delivery.value_at_quantile(0.5);
    assert!(median_ns > 30_000_000, "{median_ns} ns");
}

#[test]
fn short_lived_connections_churn_beside_the_load() {
    let mut plan = fixed_rate();
    plan.churn_per_second = 100.0;
    let outcome = trial(Fault::None, &plan);
    let churn = outcome.extras.churn;
    // One every 10 ms in 50 ms of warm-up and 300 ms of window.
    assert!(churn.connections == 35 && churn.failed == 0, "{churn:?}");
    assert_eq!(outcome.pairs.delivered, 300 * CLIENTS as u64);
    assert!(outcome.anomalies.is_none(), "{:?}", outcome.anomalies);
}

#[test]
fn a_client_that_never_reads_and_is_disconnected_is_counted() {
    let mut plan = fixed_rate();
    plan.stalled = 1;
    assert_eq!(trial(Fault::None, &plan).extras.stalled_disconnected, 0);
    // It connected last, so it is the one that this server closes.
    let outcome = trial(Fault::CloseOne, &plan);
    assert_eq!(outcome.extras.stalled_disconnected, 1);
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
    assert_eq!(outcome.pairs.delivered, 300 * CLIENTS as u64);
}

#[test]
fn a_sample_holds_what_was_sent_and_received_from_the_window_on() {
    let outcome = trial(Fault::None, &fixed_rate());
    let sample = outcome.sample;
    assert_eq!(sample.clients, [0, 2, 3]);
    let received =
        |client| sample.events.iter().filter(|it| it.received && it.client == client).count();
    // All of the window, and of the 50 ms before it what a busy machine delivered late.
    assert!((300..=350).contains(&received(2)), "{}", received(2));
    let sent = sample.events.iter().filter(|it| !it.received);
    assert!(sent.clone().count() > 0 && sent.clone().all(|it| it.client == 0 && it.sender == 0));
}

#[test]
fn a_lost_connection_is_recorded_and_the_trial_goes_on() {
    let outcome = trial(Fault::CloseOne, &fixed_rate());
    assert_eq!(outcome.lost.len(), 1, "{:?}", outcome.lost);
    assert_eq!(outcome.pairs.expected(), 300 * CLIENTS as u64);
    assert!(outcome.pairs.cut_off > 0);
    assert!(outcome.pairs.delivered >= 300 * (CLIENTS as u64 - 1));
}

#[test]
fn a_server_that_closes_everything_ends_the_trial_with_an_error() {
    let server = FakeServer::start(Fault::CloseAll);
    // The trial ends with the connections, long before this window does.
    let plan = Plan { measure: Duration::from_secs(60), ..fixed_rate() };
    let error = run(server.address(), &plan, |_| {}).unwrap_err();
    assert!(matches!(error, LoadError::AllLost { clients: CLIENTS, .. }), "{error}");
}

#[test]
fn a_server_that_accepts_and_does_nothing_is_reported_with_the_number_it_serves() {
    let server = FakeServer::start(Fault::Silent);
    let mut plan = fixed_rate();
    plan.ready_max = Duration::from_millis(300);
    let error = run(server.address(), &plan, |_| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "only 0 of 4 clients received a message within 0.3 s of connecting"
    );
}

#[test]
fn nobody_listening_is_one_clear_line() {
    // Bound, so that no other process gets the port, but not listening.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let error = run(address, &fixed_rate(), |_| {}).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("connected 0 of 4 clients to {address}, then: ")),
        "{error}"
    );
    assert!(error.contains("refused"), "{error}");
}
