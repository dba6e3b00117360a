//! From connections to the log: reading in turns, appending, accepting.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use slotmap::Key as _;
use tracing::{debug, warn};
use zillions_log::AppendError;

use super::Shard;
use super::batch::Received;
use super::room::ShardRoom;
use crate::client::{DisconnectReason, Draining, Handoff, Key};
use crate::engine::Engine;
use crate::keys::ListenerId;
use crate::origin::Origin;
use crate::room::Phase;

/// How many connections are accepted before the registered clients have their turn.
const ACCEPTS_PER_PASS_MAX: usize = 1024;
/// How many connections may be lost one after the other before that counts as a failure of accepting.
const LOST_IN_A_ROW_MAX: usize = 64;
/// How long accepting pauses after it failed, which mostly means that descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client that has closed its sending side may take for what is queued for it.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);

impl<E: Engine> Shard<E> {
    /// Reads the clients of the room, and appends what they have sent.
    pub(super) fn receive_and_append(&mut self, room: &mut ShardRoom) {
        self.receive(room);
        if !self.batch.is_empty() {
            // A client that connected before a message arrived must be registered before the
            // message is appended.
            self.accept_for(room);
        }
        self.append(room);
    }

    /// Reads each client of the room that may have sent something, once, as far as the batch has
    /// capacity.
    fn receive(&mut self, room: &mut ShardRoom) {
        let idle_clock = self.idle_clock.now();
        room.resume(idle_clock);
        if room.phase != Phase::Serving
            || !room.unappended.0.is_empty()
            || room.read_queue.is_empty()
        {
            return;
        }
        if room.room.is_backpressured() {
            room.stall(idle_clock);
            self.counters().backpressured_passes.add(1);
            return;
        }
        let active_at = room.idle_time(idle_clock);
        self.batch.begin(room.room.log.append_bytes_max());
        for _ in 0..room.read_queue.len() {
            if !self.batch.has_capacity() {
                break;
            }
            let Some(key) = room.read_queue.pop() else { break };
            let Some(client) = self.clients.get_mut(key) else { continue };
            client.read.queued = false;
            client.read.active_at = active_at;
            let is_coded = client.coded.is_some();
            let before = self.batch.messages();
            let received = if client.limits.is_none() {
                self.batch.read_from(&mut self.engine, client)
            } else {
                let (received, discarded) =
                    self.batch.read_limited(&mut self.engine, client, self.now);
                self.shared.counters(self.number).discarded_messages.add(discarded);
                received
            };
            if self.batch.messages() > before {
                client.read.batch = room.under_way.next_batch();
            }
            match received {
                Received::Drained => {}
                Received::Maybe => room.read_queue.push(key, client),
                Received::End => self.on_eof(room, key),
                Received::Error(error) => {
                    debug!(client = key.data().as_ffi(), %error, "connection failed");
                    self.close(room, key, DisconnectReason::Error);
                }
                Received::Refused(error) => self.refuse(room, key, &*error),
                Received::TooMuch(wait) => self.throttle(key, wait),
                Received::Unwanted => self.close(room, key, DisconnectReason::Unwanted),
            }
            if is_coded {
                self.codec_has_read(room, key);
            }
        }
    }

    /// The client will send no more. It is sent what is before the end of this batch.
    fn on_eof(&mut self, room: &mut ShardRoom, key: Key) {
        let client = &mut self.clients[key];
        if client.draining.is_some() {
            return;
        }
        if !client.is_open() && !client.has_ended() {
            return self.close(room, key, DisconnectReason::Handshake);
        }
        // An incomplete frame at the end of a stream is discarded.
        let incomplete = std::mem::take(&mut client.read.partial_in);
        let deadline = self.now + DRAIN_TIME_MAX;
        let draining = Draining { until: None, deadline, finished: false, sent_away: None };
        self.drain_queue.set(key, client, draining);
        match &room.room.upstream {
            None => room.ended.push(key),
            // It is sent what comes before the echo of its last message.
            Some(upstream) if client.publishes() => upstream.probed(&incomplete),
            Some(_) => {}
        }
    }

    /// Appends the batch, or what could not be appended before, to the room's log: here its
    /// messages get their place in the room's one order. On an edge, sends them on their way to
    /// where that happens.
    fn append(&mut self, room: &mut ShardRoom) {
        if self.append_frames(room).is_err() {
            room.stall(self.idle_clock.now());
            self.counters().backpressured_passes.add(1);
            return;
        }
        if !room.ended.is_empty() {
            let until = Some(room.room.log.head());
            for key in room.ended.drain(..) {
                let client = self.clients.get_mut(key);
                if let Some(draining) = client.and_then(|client| client.draining.as_mut()) {
                    draining.until = until;
                }
            }
        }
        if room.phase == Phase::Closing && !room.drained {
            room.drained = true;
            self.shared.set_drained(&room.room);
        }
    }

