//! The configuration of the server's core, checked.

use std::time::Duration;

use serde::Deserialize;

use crate::admission::AdmissionLimits;

/// What keeps a client from being idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdleTraffic {
    /// What it sends.
    #[default]
    Sent,
    /// What it sends, and what it takes of what it is sent.
    Both,
}

/// The limits of the server's core.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many clients there may be.
    pub admission: AdmissionLimits,
    /// How long a client may be idle.
    pub idle_timeout: Option<Duration>,
    /// What keeps a client from being idle.
    pub idle_traffic: IdleTraffic,
    /// The longest delay of a busy shard's next pass, so that small messages share a send.
    pub coalesce_max: Duration,
    /// Over what time a stop sends the clients away before it flushes; zero: not at all.
    pub lame_duck: Duration,
    /// How long a stop may take to flush what is queued.
    pub drain_timeout: Duration,
    /// How long a client may take for its handshake, if what it speaks has one.
    pub handshake_timeout: Duration,
}
