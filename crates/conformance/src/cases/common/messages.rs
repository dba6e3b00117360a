//! Messages that cases of several groups send.

use rand::RngExt;

use crate::fixture::{ClientIndex, Fixture};
use crate::verdict::Stop;

pub(crate) fn random_body(fixture: &mut Fixture, length: usize) -> Vec<u8> {
    (0..length).map(|_| fixture.rng.random()).collect()
}

pub(crate) fn everyone_talks(
    fixture: &mut Fixture,
    clients: &[ClientIndex],
    rounds: usize,
) -> Result<(), Stop> {
    let talks: Vec<(ClientIndex, usize)> = (0..rounds)
        .flat_map(|_| clients.iter().copied())
        .map(|client| (client, fixture.rng.random_range(11..=255)))
        .collect();
    fixture.deliver(&talks, clients)
}

/// Two clients send the same, one right after the other: these are two messages.
pub(crate) fn equal_at_once(
    fixture: &mut Fixture,
    pair: &[ClientIndex],
    body: &[u8],
    to: &[ClientIndex],
) -> Result<(), Stop> {
    for &sender in pair {
        fixture.queue_frame(sender, body);
    }
    fixture.flush()?;
    // A fence that is read together with the first would come between the two.
    fixture.await_each(to, "a message that two clients sent", |fixture, receiver| {
        !fixture.recorder.plain(receiver).is_empty()
    })?;
    for &sender in pair {
        fixture.fence(sender, to, "a message behind equal ones of two clients")?;
    }
    for &receiver in to {
        let received = fixture
            .recorder
            .take_plain(receiver)
            .iter()
            .filter(|plain| plain.as_slice() == body)
            .count();
        if received != pair.len() {
            let expected = "one message of each of two clients, with equal bodies";
            return Err(fixture.failure(receiver, expected, format!("{received} of them")));
        }
    }
    Ok(())
}
