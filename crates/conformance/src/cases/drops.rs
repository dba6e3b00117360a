//! DROP: when messages may be lost.

use std::time::{Duration, Instant};

use crate::case::Case;
use crate::client::ConnectOptions;
use crate::room::{ClientIndex, IN_FLIGHT_MAX, Pressure, Room};
use crate::verdict::{Note, Outcome, Stop};

/// Time after which drops are not forced on a further client.
const REPEAT_TIME: Duration = Duration::from_secs(3);

/// How long nobody says anything.
const SILENCE: Duration = Duration::from_secs(3);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "drops/whole-messages-only",
        "DROP-2",
        "what a client finds after it has not read for long is whole messages, in order, with whole ones missing",
        whole_messages_only,
    )
    .quick(),
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
        "the first messages after three seconds in which nobody said anything all arrive",
        none_after_silence,
    )
    .idling(),
    Case::must(
        "drops/end-with-their-cause",
        "DROP-4",
        "a client that has lost messages and drains again gets all new ones, again and again",
        end_with_their_cause,
    ),
];

fn whole_messages_only(room: &mut Room) -> Outcome {
    let clients = room.join(2, "client")?;
    let slow = room.connect_with("client that stops reading", ConnectOptions::SMALL)?;
    room.settle(clients[0], &[clients[0], clients[1], slow])?;
    let pressure = room.press(&clients[..1], slow, &clients)?;
    room.check_violations()?;
    Ok(pressure.to_string())
}

/// Delivers with four under way until the volume is reached.
fn low_load(
    room: &mut Room,
    senders: &[ClientIndex],
    to: &[ClientIndex],
    volume: (u64, f64),
) -> Outcome {
    let volume = room.trial.volume(volume.0, volume.1);
    let started = Instant::now();
    let begun = room.recorder.deliveries();
    let window: Vec<(ClientIndex, usize)> =
        senders.iter().cycle().take(IN_FLIGHT_MAX).map(|&sender| (sender, 24)).collect();
    while room.recorder.deliveries() - begun < volume.deliveries && started.elapsed() < volume.time
    {
        room.deliver(&window, to)?;
    }
    Ok(format!("{} deliveries", room.recorder.deliveries() - begun))
}

fn none_alone(room: &mut Room) -> Outcome {
    let client = room.join(1, "sole client")?;
    low_load(room, &client, &client, (20_000, 1.0))
}

fn none_at_low_load(room: &mut Room) -> Outcome {
    let clients = room.join(6, "client")?;
    low_load(room, &clients[..IN_FLIGHT_MAX], &clients, (40_000, 2.0))
}

fn none_after_silence(room: &mut Room) -> Outcome {
    let clients = room.join(3, "client")?;
    for turn in 0..2 {
        room.pump_until(SILENCE, |_| false)?;
        room.deliver(&[(clients[turn], 30); IN_FLIGHT_MAX], &clients)?;
    }
    Ok(Note::new())
}

fn end_with_their_cause(room: &mut Room) -> Outcome {
    let clients = room.join(2, "client")?;
    let mut notes: Vec<Pressure> = Vec::new();
    let started = Instant::now();
    for turn in 0..2 {
        let lost = notes.iter().any(|pressure| matches!(pressure, Pressure::Dropped(_)));
        if turn > 0 && (!lost || started.elapsed() > REPEAT_TIME) {
            // A server that loses nothing will not do so the next time either.
            break;
        }
        let slow = room.connect_with("client that stops reading", ConnectOptions::SMALL)?;
        let everyone = [clients[0], clients[1], slow];
        room.settle(clients[0], &everyone)?;
        for _ in 0..2 {
            let pressure = room.press(&clients[..1], slow, &clients)?;
            notes.push(pressure);
            if pressure == Pressure::Disconnected {
                break;
            }
            // What was repeated for the slow one may still be under way to others.
            room.settle(clients[0], &everyone)?;
            room.deliver(&[(clients[0], 40); 40], &everyone)?;
            room.deliver(&[(slow, 40), (clients[1], 40)], &everyone)?;
            if !matches!(pressure, Pressure::Dropped(_)) {
                break;
            }
        }
        room.close(slow);
    }
    overrun_those_who_read(room, &clients)?;
    let notes: Vec<String> = notes.iter().map(Pressure::to_string).collect();
    Ok(notes.join("; "))
}

/// More at once than any queue holds, to clients that read all the time:
/// afterwards nothing is lost any more.
fn overrun_those_who_read(room: &mut Room, clients: &[ClientIndex]) -> Result<Note, Stop> {
    for _ in 0..3 {
        for _ in 0..400 {
            room.say(clients[0], 40);
        }
        room.insist(clients[0], clients, "a message behind many")?;
        room.deliver(&[(clients[0], 40), (clients[1], 40)], clients)?;
    }
    Ok(Note::new())
}
