//! FANOUT-4: clients that come and go disturb nobody.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::case::Case;
use crate::client::ConnectOptions;
use crate::fixture::{ClientIndex, Fixture, Flood, FloodPace};
use crate::verdict::{Note, Outcome};

/// Time for clients that come and leave; a server that takes long for each
/// message ends it by time.
const LEAVERS_TIME: Duration = Duration::from_secs(6);
/// Many clients, and how many of them leave one after the other.
const MANY: usize = 300;
const LEAVERS_OF_MANY: usize = 20;
/// Clients that leave while others send without end, how many of them at once, and the
/// time for all.
const LEAVERS_IN_A_FLOOD: usize = 400;
const LEAVERS_IN_A_FLOOD_AT_ONCE: usize = 8;
const FLOOD_TIME: Duration = Duration::from_secs(2);
/// What is sent while some connect, and while they leave, in bytes.
const FLOOD_BYTES: u64 = 96 * 1024;
const FLOOD_MOMENT: Duration = Duration::from_millis(15);
/// Clients that connect and leave at once: more than thirteen bits can number, and a
/// table of ten thousand can hold. Every other one leaves in mid-frame.
const PASSERS_BY: usize = 12_000;
/// How many of them connect before the others check that they are served, and the
/// time for all.
const PASSERS_BY_AT_ONCE: usize = 60;
const PASSERS_BY_TIME: Duration = Duration::from_secs(4);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "fanout/leavers",
        "FANOUT-4",
        "clients that come and leave in every way cost the others no message",
        leavers,
    ),
    Case::must(
        "fanout/leavers-at-once",
        "FANOUT-4",
        "many clients that leave at the same moment cost the others no message",
        leavers_at_once,
    ),
    Case::must(
        "fanout/leavers-of-a-large-room",
        "FANOUT-4",
        "a client that leaves at the moment of a message costs none of three hundred others that message",
        leavers_of_a_large_room,
    ),
    Case::must(
        "fanout/leavers-in-a-flood",
        "FANOUT-4",
        "clients that leave while more is sent than they can receive disturb nobody",
        leavers_in_a_flood,
    )
    .at_its_pace(),
    Case::must(
        "fanout/passers-by",
        "FANOUT-4",
        "thousands of clients that connect and leave at once cost the others no message",
        passers_by,
    ),
];

fn leavers(fixture: &mut Fixture) -> Outcome {
    /// Two new clients each: more than a byte can number.
    const TURNS: usize = 130;
    let stayers = fixture.join(3, "stayer")?;
    let started = Instant::now();
    for turn in 0..TURNS {
        if turn > TURNS / 5 && started.elapsed() > LEAVERS_TIME {
            return Ok(format!("{turn} leavers before the time was up"));
        }
        let leaver = fixture.connect("leaver")?;
        // Nothing else is under way while it is accepted, so nothing may be lost.
        fixture.deliver(&[(stayers[(turn + 1) % stayers.len()], 25)], &stayers)?;
        // Connected after the one that leaves, in case slots are mistaken.
        let neighbour = fixture.connect("neighbour of a leaver")?;
        fixture.await_served(neighbour, &[neighbour])?;
        if turn % 3 != 0 {
            fixture.send(leaver, 30);
        }
        if turn % 4 == 1 && turn % 5 < 3 {
            fixture.queue_bytes(leaver, &[9, 1, 2]);
        }
        fixture.flush()?;
        match turn % 5 {
            0 => fixture.reset(leaver),
            1 => fixture.close(leaver),
            2 => fixture.finish_sending(leaver),
            3 => {
                fixture.await_served(leaver, &[leaver])?;
                fixture.close(leaver);
            }
            _ => {
                fixture.await_served(leaver, &[leaver])?;
                fixture.reset(leaver);
            }
        }
        let talker = stayers[turn % stayers.len()];
        let present = [&stayers[..], &[neighbour]].concat();
        fixture.deliver(&[(talker, 40), (talker, 11)], &present)?;
        // If the server saw the end together with these, it shows only in the next.
        fixture.deliver(&[(talker, 12)], &present)?;
        fixture.close(neighbour);
    }
    Ok(Note::new())
}

