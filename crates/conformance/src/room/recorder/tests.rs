//! What a room's book says of made-up deliveries.

use zillions_ordering::Event;

use super::*;

fn tally(sequences: &[u32]) -> Tally {
    let mut tally = Tally::default();
    for &sequence in sequences {
        tally.add(sequence);
    }
    tally
}

#[test]
fn a_tally_knows_which_of_the_last_messages_came() {
    let tally = tally(&[3, 4, 7, 6, 200]);
    assert!(tally.has(200) && !tally.has(199) && !tally.has(201));
    assert_eq!((tally.first, tally.latest, tally.received), (Some(3), Some(200), 5));
    let tally = self::tally(&[3, 4, 7, 6]);
    assert!(tally.has(3) && tally.has(4) && !tally.has(5) && tally.has(6) && tally.has(7));
    assert_eq!(tally.missing(), 1);
    let tally = self::tally(&[40, 9, 30]);
    assert!(tally.has(40) && tally.has(30) && tally.has(9));
    assert!((10..30).all(|sequence| !tally.has(sequence)));
    assert_eq!(tally.missing(), 29);
}

#[test]
fn a_frame_that_nobody_sent_is_a_violation_unless_the_case_expects_plain_ones() {
    let mut recorder = Recorder::new(1);
    recorder.join();
    recorder.receive(0, b"welcome", 0, 0);
    let told = "a frame came that nobody sent: 7 bytes [77 65 6c 63 6f 6d 65]";
    assert_eq!(recorder.violations()[0].what, told);
    recorder.expect_plain();
    recorder.receive(0, b"plain", 8, 0);
    assert_eq!(recorder.violations().len(), 1);
    assert_eq!(recorder.plain(0), [b"plain".to_vec()]);
    assert_eq!(recorder.take_plain(0), vec![b"plain".to_vec()]);
    recorder.ignore_plain();
    recorder.receive(0, b"flood", 14, 0);
    assert!(recorder.plain(0).is_empty() && recorder.violations().len() == 1);
}

#[test]
fn senders_are_mixed_when_one_comes_between_two_messages_of_anothers_burst() {
    let mut recorder = Recorder::new(1);
    recorder.join();
    recorder.join();
    let said = |recorder: &mut Recorder, sender| {
        let mut body = Vec::new();
        recorder.send(sender, 40, &mut body);
        body
    };
    // What came before the bursts mixes nothing.
    for sender in [0, 1] {
        let before = said(&mut recorder, sender);
        recorder.receive(0, &before, 0, 0);
    }
    recorder.begin_burst(0);
    recorder.begin_burst(1);
    let first = [said(&mut recorder, 0), said(&mut recorder, 0)];
    let second = [said(&mut recorder, 1), said(&mut recorder, 1)];
    // One after the other: of nobody's burst has anything come before another's.
    for body in [&first[0], &second[0]] {
        recorder.receive(0, body, 0, 0);
    }
    assert_eq!(recorder.mixed(), 0);
    recorder.receive(0, &first[1], 0, 0);
    assert_eq!(recorder.mixed(), 1);
    recorder.receive(0, &second[1], 0, 0);
    assert_eq!(recorder.mixed(), 2);
}

#[test]
fn echoes_that_were_given_up_count_again_when_one_of_them_comes() {
    let mut recorder = Recorder::new(1);
    recorder.join();
    let mut bodies = vec![Vec::new(); 5];
    for body in &mut bodies {
        recorder.send(0, 40, body);
    }
    assert_eq!(recorder.unechoed(0), 5);
    recorder.receive(0, &bodies[0], 0, 0);
    assert_eq!(recorder.unechoed(0), 4);
    recorder.forgive(0);
    assert_eq!(recorder.unechoed(0), 0);
    recorder.receive(0, &bodies[2], 41, 0);
    assert_eq!(recorder.unechoed(0), 2);
}

/// A book of `clients`, and what each of them says, in turns, `turns` times.
fn conversation(clients: usize, turns: usize) -> (Recorder, Vec<Vec<u8>>) {
    let mut recorder = Recorder::new(1);
    (0..clients).for_each(|_| recorder.join());
    let bodies = (0..turns * clients).map(|turn| {
        let mut body = Vec::new();
        recorder.send(turn % clients, 40, &mut body);
        body
    });
    let bodies = bodies.collect();
    (recorder, bodies)
}

