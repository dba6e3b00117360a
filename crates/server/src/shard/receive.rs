//! From connections to the log: accepting, reading in turns, appending.

use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::io::Errno;
use slotmap::Key as _;
use tracing::{debug, warn};
use zillions_log::AppendError;
use zillions_protocol::{FRAME_BYTES_MAX, whole_frames};

use super::Shard;
use crate::client::{Client, Key, Leaving, Reason};
use crate::house::Newcomer;
use crate::io::Io;

/// What is read from one client before the others have their turn, in bytes.
const READ_BYTES_MAX: usize = 64 * 1024;
/// What is read from all clients before everybody is sent it, in bytes; less with a small ring.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// How many connections are accepted before those who are in have their turn.
const ACCEPTS_PER_PASS_MAX: usize = 1024;
/// How long accepting is left alone when it failed, which mostly means that descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client that has said its last word may take for what is queued for it.
const UNREAD_TIME_MAX: Duration = Duration::from_secs(30);

/// Whole frames of several clients, on their way to the log.
pub(super) struct Batch {
    buffer: Box<[u8]>,
    /// How many bytes of it are whole frames.
    filled: usize,
    messages: usize,
    /// Those whose last word is in the batch, or came without one.
    ended: Vec<Key>,
}

/// What reading from one client came to.
enum Received {
    /// There is nothing more for now.
    Drained,
    /// There may be more.
    Maybe,
    /// The client has said its last word.
    End,
    Broken(io::Error),
}

impl Batch {
    pub(super) fn new(append_bytes_max: usize) -> Self {
        let buffer = vec![0; BATCH_BYTES_MAX.min(append_bytes_max)].into();
        Self { buffer, filled: 0, messages: 0, ended: Vec::new() }
    }

    /// Whether there is nothing to append.
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Whether another client can be read: its incomplete frame and a bit more have to fit.
    fn has_room(&self) -> bool {
        self.buffer.len() - self.filled >= 2 * FRAME_BYTES_MAX
    }

    /// Reads once. The client's whole frames are then at the end of the batch, the front of a
    /// frame that is not whole yet is with the client.
    fn read_from<I: Io>(&mut self, io: &mut I, client: &mut Client<I::Stream>) -> Received {
        let kept = client.partial.len();
        let room = &mut self.buffer[self.filled..];
        room[..kept].copy_from_slice(&client.partial);
        let space = READ_BYTES_MAX.min(room.len() - kept);
        let received = match io.receive(&client.stream, &mut room[kept..kept + space]) {
            Ok(0) => return Received::End,
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Received::Drained,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Received::Maybe,
            Err(error) => return Received::Broken(error),
        };
        let whole = whole_frames(&room[..kept + received]);
        let rest = &room[whole.bytes..kept + received];
        client.partial.clear();
        if rest.is_empty() {
            // An idle client keeps no buffer.
            client.partial = Vec::new();
        } else {
            client.partial.extend_from_slice(rest);
        }
        self.filled += whole.bytes;
        self.messages += whole.number;
        // A short read took all there was. An end that came before it has been told already.
        if received < space && !client.ended { Received::Drained } else { Received::Maybe }
    }
}

impl<I: Io> Shard<I> {
    /// Reads each client that may have sent something, once, as far as the batch has room.
    pub(super) fn receive(&mut self) {
        if !self.batch.is_empty() || self.to_read.is_empty() {
            return;
        }
        if self.has_backpressure() && self.house.is_held_up() {
            self.stalled = true;
            self.counters().held_up.add(1);
            return;
        }
        for _ in 0..self.to_read.len() {
            if !self.batch.has_room() {
                break;
            }
            let Some(key) = self.to_read.pop_front() else { break };
            let Some(client) = self.clients.get_mut(key) else { continue };
            client.queued = false;
            client.heard_at = self.now;
            match self.batch.read_from(&mut self.io, client) {
                Received::Drained => {}
                Received::Maybe => {
                    client.queued = true;
                    self.to_read.push_back(key);
                }
                Received::End => self.last_word(key),
                Received::Broken(error) => {
                    debug!(client = key.data().as_ffi(), %error, "connection broken");
                    self.part(key, Reason::Broken);
                }
            }
        }
    }

