//! The clients with a codec: their handshakes, encoding what they are sent, their ends.

use std::error::Error;

use slotmap::Key as _;
use tracing::debug;
use zillions_log::Offset;

use super::Shard;
use super::room::ShardRoom;
use crate::client::{DisconnectReason, Key};
use crate::codec::ENCODE_BYTES_MAX;
use crate::engine::{Engine, Outgoing};

impl<E: Engine> Shard<E> {
    /// Closes the clients that have not completed their handshakes in time.
    pub(super) fn close_overdue_handshakes(&mut self) {
        while let Some(key) = self.handshakes.overdue(self.now, &self.clients) {
            let room = self.clients[key].room;
            let reason = DisconnectReason::Handshake;
            self.with_room(room, |shard, room| shard.close(room, key, reason));
            self.activate_if_possible(room);
        }
    }

    /// A client breaks its codec's protocol.
    pub(super) fn refuse(&mut self, room: &mut ShardRoom, key: Key, error: &dyn Error) {
        let Some(client) = self.clients.get(key) else { return };
        let reason = match client.is_open() {
            true => DisconnectReason::Error,
            false => DisconnectReason::Handshake,
        };
        debug!(client = key.data().as_ffi(), peer = %client.origin.peer, %error, "client refused");
        self.close(room, key, reason);
    }

    /// A client with a codec was read: that may have become open, or have something to say.
    pub(super) fn codec_has_read(&mut self, room: &mut ShardRoom, key: Key) {
        let Some(client) = self.clients.get(key) else { return };
        let joins = client.is_open() && client.listens() && !client.has_joined();
        if joins || client.has_output() {
            room.send_queue.has_output(key, self.now, &mut self.clients);
        }
    }

    /// Gives a client whose codec is open its place in the log. If what came since it was accepted
    /// is too much, or gone, it joins later: it was not there yet, and was promised nothing.
    pub(super) fn join(&mut self, room: &mut ShardRoom, key: Key, head: Offset) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.has_joined() || !client.listens() || !client.is_open() {
            return;
        }
        let bound = client.bound(head);
        let policy = room.room.config.slow_reader;
        let joined = client.joined;
        let is_far = head.bytes.saturating_sub(joined.bytes) > policy.lag_bytes_max;
        let is_pinned = room.reader.pinned().is_some_and(|pin| pin <= joined.bytes);
        if is_far || !(is_pinned || room.reader.pin(joined.bytes).is_ok()) {
            let landing = room.reader.jump(policy.lag_bytes_max / 2);
            client.joined = landing.min(bound).max(joined);
        }
        let (joined, now) = (client.joined, self.now);
        if let Some(lag) = client.lag_mut() {
            (lag.next, lag.checkpoint) = (joined, (joined.bytes, now));
        }
        if let Some(coded) = &mut client.coded {
            coded.has_joined = true;
        }
    }

    /// Encodes for a client what it is to be sent next, unless something is left of the last time.
    /// What it is to be sent is in the log and pinned.
    pub(super) fn encode(&mut self, room: &ShardRoom, key: Key, head: Offset) {
        let Some(client) = self.clients.get(key) else { return };
        let has_joined = client.has_joined();
        let bound = client.bound(head);
        let Some(lag) = client.lag() else { return };
        if !lag.partial_out.is_empty() {
            return;
        }
        let next = lag.next;
        let goal = match bound.bytes.checked_sub(next.bytes) {
            _ if !has_joined => next,
            Some(bytes) if bytes > ENCODE_BYTES_MAX => {
                room.reader.boundary(next.bytes + ENCODE_BYTES_MAX)
            }
            _ => bound.max(next),
        };
        let frames = if goal == next { &[][..] } else { room.reader.bytes(next.bytes, goal.bytes) };
        let client = &mut self.clients[key];
        let Some(coded) = &mut client.coded else { return };
        if frames.is_empty() && !coded.codec.has_output() {
            return;
        }
        let mut out = Vec::new();
        coded.codec.encode(frames, &mut out);
        if let Some(lag) = client.lag_mut() {
            (lag.partial_out, lag.next) = (out, goal);
        }
        self.count_sent(room, goal.messages - next.messages);
    }

    /// Lets a draining client's codec say that it is sent no more. Returns whether that is still to
    /// be sent.
    pub(super) fn say_goodbye(
        &mut self,
        room: &mut ShardRoom,
        key: Key,
        reason: DisconnectReason,
    ) -> bool {
        let Some(coded) = self.clients.get_mut(key).and_then(|it| it.coded.as_mut()) else {
            return false;
        };
        if !std::mem::replace(&mut coded.closing, true) {
            coded.codec.close(reason);
        }
        let has_output = coded.codec.has_output();
        if has_output {
            room.send_queue.has_output(key, self.now, &mut self.clients);
        }
        has_output
    }

    /// What a client's codec has to say about its end, sent once: if its socket does not take it
    /// now, it is of no use.
    pub(super) fn last_words(&mut self, key: Key, reason: DisconnectReason) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.lag().is_some_and(|lag| !lag.partial_out.is_empty()) {
            // In the middle of something else nothing can be said.
            return;
        }
        let Some(coded) = &mut client.coded else { return };
        if !std::mem::replace(&mut coded.closing, true) {
            coded.codec.close(reason);
        }
        if coded.codec.has_output() {
            let mut words = Vec::new();
            coded.codec.encode(&[], &mut words);
            let outgoing =
                Outgoing { stream: &client.stream, partial_out: &[], bytes: &words, sent: Ok(0) };
            self.engine.send(&mut [outgoing]);
        }
    }
}
