//! FRAME-6 and FRAME-7: frames that are never completed, or late.

use crate::case::Case;
use crate::cases::common::descriptors::ensure_connections;
use crate::cases::common::ends::end_of_stream;
use crate::cases::common::messages::random_body;
use crate::fixture::{ClientIndex, Fixture, frame};
use crate::verdict::{Note, Outcome};

/// Incomplete frames: the header alone, part of a body, all but one byte.
const PARTIAL: [&[u8]; 4] = [&[1], &[5, b'c', b'u', b't'], &[255], &[3, 0, 0]];

pub(super) const CASES: &[Case] = &[
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
        "while frames are held open at all kinds of offsets, others are served; then they arrive",
        held_open,
    ),
    Case::must(
        "frame/many-held-open",
        "FRAME-7",
        "while seven hundred clients hold a frame open, others are served, new ones too",
        many_held_open,
    ),
];

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
        // A client that takes the slot of one that is gone gets nothing of its frame.
        let joiner = fixture.connect("new client")?;
        fixture.await_served(joiner, &[joiner, listeners[0], listeners[1]])?;
        fixture.close(joiner);
    }
    fixture.check_violations()?;
    Ok(Note::new())
}

fn held_open(fixture: &mut Fixture) -> Outcome {
    fixture.recorder.expect_plain();
    let clients = fixture.join(3, "client")?;
    let bodies = [random_body(fixture, 200), vec![7], random_body(fixture, 255)];
    let mut holders = Vec::new();
    for (body, held) in bodies.iter().zip([1, 1, 255]) {
        let holder = fixture.connect("client that holds a frame open")?;
        let frame = frame(body);
        fixture.queue_bytes(holder, &frame[..held]);
        holders.push((holder, frame[held..].to_vec(), body.clone()));
    }
    fixture.flush()?;
    let talks: Vec<(ClientIndex, usize)> =
        (0..60).map(|turn| (clients[turn % clients.len()], 30)).collect();
    fixture.deliver(&talks, &clients)?;
    let joiner = fixture.connect("new client")?;
    fixture.await_served(joiner, &[joiner])?;
    for (holder, rest, body) in holders {
        fixture.queue_bytes(holder, &rest);
        fixture.await_plain(holder, &[body], &clients)?;
    }
    Ok(Note::new())
}

fn many_held_open(fixture: &mut Fixture) -> Outcome {
    /// More than pools of threads or tasks have.
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
    let joiner = fixture.connect("new client")?;
    fixture.await_served(joiner, &[joiner, clients[0]])?;
    Ok(Note::new())
}
