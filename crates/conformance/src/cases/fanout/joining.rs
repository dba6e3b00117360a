//! FANOUT-2 and FANOUT-3: what a client receives from the moment that it is accepted,
//! and what it must not receive.

use std::time::{Duration, Instant};

use crate::case::Case;
use crate::cases::common::ends::END_SEEN;
use crate::cases::common::messages::everyone_talks;
use crate::cases::common::output::nothing_but_the_line;
use crate::cases::common::pauses::LONG_PAUSE;
use crate::client::ConnectOptions;
use crate::fixture::{Bursts, ClientIndex, Fixture, Flood, FloodPace, NodeIndex};
use crate::verdict::{Note, Outcome, Stop};

/// What is sent at once while others join, in bytes, and the time for it.
const FLOOD_BYTES: u64 = 64 * 1024;
const FLOOD_TIME: Duration = Duration::from_millis(40);
/// In this time an idle server has accepted a connection.
const ACCEPT_TIME: Duration = Duration::from_millis(100);
/// Joiners of which one must get the first message after that.
const ACCEPT_ATTEMPTS: usize = 5;
/// Time to fill the queue of a client that does not read.
const LEGACY_TIME: Duration = Duration::from_secs(3);
/// How often as many connect as leave, and the time after which once in five will do:
/// whether the two meet in the server is chance.
const COMINGS: usize = 60;
const COMINGS_TIME: Duration = Duration::from_secs(4);
/// Per sender, the number of its last message that was certainly sequenced.
type Sequenced = Vec<Vec<(ClientIndex, Option<u32>)>>;

pub(super) const CASES: &[Case] = &[
    Case::must(
        "fanout/silent-clients",
        "FANOUT-2",
        "clients that have never sent anything receive like others",
        silent_clients,
    )
    .quick(),
    Case::must(
        "fanout/own-first-message",
        "FANOUT-2",
        "the first message that a new client sends reaches it and those who were there before",
        own_first_message,
    )
    .quick(),
    Case::must(
        "fanout/first-message-of-others",
        "FANOUT-2",
        "the first message of others after a client was accepted reaches it",
        first_message_of_others,
    ),
    Case::must(
        "fanout/quiet-for-seconds",
        "FANOUT-2",
        "a client that has been silent for sixteen seconds still receives",
        quiet_for_seconds,
    )
    .idling(),
    Case::must(
        "fanout/joiners-at-once",
        "FANOUT-2",
        "many clients that connect at the same moment are all served",
        joiners_at_once,
    ),
    Case::must(
        "fanout/joiners-mid-stream",
        "FANOUT-3",
        "the stream of a client that joins under load begins at a frame boundary, after it joined",
        joiners_mid_stream,
    )
    .at_its_pace()
    .quick(),
    Case::must(
        "fanout/joiners-in-a-flood",
        "FANOUT-2",
        "clients that join while six others send all they can are served when these stop",
        joiners_in_a_flood,
    )
    .at_its_pace(),
    Case::must(
        "fanout/no-history",
        "FANOUT-3",
        "a new client receives nothing from before it connected",
        no_history,
    ),
    Case::must(
        "fanout/no-legacy",
        "FANOUT-3",
        "a new client receives nothing that was queued for a client that is gone",
        no_legacy,
    )
    .at_its_pace(),
    Case::must(
        "fanout/comings-and-goings",
        "FANOUT-2",
        "clients that connect at the moment in which as many leave are all served",
        comings_and_goings,
    ),
];

fn silent_clients(fixture: &mut Fixture) -> Outcome {
    for _ in 0..10 {
        fixture.connect("silent client")?;
    }
    let talker = fixture.connect("talker")?;
    let everyone = fixture.all_clients();
    fixture.send_until_delivered(
        talker,
        &everyone,
        "a client that never sends receives messages",
    )?;
    fixture.deliver(&[(talker, 40); 40], &everyone)?;
    Ok(Note::new())
}

