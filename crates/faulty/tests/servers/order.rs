//! ORDER: what arrives, and in which order.

use std::collections::HashMap;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use zillions_testing::Part;

use crate::asserting;
use crate::backlog::{SMALL_FLOOD, numbered, with_short_backlog};
use crate::support::{Client, Probe, SHOWINGS_MAX, Seen, ensure, many, two_agree};

pub(crate) fn short_messages_overtake_no_backlog(probe: &Probe) -> Seen {
    let (_server, mut stalled, mut sender) = with_short_backlog(probe, &[])?;
    sender.round_trip(b"short")?;
    (0..SMALL_FLOOD).try_for_each(|number| stalled.expect(&numbered(number)))?;
    stalled.expect(b"short")
}

pub(crate) fn tests() -> impl Iterator<Item = (Part, Trial)> {
    let tests: [(&str, fn()); 2] = [
        ("no two receivers of three-cycle disagree", no_two_receivers_of_the_three_cycle_disagree),
        (
            "only causality forbids the order of reply-overtakes",
            only_causality_forbids_the_order_of_overtaking_replies,
        ),
    ];
    tests.into_iter().map(|(name, test)| (Part::Long, asserting(name, test)))
}

/// Twice as many as the rarest fault needs, so that it shows for certain.
const MANY: u32 = 10_500;

pub(crate) fn thousands_arrive_once_and_in_order(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let (mut other, mut sender) = (server.connect()?, server.connect()?);
    for number in 0..MANY {
        sender.round_trip(&number.to_be_bytes())?;
        // One or two behind: a delivery can be overtaken, and never more than
        // two messages are under way.
        if let Some(before) = number.checked_sub(1) {
            other.expect(&before.to_be_bytes())?;
        }
    }
    other.expect(&(MANY - 1).to_be_bytes())?;
    other.round_trip(b"fence")
}

const CLIENTS: usize = 8;

const MESSAGES_EACH: u32 = 1500;

/// How long a client listens between two messages of its own.
const LISTENING: Duration = Duration::from_micros(300);

/// Which client's which message.
type Id = (u32, u32);

/// What a client did, in the order in which it did it.
#[derive(Clone, Copy, PartialEq)]
enum Event {
    Sent(Id),
    Received(Id),
}

const LAST: &[u8] = b"last";

fn take_part(mut client: Client, me: u32, all_sent: &Barrier) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    let outcome = (0..MESSAGES_EACH).try_for_each(|number| {
        events.push(Event::Sent((me, number)));
        let mut body = [me.to_be_bytes(), number.to_be_bytes()].concat();
        body.resize(8 + (number % 64) as usize, me as u8);
        client.send(&body)?;
        let until = Instant::now() + LISTENING;
        while Instant::now() < until {
            if let Some(heard) = client.receive_within(LISTENING)? {
                events.push(Event::Received(id_of(&heard)?));
            }
        }
        Ok(())
    });
    // Even after a failure: the others wait.
    if all_sent.wait().is_leader() {
        client.send(LAST)?;
    }
    outcome.and_then(|()| {
        loop {
            match client.receive()? {
                body if body == LAST => return Ok(events),
                body => events.push(Event::Received(id_of(&body)?)),
            }
        }
    })
}

fn id_of(body: &[u8]) -> Result<Id, String> {
    let (ids, rest) = body.split_at_checked(8).ok_or("a cut body")?;
    let sender = u32::from_be_bytes(ids[..4].try_into().unwrap());
    let number = u32::from_be_bytes(ids[4..].try_into().unwrap());
    let whole = rest.len() == (number % 64) as usize && rest.iter().all(|&b| b == sender as u8);
    ensure(whole && (sender as usize) < CLIENTS, "a mixed body")?;
    Ok((sender, number))
}

pub(crate) fn all_agree_on_one_order(probe: &Probe) -> Seen {
    an_order_exists(&histories(probe)?, Claims::ReceivedBeforeSentToo)
}

/// All clients talk at once; what each of them did.
fn histories(probe: &Probe) -> Result<Vec<Vec<Event>>, String> {
    let server = probe.start()?;
    let clients = (0..CLIENTS).map(|_| server.connect()).collect::<Result<Vec<_>, _>>()?;
    let all_sent = &Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0u32..)
            .zip(clients)
            .map(|(me, client)| scope.spawn(move || take_part(client, me, all_sent)))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    })
}

/// What counts as one message coming before another.
#[derive(Clone, Copy, PartialEq)]
enum Claims {
    /// One client sent both, or received both.
    SameKind,
    /// Besides, a client had received the one when it sent the other.
    ReceivedBeforeSentToo,
}

