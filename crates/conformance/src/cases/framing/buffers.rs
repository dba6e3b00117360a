//! FRAME-4 and FRAME-5: bytes that fill a buffer, and sockets that take a part of what
//! is written to them.

use std::time::{Duration, Instant};

use crate::cases::slow::in_gulps;
use crate::client::ConnectOptions;
use crate::fixture::{ClientIndex, Fixture, IN_FLIGHT_MAX, OverloadResponse};
use crate::tagged::TAG_BYTES;
use crate::verdict::{Note, Outcome, Stop};

/// Sizes of buffers, in bytes, that few messages fill: none of them may be lost.
const SMALL: [usize; 5] = [64, 128, 256, 512, 1024];
/// How often each is filled: what a read returns is chance.
const SMALL_ROUNDS: usize = 4;
/// Sizes that take more messages than may be under way without loss.
const LARGE: [usize; 6] = [2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
/// Empty messages in one go: at first, to see how fast the server is, and at most.
const EMPTIES_FIRST: usize = 500;
const EMPTIES_MAX: usize = 64 << 10;
/// How often a large one has to be held back: a loaded machine does so once.
const HELD_TIMES: usize = 3;
/// Nothing has come for so long: either nothing will come, or it is held back.
const SILENCE: Duration = Duration::from_secs(2);
/// Time after which the search for cut frames is not repeated.
const SHORT_WRITES_TIME: Duration = Duration::from_secs(2);
/// The longest frame, in bytes.
const FRAME_BYTES_MAX: usize = 256;

pub(super) fn filled_buffers(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    for size in SMALL {
        for count in (1..=IN_FLIGHT_MAX).filter(|count| size % count == 0) {
            let length = size / count - 1;
            if (TAG_BYTES..FRAME_BYTES_MAX).contains(&length) {
                // They leave in one write.
                let talks = vec![(clients[0], length); count];
                for _ in 0..SMALL_ROUNDS {
                    fixture.deliver(&talks, &clients)?;
                }
            }
        }
    }
    for size in LARGE {
        fill_large(fixture, &clients, size)?;
    }
    Ok(Note::new())
}

pub(super) fn empties_at_once(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let (sender, receiver) = (clients[0], clients[1]);
    fixture.recorder.ignore_plain();
    // As many as the server passes on in about a second.
    let started = Instant::now();
    fixture.queue_bytes(sender, &[0; EMPTIES_FIRST]);
    fixture.send_until_delivered(sender, &clients, "a message behind empty ones")?;
    let first = started.elapsed().as_secs_f64().max(1e-3);
    let count = ((EMPTIES_FIRST as f64 / first) as usize).clamp(EMPTIES_FIRST, EMPTIES_MAX);
    for _ in 0..HELD_TIMES {
        fixture.queue_bytes(sender, &vec![0; count]);
        let last = fixture.send(sender, TAG_BYTES);
        if came_or_silence(fixture, receiver, sender, last)? {
            return Ok(format!("{count} in one go"));
        }
        fixture.send_until_delivered(sender, &clients, "a message behind many empty ones")?;
        if !fixture.recorder.tally(receiver, sender).has(last) {
            return Ok(format!("{count} in one go, and the one behind them dropped"));
        }
    }
    Err(fixture.failure(
        receiver,
        format!("the message behind {count} empty ones, sent in one go"),
        format!("it came only when another was sent behind it, {HELD_TIMES} times in a row"),
    ))
}

/// Of so many messages some may be lost. But one that comes as soon as another
/// is sent was there, and waited.
fn fill_large(fixture: &mut Fixture, clients: &[ClientIndex], size: usize) -> Result<(), Stop> {
    let (sender, receiver) = (clients[0], clients[1]);
    for _ in 0..HELD_TIMES {
        let mut last = 0;
        for _ in 0..size / FRAME_BYTES_MAX {
            last = fixture.send(sender, FRAME_BYTES_MAX - 1);
        }
        if came_or_silence(fixture, receiver, sender, last)? {
            return Ok(());
        }
        fixture.send_until_delivered(
            sender,
            clients,
            "a message behind those that fill a buffer",
        )?;
        if !fixture.recorder.tally(receiver, sender).has(last) {
            return Ok(());
        }
    }
    Err(fixture.failure(
        receiver,
        format!("the last of {size} bytes of messages, sent in one go"),
        format!("it came only when another was sent behind it, {HELD_TIMES} times in a row"),
    ))
}

/// Waits until message `sequence` has come, or nothing comes any more.
fn came_or_silence(
    fixture: &mut Fixture,
    receiver: ClientIndex,
    sender: ClientIndex,
    sequence: u32,
) -> Result<bool, Stop> {
    let came =
        |fixture: &Fixture| fixture.recorder.tally(receiver, sender).latest >= Some(sequence);
    let mut progress = (0, Instant::now());
    while !came(fixture) && progress.1.elapsed() < SILENCE {
        let received = fixture.client(receiver).bytes_received();
        if received != progress.0 {
            progress = (received, Instant::now());
        }
        fixture.pump_until(SILENCE / 8, came)?;
    }
    Ok(came(fixture))
}

pub(super) fn short_writes(fixture: &mut Fixture) -> Outcome {
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
        "a message beside one that reads in gulps",
    )?;
    fixture.drain(clients[0], slow)?;
    Ok(note)
}
