//! FANOUT-4: who comes and goes disturbs nobody.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::client::ConnectOptions;
use crate::room::{ClientIndex, Flood, Room};
use crate::verdict::{Note, Outcome, Stop};

/// Time for clients that come and leave; a server that takes long for each
/// message ends it by time.
const LEAVERS_TIME: Duration = Duration::from_secs(6);

/// A large room, and how many leave it one after the other.
const LARGE_ROOM: usize = 300;
const LEAVERS_OF_A_LARGE_ROOM: usize = 20;

/// Who leaves while the others talk without end, how many of them at once, and the
/// time for all.
const LEAVERS_IN_A_FLOOD: usize = 400;
const LEAVERS_IN_A_FLOOD_AT_ONCE: usize = 8;
const FLOOD_TIME: Duration = Duration::from_secs(2);
/// What is said while some come, and while they leave, in bytes.
const FLOOD_BYTES: u64 = 96 * 1024;
const FLOOD_MOMENT: Duration = Duration::from_millis(15);

/// Clients that connect and leave at once: more than thirteen bits can number, and a
/// table of ten thousand can hold. Every other one leaves in mid-frame.
const PASSERS_BY: usize = 12_000;
/// How many of them come before the others look whether all is well, and the
/// time for all.
const PASSERS_BY_AT_ONCE: usize = 60;
const PASSERS_BY_TIME: Duration = Duration::from_secs(4);

/// How often as many come as leave, and the time after which once in five will do:
/// whether the two meet in the server is chance.
const COMINGS: usize = 60;
const COMINGS_TIME: Duration = Duration::from_secs(4);

pub(super) fn leavers(room: &mut Room) -> Outcome {
    /// Two newcomers each: more than a byte can number.
    const TURNS: usize = 130;
    let stayers = room.join(3, "stayer")?;
    let started = Instant::now();
    for turn in 0..TURNS {
        if turn > TURNS / 5 && started.elapsed() > LEAVERS_TIME {
            return Ok(format!("{turn} leavers in the time for them"));
        }
        let leaver = room.connect("leaver")?;
        // Nothing else is under way while it is let in, so nothing may be lost.
        room.deliver(&[(stayers[(turn + 1) % stayers.len()], 25)], &stayers)?;
        // Connected after the one that leaves, in case places are mistaken.
        let neighbour = room.connect("neighbour of a leaver")?;
        room.settle(neighbour, &[neighbour])?;
        if turn % 3 != 0 {
            room.say(leaver, 30);
        }
        if turn % 4 == 1 && turn % 5 < 3 {
            room.queue_bytes(leaver, &[9, 1, 2]);
        }
        room.flush()?;
        match turn % 5 {
            0 => room.reset(leaver),
            1 => room.close(leaver),
            2 => room.finish_sending(leaver),
            3 => {
                room.settle(leaver, &[leaver])?;
                room.close(leaver);
            }
            _ => {
                room.settle(leaver, &[leaver])?;
                room.reset(leaver);
            }
        }
        let talker = stayers[turn % stayers.len()];
        let present = [&stayers[..], &[neighbour]].concat();
        room.deliver(&[(talker, 40), (talker, 11)], &present)?;
        // Where the leaving was seen together with these, it shows only in the next.
        room.deliver(&[(talker, 12)], &present)?;
        room.close(neighbour);
    }
    Ok(Note::new())
}

pub(super) fn leavers_at_once(room: &mut Room) -> Outcome {
    const LEAVERS: usize = 12;
    for turn in 0..6 {
        let older = room.join(2, "stayer")?;
        let leavers = room.join(LEAVERS, "one of many leavers")?;
        let younger = room.join(2, "stayer")?;
        let stayers = [older, younger].concat();
        for (place, &leaver) in leavers.iter().enumerate() {
            match (turn + place) % 3 * (turn % 2) {
                0 => room.close(leaver),
                1 => room.reset(leaver),
                _ => room.finish_sending(leaver),
            }
        }
        for _ in 0..3 {
            let talks: Vec<(ClientIndex, usize)> =
                stayers.iter().map(|&stayer| (stayer, 30)).collect();
            room.deliver(&talks, &stayers)?;
        }
        stayers.into_iter().for_each(|stayer| room.close(stayer));
    }
    Ok(Note::new())
}

