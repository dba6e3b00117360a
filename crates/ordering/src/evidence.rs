//! From indices to claims that a person can look up in the history.

use std::collections::{BTreeMap, BTreeSet};

use crate::assign::Unassignable;
use crate::chains::{Chains, IntegrityFinding, IntegrityKind};
use crate::counterexample::{Claim, Class, Counterexample, Order, Rule, Sighting};
use crate::event::{ConnectionId, Event, MessageId, StreamPosition};
use crate::fifo::{FifoBreak, FifoBreakKind};
use crate::history::History;
use crate::search::Hop;
use crate::shorts::Origin;

/// Writes counterexamples about one history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'c> {
    pub(crate) history: &'c History,
    pub(crate) chains: &'c Chains,
}

impl Evidence<'_> {
    pub(crate) fn integrity(&self, found: IntegrityFinding) -> Counterexample {
        let connection = ConnectionId(found.receiver);
        let event = u64::from(found.event);
        let position = self.position(found.event).unwrap_or_default();
        let (class, claim) = match found.kind {
            IntegrityKind::Twice { vertex } => {
                let range = self.chains.receipts.range(found.receiver as usize);
                let receipts = &self.chains.receipts;
                let first = range.clone().find(|&place| receipts.vertex[place] == vertex);
                let first = receipts.event[first.unwrap_or(range.start)];
                (
                    Class::Duplicate,
                    Claim::ReceivedTwice {
                        connection,
                        first: self.sighting(vertex, first),
                        second: self.sighting(vertex, found.event),
                    },
                )
            }
            IntegrityKind::Unsent { sender, sequence } => {
                let message = MessageId { sender: ConnectionId(sender), sequence };
                let received = Sighting { message, short: None, event, position: Some(position) };
                let sent_event = self.sent_event(message);
                (Class::NeverSent, Claim::ReceivedUnsent { connection, received, sent_event })
            }
            IntegrityKind::Unknown => {
                let detail = self.detail(found.event);
                (
                    Class::UnknownFrame,
                    Claim::ReceivedUnknown { connection, detail, event, position },
                )
            }
            IntegrityKind::MoreShort { body, received, sent } => (
                Class::TooManyShort,
                Claim::ReceivedMoreShort {
                    connection,
                    body: self.history.body(body).to_vec(),
                    received: received.into(),
                    sent: sent.into(),
                    event,
                    position,
                },
            ),
        };
        self.counterexample(Rule::Integrity, class, found.event, vec![claim])
    }

    pub(crate) fn fifo(&self, rule: Rule, found: &FifoBreak) -> Counterexample {
        let closing = found.prefix - 1;
        let claims = match found.kind {
            FifoBreakKind::Overtaken(found) => {
                let sender = ConnectionId(self.chains.sender[found.vertex as usize]);
                let receiver = found.receiver as usize;
                let receipts = &self.chains.receipts;
                let range = receipts.range(receiver);
                let is_overtaking = |&place: &usize| receipts.vertex[place] == found.overtaken_by;
                let place = range.clone().find(is_overtaking).unwrap_or(range.start);
                let sent = |vertex| self.sighting(vertex, self.chains.send_event[vertex as usize]);
                vec![
                    Claim::Before {
                        connection: sender,
                        order: Order::Sent,
                        first: sent(found.vertex),
                        second: sent(found.overtaken_by),
                    },
                    Claim::Before {
                        connection: ConnectionId(found.receiver),
                        order: Order::Received,
                        first: self.sighting(found.overtaken_by, receipts.event[place]),
                        second: self.sighting(found.vertex, found.event),
                    },
                ]
            }
            FifoBreakKind::Short(Unassignable::OutOfOrder { receiver, sender }) => {
                vec![self.short_out_of_order(receiver, sender, closing)]
            }
            FifoBreakKind::Short(Unassignable::Unmatched { receiver, body, received, matched }) => {
                vec![Claim::ShortUnmatched {
                    connection: ConnectionId(receiver),
                    body: self.history.body(body).to_vec(),
                    received: received.into(),
                    matched: matched.into(),
                    event: closing.into(),
                    position: self.position(closing).unwrap_or_default(),
                }]
            }
        };
        self.counterexample(rule, Class::Fifo, closing, claims)
    }

    pub(crate) fn cycle(&self, rule: Rule, prefix: u32, hops: &[Hop]) -> Counterexample {
        let is_order = |order: Order| move |hop: &Hop| hop.order == order;
        let class = if hops.iter().any(is_order(Order::ReceivedThenSent)) {
            Class::CausalOnly
        } else if hops.len() > 2 {
            Class::Cycle
        } else if hops.iter().any(is_order(Order::Sent)) {
            Class::Fifo
        } else {
            Class::TwoReceiverInversion
        };
        let claims = hops
            .iter()
            .map(|hop| Claim::Before {
                connection: ConnectionId(hop.connection),
                order: hop.order,
                first: self.sighting(hop.from, hop.from_event),
                second: self.sighting(hop.to, hop.to_event),
            })
            .collect();
        self.counterexample(rule, class, prefix - 1, claims)
    }

    /// What one receiver got from one sender since the last fence.
    fn short_out_of_order(&self, receiver: u32, sender: u32, closing: u32) -> Claim {
        let receipts = &self.chains.receipts;
        let mut after = None;
        let mut before = None;
        let mut received = Vec::new();
        for place in receipts.range_before(receiver as usize, closing + 1) {
            let (vertex, event) = (receipts.vertex[place], receipts.event[place]);
            match self.chains.short_receipt(vertex) {
                Some(short) if short.origin == Origin::Only(sender) => {
                    received.push(self.history.body(short.body).to_vec());
                }
                None if self.chains.sender[vertex as usize] == sender => {
                    if event == closing {
                        before = Some(vertex);
                    } else {
                        after = Some((vertex, event));
                        received.clear();
                    }
                }
                _ => {}
            }
        }
        let first = after.map_or(self.chains.base[sender as usize], |(vertex, _)| vertex + 1);
        let end = before.unwrap_or_else(|| self.chains.sent_before(sender as usize, closing).end);
        let sent = (first..end)
            .filter_map(|vertex| self.chains.shorts.body_of(vertex))
            .map(|body| self.history.body(body).to_vec())
            .collect();
        Claim::ShortOutOfOrder {
            connection: ConnectionId(receiver),
            sender: ConnectionId(sender),
            after: after.map(|(vertex, event)| self.sighting(vertex, event)),
            received,
            before: before.map(|vertex| self.sighting(vertex, closing)),
            sent,
            event: closing.into(),
            position: self.position(closing).unwrap_or_default(),
        }
    }

    fn counterexample(
        &self,
        rule: Rule,
        class: Class,
        closing_event: u32,
        claims: Vec<Claim>,
    ) -> Counterexample {
        let connections: BTreeSet<_> = claims.iter().flat_map(Claim::connections).collect();
        let name = |connection: ConnectionId| {
            self.history.name(connection).map(|name| (connection, name.to_owned()))
        };
        let names: BTreeMap<_, _> = connections.into_iter().filter_map(name).collect();
        Counterexample { rule, class, closing_event: closing_event.into(), claims, names }
    }

    fn sighting(&self, vertex: u32, event: u32) -> Sighting {
        let sender = self.chains.sender[vertex as usize];
        let sequence = vertex - self.chains.base[sender as usize];
        let body = self.chains.shorts.body_of(vertex);
        Sighting {
            message: MessageId { sender: ConnectionId(sender), sequence },
            short: body.map(|body| self.history.body(body).to_vec()),
            event: event.into(),
            position: self.position(event),
        }
    }

    fn sent_event(&self, message: MessageId) -> Option<u64> {
        let sender = message.sender.at();
        let range = *self.chains.base.get(sender)?..*self.chains.base.get(sender + 1)?;
        let vertex = range.start.checked_add(message.sequence)?;
        let event = range.contains(&vertex).then(|| self.chains.send_event[vertex as usize])?;
        Some(event.into())
    }

    /// Where a received frame began; `None` for a message that was sent.
    fn position(&self, event: u32) -> Option<StreamPosition> {
        match self.history.event(event.into())? {
            Event::Receive { position, .. }
            | Event::ReceiveAnonymous { position, .. }
            | Event::ReceiveUnknown { position, .. } => Some(position),
            Event::Connect { .. } | Event::Send { .. } | Event::MaybeFrom { .. } => None,
        }
    }

    fn detail(&self, event: u32) -> String {
        match self.history.event(event.into()) {
            Some(Event::ReceiveUnknown { detail, .. }) => detail.to_owned(),
            _ => String::new(),
        }
    }
}
