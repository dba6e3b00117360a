//! A batch: whole frames of several clients of one room, on their way to the log.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use zillions_protocol::{FRAME_BYTES_MAX, whole_frames};

use crate::client::Client;
use crate::codec::DECODE_BYTES_MAX;
use crate::engine::Engine;

/// What is read from one client before the others have their turn, in bytes.
const READ_BYTES_MAX: usize = 64 * 1024;
/// What is read from all clients before it is sent, in bytes; less with a small ring.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Whole frames of several clients of one room, on their way to the log.
pub(super) struct Batch {
    buffer: Box<[u8]>,
    /// What was received for a codec; allocated when there is the first.
    undecoded: Vec<u8>,
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
    /// The client breaks its codec's protocol.
    Refused(Box<dyn Error + Send + Sync>),
    /// The client has sent more than it may, and is to wait.
    TooMuch(Duration),
    /// The client has sent a message and may only listen.
    Unwanted,
}

/// Plaintext was received.
pub(super) struct Plaintext {
    /// How many bytes of it.
    pub(super) bytes: usize,
    /// There may be more.
    pub(super) may_have_more: bool,
}

impl Batch {
    pub(super) fn new() -> Self {
        let buffer = vec![0; BATCH_BYTES_MAX].into();
        let undecoded = Vec::new();
        Self { buffer, undecoded, bytes_max: BATCH_BYTES_MAX, filled: 0, messages: 0 }
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
        if client.coded.is_some() {
            return self.decode_from(engine, client);
        }
        let kept = client.read.partial_in.len();
        let free = &mut self.buffer[self.filled..self.bytes_max];
        let space = READ_BYTES_MAX.min(free.len() - kept);
        let received = match engine.receive(&client.stream, &mut free[kept..kept + space]) {
            Ok(0) => return Received::End,
            Ok(received) => received,
            Err(error) => return not_received(error),
        };
        self.take(engine, client, received);
        // A short read took all there was. An end that arrived before it was reported already.
        if received < space && !client.read.ended { Received::Drained } else { Received::Maybe }
    }

    /// Takes plaintext from the client's codec, after having read once if there was none.
    fn decode_from<E: Engine>(
        &mut self,
        engine: &mut E,
        client: &mut Client<E::Stream>,
    ) -> Received {
        let kept = client.read.partial_in.len();
        let free = &mut self.buffer[self.filled + kept..self.bytes_max];
        match decode(&mut self.undecoded, engine, client, free) {
            Ok(Plaintext { bytes, may_have_more }) => {
                self.take(engine, client, bytes);
                if may_have_more { Received::Maybe } else { Received::Drained }
            }
            Err(received) => received,
        }
    }

    /// Receives what a client has sent, decoded if it has a codec, into `space`.
    pub(super) fn receive_plaintext<E: Engine>(
        &mut self,
        engine: &mut E,
        client: &mut Client<E::Stream>,
        space: &mut [u8],
    ) -> Result<Plaintext, Received> {
        if client.coded.is_some() {
            return decode(&mut self.undecoded, engine, client, space);
        }
        match engine.receive(&client.stream, space) {
            Ok(0) => Err(Received::End),
            // A short read took all there was.
            Ok(bytes) => {
                let may_have_more = bytes == space.len() || client.read.ended;
                Ok(Plaintext { bytes, may_have_more })
            }
            Err(error) => Err(not_received(error)),
        }
    }

    /// Whether one more whole frame fits.
    pub(super) fn fits(&self, frame: &[u8]) -> bool {
        self.filled + frame.len() <= self.bytes_max
    }

    /// Adds one whole frame, which fits.
    pub(super) fn push(&mut self, frame: &[u8]) {
        let end = self.filled + frame.len();
        self.buffer[self.filled..end].copy_from_slice(frame);
        (self.filled, self.messages) = (end, self.messages + 1);
    }

    /// Takes the whole frames of a client: of what it had sent before, and the `received` bytes
    /// that stand in the buffer after the space for that.
    fn take<E: Engine>(&mut self, engine: &mut E, client: &mut Client<E::Stream>, received: usize) {
        let kept = client.read.partial_in.len();
        let free = &mut self.buffer[self.filled..];
        free[..kept].copy_from_slice(&client.read.partial_in);
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
    }
}

/// Moves plaintext from the client's codec into `space`, after having read once if there was none.
fn decode<E: Engine>(
    undecoded: &mut Vec<u8>,
    engine: &mut E,
    client: &mut Client<E::Stream>,
    space: &mut [u8],
) -> Result<Plaintext, Received> {
    let Some(coded) = &mut client.coded else { return Err(Received::Drained) };
    let codec = &mut coded.codec;
    let bytes = codec.decoded(space);
    if bytes > 0 {
        return Ok(Plaintext { bytes, may_have_more: true });
    }
    if codec.has_ended() {
        return Err(Received::End);
    }
    undecoded.resize(DECODE_BYTES_MAX, 0);
    let received = match engine.receive(&client.stream, undecoded) {
        Ok(0) => return Err(Received::End),
        Ok(received) => received,
        Err(error) => return Err(not_received(error)),
    };
    codec.receive(&undecoded[..received]).map_err(Received::Refused)?;
    let bytes = codec.decoded(space);
    // Plaintext first, and then the end that it may have brought.
    let read_all = received < DECODE_BYTES_MAX && !client.read.ended;
    let may_have_more = bytes == space.len() || codec.has_ended() || !read_all;
    Ok(Plaintext { bytes, may_have_more })
}

/// What it means that nothing was received.
fn not_received(error: io::Error) -> Received {
    match error.kind() {
        ErrorKind::WouldBlock => Received::Drained,
        ErrorKind::Interrupted => Received::Maybe,
        _ => Received::Error(error),
    }
}
