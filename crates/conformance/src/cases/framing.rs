//! FRAME: messages on the wire.

mod buffers;

use std::time::{Duration, Instant};

use rand::RngExt;

use super::LONG_PAUSE;
use super::bodies::{empty_message, every_byte, every_length, every_pair, random_body};
use super::scale::ensure_connections;
use crate::case::Case;
use crate::client::ConnectOptions;
use crate::fixture::{Bursts, ClientIndex, FENCE_BYTES, Fixture};
use crate::spec;
use crate::tagged::TAG_BYTES;
use crate::verdict::{Note, Outcome, Stop};
use buffers::{empties_at_once, filled_buffers, short_writes};

/// How long to wait for a server to close a connection whose other side is
/// closed. It need not (END-2 is a SHOULD); when it does, it has seen the end.
const CLOSE_WAIT: Duration = Duration::from_millis(300);

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
        "frame/every-length",
        "FRAME-1",
        "a body of each length from 0 to 255 arrives as it was sent",
        every_length,
    )
    .quick(),
    Case::must(
        "frame/nothing-but-frames",
        "FRAME-1",
        "a new client's stream holds the frames that were sent and not a byte more",
        nothing_but_frames,
    ),
    Case::must(
        "frame/nothing-unasked",
        "FRAME-1",
        "clients to whom nobody says anything receive nothing, for sixteen seconds",
        nothing_unasked,
    )
    .idling(),
    Case::must(
        "frame/spec-vectors",
        "FRAME-1",
        "each stream of the spec's table arrives as the messages beside it",
        spec_vectors,
    ),
    Case::must(
        "frame/every-byte",
        "FRAME-2",
        "each of the 256 byte values arrives unchanged, alone and at every place of a long body",
        every_byte,
    )
    .quick(),
    Case::must(
        "frame/empty-message",
        "FRAME-3",
        "empty messages arrive like others: alone, among others, in a row",
        empty_message,
    )
    .quick(),
    Case::must(
        "frame/every-pair",
        "FRAME-3",
        "empty messages, the shortest and the longest arrive in every order, one right behind the other",
        every_pair,
    ),
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
        "a stream of frames cut in two at every place arrives the same",
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
        "frames that arrive together are all taken, without more having to arrive",
        several_in_one_write,
    )
    .quick(),
    Case::must(
        "frame/filled-buffers",
        "FRAME-4",
        "what fills a buffer of 64 bytes to 64 KiB to the last byte does not wait for more",
        filled_buffers,
    ),
    Case::must(
        "frame/empties-at-once",
        "FRAME-4",
        "of tens of thousands of empty messages in one go none waits for what comes later",
        empties_at_once,
    ),
    Case::must(
        "frame/pipelined-64k",
        "FRAME-4",
        "frames of two clients, up to 256 KiB of each in one go, arrive unharmed; some may be dropped",
        pipelined_64k,
    ),
    Case::must(
        "frame/whole-and-uninterrupted",
        "FRAME-5",
        "under load from many senders no frame is cut, mixed or changed, on small receive buffers too",
        whole_and_uninterrupted,
    )
    .quick(),
    Case::must(
        "frame/short-writes",
        "FRAME-5",
        "frames that a slow client's system takes only in part arrive whole",
        short_writes,
    ),
    Case::must(
        "frame/partial-then-end",
        "FRAME-6",
        "an incomplete frame before the end of a stream is delivered to nobody",
        partial_then_end,
    ),
    Case::must(
        "frame/partial-then-reset",
        "FRAME-6",
        "an incomplete frame before a reset is delivered to nobody",
        partial_then_reset,
    ),
    Case::must(
        "frame/held-open",
        "FRAME-7",
        "while frames are held open at every kind of place, others are served; then they arrive",
        held_open,
    ),
    Case::must(
        "frame/many-held-open",
        "FRAME-7",
        "while seven hundred clients hold a frame open, others are served, newcomers too",
        many_held_open,
    ),
];

fn nothing_but_frames(fixture: &mut Fixture) -> Outcome {
    let talker = fixture.join(1, "talker")?[0];
    for _ in 0..5 {
        let newcomer = fixture.connect("newcomer")?;
        fixture.await_served(talker, &[talker, newcomer])?;
        fixture.exchange(newcomer, &[b"from the newcomer".to_vec()], &[talker, newcomer])?;
        fixture.exchange(talker, &[b"to the newcomer".to_vec()], &[talker, newcomer])?;
    }
    Ok(Note::new())
}

