//! SLOW: clients that do not read.

use std::time::Duration;

use crate::case::Case;
use crate::client::ConnectOptions;
use crate::fixture::{ClientIndex, Fixture, Flood, FloodPace};
use crate::verdict::{Outcome, Stop};

/// How much is sent past clients that do not read, in bytes: more than the
/// system's own buffers hold, so that the server must decide.
const FLOOD_BYTES: u64 = 4 << 20;
/// Time for that. Slow servers end by time.
const FLOOD_TIME: Duration = Duration::from_millis(1500);
/// Clients that do not read: more than a small pool of threads.
const MANY_STALLED: usize = 60;
/// Messages by which one sees whether others are served, and how much longer
/// than before they may take.
const TALK_ROUNDS: usize = 10;
const TALK_SLOWER_MAX: u32 = 20;
/// The role of such clients.
const STALLED: &str = "stalled client";

pub(super) const CASES: &[Case] = &[
    Case::must(
        "slow/stalled-reader",
        "SLOW-1",
        "while one client does not read, the others send and receive",
        stalled_reader,
    )
    .at_its_pace()
    .quick(),
    Case::must(
        "slow/many-stalled",
        "SLOW-1",
        "while sixty of sixty-two clients do not read, the others send and receive, new ones too",
        many_stalled,
    )
    .at_its_pace(),
    Case::must(
        "slow/sender-never-reads",
        "SLOW-2",
        "while a client sends all it can and never reads, the others send and receive",
        sender_never_reads,
    )
    .at_its_pace(),
];

fn stalled_reader(fixture: &mut Fixture) -> Outcome {
    beside_stalled(fixture, 1)
}

fn many_stalled(fixture: &mut Fixture) -> Outcome {
    beside_stalled(fixture, MANY_STALLED)
}

fn beside_stalled(fixture: &mut Fixture, count: usize) -> Outcome {
    // Some of them connect before those who read, some after.
    let older =
        (0..count.div_ceil(2)).map(|_| fixture.connect_with(STALLED, ConnectOptions::SMALL));
    let mut stalled = older.collect::<Result<Vec<ClientIndex>, Stop>>()?;
    let clients = fixture.join(2, "client that reads")?;
    for _ in stalled.len()..count {
        stalled.push(fixture.connect_with(STALLED, ConnectOptions::SMALL)?);
    }
    let everyone = fixture.all_clients();
    fixture.await_served(clients[0], &everyone)?;
    let calm = talk(fixture, &clients, "while all clients read", Duration::MAX)?;
    for &client in &stalled {
        fixture.set_reading(client, false)?;
    }
    let received = |fixture: &Fixture| fixture.recorder.tally(clients[1], clients[0]).received;
    let before = received(fixture);
    let flood = Flood {
        senders: vec![clients[0]],
        pace: FloodPace::Echoes,
        bytes: FLOOD_BYTES,
        lengths: [200; 2],
    };
    let flooded = fixture.flood(&flood, FLOOD_TIME)?;
    if flooded.blocked {
        // Blocked for good? Then what follows fails; here nothing is decided.
        fixture.pump(Duration::from_millis(10))?;
    }
    talk_on(fixture, &clients, "while another client does not read", calm)?;
    let received = received(fixture) - before;
    let joined = fixture.join(2, "new client")?;
    talk_on(fixture, &joined, "while clients that connected earlier do not read", calm)?;
    // The messages that follow the flood are counted too.
    let sent = flooded.bytes / 201;
    let past = u64::from(received).min(sent);
    Ok(format!("{past} of {sent} messages sent past the stalled reached the other reader"))
}

/// Both directions, several times; messages may be lost under load, so they
/// are repeated until one comes. Returns how much of the time that the server was granted it took,
/// which is at most `time` and what one message takes.
fn talk(
    fixture: &mut Fixture,
    clients: &[ClientIndex],
    when: &str,
    time: Duration,
) -> Result<Duration, Stop> {
    let mut granted = fixture.granted_time();
    for round in 0..TALK_ROUNDS {
        for &client in clients {
            fixture.send_until_delivered(
                client,
                clients,
                &format!("a message of client #{client} {when}"),
            )?;
        }
        let needed = granted.look();
        if needed > time {
            let expected = format!("messages {when} in about the time that they took before");
            let actual =
                format!("{} of {TALK_ROUNDS} rounds in {:.0} s", round + 1, needed.as_secs_f64());
            return Err(fixture.failure(clients[0], expected, actual));
        }
    }
    Ok(granted.look())
}

/// [`talk`] in not much more than the time that it took in `calm`, once what
/// was under way has arrived.
fn talk_on(
    fixture: &mut Fixture,
    clients: &[ClientIndex],
    when: &str,
    calm: Duration,
) -> Result<(), Stop> {
    for &client in clients {
        fixture.send_until_delivered(
            client,
            clients,
            &format!("a message of client #{client} {when}"),
        )?;
    }
    let time = fixture.limits.patience() * 2 + calm * TALK_SLOWER_MAX;
    talk(fixture, clients, when, time).map(|_| ())
}

fn sender_never_reads(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client that reads")?;
    let options = ConnectOptions {
        send_buffer_bytes: ConnectOptions::FLOODER.send_buffer_bytes,
        ..ConnectOptions::STALLED
    };
    let calm = talk(fixture, &clients, "while all clients read", Duration::MAX)?;
    let never = fixture.connect_with("client that sends and never reads", options)?;
    let flood = Flood {
        senders: vec![never],
        pace: FloodPace::WorkedOff,
        bytes: FLOOD_BYTES,
        lengths: [200; 2],
    };
    let flooded = fixture.flood(&flood, FLOOD_TIME)?;
    talk_on(fixture, &clients, "while another client sends and never reads", calm)?;
    let how = if fixture.client(never).end().is_some() {
        ", then disconnected it"
    } else if flooded.blocked {
        ", then stopped reading from it"
    } else {
        ""
    };
    Ok(format!("the server took {} KiB from it{how}", flooded.bytes / 1024))
}
