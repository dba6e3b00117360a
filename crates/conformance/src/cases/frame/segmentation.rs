//! FRAME-4: how TCP cuts the stream means nothing.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::case::Case;
use crate::cases::common::messages::random_body;
use crate::cases::common::pauses::LONG_PAUSE;
use crate::fixture::{ClientIndex, Fixture, IN_FLIGHT_MAX, frame};
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
/// How often a large one must be held back: a loaded machine does so once.
const HELD_TIMES: usize = 3;
/// Nothing has arrived for so long: either nothing will, or it is held back.
const SILENCE: Duration = Duration::from_secs(2);
/// The longest frame, in bytes.
const FRAME_BYTES_MAX: usize = 256;
/// What two clients send in one go each, in bytes, at first and at most: more
/// than a read buffer holds. It is doubled as long as the server is through
/// with it in a moment.
const PIPELINED_BYTES: usize = 64 * 1024;
const PIPELINED_BYTES_MAX: usize = 256 * 1024;
const PIPELINED_MOMENT: Duration = Duration::from_millis(250);
/// How often and how long: read buffers are only filled by chance.
const PIPELINED_ROUNDS: usize = 10;
const PIPELINED_TIME: Duration = Duration::from_millis(1500);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "frame/byte-at-a-time",
        "FRAME-4",
        "frames sent byte by byte arrive whole, while another client talks between the bytes",
        byte_at_a_time,
    )
    .quick(),
    Case::must(
        "frame/every-split",
        "FRAME-4",
        "a stream of frames cut in two at every offset arrives the same",
        every_split,
    ),
    Case::must(
        "frame/pause-after-header",
        "FRAME-4",
        "a body that follows its header only after other clients have talked arrives whole",
        pause_after_header,
    ),
    Case::must(
        "frame/pause-of-seconds",
        "FRAME-4",
        "a frame whose sender pauses for sixteen seconds inside it arrives whole",
        pause_of_seconds,
    )
    .idling(),
    Case::must(
        "frame/cut-side-by-side",
        "FRAME-4",
        "frames of three clients whose pieces arrive in turns arrive whole",
        cut_side_by_side,
    )
    .quick(),
    Case::must(
        "frame/several-in-one-write",
        "FRAME-4",
        "frames that arrive together are all processed, without more having to arrive",
        several_in_one_write,
    )
    .quick(),
    Case::must(
        "frame/filled-buffers",
        "FRAME-4",
        "messages that fill a buffer of 64 bytes to 64 KiB exactly do not wait for more",
        filled_buffers,
    )
    .sending(256 << 10),
    Case::must(
        "frame/empties-at-once",
        "FRAME-4",
        "of tens of thousands of empty messages in one go none waits for later ones",
        empties_at_once,
    )
    .at_its_pace(),
    Case::must(
        "frame/pipelined-64k",
        "FRAME-4",
        "frames of two clients, up to 256 KiB of each in one go, arrive intact; some may be dropped",
        pipelined_64k,
    )
    .at_its_pace(),
];

fn byte_at_a_time(fixture: &mut Fixture) -> Outcome {
    fixture.recorder.expect_plain();
    let clients = fixture.join(2, "client")?;
    let [sender, talker] = clients[..] else { unreachable!("two clients joined") };
    let bodies = [b"byte by byte".to_vec(), Vec::new(), vec![0xff], random_body(fixture, 40)];
    for body in &bodies {
        for byte in frame(body) {
            fixture.queue_bytes(sender, &[byte]);
            fixture.flush()?;
            fixture.fence(
                talker,
                &clients,
                "a message sent while another client's frame is open",
            )?;
        }
        fixture.await_plain(sender, std::slice::from_ref(body), &clients)?;
    }
    // The longest frame, as quickly as single bytes can be sent.
    let body = random_body(fixture, 255);
    for byte in frame(&body) {
        fixture.queue_bytes(sender, &[byte]);
        fixture.flush()?;
    }
    fixture.await_plain(sender, &[body], &clients)?;
    Ok(Note::new())
}

