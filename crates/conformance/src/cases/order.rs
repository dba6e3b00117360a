//! ORDER: what order means. All of it is decided by `zillions-ordering`, from
//! the whole history of the run.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::SliceRandom;
use zillions_ordering::{Rule, check};

use crate::case::Case;
use crate::client::ConnectOptions;
use crate::room::{ClientIndex, IN_FLIGHT_MAX, Pressure, QUIET, Room, Storm};
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
const STORMS_MAX: u32 = 8;
/// What the first of these leaves the server between two messages of a sender.
const MOMENT: Duration = Duration::from_millis(1);

/// How large a room grows: beyond what servers may treat in another way.
const ROOM_SIZES: [usize; 4] = [12, 24, 100, 300];
/// How often the oldest and the youngest talk at the same moment in each size.
const ROOM_ROUNDS: usize = 12;

/// Joins `count` clients with the history kept, storms, and ends with fences.
fn storm_of(
    room: &mut Room,
    count: usize,
    senders: usize,
    burst_max: usize,
    lengths: (usize, usize),
    volume: (u64, f64),
) -> Result<Vec<ClientIndex>, Stop> {
    room.recorder.keep_history();
    let clients = room.join(count, "client")?;
    let storm = Storm {
        senders: clients[..senders].to_vec(),
        receivers: clients.clone(),
        burst_max,
        lengths,
        moment: Duration::ZERO,
    };
    let volume = room.trial.volume(volume.0, volume.1);
    room.storm(&storm, volume)?;
    finish(room, &storm.senders, &clients)?;
    Ok(clients)
}

/// [`storm_of`] again and again until messages of different senders got mixed.
fn mixed_storm_of(
    room: &mut Room,
    count: usize,
    senders: usize,
    burst_max: usize,
    volume: (u64, f64),
) -> Result<(), Stop> {
    let clients = storm_of(room, count, senders, burst_max, SHORT, volume)?;
    until_mixed(room, &clients[..senders], &clients, burst_max, volume)
}

/// Storms until messages of different senders got mixed: on a busy machine, or in a
/// server that gathers what it gets for a while, the senders may take turns. So there is
/// more and more time between their messages.
fn until_mixed(
    room: &mut Room,
    senders: &[ClientIndex],
    clients: &[ClientIndex],
    burst_max: usize,
    volume: (u64, f64),
) -> Result<(), Stop> {
    for storm in 0..STORMS_MAX {
        if room.recorder.mixed() > 0 {
            break;
        }
        let again = Storm {
            senders: senders.to_vec(),
            receivers: clients.to_vec(),
            burst_max,
            lengths: SHORT,
            moment: MOMENT * (1 << storm),
        };
        let volume = room.trial.volume(volume.0, volume.1);
        room.storm(&again, volume)?;
        finish(room, senders, clients)?;
    }
    Ok(())
}

/// A last message of each sender reaches all, so that what is missing is known to be.
fn finish(room: &mut Room, senders: &[ClientIndex], to: &[ClientIndex]) -> Result<(), Stop> {
    for &sender in senders {
        room.insist(sender, to, "a last message of each sender")?;
    }
    Ok(())
}

