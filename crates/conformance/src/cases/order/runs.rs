//! Runs whose whole history is kept, and how `zillions-ordering` judges them.

use std::time::Duration;

use zillions_ordering::{Rule, check};

use crate::client::ConnectOptions;
use crate::fixture::{Bursts, ClientIndex, Fixture, OverloadResponse};
use crate::tagged::TAG_BYTES;
use crate::verdict::{Outcome, Stop};

/// Short messages: more of them a second.
pub(super) const SHORT: (usize, usize) = (TAG_BYTES, 32);
/// How often bursts are repeated in which no two senders got mixed.
pub(super) const REPEATS_MAX: u32 = 8;
/// What the first repetition leaves the server between two messages of a sender.
pub(super) const MOMENT: Duration = Duration::from_millis(1);

/// Joins `count` clients with the history kept, sends bursts, and ends with fences.
pub(super) fn join_and_send(
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
    let volume = fixture.limits.volume(volume.0, volume.1);
    fixture.send_bursts(&bursts, volume)?;
    finish(fixture, &bursts.senders, &clients)?;
    Ok(clients)
}

/// [`join_and_send`] again and again until messages of different senders got mixed.
pub(super) fn join_and_mix(
    fixture: &mut Fixture,
    count: usize,
    senders: usize,
    burst_max: usize,
    volume: (u64, f64),
) -> Result<(), Stop> {
    let clients = join_and_send(fixture, count, senders, burst_max, SHORT, volume)?;
    until_mixed(fixture, &clients[..senders], &clients, burst_max, volume)
}

/// Sends bursts until messages of different senders got mixed: on a busy machine, or in a
/// server that gathers messages for a while, the senders may take turns. So there is
/// more and more time between their messages.
pub(super) fn until_mixed(
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
        // A slow server is at work on one message when the next ones of all senders arrive.
        let slow = fixture.message_time() * senders.len() as u32;
        let again = Bursts {
            senders: senders.to_vec(),
            receivers: clients.to_vec(),
            burst_max,
            lengths: SHORT,
            moment: slow.max(MOMENT * (1 << repeat)),
        };
        let volume = fixture.limits.volume(volume.0, volume.1);
        fixture.send_bursts(&again, volume)?;
        finish(fixture, senders, clients)?;
    }
    Ok(())
}

/// Sends a last message of each sender to all, so that what is missing before it was lost.
pub(super) fn finish(
    fixture: &mut Fixture,
    senders: &[ClientIndex],
    to: &[ClientIndex],
) -> Result<(), Stop> {
    for &sender in senders {
        fixture.send_until_delivered(sender, to, "a last message of each sender")?;
    }
    Ok(())
}

/// Two slow clients in turn lose messages, while others read, with the
/// history kept. `senders` says which of them flood in each turn.
pub(super) fn lose(fixture: &mut Fixture, senders: &[&[usize]]) -> Result<String, Stop> {
    fixture.recorder.keep_history();
    let clients = fixture.join(3, "client")?;
    let slow = [
        fixture.connect_with("slow client", ConnectOptions::SMALL)?,
        fixture.connect_with("slow client", ConnectOptions::SMALL)?,
    ];
    let everyone = fixture.all_clients();
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

/// Judges the history by `rule`, and then by the others: a broken one is
/// never passed over.
pub(super) fn judge(fixture: &Fixture, rule: Rule) -> Outcome {
    let Some(history) = fixture.recorder.history() else {
        return Err(Stop::Error("this case did not keep its history".to_owned()));
    };
    let verdicts =
        check(history).confirmed(history).map_err(|error| Stop::Error(error.to_string()))?;
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
pub(super) fn judge_mixed(fixture: &Fixture, rule: Rule) -> Outcome {
    let note = judge(fixture, rule)?;
    let mixed = fixture.recorder.mixed();
    if mixed == 0 {
        return Err(Stop::Inconclusive(format!(
            "the messages of no two senders were interleaved, although they sent at the same time ({note})"
        )));
    }
    Ok(note)
}
