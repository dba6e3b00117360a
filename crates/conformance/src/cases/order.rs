//! ORDER: what order means. All of it is decided by `zillions-ordering`, from
//! the whole history of the run.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::SliceRandom;
use zillions_ordering::{Rule, check};

use crate::case::Case;
use crate::client::ConnectOptions;
use crate::fixture::{Bursts, ClientIndex, Fixture, IN_FLIGHT_MAX, OverloadResponse, QUIET};
use crate::tagged::TAG_BYTES;
use crate::verdict::{Note, Outcome, Stop};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "order/integrity",
        "ORDER-1",
        "under load every message that arrives was sent, is byte-exact, and comes once",
        integrity,
    )
    .quick(),
    Case::must(
        "order/integrity-with-drops",
        "ORDER-1",
        "a client that has lost messages gets none twice, changed, or made up",
        integrity_with_drops,
    ),
    Case::must(
        "order/one-sender",
        "ORDER-2",
        "the messages of one fast sender arrive in the order in which it sent them",
        one_sender,
    )
    .quick(),
    Case::must(
        "order/down-to-one",
        "ORDER-2",
        "the messages of a client keep their order whenever the only other one comes or leaves",
        down_to_one,
    ),
    Case::must(
        "order/many-senders",
        "ORDER-2",
        "the messages of each of many senders arrive in its order",
        many_senders,
    ),
    Case::must(
        "order/one-sender-with-drops",
        "ORDER-2",
        "what a client that has lost messages gets is in order: nothing is delivered late",
        one_sender_with_drops,
    ),
    Case::must(
        "order/empty-messages",
        "ORDER-2",
        "empty messages keep their place among the others",
        empty_messages,
    ),
    Case::must(
        "order/two-receivers-agree",
        "ORDER-3",
        "two clients that send at the same time see one order of both",
        two_receivers_agree,
    )
    .quick(),
    Case::must(
        "order/many-receivers-agree",
        "ORDER-3",
        "eight clients that send at the same time see one order of all",
        many_receivers_agree,
    ),
    Case::must(
        "order/large-room",
        "ORDER-3",
        "a hundred clients, four of which send at the same time, see one order of all",
        large_room,
    ),
    Case::must(
        "order/with-drops",
        "ORDER-3",
        "one order holds also for clients that lose messages because they read too slowly",
        with_drops,
    ),
    Case::must(
        "order/with-churn",
        "ORDER-3",
        "one order holds while clients come and go",
        with_churn,
    ),
    Case::must(
        "order/own-echo",
        "ORDER-4",
        "each sender finds its own messages at the same place among the others as everyone",
        own_echo,
    )
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
        "replies sent the moment a message arrives come after it everywhere, while many are under way",
        replies_under_load,
    )
    .quick(),
];

/// Short messages: more of them a second.
const SHORT: (usize, usize) = (TAG_BYTES, 32);

/// How often a storm is repeated in which no two senders got mixed.
const REPEATS_MAX: u32 = 8;
/// What the first of these leaves the server between two messages of a sender.
const MOMENT: Duration = Duration::from_millis(1);

/// How large a room grows: beyond what servers may treat in another way.
const ROOM_SIZES: [usize; 4] = [12, 24, 100, 300];
/// How often the oldest and the youngest talk at the same moment in each size.
const ROOM_ROUNDS: usize = 12;

/// Joins `count` clients with the history kept, storms, and ends with fences.
fn join_and_send(
    fixture: &mut Fixture,
    count: usize,
    senders: usize,
    burst_max: usize,
    lengths: (usize, usize),
    volume: (u64, f64),
) -> Result<Vec<ClientIndex>, Stop> {
    fixture.recorder.keep_history();
    let clients = fixture.join(count, "client")?;
    let bursts = Bursts {
        senders: clients[..senders].to_vec(),
        receivers: clients.clone(),
        burst_max,
        lengths,
        moment: Duration::ZERO,
    };
    let volume = fixture.context.volume(volume.0, volume.1);
    fixture.send_bursts(&bursts, volume)?;
    finish(fixture, &bursts.senders, &clients)?;
    Ok(clients)
}

/// [`join_and_send`] again and again until messages of different senders got mixed.
fn join_and_mix(
    fixture: &mut Fixture,
    count: usize,
    senders: usize,
    burst_max: usize,
    volume: (u64, f64),
) -> Result<(), Stop> {
    let clients = join_and_send(fixture, count, senders, burst_max, SHORT, volume)?;
    until_mixed(fixture, &clients[..senders], &clients, burst_max, volume)
}

