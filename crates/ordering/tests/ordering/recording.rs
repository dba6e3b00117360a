//! Recording: what a history accepts, and what comes out of it again.

use zillions_ordering::{
    BODY_BYTES_MAX, ConnectionId, DETAIL_BYTES_MAX, Event, History, MessageId, RecordError,
    StreamPosition,
};

fn at(offset: u64, time_ns: u64) -> StreamPosition {
    StreamPosition { offset, time_ns }
}

#[test]
fn sequences_count_all_messages_of_a_sender() {
    let mut history = History::new();
    let (a, b) = (history.connect(), history.connect());
    let sequences =
        [history.send(a), history.send_anonymous(a, b""), history.send_maybe(a), history.send(a)];
    assert_eq!(sequences.map(|id| id.sequence), [0, 1, 2, 3]);
    assert_eq!(history.send(b), MessageId { sender: b, sequence: 0 });
    assert_eq!((history.sent(a), history.sent(b), history.messages()), (4, 1, 5));
}

#[test]
fn events_come_out_as_they_went_in() {
    let mut history = History::new();
    let relay = history.connect_named("relay").expect("it is a name");
    let other = history.connect();
    let unborn = MessageId { sender: ConnectionId::from_index(77), sequence: u32::MAX };
    let message = MessageId { sender: relay, sequence: 0 };
    let events = [
        Event::Send { message, short: None, maybe: true },
        Event::Receive { connection: other, message, position: at(0, u64::MAX) },
        Event::Receive { connection: other, message: unborn, position: at(u64::MAX, 0) },
        Event::ReceiveAnonymous { connection: relay, body: b"\x00\xff", position: at(1, 1) },
        Event::ReceiveAnonymous { connection: relay, body: b"\x00\xff", position: at(4, 1) },
        Event::ReceiveUnknown { connection: relay, position: at(7, 2), detail: "größer" },
        Event::MaybeFrom { message },
        Event::Send {
            message: MessageId { sender: other, sequence: 0 },
            short: Some(b"\x00\xff"),
            maybe: false,
        },
    ];
    for event in events {
        history.record(event).expect("each can stand here");
    }
    let out: Vec<Event<'_>> = history.events().collect();
    assert_eq!(out[0], Event::Connect { connection: relay, name: Some("relay") });
    assert_eq!(out[1], Event::Connect { connection: other, name: None });
    assert_eq!(out[2..], events);
    let by_index: Vec<_> = (0..11).map_while(|index| history.event(index)).collect();
    assert_eq!(by_index, out);
    assert_eq!(history.event_count(), 10);
    assert_eq!(history.deliveries(), 5);
}

#[test]
fn what_cannot_stand_in_a_history_is_refused_and_changes_nothing() {
    let mut history = History::new();
    let a = history.connect_named("a").expect("it is a name");
    let nobody = ConnectionId::from_index(9);
    let id = |sender, sequence| MessageId { sender, sequence };
    let send = |message| Event::Send { message, short: None, maybe: false };
    let long = vec![0; BODY_BYTES_MAX + 1];
    let position = at(0, 0);
    let connect = |connection, name| Event::Connect { connection, name };
    let next = ConnectionId::from_index(1);
    let refused = [
        (send(id(nobody, 0)), RecordError::UnknownConnection(nobody)),
        (send(id(a, 1)), RecordError::SequenceOutOfTurn { given: id(a, 1), expected: 0 }),
        (Event::MaybeFrom { message: id(a, 0) }, RecordError::NotSent(id(a, 0))),
        (
            Event::ReceiveAnonymous { connection: a, body: &long, position },
            RecordError::BodyTooLong { bytes: 256 },
        ),
        (
            Event::Receive { connection: nobody, message: id(a, 0), position },
            RecordError::UnknownConnection(nobody),
        ),
        (connect(a, None), RecordError::ConnectionOutOfTurn { given: a, expected: next }),
        (connect(next, Some("a")), RecordError::NameTaken("a".into())),
        (connect(next, Some("r1")), RecordError::BadName("r1".into())),
        (connect(next, Some("")), RecordError::BadName(String::new())),
        (connect(next, Some("two words")), RecordError::BadName("two words".into())),
    ];
    for (event, error) in refused {
        assert_eq!(history.record(event), Err(error), "{event:?}");
        assert_eq!((history.event_count(), history.connections()), (1, 1));
    }
}

#[test]
fn histories_are_equal_when_every_event_is() {
    let lines = [&["a", "b"][..], &["a", "c"], &["a"]];
    let histories = lines.map(|names| {
        let mut history = History::new();
        for name in names {
            history.connect_named(name).expect("it is a name");
        }
        history
    });
    assert!(histories[0] == histories[0].clone());
    assert!(histories[0] != histories[1], "another name");
    assert!(histories[0] != histories[2], "one event less");
}

#[test]
fn errors_stay_on_one_line_whatever_a_name_holds() {
    let mut history = History::new();
    let error = history.connect_named("two\nlines").expect_err("it is not a name").to_string();
    assert!(error.starts_with("invalid name of a connection `two\\nlines`: "), "{error}");
}

#[test]
#[should_panic(expected = "connection #1 does not exist in this history")]
fn a_connection_of_another_history_is_a_bug_of_the_caller() {
    let mut other = History::new();
    other.connect();
    let stranger = other.connect();
    let mut history = History::new();
    history.connect();
    history.send(stranger);
}

#[test]
fn a_long_detail_is_cut_between_characters() {
    let mut history = History::new();
    let a = history.connect();
    history.receive_unknown(a, at(0, 0), "x".to_owned() + &"ü".repeat(DETAIL_BYTES_MAX));
    let Some(Event::ReceiveUnknown { detail, .. }) = history.events().last() else {
        panic!("it was recorded");
    };
    assert_eq!(detail.len(), DETAIL_BYTES_MAX - 1);
    assert!(detail.ends_with('ü'));
}
