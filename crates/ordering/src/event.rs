//! Connections, messages, positions in a stream, and the events of a history.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One TCP connection: a process of the spec, sender and receiver alike.
///
/// Connections are numbered 0, 1, 2 … in the order in which they were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(pub(crate) u32);

impl ConnectionId {
    /// The connection with this number, whether or not a history has one.
    pub fn from_index(index: u32) -> Self {
        Self(index)
    }

    /// The number of this connection: 0, 1, 2 … in order of recording.
    pub fn index(self) -> u32 {
        self.0
    }

    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// One message: its sender, and how many messages that sender sent before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId {
    /// Who sent it.
    pub sender: ConnectionId,
    /// 0, 1, 2 …, counting all messages of the sender, short ones included.
    pub sequence: u32,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sender, self.sequence)
    }
}

/// Where a frame began in the stream that one connection received, and when it
/// was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StreamPosition {
    /// Bytes of the stream before the frame's header.
    pub offset: u64,
    /// Nanoseconds since a moment that the recorder chose.
    pub time_ns: u64,
}

/// One event of a history. Events are in the order in which they were observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'h> {
    /// A connection, known to be accepted by the server from here on.
    Connect {
        /// Its number: one more than the last one's.
        connection: ConnectionId,
        /// What explanations call it, instead of its number.
        name: Option<&'h str>,
    },
    /// A message is about to be sent (recorded before its first byte is written).
    Send {
        /// Its id; the sequence is the number of messages its sender sent before.
        message: MessageId,
        /// The body of a short message, which carries no id; `None` for all others.
        short: Option<&'h [u8]>,
        /// Whether it may never have left (written just before a reset).
        maybe: bool,
    },
    /// This message and all later ones of its sender may never have left.
    MaybeFrom {
        /// The first message in doubt.
        message: MessageId,
    },
    /// A frame arrived that carries the id of a message.
    Receive {
        /// Who received it.
        connection: ConnectionId,
        /// The id it carries, whether or not such a message was sent.
        message: MessageId,
        /// Where it began in the receiver's stream.
        position: StreamPosition,
    },
    /// A frame arrived that is too short to carry an id.
    ReceiveAnonymous {
        /// Who received it.
        connection: ConnectionId,
        /// Its whole body.
        body: &'h [u8],
        /// Where it began in the receiver's stream.
        position: StreamPosition,
    },
    /// A frame arrived that is not a message that was sent.
    ReceiveUnknown {
        /// Who received it.
        connection: ConnectionId,
        /// Where it began in the receiver's stream.
        position: StreamPosition,
        /// What is wrong with it, for the reader of the report.
        detail: &'h str,
    },
}
