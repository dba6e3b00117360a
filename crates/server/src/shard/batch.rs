//! A batch: whole frames of several clients of one room, on their way to the log.

use std::io::{self, ErrorKind};

use zillions_protocol::{FRAME_BYTES_MAX, whole_frames};

use crate::client::Client;
use crate::engine::Engine;

/// What is read from one client before the others have their turn, in bytes.
const READ_BYTES_MAX: usize = 64 * 1024;
/// What is read from all clients before it is sent, in bytes; less with a small ring.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Whole frames of several clients of one room, on their way to the log.
pub(super) struct Batch {
    buffer: Box<[u8]>,
    /// How many bytes of it may be used.
    bytes_max: usize,
    /// How many bytes of it are whole frames.
    filled: usize,
    messages: usize,
}

/// The result of reading from one client.
pub(super) enum Received {
    /// There is nothing more for now.
    Drained,
    /// There may be more.
    Maybe,
    /// The stream has ended.
    End,
    /// The connection has failed.
    Error(io::Error),
}

impl Batch {
    pub(super) fn new() -> Self {
        let buffer = vec![0; BATCH_BYTES_MAX].into();
        Self { buffer, bytes_max: BATCH_BYTES_MAX, filled: 0, messages: 0 }
    }

    /// Begins to gather frames of a room whose log takes so much at once.
    pub(super) fn begin(&mut self, append_bytes_max: usize) {
        debug_assert!(self.is_empty(), "frames of another room");
        self.bytes_max = BATCH_BYTES_MAX.min(append_bytes_max);
    }

    /// Whether there is nothing to append.
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    pub(super) fn frames(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// The frames have been appended, or copied.
    pub(super) fn clear(&mut self) {
        (self.filled, self.messages) = (0, 0);
    }

    /// Whether another client can be read: its incomplete frame and a bit more must fit.
    pub(super) fn has_capacity(&self) -> bool {
        self.bytes_max - self.filled >= 2 * FRAME_BYTES_MAX
    }

    /// Reads once. The client's whole frames are then at the end of the batch, the head of an
    /// incomplete frame is with the client.
    pub(super) fn read_from<E: Engine>(
        &mut self,
        engine: &mut E,
        client: &mut Client<E::Stream>,
    ) -> Received {
        let kept = client.read.partial_in.len();
        let free = &mut self.buffer[self.filled..self.bytes_max];
        free[..kept].copy_from_slice(&client.read.partial_in);
        let space = READ_BYTES_MAX.min(free.len() - kept);
        let received = match engine.receive(&client.stream, &mut free[kept..kept + space]) {
            Ok(0) => return Received::End,
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Received::Drained,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Received::Maybe,
            Err(error) => return Received::Error(error),
        };
        let whole = whole_frames(&free[..kept + received]);
        let rest = &free[whole.bytes..kept + received];
        client.read.partial_in.clear();
        if rest.is_empty() {
            // An idle client keeps no buffer.
            client.read.partial_in = Vec::new();
        } else {
            client.read.partial_in.extend_from_slice(rest);
        }
        if whole.number == 0 {
            // Its sender may hold back the rest until this is acknowledged (Nagle's algorithm).
            // The echo of a whole frame carries the acknowledgement; here none is sent.
            engine.acknowledge(&client.stream);
        }
        self.filled += whole.bytes;
        self.messages += whole.number;
        // A short read took all there was. An end that arrived before it was reported already.
        if received < space && !client.read.ended { Received::Drained } else { Received::Maybe }
    }
}