fn nothing_unasked(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(3, "client")?;
    let before: Vec<u64> =
        clients.iter().map(|&client| fixture.client(client).bytes_received()).collect();
    // The pause is the stimulus: what answers it stands before the fence.
    fixture.pump_until(LONG_PAUSE, |_| false)?;
    fixture.fence(clients[0], &clients, "the first message after sixteen seconds")?;
    let fence = 1 + FENCE_BYTES as u64;
    for (&client, before) in clients.iter().zip(before) {
        let came = fixture.client(client).bytes_received() - before;
        if came != fence {
            let expected = format!("the {fence} bytes of the one message that was sent");
            return Err(fixture.failure(client, expected, format!("{came} bytes")));
        }
    }
    Ok(Note::new())
}

fn spec_vectors(fixture: &mut Fixture) -> Outcome {
    fixture.expect_plain();
    let listener = fixture.join(1, "listener")?[0];
    for vector in spec::vectors() {
        let sender = fixture.connect("sender of a vector")?;
        fixture.queue_bytes(sender, &vector.stream);
        fixture.flush()?;
        let expected = format!("the messages of the vector '{}'", vector.name);
        let wanted = vector.messages.len();
        fixture.await_each(&[listener], &expected, |fixture, receiver| {
            fixture.recorder.plain(receiver).len() >= wanted
        })?;
        end_of_stream(fixture, sender)?;
        fixture.await_plain(listener, &vector.messages, &[listener])?;
    }
    Ok(Note::new())
}

/// Closes a client's sending side and waits a little for the server to answer
/// with its own end, so that it has surely seen ours.
fn end_of_stream(fixture: &mut Fixture, client: ClientIndex) -> Result<(), Stop> {
    fixture.finish_sending(client);
    fixture.pump_until(CLOSE_WAIT, |fixture| fixture.client(client).end().is_some())?;
    fixture.close(client);
    Ok(())
}

