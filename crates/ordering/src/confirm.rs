//! Independent confirmation of a counterexample: every claim is looked up in the
//! history, in plain passes over its events. No code is shared with the checker.

use std::collections::{BTreeSet, HashMap, HashSet};

use thiserror::Error;

use crate::counterexample::{Claim, Class, Counterexample, Order, Rule, Sighting};
use crate::event::{ConnectionId, Event, MessageId};
use crate::history::History;

/// Why a counterexample proves nothing about a history.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refutation {
    /// A claim is not true.
    #[error("claim {claim} of the counterexample is not true of the history: {what}")]
    Claim {
        /// Which claim, from 1.
        claim: usize,
        /// What the history holds instead.
        what: &'static str,
    },
    /// The claims are true and do not contradict the rule.
    #[error("the claims of the counterexample contradict nothing: {0}")]
    NoContradiction(&'static str),
}

/// Whether a counterexample proves that the history breaks its rule: each claim
/// is true, none speaks of an event after the closing one, and together they
/// contradict the rule. It shares no code with `check`.
pub fn confirm(history: &History, counterexample: &Counterexample) -> Result<(), Refutation> {
    let length = counterexample.closing_event.saturating_add(1);
    let prefix = Prefix { history, length };
    for (index, claim) in counterexample.claims.iter().enumerate() {
        prefix.claim(claim).map_err(|what| Refutation::Claim { claim: index + 1, what })?;
    }
    contradicts(counterexample).map_err(Refutation::NoContradiction)
}

/// The first events of a history.
#[derive(Clone, Copy)]
struct Prefix<'h> {
    history: &'h History,
    length: u64,
}

type Truth = Result<(), &'static str>;

fn ensure(is_true: bool, otherwise: &'static str) -> Truth {
    if is_true { Ok(()) } else { Err(otherwise) }
}

impl<'h> Prefix<'h> {
    /// The events, numbered.
    fn events(self) -> impl Iterator<Item = (u64, Event<'h>)> {
        (0..self.length).zip(self.history.events())
    }

    fn event(self, event: u64) -> Option<Event<'h>> {
        self.history.event(event).filter(|_| event < self.length)
    }

    fn claim(self, claim: &Claim) -> Truth {
        match claim {
            Claim::Before { connection, order, first, second } => {
                self.before(*connection, *order, first, second)
            }
            Claim::ReceivedTwice { connection, first, second } => {
                ensure(first.message == second.message, "these are two messages")?;
                ensure(first.event < second.event, "these are not two receipts in order")?;
                ensure(self.receives(*connection, first), "the first receipt is not there")?;
                ensure(self.receives(*connection, second), "the second receipt is not there")
            }
            Claim::ReceivedUnsent { connection, received, .. } => {
                let until = Prefix { length: received.event.min(self.length), ..self };
                ensure(self.receives(*connection, received), "the receipt is not there")?;
                let sends = |event| matches!(event, Event::Send { message, short: None, .. } if message == received.message);
                ensure(!until.events().any(|(_, event)| sends(event)), "it had been sent")
            }
            Claim::ReceivedUnknown { connection, detail, event, position } => {
                let found =
                    Event::ReceiveUnknown { connection: *connection, position: *position, detail };
                ensure(self.event(*event) == Some(found), "the frame is not there")
            }
            Claim::ReceivedMoreShort { connection, body, received, sent, event, .. } => {
                ensure(*event < self.length, "it is not in the prefix")?;
                self.more_short(*connection, body, *received, *sent)
            }
            Claim::ShortOutOfOrder { .. } => short_out_of_order(self, claim),
            Claim::ShortUnmatched { .. } => short_unmatched(self, claim),
        }
    }

    fn before(
        self,
        connection: ConnectionId,
        order: Order,
        first: &Sighting,
        second: &Sighting,
    ) -> Truth {
        ensure(first.event < second.event, "the second event is not later than the first")?;
        let (is_first, is_second) = match order {
            Order::Sent => (self.sends(connection, first), self.sends(connection, second)),
            Order::Received => (
                self.receives_in_order(connection, first),
                self.receives_in_order(connection, second),
            ),
            Order::ReceivedThenSent => {
                (self.receives_in_order(connection, first), self.sends(connection, second))
            }
        };
        ensure(is_first, "the first message is not there")?;
        ensure(is_second, "the second message is not there")
    }

    fn sends(self, connection: ConnectionId, sighting: &Sighting) -> bool {
        let Some(Event::Send { message, short, .. }) = self.event(sighting.event) else {
            return false;
        };
        message.sender == connection
            && message == sighting.message
            && short == sighting.short.as_deref()
            && sighting.position.is_none()
    }

    /// Whether a receipt is there.
    fn receives(self, connection: ConnectionId, sighting: &Sighting) -> bool {
        match self.event(sighting.event) {
            Some(Event::Receive { connection: receiver, message, position }) => {
                receiver == connection
                    && message == sighting.message
                    && Some(position) == sighting.position
                    && sighting.short.is_none()
            }
            Some(Event::ReceiveAnonymous { connection: receiver, body, position }) => {
                receiver == connection
                    && Some(body) == sighting.short.as_deref()
                    && Some(position) == sighting.position
            }
            _ => false,
        }
    }

    /// Whether a receipt is there and counts for the order of messages.
    fn receives_in_order(self, connection: ConnectionId, sighting: &Sighting) -> bool {
        self.receives(connection, sighting)
            && match &sighting.short {
                None => self.counts(connection, sighting.message, sighting.event),
                Some(_) => must_be(self, connection, sighting),
            }
    }

    /// Whether the receipt of a message with an id is the receiver's first one,
    /// and the message had been sent.
    fn counts(self, receiver: ConnectionId, id: MessageId, receipt: u64) -> bool {
        let mut was_sent = false;
        for (index, event) in self.events() {
            match event {
                Event::Send { message, short: None, .. } if message == id => was_sent = true,
                Event::Receive { connection, message, .. }
                    if was_sent && connection == receiver && message == id =>
                {
                    return index == receipt;
                }
                _ => {}
            }
        }
        false
    }

    fn more_short(
        self,
        receiver: ConnectionId,
        body: &[u8],
        claimed_received: u64,
        claimed_sent: u64,
    ) -> Truth {
        let (mut received, mut sent) = (0, 0);
        for (_, event) in self.events() {
            match event {
                Event::Send { short: Some(found), .. } if found == body => sent += 1,
                Event::ReceiveAnonymous { connection, body: found, .. }
                    if connection == receiver && found == body =>
                {
                    received += 1;
                }
                _ => {}
            }
        }
        ensure(received == claimed_received, "it was received another number of times")?;
        ensure(sent == claimed_sent, "it was sent another number of times")
    }
}

