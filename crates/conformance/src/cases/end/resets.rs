//! END-3: a reset ends that client and nothing else.

use std::time::Duration;

use crate::case::Case;
use crate::client::ConnectOptions;
use crate::fixture::{ClientIndex, Fixture, Flood, FloodPace, frame};
use crate::verdict::{Note, Outcome};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "end/reset-after-connect",
        "END-3",
        "two hundred clients that reset right after connecting end nothing but themselves",
        reset_after_connect,
    )
    .quick(),
    Case::must(
        "end/reset-in-mid-frame",
        "END-3",
        "clients that reset in the middle of a frame end nothing but themselves",
        reset_in_mid_frame,
    ),
    Case::must(
        "end/reset-while-written-to",
        "END-3",
        "clients that reset while the server writes to them end nothing but themselves",
        reset_while_written_to,
    )
    .at_its_pace()
    .quick(),
];

fn reset_after_connect(fixture: &mut Fixture) -> Outcome {
    let stayers = fixture.join(2, "stayer")?;
    for turn in 0..200 {
        let client = fixture.connect("client that resets at once")?;
        fixture.reset(client);
        if turn % 20 == 0 {
            fixture.deliver(&[(stayers[0], 30), (stayers[1], 30)], &stayers)?;
        }
    }
    still_serves(fixture, &stayers)
}

/// Those who stayed are still served, and so is a new client.
fn still_serves(fixture: &mut Fixture, stayers: &[ClientIndex]) -> Outcome {
    fixture.send_until_delivered(stayers[0], stayers, "a message after others were reset")?;
    let joiner = fixture.connect("new client")?;
    fixture.await_served(joiner, &[joiner])?;
    fixture.deliver(&[(stayers[0], 30), (joiner, 30)], stayers)?;
    Ok(Note::new())
}

fn reset_in_mid_frame(fixture: &mut Fixture) -> Outcome {
    let stayers = fixture.join(2, "stayer")?;
    for turn in 0..60usize {
        let client = fixture.connect("client that resets in mid-frame")?;
        fixture.queue_bytes(client, &frame(&[7; 200])[..1 + turn * 3]);
        fixture.flush()?;
        if turn % 2 == 0 {
            // Every other one only after the server has seen the part.
            fixture.fence(stayers[0], &stayers, "a message beside an incomplete frame")?;
        }
        fixture.reset(client);
        fixture.deliver(&[(stayers[1], 30)], &stayers)?;
    }
    fixture.check_violations()?;
    still_serves(fixture, &stayers)
}

fn reset_while_written_to(fixture: &mut Fixture) -> Outcome {
    let stayers = fixture.join(2, "stayer")?;
    for turn in 0..20 {
        let client = fixture.connect_with("client that does not read", ConnectOptions::STALLED)?;
        let flood = Flood {
            senders: vec![stayers[0]],
            pace: FloodPace::Echoes,
            bytes: 96 * 1024,
            lengths: [250; 2],
        };
        fixture.flood(&flood, Duration::from_millis(100))?;
        if turn % 2 == 0 {
            for _ in 0..50 {
                fixture.send(stayers[0], 250);
            }
            fixture.flush()?;
        }
        fixture.reset(client);
        fixture.send_until_delivered(stayers[0], &stayers, "a message after a client was reset")?;
    }
    still_serves(fixture, &stayers)
}
