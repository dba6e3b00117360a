//! Clients that the server itself sends away.
//!
//! Such a client is first sent what is due to it, up to a frame boundary, and served as before
//! meanwhile. Then it is forgotten and its connection's sending side ended. The connection is kept
//! until the client has closed it, too, for a while: closing it while the client sends would be a
//! reset, which can cost what is on its way.

use std::io::ErrorKind;
use std::time::Duration;

use super::Shard;
use super::lame_duck::{LameDuck, Leaving};
use super::room::ShardRoom;
use crate::client::{DisconnectReason, Draining, Key};
use crate::engine::Engine;
use crate::room::Phase;

/// How many bytes of such a client are discarded with one call.
const DISCARDED_BYTES: usize = 4096;
/// How many calls one such client has before the others have their turn.
const DISCARDS_PER_PASS_MAX: usize = 16;

impl<E: Engine> Shard<E> {
    /// Notes who is to be sent away, if the server has begun with that.
    pub(super) fn begin_lame_duck(&mut self) {
        if self.lame_duck.is_none() && self.shared.is_lame_duck() {
            let keys: Vec<Key> = self.clients.keys().collect();
            self.lame_duck = Some(LameDuck { began: self.now, clients: keys.len(), keys });
        }
    }

    /// When the next client is sent away.
    pub(super) fn lame_duck_at(&self) -> Option<Duration> {
        let (shards, time) = (self.shared.shards(), self.config.lame_duck);
        self.lame_duck.as_ref()?.next(self.number, shards, time)
    }

    /// Sends those clients away whose time has come.
    pub(super) fn continue_lame_duck(&mut self) {
        while self.lame_duck_at().is_some_and(|at| at <= self.now) {
            let next = self.lame_duck.as_mut().and_then(|lame_duck| lame_duck.keys.pop());
            next.into_iter().for_each(|key| self.send_away(key, DisconnectReason::Shutdown));
        }
    }

    /// Sends a client away once it was sent what is in the log now. One that leaves already does.
    pub(super) fn send_away(&mut self, key: Key, reason: DisconnectReason) {
        let deadline = self.now + self.config.drain_timeout;
        let Some(client) = self.clients.get_mut(key).filter(|it| it.draining.is_none()) else {
            return;
        };
        let until = self.shared.room(client.room).map(|room| room.log.head());
        let draining = Draining { until, deadline, finished: false, sent_away: Some(reason) };
        self.drain_queue.set(key, client, draining);
    }

    /// The client has been sent everything: it sees the end, and counts no more.
    pub(super) fn finish_leaving(
        &mut self,
        room: &mut ShardRoom,
        key: Key,
        reason: DisconnectReason,
    ) {
        let Some(stream) = self.forget(room, key, reason) else { return };
        self.engine.finish(&stream);
        let deadline = self.now + self.config.drain_timeout;
        self.leaving.push(Leaving { stream, deadline });
    }

    /// Closes the connections whose clients have closed them, or not in time. In a stop nobody is
    /// waited for but until everything has arrived.
    pub(super) fn close_left(&mut self) {
        let serves = self.shared.phase() == Phase::Serving;
        let mut leaving = std::mem::take(&mut self.leaving);
        leaving.retain(|Leaving { stream, deadline }| {
            let is_open = self.discard(stream);
            let waits = serves || self.engine.in_flight_bytes(stream) > 0;
            is_open && waits && *deadline > self.now
        });
        self.leaving = leaving;
    }

    /// Reads what nobody wants any more; `false` when the connection is over.
    fn discard(&mut self, stream: &E::Stream) -> bool {
        let mut buffer = [0; DISCARDED_BYTES];
        for _ in 0..DISCARDS_PER_PASS_MAX {
            match self.engine.receive(stream, &mut buffer) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}