    /// The client will send no more. It is sent what is before the end of this batch.
    fn last_word(&mut self, key: Key) {
        let client = &mut self.clients[key];
        if client.leaving.is_some() {
            return;
        }
        // An incomplete frame at the end of a stream is no message.
        client.partial = Vec::new();
        let deadline = self.now + UNREAD_TIME_MAX;
        client.leaving = Some(Leaving { until: None, deadline, finished: false });
        self.leaving.push(key);
        self.batch.ended.push(key);
    }

    /// Gives the batch its place in the one order.
    pub(super) fn append(&mut self) {
        if !self.batch.is_empty() {
            let frames = &self.batch.buffer[..self.batch.filled];
            match self.house.log.append(frames) {
                Ok(_) => {}
                Err(AppendError::Pinned) => {
                    self.stalled = true;
                    self.counters().held_up.add(1);
                    return;
                }
                Err(error) => unreachable!("batches are whole frames and not too long: {error}"),
            }
            self.counters().messages_in.add(self.batch.messages as u64);
            self.counters().bytes_in.add(self.batch.filled as u64);
            (self.batch.filled, self.batch.messages) = (0, 0);
            self.house.call_others(self.number);
        }
        if !self.batch.ended.is_empty() {
            let until = Some(self.house.log.head());
            for key in self.batch.ended.drain(..) {
                let client = self.clients.get_mut(key);
                if let Some(leaving) = client.and_then(|client| client.leaving.as_mut()) {
                    leaving.until = until;
                }
            }
        }
    }

    pub(super) fn accept_is_due(&self) -> bool {
        self.accept_at.is_some_and(|at| at <= self.now)
    }

    /// Accepts those who are pending and sends them to the shard with the fewest clients.
    pub(super) fn admit(&mut self) {
        if self.accept_at.is_some_and(|at| self.now < at) {
            return;
        }
        self.accept_at = None;
        for _ in 0..ACCEPTS_PER_PASS_MAX {
            let Some((shard, newcomer)) = self.admit_one() else { return };
            let Some(newcomer) = newcomer else { continue };
            if shard == self.number {
                self.join(newcomer);
            } else {
                self.house.hand_over(shard, newcomer);
            }
        }
        self.accept_at = Some(self.now);
    }

    /// Accepts once: `None` if nobody is pending or accepting fails, no newcomer if it was
    /// turned away or lost.
    ///
    /// All under the door's lock: who asks whether somebody is pending waits for a shard that is
    /// just accepting, until it has noted where in the log the newcomer comes in.
    fn admit_one(&mut self) -> Option<(usize, Option<Newcomer<I::Stream>>)> {
        let mut door = self.house.door();
        let accepted = match self.io.accept() {
            Ok(accepted) => accepted?,
            Err(error) if is_lost_connection(&error) => return Some((self.number, None)),
            Err(error) => {
                self.house.accept_errors.add(1);
                self.accept_at = Some(self.now + ACCEPT_PAUSE);
                if !std::mem::replace(&mut door.failing, true) {
                    warn!(%error, "cannot accept; trying again every {} ms", ACCEPT_PAUSE.as_millis());
                }
                return None;
            }
        };
        door.failing = false;
        if !self.house.enter(&mut door, accepted.peer) {
            debug!(peer = %accepted.peer, "connection turned away: too many clients");
            return Some((self.number, None));
        }
        let joined = self.house.log.head();
        let shard = self.house.least_loaded(self.number);
        Some((shard, Some(Newcomer { stream: accepted.stream, peer: accepted.peer, joined })))
    }
}

/// Whether accepting failed because of the connection, which is lost then, and not in general.
/// accept(2) lists network errors of the new connection among its own.
fn is_lost_connection(error: &io::Error) -> bool {
    let lost = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PROTO,
        Errno::PERM,
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
