//! From the log to connections.

use std::io::{self, ErrorKind};

use slotmap::Key as _;
use tracing::debug;
use zillions_log::Mark;

use super::Shard;
use crate::client::{Key, Reason};
use crate::config::SlowReader;
use crate::io::{Io, Outgoing};

/// What one client that is behind is sent before the others have their turn, in bytes.
const SEND_BYTES_MAX: u64 = 256 * 1024;
/// How many sends are handed to the engine at once.
const SENDS_PER_BATCH: usize = 64;

/// How a sending went that did not go through in full.
type Unsent = (Key, io::Result<usize>);

impl<I: Io> Shard<I> {
    /// Sends everybody what is new, as far as their sockets take it.
    pub(super) fn send(&mut self) {
        if self.clients.is_empty() {
            // Nothing is left to do for those who are gone.
            self.to_send.clear();
            return;
        }
        let head = self.reader.refresh();
        self.send_to_current(head);
        self.send_to_lagging(head);
        if self.clients.is_empty() {
            return;
        }
        self.sent_up_to = head;
        let pin = if self.has_backpressure() { self.floor(head.position) } else { head.position };
        // Upwards, which cannot fail: sending has moved the pin down at most.
        let _ = self.reader.pin(pin.max(self.reader.pinned().unwrap_or(0)));
        self.counters().lagging.set(self.lagging.len() as u64);
        if self.reader.writer_waits() {
            self.house.call_others(self.number);
            self.house.call(self.number);
        }
    }

    /// Where the slowest client is; tells the publishers, who may be waiting for it.
    fn floor(&self, head: u64) -> u64 {
        let lags = self.lagging.iter().filter_map(|&key| self.clients[key].lag());
        let floor = lags.map(|lag| lag.next.position).min().unwrap_or(head).min(head);
        self.house.set_floor(self.number, floor);
        floor
    }

    /// Sends those who keep up one and the same slice.
    fn send_to_current(&mut self, head: Mark) {
        let from = self.sent_up_to;
        if head.position == from.position || self.current.is_empty() {
            return;
        }
        let bytes = self.reader.bytes(from.position, head.position);
        let mut unsent: Vec<Unsent> = Vec::new();
        let mut sent = 0;
        for keys in self.current.chunks(SENDS_PER_BATCH) {
            let outgoing = |&key: &Key| {
                let stream = &self.clients[key].stream;
                Outgoing { stream, stash: &[], bytes, sent: Ok(0) }
            };
            let mut batch: Vec<_> = keys.iter().map(outgoing).collect();
            self.io.send(&mut batch);
            for (&key, outgoing) in keys.iter().zip(batch) {
                match outgoing.sent {
                    Ok(taken) if taken == bytes.len() => sent += 1,
                    other => unsent.push((key, other)),
                }
            }
        }
        let counters = self.house.counters(self.number);
        counters.sends.add(sent);
        counters.bytes_out.add(sent * bytes.len() as u64);
        counters.messages_out.add(sent * (head.message - from.message));
        for (key, sent) in unsent {
            if let Some(taken) = self.taken(key, sent) {
                self.fall_behind(key, from, taken);
            }
        }
    }

