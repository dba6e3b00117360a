//! MEM: bounded memory.

use std::time::{Duration, Instant};

use crate::case::Case;
use crate::cases::common::memory::{PART_TIME, until_steady};
use crate::client::ConnectOptions;
use crate::fixture::{ClientIndex, Fixture, Flood, FloodPace};
use crate::verdict::{Outcome, Stop};

/// What each part of a load sends, in bytes.
const PART_BYTES: u64 = 6 << 20;
/// Empty messages that a sender sends in one go.
const EMPTY_BLOCK: usize = 12 * 1024;
/// How often each does so in a part: more than can be delivered meanwhile.
const EMPTY_BLOCKS: usize = 4;
/// Empty messages that a sole client sends in a part, in blocks, and the time
/// for them: what is kept of each may be as little as 16 bytes.
const MANY_MESSAGES: usize = 50_000;
const BLOCK_OF_MANY: usize = 500;
const MANY_TIME: Duration = Duration::from_secs(2);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "memory/stalled-reader",
        "MEM-1",
        "memory stops growing while one client does not read what others send",
        stalled_reader,
    )
    .filling_buffers()
    .launching()
    .alone(),
    Case::must(
        "memory/many-stalled",
        "MEM-1",
        "memory stops growing while twenty clients do not read what others send",
        many_stalled,
    )
    .filling_buffers()
    .launching()
    .alone(),
    Case::must(
        "memory/sender-never-reads",
        "MEM-1",
        "memory stops growing while a client sends and reads nothing, not even its own messages",
        sender_never_reads,
    )
    .filling_buffers()
    .launching()
    .alone(),
    Case::must(
        "memory/flood",
        "MEM-1",
        "memory stops growing while messages arrive faster than they can be delivered",
        flood,
    )
    .filling_buffers()
    .launching()
    .alone(),
    Case::must(
        "memory/flood-of-empty-messages",
        "MEM-1",
        "memory stops growing while empty messages, a byte each, arrive faster than they can be delivered",
        flood_of_empty_messages,
    )
    .filling_buffers()
    .launching()
    .alone(),
    Case::must(
        "memory/many-messages",
        "MEM-1",
        "memory stops growing while one client sends itself very many messages",
        many_messages,
    )
    .launching()
    .alone(),
];

fn flood_part(fixture: &mut Fixture, senders: &[ClientIndex]) -> Result<u64, Stop> {
    let flood = Flood {
        senders: senders.to_vec(),
        pace: FloodPace::Unbounded,
        bytes: PART_BYTES,
        lengths: [200; 2],
    };
    Ok(fixture.flood(&flood, PART_TIME)?.bytes)
}

fn beside_stalled(fixture: &mut Fixture, count: usize) -> Outcome {
    let sender = fixture.connect_with("sender", ConnectOptions::FLOODER)?;
    for _ in 0..count {
        fixture.connect_with("stalled client", ConnectOptions::STALLED)?;
    }
    fixture.await_served(sender, &[sender])?;
    until_steady(fixture, |fixture| flood_part(fixture, &[sender]))
}

fn stalled_reader(fixture: &mut Fixture) -> Outcome {
    beside_stalled(fixture, 1)
}

fn many_stalled(fixture: &mut Fixture) -> Outcome {
    beside_stalled(fixture, 20)
}

fn sender_never_reads(fixture: &mut Fixture) -> Outcome {
    let reader = fixture.join(1, "client that reads")?[0];
    let options = ConnectOptions {
        send_buffer_bytes: ConnectOptions::FLOODER.send_buffer_bytes,
        ..ConnectOptions::STALLED
    };
    let never = fixture.connect_with("client that sends and never reads", options)?;
    fixture.await_served(reader, &[reader])?;
    until_steady(fixture, |fixture| flood_part(fixture, &[never]))
}

/// Four senders and eight more who read, all served.
fn flooders(fixture: &mut Fixture) -> Result<Vec<ClientIndex>, Stop> {
    let mut senders = Vec::new();
    for _ in 0..4 {
        senders.push(fixture.connect_with("sender", ConnectOptions::FLOODER)?);
    }
    for _ in 0..8 {
        fixture.connect("receiver")?;
    }
    let everyone = fixture.all_clients();
    fixture.await_served(senders[0], &everyone)?;
    Ok(senders)
}

fn flood(fixture: &mut Fixture) -> Outcome {
    let senders = flooders(fixture)?;
    until_steady(fixture, |fixture| flood_part(fixture, &senders))
}

fn flood_of_empty_messages(fixture: &mut Fixture) -> Outcome {
    let senders = flooders(fixture)?;
    fixture.recorder.ignore_plain();
    let block = vec![0; EMPTY_BLOCK];
    until_steady(fixture, |fixture| {
        let began = Instant::now();
        let mut blocks_left = EMPTY_BLOCKS * senders.len();
        let mut taken = 0;
        while began.elapsed() < PART_TIME {
            for &sender in &senders {
                if blocks_left > 0 && !fixture.client(sender).has_unsent() {
                    fixture.queue_bytes(sender, &block);
                    blocks_left -= 1;
                    taken += block.len() as u64;
                }
            }
            fixture.pump(PART_TIME / 10)?;
            let all_taken = senders.iter().all(|&sender| !fixture.client(sender).has_unsent());
            if blocks_left == 0 && all_taken && began.elapsed() > PART_TIME / 2 {
                break;
            }
        }
        Ok(taken)
    })
}

fn many_messages(fixture: &mut Fixture) -> Outcome {
    let client = fixture.join(1, "sole client")?;
    fixture.recorder.ignore_plain();
    let block = vec![0; BLOCK_OF_MANY];
    until_steady(fixture, |fixture| {
        let began = Instant::now();
        let mut sent = 0;
        while sent < MANY_MESSAGES && began.elapsed() < MANY_TIME {
            fixture.queue_bytes(client[0], &block);
            fixture.send_until_delivered(client[0], &client, "a message behind many empty ones")?;
            sent += block.len();
        }
        Ok(sent as u64)
    })
}