/// Whether the claims, taken as true, contradict the rule.
fn contradicts(counterexample: &Counterexample) -> Truth {
    let claims = &counterexample.claims;
    let is_order = |order: Order| move |claim: &Claim| matches!(claim, Claim::Before { order: o, .. } if *o == order);
    let is_causal = claims.iter().any(is_order(Order::ReceivedThenSent));
    let only = |class: Class| ensure(counterexample.class == class, "its class is another one");
    let is_integrity = counterexample.rule == Rule::Integrity;
    match &claims[..] {
        [] => Err("there is none"),
        [Claim::Before { .. }, ..] => {
            ensure(!is_integrity, "an order breaks no integrity")?;
            ensure(
                counterexample.rule == Rule::Causal || !is_causal,
                "the rule ignores causality",
            )?;
            let is_fifo = claims.len() == 2
                && claims.iter().any(is_order(Order::Sent))
                && claims.iter().any(is_order(Order::Received));
            ensure(counterexample.rule != Rule::Fifo || is_fifo, "FIFO is one sender's order")?;
            only(match claims.len() {
                _ if is_causal => Class::CausalOnly,
                2 if is_fifo => Class::Fifo,
                2 => Class::TwoReceiverInversion,
                _ => Class::Cycle,
            })?;
            ensure(is_cycle(claims), "the claims do not lead back to the first message")
        }
        [Claim::ShortOutOfOrder { .. } | Claim::ShortUnmatched { .. }] => {
            ensure(!is_integrity, "an order breaks no integrity")?;
            only(Class::Fifo)
        }
        [claim] => {
            ensure(is_integrity, "the claim is about integrity")?;
            match claim {
                Claim::ReceivedTwice { .. } => only(Class::Duplicate),
                Claim::ReceivedUnsent { .. } => only(Class::NeverSent),
                Claim::ReceivedUnknown { .. } => only(Class::UnknownFrame),
                Claim::ReceivedMoreShort { received, sent, .. } => {
                    ensure(received > sent, "as many had been sent")?;
                    only(Class::TooManyShort)
                }
                _ => Err("one claim of an order"),
            }
        }
        _ => Err("the claims do not belong together"),
    }
}

fn is_cycle(claims: &[Claim]) -> bool {
    let ends = |claim: &Claim| match claim {
        Claim::Before { first, second, .. } if first.message != second.message => {
            Some((first.message, second.message))
        }
        _ => None,
    };
    let next = claims.iter().cycle().skip(1);
    claims.iter().zip(next).all(|(claim, next)| match (ends(claim), ends(next)) {
        (Some((_, to)), Some((from, _))) => to == from,
        _ => false,
    })
}

// Claims about messages too short to carry an id.

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
fn must_be(prefix: Prefix<'_>, receiver: ConnectionId, sighting: &Sighting) -> bool {
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

fn short_out_of_order(prefix: Prefix<'_>, claim: &Claim) -> Result<(), &'static str> {
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

fn short_unmatched(prefix: Prefix<'_>, claim: &Claim) -> Result<(), &'static str> {
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
