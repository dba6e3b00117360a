//! START-5, FANOUT-3 and FANOUT-4: coming and going.

use crate::support::{Client, Probe, Seen, raise_descriptor_limit};

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

fn many_are_served(probe: &Probe, count: usize) -> Seen {
    raise_descriptor_limit();
    let server = probe.start()?;
    let clients = (0..count).map(|_| server.connect()).collect::<Result<Vec<Client>, _>>();
    let mut clients = clients?;
    clients.last_mut().unwrap().say(b"all")?;
    clients.iter_mut().try_for_each(|client| client.expect(b"all"))
}

pub(crate) fn seventy_clients_are_served(probe: &Probe) -> Seen {
    many_are_served(probe, 70)
}

pub(crate) fn five_hundred_and_ten_clients_are_served(probe: &Probe) -> Seen {
    many_are_served(probe, 510)
}

pub(crate) fn a_thousand_and_thirty_clients_are_served(probe: &Probe) -> Seen {
    many_are_served(probe, 1030)
}

pub(crate) fn five_clients_are_accepted_at_once(probe: &Probe) -> Seen {
    many_are_served(probe, 5)
}

pub(crate) fn leaving_disturbs_nobody(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut leaving = server.connect()?;
    let (mut next, mut last) = (server.connect()?, server.connect()?);
    last.round_trip(b"all are there")?;
    next.expect(b"all are there")?;
    leaving.expect(b"all are there")?;
    leaving.finish()?;
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
        staying.say(b"meanwhile")?;
        leaving.finish()?;
        let mut joiner = server.connect()?;
        staying.expect(b"meanwhile")?;
        joiner.say(b"hello")?;
        staying.expect(b"hello")?;
        let heard = joiner.hear()?;
        if heard == b"meanwhile" {
            joiner.expect(b"hello")?;
        }
    }
    Ok(())
}

pub(crate) fn who_come_together_are_all_accepted(probe: &Probe) -> Seen {
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    for _ in 0..5 {
        let mut clients = (0..10).map(|_| server.connect()).collect::<Result<Vec<Client>, _>>()?;
        clients[9].round_trip(b"the last")?;
        clients[..9].iter_mut().try_for_each(|client| client.expect(b"the last"))?;
    }
    Ok(())
}

pub(crate) fn an_empty_server_goes_on(probe: &Probe) -> Seen {
    let server = probe.start()?;
    for _ in 0..3 {
        let mut only = server.connect()?;
        only.round_trip(b"alone")?;
        only.finish()?;
        only.expect_end()?;
    }
    Ok(())
}