fn own_first_message(fixture: &mut Fixture) -> Outcome {
    let resident = fixture.join(1, "resident")?[0];
    for _ in 0..50 {
        let joiner = fixture.connect("new client")?;
        // The server reads it from a connection that it has accepted: from
        // then on the joiner receives.
        fixture.deliver(&[(joiner, 30)], &[joiner, resident])?;
        fixture.deliver(&[(resident, 30)], &[joiner, resident])?;
        fixture.close(joiner);
    }
    Ok(Note::new())
}

fn first_message_of_others(fixture: &mut Fixture) -> Outcome {
    let resident = fixture.join(1, "resident")?[0];
    let mut joiner = resident;
    for attempt in 1..=ACCEPT_ATTEMPTS {
        joiner = fixture.connect("new client")?;
        // The kernel tells when the server has accepted it, and nobody when it serves it; with
        // nothing else to do it does so by now. On a loaded machine that may be wrong once,
        // but not each time.
        fixture.pump_until_silent(ACCEPT_TIME, |_| false)?;
        let first = fixture.send(resident, 30);
        fixture.flush()?;
        fixture.send_until_delivered(
            resident,
            &[resident, joiner],
            "a message after the client was accepted",
        )?;
        if fixture.recorder.tally(joiner, resident).has(first) {
            return Ok(if attempt == 1 { Note::new() } else { format!("attempt {attempt}") });
        }
        fixture.close(joiner);
    }
    Err(fixture.failure(
        joiner,
        format!("the first message sent {} ms after it connected", ACCEPT_TIME.as_millis()),
        format!("later ones, but not the first, for each of {ACCEPT_ATTEMPTS} clients"),
    ))
}

fn quiet_for_seconds(fixture: &mut Fixture) -> Outcome {
    fixture.connect("silent client")?;
    let clients = fixture.join(2, "client")?;
    let everyone = fixture.all_clients();
    fixture.send_until_delivered(clients[0], &everyone, "a message for all")?;
    fixture.pump_for(LONG_PAUSE)?;
    fixture.deliver(&[(clients[0], 30), (clients[1], 30)], &everyone)?;
    nothing_but_the_line(fixture)
}

fn joiners_at_once(fixture: &mut Fixture) -> Outcome {
    let residents = fixture.join(2, "resident")?;
    for _ in 0..3 {
        for _ in 0..20 {
            fixture.connect_without_waiting("one of many new clients")?;
        }
        let everyone = fixture.all_clients();
        fixture.send_until_delivered(
            residents[0],
            &everyone,
            "a message after many have connected at once",
        )?;
        fixture.deliver(&[(residents[0], 50), (residents[1], 50)], &everyone)?;
    }
    Ok(Note::new())
}

fn joiners_in_a_flood(fixture: &mut Fixture) -> Outcome {
    const JOINERS: usize = 12;
    const FLOODERS: usize = 6;
    let resident = fixture.join(1, "resident")?[0];
    for _ in 0..FLOODERS {
        fixture.connect_with("flooder", ConnectOptions::FLOODER)?;
    }
    let flooders: Vec<ClientIndex> = fixture.all_clients().split_off(1);
    fixture.await_served(resident, &fixture.all_clients())?;
    let flood = Flood {
        senders: flooders,
        pace: FloodPace::WorkedOff,
        bytes: FLOOD_BYTES,
        lengths: [60; 2],
    };
    let mut joiners = vec![resident];
    for _ in 0..JOINERS {
        fixture.flood(&flood, FLOOD_TIME)?;
        joiners.push(fixture.connect_without_waiting("joiner")?);
    }
    fixture.send_until_delivered(resident, &joiners, "messages sent after this client joined")?;
    fixture.check_violations()?;
    Ok(Note::new())
}

fn comings_and_goings(fixture: &mut Fixture) -> Outcome {
    const AT_ONCE: usize = 30;
    let mut present = fixture.join(AT_ONCE, "client")?;
    let started = Instant::now();
    for turn in 0..COMINGS {
        if turn > COMINGS / 5 && started.elapsed() > COMINGS_TIME {
            break;
        }
        let mut joiners = Vec::with_capacity(AT_ONCE);
        for (place, leaver) in present.drain(..).enumerate() {
            joiners.push(fixture.connect_without_waiting("new client")?);
            if (turn + place) % 2 == 0 {
                fixture.close(leaver);
            } else {
                fixture.reset(leaver);
            }
        }
        fixture.send_until_delivered(
            joiners[0],
            &joiners,
            "a message for clients that connected while others left",
        )?;
        let last = joiners[AT_ONCE - 1];
        fixture.deliver(&[(joiners[0], 30), (last, 30)], &joiners)?;
        present = joiners;
    }
    Ok(Note::new())
}

