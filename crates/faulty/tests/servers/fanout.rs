//! FANOUT: who receives, while others come and go.

use crate::backlog::{fill_backlog, with_short_backlog};
use crate::support::{Client, Probe, Seen, ensure, many};

pub(crate) fn a_joiner_receives_what_is_new(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut sender = server.connect()?;
    for _ in 0..30 {
        sender.round_trip(b"from before it came")?;
        let mut joiner = server.connect()?;
        joiner.round_trip(b"new")?;
        sender.expect(b"new")?;
    }
    Ok(())
}

pub(crate) fn leaving_disturbs_nobody(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut leaving = server.connect()?;
    let (mut next, mut last) = (server.connect()?, server.connect()?);
    last.round_trip(b"all are there")?;
    next.expect(b"all are there")?;
    leaving.expect(b"all are there")?;
    leaving.half_close()?;
    leaving.expect_end()?;
    for body in [b"first", b"other"] {
        next.round_trip(body)?;
        last.expect(body)?;
    }
    Ok(())
}

pub(crate) fn three_may_leave_at_once(probe: &Probe) -> Seen {
    // So that what happens within five milliseconds is seen together.
    let server = probe.start_with(&["--batch-milliseconds=5"])?;
    let leaving = (0..6).map(|_| server.connect()).collect::<Result<Vec<Client>, _>>()?;
    let mut staying = [server.connect()?, server.connect()?];
    staying[1].round_trip(b"all are there")?;
    staying[0].expect(b"all are there")?;
    leaving.into_iter().for_each(Client::reset);
    for body in [b"first", b"other"] {
        staying[1].round_trip(body)?;
        staying[0].expect(body)?;
    }
    Ok(())
}

pub(crate) fn who_joins_while_another_leaves_is_entered(probe: &Probe) -> Seen {
    // So that what happens within twenty milliseconds is seen together.
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    let mut staying = server.connect()?;
    for _ in 0..5 {
        let mut leaving = server.connect()?;
        leaving.round_trip(b"both are there")?;
        staying.expect(b"both are there")?;
        // While this is gathered, one leaves and one comes. No reset: that would be seen
        // as soon as this is written.
        staying.send(b"meanwhile")?;
        leaving.half_close()?;
        let mut joiner = server.connect()?;
        staying.expect(b"meanwhile")?;
        joiner.send(b"hello")?;
        staying.expect(b"hello")?;
        let heard = joiner.receive()?;
        if heard == b"meanwhile" {
            joiner.expect(b"hello")?;
        }
    }
    Ok(())
}

pub(crate) fn two_thousand_may_leave_in_mid_frame(probe: &Probe) -> Seen {
    let server = probe.start()?;
    for _ in 0..2_000 {
        let mut guest = server.connect()?;
        guest.write(b"\x05half")?;
        guest.half_close()?;
        guest.expect_end()?;
    }
    server.connect()?.round_trip(b"new")
}

pub(crate) fn ten_thousand_may_come_and_go(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut staying = server.connect()?;
    for number in 0..10_000 {
        // A reset keeps no port busy.
        server.connect()?.reset();
        // Not faster than they are accepted.
        if number % 100 == 0 {
            staying.round_trip(b"still here")?;
        }
    }
    staying.round_trip(b"they are gone")?;
    server.connect()?.round_trip(b"new")
}

pub(crate) fn the_backlog_of_one_who_left_is_forgotten(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let stalled = server.connect_small()?;
    let mut sender = server.connect()?;
    fill_backlog(&mut sender)?;
    stalled.reset();
    sender.round_trip(b"it is gone")?;
    server.connect()?.round_trip(b"new")
}

pub(crate) fn a_leave_with_a_backlog_disturbs_nobody(probe: &Probe) -> Seen {
    let (server, stalled, mut sender) = with_short_backlog(probe, &["--batch-milliseconds=20"])?;
    let mut other = server.connect()?;
    other.round_trip(b"it is there")?;
    sender.expect(b"it is there")?;
    // While this is gathered, one speaks and one leaves, both in one turn.
    sender.send(b"meanwhile")?;
    other.send(b"as one leaves")?;
    stalled.reset();
    for _ in ["meanwhile", "as one leaves"] {
        let heard = sender.receive()?;
        other.expect(&heard)?;
    }
    sender.round_trip(b"after")
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

pub(crate) fn who_leaves_hides_no_message(probe: &Probe) -> Seen {
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    let mut clients = many(&server, 72)?;
    for _ in 0..5 {
        let mut leaving = clients.remove(2);
        let [first, second, .., last] = &mut clients[..] else { return Err("too few".into()) };
        // While this is gathered, one speaks and one leaves, both in one turn.
        first.send(b"meanwhile")?;
        second.send(b"as one leaves")?;
        leaving.half_close()?;
        for client in [first, second, last] {
            let mut heard = [client.receive()?, client.receive()?];
            heard.sort();
            ensure(heard == [&b"as one leaves"[..], b"meanwhile"], format!("heard {heard:?}"))?;
        }
    }
    Ok(())
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
        client.write(&[0; WINDOW])?;
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
        guest.half_close()?;
        guest.expect_end()?;
    }
    resident.round_trip(b"after")
}
