//! What an administrator asks a shard: it answers between two passes, one question at a time, and
//! waits for nobody.

use std::net::IpAddr;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// How many may wait for one shard. Only one that hangs lets so many wait.
pub(crate) const QUESTIONS_MAX: usize = 64;

/// Where to answer: a channel for one answer, so that sending it never waits. An answer that nobody
/// waits for any more is dropped.
pub(crate) type Reply<T> = SyncSender<T>;

/// A question to a shard.
#[derive(Debug)]
pub(crate) enum Question {
    /// Its clients, in the order of their keys' slots.
    Clients {
        /// Only those after this key.
        after: Option<u64>,
        /// How many at most.
        limit: usize,
        /// Where to answer.
        reply: Reply<Vec<ClientState>>,
    },
    /// To close the client with this key, once it was sent what is due to it.
    Close {
        /// The key.
        key: u64,
        /// Where to answer whether there is such a client.
        reply: Reply<bool>,
    },
}

/// What is told of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientState {
    pub(crate) key: u64,
    pub(crate) peer: IpAddr,
    pub(crate) room: String,
    /// What it speaks, as an administrator reads it.
    pub(crate) protocol: &'static str,
    /// For how long it has been connected.
    pub(crate) connected: Duration,
    /// Messages handed to its socket.
    pub(crate) sent_messages: u64,
    /// Messages it was not sent because it was too slow.
    pub(crate) dropped_messages: u64,
    /// How far it is behind the newest message.
    pub(crate) lag_messages: u64,
    pub(crate) lag_bytes: u64,
}