fn leavers_at_once(fixture: &mut Fixture) -> Outcome {
    const LEAVERS: usize = 12;
    for turn in 0..6 {
        let older = fixture.join(2, "stayer")?;
        let leavers = fixture.join(LEAVERS, "one of many leavers")?;
        let younger = fixture.join(2, "stayer")?;
        let stayers = [older, younger].concat();
        for (place, &leaver) in leavers.iter().enumerate() {
            match (turn + place) % 3 * (turn % 2) {
                0 => fixture.close(leaver),
                1 => fixture.reset(leaver),
                _ => fixture.finish_sending(leaver),
            }
        }
        for _ in 0..3 {
            let talks: Vec<(ClientIndex, usize)> =
                stayers.iter().map(|&stayer| (stayer, 30)).collect();
            fixture.deliver(&talks, &stayers)?;
        }
        stayers.into_iter().for_each(|stayer| fixture.close(stayer));
    }
    Ok(Note::new())
}

fn leavers_of_a_large_room(fixture: &mut Fixture) -> Outcome {
    let mut present = fixture.join(MANY, "one of many")?;
    for turn in 0..LEAVERS_OF_MANY {
        let place = fixture.rng.random_range(1..present.len() - 1);
        let leaver = present.remove(place);
        // The oldest or the youngest sends at that moment.
        let talker = if turn % 2 == 0 { present[0] } else { present[present.len() - 1] };
        let sequence = fixture.send(talker, 30);
        if turn % 3 == 0 {
            fixture.reset(leaver);
            fixture.flush()?;
        } else {
            fixture.flush()?;
            fixture.reset(leaver);
        }
        let expected = "a message sent at the moment in which another client leaves";
        fixture.await_message(talker, sequence, &present, expected)?;
        fixture.deliver(&[(present[0], 30)], &present)?;
    }
    Ok(Note::new())
}

fn leavers_in_a_flood(fixture: &mut Fixture) -> Outcome {
    let mut talkers = Vec::new();
    for _ in 0..4 {
        talkers
            .push(fixture.connect_with("client that sends without end", ConnectOptions::FLOODER)?);
    }
    fixture.await_served(talkers[0], &talkers)?;
    let flood = Flood {
        senders: talkers.clone(),
        pace: FloodPace::WorkedOff,
        bytes: FLOOD_BYTES,
        lengths: [60; 2],
    };
    let started = Instant::now();
    let mut left = 0;
    while left < LEAVERS_IN_A_FLOOD && started.elapsed() < FLOOD_TIME {
        let mut leavers = Vec::with_capacity(LEAVERS_IN_A_FLOOD_AT_ONCE);
        for _ in 0..LEAVERS_IN_A_FLOOD_AT_ONCE {
            leavers.push(fixture.connect_with("client that does not stay", ConnectOptions::SMALL)?);
        }
        fixture.flood(&flood, FLOOD_MOMENT)?;
        for (place, leaver) in leavers.into_iter().enumerate() {
            match place % 3 {
                0 => fixture.close(leaver),
                1 => fixture.reset(leaver),
                _ => fixture.finish_sending(leaver),
            }
            left += 1;
            fixture.flood(&flood, Duration::ZERO)?;
        }
    }
    fixture.send_until_delivered(
        talkers[0],
        &talkers,
        "a message once no client leaves any more",
    )?;
    fixture.deliver(&[(talkers[1], 30), (talkers[2], 30)], &talkers)?;
    Ok(format!("{left} left"))
}

fn passers_by(fixture: &mut Fixture) -> Outcome {
    let stayers = fixture.join(2, "stayer")?;
    let started = Instant::now();
    let mut passed = 0;
    while passed < PASSERS_BY && started.elapsed() < PASSERS_BY_TIME {
        let mut in_mid_frame = Vec::with_capacity(PASSERS_BY_AT_ONCE / 2);
        for place in 0..PASSERS_BY_AT_ONCE {
            let client = fixture.connect("passer-by")?;
            if place % 2 == 0 {
                fixture.queue_bytes(client, &[9, 1]);
                fixture.flush()?;
                in_mid_frame.push(client);
            } else {
                // A reset leaves no port of ours waiting.
                fixture.reset(client);
            }
        }
        passed += PASSERS_BY_AT_ONCE;
        // By then the server has read the partial frames.
        fixture.send_until_delivered(
            stayers[0],
            &stayers,
            "a message beside many clients that come and leave",
        )?;
        in_mid_frame.into_iter().for_each(|client| fixture.reset(client));
    }
    let joiner = fixture.connect("new client")?;
    fixture.await_served(joiner, &[joiner, stayers[0], stayers[1]])?;
    fixture.deliver(&[(stayers[0], 30), (stayers[1], 30)], &stayers)?;
    Ok(format!("{passed} connected and left"))
}
