//! From the log to connections.

use std::io::{self, ErrorKind};

use slotmap::Key as _;
use tracing::debug;
use zillions_log::Offset;

use super::Shard;
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
    /// Sends every client what is new, as far as the sockets take it.
    pub(super) fn send(&mut self) {
        if self.clients.is_empty() {
            // All the keys in it are those of closed clients.
            self.send_queue.ready.clear();
            return;
        }
        let head = self.reader.refresh();
        self.send_to_current(head);
        self.send_to_lagging(head);
        if self.clients.is_empty() {
            return;
        }
        self.send_queue.sent_up_to = head;
        let pin = if self.shared.has_backpressure() {
            self.publish_low_watermark(head.bytes)
        } else {
            head.bytes
        };
        // Upwards, which cannot fail: sending has moved the pin down at most.
        let _ = self.reader.pin(pin.max(self.reader.pinned().unwrap_or(0)));
        self.counters().lagging_clients.set(self.send_queue.lagging.len() as u64);
        if self.reader.writer_waits() {
            self.shared.notify_others(self.number);
            self.shared.notify(self.number);
        }
    }

    /// Publishes the offset of the slowest client, for which publishers may be waiting.
    fn publish_low_watermark(&self, head: u64) -> u64 {
        let lags = self.send_queue.lagging.iter().filter_map(|&key| self.clients[key].lag());
        let lowest = lags.map(|lag| lag.next.bytes).min().unwrap_or(head).min(head);
        self.shared.set_low_watermark(self.number, lowest);
        lowest
    }

    /// Sends the clients that keep up one and the same slice.
    fn send_to_current(&mut self, head: Offset) {
        let from = self.send_queue.sent_up_to;
        if head.bytes == from.bytes || self.send_queue.current.is_empty() {
            return;
        }
        let bytes = self.reader.bytes(from.bytes, head.bytes);
        let mut unsent: Vec<Unsent> = Vec::new();
        let mut sent = 0;
        for keys in self.send_queue.current.chunks(SENDS_PER_BATCH) {
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
        counters.sent_messages.add(sent * (head.messages - from.messages));
        for (key, sent) in unsent {
            if let Some(taken) = self.taken(key, sent) {
                self.fall_behind(key, from, taken);
            }
        }
    }

    /// How many bytes a send took. `None`: the connection has failed and the client is closed.
    fn taken(&mut self, key: Key, sent: io::Result<usize>) -> Option<usize> {
        match sent {
            Ok(taken) => {
                self.counters().sends.add(1);
                self.counters().sent_bytes.add(taken as u64);
                Some(taken)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => Some(0),
            Err(error) => {
                debug!(client = key.data().as_ffi(), %error, "connection failed");
                self.close(key, DisconnectReason::Error);
                None
            }
        }
    }

    /// The client's socket took only so much of what all current clients are sent from `from` on.
    fn fall_behind(&mut self, key: Key, from: Offset, taken: usize) {
        let (partial_out, next) = self.cut(from.bytes + taken as u64);
        self.counters().sent_messages.add(next.messages - from.messages);
        self.send_queue.become_lagging(key, partial_out, next, self.now, &mut self.clients);
    }

    /// The rest of the frame that contains `byte`, and the frame after it.
    fn cut(&self, byte: u64) -> (Vec<u8>, Offset) {
        let next = self.reader.boundary(byte);
        (self.reader.bytes(byte, next.bytes).to_vec(), next)
    }

    /// Tries the lagging clients whose sockets may take something.
    fn send_to_lagging(&mut self, head: Offset) {
        let mut keys = std::mem::take(&mut self.send_queue.ready);
        for keys in keys.chunks(SENDS_PER_BATCH) {
            for &key in keys {
                self.reposition(key, head);
            }
            for pending in self.send_batch(keys, head) {
                self.record(pending, head);
            }
        }
        keys.clear();
        if self.send_queue.ready.is_empty() {
            // Keeps the memory of the list.
            self.send_queue.ready = keys;
        }
    }

    /// Sends each of these clients once what it may be sent.
    fn send_batch(&mut self, keys: &[Key], head: Offset) -> Vec<Pending> {
        let mut sends = Vec::with_capacity(keys.len());
        let mut batch = Vec::with_capacity(keys.len());
        for &key in keys {
            let Some(client) = self.clients.get(key) else { continue };
            let Some(lag) = client.lag() else { continue };
            let goal = self.goal(lag.next, client.bound(head));
            let bytes: &[u8] = if goal == lag.next {
                // The offset may have left the log by now.
                &[]
            } else {
                self.reader.bytes(lag.next.bytes, goal.bytes)
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

    /// Up to where a client that is behind is sent at once.
    fn goal(&self, next: Offset, bound: Offset) -> Offset {
        if bound.bytes.saturating_sub(next.bytes) > SEND_BYTES_MAX {
            self.reader.boundary(next.bytes + SEND_BYTES_MAX)
        } else {
            bound.max(next)
        }
    }

    /// Makes sure that what the client is to be sent is in the log and pinned. If it is too far
    /// behind, moves it to a later frame, or closes it.
    fn reposition(&mut self, key: Key, head: Offset) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let bound = client.bound(head);
        let Progress::Lagging { lag, .. } = &mut client.progress else { return };
        let policy = &self.shared.config.slow_reader;
        let is_far = policy.exceeds(head.bytes.saturating_sub(lag.next.bytes));
        let is_pinned = self.reader.pinned().is_some_and(|pin| pin <= lag.next.bytes);
        if !is_far && (is_pinned || self.reader.pin(lag.next.bytes).is_ok()) {
            return;
        }
        match policy.on_overrun() {
            OnOverrun::Disconnect(reason) => self.close(key, reason),
            OnOverrun::Skip { lag_bytes } => {
                let landing = self.reader.jump(lag_bytes);
                // A draining client is not sent what came after its end, nor misses it.
                let next = landing.min(bound).max(lag.next);
                let missed = next.messages - lag.next.messages;
                lag.next = next;
                client.dropped += missed;
                self.counters().dropped_messages.add(missed);
            }
        }
    }

    /// Records the result of a send.
    fn record(&mut self, pending: Pending, head: Offset) {
        let Pending { key, goal, length, sent } = pending;
        let taken = if length == 0 { Some(0) } else { self.taken(key, sent) };
        match taken {
            Some(taken) if taken == length => self.sent_all(key, goal, head),
            Some(taken) => self.sent_part(key, taken),
            None => {}
        }
    }

    /// A client that is behind was sent everything up to `goal`.
    fn sent_all(&mut self, key: Key, goal: Offset, head: Offset) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let bound = client.bound(head);
        let Progress::Lagging { lag, .. } = &mut client.progress else { return };
        let messages = goal.messages - lag.next.messages;
        if goal == head {
            self.send_queue.become_current(key, &mut self.clients);
        } else {
            (lag.partial_out, lag.next) = (Vec::new(), goal);
            if goal < bound {
                self.send_queue.ready.push(key);
            }
        }
        self.counters().sent_messages.add(messages);
    }

    /// A client that is behind was sent the first `taken` bytes of its partial frame and the log.
    fn sent_part(&mut self, key: Key, taken: usize) {
        let Some(lag) = self.clients.get(key).and_then(|client| client.lag()) else { return };
        let before = lag.next;
        let from_log = taken.checked_sub(lag.partial_out.len()).filter(|&bytes| bytes > 0);
        let cut = from_log.map(|bytes| self.cut(before.bytes + bytes as u64));
        let Some(lag) = self.clients[key].lag_mut() else { return };
        lag.writable = false;
        match cut {
            Some((partial_out, next)) => {
                (lag.partial_out, lag.next) = (partial_out, next);
                self.counters().sent_messages.add(next.messages - before.messages);
            }
            None => drop(lag.partial_out.drain(..taken)),
        }
    }
}
