//! What counts as delivered, dropped, unresolved and maybe sent.

use zillions_ordering::{
    ConnectionId, History, MessageId, ShortTally, StreamPosition, Tally, account, load,
};

const AT: StreamPosition = StreamPosition { offset: 0, time_ns: 0 };

fn tally(delivered: u64, dropped: u64, unresolved: u64, maybe_sent: u64) -> Tally {
    Tally { delivered, dropped, unresolved, maybe_sent }
}

fn text(lines: &str) -> History {
    load(format!("zillions-history 1\n{lines}\nend\n").as_bytes())
        .expect("the lines are well formed")
}

fn named(history: &History, name: &str) -> ConnectionId {
    history.connection(name).expect("there is one")
}

#[test]
fn a_message_is_unresolved_until_a_later_one_of_its_sender_arrives() {
    let mut history = History::new();
    let (a, b) = (history.connect(), history.connect());
    let ids: Vec<MessageId> = (0..5).map(|_| history.send(a)).collect();
    history.receive(b, ids[0], AT);
    assert_eq!(account(&history).pair(a, b), Some(tally(1, 0, 4, 0)));
    history.receive(b, ids[3], AT);
    assert_eq!(account(&history).pair(a, b), Some(tally(2, 2, 1, 0)));
    history.receive(b, ids[4], AT);
    assert_eq!(account(&history).pair(a, b), Some(tally(3, 2, 0, 0)));
}

#[test]
fn another_senders_messages_resolve_nothing() {
    let history = text("connect a\nconnect b\nconnect c\nsend a 0\nsend b 0\nrecv c b0 @0\n");
    let account = account(&history);
    let (a, b, c) = (named(&history, "a"), named(&history, "b"), named(&history, "c"));
    assert_eq!(account.pair(a, c), None, "nothing of a arrived at c");
    assert_eq!(account.pair(b, c), Some(tally(1, 0, 0, 0)));
    assert_eq!(account.receiver(c), Some(tally(1, 0, 1, 0)));
    assert_eq!(account.receiver(a), Some(tally(0, 0, 2, 0)));
    assert_eq!(account.totals(), tally(1, 0, 5, 0));
}

#[test]
fn messages_from_before_a_receiver_connected_are_not_expected() {
    let history = text(
        "connect a\nsend a 0\nsend a 1\nconnect b\nsend a 2\nsend a 3\n\
         recv b a1 @0\nrecv b a3 @9\n",
    );
    let (a, b) = (named(&history, "a"), named(&history, "b"));
    // a0 is not missed; a1 came all the same; a2 was dropped.
    assert_eq!(account(&history).pair(a, b), Some(tally(2, 1, 0, 0)));
}

#[test]
fn messages_that_may_never_have_left_are_never_dropped() {
    let history = text(
        "connect a\nconnect b\nsend a 0\nsend a 1\nsend a 2\nsend a 3\nmaybe-from a2\n\
         recv b a1 @0\nrecv b a3 @9\n",
    );
    let (a, b) = (named(&history, "a"), named(&history, "b"));
    assert_eq!(account(&history).pair(a, b), Some(tally(2, 1, 0, 1)));
    assert_eq!(account(&history).receiver(a), Some(tally(0, 0, 2, 2)));
    assert_eq!(account(&history).receiver(b), Some(tally(2, 1, 0, 1)));
    assert_eq!(account(&history).totals(), tally(2, 1, 2, 3));
}

#[test]
fn what_may_have_been_sent_before_a_receiver_connected_is_not_expected() {
    let history =
        text("connect a\nsend a 0\nmaybe a 1\nconnect b\nmaybe a 2\nmaybe a 3\nconnect c\n");
    let of = |name| account(&history).receiver(named(&history, name));
    assert_eq!(of("b"), Some(tally(0, 0, 0, 2)));
    assert_eq!(of("c"), Some(tally(0, 0, 0, 0)));
}