    /// An error: some other shard is behind. The frames are with the room then, not in the batch.
    fn append_frames(&mut self, room: &mut ShardRoom) -> Result<(), AppendError> {
        let (frames, messages) = match &room.unappended {
            (frames, _) if frames.is_empty() => (self.batch.frames(), self.batch.messages()),
            (frames, messages) => (&frames[..], *messages),
        };
        if frames.is_empty() {
            return Ok(());
        }
        let sequenced = match &room.room.upstream {
            None => room.room.log.append(frames).map(drop),
            Some(upstream) => match upstream.put(frames, messages) {
                Some(ticket) => {
                    room.under_way.put(ticket, upstream.settled());
                    Ok(())
                }
                None => Err(AppendError::Pinned),
            },
        };
        match sequenced {
            Ok(()) => {}
            Err(AppendError::Pinned) => {
                if room.unappended.0.is_empty() {
                    room.unappended = (frames.to_vec(), messages);
                    self.batch.clear();
                }
                return Err(AppendError::Pinned);
            }
            Err(error) => unreachable!("batches are whole frames and not too long: {error}"),
        }
        let counters = self.shared.counters(self.number);
        counters.received_messages.add(messages as u64);
        counters.received_bytes.add(frames.len() as u64);
        if room.unappended.0.is_empty() {
            self.batch.clear();
        } else {
            room.unappended = (Vec::new(), 0);
        }
        if room.room.upstream.is_none() {
            self.shared.notify_others(room.key, &room.room, self.number);
        }
        Ok(())
    }

    /// A connection may be pending at this listening socket.
    pub(super) fn remember_listener(&mut self, listener: ListenerId) {
        if !self.pending_listeners.contains(&listener) {
            self.pending_listeners.push(listener);
        }
    }

    /// Accepts at all listening sockets where a connection may be pending.
    pub(super) fn accept_pending(&mut self) {
        if self.accept_at.is_some_and(|at| self.now < at) {
            return;
        }
        self.accept_at = None;
        for listener in std::mem::take(&mut self.pending_listeners) {
            self.accept(listener, None);
        }
    }

    /// Accepts at the listening sockets of a room, those included that have just been added to it.
    fn accept_for(&mut self, room: &mut ShardRoom) {
        if self.changes_seen != Some(self.shared.changes()) {
            room.listeners.clone_from(&room.room.listeners());
        }
        for number in 0..room.listeners.len() {
            self.accept(room.listeners[number], Some(room));
        }
    }

    /// Accepts the pending connections of one socket and assigns each to the shard with the fewest
    /// clients. `here` is a room that is taken out, if any.
    fn accept(&mut self, listener: ListenerId, mut here: Option<&mut ShardRoom>) {
        if self.accept_at.is_some_and(|at| self.now < at) {
            self.remember_listener(listener);
            return;
        }
        let mut lost = 0;
        for _ in 0..ACCEPTS_PER_PASS_MAX {
            match self.accept_one(listener, lost) {
                AcceptStep::Admitted(shard, handoff) if shard == self.number => match &mut here {
                    None => self.register(handoff),
                    Some(room) if room.key == handoff.room => self.register_in(room, handoff),
                    // The socket has just been given to another room.
                    Some(_) => self.shared.hand_off(shard, handoff),
                },
                AcceptStep::Admitted(shard, handoff) => self.shared.hand_off(shard, handoff),
                AcceptStep::Rejected => {}
                AcceptStep::Lost => {
                    lost += 1;
                    continue;
                }
                AcceptStep::Failed => {
                    self.remember_listener(listener);
                    return;
                }
                AcceptStep::Done => return,
            }
            lost = 0;
        }
        self.remember_listener(listener);
        self.accept_at = Some(self.now);
    }

    /// Accepts once, after `lost` connections in a row were lost.
    ///
    /// The whole step holds the admission lock: a shard that looks for pending connections waits
    /// for a shard that is just accepting, until that has recorded where in the log the client
    /// joins.
    fn accept_one(&mut self, listener: ListenerId, lost: usize) -> AcceptStep<E::Stream> {
        let mut admission = self.shared.admission();
        let accepted = match self.engine.accept(listener) {
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
                return AcceptStep::Failed;
            }
        };
        admission.failing = false;
        // The room has just been closed, and the socket will be.
        let Some((key, room)) = admission.room_of(listener) else { return AcceptStep::Rejected };
        let origin = Origin { listener, peer: accepted.peer };
        match self.shared.admit(&mut admission, &room, origin, self.number) {
            Ok(shard) => {
                let joined = room.log.head();
                let stream = accepted.stream;
                let rules = admission.rules_of(listener);
                let protocol = admission.protocol_of(listener);
                let handoff = Handoff { room: key, stream, origin, rules, protocol, joined };
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
    /// Accepting fails; it is tried again later.
    Failed,
    /// Nothing is pending.
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