/// Whether the messages can be put into an order that contradicts no history:
/// the union of all that was observed has no cycle.
fn an_order_exists(histories: &[Vec<Event>], claims: Claims) -> Seen {
    let mut after: HashMap<Id, Vec<Id>> = HashMap::new();
    let mut waits_for: HashMap<Id, usize> = HashMap::new();
    for history in histories {
        let (mut last_sent, mut last_received) = (None, None);
        for event in history {
            let (before, id) = match *event {
                Event::Sent(id) => {
                    let causal = claims == Claims::ReceivedBeforeSentToo;
                    ([last_sent.replace(id), last_received.filter(|_| causal)], id)
                }
                Event::Received(id) => ([last_received.replace(id), None], id),
            };
            waits_for.entry(id).or_default();
            for before in before.into_iter().flatten() {
                after.entry(before).or_default().push(id);
                *waits_for.entry(id).or_default() += 1;
            }
        }
    }
    let total = waits_for.len();
    let mut ready: Vec<Id> =
        waits_for.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    let mut placed = 0;
    while let Some(id) = ready.pop() {
        placed += 1;
        for next in after.remove(&id).unwrap_or_default() {
            let count = waits_for.get_mut(&next).unwrap();
            *count -= 1;
            if *count == 0 {
                ready.push(next);
            }
        }
    }
    ensure(placed == total, format!("{} messages are in a cycle", total - placed))
}

/// Histories that contradict the claims: on a busy machine a fault may need more than one go.
fn histories_against(claims: Claims, fault: &str) -> Vec<Vec<Event>> {
    // A loaded machine may take long: this is no probe that is given up.
    let probe = Probe::with_knobs([format!("--fault={fault}")]);
    let mut gos = (0..SHOWINGS_MAX).map(|_| histories(&probe).unwrap());
    gos.find(|histories| an_order_exists(histories, claims).is_err())
        .unwrap_or_else(|| panic!("the fault {fault} did not show"))
}

fn no_two_receivers_of_the_three_cycle_disagree() {
    let histories = histories_against(Claims::SameKind, "three-cycle");
    for first in 0..CLIENTS {
        for second in 0..first {
            let only_two_receive = (0..CLIENTS).map(|client| {
                let receives = client == first || client == second;
                let keep = |event: &&Event| receives || matches!(event, Event::Sent(_));
                histories[client].iter().filter(keep).copied().collect()
            });
            let histories: Vec<_> = only_two_receive.collect();
            assert_eq!(an_order_exists(&histories, Claims::SameKind), Ok(()));
        }
    }
}

fn only_causality_forbids_the_order_of_overtaking_replies() {
    let histories = histories_against(Claims::ReceivedBeforeSentToo, "reply-overtakes");
    assert_eq!(an_order_exists(&histories, Claims::SameKind), Ok(()));
}

pub(crate) fn being_alone_overtakes_nothing(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut staying = server.connect()?;
    for _ in 0..20 {
        let mut leaving = server.connect()?;
        leaving.round_trip(b"both are there")?;
        staying.expect(b"both are there")?;
        staying.send(b"with another")?;
        leaving.reset();
        staying.send(b"alone")?;
        staying.expect(b"with another")?;
        staying.expect(b"alone")?;
    }
    Ok(())
}

pub(crate) fn two_agree_in_a_large_room(probe: &Probe) -> Seen {
    two_agree_among(probe, 32)
}

pub(crate) fn two_agree_in_a_larger_room(probe: &Probe) -> Seen {
    two_agree_among(probe, 65)
}

fn two_agree_among(probe: &Probe, others: usize) -> Seen {
    let server = probe.start()?;
    let (mut first, mut second) = (server.connect()?, server.connect()?);
    let others = (0..others).map(|_| server.connect()).collect::<Result<Vec<Client>, _>>()?;
    let mut last = server.connect()?;
    last.round_trip(b"all are there")?;
    first.expect(b"all are there")?;
    second.expect(b"all are there")?;
    two_agree(&server, &mut first, &mut second)?;
    drop(others);
    Ok(())
}

pub(crate) fn two_agree_on_what_one_turn_brings(probe: &Probe) -> Seen {
    two_agree_within_a_turn(probe, 18)
}

pub(crate) fn two_agree_on_what_one_turn_brings_to_hundreds(probe: &Probe) -> Seen {
    two_agree_within_a_turn(probe, 258)
}

/// The first and the last client of an even number, one from each half.
fn two_agree_within_a_turn(probe: &Probe, clients: usize) -> Seen {
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    let mut clients = many(&server, clients)?;
    let [first, second, .., last] = &mut clients[..] else { return Err("too few".into()) };
    for _ in 0..5 {
        // While this is gathered, two others speak: what they say is one turn's.
        second.send(b"meanwhile")?;
        first.send(b"from the first")?;
        last.send(b"from the last")?;
        let seen = [first.receive()?, first.receive()?, first.receive()?];
        let other = [last.receive()?, last.receive()?, last.receive()?];
        ensure(seen == other, format!("{seen:?} and {other:?}"))?;
        (0..3).try_for_each(|_| second.receive().map(|_| ()))?;
    }
    Ok(())
}

pub(crate) fn two_agree_after_a_third_has_left(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let (mut first, mut second) = (server.connect()?, server.connect()?);
    let mut third = server.connect()?;
    third.half_close()?;
    third.expect_end()?;
    first.round_trip(b"it has left")?;
    second.expect(b"it has left")?;
    two_agree(&server, &mut first, &mut second)
}
