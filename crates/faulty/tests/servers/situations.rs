//! Faults that show only in a certain situation.

use std::time::Duration;

use crate::slow;
use crate::support::{Client, Probe, Seen, Server, ensure, frame};

pub(crate) fn long_frames_may_arrive_together(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    let bodies = [vec![1; 255], vec![2; 3], vec![3; 200], vec![4; 255]];
    client.send(&bodies.each_ref().map(|body| frame(body)).concat())?;
    bodies.iter().try_for_each(|body| client.expect(body))
}

/// Long frames: far more than a socket holds before its system
/// finds that it needs a larger buffer. Several times.
const LONG_FRAMES: usize = 10_000;
const BURSTS: usize = 3;

pub(crate) fn long_bursts_fill_any_read_buffer(probe: &Probe) -> Seen {
    // So that more than one buffer arrives between two reads.
    let server = probe.start_with(&["--batch-milliseconds=2", "--queue-messages=20000"])?;
    let mut client = server.connect()?;
    // Their frames do not fit evenly into any buffer.
    let body = |number: usize| vec![number as u8; 250];
    let burst: Vec<u8> = (0..LONG_FRAMES).flat_map(|number| frame(&body(number))).collect();
    for _ in 0..BURSTS {
        client.send(&burst)?;
        (0..LONG_FRAMES).try_for_each(|number| client.expect(&body(number)))?;
    }
    Ok(())
}

pub(crate) fn equal_messages_of_two_clients_are_two(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut clients = [server.connect()?, server.connect()?];
    for turn in 0..4 {
        clients[turn % 2].round_trip(b"same")?;
        clients[1 - turn % 2].expect(b"same")?;
    }
    Ok(())
}

pub(crate) fn empty_messages_of_two_clients_are_two(probe: &Probe) -> Seen {
    // So that what arrives within twenty milliseconds arrives together.
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    let mut clients = [server.connect()?, server.connect()?, server.connect()?];
    clients[2].round_trip(b"all are there")?;
    clients[..2].iter_mut().try_for_each(|client| client.expect(b"all are there"))?;
    for _ in 0..5 {
        // While this is gathered, two say nothing.
        clients[2].say(b"meanwhile")?;
        clients[0].say(b"")?;
        clients[1].say(b"")?;
        for client in &mut clients {
            let mut heard = [client.hear()?, client.hear()?, client.hear()?];
            heard.sort();
            ensure(heard == [&b""[..], b"", b"meanwhile"], format!("heard {heard:?}"))?;
        }
    }
    Ok(())
}

pub(crate) fn being_alone_overtakes_nothing(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut staying = server.connect()?;
    for _ in 0..20 {
        let mut leaving = server.connect()?;
        leaving.round_trip(b"both are there")?;
        staying.expect(b"both are there")?;
        staying.say(b"with another")?;
        leaving.reset();
        staying.say(b"alone")?;
        staying.expect(b"with another")?;
        staying.expect(b"alone")?;
    }
    Ok(())
}

/// Two messages that are sent together arrive in the same order at both senders.
fn two_agree(server: &Server, first: &mut Client, second: &mut Client) -> Seen {
    for _ in 0..20 {
        first.say(b"from the first")?;
        second.say(b"from the second")?;
        let seen = [first.hear()?, first.hear()?];
        let other = [second.hear()?, second.hear()?];
        ensure(seen == other, format!("{seen:?} and {other:?} from {}", server.line))?;
        ensure(seen[0] != seen[1], "one of them twice")?;
    }
    Ok(())
}

pub(crate) fn two_agree_in_a_large_room(probe: &Probe) -> Seen {
    two_agree_among(probe, 32)
}

pub(crate) fn two_agree_in_a_larger_room(probe: &Probe) -> Seen {
    two_agree_among(probe, 65)
}

fn two_agree_among(probe: &Probe, others: usize) -> Seen {
    let server = probe.start()?;
    let (mut first, mut second) = (server.connect()?, server.connect()?);
    let others = (0..others).map(|_| server.connect()).collect::<Result<Vec<Client>, _>>()?;
    let mut last = server.connect()?;
    last.round_trip(b"all are there")?;
    first.expect(b"all are there")?;
    second.expect(b"all are there")?;
    two_agree(&server, &mut first, &mut second)?;
    drop(others);
    Ok(())
}

/// So many clients, of whom the last one has been heard by the first two.
fn many(server: &Server, count: usize) -> Result<Vec<Client>, String> {
    let clients = (0..count).map(|_| server.connect()).collect::<Result<Vec<Client>, _>>();
    let mut clients = clients?;
    clients[count - 1].round_trip(b"all are there")?;
    clients[..2].iter_mut().try_for_each(|client| client.expect(b"all are there"))?;
    Ok(clients)
}

pub(crate) fn two_agree_on_what_one_turn_brings(probe: &Probe) -> Seen {
    two_agree_within_a_turn(probe, 18)
}

pub(crate) fn two_agree_on_what_one_turn_brings_to_hundreds(probe: &Probe) -> Seen {
    two_agree_within_a_turn(probe, 258)
}

