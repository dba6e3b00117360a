//! What a counterexample says, and that a wrong one is refuted.

use zillions_ordering::{
    Claim, Class, Counterexample, History, Refutation, Rule, check, confirm, load,
};

fn history(lines: &str) -> History {
    load(format!("zillions-history 1\n{lines}\nend\n").as_bytes())
        .expect("the lines are well formed")
}

fn broken(lines: &str, rule: Rule) -> (History, Counterexample) {
    let history = history(lines);
    let found = check(&history).of(rule).clone().expect_err("the rule is broken");
    (history, found)
}

fn explained(lines: &str, rule: Rule) -> String {
    broken(lines, rule).1.to_string()
}

const INVERSION: &str = "connect #0\nconnect #1\nsend #0 0\nsend #1 0\n\
    recv #0 #0:0 @0 t=1000000\nrecv #0 #1:0 @65 t=2000000\n\
    recv #1 #1:0 @0 t=1000500\nrecv #1 #0:0 @65 t=1500000000\n";

#[test]
fn two_receivers_that_disagree_are_told_with_places_and_times() {
    assert_eq!(
        explained(INVERSION, Rule::Total),
        "TOTAL (ORDER-3) is broken: two receivers disagree about the order of two messages\n  \
         #0 received #0:0 before #1:0 (bytes 0 and 65, at 0.001000 s and 0.002000 s)\n  \
         #1 received #1:0 before #0:0 (bytes 0 and 65, at 0.001000 s and 1.500000 s)\n\
         so no single order fits all"
    );
}

#[test]
fn names_stand_for_connections() {
    assert_eq!(
        explained(
            "connect asker\nconnect relay\nconnect late\nsend asker 0\n\
             recv relay asker0 @0 t=1000\nsend relay 0\nrecv late relay0 @0 t=2000\n\
             recv late asker0 @9 t=3000\n",
            Rule::Causal
        ),
        "CAUSAL (ORDER-4) is broken: an answer was ordered before what it answers\n  \
         relay received asker0 before it sent relay0 (byte 0, at 0.000001 s)\n  \
         late received relay0 before asker0 (bytes 0 and 9, at 0.000002 s and 0.000003 s)\n\
         so no single order fits all and puts answers after what they answer"
    );
}