fn byte_at_a_time(fixture: &mut Fixture) -> Outcome {
    fixture.expect_plain();
    let clients = fixture.join(2, "client")?;
    let [sender, talker] = clients[..] else { unreachable!("two clients joined") };
    let bodies = [b"byte by byte".to_vec(), Vec::new(), vec![0xff], random_body(fixture, 40)];
    for body in &bodies {
        for byte in crate::fixture::frame(body) {
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
    for byte in crate::fixture::frame(&body) {
        fixture.queue_bytes(sender, &[byte]);
        fixture.flush()?;
    }
    fixture.await_plain(sender, &[body], &clients)?;
    Ok(Note::new())
}

fn every_split(fixture: &mut Fixture) -> Outcome {
    fixture.expect_plain();
    let clients = fixture.join(2, "client")?;
    let [sender, talker] = clients[..] else { unreachable!("two clients joined") };
    let short = [b"abc".to_vec(), Vec::new(), vec![2, 7, 7]];
    let long = [random_body(fixture, 255), random_body(fixture, 128)];
    for (bodies, step) in [(&short[..], 1), (&long[..], 16)] {
        let stream: Vec<u8> = bodies.iter().flat_map(|body| crate::fixture::frame(body)).collect();
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
    fixture.expect_plain();
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
    fixture.expect_plain();
    let clients = fixture.join(3, "client")?;
    let bodies = [random_body(fixture, 100), random_body(fixture, 200)];
    let frames = bodies.each_ref().map(|body| crate::fixture::frame(body));
    fixture.queue_bytes(clients[0], &frames[0][..1]);
    fixture.queue_bytes(clients[1], &frames[1][..150]);
    fixture.flush()?;
    fixture.pump_until(LONG_PAUSE, |_| false)?;
    fixture.queue_bytes(clients[0], &frames[0][1..]);
    fixture.await_plain(clients[0], &bodies[..1], &clients)?;
    fixture.queue_bytes(clients[1], &frames[1][150..]);
    fixture.await_plain(clients[1], &bodies[1..], &clients)?;
    Ok(Note::new())
}

fn cut_side_by_side(fixture: &mut Fixture) -> Outcome {
    const PIECE_BYTES: usize = 7;
    fixture.expect_plain();
    let clients = fixture.join(4, "client")?;
    let (senders, witness) = clients.split_at(3);
    for length in [9, 60, 255] {
        let bodies: Vec<Vec<u8>> = senders.iter().map(|_| random_body(fixture, length)).collect();
        let frames: Vec<Vec<u8>> = bodies.iter().map(|body| crate::fixture::frame(body)).collect();
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
        fixture.exchange(clients[round % 2], &bodies, &clients)?;
    }
    Ok(Note::new())
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
    let came = (fixture.recorder.deliveries() - before).min(sent);
    fixture.deliver(&[(clients[0], 20), (clients[1], 20)], &clients)?;
    Ok(format!("{came} of {sent} deliveries came"))
}

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
    let volume = fixture.context.volume(200_000, 2.0);
    fixture.send_bursts(&bursts, volume)?;
    fixture.send_until_delivered(clients[0], &clients, "a message after the load")?;
    Ok(format!("{} deliveries", fixture.recorder.deliveries()))
}

/// Incomplete frames: the header alone, part of a body, all but one byte.
const PARTIAL: [&[u8]; 4] = [&[1], &[5, b'c', b'u', b't'], &[255], &[3, 0, 0]];

fn partial_then_end(fixture: &mut Fixture) -> Outcome {
    let listeners = fixture.join(2, "listener")?;
    for partial in PARTIAL {
        let sender = fixture.connect("sender of an incomplete frame")?;
        let whole = fixture.send(sender, 20);
        fixture.queue_bytes(sender, partial);
        fixture.await_message(sender, whole, &listeners, "the whole message before the cut one")?;
        end_of_stream(fixture, sender)?;
        for _ in 0..10 {
            fixture.fence(listeners[0], &listeners, "a message after the cut one")?;
        }
    }
    fixture.check_violations()?;
    Ok(Note::new())
}

fn partial_then_reset(fixture: &mut Fixture) -> Outcome {
    let listeners = fixture.join(2, "listener")?;
    for partial in PARTIAL {
        let sender = fixture.connect("sender of an incomplete frame")?;
        let whole = fixture.send(sender, 20);
        fixture.queue_bytes(sender, partial);
        fixture.await_message(sender, whole, &listeners, "the whole message before the cut one")?;
        fixture.reset(sender);
        for _ in 0..10 {
            fixture.fence(listeners[0], &listeners, "a message after the cut one")?;
        }
        // Whoever gets the place of the one that is gone gets nothing of his.
        let newcomer = fixture.connect("newcomer")?;
        fixture.await_served(newcomer, &[newcomer, listeners[0], listeners[1]])?;
        fixture.close(newcomer);
    }
    fixture.check_violations()?;
    Ok(Note::new())
}

fn held_open(fixture: &mut Fixture) -> Outcome {
    fixture.expect_plain();
    let clients = fixture.join(3, "client")?;
    let bodies = [random_body(fixture, 200), vec![7], random_body(fixture, 255)];
    let mut holders = Vec::new();
    for (body, held) in bodies.iter().zip([1, 1, 255]) {
        let holder = fixture.connect("client that holds a frame open")?;
        let frame = crate::fixture::frame(body);
        fixture.queue_bytes(holder, &frame[..held]);
        holders.push((holder, frame[held..].to_vec(), body.clone()));
    }
    fixture.flush()?;
    let talks: Vec<(ClientIndex, usize)> =
        (0..60).map(|turn| (clients[turn % clients.len()], 30)).collect();
    fixture.deliver(&talks, &clients)?;
    let newcomer = fixture.connect("newcomer")?;
    fixture.await_served(newcomer, &[newcomer])?;
    for (holder, rest, body) in holders {
        fixture.queue_bytes(holder, &rest);
        fixture.await_plain(holder, &[body], &clients)?;
    }
    Ok(Note::new())
}

fn many_held_open(fixture: &mut Fixture) -> Outcome {
    /// More than pools of threads or tasks have, and than such tables hold.
    const HOLDERS: usize = 700;
    ensure_connections(HOLDERS as u64)?;
    let clients = fixture.join(2, "client")?;
    for _ in 0..HOLDERS {
        let holder = fixture.connect("client that holds a frame open")?;
        fixture.queue_bytes(holder, &[10, 1]);
    }
    fixture.send_until_delivered(
        clients[0],
        &clients,
        "a message beside many incomplete frames",
    )?;
    fixture.deliver(&[(clients[0], 30), (clients[1], 30)], &clients)?;
    let newcomer = fixture.connect("newcomer")?;
    fixture.await_served(newcomer, &[newcomer, clients[0]])?;
    Ok(Note::new())
}
