//! The protocols of the servers: the spec's frames, or a message broker's own. Pure; a trial chooses
//! one and keeps it.
//!
//! Whatever the protocol, every connection receives every message, the sender's own included, so
//! that all servers have the same work and the ledger is the same. With NATS and Redis a connection
//! subscribes to one subject; the senders' connections publish to it as well.
//!
//! Each connection has its own decoder. The protocol is looked up once per received piece; the loop
//! over its messages is compiled for each protocol.
//!
//! Another protocol is a file beside [`nats`] with a `TEXT` and a [`reassembly::TextProtocol`], and
//! its line in every `match` of this file.

mod inbound;
mod nats;
mod reassembly;
mod redis;

use zillions_protocol::HEADER_BYTES;

use crate::body::{self, Stamp};
pub(crate) use inbound::{Decode, Inbound};
use reassembly::{Reassembler, TextFormat};

/// The protocol that a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WireFormat {
    /// The frames of `docs/spec.md`.
    #[default]
    Zillions,
    /// The client protocol of NATS core: `SUB`, `PUB` and `MSG` on one subject.
    Nats,
    /// Redis pub/sub in RESP3, where a connection that is subscribed may publish too.
    Redis,
}

impl WireFormat {
    /// What differs between the protocols whose messages have a text around them; `None` for the
    /// spec's frames.
    const fn text(self) -> Option<&'static TextFormat> {
        match self {
            Self::Zillions => None,
            Self::Nats => Some(&nats::TEXT),
            Self::Redis => Some(&redis::TEXT),
        }
    }

    /// What a client says first; `sends` if it is going to send messages.
    #[must_use]
    pub fn hello(self, sends: bool) -> &'static [u8] {
        match self.text() {
            None => b"",
            Some(text) if sends => text.hello_of_sender,
            Some(text) => text.hello,
        }
    }

    /// Bytes of a message with a body of `length` bytes on its way to the server.
    #[must_use]
    pub fn sent_bytes(self, length: u8) -> usize {
        let body_bytes = usize::from(length);
        self.text()
            .map_or(HEADER_BYTES + body_bytes, |text| text.bytes(text.send_opening, body_bytes))
    }

    /// Bytes of a message with a body of `body_bytes` bytes on its way from the server.
    #[must_use]
    pub fn received_bytes(self, body_bytes: usize) -> usize {
        self.text()
            .map_or(HEADER_BYTES + body_bytes, |text| text.bytes(text.receive_opening, body_bytes))
    }

    /// Appends the message whose body of `length` bytes carries `stamp`, as a client sends it.
    ///
    /// # Panics
    ///
    /// If `length` is below [`body::BODY_BYTES_MIN`].
    pub fn append_message(self, stamp: Stamp, length: u8, tag: u32, out: &mut Vec<u8>) {
        let Some(text) = self.text() else { return body::append_frame(stamp, length, tag, out) };
        out.extend_from_slice(text.send_opening);
        append_decimal(length, out);
        out.extend_from_slice(b"\r\n");
        body::append(stamp, length, tag, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// The decoders of all connections.
#[derive(Debug)]
pub(crate) enum Decoders {
    Zillions(Vec<zillions_protocol::Decoder>),
    Nats(Vec<Reassembler<nats::Nats>>),
    Redis(Vec<Reassembler<redis::Redis>>),
}

/// Evaluates an expression with the decoder of one connection, compiled for each protocol.
macro_rules! with_decoder {
    ($decoders:expr, $connection:expr, |$decoder:ident| $expression:expr) => {
        match $decoders {
            $crate::wire::Decoders::Zillions(all) => {
                let $decoder = &mut all[$connection];
                $expression
            }
            $crate::wire::Decoders::Nats(all) => {
                let $decoder = &mut all[$connection];
                $expression
            }
            $crate::wire::Decoders::Redis(all) => {
                let $decoder = &mut all[$connection];
                $expression
            }
        }
    };
}
pub(crate) use with_decoder;

impl Default for Decoders {
    fn default() -> Self {
        Self::Zillions(Vec::new())
    }
}

impl Decoders {
    pub(crate) fn new(format: WireFormat, connections: usize) -> Self {
        match format {
            WireFormat::Zillions => Self::Zillions(vec![Default::default(); connections]),
            WireFormat::Nats => Self::Nats(vec![Default::default(); connections]),
            WireFormat::Redis => Self::Redis(vec![Default::default(); connections]),
        }
    }
}

fn append_decimal(number: u8, out: &mut Vec<u8>) {
    for (place, from) in [(100, 100), (10, 10), (1, 0)] {
        if number >= from {
            out.push(b'0' + number / place % 10);
        }
    }
}

#[cfg(test)]
mod tests;