#[test]
fn each_kind_of_broken_integrity_is_told() {
    let start = "connect a\nconnect b\nsend a 0\nshort a 1 \"hi\"\n";
    let cases = [
        ("recv b a0 @0\nrecv b a0 @9\n", "b received a0 twice (bytes 0 and 9, "),
        ("recv b a5 @0\n", "b received a5 (byte 0, at 0.000000 s), which nobody sent"),
        ("recv b a2 @0\nsend a 2\n", "which was sent only later (event 5)"),
        ("recv b a1 @0\n", "which was sent (event 3) as a short message, without an id"),
        (
            "recv-unknown b \"13 zeros\" @0\n",
            "received a frame that nobody sent (byte 0, at 0.000000 s): 13 zeros",
        ),
        (
            "recv-short b \"hi\" @0\nrecv-short b \"hi\" @3\n",
            "b received \"hi\" 2 times (byte 3, at 0.000000 s), but it had been sent 1 times",
        ),
    ];
    for (lines, told) in cases {
        let text = explained(&format!("{start}{lines}"), Rule::Integrity);
        assert!(text.contains(told), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}

#[test]
fn short_messages_out_of_order_are_told_with_their_fences() {
    let text = explained(
        "connect a\nconnect b\nsend a 0\nshort a 1 \"x\"\nshort a 2 \"\"\nsend a 3\n\
         recv b a0 @0\nrecv-short b \"\" @9\nrecv-short b \"x\" @10\nrecv b a3 @12\n",
        Rule::Fifo,
    );
    let told = "  after a0, b received \"\" \"x\" of a (byte 10, at 0.000000 s), \
                but in between a sent \"x\" \"\"";
    assert_eq!(text.lines().nth(1), Some(told), "{text}");
}

#[test]
fn the_closing_event_is_the_first_that_breaks_the_rule() {
    let (_, total) = broken(INVERSION, Rule::Total);
    assert_eq!((total.closing_event, total.class), (7, Class::TwoReceiverInversion));
}

#[test]
fn of_several_cycles_that_one_event_closes_the_shortest_is_told() {
    // The last receipt tells c which short messages it had received. Through the
    // first of them leads a cycle of three claims, through the second one of two.
    let (history, found) = broken(
        "connect a\nconnect b\nconnect c\nconnect d\nconnect e\nconnect f\n\
         send a 0\nshort a 1 \"\"\nshort a 2 \"\"\nsend a 3\nshort a 4 \"\"\n\
         send b 0\nsend d 0\nsend f 0\n\
         recv e b0 @0\nrecv e f0 @9\n\
         recv f a0 @0\nrecv f f0 @9\nrecv-short f \"\" @18\nrecv-short f \"\" @19\nrecv f a3 @20\n\
         recv d a0 @0\nrecv-short d \"\" @9\nrecv d d0 @10\nrecv-short d \"\" @19\nrecv d a3 @20\n\
         recv c a0 @0\nrecv-short c \"\" @9\nrecv c b0 @10\nrecv-short c \"\" @19\n\
         recv c d0 @20\nrecv c a3 @29\n",
        Rule::Total,
    );
    assert_eq!((found.closing_event, found.claims.len()), (31, 2), "{found}");
    assert_eq!(found.class, Class::TwoReceiverInversion);
    assert_eq!(confirm(&history, &found), Ok(()));
}

#[test]
fn counterexamples_come_back_from_json() {
    for (lines, rule) in [(INVERSION, Rule::Causal), ("connect a\nrecv a a0 @0\n", Rule::Integrity)]
    {
        let (_, found) = broken(lines, rule);
        let json = serde_json::to_string(&found).expect("it can be written");
        let back: Counterexample = serde_json::from_str(&json).expect("it can be read");
        assert_eq!(back, found);
    }
    let (_, found) = broken("connect a\nsend a 0\nrecv a a0 @0\nrecv a a0 @9\n", Rule::Integrity);
    let json = serde_json::to_value(&found).expect("it can be written");
    assert_eq!(json["rule"], "integrity");
    assert_eq!(json["class"], "duplicate");
    assert_eq!(json["closing_event"], 3);
    assert_eq!(json["names"]["0"], "a");
    let claim = &json["claims"][0];
    assert_eq!((&claim["kind"], &claim["connection"]), (&"received-twice".into(), &0.into()));
    assert_eq!(claim["second"]["message"]["sequence"], 0);
    assert_eq!(claim["second"]["position"]["offset"], 9);
}

#[test]
fn a_counterexample_with_any_claim_changed_is_refuted() {
    let (history, found) = broken(INVERSION, Rule::Total);
    assert_eq!(confirm(&history, &found), Ok(()));
    let changed = |change: &dyn Fn(&mut Counterexample)| {
        let mut other = found.clone();
        change(&mut other);
        confirm(&history, &other)
    };
    let first = |change: &dyn Fn(&mut zillions_ordering::Sighting)| {
        changed(&|other| {
            if let Claim::Before { first, .. } = &mut other.claims[0] {
                change(first);
            }
        })
    };
    let untrue = |result| matches!(result, Err(Refutation::Claim { claim: 1, .. }));
    assert!(untrue(first(&|sighting| sighting.event -= 1)));
    assert!(untrue(first(&|sighting| sighting.message.sequence += 1)));
    assert!(untrue(first(&|sighting| sighting.position = None)));
    assert!(untrue(changed(&|other| other.closing_event = 2)));
    let proves_nothing = |result| matches!(result, Err(Refutation::NoContradiction(_)));
    assert!(proves_nothing(changed(&|other| drop(other.claims.pop()))));
    assert!(proves_nothing(changed(&|other| other.claims.clear())));
    assert!(proves_nothing(changed(&|other| other.rule = Rule::Integrity)));
    assert!(proves_nothing(changed(&|other| other.rule = Rule::Fifo)));
    assert!(proves_nothing(changed(&|other| other.class = Class::Cycle)));
    assert!(proves_nothing(changed(&|other| other.claims[1] = other.claims[0].clone())));
}

#[test]
fn a_claim_about_short_messages_is_refuted_where_they_fit() {
    let start = "connect a\nconnect b\nsend a 0\nshort a 1 \"x\"\nshort a 2 \"y\"\nsend a 3\nrecv b a0 @0\n";
    let wrong = format!("{start}recv-short b \"y\" @9\nrecv-short b \"x\" @11\n");
    let (history, found) = broken(&wrong, Rule::Fifo);
    assert_eq!(confirm(&history, &found), Ok(()));
    assert!(!check(&history).all_kept());
    let right = self::history(&format!("{start}recv-short b \"x\" @9\nrecv-short b \"y\" @11\n"));
    assert!(confirm(&right, &found).is_err());
    assert!(check(&right).all_kept());
}

#[test]
fn a_large_history_with_one_late_swap_is_proven_with_two_claims() {
    let mut history = History::new();
    let connections: Vec<_> = (0..10).map(|_| history.connect()).collect();
    let at = |offset| zillions_ordering::StreamPosition { offset, time_ns: offset };
    let rounds = 2_000;
    for round in 0..rounds {
        let pair = [history.send(connections[0]), history.send(connections[1])];
        for &receiver in &connections {
            let is_wrong = round == rounds - 1 && receiver == connections[7];
            let order = if is_wrong { [pair[1], pair[0]] } else { pair };
            order.into_iter().for_each(|id| history.receive(receiver, id, at(round)));
        }
    }
    let verdicts = check(&history);
    assert!(verdicts.integrity.is_ok() && verdicts.fifo.is_ok());
    let total = verdicts.total.expect_err("one receiver disagrees");
    assert_eq!(total.claims.len(), 2);
    assert_eq!(confirm(&history, &total), Ok(()));
}
