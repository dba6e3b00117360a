//! The connection of an edge to its upstream server, without the connection: what is to be
//! written, what became of what was read. Sockets and the tests' simulator do the rest.

use std::sync::Arc;
use std::time::Duration;

use zillions_log::AppendError;
use zillions_protocol::{FRAME_BYTES_MAX, whole_frames};

use crate::keys::RoomKey;
use crate::room::Room;
use crate::shared::Shared;
use crate::upstream::Upstream;
use crate::upstream::echoes::Echoes;

/// What is read before it is appended, in bytes; less with a small ring.
const READ_BYTES_MAX: usize = 256 * 1024;

/// Both directions of the way to the upstream server.
#[derive(Debug)]
pub struct Link {
    key: RoomKey,
    room: Arc<Room>,
    /// Whole frames from the outbox.
    sending: Vec<u8>,
    /// How many bytes of them have been written, and how many of these are whole frames.
    written: usize,
    whole: usize,
    echoes: Echoes,
    /// What came down and is not in the log yet: whole frames, and the head of another.
    incoming: Box<[u8]>,
    filled: usize,
}

impl Link {
    /// Nothing was written or read for the room yet.
    #[must_use]
    pub fn new(key: RoomKey, room: Arc<Room>) -> Self {
        let incoming = vec![0; READ_BYTES_MAX.min(room.log.append_bytes_max())].into();
        Self {
            key,
            room,
            sending: Vec::new(),
            written: 0,
            whole: 0,
            echoes: Echoes::default(),
            incoming,
            filled: 0,
        }
    }

    /// What is to be written next.
    ///
    /// # Panics
    /// When the room has no upstream.
    pub fn outgoing<S>(&mut self, shared: &Shared<S>) -> &[u8] {
        if self.written == self.sending.len() {
            self.sending.clear();
            (self.written, self.whole) = (0, 0);
            if upstream(&self.room).take(&mut self.sending) {
                shared.notify_writers(self.key, &self.room);
            }
        }
        &self.sending[self.written..]
    }

    /// So many bytes of it were written.
    ///
    /// # Panics
    /// When the room has no upstream.
    pub fn wrote(&mut self, bytes: usize, now: Duration) {
        self.written += bytes;
        let counters = &upstream(&self.room).counters;
        while let Some(&length) = self.sending.get(self.whole)
            && let end = self.whole + 1 + usize::from(length)
            && end <= self.written
        {
            let frame = &self.sending[self.whole..end];
            self.echoes.sent(frame, now);
            counters.sent.add(1);
            counters.sent_bytes.add(frame.len() as u64);
            self.whole = end;
        }
        self.publish(now);
    }

    /// Where to read to; empty while whole frames wait to be appended.
    pub fn space(&mut self) -> &mut [u8] {
        let begin = if self.is_blocked() { self.incoming.len() } else { self.filled };
        &mut self.incoming[begin..]
    }

    /// So many bytes were read there.
    pub fn received(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    /// Whether whole frames wait to be appended.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        // Without whole frames there is less than one.
        self.filled >= FRAME_BYTES_MAX || whole_frames(&self.incoming[..self.filled]).number > 0
    }

    /// What came and is not in the log yet.
    pub(super) fn incomplete(&self) -> &[u8] {
        &self.incoming[..self.filled]
    }

    /// Appends what came down to the log: the upstream's order becomes the order here. `false`
    /// while a shard or a slow reader is behind; the uplink is notified when it is not any more.
    ///
    /// # Panics
    /// When the room has no upstream.
    pub fn append<S>(&mut self, shared: &Shared<S>, now: Duration) -> bool {
        let whole = whole_frames(&self.incoming[..self.filled]);
        if whole.number == 0 {
            return true;
        }
        if self.room.is_backpressured() {
            return false;
        }
        let frames = &self.incoming[..whole.bytes];
        match self.room.log.append(frames) {
            Ok(_) => {}
            Err(AppendError::Pinned) => return false,
            Err(error) => unreachable!("these are whole frames and not too long: {error}"),
        }
        let counters = &upstream(&self.room).counters;
        counters.received.add(whole.number as u64);
        counters.received_bytes.add(whole.bytes as u64);
        if let Some(round_trip) = self.echoes.received(frames, now) {
            let microseconds = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
            counters.round_trip_microseconds.set(microseconds);
        }
        self.incoming.copy_within(whole.bytes..self.filled, 0);
        self.filled -= whole.bytes;
        // First the log, then what is settled, then the shards: one that sees the second finds
        // the first.
        self.publish(now);
        shared.notify_others(self.key, &self.room, usize::MAX);
        true
    }

    /// There is a connection from now on. `false`: it is of no use, because the room closes and
    /// the flush has begun.
    ///
    /// # Panics
    /// When the room has no upstream.
    #[must_use]
    pub fn connected(&mut self) -> bool {
        let is_late = upstream(&self.room).set_connected(true);
        if is_late {
            let _ = upstream(&self.room).set_connected(false);
        }
        !is_late
    }

    /// The connection is lost, and what came down whole has been [appended](Self::append); if not,
    /// it is lost, too. What was written whole is not sent again: it may have been put in order.
    /// A frame that was written in part is void, for the other side discards it; it is sent again.
    ///
    /// # Panics
    /// When the room has no upstream.
    pub fn lost<S>(&mut self, shared: &Shared<S>, now: Duration) {
        self.filled = 0;
        self.sending.drain(..self.whole);
        (self.written, self.whole) = (0, 0);
        self.echoes.lost();
        self.publish(now);
        if upstream(&self.room).set_connected(false) {
            shared.flush(&self.room);
        }
        // Clients that waited for their last message, and shards that wait for space and stop.
        shared.notify_writers(self.key, &self.room);
    }

    /// The room closes, and nothing is sent up any more.
    pub(super) fn discard(&mut self) {
        let rest = std::mem::take(&mut self.sending);
        let messages = whole_frames(&rest[self.whole..]).number;
        (self.written, self.whole) = (0, 0);
        upstream(&self.room).discard_taken(messages as u64);
    }

    /// Says which messages are settled, and what is known of the others.
    pub(super) fn publish(&self, now: Duration) {
        let upstream = upstream(&self.room);
        upstream.set_settled(self.echoes.settled(now));
        upstream.counters.under_way.set(self.echoes.under_way());
        upstream.counters.unconfirmed.set(self.echoes.given_up());
    }

    /// When to publish again though nothing has come down.
    pub(super) fn settles_at(&self, now: Duration) -> Option<Duration> {
        self.echoes.settles_at(now)
    }

    /// When the upstream counts as silent, if nothing comes down until then.
    pub(super) fn silent_at(&self) -> Option<Duration> {
        self.echoes.silent_at()
    }
}

fn upstream(room: &Room) -> &Upstream {
    room.upstream.as_ref().expect("the room has an upstream")
}
