//! What happens besides messages: the lag check, idle and draining clients, and the stop.

use std::time::Duration;

use tracing::info;

use super::Shard;
use crate::client::{DisconnectReason, Draining, Key};
use crate::config::IdleTraffic;
use crate::engine::Engine;
use crate::shared::Phase;

/// How often the shard checks slow, idle and draining clients, if there are any.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(250);
/// How often it checks whether what was sent has arrived, when it stops.
const FLUSH_INTERVAL: Duration = Duration::from_millis(5);

impl<E: Engine> Shard<E> {
    /// How long the shard may wait; `None` if nothing depends on time.
    pub(super) fn time_to_next_upkeep(&self) -> Option<Duration> {
        let needs_upkeep = !self.drain_queue.is_empty()
            || (self.shared.config.idle_timeout.is_some() && !self.clients.is_empty())
            || (self.shared.has_backpressure() && !self.send_queue.lagging.is_empty());
        let upkeep = match self.drain_queue.flush_deadline {
            Some(_) => Some(self.now + FLUSH_INTERVAL),
            None => needs_upkeep.then_some(self.upkeep_at),
        };
        let next = [upkeep, self.accept_at].into_iter().flatten().min();
        next.map(|at| at.saturating_sub(self.now))
    }

    pub(super) fn upkeep(&mut self) {
        self.close_drained();
        if self.idle_clock.jumped() && self.shared.config.idle_timeout.is_some() {
            // First what has arrived meanwhile is read.
            self.upkeep_at = self.upkeep_at.max(self.now + UPKEEP_INTERVAL);
        }
        let is_due = self.now >= self.upkeep_at;
        let head = self.send_queue.sent_up_to.bytes;
        if is_due || self.shared.config.slow_reader.check_is_due(head, self.lag_checked_at) {
            self.check_lags(head);
        }
        if is_due {
            self.upkeep_at = self.now + UPKEEP_INTERVAL;
            self.close_idle();
        }
    }

    /// Measures how far the lagging clients are behind, and closes those that the policy does
    /// not tolerate.
    fn check_lags(&mut self, head: u64) {
        let policy = &self.shared.config.slow_reader;
        let mut lag_bytes_max = 0;
        let mut over: Vec<(Key, DisconnectReason)> = Vec::new();
        for &key in &self.send_queue.lagging {
            let Some(lag) = self.clients[key].lag_mut() else { continue };
            lag_bytes_max = lag_bytes_max.max(head.saturating_sub(lag.next.bytes));
            over.extend(policy.judge(lag, head, self.now).map(|reason| (key, reason)));
        }
        self.lag_checked_at = head;
        self.counters().lag_max_bytes.set(lag_bytes_max);
        for (key, reason) in over {
            let peer = self.clients[key].peer;
            info!(shard = self.number, %peer, reason = reason.name(), "slow client disconnected");
            self.close(key, reason);
        }
        if self.shared.has_backpressure() && !self.clients.is_empty() {
            // Evicted clients no longer block publishers.
            self.send();
        }
    }

    fn close_idle(&mut self) {
        let Some(timeout) = self.shared.config.idle_timeout else { return };
        let now = self.idle_clock.now();
        let is_over = |since: Duration| now.saturating_sub(since) >= timeout;
        let mut idle: Vec<Key> = Vec::new();
        for (key, client) in &mut self.clients {
            // One that waits to be read has sent something.
            if !is_over(client.read.active_at) || client.read.queued {
                continue;
            }
            if self.shared.config.idle_traffic == IdleTraffic::Both {
                let sent = client.lag().map_or(self.send_queue.sent_up_to, |lag| lag.next);
                let in_flight = self.engine.in_flight_bytes(&client.stream) as u64;
                let taken = sent.bytes.saturating_sub(in_flight);
                if taken > client.taken_bytes {
                    client.taken_bytes = taken;
                    client.read.active_at = now;
                    continue;
                }
            }
            idle.push(key);
        }
        idle.into_iter().for_each(|key| self.close(key, DisconnectReason::Idle));
    }

    /// Closes the draining clients that have been sent everything that was due to them.
    fn close_drained(&mut self) {
        let mut keys = std::mem::take(&mut self.drain_queue.keys);
        keys.retain(|&key| {
            let Some(client) = self.clients.get_mut(key) else { return false };
            let Some(Draining { until, deadline, finished }) = client.draining else {
                return false;
            };
            let has_all = until.is_some_and(|until| match client.lag() {
                Some(lag) => lag.partial_out.is_empty() && lag.next >= until,
                None => self.send_queue.sent_up_to >= until,
            });
            let flushing = self.drain_queue.flush_deadline.is_some();
            if has_all && flushing && !finished {
                self.engine.finish(&client.stream);
                client.draining = Some(Draining { until, deadline, finished: true });
            }
            let has_arrived = || self.engine.in_flight_bytes(&client.stream) == 0;
            let reason = match (has_all, flushing) {
                (true, false) => DisconnectReason::Closed,
                (true, true) if has_arrived() => DisconnectReason::Shutdown,
                _ if deadline <= self.now && flushing => DisconnectReason::Shutdown,
                _ if deadline <= self.now => DisconnectReason::DrainTimeout,
                _ => return true,
            };
            self.close(key, reason);
            false
        });
        self.drain_queue.keys = keys;
    }

    /// Everything has been appended: all clients are sent it and then closed.
    pub(super) fn begin_flush(&mut self) {
        if self.drain_queue.flush_deadline.is_some() {
            return;
        }
        debug_assert_eq!(self.shared.phase(), Phase::Flushing);
        let deadline = self.now + self.shared.config.drain_timeout;
        self.drain_queue.flush_deadline = Some(deadline);
        let end = self.shared.log.head();
        for (key, client) in &mut self.clients {
            let until = client.draining.and_then(|draining| draining.until).unwrap_or(end);
            let draining = Draining { until: Some(until), deadline, finished: false };
            self.drain_queue.set(key, client, draining);
        }
        self.read_queue.close(&mut self.clients);
    }
}
