//! FANOUT: who receives.

mod history;
mod leaving;

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::LONG_PAUSE;
use super::start::nothing_but_the_line;
use crate::case::Case;
use crate::client::ConnectOptions;
use crate::context::CaseContext;
use crate::fixture::{ClientIndex, Fixture, Flood};
use crate::verdict::{Note, Outcome, Stop};
use history::{joiners_mid_stream, no_history, no_legacy};
use leaving::{
    comings_and_goings, leavers, leavers_at_once, leavers_in_a_flood, leavers_of_a_large_room,
    passers_by,
};

/// Messages after which a number of 16 bits has begun again, and one of 18 bits; and
/// the times for them, by which slow servers end.
const MANY_MESSAGES: u64 = 66_000;
const MANY_TIME: Duration = Duration::from_secs(6);
const VERY_MANY_MESSAGES: u64 = 265_000;
const VERY_MANY_TIME: Duration = Duration::from_secs(2);
/// How many of them go out at once.
const MANY_AT_ONCE: u64 = 250;

/// What is sent at once while others join, in bytes, and the time for it.
const FLOOD_BYTES: u64 = 64 * 1024;
const FLOOD_TIME: Duration = Duration::from_millis(40);

/// In this time an idle server has let a newcomer in.
const LET_IN: Duration = Duration::from_millis(100);
/// Newcomers of whom one has to get the first message after that.
const LET_IN_ATTEMPTS: usize = 5;

pub(super) const CASES: &[Case] = &[
    Case::must("fanout/alone", "FANOUT-1", "a sole client receives what it sends", alone).quick(),
    Case::must("fanout/two", "FANOUT-1", "two clients receive what either sends", two),
    Case::must("fanout/ten", "FANOUT-1", "ten clients receive what each of them sends", ten)
        .quick(),
    Case::must(
        "fanout/hundred",
        "FANOUT-1",
        "a hundred clients receive what some of them send",
        hundred,
    ),
    Case::must(
        "fanout/exactly-once",
        "FANOUT-1",
        "no message comes twice, not even late",
        exactly_once,
    ),
    Case::must(
        "fanout/many-messages",
        "FANOUT-1",
        "after more messages than 16 bits can number, or 18, further ones arrive like the first",
        many_messages,
    ),
    Case::must_launching(
        "fanout/over-ipv6",
        "FANOUT-1",
        "where it serves IPv6, messages go to all clients there, too",
        over_ipv6,
    ),
    Case::must(
        "fanout/silent-clients",
        "FANOUT-2",
        "clients that have never sent anything receive like others",
        silent_clients,
    )
    .quick(),
    Case::must(
        "fanout/own-first-message",
        "FANOUT-2",
        "the first message that a newcomer sends comes back to it, and reaches those who were there",
        own_first_message,
    )
    .quick(),
    Case::must(
        "fanout/first-message-of-others",
        "FANOUT-2",
        "the first message of others after a newcomer was let in reaches it",
        first_message_of_others,
    ),
    Case::must(
        "fanout/quiet-for-seconds",
        "FANOUT-2",
        "a client that has been silent for sixteen seconds still receives",
        quiet_for_seconds,
    )
    .idling(),
    Case::must(
        "fanout/joiners-at-once",
        "FANOUT-2",
        "many who connect in the same moment are all served",
        joiners_at_once,
    ),
    Case::must(
        "fanout/joiners-mid-stream",
        "FANOUT-3",
        "the stream of a client that joins under load begins at a frame boundary, after it joined",
        joiners_mid_stream,
    )
    .quick(),
    Case::must(
        "fanout/joiners-in-a-flood",
        "FANOUT-2",
        "clients that join while six others send all they can are served when these stop",
        joiners_in_a_flood,
    ),
    Case::must(
        "fanout/no-history",
        "FANOUT-3",
        "a newcomer receives nothing from before it connected",
        no_history,
    ),
    Case::must(
        "fanout/no-legacy",
        "FANOUT-3",
        "a newcomer receives nothing that was queued for a client that is gone",
        no_legacy,
    ),
    Case::must(
        "fanout/leavers",
        "FANOUT-4",
        "clients that come and leave in every way cost the others no message",
        leavers,
    ),
    Case::must(
        "fanout/leavers-at-once",
        "FANOUT-4",
        "many who leave in the same moment cost the others no message",
        leavers_at_once,
    ),
    Case::must(
        "fanout/leavers-of-a-large-room",
        "FANOUT-4",
        "one who leaves among three hundred in the moment of a message costs nobody that message",
        leavers_of_a_large_room,
    ),
    Case::must(
        "fanout/leavers-in-a-flood",
        "FANOUT-4",
        "clients who leave while more is said than they are sent disturb nobody",
        leavers_in_a_flood,
    ),
    Case::must(
        "fanout/comings-and-goings",
        "FANOUT-2",
        "clients who connect in the moment in which as many leave are all served",
        comings_and_goings,
    ),
    Case::must(
        "fanout/passers-by",
        "FANOUT-4",
        "clients by the thousand who connect and leave at once cost the others no message",
        passers_by,
    ),
];

