//! The upstream server of an edge, in memory: it puts what comes up in one order with messages of
//! its own client, and sends all of it down; connections break at any byte.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use zillions_ordering::{ConnectionId, History, MessageId, StreamPosition};
use zillions_server::keys::RoomKey;
use zillions_server::uplink::Link;
use zillions_server::upstream::Upstream;
use zillions_server::{Room, Shared};
use zillions_testing::Dice;

use crate::network::SimStream;

/// The number of the root's own client in the bodies of messages.
pub(crate) const ROOT_CLIENT: u16 = u16::MAX;
/// How many bytes are on their way down at most.
const DOWN_BYTES_MAX: usize = 20_000;

pub(crate) struct Root {
    dice: Dice,
    /// The edge's room.
    room: Arc<Room>,
    link: Link,
    connected: bool,
    /// What has arrived from the edge and is not in order yet.
    up: VecDeque<u8>,
    /// What is in order and has not been read by the edge.
    down: VecDeque<u8>,
    /// What the edge has read over this connection.
    read: Vec<u8>,
    /// The root's own client: it sends, and receives everything.
    pub(crate) client: ConnectionId,
    sent: u32,
    received_bytes: u64,
    /// Its messages that the edge has.
    pub(crate) arrived: u64,
    pub(crate) losses: u64,
}

impl Root {
    pub(crate) fn new(seed: u64, key: RoomKey, room: &Arc<Room>, client: ConnectionId) -> Self {
        Self {
            dice: Dice::new(seed ^ 0x0e),
            room: Arc::clone(room),
            link: Link::new(key, Arc::clone(room)),
            connected: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            read: Vec::new(),
            client,
            sent: 0,
            received_bytes: 0,
            arrived: 0,
            losses: 0,
        }
    }

    fn upstream(&self) -> &Upstream {
        self.room.upstream.as_ref().expect("an edge")
    }

    /// Something happens on the way up or down.
    pub(crate) fn step(
        &mut self,
        shared: &Shared<SimStream>,
        history: &mut History,
        senders: &[ConnectionId],
        now: Duration,
    ) {
        match self.dice.below(60) {
            0 => self.lose(shared, now),
            1..6 => self.say(history),
            6..20 => self.write(shared, now),
            20..35 => self.sequence(history, senders),
            _ => self.read(shared, now),
        }
    }

    /// Everything that can happen does; returns whether anything did.
    pub(crate) fn rush(
        &mut self,
        shared: &Shared<SimStream>,
        history: &mut History,
        senders: &[ConnectionId],
        now: Duration,
    ) -> bool {
        let before = (self.up.len(), self.down.len(), self.read.len());
        let waiting = self.upstream().waiting_bytes();
        self.write(shared, now);
        self.sequence(history, senders);
        self.read(shared, now);
        let is_finished = self.upstream().is_finished();
        let is_empty = self.up.is_empty() && self.down.is_empty();
        if is_finished && self.connected && is_empty && self.link.outgoing(shared).is_empty() {
            // It has seen the end of what comes up, and closes.
            self.lose(shared, now);
            return true;
        }
        waiting > 0 || before != (self.up.len(), self.down.len(), self.read.len())
    }

    fn lose(&mut self, shared: &Shared<SimStream>, now: Duration) {
        if !self.connected || !self.link.append(shared, now) {
            return;
        }
        self.link.lost(shared, now);
        self.connected = false;
        self.losses += 1;
        // A frame that came up in part is discarded; so may be what came whole.
        self.up.clear();
        self.down.clear();
        self.count_arrived();
        // Half a frame is void.
        self.read.clear();
    }

    /// Counts the messages of the root's client that the edge has.
    pub(crate) fn count_arrived(&mut self) {
        let read = std::mem::take(&mut self.read);
        let mut rest = &read[..];
        while let Some((frame, tail)) = split(rest) {
            self.arrived += u64::from(sender(frame) == ROOT_CLIENT);
            rest = tail;
        }
        self.read = rest.to_vec();
    }

    fn say(&mut self, history: &mut History) {
        if self.down.len() > DOWN_BYTES_MAX {
            return;
        }
        let mut frame = vec![6];
        frame.extend_from_slice(&ROOT_CLIENT.to_le_bytes());
        frame.extend_from_slice(&self.sent.to_le_bytes());
        self.sent += 1;
        history.send(self.client);
        self.put_in_order(&frame, history, self.client);
    }

    fn put_in_order(&mut self, frame: &[u8], history: &mut History, sender: ConnectionId) {
        let sequence = u32::from_le_bytes(frame[3..7].try_into().expect("four bytes"));
        let position = StreamPosition { offset: self.received_bytes, time_ns: 0 };
        history.receive(self.client, MessageId { sender, sequence }, position);
        self.received_bytes += frame.len() as u64;
        if self.connected {
            self.down.extend(frame);
        }
    }

    /// The edge writes, or connects first.
    fn write(&mut self, shared: &Shared<SimStream>, now: Duration) {
        if !self.connected {
            self.connected = self.link.connected();
            return;
        }
        let outgoing = self.link.outgoing(shared);
        if !outgoing.is_empty() {
            let bytes = 1 + self.dice.below(outgoing.len());
            self.up.extend(&outgoing[..bytes]);
            self.link.wrote(bytes, now);
        }
    }

    /// What has come up whole is put in order.
    fn sequence(&mut self, history: &mut History, senders: &[ConnectionId]) {
        let up: Vec<u8> = self.up.drain(..).collect();
        let mut rest = &up[..];
        while self.down.len() < DOWN_BYTES_MAX
            && let Some((frame, tail)) = split(rest)
        {
            self.put_in_order(frame, history, senders[usize::from(sender(frame))]);
            rest = tail;
        }
        self.up.extend(rest);
    }

    /// The edge reads.
    fn read(&mut self, shared: &Shared<SimStream>, now: Duration) {
        if self.connected && self.link.append(shared, now) && !self.down.is_empty() {
            let space = self.link.space();
            let bytes = 1 + self.dice.below(space.len().min(self.down.len()));
            let piece: Vec<u8> = self.down.drain(..bytes).collect();
            space[..bytes].copy_from_slice(&piece);
            self.read.extend(piece);
            self.link.received(bytes);
            self.link.append(shared, now);
        }
    }
}

/// The first frame, header included, and the rest.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(1 + usize::from(*bytes.first()?))
}

fn sender(frame: &[u8]) -> u16 {
    u16::from_le_bytes([frame[1], frame[2]])
}