/// Judges the history by `rule`, and then by the others: a broken one is
/// never passed over.
fn judge(room: &Room, rule: Rule) -> Outcome {
    let Some(history) = room.recorder.history() else {
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
fn judge_mixed(room: &Room, rule: Rule) -> Outcome {
    let note = judge(room, rule)?;
    let mixed = room.recorder.mixed();
    if mixed == 0 {
        return Err(Stop::Inconclusive(format!(
            "no two senders' messages arrived mixed, although they sent at the same time ({note})"
        )));
    }
    Ok(note)
}

fn integrity(room: &mut Room) -> Outcome {
    storm_of(room, 5, 4, 24, (TAG_BYTES, 255), (300_000, 2.0))?;
    judge(room, Rule::Integrity)
}

fn one_sender(room: &mut Room) -> Outcome {
    storm_of(room, 4, 1, 64, (TAG_BYTES, 255), (200_000, 1.5))?;
    judge(room, Rule::Fifo)
}

fn down_to_one(room: &mut Room) -> Outcome {
    /// Messages of a turn, a few at a time, of which some meet the other's end.
    const SPURTS: usize = 24;
    const SPURT: usize = 3;
    room.recorder.keep_history();
    let resident = room.join(1, "resident")?[0];
    let volume = room.trial.volume(30_000, 1.5);
    let started = Instant::now();
    let mut guests = 0;
    while room.recorder.deliveries() < volume.deliveries && started.elapsed() < volume.time {
        let guest = room.connect("guest")?;
        room.settle(guest, &[guest, resident])?;
        for spurt in 0..SPURTS {
            for _ in 0..SPURT {
                room.say(resident, TAG_BYTES);
            }
            if spurt == SPURTS / 4 {
                room.say(guest, TAG_BYTES);
                room.flush()?;
                room.close(guest);
            }
            room.pump(Duration::ZERO)?;
        }
        room.insist(resident, &[resident], "a message after the other has left")?;
        guests += 1;
    }
    judge(room, Rule::Fifo).map(|note| format!("{note}, {guests} guests"))
}

fn many_senders(room: &mut Room) -> Outcome {
    storm_of(room, 6, 6, 16, SHORT, (250_000, 1.5))?;
    judge(room, Rule::Fifo)
}

fn two_receivers_agree(room: &mut Room) -> Outcome {
    mixed_storm_of(room, 2, 2, 12, (200_000, 2.0))?;
    judge_mixed(room, Rule::Total)
}

fn many_receivers_agree(room: &mut Room) -> Outcome {
    mixed_storm_of(room, 8, 8, 8, (300_000, 2.5))?;
    judge_mixed(room, Rule::Total)
}

fn large_room(room: &mut Room) -> Outcome {
    room.recorder.keep_history();
    for size in ROOM_SIZES {
        while room.clients() < size {
            room.connect("one of many")?;
        }
        let everyone = room.everyone();
        room.settle(everyone[0], &everyone)?;
        for _ in 0..ROOM_ROUNDS {
            // What comes in one turn of the server may be passed on in several ways.
            let mut talks = both_ends(&everyone).map(|client| (client, TAG_BYTES));
            talks.shuffle(&mut room.rng);
            room.deliver(&talks, &everyone)?;
        }
    }
    let everyone = room.everyone();
    let senders = both_ends(&everyone);
    let storm = Storm {
        senders: senders.to_vec(),
        receivers: everyone.clone(),
        burst_max: 8,
        lengths: SHORT,
        moment: Duration::ZERO,
    };
    let volume = (150_000, 2.0);
    room.storm(&storm, room.trial.volume(volume.0, volume.1))?;
    finish(room, &senders, &everyone)?;
    until_mixed(room, &senders, &everyone, storm.burst_max, volume)?;
    judge_mixed(room, Rule::Total)
}

/// The oldest two and the youngest two: no more than may talk at once without loss.
fn both_ends(clients: &[ClientIndex]) -> [ClientIndex; IN_FLIGHT_MAX] {
    let last = clients.len() - 1;
    [clients[0], clients[1], clients[last - 1], clients[last]]
}

fn own_echo(room: &mut Room) -> Outcome {
    // One message of each at a time: the shortest way from a send to its echo.
    storm_of(room, 4, 4, 1, SHORT, (60_000, 2.0))?;
    judge(room, Rule::Causal)
}

/// Two slow clients in turn lose messages, while others read, with the
/// history kept. `senders` says which of them flood in each turn.
fn lose(room: &mut Room, senders: &[&[usize]]) -> Result<String, Stop> {
    room.recorder.keep_history();
    let clients = room.join(3, "client")?;
    let slow = [
        room.connect_with("slow client", ConnectOptions::SMALL)?,
        room.connect_with("slow client", ConnectOptions::SMALL)?,
    ];
    let everyone = room.everyone();
    room.settle(clients[0], &everyone)?;
    let mut notes = Vec::new();
    for (&stalled, senders) in slow.iter().zip(senders) {
        let senders: Vec<ClientIndex> = senders.iter().map(|&index| clients[index]).collect();
        let pressure = room.press(&senders, stalled, &clients)?;
        notes.push(pressure.to_string());
        if !matches!(pressure, Pressure::Dropped(_)) {
            // A server that loses nothing will not do so the next time either.
            break;
        }
    }
    let present: Vec<ClientIndex> =
        everyone.into_iter().filter(|&index| room.client(index).end().is_none()).collect();
    finish(room, &clients, &present)?;
    Ok(notes.join("; "))
}

fn integrity_with_drops(room: &mut Room) -> Outcome {
    let pressure = lose(room, &[&[0], &[1, 2]])?;
    judge(room, Rule::Integrity).map(|note| format!("{note}; {pressure}"))
}

fn one_sender_with_drops(room: &mut Room) -> Outcome {
    let pressure = lose(room, &[&[0], &[0]])?;
    judge(room, Rule::Fifo).map(|note| format!("{note}; {pressure}"))
}

fn with_drops(room: &mut Room) -> Outcome {
    // Two senders make the order a matter of more than FIFO.
    let pressure = lose(room, &[&[0, 2], &[1, 2]])?;
    judge_mixed(room, Rule::Total).map(|note| format!("{note}; {pressure}"))
}

fn empty_messages(room: &mut Room) -> Outcome {
    let clients = room.join(2, "client")?;
    for round in 0..100usize {
        // Three bodies and the fence behind them leave in one write.
        let bodies: Vec<Vec<u8>> = (0..3)
            .map(|place| {
                let empty = round >> place & 1 == 1;
                if empty { Vec::new() } else { vec![round as u8, place] }
            })
            .collect();
        room.exchange(clients[round % 2], &bodies, &clients)?;
    }
    Ok(Note::new())
}

fn with_churn(room: &mut Room) -> Outcome {
    room.recorder.keep_history();
    let residents = room.join(3, "resident")?;
    let mut guests: Vec<ClientIndex> = Vec::new();
    let volume = room.trial.volume(80_000, 2.0);
    let started = Instant::now();
    while (room.recorder.deliveries() < volume.deliveries && started.elapsed() < volume.time)
        || (room.recorder.mixed() == 0 && started.elapsed() < volume.time * STORMS_MAX)
    {
        guests.push(room.connect_without_waiting("guest")?);
        // Long enough without a mixture, and there is time between their messages.
        let late = started.elapsed().div_duration_f64(volume.time) as u32;
        let mut senders = residents.clone();
        senders.extend(&guests);
        let storm = Storm {
            senders,
            receivers: residents.clone(),
            burst_max: 8,
            lengths: SHORT,
            moment: MOMENT * ((1 << late) - 1),
        };
        room.storm_round(&storm)?;
        if guests.len() > 4 {
            let leaver = guests.remove(room.rng.random_range(0..guests.len()));
            if room.rng.random() { room.reset(leaver) } else { room.close(leaver) }
        }
    }
    let mut present = residents.clone();
    present.extend(&guests);
    finish(room, &residents, &present)?;
    let guests = room.clients() - residents.len();
    judge_mixed(room, Rule::Total).map(|note| format!("{note}, {guests} guests"))
}

fn relay(room: &mut Room) -> Outcome {
    room.recorder.keep_history();
    let clients = room.join(IN_FLIGHT_MAX + 1, "client")?;
    // One answers the other; the last client only listens. All messages of a
    // chain may be under way at once, so the chain is as long as that is safe.
    let chain = &clients[..IN_FLIGHT_MAX];
    let volume = room.trial.volume(20_000, 2.0);
    let started = Instant::now();
    while room.recorder.deliveries() < volume.deliveries && started.elapsed() < volume.time {
        let mut said: Vec<(ClientIndex, u32)> = Vec::with_capacity(chain.len());
        for &client in chain {
            if let Some(&(from, sequence)) = said.last() {
                // The answer follows as soon as this one client has the question.
                room.await_message(from, sequence, &[client], "a question")?;
            }
            said.push((client, room.say(client, 20)));
            room.flush()?;
        }
        for (from, sequence) in said {
            room.await_message(from, sequence, &clients, "a question or an answer")?;
        }
    }
    judge(room, Rule::Causal)
}

fn replies_under_load(room: &mut Room) -> Outcome {
    /// Messages that begin a round; with more than DROP-3's four under way,
    /// servers take other paths.
    const OPENING: usize = 8;
    /// Replies of one client that may be on their way.
    const REPLIES_MAX: u32 = 8;
    /// How long some clients take to reply.
    const THINKING: Duration = Duration::from_micros(500);
    /// Looks for something to reply to in a round.
    const LOOKS: usize = 12;
    room.recorder.keep_history();
    let clients = room.join(5, "client")?;
    let heard = |room: &Room, client: ClientIndex| -> u32 {
        let others = clients.iter().filter(|&&other| other != client);
        others.map(|&other| room.recorder.tally(client, other).received).sum()
    };
    let volume = room.trial.volume(100_000, 2.0);
    let started = Instant::now();
    while room.recorder.deliveries() < volume.deliveries && started.elapsed() < volume.time {
        let opener = clients[room.rng.random_range(0..clients.len())];
        if room.pace(opener) < OPENING as u32 {
            room.pump(QUIET)?;
            continue;
        }
        for _ in 0..OPENING {
            room.say(opener, TAG_BYTES);
        }
        room.flush()?;
        for _ in 0..LOOKS {
            let before: Vec<u32> = clients.iter().map(|&client| heard(room, client)).collect();
            if room.pump(QUIET)? == 0 {
                break;
            }
            if room.rng.random_ratio(1, 3) {
                // Some take a moment to reply; meanwhile the others hear more.
                room.pump_until(THINKING, |_| false)?;
            }
            for (&client, before) in clients.iter().zip(before) {
                if heard(room, client) > before && room.recorder.unechoed(client) < REPLIES_MAX {
                    room.say(client, TAG_BYTES);
                }
            }
            room.flush()?;
        }
    }
    finish(room, &clients, &clients)?;
    judge(room, Rule::Causal)
}
