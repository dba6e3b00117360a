//! ORDER-4: an answer never arrives before what it answers.

use std::time::{Duration, Instant};

use rand::RngExt;
use zillions_ordering::Rule;

use crate::case::Case;
use crate::cases::order::runs::{SHORT, finish, join_and_send, judge};
use crate::fixture::{ClientIndex, Fixture, IN_FLIGHT_MAX, QUIET};
use crate::tagged::TAG_BYTES;
use crate::verdict::Outcome;

pub(super) const CASES: &[Case] = &[
    Case::must(
        "order/own-echo",
        "ORDER-4",
        "each sender receives its own messages in the same order among the others as everyone",
        own_echo,
    )
    .at_its_pace()
    .quick(),
    Case::must(
        "order/relay",
        "ORDER-4",
        "an answer never arrives before what it answers, along a chain of four clients",
        relay,
    ),
    Case::must(
        "order/replies-under-load",
        "ORDER-4",
        "replies sent the moment a message arrives follow it everywhere, while many are under way",
        replies_under_load,
    )
    .at_its_pace()
    .quick(),
];

fn own_echo(fixture: &mut Fixture) -> Outcome {
    // One message of each at a time: the shortest way from a send to its echo.
    join_and_send(fixture, 4, 4, 1, SHORT, (60_000, 2.0))?;
    judge(fixture, Rule::Causal)
}

fn relay(fixture: &mut Fixture) -> Outcome {
    fixture.recorder.keep_history();
    let clients = fixture.join(IN_FLIGHT_MAX + 1, "client")?;
    // One answers the other; the last client only listens. All messages of a
    // chain may be under way at once, so the chain is as long as that is safe.
    let chain = &clients[..IN_FLIGHT_MAX];
    let volume = fixture.limits.volume(20_000, 2.0);
    let started = Instant::now();
    while fixture.recorder.deliveries() < volume.deliveries && started.elapsed() < volume.time {
        let mut sent: Vec<(ClientIndex, u32)> = Vec::with_capacity(chain.len());
        for &client in chain {
            if let Some(&(from, sequence)) = sent.last() {
                // The answer follows as soon as this one client has the question.
                fixture.await_message(from, sequence, &[client], "a question")?;
            }
            sent.push((client, fixture.send(client, 20)));
            fixture.flush()?;
        }
        for (from, sequence) in sent {
            fixture.await_message(from, sequence, &clients, "a question or an answer")?;
        }
    }
    judge(fixture, Rule::Causal)
}

fn replies_under_load(fixture: &mut Fixture) -> Outcome {
    /// Messages that begin a round; with more than DROP-3's four under way,
    /// servers take other paths.
    const OPENING: usize = 8;
    /// Replies of one client that may be on their way.
    const REPLIES_MAX: u32 = 8;
    /// How long some clients take to reply.
    const THINKING: Duration = Duration::from_micros(500);
    /// Looks for something to reply to in a round.
    const LOOKS: usize = 12;
    fixture.recorder.keep_history();
    let clients = fixture.join(5, "client")?;
    let received = |fixture: &Fixture, client: ClientIndex| -> u32 {
        let others = clients.iter().filter(|&&other| other != client);
        others.map(|&other| fixture.recorder.tally(client, other).received).sum()
    };
    let volume = fixture.limits.volume(100_000, 2.0);
    let started = Instant::now();
    while fixture.recorder.deliveries() < volume.deliveries && started.elapsed() < volume.time {
        let opener = clients[fixture.rng.random_range(0..clients.len())];
        if fixture.send_budget(opener, clients.len()) < OPENING as u32 {
            fixture.pump(QUIET)?;
            continue;
        }
        for _ in 0..OPENING {
            fixture.send(opener, TAG_BYTES);
        }
        fixture.flush()?;
        for _ in 0..LOOKS {
            let before: Vec<u32> =
                clients.iter().map(|&client| received(fixture, client)).collect();
            if fixture.pump(QUIET)? == 0 {
                break;
            }
            if fixture.rng.random_ratio(1, 3) {
                // Some take a moment to reply; meanwhile the others receive more.
                fixture.pump_for(THINKING)?;
            }
            for (&client, before) in clients.iter().zip(before) {
                if received(fixture, client) > before
                    && fixture.recorder.unechoed(client) < REPLIES_MAX
                {
                    fixture.send(client, TAG_BYTES);
                }
            }
            fixture.flush()?;
        }
    }
    finish(fixture, &clients, &clients)?;
    judge(fixture, Rule::Causal)
}
