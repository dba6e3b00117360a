//! The exact check of the order of messages, on a sample of a trial.

use std::collections::{BTreeSet, HashMap};

use zillions_load::OrderSample;
use zillions_ordering::{ConnectionId, History, MessageId, StreamPosition, check};
use zillions_report::record::OrderRecord;

/// Whether the clients of `sample` agree on one order that also keeps cause before effect.
///
/// The sample begins in mid-stream: what nobody in it received is left out, which changes no
/// verdict, because a contradiction is one in what was received.
///
/// # Panics
/// When the ordering checker refutes its own counterexample.
#[must_use]
pub fn judge(sample: &OrderSample) -> OrderRecord {
    let received = sample.events.iter().filter(|event| event.received);
    let deliveries = received.clone().count() as u64;
    if deliveries == 0 {
        return OrderRecord::default();
    }
    let history = history(sample);
    let verdicts = match check(&history).confirmed(&history) {
        Ok(verdicts) => verdicts,
        // A bug in the checker must not count as the server's failure.
        Err(error) => panic!("{error}"),
    };
    let violation = verdicts.broken().next().map_or_else(String::new, |found| {
        format!(
            "receivers contradict one another: {} ({}) is broken by {} observations",
            found.rule.clause(),
            found.rule.name(),
            found.claims.len()
        )
    });
    OrderRecord { receivers: sample.clients.len() as u32, deliveries, violation }
}

/// The sample as a history of its own: the messages of each sender are numbered anew.
fn history(sample: &OrderSample) -> History {
    let mut sequences: HashMap<u16, BTreeSet<u32>> = HashMap::new();
    let mut first_sent: HashMap<u16, u32> = HashMap::new();
    for event in &sample.events {
        if event.received {
            sequences.entry(event.sender).or_default().insert(event.sequence);
        } else {
            first_sent.entry(event.sender).or_insert(event.sequence);
        }
    }
    let mut history = History::new();
    let mut connections: HashMap<u16, ConnectionId> = HashMap::new();
    let clients: BTreeSet<u16> = sample.clients.iter().chain(sequences.keys()).copied().collect();
    for client in clients {
        connections.insert(client, history.connect());
    }
    let mut numbers: HashMap<(u16, u32), MessageId> = HashMap::new();
    for (&sender, all) in &sequences {
        // What was sent before the sample began, or by a client outside it.
        let known_from = first_sent.get(&sender).copied().unwrap_or(u32::MAX);
        for &sequence in all.range(..known_from) {
            numbers.insert((sender, sequence), history.send(connections[&sender]));
        }
    }
    for (at, event) in sample.events.iter().enumerate() {
        let key = (event.sender, event.sequence);
        let is_wanted = || sequences.get(&key.0).is_some_and(|all| all.contains(&key.1));
        if event.received {
            // A message that was received before it was sent was invented by the server. The ledger
            // counts it; here it is left out.
            if let Some(&message) = numbers.get(&key) {
                let position = StreamPosition { offset: at as u64, time_ns: 0 };
                history.receive(connections[&event.client], message, position);
            }
        } else if is_wanted() {
            numbers.insert(key, history.send(connections[&event.sender]));
        }
    }
    history
}

#[cfg(test)]
mod tests {
    use zillions_load::{Plan, Verifier, body};

    use super::*;
    use crate::scenario::{Scenario, load_plan};

    /// Client 0 and 1 send; `events` are (client, sender, sequence, received).
    fn verdict(events: &[(u16, u16, u32, bool)]) -> OrderRecord {
        let mut sample = OrderSample::new(4, 1);
        sample.open();
        for (at, &(client, sender, sequence, received)) in events.iter().enumerate() {
            sample.note(usize::from(client), sender, sequence, received, at as u64);
        }
        judge(&sample)
    }

    #[test]
    fn receivers_that_agree_are_counted_and_pass() {
        let record = verdict(&[
            (0, 0, 7, false),
            (2, 0, 7, true),
            (2, 1, 3, true),
            (3, 0, 7, true),
            (3, 1, 5, true),
        ]);
        assert_eq!(record, OrderRecord { receivers: 3, deliveries: 4, violation: String::new() });
    }

    #[test]
    fn two_receivers_that_disagree_are_found_in_mid_stream() {
        let record =
            verdict(&[(2, 0, 70, true), (2, 1, 30, true), (3, 1, 30, true), (3, 0, 70, true)]);
        assert!(record.violation.contains("ORDER-3"), "{}", record.violation);
        assert!(!record.violation.contains('\n'));
    }

    #[test]
    fn an_effect_before_its_cause_is_found() {
        // Client 0 receives 1:5, then sends 0:9; client 3 sees the answer first.
        let record =
            verdict(&[(0, 1, 5, true), (0, 0, 9, false), (3, 0, 9, true), (3, 1, 5, true)]);
        assert!(record.violation.contains("ORDER-4"), "{}", record.violation);
    }

    /// The order in which clients 1 and 2 receive the first message of each of two senders, verified
    /// on `load_threads` threads.
    fn verdict_of_threads(load_threads: usize, orders: [[usize; 2]; 2]) -> OrderRecord {
        let scenario = Scenario::find("small-room").unwrap().record(false);
        let (clients, senders) = (3, 2);
        let plan = Plan { clients, senders, load_threads, ..load_plan(&scenario, None, 7) };
        let mut verifiers = Verifier::for_threads(&plan);
        verifiers.iter_mut().for_each(Verifier::open_sample);
        let messages = [0, 1].map(|sender: u16| {
            let thread = usize::from(sender) % load_threads;
            let stamp = verifiers[thread].send(sender, 10);
            verifiers[thread].written(sender, 0, 20, 3);
            let mut message = Vec::new();
            body::append_frame(stamp, 64, 7, &mut message);
            message
        });
        for (client, order) in [(1, orders[0]), (2, orders[1])] {
            for (at, sender) in order.into_iter().enumerate() {
                let now_ns = 30 + at as u64;
                verifiers[client % load_threads].receive(client, &messages[sender], now_ns);
            }
        }
        judge(Verifier::merge(verifiers).unwrap().account().sample())
    }

    #[test]
    fn receivers_in_different_threads_that_disagree_are_found() {
        for load_threads in [1, 2, 3] {
            let agreed = verdict_of_threads(load_threads, [[0, 1], [0, 1]]);
            assert_eq!((agreed.deliveries, agreed.violation.as_str()), (4, ""));
            let record = verdict_of_threads(load_threads, [[0, 1], [1, 0]]);
            assert!(record.violation.contains("ORDER-3"), "{load_threads}: {record:?}");
        }
    }

    #[test]
    fn a_sample_without_a_delivery_says_nothing() {
        assert_eq!(verdict(&[(0, 0, 7, false)]), OrderRecord::default());
    }
}
