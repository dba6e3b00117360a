//! LIFE-1: the server runs until it is told to stop.

use std::time::Duration;

use crate::case::Case;
use crate::cases::common::pauses::LONG_PAUSE;
use crate::client::ConnectOptions;
use crate::fixture::{Fixture, Flood, FloodPace};
use crate::verdict::{Note, Outcome};

/// How long there is no client.
const EMPTY_FOR: Duration = Duration::from_millis(50);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "life/survives-everything",
        "LIFE-1",
        "after a mix of all that clients can do wrong the server still serves",
        survives_everything,
    )
    .at_its_pace()
    .quick(),
    Case::must(
        "life/empty-room",
        "LIFE-1",
        "after the last client has left, several times, the server is there for the next",
        empty_room,
    ),
    Case::must(
        "life/empty-for-seconds",
        "LIFE-1",
        "after sixteen seconds without a client, the server is there for the next",
        empty_for_seconds,
    )
    .idling(),
];

fn survives_everything(fixture: &mut Fixture) -> Outcome {
    let stayers = fixture.join(2, "stayer")?;
    for turn in 0..12 {
        let stalled = fixture.connect_with("stalled client", ConnectOptions::STALLED)?;
        let half = fixture.connect("client that ends its stream")?;
        let cut = fixture.connect("client that resets in mid-frame")?;
        let holder = fixture.connect("client that holds a frame open")?;
        fixture.send(half, 50);
        fixture.queue_bytes(cut, &[255, 1, 2, 3]);
        fixture.queue_bytes(holder, &[10]);
        fixture.send(stalled, 20);
        fixture.flush()?;
        fixture.finish_sending(half);
        fixture.reset(cut);
        let flood = Flood {
            senders: vec![stayers[turn % 2]],
            pace: FloodPace::Echoes,
            bytes: 64 * 1024,
            lengths: [120; 2],
        };
        fixture.flood(&flood, Duration::from_millis(60))?;
        fixture.send_until_delivered(
            stayers[0],
            &stayers,
            "a message amid all kinds of clients",
        )?;
        match turn % 3 {
            0 => fixture.reset(stalled),
            1 => fixture.close(stalled),
            _ => {}
        }
        fixture.close(half);
        if turn % 2 == 0 {
            fixture.close(holder);
        }
    }
    fixture.send_until_delivered(stayers[1], &stayers, "a message after all kinds of clients")?;
    let joiner = fixture.connect("new client")?;
    fixture.await_served(joiner, &[joiner])?;
    Ok(Note::new())
}

fn empty_room(fixture: &mut Fixture) -> Outcome {
    for turn in 0..6 {
        let clients = fixture.join(2, "client")?;
        fixture.deliver(&[(clients[0], 20), (clients[1], 20)], &clients)?;
        for client in clients {
            if turn % 2 == 0 {
                fixture.close(client);
            } else {
                fixture.finish_sending(client);
            }
        }
        // The next ones connect only when the server had time to see these go.
        fixture.pump_for(EMPTY_FOR)?;
    }
    let client = fixture.join(1, "new client")?;
    fixture.deliver(&[(client[0], 20)], &client)?;
    Ok(Note::new())
}

fn empty_for_seconds(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    clients.into_iter().for_each(|client| fixture.close(client));
    fixture.pump_for(LONG_PAUSE)?;
    let joined = fixture.join(2, "new client")?;
    fixture.deliver(&[(joined[0], 20), (joined[1], 20)], &joined)?;
    Ok(Note::new())
}