#[test]
fn what_was_sent_and_what_came_is_counted_for_each_client() {
    let (mut recorder, bodies) = conversation(2, 3);
    assert_eq!((recorder.sent(0), recorder.sent(1)), (3, 3));
    assert_eq!(recorder.send(1, 40, &mut Vec::new()), 3);
    assert_eq!((recorder.sent(0), recorder.sent(1)), (3, 4));
    for body in &bodies {
        recorder.receive(1, body, 0, 0);
    }
    assert_eq!(recorder.deliveries(), 6);
    let tally = recorder.tally(1, 0);
    assert_eq!((tally.received, tally.first, tally.latest), (3, Some(0), Some(2)));
    assert_eq!(recorder.tally(0, 1), Tally::default());
    // What another one receives is no echo.
    assert_eq!((recorder.unechoed(0), recorder.unechoed(1)), (3, 1));
    assert!(recorder.violations().is_empty());
}

#[test]
fn a_message_that_was_never_sent_is_a_violation() {
    let (mut recorder, _) = conversation(2, 3);
    for tag in [Tag { sender: 1, sequence: 3 }, Tag { sender: 2, sequence: 0 }] {
        let mut body = Vec::new();
        Tagger::new(1).write(tag, 40, &mut body);
        recorder.receive(0, &body, 0, 0);
    }
    let told: Vec<&str> = recorder.violations().iter().map(|it| &*it.what).collect();
    assert_eq!(
        told,
        [
            "message 3 of client #1 came, which was never sent",
            "message 0 of client #2 came, which was never sent",
        ]
    );
    assert_eq!(recorder.deliveries(), 0);
}

#[test]
fn only_so_many_violations_and_plain_frames_are_kept() {
    let mut recorder = Recorder::new(1);
    recorder.join();
    for _ in 0..VIOLATIONS_MAX + 1 {
        recorder.receive(0, b"welcome", 0, 0);
    }
    assert_eq!(recorder.violations().len(), VIOLATIONS_MAX);
    recorder.expect_plain();
    for _ in 0..PLAIN_FRAMES_MAX + 1 {
        recorder.receive(0, b"", 0, 0);
    }
    assert_eq!(recorder.plain(0).len(), PLAIN_FRAMES_MAX);
}

#[test]
fn the_longest_pause_is_that_before_something_came() {
    let (mut recorder, bodies) = conversation(1, 2);
    let hour = Duration::from_secs(3600);
    recorder.last_event = Instant::now() - hour;
    assert!(recorder.quiet_for() >= hour);
    recorder.receive(0, &bodies[0], 0, 0);
    let longest = recorder.longest_pause();
    assert!(longest >= hour);
    recorder.receive(0, &bodies[1], 41, 0);
    assert_eq!(recorder.longest_pause(), longest);
    assert!(recorder.quiet_for() < hour, "it is quiet since the last message only");
}

#[test]
fn a_history_is_kept_where_that_is_asked_for_and_leaves_order_to_the_checker() {
    let (recorder, _) = conversation(1, 1);
    assert!(recorder.history().is_none());
    let mut recorder = Recorder::new(1);
    recorder.keep_history();
    recorder.join();
    let mut body = Vec::new();
    recorder.send(0, 40, &mut body);
    recorder.receive(0, &body, 0, 5);
    recorder.receive(0, &body, 41, 6);
    assert!(recorder.violations().is_empty(), "it came twice, which the checker says better");
    recorder.receive(0, b"welcome", 82, 7);
    assert_eq!(recorder.violations().len(), 1);
    let history = recorder.history().expect("it is kept");
    let kinds: Vec<&str> = history
        .events()
        .map(|event| match event {
            Event::Connect { .. } => "connect",
            Event::Send { .. } => "send",
            Event::Receive { .. } => "receive",
            Event::ReceiveUnknown { .. } => "receive unknown",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["connect", "send", "receive", "receive", "receive unknown"]);
}

#[test]
fn a_message_that_comes_twice_or_changed_is_a_violation() {
    let mut recorder = Recorder::new(1);
    recorder.join();
    let mut body = Vec::new();
    recorder.send(0, 40, &mut body);
    recorder.receive(0, &body, 0, 0);
    assert!(recorder.violations().is_empty());
    recorder.receive(0, &body, 41, 0);
    assert!(recorder.violations()[0].what.contains("twice"));
    body[30] ^= 1;
    recorder.receive(0, &body, 82, 0);
    let changed = &recorder.violations()[1].what;
    assert_eq!(
        changed,
        "message 0 of client #0 came changed: 40 bytes, the first difference at byte 30"
    );
}

#[test]
fn of_a_long_body_the_beginning_is_shown() {
    assert_eq!(show_body(b""), "the empty message");
    let shown = ["61"; 24].join(" ");
    assert_eq!(show_body(&[b'a'; 24]), format!("24 bytes [{shown}]"));
    assert_eq!(show_body(&[b'a'; 25]), format!("25 bytes [{shown} …]"));
}
