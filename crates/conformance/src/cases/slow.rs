//! SLOW: clients that do not read.

use std::time::Duration;

use crate::case::Case;
use crate::client::ConnectOptions;
use crate::room::{ClientIndex, Flood, Room};
use crate::verdict::{Outcome, Stop};

/// How much is sent past clients that do not read, in bytes: more than the
/// system's own buffers hold, so that the server has to decide.
const FLOOD_BYTES: u64 = 4 << 20;
/// Time for that. Slow servers end by time.
const FLOOD_TIME: Duration = Duration::from_millis(1500);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "slow/stalled-reader",
        "SLOW-1",
        "while one client does not read, the others send and receive",
        stalled_reader,
    )
    .quick(),
    Case::must(
        "slow/many-stalled",
        "SLOW-1",
        "while ten of twelve clients do not read, the others send and receive",
        many_stalled,
    ),
    Case::must(
        "slow/sender-never-reads",
        "SLOW-2",
        "while a client sends all it can and never reads, the others send and receive",
        sender_never_reads,
    ),
    Case::must(
        "slow/drip-reader",
        "DROP-2",
        "a client that reads a few bytes at a time gets whole messages",
        drip_reader,
    ),
];

fn stalled_reader(room: &mut Room) -> Outcome {
    beside_stalled(room, 1)
}

fn many_stalled(room: &mut Room) -> Outcome {
    beside_stalled(room, 10)
}

fn beside_stalled(room: &mut Room, count: usize) -> Outcome {
    let clients = room.join(2, "client that reads")?;
    let mut stalled = Vec::new();
    for _ in 0..count {
        stalled.push(room.connect_with("stalled client", ConnectOptions::SMALL)?);
    }
    let everyone = room.everyone();
    room.settle(clients[0], &everyone)?;
    for &client in &stalled {
        room.set_reading(client, false)?;
    }
    let received = |room: &Room| room.recorder.tally(clients[1], clients[0]).received;
    let before = received(room);
    let flood = Flood { senders: vec![clients[0]], steady: true, bytes: FLOOD_BYTES, length: 200 };
    let flooded = room.flood(&flood, FLOOD_TIME)?;
    if flooded.blocked {
        // Held up for good? Then what comes next fails; here nothing is decided.
        room.pump(Duration::from_millis(10))?;
    }
    talk_on(room, &clients, "while another client does not read")?;
    Ok(format!(
        "{} of {} messages sent past the stalled reached the other reader",
        received(room) - before,
        flooded.bytes / 201
    ))
}

/// Both directions, several times; messages may be lost under load, so they
/// are repeated until one comes.
fn talk_on(room: &mut Room, clients: &[ClientIndex], when: &str) -> Result<(), Stop> {
    for _ in 0..10 {
        for &client in clients {
            room.insist(client, clients, &format!("a message of client #{client} {when}"))?;
        }
    }
    Ok(())
}

fn sender_never_reads(room: &mut Room) -> Outcome {
    let clients = room.join(2, "client that reads")?;
    let options = ConnectOptions {
        send_buffer_bytes: ConnectOptions::FLOODER.send_buffer_bytes,
        ..ConnectOptions::STALLED
    };
    let never = room.connect_with("client that sends and never reads", options)?;
    let flood = Flood { senders: vec![never], steady: false, bytes: FLOOD_BYTES, length: 200 };
    let flooded = room.flood(&flood, FLOOD_TIME)?;
    talk_on(room, &clients, "while another client sends and never reads")?;
    let how = if room.client(never).end().is_some() {
        ", then it was disconnected"
    } else if flooded.blocked {
        ", then the server read no more of it"
    } else {
        ""
    };
    Ok(format!("{} KiB taken from it{how}", flooded.bytes / 1024))
}

fn drip_reader(room: &mut Room) -> Outcome {
    let clients = room.join(2, "client that reads")?;
    let drip = room.connect_with("drip reader", ConnectOptions::SMALL)?;
    room.settle(clients[0], &[clients[0], clients[1], drip])?;
    room.set_reading(drip, false)?;
    for turn in 0..400 {
        // At the server's pace: what piles up would have to be worked off.
        for _ in 0..room.pace(clients[0]).min(40) {
            room.say(clients[0], 11 + turn % 245);
        }
        room.pump(Duration::from_millis(1))?;
        for bytes in [1, 7, 64] {
            room.sip(drip, bytes);
        }
    }
    room.set_reading(drip, true)?;
    room.insist(clients[0], &clients, "a message beside a drip reader")?;
    if room.client(drip).end().is_none() {
        let settled = room.insist(clients[0], &[drip], "a message, once the drip reader reads on");
        if settled.is_err() && room.client(drip).end().is_none() {
            settled?;
        }
    }
    room.check_violations()?;
    let lost = room.recorder.tally(drip, clients[0]).missing();
    Ok(format!("{lost} messages dropped"))
}
