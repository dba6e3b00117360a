//! Reading a client that is held to limits: frame by frame, and not all of them.

use std::time::Duration;

use zillions_protocol::whole_frames;

use super::Shard;
use super::batch::{Batch, Received};
use crate::client::{Client, Key};
use crate::engine::Engine;
use crate::listener_rules::{Role, UnwantedSender};

/// How much is read at once, in bytes: so much of what it has sent a client may have here whose
/// turn comes later.
const READ_BYTES_MAX: usize = 4096;
/// The shortest wait: what becomes allowed meanwhile is read together, so that a client at a high
/// rate costs a hundred passes a second at most. A bucket holds more than comes in meanwhile.
const WAIT_MIN: Duration = Duration::from_millis(10);

impl Batch {
    /// Reads once, unless there are whole frames that were received before; then takes those that
    /// the client may send. The rest is with the client. Returns how many messages were discarded,
    /// too. A client that has sent too much is not read before its time.
    pub(super) fn read_limited<E: Engine>(
        &mut self,
        engine: &mut E,
        client: &mut Client<E::Stream>,
        now: Duration,
    ) -> (Received, u64) {
        if client.is_throttled() {
            return (Received::Drained, 0);
        }
        let mut held = std::mem::take(&mut client.read.partial_in);
        let mut may_have_more = true;
        if whole_frames(&held).number == 0 {
            let kept = held.len();
            held.resize(kept + READ_BYTES_MAX, 0);
            match self.receive_plaintext(engine, client, &mut held[kept..]) {
                Ok(plaintext) => {
                    held.truncate(kept + plaintext.bytes);
                    may_have_more = plaintext.may_have_more;
                }
                Err(received) => {
                    held.truncate(kept);
                    client.read.partial_in = held;
                    return (received, 0);
                }
            }
            let has_echo = client.listens() && client.publishes();
            if !has_echo || whole_frames(&held).number == 0 {
                // No echo carries the acknowledgement that its sender may wait for.
                engine.acknowledge(&client.stream);
            }
        }
        let passed = self.pass(client, &held, now);
        held.drain(..passed.bytes);
        // An idle client keeps no buffer.
        client.read.partial_in = if held.is_empty() { Vec::new() } else { held };
        let received = match passed.stopped {
            Some(received) => received,
            None if may_have_more => Received::Maybe,
            None => Received::Drained,
        };
        (received, passed.discarded)
    }

    /// Takes whole frames from the start of `held`, as far as the client may send them now.
    fn pass<S>(&mut self, client: &mut Client<S>, held: &[u8], now: Duration) -> Passed {
        let mut passed = Passed { bytes: 0, discarded: 0, stopped: None };
        let Some(limits) = &mut client.limits else { return passed };
        while let Some(frame) = first_frame(&held[passed.bytes..]) {
            let is_wanted = limits.role != Role::ListenOnly;
            if is_wanted && !self.fits(frame) {
                passed.stopped = Some(Received::Maybe);
                return passed;
            }
            if let Err(wait) = limits.pace.take(frame.len(), now) {
                passed.stopped = Some(Received::TooMuch(wait));
                return passed;
            }
            if is_wanted {
                self.push(frame);
            } else {
                passed.discarded += 1;
                if limits.unwanted_sender == UnwantedSender::Disconnect {
                    passed.stopped = Some(Received::Unwanted);
                    return passed;
                }
            }
            passed.bytes += frame.len();
        }
        passed
    }
}

/// What has become of the frames that a client had sent.
struct Passed {
    /// How many bytes of them are done with.
    bytes: usize,
    /// How many messages were discarded.
    discarded: u64,
    /// Why the rest has to wait, if it has.
    stopped: Option<Received>,
}

/// The frame at the start of `bytes`, if it is whole.
fn first_frame(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..1 + usize::from(*bytes.first()?))
}

impl<E: Engine> Shard<E> {
    /// A client has sent more than it may, and is not read for so long.
    pub(super) fn throttle(&mut self, key: Key, wait: Duration) {
        let Some(client) = self.clients.get_mut(key) else { return };
        self.throttled.add(self.now.saturating_add(wait.max(WAIT_MIN)), key, client);
        self.counters().throttles.add(1);
        self.count_throttled();
    }

    /// A throttled client has been closed.
    pub(super) fn no_longer_throttled(&mut self, key: Key, client: &Client<E::Stream>) {
        self.throttled.remove(key, client);
        self.count_throttled();
    }

    /// Those whose time has come are read again.
    pub(super) fn resume_throttled(&mut self) {
        while let Some(key) = self.throttled.due(self.now, &mut self.clients) {
            let Some(client) = self.clients.get_mut(key) else { continue };
            let room_key = client.room;
            if let Some(Some(room)) = self.rooms.get_mut(room_key) {
                room.read_queue.push(key, client);
            }
            self.activate_if_possible(room_key);
        }
        self.count_throttled();
    }

    fn count_throttled(&self) {
        self.counters().throttled_clients.set(self.throttled.len() as u64);
    }
}
