//! What the generator says to a server and hears from it: the spec's frames, or another broker's
//! own protocol. Pure; a trial chooses one and keeps it.
//!
//! Whatever the protocol, every connection receives every message, the sender's own included, so
//! that all are asked for the same work and the ledger is the same. With NATS and Redis a
//! connection subscribes to one subject; the senders' connections publish to it as well.
//!
//! What is heard is decoded by one decoder per connection. The choice is made once per received
//! piece; the loop over its messages is compiled for each protocol.

mod gather;
mod nats;
mod redis;

use zillions_protocol::HEADER_BYTES;

use crate::body::{self, Stamp};
use gather::Gather;

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
    /// What a client says first; `sends` if it is going to send messages.
    #[must_use]
    pub fn hello(self, sends: bool) -> &'static [u8] {
        match self {
            Self::Zillions => b"",
            Self::Nats => nats::HELLO,
            Self::Redis if sends => redis::HELLO_OF_SENDER,
            Self::Redis => redis::HELLO,
        }
    }

    /// Bytes of a message with a body of `length` bytes on its way to the server.
    #[must_use]
    pub fn sent_bytes(self, length: u8) -> usize {
        let body_bytes = usize::from(length);
        match self {
            Self::Zillions => HEADER_BYTES + body_bytes,
            Self::Nats => nats::SENT_BYTES + decimals(body_bytes) + body_bytes,
            Self::Redis => redis::SENT_BYTES + decimals(body_bytes) + body_bytes,
        }
    }

    /// Bytes of a message with a body of `body_bytes` bytes on its way from the server.
    #[must_use]
    pub fn received_bytes(self, body_bytes: usize) -> usize {
        match self {
            Self::Zillions => HEADER_BYTES + body_bytes,
            Self::Nats => nats::RECEIVED_BYTES + decimals(body_bytes) + body_bytes,
            Self::Redis => redis::RECEIVED_BYTES + decimals(body_bytes) + body_bytes,
        }
    }

    /// Appends the message whose body of `length` bytes carries `stamp`, as a client sends it.
    ///
    /// # Panics
    ///
    /// If `length` is below [`body::BODY_BYTES_MIN`].
    pub fn append_message(self, stamp: Stamp, length: u8, tag: u32, out: &mut Vec<u8>) {
        match self {
            Self::Zillions => body::append_frame(stamp, length, tag, out),
            Self::Nats | Self::Redis => {
                let opening: &[u8] =
                    if self == Self::Nats { nats::SEND_OPENING } else { redis::SEND_OPENING };
                out.extend_from_slice(opening);
                append_decimal(length, out);
                out.extend_from_slice(b"\r\n");
                body::append(stamp, length, tag, out);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// One thing that a server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// A message's body.
    Message(&'a [u8]),
    /// Something that is to be answered with these bytes.
    Question(&'static [u8]),
    /// Something that is of no interest here, such as the reply to a greeting.
    Chatter,
    /// An error, or what is not of this protocol: the connection is of no more use.
    Refusal(String),
}

/// Finds what was said in a stream that is cut anywhere.
pub(crate) trait Decode: Clone + Default {
    /// The next thing in `input`, which is advanced past it; `None` when no further one is whole.
    fn decode<'lent, 'input: 'lent>(
        &'lent mut self,
        input: &mut &'input [u8],
    ) -> Option<Heard<'lent>>;
}

impl Decode for zillions_protocol::Decoder {
    #[inline]
    fn decode<'lent, 'input: 'lent>(
        &'lent mut self,
        input: &mut &'input [u8],
    ) -> Option<Heard<'lent>> {
        Self::decode(self, input).map(Heard::Message)
    }
}

/// The decoders of all connections.
#[derive(Debug)]
pub(crate) enum Decoders {
    Zillions(Vec<zillions_protocol::Decoder>),
    Nats(Vec<Gather<nats::Nats>>),
    Redis(Vec<Gather<redis::Redis>>),
}

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

/// Digits of `number`.
fn decimals(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests;
