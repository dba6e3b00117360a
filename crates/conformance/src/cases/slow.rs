//! SLOW: clients that do not read.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::LONG_PAUSE;
use super::start::nothing_but_the_line;
use crate::case::Case;
use crate::client::ConnectOptions;
use crate::fixture::{ClientIndex, Fixture, Flood};
use crate::tagged::TAG_BYTES;
use crate::verdict::{Outcome, Stop};

/// How much is sent past clients that do not read, in bytes: more than the
/// system's own buffers hold, so that the server has to decide.
const FLOOD_BYTES: u64 = 4 << 20;
/// Time for that. Slow servers end by time.
const FLOOD_TIME: Duration = Duration::from_millis(1500);
/// What is sent past one that reads on later, in bytes: more than a ring of
/// eight MiB holds.
const LONG_FLOOD_BYTES: u64 = 10 << 20;
/// Time for what has to fill all buffers of one that reads on later.
const LONG_FLOOD_TIME: Duration = Duration::from_secs(5);
/// Clients that do not read: more than a small pool of threads.
const MANY_STALLED: usize = 60;
/// Messages by which one sees whether others are served, and how much longer
/// than before they may take.
const TALK_ROUNDS: usize = 10;
const TALK_SLOWER_MAX: u32 = 20;

/// Time for one that reads in gulps: where its socket cuts what is written is chance.
const GULPS_TIME: Duration = Duration::from_millis(1500);

/// What those are called.
const STALLED: &str = "stalled client";

pub(super) const CASES: &[Case] = &[
    Case::must(
        "slow/stalled-reader",
        "SLOW-1",
        "while one client does not read, the others send and receive",
        stalled_reader,
    )
    .quick(),
    Case::must(
        "slow/many-stalled",
        "SLOW-1",
        "while sixty of sixty-two clients do not read, the others send and receive, newcomers too",
        many_stalled,
    ),
    Case::must(
        "slow/reads-on-later",
        "ORDER-1",
        "a client that reads on after megabytes have gone past it gets whole messages as they were sent",
        reads_on_later,
    ),
    Case::must(
        "slow/reads-on-after-seconds",
        "FRAME-5",
        "a client that reads on after sixteen seconds gets whole messages, each once",
        reads_on_after_seconds,
    )
    .idling(),
    Case::must(
        "slow/sender-never-reads",
        "SLOW-2",
        "while a client sends all it can and never reads, the others send and receive",
        sender_never_reads,
    ),
    Case::must(
        "slow/drip-reader",
        "DROP-2",
        "a client that reads a few bytes at a time gets whole messages",
        drip_reader,
    ),
];

fn stalled_reader(fixture: &mut Fixture) -> Outcome {
    beside_stalled(fixture, 1)
}

fn many_stalled(fixture: &mut Fixture) -> Outcome {
    beside_stalled(fixture, MANY_STALLED)
}

fn beside_stalled(fixture: &mut Fixture, count: usize) -> Outcome {
    // Some of them came before those who read, some after.
    let older =
        (0..count.div_ceil(2)).map(|_| fixture.connect_with(STALLED, ConnectOptions::SMALL));
    let mut stalled = older.collect::<Result<Vec<ClientIndex>, Stop>>()?;
    let clients = fixture.join(2, "client that reads")?;
    for _ in stalled.len()..count {
        stalled.push(fixture.connect_with(STALLED, ConnectOptions::SMALL)?);
    }
    let everyone = fixture.everyone();
    fixture.await_served(clients[0], &everyone)?;
    let calm = talk(fixture, &clients, "while everybody reads", Duration::MAX)?;
    for &client in &stalled {
        fixture.set_reading(client, false)?;
    }
    let received = |fixture: &Fixture| fixture.recorder.tally(clients[1], clients[0]).received;
    let before = received(fixture);
    let flood =
        Flood { senders: vec![clients[0]], steady: true, bytes: FLOOD_BYTES, lengths: [200; 2] };
    let flooded = fixture.flood(&flood, FLOOD_TIME)?;
    if flooded.blocked {
        // Held up for good? Then what comes next fails; here nothing is decided.
        fixture.pump(Duration::from_millis(10))?;
    }
    talk_on(fixture, &clients, "while another client does not read", calm)?;
    let received = received(fixture) - before;
    let newcomers = fixture.join(2, "newcomer")?;
    talk_on(fixture, &newcomers, "while clients do not read that came earlier", calm)?;
    // The talk that follows the flood is counted, too.
    let sent = flooded.bytes / 201;
    let past = u64::from(received).min(sent);
    Ok(format!("{past} of {sent} messages sent past the stalled reached the other reader"))
}

