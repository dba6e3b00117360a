//! FRAME-5: every frame is delivered whole and uninterrupted.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::case::Case;
use crate::cases::common::pauses::LONG_PAUSE;
use crate::cases::common::slow_readers::{LONG_FLOOD_TIME, end_with_a_backlog, read_on};
use crate::client::ConnectOptions;
use crate::fixture::{Bursts, ClientIndex, Fixture, Flood, FloodPace, OverloadResponse};
use crate::tagged::TAG_BYTES;
use crate::verdict::{Note, Outcome, Stop};

/// Time after which the search for cut frames is not repeated.
const SHORT_WRITES_TIME: Duration = Duration::from_secs(2);
/// Time for one that reads in gulps: where its socket cuts what is written is chance.
const GULPS_TIME: Duration = Duration::from_millis(1500);
/// How much is sent past clients that do not read, in bytes: more than the
/// system's own buffers hold, so that the server must decide.
const FLOOD_BYTES: u64 = 4 << 20;
/// How many clients end their stream while messages wait for them.
const BACKLOG_ENDS: usize = 3;
/// How long such a client reads. It need not be disconnected by then.
const BACKLOG_WAIT: Duration = Duration::from_millis(500);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "frame/whole-and-uninterrupted",
        "FRAME-5",
        "under load from many senders no frame is cut, mixed or changed, on small receive buffers too",
        whole_and_uninterrupted,
    )
    .at_its_pace()
    .quick(),
    Case::must(
        "frame/short-writes",
        "FRAME-5",
        "frames that a slow client's socket takes only in part arrive whole",
        short_writes,
    )
    .at_its_pace(),
    Case::must(
        "slow/reads-on-after-seconds",
        "FRAME-5",
        "a client that resumes reading after sixteen seconds gets whole messages, each once",
        reads_on_after_seconds,
    )
    .at_its_pace()
    .idling(),
    Case::must(
        "end/backlog-after-end",
        "FRAME-5",
        "a client that ends its stream while messages wait for it gets whole ones",
        backlog_after_end,
    )
    .at_its_pace(),
];

fn whole_and_uninterrupted(fixture: &mut Fixture) -> Outcome {
    let mut clients = fixture.join(4, "client")?;
    for _ in 0..2 {
        clients.push(
            fixture.connect_with("client with a small receive buffer", ConnectOptions::SMALL)?,
        );
    }
    fixture.await_served(clients[0], &clients)?;
    let bursts = Bursts {
        senders: clients.clone(),
        receivers: clients.clone(),
        burst_max: 24,
        lengths: (TAG_BYTES, 255),
        moment: Duration::ZERO,
    };
    let volume = fixture.limits.volume(200_000, 2.0);
    fixture.send_bursts(&bursts, volume)?;
    fixture.send_until_delivered(clients[0], &clients, "a message after the load")?;
    Ok(format!("{} deliveries", fixture.recorder.deliveries()))
}

fn short_writes(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let slow = fixture.connect_with("client that stops reading", ConnectOptions::SMALL)?;
    fixture.await_served(clients[0], &[clients[0], clients[1], slow])?;
    let mut note = Note::new();
    let started = Instant::now();
    for _ in 0..3 {
        let response = fixture.overload(&clients[..1], slow, &clients)?;
        fixture.check_violations()?;
        note = response.to_string();
        if !matches!(response, OverloadResponse::Dropped(_))
            || started.elapsed() > SHORT_WRITES_TIME
        {
            break;
        }
    }
    fixture.set_reading(slow, false)?;
    in_gulps(fixture, clients[0], slow)?;
    fixture.set_reading(slow, true)?;
    fixture.send_until_delivered(
        clients[0],
        &clients,
        "a message beside a client that reads in gulps",
    )?;
    fixture.drain(clients[0], slow)?;
    Ok(note)
}

/// Short and long messages for a client that reads a little, a lot, or nothing: its socket
/// takes a part of what is written to it again and again, cut at any offset.
fn in_gulps(fixture: &mut Fixture, sender: ClientIndex, drip: ClientIndex) -> Result<(), Stop> {
    const GULPS: [usize; 6] = [1, 7, 100, 3_000, 20_000, 60_000];
    /// Messages at once, and looks for something to read after them.
    const SPURT: u32 = 16;
    /// How long it hardly reads, and then how long as fast as messages arrive.
    const PHASE: Duration = Duration::from_millis(100);
    /// How often it does in the first of these.
    const HARDLY: Duration = Duration::from_millis(5);
    let started = Instant::now();
    let mut gulped = started;
    while started.elapsed() < GULPS_TIME && fixture.client(drip).end().is_none() {
        // Where many frames are short, many cuts come right behind a header.
        let long = fixture.rng.random::<bool>();
        for _ in 0..fixture.send_budget(sender, 1).min(SPURT) {
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

fn reads_on_after_seconds(fixture: &mut Fixture) -> Outcome {
    let client = fixture.join(1, "client that reads")?[0];
    let stalled =
        fixture.connect_with("client that resumes reading later", ConnectOptions::SMALL)?;
    fixture.await_served(client, &[client, stalled])?;
    fixture.set_reading(stalled, false)?;
    // A prime number of bytes a frame: wherever a write is cut, it cuts a frame.
    let flood = Flood {
        senders: vec![client],
        pace: FloodPace::Echoes,
        bytes: FLOOD_BYTES,
        lengths: [96; 2],
    };
    fixture.flood(&flood, LONG_FLOOD_TIME)?;
    fixture.pump_for(LONG_PAUSE)?;
    // The system's buffers may have grown meanwhile.
    fixture.flood(&flood, LONG_FLOOD_TIME)?;
    fixture.send_until_delivered(
        client,
        &[client],
        "a message beside a client that does not read",
    )?;
    read_on(fixture, client, stalled)
}

fn backlog_after_end(fixture: &mut Fixture) -> Outcome {
    let stayer = fixture.join(1, "stayer")?[0];
    let mut received = 0;
    for _ in 0..BACKLOG_ENDS {
        let slow = end_with_a_backlog(fixture, stayer)?;
        let before = fixture.client(slow).bytes_received();
        fixture.set_reading(slow, true)?;
        fixture.pump_until(BACKLOG_WAIT, |fixture| fixture.client(slow).end().is_some())?;
        received += fixture.client(slow).bytes_received() - before;
        fixture.check_violations()?;
        fixture.close(slow);
    }
    Ok(format!("{} KiB received after the end", received / 1024))
}