/// What had been sent, per sender, when a new client began to connect, and had reached a client
/// at the same address by then: sequenced before, whatever the server does. At another address
/// it may still be under way.
fn sequenced(fixture: &Fixture, senders: &[ClientIndex]) -> Sequenced {
    let clients = fixture.all_clients();
    let latest_at = |node: NodeIndex, sender: ClientIndex| {
        let there = clients.iter().filter(|&&client| fixture.node(client) == node);
        there.filter_map(|&client| fixture.recorder.tally(client, sender).latest).max()
    };
    (0..fixture.node_count())
        .map(|node| senders.iter().map(|&sender| (sender, latest_at(node, sender))).collect())
        .collect()
}

fn check_no_history(
    fixture: &Fixture,
    joiner: ClientIndex,
    before: &Sequenced,
) -> Result<(), Stop> {
    for &(sender, latest) in &before[fixture.node(joiner)] {
        let first = fixture.recorder.tally(joiner, sender).first;
        if first.is_some() && first <= latest {
            return Err(fixture.failure(
                joiner,
                "only messages that were sequenced after this client connected",
                format!(
                    "message {} of client #{sender}, which a client at the same address had received before",
                    first.unwrap_or_default()
                ),
            ));
        }
    }
    Ok(())
}

fn joiners_mid_stream(fixture: &mut Fixture) -> Outcome {
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

fn no_history(fixture: &mut Fixture) -> Outcome {
    no_history_of_a_sole_client(fixture)?;
    let talkers = fixture.join(2, "talker")?;
    for _ in 0..5 {
        everyone_talks(fixture, &talkers, 20)?;
        let before = sequenced(fixture, &talkers);
        let joiner = fixture.connect("new client")?;
        let everyone = [talkers[0], talkers[1], joiner];
        fixture.await_served(joiner, &everyone)?;
        fixture.deliver(&[(talkers[0], 30), (talkers[1], 30)], &everyone)?;
        check_no_history(fixture, joiner, &before)?;
        fixture.close(joiner);
    }
    Ok(Note::new())
}

/// A new client gets nothing of what a sole client has sent either.
fn no_history_of_a_sole_client(fixture: &mut Fixture) -> Result<(), Stop> {
    let sole = fixture.connect("sole client")?;
    everyone_talks(fixture, &[sole], 3)?;
    let before = sequenced(fixture, &[sole]);
    let joiner = fixture.connect("new client")?;
    fixture.await_served(joiner, &[sole, joiner])?;
    check_no_history(fixture, joiner, &before)?;
    fixture.close(joiner);
    fixture.close(sole);
    Ok(())
}

fn no_legacy(fixture: &mut Fixture) -> Outcome {
    let talker = fixture.join(1, "talker")?[0];
    for turn in 0..6 {
        let stalled = fixture.connect_with("client that never reads", ConnectOptions::STALLED)?;
        fixture.send_until_delivered(
            talker,
            &[talker],
            "a message beside a client that does not read",
        )?;
        let flood = Flood {
            senders: vec![talker],
            pace: FloodPace::Echoes,
            bytes: 512 * 1024,
            lengths: [200; 2],
        };
        fixture.flood(&flood, LEGACY_TIME)?;
        fixture.send_until_delivered(talker, &[talker], "a message behind many others")?;
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
                fixture.pump_for(END_SEEN)?;
            }
        }
        // By then the server has seen it go: the next client gets its slot.
        fixture.send_until_delivered(talker, &[talker], "a message after a client has left")?;
        let joiners = [fixture.connect("new client")?, fixture.connect("new client")?];
        fixture.send_until_delivered(talker, &joiners, "a message for new clients")?;
        for joiner in joiners {
            check_no_history(fixture, joiner, &before)?;
            fixture.close(joiner);
        }
        fixture.check_violations()?;
    }
    Ok(Note::new())
}
