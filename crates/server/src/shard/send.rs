//! From the log to connections.

use std::io::{self, ErrorKind};

use slotmap::Key as _;
use tracing::debug;
use zillions_log::Offset;

use super::Shard;
use super::room::ShardRoom;
use crate::client::{DisconnectReason, Key, Progress};
use crate::engine::{Engine, Outgoing};
use crate::slow_reader::OnOverrun;

/// What one client that is behind is sent before the others have their turn, in bytes.
const SEND_BYTES_MAX: u64 = 256 * 1024;
/// How many sends are handed to the engine at once.
const SENDS_PER_BATCH: usize = 64;

/// The result of a send to a current client that did not go through in full.
type Unsent = (Key, io::Result<usize>);

/// One send to a lagging client.
struct Pending {
    key: Key,
    /// The frame with which it ends.
    goal: Offset,
    /// How many bytes it has: 0 if the client has been sent everything already.
    length: usize,
    /// How many of them were sent.
    sent: io::Result<usize>,
}

impl<E: Engine> Shard<E> {
    /// Sends every client of a room what is new. Returns how many bytes of the log were new.
    pub(super) fn deliver(&mut self, room: &mut ShardRoom) -> u64 {
        let before = room.send_queue.sent_up_to.bytes;
        self.send(room);
        room.send_queue.sent_up_to.bytes.saturating_sub(before)
    }

    /// Sends every client of a room what is new, as far as the sockets take it.
    pub(super) fn send(&mut self, room: &mut ShardRoom) {
        if room.clients == 0 {
            // All the keys in it are those of closed clients.
            room.send_queue.ready.clear();
            return;
        }
        let head = room.reader.refresh();
        self.send_to_current(room, head);
        if head.bytes > room.send_queue.sent_up_to.bytes {
            room.send_queue.rouse_coded(self.now, &mut self.clients);
        }
        self.send_to_lagging(room, head);
        if room.clients == 0 {
            return;
        }
        room.send_queue.sent_up_to = head;
        room.watermark_is_old = false;
        let pin = if room.room.has_backpressure() {
            self.publish_low_watermark(room, head.bytes)
        } else {
            head.bytes
        };
        // Upwards, which cannot fail: sending has moved the pin down at most.
        let _ = room.reader.pin(pin.max(room.reader.pinned().unwrap_or(0)));
        self.count_lagging(room);
        if room.reader.writer_waits() {
            self.shared.notify_writers(room.key, &room.room);
        }
    }

    /// Publishes the offset of the slowest client, for which publishers may be waiting.
    fn publish_low_watermark(&self, room: &ShardRoom, head: u64) -> u64 {
        let clients = room.send_queue.lagging.iter().map(|&key| &self.clients[key]);
        let lags = clients.filter(|client| client.has_joined()).filter_map(|client| client.lag());
        let lowest = lags.map(|lag| lag.next.bytes).min().unwrap_or(head).min(head);
        self.shared.set_low_watermark(room.key, &room.room, self.number, lowest);
        lowest
    }

    /// Sends the clients that keep up one and the same slice.
    fn send_to_current(&mut self, room: &mut ShardRoom, head: Offset) {
        let from = room.send_queue.sent_up_to;
        if head.bytes == from.bytes || room.send_queue.current.is_empty() {
            return;
        }
        let bytes = room.reader.bytes(from.bytes, head.bytes);
        let mut unsent: Vec<Unsent> = Vec::new();
        let mut sent = 0;
        for keys in room.send_queue.current.chunks(SENDS_PER_BATCH) {
            let outgoing = |&key: &Key| {
                let stream = &self.clients[key].stream;
                Outgoing { stream, partial_out: &[], bytes, sent: Ok(0) }
            };
            let mut batch: Vec<_> = keys.iter().map(outgoing).collect();
            self.engine.send(&mut batch);
            for (&key, outgoing) in keys.iter().zip(batch) {
                match outgoing.sent {
                    Ok(taken) if taken == bytes.len() => sent += 1,
                    other => unsent.push((key, other)),
                }
            }
        }
        let counters = self.shared.counters(self.number);
        counters.sends.add(sent);
        counters.sent_bytes.add(sent * bytes.len() as u64);
        self.count_sent(room, sent * (head.messages - from.messages));
        for (key, sent) in unsent {
            if let Some(taken) = self.taken(room, key, sent) {
                self.fall_behind(room, key, from, taken);
            }
        }
    }

