//! What happens besides messages: the lag check, idle and draining clients, and the stop.

use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use super::Shard;
use super::room::ShardRoom;
use crate::client::{DisconnectReason, Draining, Key};
use crate::config::IdleTraffic;
use crate::engine::Engine;
use crate::keys::RoomKey;

/// How often the shard checks slow, idle and draining clients, if there are any.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(250);
/// How often it checks whether what was sent has arrived, when it stops or sends
/// clients away.
const FLUSH_INTERVAL: Duration = Duration::from_millis(5);

impl<E: Engine> Shard<E> {
    /// How long the shard may wait; `None` if nothing depends on time.
    pub(super) fn time_to_next_upkeep(&self) -> Option<Duration> {
        let needs_upkeep = !self.drain_queue.is_empty()
            || !self.handshakes.is_empty()
            || (self.config.idle_timeout.is_some() && !self.clients.is_empty())
            || self.blocking_clients > 0;
        let upkeep = if self.flushing.is_empty() && self.leaving.is_empty() {
            needs_upkeep.then_some(self.upkeep_at)
        } else {
            Some(self.now + FLUSH_INTERVAL)
        };
        let next = [upkeep, self.accept_at, self.lame_duck_at(), self.throttled.next()]
            .into_iter()
            .flatten()
            .min();
        next.map(|at| at.saturating_sub(self.now))
    }

    /// After a pass that has visited these rooms.
    pub(super) fn upkeep(&mut self, visited: &[RoomKey]) {
        self.close_drained();
        self.close_left();
        if self.idle_clock.jumped() && self.config.idle_timeout.is_some() {
            // First what has arrived meanwhile is read.
            self.upkeep_at = self.upkeep_at.max(self.now + UPKEEP_INTERVAL);
        }
        if self.now < self.upkeep_at {
            for &key in visited {
                let is_due = self.room(key).is_some_and(|room| {
                    let head = room.send_queue.sent_up_to.bytes;
                    room.room.config.slow_reader.check_is_due(head, room.lag_checked_at)
                });
                if is_due {
                    self.check_lags_of(key);
                    self.publish_lag();
                }
            }
        } else {
            let keys: Vec<RoomKey> = self.rooms.keys().collect();
            for key in keys {
                self.check_lags_of(key);
            }
            self.publish_lag();
            self.upkeep_at = self.now + UPKEEP_INTERVAL;
            self.close_idle();
            self.close_overdue_handshakes();
        }
    }

    fn check_lags_of(&mut self, key: RoomKey) {
        self.with_room(key, Self::check_lags);
        self.activate_if_possible(key);
    }

    /// Measures how far the lagging clients of a room are behind, and closes those that the policy
    /// does not tolerate.
    fn check_lags(&mut self, room: &mut ShardRoom) {
        let policy = room.room.config.slow_reader;
        let head = room.send_queue.sent_up_to.bytes;
        let mut lag_bytes_max = 0;
        let mut over: Vec<(Key, DisconnectReason)> = Vec::new();
        for &key in &room.send_queue.lagging {
            let client = &mut self.clients[key];
            if !client.has_joined() {
                continue;
            }
            let Some(lag) = client.lag_mut() else { continue };
            lag_bytes_max = lag_bytes_max.max(head.saturating_sub(lag.next.bytes));
            over.extend(policy.judge(lag, head, self.now).map(|reason| (key, reason)));
        }
        room.lag_checked_at = head;
        room.lag_bytes_max = lag_bytes_max;
        room.room.counters(self.number).lag_max_bytes.set(lag_bytes_max);
        for (key, reason) in over {
            let peer = self.clients[key].origin.peer;
            let name = &room.room.config.name;
            info!(shard = self.number, room = %name, %peer, reason = reason.name(), "slow client disconnected");
            self.close(room, key, reason);
        }
    }

    fn publish_lag(&self) {
        let lags = self.rooms.values().flatten().map(|room| room.lag_bytes_max);
        self.counters().lag_max_bytes.set(lags.max().unwrap_or(0));
    }