/// The first and the last client of an even number, one from each half.
fn two_agree_within_a_turn(probe: &Probe, clients: usize) -> Seen {
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    let mut clients = many(&server, clients)?;
    let [first, second, .., last] = &mut clients[..] else { return Err("too few".into()) };
    for _ in 0..5 {
        // While this is gathered, two others speak: what they say is one turn's.
        second.say(b"meanwhile")?;
        first.say(b"from the first")?;
        last.say(b"from the last")?;
        let seen = [first.hear()?, first.hear()?, first.hear()?];
        let other = [last.hear()?, last.hear()?, last.hear()?];
        ensure(seen == other, format!("{seen:?} and {other:?}"))?;
        (0..3).try_for_each(|_| second.hear().map(|_| ()))?;
    }
    Ok(())
}

pub(crate) fn who_leaves_hides_no_message(probe: &Probe) -> Seen {
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    let mut clients = many(&server, 72)?;
    for _ in 0..5 {
        let mut leaving = clients.remove(2);
        let [first, second, .., last] = &mut clients[..] else { return Err("too few".into()) };
        // While this is gathered, one speaks and one leaves, both in one turn.
        first.say(b"meanwhile")?;
        second.say(b"as one leaves")?;
        leaving.finish()?;
        for client in [first, second, last] {
            let mut heard = [client.hear()?, client.hear()?];
            heard.sort();
            ensure(heard == [&b"as one leaves"[..], b"meanwhile"], format!("heard {heard:?}"))?;
        }
    }
    Ok(())
}

/// More than two megabytes, and no multiple of a power of two at a time.
const ROUND_TRIPS: usize = 10_500;

pub(crate) fn megabytes_pass_one_message_at_a_time(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    (0..ROUND_TRIPS).try_for_each(|_| client.round_trip(&[7; 200]))
}

pub(crate) fn two_agree_after_a_third_has_left(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let (mut first, mut second) = (server.connect()?, server.connect()?);
    let mut third = server.connect()?;
    third.finish()?;
    third.expect_end()?;
    first.round_trip(b"it has left")?;
    second.expect(b"it has left")?;
    two_agree(&server, &mut first, &mut second)
}

pub(crate) fn two_who_send_at_once_hear_themselves(probe: &Probe) -> Seen {
    // So that what arrives within twenty milliseconds arrives together.
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    let (mut first, mut second) = (server.connect()?, server.connect()?);
    second.round_trip(b"both are there")?;
    first.expect(b"both are there")?;
    two_agree(&server, &mut first, &mut second)
}

/// Longer than a faulty server stays awake.
const SILENCE: Duration = Duration::from_millis(2200);

pub(crate) fn silence_costs_no_message(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    client.round_trip(b"before")?;
    ensure(client.hear_within(SILENCE)?.is_none(), "nobody said anything")?;
    client.round_trip(b"after")
}

/// More than 18 bits can number.
const MESSAGES: usize = 270_000;
/// How many of them are under way together: fewer than one queue holds.
const WINDOW: usize = 500;
/// What they may leave behind, in bytes.
const GROWTH_BYTES_MAX: usize = 3 << 20;

pub(crate) fn hundreds_of_thousands_of_messages_leave_nothing_behind(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    client.round_trip(b"before")?;
    let before = server.resident_bytes();
    for _ in 0..MESSAGES / WINDOW {
        client.send(&[0; WINDOW])?;
        (0..WINDOW).try_for_each(|_| client.expect(b""))?;
    }
    let grown = server.resident_bytes().saturating_sub(before);
    ensure(grown < GROWTH_BYTES_MAX, format!("grown by {grown} bytes"))
}

pub(crate) fn three_hundred_past_clients_cost_nobody_a_place(probe: &Probe) -> Seen {
    past_clients_cost_nobody_a_place(probe, 300)
}

pub(crate) fn two_thousand_past_clients_cost_nobody_a_place(probe: &Probe) -> Seen {
    past_clients_cost_nobody_a_place(probe, 2_100)
}

fn past_clients_cost_nobody_a_place(probe: &Probe, clients: usize) -> Seen {
    let server = probe.start()?;
    let mut resident = server.connect()?;
    resident.round_trip(b"before")?;
    for _ in 0..clients {
        let mut guest = server.connect()?;
        guest.finish()?;
        guest.expect_end()?;
    }
    resident.round_trip(b"after")
}

pub(crate) fn a_backlog_is_given_up_with_its_client(probe: &Probe) -> Seen {
    let mut server = probe.start()?;
    let mut sender = server.connect()?;
    sender.round_trip(b"before")?;
    let before = server.descriptors();
    let stalled = server.connect_small()?;
    slow::fill_backlog(&mut sender)?;
    stalled.reset();
    sender.round_trip(b"it is gone")?;
    sender.round_trip(b"it is long gone")?;
    let after = server.descriptors();
    ensure(after <= before, format!("{before} descriptors before, {after} after"))?;
    let _stalled = server.connect_small()?;
    slow::fill_backlog(&mut sender)?;
    server.terminate();
    server.wait().map(|_| ())
}