    /// How many bytes a send took. `None`: the connection has failed and the client is closed.
    fn taken(&mut self, room: &mut ShardRoom, key: Key, sent: io::Result<usize>) -> Option<usize> {
        match sent {
            Ok(taken) => {
                self.counters().sends.add(1);
                self.counters().sent_bytes.add(taken as u64);
                Some(taken)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => Some(0),
            Err(error) => {
                debug!(client = key.data().as_ffi(), %error, "connection failed");
                self.close(room, key, DisconnectReason::Error);
                None
            }
        }
    }

    /// The client's socket took only so much of what all current clients are sent from `from` on.
    fn fall_behind(&mut self, room: &mut ShardRoom, key: Key, from: Offset, taken: usize) {
        let (partial_out, next) = cut(room, from.bytes + taken as u64);
        self.count_sent(room, next.messages - from.messages);
        room.send_queue.become_lagging(key, partial_out, next, self.now, &mut self.clients);
    }

    /// Tries the lagging clients whose sockets may take something.
    fn send_to_lagging(&mut self, room: &mut ShardRoom, head: Offset) {
        let mut keys = std::mem::take(&mut room.send_queue.ready);
        for keys in keys.chunks(SENDS_PER_BATCH) {
            for &key in keys {
                self.make_ready(room, key, head);
            }
            for pending in self.send_batch(room, keys, head) {
                self.record(room, pending, head);
            }
        }
        keys.clear();
        if room.send_queue.ready.is_empty() {
            // Keeps the memory of the list.
            room.send_queue.ready = keys;
        }
    }

    /// Makes sure that what the client is to be sent next is there, in the log or encoded.
    fn make_ready(&mut self, room: &mut ShardRoom, key: Key, head: Offset) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let is_coded = client.coded.is_some();
        if let Some(lag) = client.lag_mut() {
            lag.queued = false;
        }
        if is_coded {
            self.join(room, key, head);
        }
        self.reposition(room, key, head);
        if is_coded {
            self.encode(room, key, head);
        }
    }

    /// Sends each of these clients once what it may be sent.
    fn send_batch(&mut self, room: &ShardRoom, keys: &[Key], head: Offset) -> Vec<Pending> {
        let mut sends = Vec::with_capacity(keys.len());
        let mut batch = Vec::with_capacity(keys.len());
        for &key in keys {
            let Some(client) = self.clients.get(key) else { continue };
            let Some(lag) = client.lag() else { continue };
            let goal = match client.coded {
                None if client.listens() => goal(room, lag.next, client.bound(head)),
                // It has been encoded, or there is nothing.
                _ => lag.next,
            };
            let bytes: &[u8] = if goal == lag.next {
                // The offset may have left the log by now.
                &[]
            } else {
                room.reader.bytes(lag.next.bytes, goal.bytes)
            };
            let (stream, partial_out) = (&client.stream, &lag.partial_out[..]);
            let outgoing = Outgoing { stream, partial_out, bytes, sent: Ok(0) };
            sends.push(Pending { key, goal, length: outgoing.length(), sent: Ok(0) });
            if outgoing.length() > 0 {
                batch.push(outgoing);
            }
        }
        self.engine.send(&mut batch);
        let tried = sends.iter_mut().filter(|pending| pending.length > 0);
        for (pending, outgoing) in tried.zip(batch) {
            pending.sent = outgoing.sent;
        }
        sends
    }

