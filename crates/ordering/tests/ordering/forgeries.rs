//! Counterexamples that are nearly true: each has to be refuted.

use zillions_ordering::{
    Claim, Counterexample, History, Order, Refutation, Rule, Sighting, StreamPosition, Unconfirmed,
    check, confirm, load,
};

fn history(lines: &str) -> History {
    load(format!("zillions-history 1\n{lines}\nend\n").as_bytes())
        .expect("the lines are well formed")
}

/// A history that breaks the rule, and its counterexample.
fn broken(lines: &str, rule: Rule) -> (History, Counterexample) {
    let history = history(lines);
    let found = check(&history).of(rule).clone().expect_err("the rule is broken");
    assert_eq!(confirm(&history, &found), Ok(()));
    (history, found)
}

/// The counterexample with each sighting changed.
fn with_sightings(found: &Counterexample, change: impl Fn(Order, &mut Sighting)) -> Counterexample {
    let mut forged = found.clone();
    for claim in &mut forged.claims {
        if let Claim::Before { order, first, second, .. } = claim {
            change(*order, first);
            change(*order, second);
        }
    }
    forged
}

fn is_untrue(result: &Result<(), Refutation>) -> bool {
    matches!(result, Err(Refutation::Claim { .. }))
}

const OVERTAKEN: &str = "connect a\nconnect b\nsend a 0\nsend a 1\n\
    recv b a1 @0\nrecv b a0 @9\n";

#[test]
fn every_part_of_a_claim_about_sending_is_looked_up() {
    let (history, found) = broken(OVERTAKEN, Rule::Fifo);
    let elsewhere = Some(StreamPosition { offset: 77, time_ns: 1 });
    let changes: [&dyn Fn(&mut Sighting); 3] = [
        &|sighting| sighting.position = elsewhere,
        &|sighting| sighting.short = Some(b"x".to_vec()),
        &|sighting| sighting.message.sequence ^= 1,
    ];
    for (number, change) in changes.iter().enumerate() {
        let forged = with_sightings(&found, |order, sighting| {
            if order == Order::Sent {
                change(sighting);
            }
        });
        let result = confirm(&history, &forged);
        assert!(is_untrue(&result), "change {number}: {result:?}");
    }
    let mut forged = found.clone();
    for claim in &mut forged.claims {
        if let Claim::Before { connection, order: Order::Sent, .. } = claim {
            *connection = zillions_ordering::ConnectionId::from_index(1);
        }
    }
    assert!(is_untrue(&confirm(&history, &forged)));
}

