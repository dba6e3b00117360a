//! ORDER-2: the messages of one sender keep their order.

use std::time::{Duration, Instant};

use zillions_ordering::Rule;

use crate::case::Case;
use crate::cases::order::runs::{SHORT, join_and_send, judge, lose};
use crate::fixture::Fixture;
use crate::tagged::TAG_BYTES;
use crate::verdict::{Note, Outcome};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "order/one-sender",
        "ORDER-2",
        "the messages of one fast sender arrive in the order in which it sent them",
        one_sender,
    )
    .at_its_pace()
    .quick(),
    Case::must(
        "order/down-to-one",
        "ORDER-2",
        "the messages of a client keep their order when the only other one comes or leaves",
        down_to_one,
    ),
    Case::must(
        "order/many-senders",
        "ORDER-2",
        "the messages of each of many senders arrive in the order in which it sent them",
        many_senders,
    )
    .at_its_pace(),
    Case::must(
        "order/one-sender-with-drops",
        "ORDER-2",
        "what a client that has lost messages gets is in order: nothing is delivered late",
        one_sender_with_drops,
    )
    .at_its_pace(),
    Case::must(
        "order/empty-messages",
        "ORDER-2",
        "empty messages keep their place among the others",
        empty_messages,
    ),
];

fn one_sender(fixture: &mut Fixture) -> Outcome {
    join_and_send(fixture, 4, 1, 64, (TAG_BYTES, 255), (200_000, 1.5))?;
    judge(fixture, Rule::Fifo)
}

fn down_to_one(fixture: &mut Fixture) -> Outcome {
    /// Messages of a turn, a few at a time, of which some meet the other's end.
    const SPURTS: usize = 24;
    const SPURT: usize = 3;
    fixture.recorder.keep_history();
    let resident = fixture.join(1, "resident")?[0];
    let volume = fixture.limits.volume(30_000, 1.5);
    let started = Instant::now();
    let mut guests = 0;
    while fixture.recorder.deliveries() < volume.deliveries && started.elapsed() < volume.time {
        let guest = fixture.connect("guest")?;
        fixture.await_served(guest, &[guest, resident])?;
        for spurt in 0..SPURTS {
            for _ in 0..SPURT {
                fixture.send(resident, TAG_BYTES);
            }
            if spurt == SPURTS / 4 {
                fixture.send(guest, TAG_BYTES);
                fixture.flush()?;
                fixture.close(guest);
            }
            fixture.pump(Duration::ZERO)?;
        }
        fixture.send_until_delivered(
            resident,
            &[resident],
            "a message after the other has left",
        )?;
        guests += 1;
    }
    judge(fixture, Rule::Fifo).map(|note| format!("{note}, {guests} guests"))
}

fn many_senders(fixture: &mut Fixture) -> Outcome {
    join_and_send(fixture, 6, 6, 16, SHORT, (250_000, 1.5))?;
    judge(fixture, Rule::Fifo)
}

fn one_sender_with_drops(fixture: &mut Fixture) -> Outcome {
    let response = lose(fixture, &[&[0], &[0]])?;
    judge(fixture, Rule::Fifo).map(|note| format!("{note}; {response}"))
}

fn empty_messages(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    for round in 0..100usize {
        // Three bodies and the fence behind them leave in one write.
        let bodies: Vec<Vec<u8>> = (0..3)
            .map(|place| {
                let empty = round >> place & 1 == 1;
                if empty { Vec::new() } else { vec![round as u8, place] }
            })
            .collect();
        fixture.deliver_plain(clients[round % 2], &bodies, &clients)?;
    }
    Ok(Note::new())
}
