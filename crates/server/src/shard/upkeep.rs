//! What happens besides messages: the slow, the silent, the leaving, and the end.

use std::time::Duration;

use tracing::info;

use super::Shard;
use crate::client::{Key, Leaving, Reason};
use crate::config::SlowReader;
use crate::house::Phase;
use crate::io::Io;

/// How often the shard looks at those who are slow, silent or leaving, if there are any.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(250);
/// How often it looks whether what was sent has arrived, when it stops.
const FLUSH_INTERVAL: Duration = Duration::from_millis(5);
/// A client that holds up publishers has to take this share of the lag limit within the
/// eviction time: one that trickles is no better than one that stands still.
const PROGRESS_SHARE: u64 = 8;

impl<I: Io> Shard<I> {
    /// How long the shard may sleep; `None` if nothing depends on time.
    pub(super) fn time_to_next_upkeep(&self) -> Option<Duration> {
        let config = &self.house.config;
        let looks = !self.leaving.is_empty()
            || (config.idle.is_some() && !self.clients.is_empty())
            || (self.has_backpressure() && !self.lagging.is_empty());
        let upkeep = match self.flush_deadline {
            Some(_) => Some(self.now + FLUSH_INTERVAL),
            None => looks.then_some(self.upkeep_at),
        };
        let next = [upkeep, self.accept_at].into_iter().flatten().min();
        next.map(|at| at.saturating_sub(self.now))
    }

    pub(super) fn upkeep(&mut self) {
        self.release_leavers();
        let is_due = self.now >= self.upkeep_at;
        let step = self.house.config.client_lag_bytes_max / 8;
        if is_due || self.sent_up_to.position >= self.surveyed_at + step {
            self.survey();
        }
        if is_due {
            self.upkeep_at = self.now + UPKEEP_INTERVAL;
            self.end_the_silent();
        }
    }

    /// Looks how far the slow ones are behind, and ends those who may not be.
    fn survey(&mut self) {
        let head = self.sent_up_to.position;
        let house = &self.house;
        let lag_bytes_max = house.config.client_lag_bytes_max;
        let mut slowest = 0;
        let mut over: Vec<Key> = Vec::new();
        for &key in &self.lagging {
            let Some(lag) = self.clients[key].lag_mut() else { continue };
            let behind = head.saturating_sub(lag.next.position);
            slowest = slowest.max(behind);
            let is_over = match house.config.slow_reader {
                SlowReader::Drop => false,
                SlowReader::Disconnect => behind > lag_bytes_max,
                SlowReader::Backpressure => {
                    let (position, since) = lag.checkpoint;
                    let moved = lag.next.position - position >= lag_bytes_max / PROGRESS_SHARE;
                    if moved || behind < lag_bytes_max / 2 {
                        lag.checkpoint = (lag.next.position, self.now);
                    }
                    self.now.saturating_sub(since) >= house.config.eviction
                        && lag.checkpoint == (position, since)
                }
            };
            if is_over {
                over.push(key);
            }
        }
        self.surveyed_at = head;
        self.counters().lag_bytes_max.set(slowest);
        let reason = if self.has_backpressure() { Reason::Evicted } else { Reason::Slow };
        for key in over {
            let peer = self.clients[key].peer;
            info!(shard = self.number, %peer, reason = reason.name(), "slow client disconnected");
            self.part(key, reason);
        }
        if self.has_backpressure() && !self.clients.is_empty() {
            // Whoever was evicted held the others up.
            self.send();
        }
    }

    fn end_the_silent(&mut self) {
        let Some(idle) = self.house.config.idle else { return };
        let silent = |at: Duration| self.now.saturating_sub(at) >= idle;
        let clients = self.clients.iter().filter(|(_, client)| silent(client.heard_at));
        let over: Vec<Key> = clients.map(|(key, _)| key).collect();
        over.into_iter().for_each(|key| self.part(key, Reason::Idle));
    }

    /// Closes the connections of those who have been sent everything that was meant for them.
    fn release_leavers(&mut self) {
        let mut leaving = std::mem::take(&mut self.leaving);
        leaving.retain(|&key| {
            let Some(client) = self.clients.get(key) else { return false };
            let Some(Leaving { until, deadline, finished }) = client.leaving else { return false };
            let has_all = until.is_some_and(|until| match client.lag() {
                Some(lag) => lag.stash.is_empty() && lag.next >= until,
                None => self.sent_up_to >= until,
            });
            let flushing = self.flush_deadline.is_some();
            if has_all && flushing && !finished {
                self.io.finish(&client.stream);
                self.clients[key].leaving = Some(Leaving { until, deadline, finished: true });
            }
            let arrived = |key| self.io.in_flight_bytes(&self.clients[key].stream) == 0;
            let reason = match (has_all, flushing) {
                (true, false) => Reason::Left,
                (true, true) if arrived(key) => Reason::Shutdown,
                _ if deadline <= self.now && flushing => Reason::Shutdown,
                _ if deadline <= self.now => Reason::Unread,
                _ => return true,
            };
            self.part(key, reason);
            false
        });
        self.leaving = leaving;
    }

    /// Everything has its place in the log: everybody is sent it and then let go.
    pub(super) fn begin_flush(&mut self) {
        if self.flush_deadline.is_some() {
            return;
        }
        debug_assert_eq!(self.house.phase(), Phase::Flushing);
        let deadline = self.now + self.house.config.drain;
        self.flush_deadline = Some(deadline);
        let end = self.house.log.head();
        for (key, client) in &mut self.clients {
            let until = client.leaving.and_then(|leaving| leaving.until).unwrap_or(end);
            if client.leaving.is_none() {
                self.leaving.push(key);
            }
            client.leaving = Some(Leaving { until: Some(until), deadline, finished: false });
        }
        self.to_read.clear();
    }
}
