//! What a broken rule is proven with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{ConnectionId, MessageId, StreamPosition};

/// One of the four rules of the spec's ORDER group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// ORDER-1.
    Integrity,
    /// ORDER-2.
    Fifo,
    /// ORDER-3.
    Total,
    /// ORDER-4.
    Causal,
}

impl Rule {
    /// All rules, in the order of their clauses.
    pub const ALL: [Self; 4] = [Self::Integrity, Self::Fifo, Self::Total, Self::Causal];

    /// The id of the clause in the spec.
    pub fn clause(self) -> &'static str {
        match self {
            Self::Integrity => "ORDER-1",
            Self::Fifo => "ORDER-2",
            Self::Total => "ORDER-3",
            Self::Causal => "ORDER-4",
        }
    }

    /// The name of the rule in the spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integrity => "INTEGRITY",
            Self::Fifo => "FIFO",
            Self::Total => "TOTAL",
            Self::Causal => "CAUSAL",
        }
    }
}

/// What kind of violation a counterexample shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A message reached one receiver twice.
    Duplicate,
    /// An id arrived that was not sent, or not sent yet.
    NeverSent,
    /// A frame arrived that is not a message.
    UnknownFrame,
    /// More short messages of one body arrived than had been sent.
    TooManyShort,
    /// One receiver has messages of one sender in another order than they were
    /// sent in.
    Fifo,
    /// Two receivers have two messages in opposite orders.
    TwoReceiverInversion,
    /// Three or more claims contradict each other only together.
    Cycle,
    /// The contradiction needs that a message follows what its sender had
    /// received before.
    CausalOnly,
}

/// A message as one connection sent or received it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The message.
    pub message: MessageId,
    /// The body, if it is a short message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub short: Option<Vec<u8>>,
    /// The index of the event in the history, from 0.
    pub event: u64,
    /// Where the frame stood in the stream of the connection, if recorded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<StreamPosition>,
}

/// How a connection puts one message before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// It sent the first before the second.
    Sent,
    /// It received the first before the second.
    Received,
    /// It had received the first when it sent the second.
    ReceivedThenSent,
}

/// One statement about the history that can be looked up in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Claim {
    /// The connection puts one message before another.
    Before {
        /// Whose chain it is.
        connection: ConnectionId,
        /// Which chain.
        order: Order,
        /// The message that comes first.
        first: Sighting,
        /// The message that comes later.
        second: Sighting,
    },
    /// The connection received one message twice.
    ReceivedTwice {
        /// The receiver.
        connection: ConnectionId,
        /// Its first receipt.
        first: Sighting,
        /// Its second receipt.
        second: Sighting,
    },
    /// The connection received an id that had not been sent at that time.
    ReceivedUnsent {
        /// The receiver.
        connection: ConnectionId,
        /// The receipt.
        received: Sighting,
        /// The event that sends it later on, if there is one.
        sent_event: Option<u64>,
    },
    /// The connection received a frame that is not a message.
    ReceivedUnknown {
        /// The receiver.
        connection: ConnectionId,
        /// What is wrong with the frame.
        detail: String,
        /// The index of the event in the history.
        event: u64,
        /// Where the frame stood in the receiver's stream.
        position: StreamPosition,
    },
    /// The connection received a short message more often than it had been sent.
    ReceivedMoreShort {
        /// The receiver.
        connection: ConnectionId,
        /// The body.
        body: Vec<u8>,
        /// How often it was received, the last receipt included.
        received: u64,
        /// How often it had been sent by then, all senders together.
        sent: u64,
        /// The index of the last receipt's event in the history.
        event: u64,
        /// Where the last one stood in the receiver's stream.
        position: StreamPosition,
    },
    /// What the connection received from one sender after one of its fences
    /// is not a subsequence of what that sender had sent after it.
    ShortOutOfOrder {
        /// The receiver.
        connection: ConnectionId,
        /// The only sender that had sent these bodies.
        sender: ConnectionId,
        /// The last message with an id before the short ones; `None` is the
        /// beginning of the stream.
        after: Option<Sighting>,
        /// The bodies of the short messages received since, in order.
        received: Vec<Vec<u8>>,
        /// The message with an id that arrived after them, if one did.
        before: Option<Sighting>,
        /// The bodies of the short messages that the sender sent between these
        /// two, or up to the last receipt, in order.
        sent: Vec<Vec<u8>>,
        /// The index of the last of these receipts' event in the history.
        event: u64,
        /// Where the last one stood in the receiver's stream.
        position: StreamPosition,
    },
    /// The connection received more short messages of one body than can be
    /// different messages that were sent, by their senders' other messages.
    ShortUnmatched {
        /// The receiver.
        connection: ConnectionId,
        /// The body, which several connections had sent.
        body: Vec<u8>,
        /// How often it was received.
        received: u64,
        /// How many of these can be different sent messages at most.
        matched: u64,
        /// The index of the event after which it is so.
        event: u64,
        /// Where that event's frame stood in the receiver's stream.
        position: StreamPosition,
    },
}

/// The proof that a history breaks a rule, with as few claims as possible.
///
/// Its `Display` explains it to a person, in a few lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counterexample {
    /// The rule that is broken.
    pub rule: Rule,
    /// The kind of violation.
    pub class: Class,
    /// The index of the event that completes the violation: the history up to
    /// and including it breaks the rule, and any shorter beginning does not.
    pub closing_event: u64,
    /// What contradicts. Claims of the form [`Claim::Before`] form a cycle: the
    /// second message of each is the first message of the next, and the last
    /// one leads back to the first.
    pub claims: Vec<Claim>,
    /// The names of the connections concerned that have one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub names: BTreeMap<ConnectionId, String>,
}

impl Claim {
    /// The connections that the claim speaks of.
    pub fn connections(&self) -> Vec<ConnectionId> {
        match self {
            Self::Before { connection, first, second, .. }
            | Self::ReceivedTwice { connection, first, second } => {
                vec![*connection, first.message.sender, second.message.sender]
            }
            Self::ReceivedUnsent { connection, received, .. } => {
                vec![*connection, received.message.sender]
            }
            Self::ShortOutOfOrder { connection, sender, .. } => vec![*connection, *sender],
            Self::ReceivedUnknown { connection, .. }
            | Self::ReceivedMoreShort { connection, .. }
            | Self::ShortUnmatched { connection, .. } => vec![*connection],
        }
    }
}
