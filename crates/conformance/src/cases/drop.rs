//! DROP: when messages may be lost.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::case::Case;
use crate::client::ConnectOptions;
use crate::fixture::{
    ClientIndex, FENCE_BYTES, Fixture, Flood, FloodPace, IN_FLIGHT_MAX, OverloadResponse,
};
use crate::tagged::TAG_BYTES;
use crate::verdict::{Note, Outcome, Stop};

/// Time after which drops are not forced on a further client.
const REPEAT_TIME: Duration = Duration::from_secs(3);
/// Messages of one client: more than sixteen bits can number.
const MANY_OF_ONE: u64 = 70_000;
/// Bytes that it gets one message after the other: more than twice around a ring of two
/// MiB, and the time for them.
const LOCK_STEP_BYTES: u64 = 5 << 20;
const LOCK_STEP_TIME: Duration = Duration::from_secs(2);
/// How often clients stop reading and recover, if the first message after that does not
/// arrive, and how often it must be late: on a loaded machine what seems to be over may
/// not be, once.
const RECOVERIES: u32 = 6;
const LATE_RECOVERIES: u32 = 2;
/// How often it must arrive after others were lost.
const RECOVERIES_IN_TIME: u32 = 2;
/// Nothing has arrived for so long: the backlog is delivered.
const RECOVERED_AFTER: Duration = Duration::from_millis(500);
/// What is sent past clients that do not read, in bytes, and the time for it.
const BACKLOG_BYTES: u64 = 4 << 20;
const BACKLOG_TIME: Duration = Duration::from_millis(1500);
/// Length of its messages, in bytes.
const BACKLOG_LENGTH: usize = 200;
/// Clients that stop reading together.
const MANY_STALLED: usize = 60;
const MANY_CUT: usize = 24;
/// How long nothing is sent.
const SILENCE: Duration = Duration::from_secs(3);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "drops/whole-messages-only",
        "DROP-2",
        "a client that has not read for long finds whole messages, in order, with whole ones missing",
        whole_messages_only,
    )
    .at_its_pace()
    .quick(),
    Case::must(
        "slow/drip-reader",
        "DROP-2",
        "a client that reads a few bytes at a time gets whole messages",
        drip_reader,
    )
    .at_its_pace(),
    Case::must(
        "drops/none-alone",
        "DROP-3",
        "a sole client with four messages under way loses none",
        none_alone,
    ),
    Case::must(
        "drops/none-at-low-load",
        "DROP-3",
        "six clients, four messages under way, sent by four of them at once: none is lost",
        none_at_low_load,
    )
    .quick(),
    Case::must(
        "drops/none-after-silence",
        "DROP-3",
        "the first messages after three seconds without any all arrive",
        none_after_silence,
    )
    .idling(),
    Case::must(
        "drops/none-after-recovery",
        "DROP-3",
        "the first message after a client has caught up reaches it",
        none_after_recovery,
    )
    .at_its_pace(),
    Case::must(
        "drops/end-with-their-cause",
        "DROP-4",
        "a client that has lost messages and drains again gets all new ones, again and again",
        end_with_their_cause,
    )
    .at_its_pace(),
    Case::must(
        "drops/end-for-each-of-many",
        "DROP-4",
        "sixty clients that did not read and drain again get new messages again, each of them",
        end_for_each_of_many,
    )
    .at_its_pace(),
];

fn whole_messages_only(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let slow = fixture.connect_with("client that stops reading", ConnectOptions::SMALL)?;
    fixture.await_served(clients[0], &[clients[0], clients[1], slow])?;
    let response = fixture.overload(&clients[..1], slow, &clients)?;
    fixture.check_violations()?;
    whole_short_messages(fixture, clients[0])?;
    Ok(response.to_string())
}

/// A socket cuts what is written to it once, when it is full: many sockets, and frames so
/// short that some of the cuts come right behind a header.
fn whole_short_messages(fixture: &mut Fixture, sender: ClientIndex) -> Result<(), Stop> {
    let mut stalled = Vec::with_capacity(MANY_CUT);
    for _ in 0..MANY_CUT {
        let client =
            fixture.connect_with("one of many that stop reading", ConnectOptions::SMALL)?;
        fixture.await_served(sender, &[client])?;
        fixture.set_reading(client, false)?;
        // Each is at another place of a frame when its socket is full.
        let length = fixture.rng.random_range(TAG_BYTES..=3 * TAG_BYTES);
        fixture.deliver(&[(sender, length)], &[sender])?;
        stalled.push(client);
    }
    flood_past(fixture, sender, &stalled, TAG_BYTES)?;
    for &client in &stalled {
        fixture.set_reading(client, true)?;
    }
    fixture.send_until_delivered(
        sender,
        &[sender],
        "a message beside clients that resume reading",
    )?;
    all_drain_again(fixture, sender, &mut stalled)?;
    fixture.check_violations()
}

