//! ORDER-3: one order of all messages holds for every client.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::SliceRandom;
use zillions_ordering::Rule;

use crate::case::Case;
use crate::cases::order::runs::{
    MOMENT, REPEATS_MAX, SHORT, finish, join_and_mix, judge_mixed, lose, until_mixed,
};
use crate::fixture::{Bursts, ClientIndex, Fixture, IN_FLIGHT_MAX};
use crate::tagged::TAG_BYTES;
use crate::verdict::Outcome;

/// Numbers of clients: beyond what servers may treat in another way.
const CLIENT_COUNTS: [usize; 4] = [12, 24, 100, 300];
/// How often the oldest and the youngest send at the same moment, at each number.
const ROUNDS_EACH: usize = 12;

pub(super) const CASES: &[Case] = &[
    Case::must(
        "order/two-receivers-agree",
        "ORDER-3",
        "two clients that send at the same time receive both in one order",
        two_receivers_agree,
    )
    .at_its_pace()
    .quick(),
    Case::must(
        "order/many-receivers-agree",
        "ORDER-3",
        "eight clients that send at the same time receive all in one order",
        many_receivers_agree,
    )
    .at_its_pace(),
    Case::must(
        "order/large-room",
        "ORDER-3",
        "up to three hundred clients, four of which send at the same time, receive all in one order",
        large_room,
    )
    .at_its_pace(),
    Case::must(
        "order/with-drops",
        "ORDER-3",
        "one order holds for clients that lose messages because they read too slowly",
        with_drops,
    )
    .at_its_pace(),
    Case::must(
        "order/with-churn",
        "ORDER-3",
        "one order holds while clients come and go",
        with_churn,
    )
    .at_its_pace(),
];

fn two_receivers_agree(fixture: &mut Fixture) -> Outcome {
    join_and_mix(fixture, 2, 2, 12, (200_000, 2.0))?;
    judge_mixed(fixture, Rule::Total)
}

fn many_receivers_agree(fixture: &mut Fixture) -> Outcome {
    join_and_mix(fixture, 8, 8, 8, (300_000, 2.5))?;
    judge_mixed(fixture, Rule::Total)
}

fn large_room(fixture: &mut Fixture) -> Outcome {
    fixture.recorder.keep_history();
    for size in CLIENT_COUNTS {
        while fixture.all_clients().len() < size {
            fixture.connect("one of many")?;
        }
        let everyone = fixture.all_clients();
        fixture.await_served(everyone[0], &everyone)?;
        for _ in 0..ROUNDS_EACH {
            // What one pass of the server reads may be delivered in several ways.
            let mut talks = both_ends(&everyone).map(|client| (client, TAG_BYTES));
            talks.shuffle(&mut fixture.rng);
            fixture.deliver(&talks, &everyone)?;
        }
    }
    let everyone = fixture.all_clients();
    let senders = both_ends(&everyone);
    let bursts = Bursts {
        senders: senders.to_vec(),
        receivers: everyone.clone(),
        burst_max: 8,
        lengths: SHORT,
        moment: Duration::ZERO,
    };
    let volume = (150_000, 2.0);
    fixture.send_bursts(&bursts, fixture.limits.volume(volume.0, volume.1))?;
    finish(fixture, &senders, &everyone)?;
    until_mixed(fixture, &senders, &everyone, bursts.burst_max, volume)?;
    judge_mixed(fixture, Rule::Total)
}

/// The oldest two and the youngest two: no more than may send at once without loss.
fn both_ends(clients: &[ClientIndex]) -> [ClientIndex; IN_FLIGHT_MAX] {
    let last = clients.len() - 1;
    [clients[0], clients[1], clients[last - 1], clients[last]]
}

fn with_drops(fixture: &mut Fixture) -> Outcome {
    // Two senders make the order a matter of more than FIFO.
    let response = lose(fixture, &[&[0, 2], &[1, 2]])?;
    judge_mixed(fixture, Rule::Total).map(|note| format!("{note}; {response}"))
}

fn with_churn(fixture: &mut Fixture) -> Outcome {
    fixture.recorder.keep_history();
    let residents = fixture.join(3, "resident")?;
    let mut guests: Vec<ClientIndex> = Vec::new();
    let volume = fixture.limits.volume(80_000, 2.0);
    let started = Instant::now();
    while (fixture.recorder.deliveries() < volume.deliveries && started.elapsed() < volume.time)
        || (fixture.recorder.mixed() == 0 && started.elapsed() < volume.time * REPEATS_MAX)
    {
        guests.push(fixture.connect_without_waiting("guest")?);
        // If nothing was mixed for long enough, there is time between their messages.
        let late = started.elapsed().div_duration_f64(volume.time) as u32;
        let mut senders = residents.clone();
        senders.extend(&guests);
        let bursts = Bursts {
            senders,
            receivers: residents.clone(),
            burst_max: 8,
            lengths: SHORT,
            moment: MOMENT * ((1 << late) - 1),
        };
        fixture.send_burst_round(&bursts)?;
        if guests.len() > 4 {
            let leaver = guests.remove(fixture.rng.random_range(0..guests.len()));
            if fixture.rng.random() { fixture.reset(leaver) } else { fixture.close(leaver) }
        }
    }
    let mut present = residents.clone();
    present.extend(&guests);
    finish(fixture, &residents, &present)?;
    let guests = fixture.all_clients().len() - residents.len();
    judge_mixed(fixture, Rule::Total).map(|note| format!("{note}, {guests} guests"))
}
