//! WebSocket as a codec: `crates/websocket` behind the shard's interface.

use std::error::Error;
use std::sync::Arc;

use zillions_websocket::{CloseCode, Connection, Flow, Policy, message_header};

use crate::codec::{Codec, Decoded, Protocol};
use crate::disconnect_reason::DisconnectReason;

/// What the clients of a `ws://` address speak, and inside TLS those of a `wss://` address.
#[derive(Debug)]
pub(crate) struct WebSocket {
    policy: Arc<Policy>,
}

impl WebSocket {
    pub(crate) fn new(policy: Arc<Policy>) -> Self {
        Self { policy }
    }
}

impl Protocol for WebSocket {
    fn name(&self) -> &'static str {
        "websocket"
    }

    fn codec(&self) -> Box<dyn Codec> {
        Box::new(WebSocketCodec {
            connection: Connection::new(Arc::clone(&self.policy)),
            was_opened: false,
            has_ended: false,
            decoded: Decoded::default(),
        })
    }
}

/// One client's connection.
#[derive(Debug)]
struct WebSocketCodec {
    connection: Connection,
    was_opened: bool,
    /// It has sent a close frame, or its request was no WebSocket's.
    has_ended: bool,
    /// Bytes of chat frames.
    decoded: Decoded,
}

impl Codec for WebSocketCodec {
    fn receive(&mut self, bytes: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        // Masks are removed in place.
        let (flow, violation) = self.connection.receive(&mut bytes.to_vec(), self.decoded.end());
        self.was_opened |= self.connection.is_open();
        self.has_ended |= flow == Flow::Ended;
        violation.map_or(Ok(()), |violation| Err(violation.into()))
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
        self.connection.has_output()
    }

    fn encode(&mut self, frames: &[u8], out: &mut Vec<u8>) {
        self.connection.take_output(out);
        if !frames.is_empty() {
            out.extend_from_slice(message_header(frames.len()).as_bytes());
            out.extend_from_slice(frames);
        }
    }

    fn close(&mut self, reason: DisconnectReason) {
        self.connection.finish(match reason {
            DisconnectReason::Closed | DisconnectReason::Handshake => CloseCode::Normal,
            DisconnectReason::Error => CloseCode::ProtocolError,
            DisconnectReason::Shutdown => CloseCode::GoingAway,
            DisconnectReason::Slow
            | DisconnectReason::Evicted
            | DisconnectReason::Idle
            | DisconnectReason::Unwanted
            | DisconnectReason::DrainTimeout
            | DisconnectReason::Admin => CloseCode::PolicyViolation,
        });
    }
}