fn every_split(fixture: &mut Fixture) -> Outcome {
    fixture.recorder.expect_plain();
    let clients = fixture.join(2, "client")?;
    let [sender, talker] = clients[..] else { unreachable!("two clients joined") };
    let short = [b"abc".to_vec(), Vec::new(), vec![2, 7, 7]];
    let long = [random_body(fixture, 255), random_body(fixture, 128)];
    for (bodies, step) in [(&short[..], 1), (&long[..], 16)] {
        let stream: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
        let near_boundaries = [1, 2, 127, 128, 129, 254, 255, 256, 257, 258];
        let places = (0..=stream.len()).step_by(step).chain(near_boundaries);
        for place in places.filter(|&place| place <= stream.len()) {
            fixture.queue_bytes(sender, &stream[..place]);
            fixture.flush()?;
            fixture.fence(
                talker,
                &clients,
                "a message sent between the parts of another's stream",
            )?;
            fixture.queue_bytes(sender, &stream[place..]);
            fixture.await_plain(sender, bodies, &clients)?;
        }
    }
    Ok(Note::new())
}

fn pause_after_header(fixture: &mut Fixture) -> Outcome {
    fixture.recorder.expect_plain();
    let clients = fixture.join(3, "client")?;
    for length in [1, 2, 100, 255] {
        let body = random_body(fixture, length);
        fixture.queue_bytes(clients[0], &[length as u8]);
        fixture.flush()?;
        for turn in 0..20 {
            let talker = clients[1 + turn % 2];
            fixture.fence(talker, &clients, "a message sent while another client pauses")?;
        }
        fixture.queue_bytes(clients[0], &body);
        fixture.await_plain(clients[0], &[body], &clients)?;
    }
    Ok(Note::new())
}

fn pause_of_seconds(fixture: &mut Fixture) -> Outcome {
    fixture.recorder.expect_plain();
    let clients = fixture.join(3, "client")?;
    let bodies = [random_body(fixture, 100), random_body(fixture, 200)];
    let frames = bodies.each_ref().map(|body| frame(body));
    fixture.queue_bytes(clients[0], &frames[0][..1]);
    fixture.queue_bytes(clients[1], &frames[1][..150]);
    fixture.flush()?;
    fixture.pump_for(LONG_PAUSE)?;
    fixture.queue_bytes(clients[0], &frames[0][1..]);
    fixture.await_plain(clients[0], &bodies[..1], &clients)?;
    fixture.queue_bytes(clients[1], &frames[1][150..]);
    fixture.await_plain(clients[1], &bodies[1..], &clients)?;
    Ok(Note::new())
}

fn cut_side_by_side(fixture: &mut Fixture) -> Outcome {
    const PIECE_BYTES: usize = 7;
    fixture.recorder.expect_plain();
    let clients = fixture.join(4, "client")?;
    let (senders, witness) = clients.split_at(3);
    for length in [9, 60, 255] {
        let bodies: Vec<Vec<u8>> = senders.iter().map(|_| random_body(fixture, length)).collect();
        let frames: Vec<Vec<u8>> = bodies.iter().map(|body| frame(body)).collect();
        // All but the last byte of each, a piece of one after a piece of another.
        for at in (0..length).step_by(PIECE_BYTES) {
            for (&sender, frame) in senders.iter().zip(&frames) {
                fixture.queue_bytes(sender, &frame[at..length.min(at + PIECE_BYTES)]);
                fixture.flush()?;
            }
            fixture.fence(witness[0], &clients, "a message beside incomplete frames")?;
        }
        for ((&sender, frame), body) in senders.iter().zip(&frames).zip(bodies) {
            fixture.queue_bytes(sender, &frame[length..]);
            fixture.await_plain(sender, &[body], &clients)?;
        }
    }
    Ok(Note::new())
}