pub(super) fn leavers_of_a_large_room(room: &mut Room) -> Outcome {
    let mut present = room.join(LARGE_ROOM, "one of many")?;
    for turn in 0..LEAVERS_OF_A_LARGE_ROOM {
        let place = room.rng.random_range(1..present.len() - 1);
        let leaver = present.remove(place);
        // The oldest or the youngest says something in that moment.
        let talker = if turn % 2 == 0 { present[0] } else { present[present.len() - 1] };
        let sequence = room.say(talker, 30);
        if turn % 3 == 0 {
            room.reset(leaver);
            room.flush()?;
        } else {
            room.flush()?;
            room.reset(leaver);
        }
        let expected = "a message sent in the moment in which somebody else leaves";
        room.await_message(talker, sequence, &present, expected)?;
        room.deliver(&[(present[0], 30)], &present)?;
    }
    Ok(Note::new())
}

pub(super) fn leavers_in_a_flood(room: &mut Room) -> Outcome {
    let mut talkers = Vec::new();
    for _ in 0..4 {
        talkers.push(room.connect_with("client that talks without end", ConnectOptions::FLOODER)?);
    }
    room.settle(talkers[0], &talkers)?;
    let flood =
        Flood { senders: talkers.clone(), steady: false, bytes: FLOOD_BYTES, lengths: [60; 2] };
    let started = Instant::now();
    let (mut left, mut slow) = (0, true);
    while left < LEAVERS_IN_A_FLOOD && started.elapsed() < FLOOD_TIME {
        let mut leavers = Vec::with_capacity(LEAVERS_IN_A_FLOOD_AT_ONCE);
        for _ in 0..LEAVERS_IN_A_FLOOD_AT_ONCE {
            leavers.push(room.connect_with("client that does not stay", ConnectOptions::SMALL)?);
        }
        room.flood(&flood, FLOOD_MOMENT)?;
        for (place, leaver) in leavers.into_iter().enumerate() {
            match place % 3 {
                0 => room.close(leaver),
                1 => room.reset(leaver),
                _ => room.finish_sending(leaver),
            }
            left += 1;
            room.flood(&flood, Duration::ZERO)?;
        }
        if slow {
            // What piles up would have to be worked off in the end.
            slow = worked_off(room, &talkers)? > FLOOD_MOMENT * 10;
        }
    }
    room.insist(talkers[0], &talkers, "a message once nobody leaves any more")?;
    room.deliver(&[(talkers[1], 30), (talkers[2], 30)], &talkers)?;
    Ok(format!("{left} left"))
}

/// How long it takes until a message of each of `talkers` comes back to it.
fn worked_off(room: &mut Room, talkers: &[ClientIndex]) -> Result<Duration, Stop> {
    let started = Instant::now();
    for &talker in talkers {
        room.insist(talker, &[talker], "a message amid others who talk without end")?;
    }
    Ok(started.elapsed())
}

pub(super) fn passers_by(room: &mut Room) -> Outcome {
    let stayers = room.join(2, "stayer")?;
    let started = Instant::now();
    let mut passed = 0;
    while passed < PASSERS_BY && started.elapsed() < PASSERS_BY_TIME {
        let mut in_mid_frame = Vec::with_capacity(PASSERS_BY_AT_ONCE / 2);
        for place in 0..PASSERS_BY_AT_ONCE {
            let client = room.connect("passer-by")?;
            if place % 2 == 0 {
                room.queue_bytes(client, &[9, 1]);
                room.flush()?;
                in_mid_frame.push(client);
            } else {
                // A reset leaves no port of ours waiting.
                room.reset(client);
            }
        }
        passed += PASSERS_BY_AT_ONCE;
        // By then the server has seen the parts.
        room.insist(stayers[0], &stayers, "a message beside many who come and leave")?;
        in_mid_frame.into_iter().for_each(|client| room.reset(client));
    }
    let newcomer = room.connect("newcomer")?;
    room.settle(newcomer, &[newcomer, stayers[0], stayers[1]])?;
    room.deliver(&[(stayers[0], 30), (stayers[1], 30)], &stayers)?;
    Ok(format!("{passed} came and left"))
}

pub(super) fn comings_and_goings(room: &mut Room) -> Outcome {
    const AT_ONCE: usize = 30;
    let mut present = room.join(AT_ONCE, "client")?;
    let started = Instant::now();
    for turn in 0..COMINGS {
        if turn > COMINGS / 5 && started.elapsed() > COMINGS_TIME {
            break;
        }
        let mut newcomers = Vec::with_capacity(AT_ONCE);
        for (place, leaver) in present.drain(..).enumerate() {
            newcomers.push(room.connect_without_waiting("newcomer")?);
            if (turn + place) % 2 == 0 {
                room.close(leaver);
            } else {
                room.reset(leaver);
            }
        }
        room.insist(newcomers[0], &newcomers, "a message for those who came while others left")?;
        let last = newcomers[AT_ONCE - 1];
        room.deliver(&[(newcomers[0], 30), (last, 30)], &newcomers)?;
        present = newcomers;
    }
    Ok(Note::new())
}