/// Storms until messages of different senders got mixed: on a busy machine, or in a
/// server that gathers what it gets for a while, the senders may take turns. So there is
/// more and more time between their messages.
fn until_mixed(
    fixture: &mut Fixture,
    senders: &[ClientIndex],
    clients: &[ClientIndex],
    burst_max: usize,
    volume: (u64, f64),
) -> Result<(), Stop> {
    for repeat in 0..REPEATS_MAX {
        if fixture.recorder.mixed() > 0 {
            break;
        }
        let again = Bursts {
            senders: senders.to_vec(),
            receivers: clients.to_vec(),
            burst_max,
            lengths: SHORT,
            moment: MOMENT * (1 << repeat),
        };
        let volume = fixture.context.volume(volume.0, volume.1);
        fixture.send_bursts(&again, volume)?;
        finish(fixture, senders, clients)?;
    }
    Ok(())
}

/// A last message of each sender reaches all, so that what is missing is known to be.
fn finish(fixture: &mut Fixture, senders: &[ClientIndex], to: &[ClientIndex]) -> Result<(), Stop> {
    for &sender in senders {
        fixture.send_until_delivered(sender, to, "a last message of each sender")?;
    }
    Ok(())
}

/// Judges the history by `rule`, and then by the others: a broken one is
/// never passed over.
fn judge(fixture: &Fixture, rule: Rule) -> Outcome {
    let Some(history) = fixture.recorder.history() else {
        return Err(Stop::Error("this case forgot to keep its history".to_owned()));
    };
    let verdicts = check(history);
    let counterexample = verdicts.of(rule).as_ref().err().or_else(|| verdicts.broken().next());
    match counterexample {
        Some(counterexample) => Err(Stop::fail(
            format!("an order that keeps {} ({})", rule.name(), rule.clause()),
            counterexample.to_string(),
        )),
        None => Ok(format!("{} deliveries", history.deliveries())),
    }
}

/// [`judge`] for runs that prove nothing unless senders' messages got mixed.
fn judge_mixed(fixture: &Fixture, rule: Rule) -> Outcome {
    let note = judge(fixture, rule)?;
    let mixed = fixture.recorder.mixed();
    if mixed == 0 {
        return Err(Stop::Inconclusive(format!(
            "no two senders' messages arrived mixed, although they sent at the same time ({note})"
        )));
    }
    Ok(note)
}

fn integrity(fixture: &mut Fixture) -> Outcome {
    join_and_send(fixture, 5, 4, 24, (TAG_BYTES, 255), (300_000, 2.0))?;
    judge(fixture, Rule::Integrity)
}

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
    let volume = fixture.context.volume(30_000, 1.5);
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
    for size in ROOM_SIZES {
        while fixture.clients() < size {
            fixture.connect("one of many")?;
        }
        let everyone = fixture.everyone();
        fixture.await_served(everyone[0], &everyone)?;
        for _ in 0..ROOM_ROUNDS {
            // What comes in one turn of the server may be passed on in several ways.
            let mut talks = both_ends(&everyone).map(|client| (client, TAG_BYTES));
            talks.shuffle(&mut fixture.rng);
            fixture.deliver(&talks, &everyone)?;
        }
    }
    let everyone = fixture.everyone();
    let senders = both_ends(&everyone);
    let bursts = Bursts {
        senders: senders.to_vec(),
        receivers: everyone.clone(),
        burst_max: 8,
        lengths: SHORT,
        moment: Duration::ZERO,
    };
    let volume = (150_000, 2.0);
    fixture.send_bursts(&bursts, fixture.context.volume(volume.0, volume.1))?;
    finish(fixture, &senders, &everyone)?;
    until_mixed(fixture, &senders, &everyone, bursts.burst_max, volume)?;
    judge_mixed(fixture, Rule::Total)
}

/// The oldest two and the youngest two: no more than may talk at once without loss.
fn both_ends(clients: &[ClientIndex]) -> [ClientIndex; IN_FLIGHT_MAX] {
    let last = clients.len() - 1;
    [clients[0], clients[1], clients[last - 1], clients[last]]
}

fn own_echo(fixture: &mut Fixture) -> Outcome {
    // One message of each at a time: the shortest way from a send to its echo.
    join_and_send(fixture, 4, 4, 1, SHORT, (60_000, 2.0))?;
    judge(fixture, Rule::Causal)
}