#[test]
fn the_first_message_that_may_not_have_left_is_none_that_surely_did() {
    let history = text(
        "connect a\nconnect b\nsend a 0\nsend a 1\nsend a 2\nsend a 3\nmaybe-from a2\n\
         recv b a2 @0\n",
    );
    let (a, b) = (named(&history, "a"), named(&history, "b"));
    assert_eq!(account(&history).pair(a, b), Some(tally(1, 2, 0, 1)));
}

#[test]
fn a_sender_is_told_that_its_messages_may_not_have_left() {
    let mut history = History::new();
    let (a, b) = (history.connect(), history.connect());
    let ids: Vec<MessageId> = (0..3).map(|_| history.send(a)).collect();
    history.mark_maybe_sent_from(ids[1]);
    assert_eq!(account(&history).receiver(b), Some(tally(0, 0, 1, 2)));
}

#[test]
fn what_breaks_integrity_is_not_counted() {
    let history = text(
        "connect a\nconnect b\nsend a 0\nrecv b a0 @0\nrecv b a0 @9\nrecv b a7 @18\n\
         recv-unknown b \"?\" @27\n",
    );
    assert_eq!(account(&history).totals(), tally(1, 0, 1, 0));
}

#[test]
fn short_messages_are_dropped_at_least_when_fences_leave_too_few() {
    let lines = "connect a\nconnect b\nsend a 0\nshort a 1 \"\"\nshort a 2 \"\"\nsend a 3\n\
                 short a 4 \"\"\nrecv b a0 @0\nrecv-short b \"\" @9\n";
    let short = |delivered, dropped_min| ShortTally { delivered, dropped_min };
    assert_eq!(account(&text(lines)).shorts(), short(1, 0));
    let fenced = format!("{lines}recv b a3 @10\n");
    assert_eq!(account(&text(&fenced)).shorts(), short(1, 1));
    assert_eq!(account(&text(&fenced)).totals(), tally(2, 0, 2, 0), "ids only");
    // A client that comes later misses the later one only.
    let late = "connect a\nshort a 0 \"\"\nshort a 1 \"\"\nconnect b\nshort a 2 \"\"\nsend a 3\n\
                recv b a3 @0\n";
    assert_eq!(account(&text(late)).shorts(), short(0, 1));
}

#[test]
fn senders_are_interleaved_when_one_comes_between_two_messages_of_another() {
    let lines = "connect a\nconnect b\nsend a 0\nsend a 1\nsend b 0\n";
    let is_interleaved = |more: &str| account(&text(&format!("{lines}{more}"))).interleaved();
    assert!(!is_interleaved(""));
    assert!(!is_interleaved("recv b a0 @0\nrecv b a1 @9\nrecv b b0 @18\n"));
    assert!(!is_interleaved("recv b a0 @0\nrecv b b0 @9\nrecv a a1 @18\n"));
    assert!(is_interleaved("recv b a0 @0\nrecv b b0 @9\nrecv b a1 @18\n"));
}

#[test]
fn pairs_add_up_to_the_totals() {
    let mut history = History::new();
    let connections = [history.connect(), history.connect(), history.connect()];
    for round in 0..30u32 {
        let id = history.send(connections[round as usize % 3]);
        for (index, &receiver) in connections.iter().enumerate() {
            if round % (index as u32 + 2) != 0 {
                history.receive(receiver, id, AT);
            }
        }
    }
    let account = account(&history);
    let delivered: u64 = account.pairs().iter().map(|pair| pair.tally.delivered).sum();
    let dropped: u64 = account.pairs().iter().map(|pair| pair.tally.dropped).sum();
    let totals = account.totals();
    assert_eq!((delivered, dropped), (totals.delivered, totals.dropped));
    assert_eq!(totals.delivered, history.deliveries());
    assert_eq!(totals.delivered + totals.dropped + totals.unresolved, 30 * 3);
    assert!(totals.dropped > 20 && account.interleaved());
}