fn several_in_one_write(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    for round in 0..100 {
        let longest = if round % 10 == 0 { 255 } else { 8 };
        let bodies: Vec<Vec<u8>> = (0..3)
            .map(|_| {
                let length = fixture.rng.random_range(0..=longest);
                random_body(fixture, length)
            })
            .collect();
        // Three bodies and the fence behind them leave in one write.
        fixture.deliver_plain(clients[round % 2], &bodies, &clients)?;
    }
    Ok(Note::new())
}

fn filled_buffers(fixture: &mut Fixture) -> Outcome {
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

/// Of so many messages some may be lost. But one that comes as soon as another
/// is sent was there, and waited.
fn fill_large(fixture: &mut Fixture, clients: &[ClientIndex], size: usize) -> Result<(), Stop> {
    let (sender, receiver) = (clients[0], clients[1]);
    for _ in 0..HELD_TIMES {
        let mut last = 0;
        for _ in 0..size / FRAME_BYTES_MAX {
            last = fixture.send(sender, FRAME_BYTES_MAX - 1);
        }
        if arrived_or_silence(fixture, receiver, sender, last)? {
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
        format!("it arrived only when another was sent behind it, {HELD_TIMES} times in a row"),
    ))
}

fn empties_at_once(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let (sender, receiver) = (clients[0], clients[1]);
    fixture.recorder.ignore_plain();
    // As many as the server delivers in about a second.
    let started = Instant::now();
    fixture.queue_bytes(sender, &[0; EMPTIES_FIRST]);
    fixture.send_until_delivered(sender, &clients, "a message behind empty ones")?;
    let first = started.elapsed().as_secs_f64().max(1e-3);
    let count = ((EMPTIES_FIRST as f64 / first) as usize).clamp(EMPTIES_FIRST, EMPTIES_MAX);
    for _ in 0..HELD_TIMES {
        fixture.queue_bytes(sender, &vec![0; count]);
        let last = fixture.send(sender, TAG_BYTES);
        if arrived_or_silence(fixture, receiver, sender, last)? {
            return Ok(format!("{count} in one go"));
        }
        fixture.send_until_delivered(sender, &clients, "a message behind many empty ones")?;
        if !fixture.recorder.tally(receiver, sender).has(last) {
            return Ok(format!("{count} in one go, the message behind them dropped"));
        }
    }
    Err(fixture.failure(
        receiver,
        format!("the message behind {count} empty ones, sent in one go"),
        format!("it arrived only when another was sent behind it, {HELD_TIMES} times in a row"),
    ))
}

/// Waits until message `sequence` has arrived, or the server does nothing any more.
fn arrived_or_silence(
    fixture: &mut Fixture,
    receiver: ClientIndex,
    sender: ClientIndex,
    sequence: u32,
) -> Result<bool, Stop> {
    let arrived =
        |fixture: &Fixture| fixture.recorder.tally(receiver, sender).latest >= Some(sequence);
    fixture.pump_until_silent(SILENCE, arrived)
}

fn pipelined_64k(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let mut bytes_each = PIPELINED_BYTES;
    let started = Instant::now();
    let (before, mut sent) = (fixture.recorder.deliveries(), 0);
    for _ in 0..PIPELINED_ROUNDS {
        let round = Instant::now();
        for &client in &clients {
            let mut bytes = 0;
            while bytes < bytes_each {
                let length = fixture.rng.random_range(TAG_BYTES..=255);
                fixture.send(client, length);
                bytes += 1 + length;
                sent += clients.len() as u64;
            }
        }
        for &client in &clients {
            fixture.send_until_delivered(client, &clients, "a message sent behind many others")?;
        }
        fixture.check_violations()?;
        if started.elapsed() > PIPELINED_TIME || round.elapsed() > PIPELINED_MOMENT {
            break;
        }
        bytes_each = PIPELINED_BYTES_MAX.min(bytes_each * 2);
    }
    let received = (fixture.recorder.deliveries() - before).min(sent);
    fixture.deliver(&[(clients[0], 20), (clients[1], 20)], &clients)?;
    Ok(format!("{received} of {sent} deliveries"))
}