/// Both directions, several times; messages may be lost under load, so they
/// are repeated until one comes. Returns how long it took, which is at most
/// `time` and the patience with one message.
fn talk(
    fixture: &mut Fixture,
    clients: &[ClientIndex],
    when: &str,
    time: Duration,
) -> Result<Duration, Stop> {
    let started = Instant::now();
    for round in 0..TALK_ROUNDS {
        for &client in clients {
            fixture.send_until_delivered(
                client,
                clients,
                &format!("a message of client #{client} {when}"),
            )?;
        }
        if started.elapsed() > time {
            let expected = format!("messages {when} in about the time that they took before");
            let came = format!(
                "{} of {TALK_ROUNDS} rounds in {:.0} s",
                round + 1,
                started.elapsed().as_secs_f64()
            );
            return Err(fixture.failure(clients[0], expected, came));
        }
    }
    Ok(started.elapsed())
}

/// [`talk`] in not much more than the time that it took in `calm`, once what
/// was under way has come.
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
    let time = fixture.context.patience() * 2 + calm * TALK_SLOWER_MAX;
    talk(fixture, clients, when, time).map(|_| ())
}

fn sender_never_reads(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client that reads")?;
    let options = ConnectOptions {
        send_buffer_bytes: ConnectOptions::FLOODER.send_buffer_bytes,
        ..ConnectOptions::STALLED
    };
    let calm = talk(fixture, &clients, "while everybody reads", Duration::MAX)?;
    let never = fixture.connect_with("client that sends and never reads", options)?;
    let flood =
        Flood { senders: vec![never], steady: false, bytes: FLOOD_BYTES, lengths: [200; 2] };
    let flooded = fixture.flood(&flood, FLOOD_TIME)?;
    talk_on(fixture, &clients, "while another client sends and never reads", calm)?;
    let how = if fixture.client(never).end().is_some() {
        ", then it was disconnected"
    } else if flooded.blocked {
        ", then the server read no more of it"
    } else {
        ""
    };
    Ok(format!("{} KiB taken from it{how}", flooded.bytes / 1024))
}

fn drip_reader(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client that reads")?;
    let drip = fixture.connect_with("drip reader", ConnectOptions::SMALL)?;
    fixture.await_served(clients[0], &[clients[0], clients[1], drip])?;
    fixture.set_reading(drip, false)?;
    for turn in 0..400 {
        // At the server's pace: what piles up would have to be worked off.
        for _ in 0..fixture.pace(clients[0]).min(40) {
            fixture.send(clients[0], 11 + turn % 245);
        }
        fixture.pump(Duration::from_millis(1))?;
        for bytes in [1, 7, 64] {
            fixture.read_up_to(drip, bytes);
        }
    }
    fixture.set_reading(drip, true)?;
    fixture.send_until_delivered(clients[0], &clients, "a message beside a drip reader")?;
    fixture.drain(clients[0], drip)?;
    fixture.check_violations()?;
    let lost = fixture.recorder.tally(drip, clients[0]).missing();
    Ok(format!("{lost} messages dropped"))
}

