//! Limits of the machine: senders that are no servers, and a receiver that counts.

use std::net::{TcpListener, TcpStream};
use std::thread;

use zillions_load::yardstick::{Feed, Pace, receive_only};
use zillions_load::{Load, Plan};

use crate::{CLIENTS, fixed_rate, plan};

/// Receives what a sender of the same plan sends, after somebody else has looked whether it listens.
fn measure(plan: &Plan) -> zillions_load::Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(TcpStream::connect(address).unwrap());
    let feed = Feed {
        clients: plan.clients,
        body_bytes: plan.body_bytes.clone(),
        untimed: 0,
        untimed_bytes: 0,
        pace: Pace::of(plan).unwrap(),
    };
    let sender = thread::spawn(move || feed.serve(&listener));
    let mut phases = 0;
    let outcome = receive_only(address, plan, |_| phases += 1).unwrap();
    // Without clients it ends.
    sender.join().unwrap().unwrap();
    assert_eq!(phases, 3);
    outcome
}

#[test]
fn every_client_receives_from_either_sender_and_what_came_is_counted_in_messages() {
    for plan in [fixed_rate(), plan(Load::Saturate)] {
        let outcome = measure(&plan);
        let traffic = outcome.traffic;
        // Bodies of 18, 64 and 255 bytes, each with its header.
        assert_eq!(traffic.deliveries_arrived, traffic.bytes_arrived * 3 / 340, "{plan:?}");
        assert!(traffic.deliveries_arrived > CLIENTS as u64, "{traffic:?}");
        assert_eq!(outcome.pairs.expected(), traffic.deliveries_arrived);
        assert!(outcome.lost.is_empty() && traffic.window_seconds > 0.2, "{outcome:?}");
        assert!(outcome.generator[0].reads > 0 && outcome.latencies.delivery.is_empty());
    }
}
