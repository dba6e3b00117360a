//! What a server may be told to do, checked.

use std::time::Duration;

/// What happens to a client that does not read as fast as messages come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SlowReader {
    /// It misses messages: it goes on at a later one.
    #[default]
    Drop,
    /// It is disconnected.
    Disconnect,
    /// Publishers wait for it, until it is evicted.
    Backpressure,
}

/// The limits of the server's core.
#[derive(Clone, Debug)]
pub struct Config {
    /// What happens to slow readers.
    pub slow_reader: SlowReader,
    /// How far a client may be behind, in bytes, before that happens.
    pub client_lag_bytes_max: u64,
    /// How long one client may hold up publishers.
    pub eviction: Duration,
    /// How many clients there may be.
    pub clients_max: Option<usize>,
    /// How many there may be from one address.
    pub clients_per_ip_max: Option<usize>,
    /// How long a client may be silent.
    pub idle: Option<Duration>,
    /// How long a busy shard may look away, so that more messages share a send.
    pub rest_max: Duration,
    /// How long a stop may take to flush what is queued.
    pub drain: Duration,
}
