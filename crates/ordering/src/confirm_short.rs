//! A second look at claims about messages too short to carry an id.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::confirm::{Prefix, ensure};
use crate::counterexample::{Claim, Sighting};
use crate::event::{ConnectionId, Event};

/// What one receiver got of one sender for sure.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Item<'h> {
    event: u64,
    what: What<'h>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What<'h> {
    /// The message with this sequence.
    Fence(u32),
    /// Some message with this body.
    Short(&'h [u8]),
}

/// A message that was sent.
#[derive(Clone, Copy)]
struct Sent<'h> {
    sender: ConnectionId,
    sequence: u32,
    body: Option<&'h [u8]>,
    event: u64,
}

impl Sent<'_> {
    fn can_be(&self, item: &Item<'_>) -> bool {
        self.event < item.event
            && match item.what {
                What::Fence(sequence) => sequence == self.sequence,
                What::Short(body) => self.body == Some(body),
            }
    }
}

fn all_sent(prefix: Prefix<'_>) -> Vec<Sent<'_>> {
    let sends = prefix.events().filter_map(|(event, found)| match found {
        Event::Send { message, short, .. } => {
            let (sender, sequence) = (message.sender, message.sequence);
            Some(Sent { sender, sequence, body: short, event })
        }
        _ => None,
    });
    sends.collect()
}

/// The receipts of one receiver that do not break integrity, with the sender of
/// those of which only one connection can be it.
fn receipts(prefix: Prefix<'_>, receiver: ConnectionId) -> Vec<(Option<ConnectionId>, Item<'_>)> {
    let mut receipts = Vec::new();
    let mut ids_sent = HashSet::new();
    let mut ids_received = HashSet::new();
    // Per body: its senders, how often it was sent, and how often received here.
    let mut bodies: HashMap<&[u8], (BTreeSet<ConnectionId>, u64, u64)> = HashMap::new();
    for (event, found) in prefix.events() {
        match found {
            Event::Send { message, short: None, .. } => {
                ids_sent.insert(message);
            }
            Event::Send { message, short: Some(body), .. } => {
                let (senders, sent, _) = bodies.entry(body).or_default();
                senders.insert(message.sender);
                *sent += 1;
            }
            Event::Receive { connection, message, .. }
                if connection == receiver
                    && ids_sent.contains(&message)
                    && ids_received.insert(message) =>
            {
                let what = What::Fence(message.sequence);
                receipts.push((Some(message.sender), Item { event, what }));
            }
            Event::ReceiveAnonymous { connection, body, .. } if connection == receiver => {
                let (senders, sent, received) = bodies.entry(body).or_default();
                if received < sent {
                    *received += 1;
                    let only = senders.first().filter(|_| senders.len() == 1);
                    receipts.push((only.copied(), Item { event, what: What::Short(body) }));
                }
            }
            _ => {}
        }
    }
    receipts
}

/// Whether a receipt of a short message can be the given message and no other.
pub(crate) fn must_be(prefix: Prefix<'_>, receiver: ConnectionId, sighting: &Sighting) -> bool {
    let sender = sighting.message.sender;
    let mut items = receipts(prefix, receiver);
    items.retain(|item| item.0 == Some(sender));
    let mut sent = all_sent(prefix);
    sent.retain(|sent| sent.sender == sender);
    let Some(at) = items.iter().position(|(_, item)| item.event == sighting.event) else {
        return false;
    };
    // The items before it take the first messages they can be, those after it
    // the last ones. What is left between is possible.
    let mut first = 0;
    for (_, item) in &items[..at] {
        let Some(skipped) = sent[first..].iter().position(|sent| sent.can_be(item)) else {
            return false;
        };
        first += skipped + 1;
    }
    let mut end = sent.len();
    for (_, item) in items[at + 1..].iter().rev() {
        let Some(last) = sent[..end].iter().rposition(|sent| sent.can_be(item)) else {
            return false;
        };
        end = last;
    }
    let mut possible =
        (first..end).filter(|&index| sent[index].can_be(&items[at].1)).map(|i| sent[i].sequence);
    possible.next() == Some(sighting.message.sequence) && possible.next().is_none()
}

pub(crate) fn short_out_of_order(prefix: Prefix<'_>, claim: &Claim) -> Result<(), &'static str> {
    let Claim::ShortOutOfOrder { connection, sender, after, received, before, sent, event, .. } =
        claim
    else {
        return Err("this is another claim");
    };
    let from = after.as_ref().map_or(0, |after| after.event + 1);
    let receipts = receipts(prefix, *connection);
    let found: Vec<&[u8]> = receipts
        .iter()
        .filter(|receipt| receipt.0 == Some(*sender) && receipt.1.event >= from)
        .filter_map(|receipt| match receipt.1.what {
            What::Short(body) => Some(body),
            What::Fence(_) => None,
        })
        .collect();
    ensure(found == *received, "other short messages were received")?;

    for fence in [after, before].into_iter().flatten() {
        ensure(prefix.receives(*connection, fence), "a fence is not there")?;
        ensure(prefix.counts(*connection, fence.message, fence.event), "a fence does not count")?;
        ensure(fence.message.sender == *sender, "a fence is another sender's")?;
    }
    let first = after.as_ref().map_or(0, |after| after.message.sequence + 1);
    let end = before.as_ref().map_or(u32::MAX, |before| before.message.sequence);
    let sent_between: Vec<&[u8]> = all_sent(prefix)
        .iter()
        .filter(|sent| sent.sender == *sender && sent.event < *event)
        .filter(|sent| (first..end).contains(&sent.sequence))
        .filter_map(|sent| sent.body)
        .collect();
    ensure(sent_between == *sent, "other short messages were sent")?;
    let mut rest = sent_between.iter();
    let fits = found.iter().all(|body| rest.any(|sent| sent == body));
    ensure(!fits, "these short messages can have been sent so")
}

pub(crate) fn short_unmatched(prefix: Prefix<'_>, claim: &Claim) -> Result<(), &'static str> {
    let Claim::ShortUnmatched { connection, body, received, matched, .. } = claim else {
        return Err("this is another claim");
    };
    let receipts = receipts(prefix, *connection);
    let is_body = |item: &Item<'_>| item.what == What::Short(body);
    let wanted: Vec<u64> =
        receipts.iter().filter(|r| is_body(&r.1)).map(|receipt| receipt.1.event).collect();
    ensure(wanted.len() as u64 == *received, "it was received another number of times")?;
    // Every message takes the first receipt that it can be and that is free;
    // those go first that cannot wait. (The checker goes the other way round.)
    let fences = |sender: ConnectionId, is_before: &dyn Fn(u32) -> bool| -> Vec<u64> {
        let events = receipts.iter().filter_map(|(from, item)| match item.what {
            What::Fence(sequence) if *from == Some(sender) && is_before(sequence) => {
                Some(item.event)
            }
            _ => None,
        });
        events.collect()
    };
    let mut windows = Vec::new();
    for sent in all_sent(prefix).iter().filter(|sent| sent.body == Some(body)) {
        let before = fences(sent.sender, &|sequence| sequence < sent.sequence);
        let after = fences(sent.sender, &|sequence| sequence > sent.sequence);
        let opens = before.into_iter().max().unwrap_or(0).max(sent.event);
        windows.push((after.into_iter().min().unwrap_or(u64::MAX), opens));
    }
    windows.sort_unstable();
    let mut free: BTreeSet<u64> = wanted.into_iter().collect();
    let mut found = 0;
    for (closes, opens) in windows {
        let in_window = opens < closes;
        let receipt = in_window.then(|| free.range(opens + 1..closes).next().copied()).flatten();
        if receipt.is_some_and(|receipt| free.remove(&receipt)) {
            found += 1;
        }
    }
    ensure(found == *matched, "another number of them can be matched")?;
    ensure(matched < received, "all of them can be matched")
}
