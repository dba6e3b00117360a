//! FANOUT-1: each message goes to every client, once each.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::cases::common::messages::{equal_at_once, everyone_talks};
use crate::cases::common::output::nothing_but_the_line;
use crate::context::CaseContext;
use crate::fixture::{ClientIndex, Fixture};
use crate::verdict::{Note, Outcome, Stop};

/// Messages after which a number of 16 bits has wrapped around, and one of 18 bits; and
/// the times for them, by which slow servers end.
const MANY_MESSAGES: u64 = 66_000;
const MANY_TIME: Duration = Duration::from_secs(6);
const VERY_MANY_MESSAGES: u64 = 265_000;
const VERY_MANY_TIME: Duration = Duration::from_secs(2);
/// How many of them go out at once.
const MANY_AT_ONCE: u64 = 250;

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
        "no message arrives twice, not even late",
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
        "where it serves IPv6, messages go to all clients there too",
        over_ipv6,
    ),
];

fn alone(fixture: &mut Fixture) -> Outcome {
    let client = [fixture.connect("sole client")?];
    // Its very first message: a server that has read it has accepted the client.
    fixture.deliver_plain(client[0], &[b"my first words".to_vec()], &client)?;
    everyone_talks(fixture, &client, 20)?;
    fixture.deliver_plain(client[0], &[b"to myself".to_vec()], &client)?;
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
        fixture.deliver_plain(clients[0], &vec![same; 6], &clients)?;
    }
    for pair in clients.windows(2).chain(clients.windows(2)) {
        equal_at_once(fixture, pair, b"what the other sends", &clients)?;
    }
    // What arrives twice does so before the fences of all senders.
    for &client in &clients {
        fixture.fence(client, &clients, "a last message of each client")?;
    }
    fixture.check_violations()?;
    Ok(Note::new())
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
    let Some(lease) = context.servers.lease_on(Ipv6Addr::LOCALHOST.into())? else {
        return Err(Stop::Skip("this machine has no IPv6 loopback address".to_owned()));
    };
    let server = match context.servers.start_on(context.servers.launch()?, &lease, false) {
        Ok(server) => server,
        // It need not (START-8), which is another case.
        Err(Stop::Fail(_)) => return Err(Stop::Skip("it does not serve IPv6".to_owned())),
        Err(stop) => return Err(stop),
    };
    context.with_server(server, lease.address(), |fixture| {
        let clients = fixture.join(3, "client")?;
        everyone_talks(fixture, &clients, 10)?;
        let bodies = [Vec::new(), vec![0; 255], b"over IPv6\r\n".to_vec()];
        for &client in &clients {
            fixture.deliver_plain(client, &bodies, &clients)?;
        }
        Ok(Note::new())
    })
}
