//! From connections to the log: reading in turns, appending, accepting.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use slotmap::Key as _;
use tracing::{debug, warn};
use zillions_log::AppendError;

use super::Shard;
use super::batch::Received;
use crate::client::{DisconnectReason, Draining, Key};
use crate::engine::Engine;
use crate::shared::{Handoff, Phase};

/// How many connections are accepted before the registered clients have their turn.
const ACCEPTS_PER_PASS_MAX: usize = 1024;
/// How many connections may be lost one after the other before that counts as a failure of accepting.
const LOST_IN_A_ROW_MAX: usize = 64;
/// How long accepting pauses after it failed, which mostly means that descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client that has closed its sending side may take for what is queued for it.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);

impl<E: Engine> Shard<E> {
    /// Reads each client that may have sent something, once, as far as the batch has capacity.
    pub(super) fn receive(&mut self) {
        if !self.batch.is_empty() || self.read_queue.is_empty() {
            return;
        }
        if self.shared.is_backpressured() {
            self.read_queue.stalled = true;
            self.counters().backpressured_passes.add(1);
            return;
        }
        for _ in 0..self.read_queue.len() {
            if !self.batch.has_capacity() {
                break;
            }
            let Some(key) = self.read_queue.pop() else { break };
            let Some(client) = self.clients.get_mut(key) else { continue };
            client.read.queued = false;
            client.read.active_at = self.idle_clock.now();
            match self.batch.read_from(&mut self.engine, client) {
                Received::Drained => {}
                Received::Maybe => self.read_queue.push(key, client),
                Received::End => self.on_eof(key),
                Received::Error(error) => {
                    debug!(client = key.data().as_ffi(), %error, "connection failed");
                    self.close(key, DisconnectReason::Error);
                }
            }
        }
    }

    /// The client will send no more. It is sent what is before the end of this batch.
    fn on_eof(&mut self, key: Key) {
        let client = &mut self.clients[key];
        if client.draining.is_some() {
            return;
        }
        // An incomplete frame at the end of a stream is discarded.
        client.read.partial_in = Vec::new();
        let deadline = self.now + DRAIN_TIME_MAX;
        let draining = Draining { until: None, deadline, finished: false };
        self.drain_queue.set(key, client, draining);
        self.batch.ended.push(key);
    }

    /// Appends the batch to the log: here its messages get their place in the one order.
    pub(super) fn append(&mut self) {
        if !self.batch.is_empty() {
            match self.shared.log.append(self.batch.frames()) {
                Ok(_) => {}
                Err(AppendError::Pinned) => {
                    self.read_queue.stalled = true;
                    self.counters().backpressured_passes.add(1);
                    return;
                }
                Err(error) => unreachable!("batches are whole frames and not too long: {error}"),
            }
            self.counters().received_messages.add(self.batch.messages() as u64);
            self.counters().received_bytes.add(self.batch.frames().len() as u64);
            self.batch.clear_frames();
            self.shared.notify_others(self.number);
        }
        if !self.batch.ended.is_empty() {
            let until = Some(self.shared.log.head());
            for key in self.batch.ended.drain(..) {
                let client = self.clients.get_mut(key);
                if let Some(draining) = client.and_then(|client| client.draining.as_mut()) {
                    draining.until = until;
                }
            }
        }
    }

    pub(super) fn accept_is_due(&self) -> bool {
        self.accept_at.is_some_and(|at| at <= self.now)
    }

    /// Accepts the pending connections and assigns each to the shard with the fewest clients.
    pub(super) fn accept(&mut self) {
        if self.accept_at.is_some_and(|at| self.now < at) {
            return;
        }
        self.accept_at = None;
        let mut lost = 0;
        for _ in 0..ACCEPTS_PER_PASS_MAX {
            match self.accept_one(lost) {
                AcceptStep::Admitted(shard, handoff) if shard == self.number => {
                    self.register(handoff);
                }
                AcceptStep::Admitted(shard, handoff) => self.shared.hand_off(shard, handoff),
                AcceptStep::Rejected => {}
                AcceptStep::Lost => {
                    lost += 1;
                    continue;
                }
                AcceptStep::Done => return,
            }
            lost = 0;
        }
        self.accept_at = Some(self.now);
    }

    /// Accepts once, after `lost` connections in a row were lost.
    ///
    /// The whole step holds the admission lock: a shard that looks for pending connections waits
    /// for a shard that is just accepting, until that has recorded where in the log the client
    /// joins.
    fn accept_one(&mut self, lost: usize) -> AcceptStep<E::Stream> {
        let mut admission = self.shared.admission();
        let accepted = match self.engine.accept() {
            Ok(Some(accepted)) => accepted,
            Ok(None) => return AcceptStep::Done,
            Err(error) if is_lost_connection(&error) && lost < LOST_IN_A_ROW_MAX => {
                return AcceptStep::Lost;
            }
            // The listening sockets were closed after this pass had begun.
            Err(_) if self.shared.phase() != Phase::Serving => return AcceptStep::Done,
            Err(error) => {
                self.counters().accept_errors.add(1);
                self.accept_at = Some(self.now + ACCEPT_PAUSE);
                if !std::mem::replace(&mut admission.failing, true) {
                    let pause_ms = ACCEPT_PAUSE.as_millis();
                    warn!(%error, "cannot accept connections; retrying every {pause_ms} ms");
                }
                return AcceptStep::Done;
            }
        };
        admission.failing = false;
        match self.shared.admit(&mut admission, accepted.peer, self.number) {
            Ok(shard) => {
                let joined = self.shared.log.head();
                let handoff = Handoff { stream: accepted.stream, peer: accepted.peer, joined };
                AcceptStep::Admitted(shard, handoff)
            }
            Err(reason) => {
                self.counters().connections_rejected.by(reason).add(1);
                debug!(peer = %accepted.peer, reason = reason.name(), "connection rejected");
                AcceptStep::Rejected
            }
        }
    }
}

/// What became of one attempt to accept.
enum AcceptStep<S> {
    /// A client of this shard.
    Admitted(usize, Handoff<S>),
    /// It was closed because of a limit.
    Rejected,
    /// The connection was gone before it was accepted.
    Lost,
    /// Nothing is pending, or accepting fails.
    Done,
}

/// Whether accepting failed because of the connection, which is lost then, and not in general.
/// accept(2) lists network errors of the new connection among its own.
fn is_lost_connection(error: &io::Error) -> bool {
    let lost = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::OPNOTSUPP,
        Errno::NETUNREACH,
    ];
    Errno::from_io_error(error).is_some_and(|errno| lost.contains(&errno))
}
