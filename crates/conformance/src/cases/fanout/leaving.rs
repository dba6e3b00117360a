//! FANOUT-4: who comes and goes disturbs nobody.

use std::time::{Duration, Instant};

use crate::room::{ClientIndex, Room};
use crate::verdict::{Note, Outcome};

/// Time for clients that come and leave; a server that takes long for each
/// message ends it by time.
const LEAVERS_TIME: Duration = Duration::from_secs(6);

/// Clients that connect and leave at once: more than twelve bits can number.
const PASSERS_BY: usize = 4_200;
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

pub(super) fn passers_by(room: &mut Room) -> Outcome {
    let stayers = room.join(2, "stayer")?;
    let started = Instant::now();
    let mut passed = 0;
    while passed < PASSERS_BY && started.elapsed() < PASSERS_BY_TIME {
        for _ in 0..PASSERS_BY_AT_ONCE {
            let client = room.connect("passer-by")?;
            // A reset leaves no port of ours waiting.
            room.reset(client);
        }
        passed += PASSERS_BY_AT_ONCE;
        room.insist(stayers[0], &stayers, "a message beside many who come and leave")?;
    }
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