    fn close_idle(&mut self) {
        let Some(timeout) = self.config.idle_timeout else { return };
        let mut idle: Vec<(RoomKey, Key)> = Vec::new();
        for (key, client) in &mut self.clients {
            let Some(Some(room)) = self.rooms.get(client.room) else { continue };
            let now = room.idle_time(self.idle_clock.now());
            // One that waits to be read has sent something.
            let waits = client.read.queued || client.is_throttled();
            if now.saturating_sub(client.read.active_at) < timeout || waits {
                continue;
            }
            // One that may only listen has nothing else to show.
            let taking_counts = match self.config.idle_traffic {
                IdleTraffic::Both => client.listens(),
                IdleTraffic::Sent => !client.publishes(),
            };
            if taking_counts {
                let sent = client.lag().map_or(room.send_queue.sent_up_to, |lag| lag.next);
                let in_flight = self.engine.in_flight_bytes(&client.stream) as u64;
                let taken = sent.bytes.saturating_sub(in_flight);
                if taken > client.taken_bytes {
                    client.taken_bytes = taken;
                    client.read.active_at = now;
                    continue;
                }
            }
            idle.push((client.room, key));
        }
        for (room, key) in idle {
            self.with_room(room, |shard, room| shard.close(room, key, DisconnectReason::Idle));
            self.activate_if_possible(room);
        }
    }

    /// Closes the draining clients that have been sent everything that was due to them.
    fn close_drained(&mut self) {
        let mut keys = std::mem::take(&mut self.drain_queue.keys);
        keys.retain(|&key| {
            let Some(client) = self.clients.get(key) else { return false };
            let room = client.room;
            let stays = self.with_room(room, |shard, room| shard.drain(room, key));
            self.activate_if_possible(room);
            stays.unwrap_or(false)
        });
        self.drain_queue.keys = keys;
    }

    /// Closes a draining client if it has been sent everything, or not in time. Whether it stays.
    fn drain(&mut self, room: &mut ShardRoom, key: Key) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return false };
        room.bound_settled(client);
        let Some(draining) = client.draining else { return false };
        let Draining { until, deadline, finished, sent_away } = draining;
        let mut has_all = until.is_some_and(|until| match client.lag() {
            Some(lag) => lag.partial_out.is_empty() && (lag.next >= until || !client.is_open()),
            None => room.send_queue.sent_up_to >= until,
        });
        let flushing = room.flush_deadline.is_some();
        if has_all && client.coded.is_some() {
            let reason = match flushing {
                true => DisconnectReason::Shutdown,
                false => sent_away.unwrap_or(DisconnectReason::Closed),
            };
            has_all = !self.say_goodbye(room, key, reason);
        }
        let Some(client) = self.clients.get_mut(key) else { return false };
        if has_all && flushing && !finished {
            self.engine.finish(&client.stream);
            client.draining = Some(Draining { finished: true, ..draining });
        }
        if let Some(reason) = sent_away
            && has_all
            && !flushing
        {
            self.finish_leaving(room, key, reason);
            return false;
        }
        let has_arrived = || self.engine.in_flight_bytes(&client.stream) == 0;
        let reason = match (has_all, flushing) {
            (true, false) => DisconnectReason::Closed,
            (true, true) if has_arrived() => DisconnectReason::Shutdown,
            _ if deadline <= self.now && flushing => DisconnectReason::Shutdown,
            _ if deadline <= self.now => sent_away.unwrap_or(DisconnectReason::DrainTimeout),
            _ => return true,
        };
        self.close(room, key, reason);
        false
    }

    /// Everything has been appended: all clients of the room are sent it and then closed.
    pub(super) fn begin_flush(&mut self, room: &mut ShardRoom) {
        // On an edge the first half of the time was for what was on its way up and down.
        let parts = if room.room.upstream.is_some() { 2 } else { 1 };
        let deadline = self.now + self.config.drain_timeout / parts;
        room.flush_deadline = Some(deadline);
        self.flushing.push(room.key);
        let end = room.room.log.head();
        let queue = &room.send_queue;
        let receiving = queue.current.iter().chain(&queue.current_coded).chain(&queue.lagging);
        for &key in receiving.chain(&queue.publishers) {
            let client = &mut self.clients[key];
            let until = client.draining.and_then(|draining| draining.until).unwrap_or(end);
            let draining =
                Draining { until: Some(until), deadline, finished: false, sent_away: None };
            self.drain_queue.set(key, client, draining);
        }
        room.read_queue.close(&mut self.clients);
    }

    /// Forgets the rooms whose last client has been closed in the flush.
    pub(super) fn forget_ended(&mut self) {
        let mut flushing = std::mem::take(&mut self.flushing);
        flushing.retain(|&key| {
            let Some(room) = self.room(key) else { return false };
            if room.clients > 0 {
                return true;
            }
            let room = Arc::clone(&room.room);
            self.rooms.remove(key);
            self.active.retain(|&active| active != key);
            self.shared.set_ended(key, &room);
            false
        });
        self.flushing = flushing;
    }
}
