//! A codec on TLS, such as WebSocket.

use std::error::Error;

use super::connection::Connection;
use crate::codec::{Codec, DECODE_BYTES_MAX, Decoded};
use crate::disconnect_reason::DisconnectReason;

/// TLS, and in it another codec.
#[derive(Debug)]
pub(super) struct Over {
    tls: Connection,
    inner: Box<dyn Codec>,
    decoded: Decoded,
}

impl Over {
    pub(super) fn new(tls: Connection, inner: Box<dyn Codec>) -> Self {
        Self { tls, inner, decoded: Decoded::default() }
    }

    /// Gives the inner codec what has been decrypted, and takes what it makes of it.
    fn pass_on(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut plaintext = vec![0; DECODE_BYTES_MAX];
        loop {
            let length = self.tls.decoded(&mut plaintext);
            // What comes after its end is not looked at.
            if length == 0 || self.inner.has_ended() {
                return Ok(());
            }
            let received = self.inner.receive(&plaintext[..length]);
            self.decoded.take_from(&mut *self.inner);
            received?;
        }
    }

    /// What the inner codec has to say, encrypted.
    fn write_inner(&mut self, frames: &[u8]) {
        if !self.tls.is_open() || (frames.is_empty() && !self.inner.has_output()) {
            return;
        }
        let mut bytes = Vec::new();
        self.inner.encode(frames, &mut bytes);
        self.tls.write(&bytes);
    }
}

impl Codec for Over {
    fn receive(&mut self, bytes: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let received = self.tls.receive(bytes);
        // What came before it went wrong came.
        self.pass_on().and(received)
    }

    fn decoded(&mut self, buffer: &mut [u8]) -> usize {
        self.decoded.take(buffer)
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }

    fn has_ended(&self) -> bool {
        self.tls.has_ended() || self.inner.has_ended()
    }

    fn has_output(&self) -> bool {
        self.tls.has_output() || (self.tls.is_open() && self.inner.has_output())
    }

    fn encode(&mut self, frames: &[u8], out: &mut Vec<u8>) {
        self.write_inner(frames);
        self.tls.take_output(out);
    }

    fn close(&mut self, reason: DisconnectReason) {
        self.inner.close(reason);
        self.write_inner(&[]);
        self.tls.close(reason);
    }
}
