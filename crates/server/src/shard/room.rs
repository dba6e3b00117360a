//! One shard's part of a room: where its clients there are in the log, and what they have sent.

use std::sync::Arc;
use std::time::Duration;

use slotmap::SecondaryMap;
use zillions_log::Reader;

use super::read_queue::ReadQueue;
use super::send_queue::SendQueue;
use super::under_way::UnderWay;
use crate::client::{Client, Clients, Key};
use crate::keys::{ListenerId, RoomKey};
use crate::room::{Phase, Room};

/// The rooms of a shard. One is taken out while the shard works on it.
pub(super) type ShardRooms = SecondaryMap<RoomKey, Option<Box<ShardRoom>>>;

/// One shard's part of a room.
pub(super) struct ShardRoom {
    pub(super) key: RoomKey,
    pub(super) room: Arc<Room>,
    pub(super) reader: Reader,
    /// How many of the shard's clients are in it.
    pub(super) clients: usize,
    pub(super) read_queue: ReadQueue,
    pub(super) send_queue: SendQueue,
    /// Whole frames that were read and could not be appended yet, and how many.
    pub(super) unappended: (Vec<u8>, usize),
    /// On an edge: what is on its way up and down.
    pub(super) under_way: UnderWay,
    /// Clients whose stream has ended: their last message is in what is appended next, or was
    /// before it.
    pub(super) ended: Vec<Key>,
    /// The sockets whose connections are its clients.
    pub(super) listeners: Vec<ListenerId>,
    /// The head, in bytes, at the last lag check, and the lag of the slowest client then.
    pub(super) lag_checked_at: u64,
    pub(super) lag_bytes_max: u64,
    /// How many lagging clients the shard's counters include.
    pub(super) lagging_counted: usize,
    /// Since when nothing is read because somebody is slow, by the shard's idle clock.
    stalled_since: Option<Duration>,
    /// For how long nothing was read for that reason, before.
    stalled_time: Duration,
    /// A client has gone for which publishers may be waiting.
    pub(super) watermark_is_old: bool,
    /// What it was doing when the shard last looked.
    pub(super) phase: Phase,
    /// It closes, and everything that was read has been appended.
    pub(super) drained: bool,
    /// It closes: when the flush must be over.
    pub(super) flush_deadline: Option<Duration>,
    /// It is in the shard's list of rooms that have something to do.
    pub(super) is_active: bool,
}

impl ShardRoom {
    /// # Panics
    /// When the log has no reader left, which is a bug of the caller.
    pub(super) fn new(key: RoomKey, room: Arc<Room>) -> Self {
        let mut reader = room.log.reader().expect("the log has a reader for each shard");
        reader.unpin();
        let listeners = room.listeners().clone();
        Self {
            key,
            room,
            reader,
            clients: 0,
            read_queue: ReadQueue::default(),
            send_queue: SendQueue::default(),
            unappended: (Vec::new(), 0),
            under_way: UnderWay::default(),
            ended: Vec::new(),
            listeners,
            lag_checked_at: 0,
            lag_bytes_max: 0,
            lagging_counted: 0,
            stalled_since: None,
            stalled_time: Duration::ZERO,
            watermark_is_old: false,
            phase: Phase::Serving,
            drained: false,
            flush_deadline: None,
            is_active: false,
        }
    }

    /// What was read cannot be appended yet, or publishers must wait; the shard is notified when
    /// that changes. `now` is the time of the idle clock.
    pub(super) fn stall(&mut self, now: Duration) {
        self.stalled_since.get_or_insert(now);
    }

    /// It is tried again.
    pub(super) fn resume(&mut self, now: Duration) {
        if let Some(since) = self.stalled_since.take() {
            self.stalled_time += now.saturating_sub(since);
        }
    }

    /// On an edge: a client that has closed its sending side, and whose last message has come
    /// down, is sent what is in the log now.
    pub(super) fn bound_settled<S>(&mut self, client: &mut Client<S>) {
        let Some(upstream) = &self.room.upstream else { return };
        // In this order: an echo is in the log before it is settled.
        let is_settled = self.under_way.has_settled(client.read.batch, upstream.settled());
        let head = self.room.log.head();
        if let Some(draining) = client.draining.as_mut().filter(|_| is_settled) {
            draining.until.get_or_insert(head);
        }
    }

    /// The time of the idle clock, less that in which its clients were not read.
    pub(super) fn idle_time(&self, now: Duration) -> Duration {
        self.stalled_since.unwrap_or(now).saturating_sub(self.stalled_time)
    }

    /// Whether there is something to do that does not wait for anybody.
    pub(super) fn can_proceed(&self) -> bool {
        let can_read = self.phase == Phase::Serving && self.stalled_since.is_none();
        let can_send = !self.send_queue.ready.is_empty();
        can_send || self.watermark_is_old || (can_read && !self.read_queue.is_empty())
    }

    /// Panics if what is known of its clients contradicts itself.
    pub(super) fn check<S>(&self, clients: &Clients<S>) {
        let here = || clients.iter().filter(|(_, client)| client.room == self.key);
        assert_eq!(here().count(), self.clients, "clients are counted once");
        self.read_queue.check(clients, here().filter(|(_, client)| client.read.queued).count());
        self.send_queue.check(here());
        for key in &self.ended {
            let draining = clients.get(*key).map(|client| client.draining);
            assert!(
                draining.is_none_or(|it| it.is_some_and(|it| it.until.is_none())),
                "its end has not been appended"
            );
        }
        assert!(
            self.flush_deadline.is_none() || here().all(|(_, client)| client.draining.is_some()),
            "all are flushed"
        );
        let pinned = self.reader.pinned();
        assert_eq!(pinned.is_some(), self.clients > 0, "pinned for the clients, if any");
        assert!(pinned.is_none_or(|bytes| bytes <= self.send_queue.sent_up_to.bytes));
    }
}