fn everyone_talks(
    fixture: &mut Fixture,
    clients: &[ClientIndex],
    rounds: usize,
) -> Result<(), Stop> {
    let talks: Vec<(ClientIndex, usize)> = (0..rounds)
        .flat_map(|_| clients.iter().copied())
        .map(|client| (client, fixture.rng.random_range(11..=255)))
        .collect();
    fixture.deliver(&talks, clients)
}

fn alone(fixture: &mut Fixture) -> Outcome {
    let client = [fixture.connect("sole client")?];
    // Its very first message: whoever reads it has let the client in.
    fixture.exchange(client[0], &[b"my first words".to_vec()], &client)?;
    everyone_talks(fixture, &client, 20)?;
    fixture.exchange(client[0], &[b"to myself".to_vec()], &client)?;
    Ok(Note::new())
}

fn two(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    everyone_talks(fixture, &clients, 20)?;
    Ok(Note::new())
}

fn ten(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(10, "client")?;
    everyone_talks(fixture, &clients, 4)?;
    Ok(Note::new())
}

fn hundred(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(100, "client")?;
    let talks: Vec<(ClientIndex, usize)> =
        clients.iter().step_by(9).map(|&client| (client, 60)).collect();
    fixture.deliver(&talks, &clients)?;
    Ok(Note::new())
}

fn exactly_once(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(5, "client")?;
    everyone_talks(fixture, &clients, 40)?;
    // Equal messages are messages, too.
    for same in [b"the same again".to_vec(), vec![7; 40], vec![7; 128], vec![7; 255]] {
        fixture.exchange(clients[0], &vec![same; 6], &clients)?;
    }
    for pair in clients.windows(2).chain(clients.windows(2)) {
        equal_at_once(fixture, pair, b"what the other says", &clients)?;
    }
    // Whatever came a second time stands before the fences of all senders.
    for &client in &clients {
        fixture.fence(client, &clients, "a last message of each client")?;
    }
    fixture.check_violations()?;
    Ok(Note::new())
}

/// Two clients say the same, one right after the other: these are two messages.
pub(super) fn equal_at_once(
    fixture: &mut Fixture,
    pair: &[ClientIndex],
    body: &[u8],
    to: &[ClientIndex],
) -> Result<(), Stop> {
    for &sender in pair {
        fixture.queue_frame(sender, body);
    }
    fixture.flush()?;
    // A fence that is read together with the first would stand between the two.
    fixture.await_each(to, "a message that two clients sent", |fixture, receiver| {
        !fixture.recorder.plain(receiver).is_empty()
    })?;
    for &sender in pair {
        fixture.fence(sender, to, "a message behind equal ones of two clients")?;
    }
    for &receiver in to {
        let came = fixture
            .recorder
            .take_plain(receiver)
            .iter()
            .filter(|plain| plain.as_slice() == body)
            .count();
        if came != pair.len() {
            let expected = "a message of each of two clients, which are equal";
            return Err(fixture.failure(receiver, expected, format!("{came} of them")));
        }
    }
    Ok(())
}

fn many_messages(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    // One byte each on the wire: what counts is how many there are. Those
    // that are dropped were received, and count.
    fixture.recorder.ignore_plain();
    let block = vec![0; MANY_AT_ONCE as usize];
    let started = Instant::now();
    let mut sent = 0;
    while (sent < MANY_MESSAGES && started.elapsed() < MANY_TIME)
        || (sent < VERY_MANY_MESSAGES && started.elapsed() < VERY_MANY_TIME)
    {
        fixture.queue_bytes(clients[0], &block);
        sent += MANY_AT_ONCE;
        fixture.send_until_delivered(clients[0], &clients, "a message behind many empty ones")?;
    }
    everyone_talks(fixture, &clients, 20)?;
    nothing_but_the_line(fixture)?;
    Ok(format!("{sent} messages"))
}