#[test]
fn verdicts_are_confirmed_on_their_own_history_and_on_no_other() {
    let (history, _) = broken(OVERTAKEN, Rule::Fifo);
    let verdicts = check(&history);
    assert_eq!(verdicts.clone().confirmed(&history), Ok(verdicts.clone()));
    let other = self::history(&OVERTAKEN.replace("recv b a1 @0", "recv b a1 @1"));
    let error = verdicts.confirmed(&other).expect_err("the offsets are others");
    assert!(matches!(error, Unconfirmed { rule: Rule::Fifo, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("internal error of the ordering checker: "), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn a_receipt_from_before_the_message_was_sent_is_no_claim_about_order() {
    let (_, found) = broken(OVERTAKEN, Rule::Fifo);
    let lines = "connect a\nconnect b\nsend a 0\nrecv b a1 @0 t=2\nsend a 1\n\
        recv b a0 @9 t=2\n";
    let history = history(lines);
    // The same claims, at the places where the messages stand here.
    let forged = with_sightings(&found, |order, sighting| {
        sighting.event = match (order, sighting.message.sequence) {
            (Order::Sent, 1) => 4,
            (Order::Received, 1) => 3,
            _ => sighting.event,
        };
    });
    assert!(check(&history).fifo.is_ok());
    assert!(is_untrue(&confirm(&history, &forged)));
}

#[test]
fn one_receipt_is_not_two() {
    let lines = "connect a\nsend a 0\nrecv a a0 @0\nrecv a a0 @9\n";
    let (history, found) = broken(lines, Rule::Integrity);
    let mut forged = found;
    let [Claim::ReceivedTwice { first, second, .. }] = &mut forged.claims[..] else {
        panic!("one message was received twice");
    };
    second.clone_from(first);
    assert!(is_untrue(&confirm(&history, &forged)));
}

#[test]
fn a_short_message_that_can_be_another_one_is_no_claim_about_order() {
    let clients = "connect a\nconnect b\nconnect c\nconnect d\n";
    let received = "send b 0\nrecv c a0 @0\nrecv-short c \"\" @9\nrecv c b0 @10\nrecv c a3 @19\n\
        recv d a0 @0\nrecv d b0 @9\nrecv-short d \"\" @18\nrecv d a3 @19\n";
    let sent = |second: &str| {
        format!("{clients}send a 0\nshort a 1 \"\"\nshort a 2 \"{second}\"\nsend a 3\n{received}")
    };
    // With another body in its place the empty message can only be the first.
    let (unambiguous, found) = broken(&sent("else"), Rule::Total);
    let changes: [&dyn Fn(&mut Sighting); 3] = [
        &|sighting| sighting.position = Some(StreamPosition { offset: 77, time_ns: 0 }),
        &|sighting| sighting.short = Some(b"else".to_vec()),
        &|sighting| sighting.event ^= 1,
    ];
    for (number, change) in changes.iter().enumerate() {
        let forged = with_sightings(&found, |_, sighting| {
            if sighting.short.is_some() {
                change(sighting);
            }
        });
        let result = confirm(&unambiguous, &forged);
        assert!(is_untrue(&result), "change {number}: {result:?}");
    }
    let ambiguous = history(&sent(""));
    assert!(check(&ambiguous).total.is_ok());
    assert!(is_untrue(&confirm(&ambiguous, &found)));
}

#[test]
fn a_proof_that_looks_further_than_it_has_to_is_still_one() {
    let lines = "connect a\nconnect b\nrecv b a0 @0\nsend a 0\n";
    let (history, mut found) = broken(lines, Rule::Integrity);
    assert_eq!(found.closing_event, 2);
    found.closing_event = 3;
    assert_eq!(confirm(&history, &found), Ok(()));
}

#[test]
fn short_messages_that_leave_no_room_are_counted_again() {
    let start = "connect a\nconnect b\nconnect c\nshort a 0 \"x\"\nsend a 1\nshort c 0 \"x\"\n";
    let after = "recv b a1 @0\nrecv-short b \"x\" @9\nrecv-short b \"x\" @11\n";
    let (history, found) = broken(&format!("{start}{after}"), Rule::Fifo);
    let forged = |other_received: u64, other_matched: u64, other_body: &[u8]| {
        let mut forged = found.clone();
        for claim in &mut forged.claims {
            let Claim::ShortUnmatched { received, matched, body, .. } = claim else {
                panic!("another claim: {claim:?}");
            };
            (*received, *matched, *body) = (other_received, other_matched, other_body.to_vec());
        }
        forged
    };
    assert_eq!(forged(2, 1, b"x"), found);
    for (received, matched, body) in
        [(2, 0, b"x"), (2, 2, b"x"), (1, 1, b"x"), (3, 1, b"x"), (2, 1, b"y")]
    {
        let result = confirm(&history, &forged(received, matched, body));
        assert!(is_untrue(&result), "{received} {matched}: {result:?}");
    }
    // Here one of them came before the message after it: both can be told apart.
    let before = "recv-short b \"x\" @0\nrecv b a1 @2\nrecv-short b \"x\" @11\n";
    let fits = self::history(&format!("{start}{before}"));
    assert!(is_untrue(&confirm(&fits, &found)));
    assert!(is_untrue(&confirm(&fits, &forged(2, 2, b"x"))));
}

#[test]
fn a_short_message_received_as_often_as_it_was_sent_breaks_nothing() {
    let start = "connect a\nconnect b\nshort a 0 \"x\"\nrecv-short b \"x\" @0\n";
    let (history, found) = broken(&format!("{start}recv-short b \"x\" @2\n"), Rule::Integrity);
    assert!(matches!(found.claims[..], [Claim::ReceivedMoreShort { received: 2, sent: 1, .. }]));
    let fits = self::history(&format!("{start}short a 1 \"x\"\nrecv-short b \"x\" @2\n"));
    let mut forged = found.clone();
    forged.closing_event += 1;
    for claim in &mut forged.claims {
        if let Claim::ReceivedMoreShort { sent, event, .. } = claim {
            (*sent, *event) = (2, 5);
        }
    }
    assert!(confirm(&fits, &forged).is_err());
    assert!(confirm(&history, &forged).is_err());
}
