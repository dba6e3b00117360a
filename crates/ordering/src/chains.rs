//! A history as arrays: what every connection sent and received, in order.
//!
//! A sent message is a *vertex*: the messages of connection 0 come first, then
//! those of connection 1, and so on, each in order of sending. A receiver's
//! chain is a slice of vertices. Receipts that break integrity are found while
//! the chains are built, and set aside: they say nothing about order.

use crate::event::ConnectionId;
use crate::history::{Entry, History, NONE};
use crate::shorts::{ShortReceipt, ShortTable};

/// The receivers' chains, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipts {
    /// Where each receiver's chain begins, and at the end where the last stops.
    pub(crate) start: Vec<u32>,
    pub(crate) vertex: Vec<u32>,
    /// The event of each receipt; ascending within a chain.
    pub(crate) event: Vec<u32>,
}

impl Receipts {
    pub(crate) fn range(&self, receiver: usize) -> std::ops::Range<usize> {
        self.start[receiver] as usize..self.start[receiver + 1] as usize
    }

    /// The part of a chain within the first `prefix` events.
    pub(crate) fn range_before(&self, receiver: usize, prefix: u32) -> std::ops::Range<usize> {
        let range = self.range(receiver);
        match self.event[range.clone()].last() {
            Some(&last) if last >= prefix => {
                let count = self.event[range.clone()].partition_point(|&event| event < prefix);
                range.start..range.start + count
            }
            _ => range,
        }
    }

    /// The receiver whose chain holds this place.
    pub(crate) fn receiver_at(&self, place: usize) -> usize {
        self.start.partition_point(|&start| start as usize <= place) - 1
    }
}

/// All chains of a history.
#[derive(Debug)]
pub(crate) struct Chains {
    /// The first vertex of each sender, and at the end the number of vertices.
    pub(crate) base: Vec<u32>,
    /// The sender of each vertex.
    pub(crate) sender: Vec<u32>,
    /// The event that sent each vertex.
    pub(crate) send_event: Vec<u32>,
    /// Vertices; a short message is a number past them, see [`ShortTable`].
    pub(crate) receipts: Receipts,
    pub(crate) shorts: ShortTable,
    /// The number of events.
    pub(crate) events: u32,
}

/// The first event that breaks integrity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntegrityFinding {
    pub(crate) event: u32,
    pub(crate) receiver: u32,
    pub(crate) kind: IntegrityKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntegrityKind {
    Twice { vertex: u32 },
    Unsent { sender: u32, sequence: u32 },
    Unknown,
    MoreShort { body: u32, received: u32, sent: u32 },
}

/// The first event after which a receiver has two messages with ids of one
/// sender in the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FifoFinding {
    pub(crate) event: u32,
    pub(crate) receiver: u32,
    /// The message that arrived too late.
    pub(crate) vertex: u32,
    /// The later one of the same sender that had arrived before.
    pub(crate) overtaken_by: u32,
}

/// What is found while chains are built.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) integrity: Option<IntegrityFinding>,
    pub(crate) fifo: Option<FifoFinding>,
}

impl Findings {
    fn integrity(&mut self, found: IntegrityFinding) {
        if self.integrity.is_none_or(|best| found.event < best.event) {
            self.integrity = Some(found);
        }
    }

    fn fifo(&mut self, found: FifoFinding) {
        if self.fifo.is_none_or(|best| found.event < best.event) {
            self.fifo = Some(found);
        }
    }
}

impl Chains {
    pub(crate) fn build(history: &History) -> (Self, Findings) {
        let mut findings = Findings::default();
        let mut chains = Self::group(history, &mut findings);
        chains.clean(&mut findings);
        (chains, findings)
    }

    pub(crate) fn connections(&self) -> usize {
        self.base.len() - 1
    }

    pub(crate) fn vertices(&self) -> u32 {
        self.base[self.connections()]
    }

    /// The messages that a sender had sent in the first `prefix` events.
    pub(crate) fn sent_before(&self, sender: usize, prefix: u32) -> std::ops::Range<u32> {
        let (first, end) = (self.base[sender], self.base[sender + 1]);
        let events = &self.send_event[first as usize..end as usize];
        match events.last() {
            Some(&last) if last >= prefix => {
                first..first + events.partition_point(|&event| event < prefix) as u32
            }
            _ => first..end,
        }
    }

    /// Reads the history once and sorts its receipts by receiver.
    fn group(history: &History, findings: &mut Findings) -> Self {
        let connections = history.connections();
        let mut base = Vec::with_capacity(connections + 1);
        let mut start = Vec::with_capacity(connections + 1);
        let (mut messages, mut receipts) = (0, 0);
        for connection in 0..connections {
            base.push(messages);
            start.push(receipts);
            messages += history.sent(ConnectionId(connection as u32));
            receipts += history.received(connection);
        }
        base.push(messages);
        let mut chains = Self {
            base,
            sender: vec![0; messages as usize],
            send_event: vec![NONE; messages as usize],
            receipts: Receipts {
                start: start.clone(),
                vertex: vec![NONE; receipts as usize],
                event: vec![NONE; receipts as usize],
            },
            shorts: ShortTable::new(messages, history.body_count()),
            // `EVENTS_MAX` fits 32 bits.
            events: history.event_count() as u32,
        };
        chains.receipts.start.push(receipts);
        chains.fill(history, &mut start, findings);
        chains
    }

