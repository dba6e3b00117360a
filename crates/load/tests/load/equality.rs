//! Verification by comparison leaves the same account as verification message by message: for
//! every kind of anomaly at every place, and for streams that proptest makes up.
//!
//! By default at a few places and for fewer streams, and for all with `ZILLIONS_TESTS=all`.

use proptest::prelude::*;
use zillions_load::{Filler, WireFormat};
use zillions_testing::runs_all;

use crate::both_ways::{Anomaly, BothWays};

const CLIENTS: usize = 3;
/// One byte; less than a unit; all at once.
const PIECES_BYTES: [usize; 3] = [1, 19, 100_000];

/// How many places in a stream an anomaly is at, one after the other. By default the first two: a
/// filler message, where there are any, and a message.
pub(crate) fn places() -> usize {
    if runs_all() { 6 } else { 2 }
}

/// How many streams proptest makes up: by default a quarter.
pub(crate) fn made_up() -> ProptestConfig {
    let usual = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if runs_all() { usual.cases } else { usual.cases.div_ceil(4) };
    ProptestConfig { cases, ..usual }
}

/// Two senders, of whom one sends its messages with filler messages before them, if there are any.
fn trial(wire: WireFormat) -> BothWays {
    let per_message = u32::from(wire == WireFormat::Zillions);
    let mut trial = BothWays::on_threads(1, wire, CLIENTS, 2, Filler { per_message, bytes: 1 });
    for (sender, length, number) in [(0, 64, 3), (1, 20, 2), (0, 255, 1), (1, 64, 2)] {
        trial.send(sender, length, number);
    }
    trial
}

/// All of `receivers` get everything in pieces, `wronged` with an anomaly at a place.
pub(crate) fn deliver_all(
    trial: &mut BothWays,
    receivers: impl Iterator<Item = usize>,
    wronged: usize,
    (anomaly, place): (Anomaly, usize),
    piece_bytes: usize,
) {
    for receiver in receivers {
        if receiver == wronged {
            trial.deliver(receiver, place);
            trial.deliver_wrongly(receiver, anomaly, place * 7 + piece_bytes);
        }
        trial.deliver(receiver, usize::MAX);
        trial.receive_all(receiver, piece_bytes);
    }
}

/// One receiver has `anomaly` at `place`; the first one that receives anything if `is_first`.
fn check(wire: WireFormat, anomaly: Anomaly, place: usize, piece_bytes: usize, is_first: bool) {
    let mut trial = trial(wire);
    let wronged = if is_first { 0 } else { 1 };
    deliver_all(&mut trial, 0..CLIENTS, wronged, (anomaly, place), piece_bytes);
    trial.send(0, 64, 2);
    assert!(trial.finish() > 0, "nothing was compared");
}

fn check_all(wire: WireFormat) {
    for anomaly in Anomaly::ALL {
        for place in 0..places() {
            for piece_bytes in PIECES_BYTES {
                check(wire, anomaly, place, piece_bytes, false);
                check(wire, anomaly, place, piece_bytes, true);
            }
        }
    }
}

#[test]
fn every_anomaly_at_every_place_is_entered_as_one_by_one() {
    check_all(WireFormat::Zillions);
}

#[test]
fn every_anomaly_of_a_nats_stream_is_entered_as_one_by_one() {
    check_all(WireFormat::Nats);
}

#[test]
fn every_anomaly_of_a_redis_stream_is_entered_as_one_by_one() {
    check_all(WireFormat::Redis);
}

#[test]
fn without_anomalies_only_the_first_receiver_is_verified_one_by_one() {
    for wire in [WireFormat::Zillions, WireFormat::Nats, WireFormat::Redis] {
        for piece_bytes in PIECES_BYTES {
            let mut trial = BothWays::on_threads(1, wire, CLIENTS, 2, Filler::default());
            for round in 0..20 {
                trial.send(round % 2, 64, 10);
            }
            for receiver in 0..CLIENTS {
                trial.deliver(receiver, usize::MAX);
                trial.receive_all(receiver, piece_bytes);
            }
            // A receiver's place is known from its first message on.
            assert_eq!(trial.finish(), (200 - 1) * (CLIENTS as u64 - 1), "{wire:?}, {piece_bytes}");
        }
    }
}

#[test]
fn a_receiver_that_is_far_behind_is_verified_one_by_one_and_catches_up() {
    let mut trial = BothWays::on_threads(1, WireFormat::Zillions, CLIENTS, 1, Filler::default());
    // 8 MiB of messages, of which half is kept.
    for _ in 0..8 * 1024 * 1024 / 256 / 32 {
        trial.send(0, 255, 32);
        trial.deliver(0, usize::MAX);
        trial.receive_all(0, 100_000);
    }
    // The other two receive everything at once: 32,768 messages each, half of them too old.
    let compared = trial.finish();
    assert!((2 * 8_000..2 * 20_000).contains(&compared), "{compared} messages were compared");
    trial.send(0, 255, 32);
    assert_eq!(trial.finish(), compared + 2 * 32);
}

proptest! {
    #![proptest_config(made_up())]

    #[test]
    fn any_streams_are_entered_as_one_by_one(
        choice: u8,
        steps in prop::collection::vec(any::<[u8; 4]>(), 0..120),
    ) {
        let mut trial = BothWays::chosen_by(choice);
        steps.into_iter().for_each(|step| trial.step(step));
        trial.finish_threads();
    }
}