/// Two slow clients in turn lose messages, while others read, with the
/// history kept. `senders` says which of them flood in each turn.
fn lose(fixture: &mut Fixture, senders: &[&[usize]]) -> Result<String, Stop> {
    fixture.recorder.keep_history();
    let clients = fixture.join(3, "client")?;
    let slow = [
        fixture.connect_with("slow client", ConnectOptions::SMALL)?,
        fixture.connect_with("slow client", ConnectOptions::SMALL)?,
    ];
    let everyone = fixture.everyone();
    fixture.await_served(clients[0], &everyone)?;
    let mut notes = Vec::new();
    for (&stalled, senders) in slow.iter().zip(senders) {
        let senders: Vec<ClientIndex> = senders.iter().map(|&index| clients[index]).collect();
        let response = fixture.overload(&senders, stalled, &clients)?;
        notes.push(response.to_string());
        if !matches!(response, OverloadResponse::Dropped(_)) {
            // A server that loses nothing will not do so the next time either.
            break;
        }
    }
    let present: Vec<ClientIndex> =
        everyone.into_iter().filter(|&index| fixture.client(index).end().is_none()).collect();
    finish(fixture, &clients, &present)?;
    Ok(notes.join("; "))
}

fn integrity_with_drops(fixture: &mut Fixture) -> Outcome {
    let response = lose(fixture, &[&[0], &[1, 2]])?;
    judge(fixture, Rule::Integrity).map(|note| format!("{note}; {response}"))
}

fn one_sender_with_drops(fixture: &mut Fixture) -> Outcome {
    let response = lose(fixture, &[&[0], &[0]])?;
    judge(fixture, Rule::Fifo).map(|note| format!("{note}; {response}"))
}

fn with_drops(fixture: &mut Fixture) -> Outcome {
    // Two senders make the order a matter of more than FIFO.
    let response = lose(fixture, &[&[0, 2], &[1, 2]])?;
    judge_mixed(fixture, Rule::Total).map(|note| format!("{note}; {response}"))
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
        fixture.exchange(clients[round % 2], &bodies, &clients)?;
    }
    Ok(Note::new())
}

fn with_churn(fixture: &mut Fixture) -> Outcome {
    fixture.recorder.keep_history();
    let residents = fixture.join(3, "resident")?;
    let mut guests: Vec<ClientIndex> = Vec::new();
    let volume = fixture.context.volume(80_000, 2.0);
    let started = Instant::now();
    while (fixture.recorder.deliveries() < volume.deliveries && started.elapsed() < volume.time)
        || (fixture.recorder.mixed() == 0 && started.elapsed() < volume.time * REPEATS_MAX)
    {
        guests.push(fixture.connect_without_waiting("guest")?);
        // Long enough without a mixture, and there is time between their messages.
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
    let guests = fixture.clients() - residents.len();
    judge_mixed(fixture, Rule::Total).map(|note| format!("{note}, {guests} guests"))
}

fn relay(fixture: &mut Fixture) -> Outcome {
    fixture.recorder.keep_history();
    let clients = fixture.join(IN_FLIGHT_MAX + 1, "client")?;
    // One answers the other; the last client only listens. All messages of a
    // chain may be under way at once, so the chain is as long as that is safe.
    let chain = &clients[..IN_FLIGHT_MAX];
    let volume = fixture.context.volume(20_000, 2.0);
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
    let heard = |fixture: &Fixture, client: ClientIndex| -> u32 {
        let others = clients.iter().filter(|&&other| other != client);
        others.map(|&other| fixture.recorder.tally(client, other).received).sum()
    };
    let volume = fixture.context.volume(100_000, 2.0);
    let started = Instant::now();
    while fixture.recorder.deliveries() < volume.deliveries && started.elapsed() < volume.time {
        let opener = clients[fixture.rng.random_range(0..clients.len())];
        if fixture.pace(opener) < OPENING as u32 {
            fixture.pump(QUIET)?;
            continue;
        }
        for _ in 0..OPENING {
            fixture.send(opener, TAG_BYTES);
        }
        fixture.flush()?;
        for _ in 0..LOOKS {
            let before: Vec<u32> = clients.iter().map(|&client| heard(fixture, client)).collect();
            if fixture.pump(QUIET)? == 0 {
                break;
            }
            if fixture.rng.random_ratio(1, 3) {
                // Some take a moment to reply; meanwhile the others hear more.
                fixture.pump_until(THINKING, |_| false)?;
            }
            for (&client, before) in clients.iter().zip(before) {
                if heard(fixture, client) > before
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