/// Short and long messages for one that reads a little, a lot, or nothing: its socket
/// takes a part of what is written to it again and again, cut at any place.
pub(super) fn in_gulps(
    fixture: &mut Fixture,
    sender: ClientIndex,
    drip: ClientIndex,
) -> Result<(), Stop> {
    const GULPS: [usize; 6] = [1, 7, 100, 3_000, 20_000, 60_000];
    /// Messages at once, and looks for something to read after them.
    const SPURT: u32 = 16;
    /// How long it reads hardly, and then how long as fast as it gets something.
    const PHASE: Duration = Duration::from_millis(100);
    /// How often it does in the first of these.
    const HARDLY: Duration = Duration::from_millis(5);
    let started = Instant::now();
    let mut gulped = started;
    while started.elapsed() < GULPS_TIME && fixture.client(drip).end().is_none() {
        // Where many frames are short, many cuts come right behind a header.
        let long = fixture.rng.random::<bool>();
        for _ in 0..fixture.pace(sender).min(SPURT) {
            let lengths =
                if long && fixture.rng.random() { 60..=255 } else { TAG_BYTES..=TAG_BYTES + 4 };
            let length = fixture.rng.random_range(lengths);
            fixture.send(sender, length);
        }
        fixture.pump(Duration::from_millis(1))?;
        // Its queue is full in one phase, and empty now and then in the other.
        let hardly = (started.elapsed().as_millis() / PHASE.as_millis()).is_multiple_of(2);
        let gulps = if hardly { gulped.elapsed() > HARDLY } else { fixture.rng.random_ratio(1, 4) };
        if gulps {
            gulped = Instant::now();
            let gulp = GULPS[fixture.rng.random_range(0..GULPS.len())];
            fixture.read_up_to(drip, gulp);
        }
        if !fixture.recorder.violations().is_empty() {
            break;
        }
    }
    Ok(())
}

fn reads_on_later(fixture: &mut Fixture) -> Outcome {
    let client = fixture.join(1, "client that reads")?[0];
    let stalled = fixture.connect_with("client that reads on later", ConnectOptions::SMALL)?;
    fixture.await_served(client, &[client, stalled])?;
    fixture.set_reading(stalled, false)?;
    let flood =
        Flood { senders: vec![client], steady: true, bytes: LONG_FLOOD_BYTES, lengths: [250; 2] };
    let flooded = fixture.flood(&flood, LONG_FLOOD_TIME)?;
    fixture.send_until_delivered(
        client,
        &[client],
        "a message beside a client that does not read",
    )?;
    read_on(fixture, client, stalled)?;
    nothing_but_the_line(fixture)?;
    Ok(format!("{} KiB went past it", flooded.bytes / 1024))
}

fn reads_on_after_seconds(fixture: &mut Fixture) -> Outcome {
    let client = fixture.join(1, "client that reads")?[0];
    let stalled = fixture.connect_with("client that reads on later", ConnectOptions::SMALL)?;
    fixture.await_served(client, &[client, stalled])?;
    fixture.set_reading(stalled, false)?;
    // A prime number of bytes a frame: wherever a write is cut, it cuts a frame.
    let flood = Flood { senders: vec![client], steady: true, bytes: FLOOD_BYTES, lengths: [96; 2] };
    fixture.flood(&flood, LONG_FLOOD_TIME)?;
    fixture.pump_until(LONG_PAUSE, |_| false)?;
    // What was full may have got room in buffers of the system by then.
    fixture.flood(&flood, LONG_FLOOD_TIME)?;
    fixture.send_until_delivered(
        client,
        &[client],
        "a message beside a client that does not read",
    )?;
    read_on(fixture, client, stalled)
}

/// `stalled` reads again, unless it was disconnected, which is legal (DROP-5).
fn read_on(fixture: &mut Fixture, talker: ClientIndex, stalled: ClientIndex) -> Outcome {
    fixture.set_reading(stalled, true)?;
    let disconnected = fixture.drain(talker, stalled);
    fixture.check_violations()?;
    if disconnected? {
        return Ok("it was disconnected".to_owned());
    }
    Ok(format!("{} messages dropped", fixture.recorder.tally(stalled, talker).missing()))
}