    /// Makes sure that what the client is to be sent is in the log and pinned. If it is too far
    /// behind, moves it to a later frame, or closes it.
    fn reposition(&mut self, room: &mut ShardRoom, key: Key, head: Offset) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if !client.has_joined() {
            return;
        }
        let bound = client.bound(head);
        let Progress::Lagging { lag, .. } = &mut client.progress else { return };
        let policy = room.room.config.slow_reader;
        let is_far = policy.exceeds(head.bytes.saturating_sub(lag.next.bytes));
        let is_pinned = room.reader.pinned().is_some_and(|pin| pin <= lag.next.bytes);
        if !is_far && (is_pinned || room.reader.pin(lag.next.bytes).is_ok()) {
            return;
        }
        match policy.on_overrun() {
            OnOverrun::Disconnect(reason) => self.close(room, key, reason),
            OnOverrun::Skip { lag_bytes } => {
                let landing = room.reader.jump(lag_bytes);
                // A draining client is not sent what came after its end, nor misses it.
                let next = landing.min(bound).max(lag.next);
                let missed = next.messages - lag.next.messages;
                lag.next = next;
                client.dropped += missed;
                self.counters().dropped_messages.add(missed);
                room.room.counters(self.number).dropped_messages.add(missed);
            }
        }
    }

    /// Records the result of a send.
    fn record(&mut self, room: &mut ShardRoom, pending: Pending, head: Offset) {
        let Pending { key, goal, length, sent } = pending;
        let taken = if length == 0 { Some(0) } else { self.taken(room, key, sent) };
        match taken {
            Some(taken) if taken == length => self.sent_all(room, key, goal, head),
            Some(taken) => self.sent_part(room, key, taken),
            None => {}
        }
    }

    /// A client that is behind was sent everything up to `goal`.
    fn sent_all(&mut self, room: &mut ShardRoom, key: Key, goal: Offset, head: Offset) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let bound = client.bound(head);
        let (has_joined, has_output) = (client.has_joined(), client.has_output());
        let has_all = if client.listens() { goal == head && has_joined } else { true };
        let Progress::Lagging { lag, .. } = &mut client.progress else { return };
        let messages = goal.messages - lag.next.messages;
        if has_all && !has_output {
            room.send_queue.become_current(key, &mut self.clients);
        } else {
            (lag.partial_out, lag.next) = (Vec::new(), goal);
            if has_output || (goal < bound && has_joined) {
                room.send_queue.enqueue(key, lag);
            }
        }
        self.count_sent(room, messages);
    }

    /// A client that is behind was sent the first `taken` bytes of its partial frame and the log.
    fn sent_part(&mut self, room: &ShardRoom, key: Key, taken: usize) {
        let Some(lag) = self.clients.get(key).and_then(|client| client.lag()) else { return };
        let before = lag.next;
        let from_log = taken.checked_sub(lag.partial_out.len()).filter(|&bytes| bytes > 0);
        let cut = from_log.map(|bytes| cut(room, before.bytes + bytes as u64));
        let Some(lag) = self.clients[key].lag_mut() else { return };
        lag.writable = false;
        match cut {
            Some((partial_out, next)) => {
                (lag.partial_out, lag.next) = (partial_out, next);
                self.count_sent(room, next.messages - before.messages);
            }
            None => drop(lag.partial_out.drain(..taken)),
        }
    }
}

/// The rest of the frame that contains `byte`, and the frame after it.
fn cut(room: &ShardRoom, byte: u64) -> (Vec<u8>, Offset) {
    let next = room.reader.boundary(byte);
    (room.reader.bytes(byte, next.bytes).to_vec(), next)
}

/// Up to where a client that is behind is sent at once.
fn goal(room: &ShardRoom, next: Offset, bound: Offset) -> Offset {
    if bound.bytes.saturating_sub(next.bytes) > SEND_BYTES_MAX {
        room.reader.boundary(next.bytes + SEND_BYTES_MAX)
    } else {
        bound.max(next)
    }
}
