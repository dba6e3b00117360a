//! FANOUT-3: what newcomers must not receive.

use std::time::Duration;

use super::everyone_talks;
use crate::cases::end::END_SEEN;
use crate::client::ConnectOptions;
use crate::fixture::{Bursts, ClientIndex, Fixture, Flood};
use crate::verdict::{Note, Outcome, Stop};

/// Time to fill the queue of a client that does not read.
const LEGACY_TIME: Duration = Duration::from_secs(3);

/// Per sender, the number of its last message that was surely sequenced.
type Sequenced = Vec<(ClientIndex, Option<u32>)>;

/// What had been sent, per client, when a newcomer began to connect, and had
/// reached its sender by then: sequenced before, whatever the server does.
fn sequenced(fixture: &Fixture, senders: &[ClientIndex]) -> Sequenced {
    senders.iter().map(|&sender| (sender, fixture.recorder.tally(sender, sender).latest)).collect()
}

fn check_no_history(
    fixture: &Fixture,
    newcomer: ClientIndex,
    before: &[(ClientIndex, Option<u32>)],
) -> Result<(), Stop> {
    for &(sender, latest) in before {
        let first = fixture.recorder.tally(newcomer, sender).first;
        if first.is_some() && first <= latest {
            return Err(fixture.failure(
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

pub(super) fn joiners_mid_stream(fixture: &mut Fixture) -> Outcome {
    const JOINERS: usize = 40;
    const AT_ONCE: usize = 5;
    let talkers = fixture.join(3, "talker")?;
    let bursts = Bursts {
        senders: talkers.clone(),
        receivers: talkers.clone(),
        burst_max: 24,
        lengths: (11, 255),
        moment: Duration::ZERO,
    };
    let mut joiners: Vec<(ClientIndex, Sequenced)> = Vec::new();
    for turn in 0..JOINERS {
        let before = sequenced(fixture, &talkers);
        joiners.push((fixture.connect_without_waiting("joiner")?, before));
        fixture.send_burst_round(&bursts)?;
        if turn % AT_ONCE == AT_ONCE - 1 {
            let indices: Vec<ClientIndex> = joiners.iter().map(|(joiner, _)| *joiner).collect();
            fixture.send_until_delivered(
                talkers[0],
                &indices,
                "messages sent after this client joined",
            )?;
            for (joiner, before) in joiners.drain(..) {
                check_no_history(fixture, joiner, &before)?;
                fixture.close(joiner);
            }
        }
        fixture.check_violations()?;
    }
    Ok(format!("{JOINERS} joiners"))
}

pub(super) fn no_history(fixture: &mut Fixture) -> Outcome {
    nothing_of_a_soliloquy(fixture)?;
    let talkers = fixture.join(2, "talker")?;
    for _ in 0..5 {
        everyone_talks(fixture, &talkers, 20)?;
        let before = sequenced(fixture, &talkers);
        let newcomer = fixture.connect("newcomer")?;
        let everyone = [talkers[0], talkers[1], newcomer];
        fixture.await_served(newcomer, &everyone)?;
        fixture.deliver(&[(talkers[0], 30), (talkers[1], 30)], &everyone)?;
        check_no_history(fixture, newcomer, &before)?;
        fixture.close(newcomer);
    }
    Ok(Note::new())
}

/// What somebody said while nobody else was there is over, too.
fn nothing_of_a_soliloquy(fixture: &mut Fixture) -> Result<(), Stop> {
    let sole = fixture.connect("sole client")?;
    everyone_talks(fixture, &[sole], 3)?;
    let before = sequenced(fixture, &[sole]);
    let newcomer = fixture.connect("newcomer")?;
    fixture.await_served(newcomer, &[sole, newcomer])?;
    check_no_history(fixture, newcomer, &before)?;
    fixture.close(newcomer);
    fixture.close(sole);
    Ok(())
}

pub(super) fn no_legacy(fixture: &mut Fixture) -> Outcome {
    let talker = fixture.join(1, "talker")?[0];
    for turn in 0..6 {
        let stalled = fixture.connect_with("client that never reads", ConnectOptions::STALLED)?;
        fixture.send_until_delivered(
            talker,
            &[talker],
            "a message beside a client that does not read",
        )?;
        let flood =
            Flood { senders: vec![talker], steady: true, bytes: 512 * 1024, lengths: [200; 2] };
        fixture.flood(&flood, LEGACY_TIME)?;
        fixture.send_until_delivered(talker, &[talker], "a message behind many")?;
        let before = sequenced(fixture, &[talker]);
        match turn % 3 {
            0 => fixture.reset(stalled),
            1 => fixture.close(stalled),
            _ => {
                fixture.finish_sending(stalled);
                fixture.send_until_delivered(
                    talker,
                    &[talker],
                    "a message beside one that has ended its stream",
                )?;
                fixture.reset(stalled);
                // The server sees it before it can write again.
                fixture.pump_until(END_SEEN, |_| false)?;
            }
        }
        // By then the server has seen it go: who comes gets its place.
        fixture.send_until_delivered(talker, &[talker], "a message after a client has left")?;
        let newcomers = [fixture.connect("newcomer")?, fixture.connect("newcomer")?];
        fixture.send_until_delivered(talker, &newcomers, "a message for newcomers")?;
        for newcomer in newcomers {
            check_no_history(fixture, newcomer, &before)?;
            fixture.close(newcomer);
        }
        fixture.check_violations()?;
    }
    Ok(Note::new())
}