fn over_ipv6(context: &mut CaseContext) -> Outcome {
    let Some(lease) = context.lease_on(Ipv6Addr::LOCALHOST.into())? else {
        return Err(Stop::Skip("this machine has no IPv6 loopback address".to_owned()));
    };
    let server = match context.start_on(context.launch()?, &lease, false) {
        Ok(server) => server,
        // It need not (START-8), and another case says so.
        Err(Stop::Fail(_)) => return Err(Stop::Skip("it does not serve IPv6".to_owned())),
        Err(stop) => return Err(stop),
    };
    context.with_server(server, lease.address(), |fixture| {
        let clients = fixture.join(3, "client")?;
        everyone_talks(fixture, &clients, 10)?;
        let bodies = [Vec::new(), vec![0; 255], b"over IPv6\r\n".to_vec()];
        for &client in &clients {
            fixture.exchange(client, &bodies, &clients)?;
        }
        Ok(Note::new())
    })
}

fn silent_clients(fixture: &mut Fixture) -> Outcome {
    for _ in 0..10 {
        fixture.connect("silent client")?;
    }
    let talker = fixture.connect("talker")?;
    let everyone = fixture.everyone();
    fixture.send_until_delivered(
        talker,
        &everyone,
        "a client that never sends receives messages",
    )?;
    fixture.deliver(&[(talker, 40); 40], &everyone)?;
    Ok(Note::new())
}

fn own_first_message(fixture: &mut Fixture) -> Outcome {
    let resident = fixture.join(1, "resident")?[0];
    for _ in 0..50 {
        let newcomer = fixture.connect("newcomer")?;
        // The server reads it from a connection that it has accepted: from
        // then on the newcomer receives.
        fixture.deliver(&[(newcomer, 30)], &[newcomer, resident])?;
        fixture.deliver(&[(resident, 30)], &[newcomer, resident])?;
        fixture.close(newcomer);
    }
    Ok(Note::new())
}

fn first_message_of_others(fixture: &mut Fixture) -> Outcome {
    let resident = fixture.join(1, "resident")?[0];
    let mut newcomer = resident;
    for attempt in 1..=LET_IN_ATTEMPTS {
        newcomer = fixture.connect("newcomer")?;
        // Nobody can see from outside when the server lets it in; with nothing
        // else to do it has done so by now. On a loaded machine that may be
        // wrong once, but not each time.
        fixture.pump_until(LET_IN, |_| false)?;
        let first = fixture.send(resident, 30);
        fixture.flush()?;
        fixture.send_until_delivered(
            resident,
            &[resident, newcomer],
            "a message after the newcomer was let in",
        )?;
        if fixture.recorder.tally(newcomer, resident).has(first) {
            return Ok(if attempt == 1 { Note::new() } else { format!("attempt {attempt}") });
        }
        fixture.close(newcomer);
    }
    Err(fixture.failure(
        newcomer,
        format!("the first message sent {} ms after it connected", LET_IN.as_millis()),
        format!("later ones, but not the first, for each of {LET_IN_ATTEMPTS} newcomers"),
    ))
}

fn quiet_for_seconds(fixture: &mut Fixture) -> Outcome {
    fixture.connect("silent client")?;
    let clients = fixture.join(2, "client")?;
    let everyone = fixture.everyone();
    fixture.send_until_delivered(clients[0], &everyone, "a message for all")?;
    fixture.pump_until(LONG_PAUSE, |_| false)?;
    fixture.deliver(&[(clients[0], 30), (clients[1], 30)], &everyone)?;
    nothing_but_the_line(fixture)
}

fn joiners_at_once(fixture: &mut Fixture) -> Outcome {
    let residents = fixture.join(2, "resident")?;
    for _ in 0..3 {
        for _ in 0..20 {
            fixture.connect_without_waiting("one of many newcomers")?;
        }
        let everyone = fixture.everyone();
        fixture.send_until_delivered(
            residents[0],
            &everyone,
            "a message after many have connected at once",
        )?;
        fixture.deliver(&[(residents[0], 50), (residents[1], 50)], &everyone)?;
    }
    Ok(Note::new())
}

fn joiners_in_a_flood(fixture: &mut Fixture) -> Outcome {
    const JOINERS: usize = 12;
    const FLOODERS: usize = 6;
    let resident = fixture.join(1, "resident")?[0];
    for _ in 0..FLOODERS {
        fixture.connect_with("flooder", ConnectOptions::FLOODER)?;
    }
    let flooders: Vec<ClientIndex> = fixture.everyone().split_off(1);
    fixture.await_served(resident, &fixture.everyone())?;
    let flood = Flood { senders: flooders, steady: false, bytes: FLOOD_BYTES, lengths: [60; 2] };
    let mut joiners = vec![resident];
    for _ in 0..JOINERS {
        fixture.flood(&flood, FLOOD_TIME)?;
        joiners.push(fixture.connect_without_waiting("joiner")?);
    }
    fixture.send_until_delivered(resident, &joiners, "messages sent after this client joined")?;
    fixture.check_violations()?;
    Ok(Note::new())
}
