//! START-5, FANOUT-3 and FANOUT-4: coming and going.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::process::Signal;

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

/// More than a faulty server accepts at a time.
const CROWD: usize = 300;

pub(crate) fn hundreds_who_come_together_are_all_accepted(probe: &Probe) -> Seen {
    raise_descriptor_limit();
    let server = probe.start()?;
    server.connect()?.round_trip(b"it is running")?;
    // So that they come together they connect while it is halted.
    server.signal(Signal::STOP);
    let clients = (0..CROWD).map(|_| server.connect()).collect::<Result<Vec<Client>, _>>();
    server.signal(Signal::CONT);
    clients?.last_mut().unwrap().round_trip(b"the last")
}

pub(crate) fn who_joins_in_a_flood_is_accepted(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let (mut flooding, mut witness) = (server.connect()?, server.connect()?);
    let stream = flooding.stream.try_clone().map_err(|error| error.to_string())?;
    std::thread::scope(|scope| {
        // Empty messages, and it reads none: hardly any work for it, and much for the server.
        scope.spawn(move || while flooding.send(&[0; 64 * 1024]).is_ok() {});
        let begun = witness.expect(b"");
        let joined = begun.and_then(|()| server.connect());
        let accepted = joined.and_then(|joiner| is_heard(joiner, probe.patience));
        let _ = stream.shutdown(Shutdown::Both);
        accepted
    })
}

/// How long it waits before it says something again, which may be dropped.
const AGAIN: Duration = Duration::from_millis(200);

/// It hears itself among others, who never pause.
fn is_heard(mut client: Client, patience: Duration) -> Seen {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        client.say(b"here")?;
        let said = Instant::now();
        while said.elapsed() < AGAIN {
            if client.hear_within(AGAIN)?.is_some_and(|body| body == b"here") {
                return Ok(());
            }
        }
    }
    Err("it is not heard".into())
}

pub(crate) fn two_thousand_may_leave_in_mid_frame(probe: &Probe) -> Seen {
    let server = probe.start()?;
    for _ in 0..2_000 {
        let mut guest = server.connect()?;
        guest.send(b"\x05half")?;
        guest.finish()?;
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
