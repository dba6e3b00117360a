//! What the clients of one listening socket may do.
//!
//! A room may have several: an address where everybody takes part, and another whose clients only
//! listen. A client without any rule has no `Limits`, and costs one comparison for each read.

use std::time::Duration;

use serde::Deserialize;

use crate::rate::{Pace, Rates};

/// What a client may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It sends, and it receives everything.
    #[default]
    Both,
    /// It receives everything. What it sends is passed on to nobody.
    ListenOnly,
    /// It sends, and receives nothing.
    PublishOnly,
}

/// What happens to a listen-only client that sends a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnwantedSender {
    /// The message is discarded and counted.
    #[default]
    Discard,
    /// So it is, and the client is disconnected.
    Disconnect,
}

/// What the clients of one listening socket may do, and how many they may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerRules {
    /// What each may do.
    pub role: Role,
    /// What happens to one that sends and may not.
    pub unwanted_sender: UnwantedSender,
    /// How many clients that came by it there may be.
    pub clients_max: Option<usize>,
    /// How many of them from one address; all of an IPv6 network of 64 bits count as one.
    pub clients_per_ip_max: Option<usize>,
    /// How fast each may send.
    pub rates: Rates,
}

impl ListenerRules {
    /// What a client is held to that comes now; `None` if it may do everything.
    pub(crate) fn limits(&self, now: Duration) -> Option<Box<Limits>> {
        let Self { role, unwanted_sender, rates, .. } = *self;
        if role == Role::Both && !rates.is_limit() {
            return None;
        }
        let pace = Pace::new(rates, now);
        Some(Box::new(Limits { role, unwanted_sender, pace, resumes_at: None }))
    }
}

/// What one client is held to.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) role: Role,
    pub(crate) unwanted_sender: UnwantedSender,
    pub(crate) pace: Pace,
    /// While it has sent too much: until when it is not read.
    pub(crate) resumes_at: Option<Duration>,
}
