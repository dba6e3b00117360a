//! ORDER-1: every message received was sent, is byte-exact, and arrives once.

use zillions_ordering::Rule;

use crate::case::Case;
use crate::cases::common::output::nothing_but_the_line;
use crate::cases::common::slow_readers::{LONG_FLOOD_TIME, read_on};
use crate::cases::order::runs::{join_and_send, judge, lose};
use crate::client::ConnectOptions;
use crate::fixture::{Fixture, Flood, FloodPace};
use crate::tagged::TAG_BYTES;
use crate::verdict::Outcome;

/// What is sent past a client that resumes reading later, in bytes: twice what a ring of eight MiB
/// holds, because the system takes some of it.
const LONG_FLOOD_BYTES: u64 = 16 << 20;

pub(super) const CASES: &[Case] = &[
    Case::must(
        "order/integrity",
        "ORDER-1",
        "under load every message that arrives was sent, is byte-exact, and arrives once",
        integrity,
    )
    .at_its_pace()
    .quick(),
    Case::must(
        "order/integrity-with-drops",
        "ORDER-1",
        "a client that has lost messages gets none twice, changed, or made up",
        integrity_with_drops,
    )
    .at_its_pace(),
    Case::must(
        "slow/reads-on-later",
        "ORDER-1",
        "a client that resumes reading after megabytes were sent past it gets whole messages as they were sent",
        reads_on_later,
    )
    .at_its_pace(),
];

fn integrity(fixture: &mut Fixture) -> Outcome {
    join_and_send(fixture, 5, 4, 24, (TAG_BYTES, 255), (300_000, 2.0))?;
    judge(fixture, Rule::Integrity)
}

fn integrity_with_drops(fixture: &mut Fixture) -> Outcome {
    let response = lose(fixture, &[&[0], &[1, 2]])?;
    judge(fixture, Rule::Integrity).map(|note| format!("{note}; {response}"))
}

fn reads_on_later(fixture: &mut Fixture) -> Outcome {
    let client = fixture.join(1, "client that reads")?[0];
    let stalled =
        fixture.connect_with("client that resumes reading later", ConnectOptions::SMALL)?;
    fixture.await_served(client, &[client, stalled])?;
    fixture.set_reading(stalled, false)?;
    let flood = Flood {
        senders: vec![client],
        pace: FloodPace::Echoes,
        bytes: LONG_FLOOD_BYTES,
        lengths: [250; 2],
    };
    let flooded = fixture.flood(&flood, LONG_FLOOD_TIME)?;
    fixture.send_until_delivered(
        client,
        &[client],
        "a message beside a client that does not read",
    )?;
    read_on(fixture, client, stalled)?;
    nothing_but_the_line(fixture)?;
    Ok(format!("{} KiB sent past it", flooded.bytes / 1024))
}