fn drip_reader(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client that reads")?;
    let drip = fixture.connect_with("drip reader", ConnectOptions::SMALL)?;
    fixture.await_served(clients[0], &[clients[0], clients[1], drip])?;
    fixture.set_reading(drip, false)?;
    for turn in 0..400 {
        // At the server's pace: what piles up would have to be delivered later.
        for _ in 0..fixture.send_budget(clients[0], 1).min(40) {
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

/// Delivers with four under way until the volume is reached.
fn low_load(
    fixture: &mut Fixture,
    senders: &[ClientIndex],
    to: &[ClientIndex],
    volume: (u64, f64),
) -> Outcome {
    let volume = fixture.limits.volume(volume.0, volume.1);
    let started = Instant::now();
    let begun = fixture.recorder.deliveries();
    let window: Vec<(ClientIndex, usize)> =
        senders.iter().cycle().take(IN_FLIGHT_MAX).map(|&sender| (sender, 24)).collect();
    while fixture.recorder.deliveries() - begun < volume.deliveries
        && started.elapsed() < volume.time
    {
        fixture.deliver(&window, to)?;
    }
    Ok(format!("{} deliveries", fixture.recorder.deliveries() - begun))
}

fn none_alone(fixture: &mut Fixture) -> Outcome {
    let client = fixture.join(1, "sole client")?;
    let note = low_load(fixture, &client, &client, (MANY_OF_ONE, 2.0))?;
    // One after the other, so that nothing comes behind it that could push it on.
    let started = Instant::now();
    let begun = fixture.client(client[0]).bytes_received();
    while fixture.client(client[0]).bytes_received() - begun < LOCK_STEP_BYTES
        && started.elapsed() < LOCK_STEP_TIME
    {
        fixture.deliver(&[(client[0], 250)], &client)?;
    }
    Ok(note)
}

fn none_at_low_load(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(6, "client")?;
    low_load(fixture, &clients[..IN_FLIGHT_MAX], &clients, (40_000, 2.0))
}

fn none_after_silence(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(3, "client")?;
    for turn in 0..2 {
        fixture.pump_for(SILENCE)?;
        fixture.deliver(&[(clients[turn], 30); IN_FLIGHT_MAX], &clients)?;
    }
    Ok(Note::new())
}

fn none_after_recovery(fixture: &mut Fixture) -> Outcome {
    let client = fixture.join(1, "client")?[0];
    let slow = fixture.connect_with("client that stops reading", ConnectOptions::SMALL)?;
    let (mut late, mut in_time) = (0, 0);
    for _ in 0..RECOVERIES {
        fixture.await_served(client, &[client, slow])?;
        let missing = |fixture: &Fixture| fixture.recorder.tally(slow, client).missing();
        let before = missing(fixture);
        flood_past(fixture, client, &[slow], BACKLOG_LENGTH)?;
        fixture.send_until_delivered(
            client,
            &[client],
            "a message beside a client that does not read",
        )?;
        let first = first_after_recovery(fixture, client, &[slow])?;
        if fixture.client(slow).end().is_some() {
            return Ok("the slow client was disconnected".to_owned());
        }
        fixture.send_until_delivered(
            client,
            &[slow],
            "a message for a client that drains again",
        )?;
        let dropped = missing(fixture) - before;
        in_time += u32::from(first.is_none() && dropped > 0);
        if in_time == RECOVERIES_IN_TIME {
            return Ok(format!("{dropped} messages dropped before"));
        }
        late += u32::from(first.is_some());
        if late == LATE_RECOVERIES {
            let expected = "the first message after the client has caught up";
            return Err(fixture.failure(slow, expected, format!("only later ones, {late} times")));
        }
    }
    Ok("it lost none before".to_owned())
}

/// The stalled clients read until nothing arrives any more. Then a message is sent, and
/// one of them that has not got it when again nothing arrives is returned, if there is one.
fn first_after_recovery(
    fixture: &mut Fixture,
    sender: ClientIndex,
    stalled: &[ClientIndex],
) -> Result<Option<ClientIndex>, Stop> {
    for &client in stalled {
        fixture.set_reading(client, true)?;
    }
    until_quiet(fixture)?;
    let first = fixture.send(sender, FENCE_BYTES);
    fixture.flush()?;
    until_quiet(fixture)?;
    let without = |&client: &ClientIndex| {
        fixture.client(client).end().is_none() && !fixture.recorder.tally(client, sender).has(first)
    };
    Ok(stalled.iter().copied().find(without))
}

/// Sends a flood past clients that do not read.
fn flood_past(
    fixture: &mut Fixture,
    sender: ClientIndex,
    stalled: &[ClientIndex],
    length: usize,
) -> Result<(), Stop> {
    for &client in stalled {
        fixture.set_reading(client, false)?;
    }
    let flood = Flood {
        senders: vec![sender],
        pace: FloodPace::Echoes,
        bytes: BACKLOG_BYTES,
        lengths: [length; 2],
    };
    fixture.flood(&flood, BACKLOG_TIME).map(|_| ())
}

/// Waits until the server does nothing any more.
fn until_quiet(fixture: &mut Fixture) -> Result<(), Stop> {
    fixture.pump_until_silent(RECOVERED_AFTER, |_| false).map(|_| ())
}

fn end_for_each_of_many(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let mut stalled = Vec::with_capacity(MANY_STALLED);
    for _ in 0..MANY_STALLED {
        stalled.push(fixture.connect_with("client that stops reading", ConnectOptions::SMALL)?);
    }
    fixture.await_served(clients[0], &fixture.all_clients())?;
    for late in 1.. {
        flood_past(fixture, clients[0], &stalled, BACKLOG_LENGTH)?;
        fixture.send_until_delivered(
            clients[0],
            &clients,
            "a message beside clients that do not read",
        )?;
        let without = first_after_recovery(fixture, clients[0], &stalled)?;
        stalled.retain(|&client| fixture.client(client).end().is_none());
        let Some(without) = without else { break };
        all_drain_again(fixture, clients[0], &mut stalled)?;
        if late == LATE_RECOVERIES {
            let expected = "a new message, once a client and many others drain again";
            let actual = format!("only when another was sent behind it, {late} times in a row");
            return Err(fixture.failure(without, expected, actual));
        }
    }
    all_drain_again(fixture, clients[0], &mut stalled)?;
    Ok(format!("{} of {MANY_STALLED} were not disconnected", stalled.len()))
}

/// Each of `clients` gets a message, unless it is disconnected meanwhile (DROP-5).
fn all_drain_again(
    fixture: &mut Fixture,
    sender: ClientIndex,
    clients: &mut Vec<ClientIndex>,
) -> Result<(), Stop> {
    loop {
        let served = fixture.send_until_delivered(
            sender,
            clients,
            "a message for a client that drains again",
        );
        let asked = clients.len();
        clients.retain(|&client| fixture.client(client).end().is_none());
        if served.is_ok() || clients.len() == asked {
            return served;
        }
    }
}

fn end_with_their_cause(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let mut notes: Vec<OverloadResponse> = Vec::new();
    let started = Instant::now();
    for turn in 0..2 {
        let lost = notes.iter().any(|response| matches!(response, OverloadResponse::Dropped(_)));
        if turn > 0 && (!lost || started.elapsed() > REPEAT_TIME) {
            // A server that loses nothing will not do so the next time either.
            break;
        }
        let slow = fixture.connect_with("client that stops reading", ConnectOptions::SMALL)?;
        let everyone = [clients[0], clients[1], slow];
        fixture.await_served(clients[0], &everyone)?;
        for _ in 0..2 {
            let response = fixture.overload(&clients[..1], slow, &clients)?;
            notes.push(response);
            if response == OverloadResponse::Disconnected {
                break;
            }
            // What was repeated for the slow one may still be under way to others.
            fixture.await_served(clients[0], &everyone)?;
            fixture.deliver(&[(clients[0], 40); 40], &everyone)?;
            fixture.deliver(&[(slow, 40), (clients[1], 40)], &everyone)?;
            if !matches!(response, OverloadResponse::Dropped(_)) {
                break;
            }
        }
        fixture.close(slow);
    }
    overrun_readers(fixture, &clients)?;
    let notes: Vec<String> = notes.iter().map(OverloadResponse::to_string).collect();
    Ok(notes.join("; "))
}

/// More at once than any queue holds, to clients that read all the time:
/// afterwards nothing is lost any more.
fn overrun_readers(fixture: &mut Fixture, clients: &[ClientIndex]) -> Result<Note, Stop> {
    for _ in 0..3 {
        for _ in 0..400 {
            fixture.send(clients[0], 40);
        }
        fixture.send_until_delivered(clients[0], clients, "a message behind many others")?;
        fixture.deliver(&[(clients[0], 40), (clients[1], 40)], clients)?;
    }
    Ok(Note::new())
}
