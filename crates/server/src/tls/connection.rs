//! One TLS connection.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use crate::codec::{Codec, Decoded};
use crate::disconnect_reason::DisconnectReason;

/// One client's connection, its handshake included.
#[derive(Debug)]
pub(super) struct Connection {
    tls: ServerConnection,
    was_opened: bool,
    /// The other side has said that it sends no more.
    has_ended: bool,
    decoded: Decoded,
}

impl Connection {
    pub(super) fn new(config: &Arc<ServerConfig>) -> Self {
        let tls = ServerConnection::new(Arc::clone(config));
        let mut tls = tls.expect("the default length of records is valid");
        // What is written is taken at once; it is bounded by who writes it.
        tls.set_buffer_limit(None);
        Self { tls, was_opened: false, has_ended: false, decoded: Decoded::default() }
    }

    /// Encrypts these bytes; they are output then. Only for a connection that is open.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).expect("there is no limit");
    }

    pub(super) fn take_output(&mut self, out: &mut Vec<u8>) {
        while self.tls.wants_write() {
            self.tls.write_tls(out).expect("memory takes everything");
        }
    }

    /// Decrypts as much as the library takes at once, and moves the plaintext out of it: it
    /// refuses to read on while it holds more than a record's.
    fn receive_some(&mut self, bytes: &mut &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.tls.read_tls(bytes)? == 0 {
            *bytes = &[];
        }
        let state = self.tls.process_new_packets()?;
        self.was_opened |= !self.tls.is_handshaking();
        self.has_ended |= state.peer_has_closed();
        let space = self.decoded.space(state.plaintext_bytes_to_read());
        self.tls.reader().read_exact(space)?;
        Ok(())
    }
}

impl Codec for Connection {
    fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        // What comes after the end is not looked at.
        while !bytes.is_empty() && !self.has_ended {
            self.receive_some(&mut bytes)?;
        }
        Ok(())
    }

    fn decoded(&mut self, buffer: &mut [u8]) -> usize {
        self.decoded.take(buffer)
    }

    fn is_open(&self) -> bool {
        self.was_opened
    }

    fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn has_output(&self) -> bool {
        self.tls.wants_write()
    }

    fn encode(&mut self, frames: &[u8], out: &mut Vec<u8>) {
        if !frames.is_empty() {
            // TLS 1.2 cannot exchange its keys: when they are worn out, what is output is the end
            // of the stream instead, at the start of a frame. The client closes then.
            self.write(frames);
        }
        self.take_output(out);
    }

    fn close(&mut self, _: DisconnectReason) {
        self.tls.send_close_notify();
    }
}
