//! FANOUT-3: what newcomers must not receive.

use std::time::Duration;

use super::everyone_talks;
use crate::cases::end::END_SEEN;
use crate::client::ConnectOptions;
use crate::room::{ClientIndex, Flood, Room, Storm};
use crate::verdict::{Note, Outcome, Stop};

/// Time to fill the queue of a client that does not read.
const LEGACY_TIME: Duration = Duration::from_secs(3);

/// Per sender, the number of its last message that was surely sequenced.
type Sequenced = Vec<(ClientIndex, Option<u32>)>;

/// What had been sent, per client, when a newcomer began to connect, and had
/// reached its sender by then: sequenced before, whatever the server does.
fn sequenced(room: &Room, senders: &[ClientIndex]) -> Sequenced {
    senders.iter().map(|&sender| (sender, room.recorder.tally(sender, sender).latest)).collect()
}

fn check_no_history(
    room: &Room,
    newcomer: ClientIndex,
    before: &[(ClientIndex, Option<u32>)],
) -> Result<(), Stop> {
    for &(sender, latest) in before {
        let first = room.recorder.tally(newcomer, sender).first;
        if first.is_some() && first <= latest {
            return Err(room.failure(
                newcomer,
                "only messages that were sequenced after this client connected",
                format!(
                    "message {} of client #{sender}, which had come back to its sender before",
                    first.unwrap_or_default()
                ),
            ));
        }
    }
    Ok(())
}

pub(super) fn joiners_mid_stream(room: &mut Room) -> Outcome {
    const JOINERS: usize = 40;
    const AT_ONCE: usize = 5;
    let talkers = room.join(3, "talker")?;
    let storm = Storm {
        senders: talkers.clone(),
        receivers: talkers.clone(),
        burst_max: 24,
        lengths: (11, 255),
        moment: Duration::ZERO,
    };
    let mut joiners: Vec<(ClientIndex, Sequenced)> = Vec::new();
    for turn in 0..JOINERS {
        let before = sequenced(room, &talkers);
        joiners.push((room.connect_without_waiting("joiner")?, before));
        room.storm_round(&storm)?;
        if turn % AT_ONCE == AT_ONCE - 1 {
            let indices: Vec<ClientIndex> = joiners.iter().map(|(joiner, _)| *joiner).collect();
            room.insist(talkers[0], &indices, "messages sent after this client joined")?;
            for (joiner, before) in joiners.drain(..) {
                check_no_history(room, joiner, &before)?;
                room.close(joiner);
            }
        }
        room.check_violations()?;
    }
    Ok(format!("{JOINERS} joiners"))
}

pub(super) fn no_history(room: &mut Room) -> Outcome {
    nothing_of_a_soliloquy(room)?;
    let talkers = room.join(2, "talker")?;
    for _ in 0..5 {
        everyone_talks(room, &talkers, 20)?;
        let before = sequenced(room, &talkers);
        let newcomer = room.connect("newcomer")?;
        let everyone = [talkers[0], talkers[1], newcomer];
        room.settle(newcomer, &everyone)?;
        room.deliver(&[(talkers[0], 30), (talkers[1], 30)], &everyone)?;
        check_no_history(room, newcomer, &before)?;
        room.close(newcomer);
    }
    Ok(Note::new())
}

/// What somebody said while nobody else was there is over, too.
fn nothing_of_a_soliloquy(room: &mut Room) -> Result<(), Stop> {
    let sole = room.connect("sole client")?;
    everyone_talks(room, &[sole], 3)?;
    let before = sequenced(room, &[sole]);
    let newcomer = room.connect("newcomer")?;
    room.settle(newcomer, &[sole, newcomer])?;
    check_no_history(room, newcomer, &before)?;
    room.close(newcomer);
    room.close(sole);
    Ok(())
}

pub(super) fn no_legacy(room: &mut Room) -> Outcome {
    let talker = room.join(1, "talker")?[0];
    for turn in 0..6 {
        let stalled = room.connect_with("client that never reads", ConnectOptions::STALLED)?;
        room.insist(talker, &[talker], "a message beside a client that does not read")?;
        let flood =
            Flood { senders: vec![talker], steady: true, bytes: 512 * 1024, lengths: [200; 2] };
        room.flood(&flood, LEGACY_TIME)?;
        room.insist(talker, &[talker], "a message behind many")?;
        let before = sequenced(room, &[talker]);
        match turn % 3 {
            0 => room.reset(stalled),
            1 => room.close(stalled),
            _ => {
                room.finish_sending(stalled);
                room.insist(talker, &[talker], "a message beside one that has ended its stream")?;
                room.reset(stalled);
                // The server sees it before it can write again.
                room.pump_until(END_SEEN, |_| false)?;
            }
        }
        // By then the server has seen it go: who comes gets its place.
        room.insist(talker, &[talker], "a message after a client has left")?;
        let newcomers = [room.connect("newcomer")?, room.connect("newcomer")?];
        room.insist(talker, &newcomers, "a message for newcomers")?;
        for newcomer in newcomers {
            check_no_history(room, newcomer, &before)?;
            room.close(newcomer);
        }
        room.check_violations()?;
    }
    Ok(Note::new())
}
