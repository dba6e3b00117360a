//! What stands between a connection's bytes and the protocol's frames, such as TLS.
//!
//! A codec does no I/O. It is given what was received, and yields plaintext: frames, which go the
//! way of everybody's. It is given slices of the log, whole frames, and yields bytes to send.
//! Beside that it may have bytes of its own to send: handshakes, answers, alerts.
//!
//! A client without a codec costs nothing for it: such clients share one slice of the log, and a
//! client with a codec is never among them. It has an offset of its own, and the bytes that
//! its codec made for it and its socket did not take wait where a client that is behind keeps the
//! rest of a frame (`Lag::partial_out`). So the slow-reader policy, drops at frame boundaries and
//! bounded memory are the same for both.

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use zillions_protocol::FRAME_BYTES_MAX;

use crate::disconnect_reason::DisconnectReason;

/// How many bytes of frames are encoded at once, but for the rest of the last frame. With that they
/// fit into one TLS record, which holds 16 KiB; TLS 1.2 ends a connection after so many records.
/// What a codec makes of them is what a stalled client costs.
pub(crate) const ENCODE_BYTES_MAX: u64 = 16 * 1024 - FRAME_BYTES_MAX as u64;
/// How many bytes a codec is given at once.
pub(crate) const DECODE_BYTES_MAX: usize = 16 * 1024;

/// What a listener's clients speak; one for each listener that has a codec.
pub trait Protocol: Debug + Send + Sync {
    /// What it is called where clients are listed.
    fn name(&self) -> &'static str {
        "other"
    }

    /// The codec of a new connection.
    fn codec(&self) -> Box<dyn Codec>;
}

/// What is spoken at an address; `None` is the plain protocol.
pub(crate) type Spoken = Option<Arc<dyn Protocol>>;

/// One connection's codec. It only ever holds so much as its protocol needs, whatever the other
/// side sends.
pub trait Codec: Debug + Send {
    /// Takes all of these bytes, which were received: at most 16 KiB, and none before
    /// [`decoded`](Self::decoded) has returned 0.
    ///
    /// # Errors
    /// When the other side breaks the protocol. What [`encode`](Self::encode) yields then is still
    /// sent to it, if its socket takes it at once, and the connection is closed.
    fn receive(&mut self, bytes: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Moves received plaintext to the start of `buffer`, which is not empty: all of it, or as
    /// much as fits. Returns how many bytes.
    fn decoded(&mut self, buffer: &mut [u8]) -> usize;

    /// Whether the handshake is complete: frames can be encoded. Once it is, it stays.
    fn is_open(&self) -> bool;

    /// Whether the other side has said that it sends no more, or is to be sent no more but what
    /// the codec itself has to say. What [`decoded`](Self::decoded) has left is not affected.
    fn has_ended(&self) -> bool;

    /// Whether there is anything to send beside frames. It changes only by
    /// [`receive`](Self::receive) and [`close`](Self::close), and by being sent.
    fn has_output(&self) -> bool;

    /// Appends to `out` first what there is to send beside frames, all of it, and then these,
    /// encoded: whole frames, or nothing. Frames are given to an open codec only.
    fn encode(&mut self, frames: &[u8], out: &mut Vec<u8>);

    /// The server will send no frames any more, for this reason: what is to be said about it is
    /// output from now on, and the last that is. Called once at most.
    fn close(&mut self, reason: DisconnectReason);
}

/// Plaintext that a codec has decoded and nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    bytes: Vec<u8>,
    taken: usize,
}

impl Decoded {
    /// What more is decoded is appended to this.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// So many bytes more, to be written.
    pub(crate) fn space(&mut self, length: usize) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.resize(start + length, 0);
        &mut self.bytes[start..]
    }

    /// All that a codec has decoded.
    pub(crate) fn take_from(&mut self, codec: &mut dyn Codec) {
        loop {
            let start = self.bytes.len();
            let length = codec.decoded(self.space(DECODE_BYTES_MAX));
            self.bytes.truncate(start + length);
            if length == 0 {
                return;
            }
        }
    }

    /// See [`Codec::decoded`].
    pub(crate) fn take(&mut self, buffer: &mut [u8]) -> usize {
        let rest = &self.bytes[self.taken..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.taken += length;
        if self.taken == self.bytes.len() {
            // An idle client keeps no buffer.
            *self = Self::default();
        }
        length
    }
}

/// A client's codec, and what the shard knows of it.
#[derive(Debug)]
pub(crate) struct Coded {
    pub(crate) codec: Box<dyn Codec>,
    /// What its protocol is called.
    pub(crate) protocol: &'static str,
    /// It is open, and its client has its place in the log: what it misses from now on is dropped.
    pub(crate) has_joined: bool,
    /// It was told that the server sends no more.
    pub(crate) closing: bool,
}

impl Coded {
    pub(crate) fn new(protocol: &dyn Protocol) -> Self {
        let (codec, protocol) = (protocol.codec(), protocol.name());
        Self { codec, protocol, has_joined: false, closing: false }
    }
}