    fn fill(&mut self, history: &History, next: &mut [u32], findings: &mut Findings) {
        // Messages sent before the event at hand, per sender.
        let mut sent = vec![0; self.connections()];
        for (event, entry) in (0..).zip(history.entries()) {
            match *entry {
                Entry::Receive { connection, message, .. } => {
                    let (receiver, sender) = (connection.0, message.sender.0);
                    let sent = sent.get(sender as usize).copied().unwrap_or_default();
                    let sequence = message.sequence;
                    let vertex =
                        if sequence < sent { self.base[sender as usize] + sequence } else { NONE };
                    let slot = &mut next[receiver as usize];
                    if vertex == NONE || self.shorts.is_short(vertex) {
                        let kind = IntegrityKind::Unsent { sender, sequence };
                        findings.integrity(IntegrityFinding { event, receiver, kind });
                    } else {
                        self.receipts.vertex[*slot as usize] = vertex;
                    }
                    self.receipts.event[*slot as usize] = event;
                    *slot += 1;
                }
                Entry::Send { message, short, .. } => {
                    let sender = message.sender.0;
                    let vertex = self.base[sender as usize] + message.sequence;
                    sent[sender as usize] += 1;
                    self.sender[vertex as usize] = sender;
                    self.send_event[vertex as usize] = event;
                    if let Some(body) = short {
                        self.shorts.send(body, vertex, sender);
                    }
                }
                Entry::ReceiveShort { connection, body, .. } => {
                    let slot = &mut next[connection.at()];
                    let place = self.shorts.receive(body);
                    self.receipts.vertex[*slot as usize] = self.vertices_of(place);
                    self.receipts.event[*slot as usize] = event;
                    *slot += 1;
                }
                Entry::ReceiveUnknown { connection, .. } => {
                    let (receiver, kind) = (connection.0, IntegrityKind::Unknown);
                    findings.integrity(IntegrityFinding { event, receiver, kind });
                }
                Entry::Connect { .. } | Entry::MaybeFrom { .. } => {}
            }
        }
        self.shorts.finish();
    }

    /// The number in a chain of a short message's receipt.
    fn vertices_of(&self, short_receipt: u32) -> u32 {
        self.vertices() + short_receipt
    }

    /// The short message with this number in a chain; `None` if it has an id.
    pub(crate) fn short_receipt(&self, vertex: u32) -> Option<ShortReceipt> {
        let place = vertex.checked_sub(self.vertices())?;
        Some(self.shorts.receipt(place))
    }

    /// Sets aside the receipts that break integrity, and finds the first
    /// message with an id that is out of its sender's order.
    fn clean(&mut self, findings: &mut Findings) {
        let vertices = self.vertices();
        let mut seen_by = vec![NONE; vertices as usize];
        // Per sender: the receiver it was seen by last, and there its latest vertex.
        let mut latest = vec![(NONE, 0); self.connections()];
        let mut short_counts = self.shorts.counts();
        let mut kept = 0;
        for receiver in 0..self.connections() as u32 {
            let range = self.receipts.range(receiver as usize);
            self.receipts.start[receiver as usize] = kept as u32;
            for place in range {
                let (vertex, event) = (self.receipts.vertex[place], self.receipts.event[place]);
                if vertex == NONE {
                    continue;
                }
                if vertex < vertices {
                    if seen_by[vertex as usize] == receiver {
                        let kind = IntegrityKind::Twice { vertex };
                        findings.integrity(IntegrityFinding { event, receiver, kind });
                        continue;
                    }
                    seen_by[vertex as usize] = receiver;
                    let latest = &mut latest[self.sender[vertex as usize] as usize];
                    if latest.0 != receiver || latest.1 < vertex {
                        *latest = (receiver, vertex);
                    } else {
                        let overtaken_by = latest.1;
                        findings.fifo(FifoFinding { event, receiver, vertex, overtaken_by });
                    }
                } else {
                    let body = self.shorts.receipt(vertex - vertices).body;
                    let sent = self.shorts.sent_before(body, event, &self.send_event);
                    let received = short_counts.add(receiver, body);
                    if received > sent {
                        short_counts.take_back(body);
                        let kind = IntegrityKind::MoreShort { body, received, sent };
                        findings.integrity(IntegrityFinding { event, receiver, kind });
                        continue;
                    }
                }
                self.receipts.vertex[kept] = vertex;
                self.receipts.event[kept] = event;
                kept += 1;
            }
        }
        self.receipts.start[self.base.len() - 1] = kept as u32;
        self.receipts.vertex.truncate(kept);
        self.receipts.event.truncate(kept);
    }
}