    /// How many bytes a send took. `None`: the connection is broken, and the client gone.
    fn taken(&mut self, key: Key, sent: io::Result<usize>) -> Option<usize> {
        match sent {
            Ok(taken) => {
                self.counters().sends.add(1);
                self.counters().bytes_out.add(taken as u64);
                Some(taken)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => Some(0),
            Err(error) => {
                debug!(client = key.data().as_ffi(), %error, "connection broken");
                self.part(key, Reason::Broken);
                None
            }
        }
    }

    /// The client's socket took only so much of what everybody is sent from `from` on.
    fn fall_behind(&mut self, key: Key, from: Mark, taken: usize) {
        let (stash, next) = self.cut(from.position + taken as u64);
        self.counters().messages_out.add(next.message - from.message);
        self.become_lagging(key, stash, next);
    }

    /// The rest of the frame in which `position` lies, and the frame after it.
    fn cut(&self, position: u64) -> (Vec<u8>, Mark) {
        let next = self.reader.boundary(position);
        (self.reader.bytes(position, next.position).to_vec(), next)
    }

    /// Tries those who are behind and whose sockets are worth trying.
    fn send_to_lagging(&mut self, head: Mark) {
        let mut keys = std::mem::take(&mut self.to_send);
        for keys in keys.chunks_mut(SENDS_PER_BATCH) {
            for &mut key in &mut *keys {
                self.find_position(key, head);
            }
            let mut goals = Vec::with_capacity(keys.len());
            let mut batch = Vec::with_capacity(keys.len());
            for &mut key in keys {
                let Some(client) = self.clients.get(key) else { continue };
                let Some(lag) = client.lag() else { continue };
                let goal = self.goal(lag.next, client.bound(head));
                let bytes: &[u8] = if goal == lag.next {
                    // Where it stands may have left the log by now.
                    &[]
                } else {
                    self.reader.bytes(lag.next.position, goal.position)
                };
                let outgoing =
                    Outgoing { stream: &client.stream, stash: &lag.stash, bytes, sent: Ok(0) };
                if outgoing.length() == 0 {
                    goals.push((key, goal, 0, true));
                } else {
                    goals.push((key, goal, outgoing.length(), false));
                    batch.push(outgoing);
                }
            }
            self.io.send(&mut batch);
            let mut results =
                batch.into_iter().map(|outgoing| outgoing.sent).collect::<Vec<_>>().into_iter();
            for (key, goal, length, nothing) in goals {
                let sent = if nothing {
                    Some(0)
                } else {
                    let result = results.next().expect("one result for each sending");
                    self.taken(key, result)
                };
                if let Some(sent) = sent {
                    self.advance(key, goal, sent, sent == length, head);
                }
            }
        }
        keys.clear();
        if self.to_send.is_empty() {
            // Keeps the memory of the list.
            self.to_send = keys;
        }
    }

    /// Up to where a client that is behind is sent at once.
    fn goal(&self, next: Mark, bound: Mark) -> Mark {
        if bound.position.saturating_sub(next.position) > SEND_BYTES_MAX {
            self.reader.boundary(next.position + SEND_BYTES_MAX)
        } else {
            bound.max(next)
        }
    }

    /// Sees to it that what the client is to be sent is in the log and pinned; moves it to
    /// a later frame, or ends it, when it is too far behind.
    fn find_position(&mut self, key: Key, head: Mark) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let bound = client.bound(head);
        let dropped = &mut client.dropped;
        let Some(lag) = (match &mut client.place {
            crate::client::Place::Lagging { lag, .. } => Some(lag),
            crate::client::Place::Current { .. } => None,
        }) else {
            return;
        };
        let config = &self.house.config;
        let is_far = head.position.saturating_sub(lag.next.position) > config.client_lag_bytes_max
            && config.slow_reader != SlowReader::Backpressure;
        let is_pinned = self.reader.pinned().is_some_and(|pin| pin <= lag.next.position);
        if !is_far && (is_pinned || self.reader.pin(lag.next.position).is_ok()) {
            return;
        }
        if config.slow_reader == SlowReader::Disconnect {
            return self.part(key, Reason::Slow);
        }
        let landing = self.reader.jump(config.client_lag_bytes_max / 2);
        // One who leaves is not sent what came after its last word, nor misses it.
        let next = landing.min(bound).max(lag.next);
        let missed = next.message - lag.next.message;
        lag.next = next;
        *dropped += missed;
        self.counters().dropped.add(missed);
    }

    /// Notes that a client that is behind was sent so many bytes of its stash and the log.
    fn advance(&mut self, key: Key, goal: Mark, taken: usize, everything: bool, head: Mark) {
        let Some(lag) = self.clients.get(key).and_then(|client| client.lag()) else { return };
        let before = lag.next;
        if everything {
            self.counters().messages_out.add(goal.message - before.message);
            if goal == head {
                return self.become_current(key);
            }
            let bound = self.clients[key].bound(head);
            let Some(lag) = self.clients[key].lag_mut() else { return };
            lag.stash = Vec::new();
            lag.next = goal;
            if goal < bound {
                self.to_send.push(key);
            }
            return;
        }
        let from_log = taken.checked_sub(lag.stash.len());
        let cut = from_log
            .filter(|&bytes| bytes > 0)
            .map(|bytes| self.cut(before.position + bytes as u64));
        let Some(lag) = self.clients[key].lag_mut() else { return };
        lag.writable = false;
        match cut {
            Some((stash, next)) => {
                (lag.stash, lag.next) = (stash, next);
                self.counters().messages_out.add(next.message - before.message);
            }
            None => drop(lag.stash.drain(..taken)),
        }
    }
}
