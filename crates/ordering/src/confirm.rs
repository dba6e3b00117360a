//! A second look at a counterexample, by other means than those it was found
//! with: every claim is looked up in the history, in plain passes over its
//! events.

use thiserror::Error;

use crate::confirm_short::{must_be, short_out_of_order, short_unmatched};
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
/// contradict the rule. It shares no code with [`check`](crate::check()).
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
pub(crate) struct Prefix<'h> {
    pub(crate) history: &'h History,
    pub(crate) length: u64,
}

type Truth = Result<(), &'static str>;

pub(crate) fn ensure(is_true: bool, otherwise: &'static str) -> Truth {
    if is_true { Ok(()) } else { Err(otherwise) }
}

impl<'h> Prefix<'h> {
    /// The events, numbered.
    pub(crate) fn events(self) -> impl Iterator<Item = (u64, Event<'h>)> {
        (0..self.length).zip(self.history.events())
    }

    fn event(self, event: u64) -> Option<Event<'h>> {
        self.events().find(|(index, _)| *index == event).map(|(_, event)| event)
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
                ensure(*event < self.length, "it is no part of the prefix")?;
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
        let Some(Event::Send { message, short, position, .. }) = self.event(sighting.event) else {
            return false;
        };
        message.sender == connection
            && message == sighting.message
            && short == sighting.short.as_deref()
            && position == sighting.position
    }

    /// Whether a receipt is there.
    pub(crate) fn receives(self, connection: ConnectionId, sighting: &Sighting) -> bool {
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
    pub(crate) fn counts(self, receiver: ConnectionId, id: MessageId, receipt: u64) -> bool {
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
