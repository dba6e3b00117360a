//! What is chosen for a room of a cluster.

use std::fmt;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Deserialize;

/// How a stream is kept by NATS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// In files.
    File,
    /// In memory.
    Memory,
}

/// What is chosen for a room of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The NATS servers, each `nats://HOST:PORT` or `tls://HOST:PORT`.
    pub servers: Vec<String>,
    /// The room's name there: all nodes with it are in one order.
    pub room: String,
    /// How many NATS servers hold the stream: 1 or 3.
    pub replicas: usize,
    /// How they hold it.
    pub storage: Storage,
    /// How much of it they hold, in bytes; then the oldest batches are removed.
    pub bytes_max: usize,
    /// Who this node is to NATS, if that asks.
    pub login: Option<Login>,
    /// The certificates that sign those of the NATS servers, if not the system's.
    pub ca: Option<PathBuf>,
}

/// What a NATS server asks for.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A user and a password.
    Password(String, String),
    /// A token.
    Token(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Password(..) => "a user and a password",
            Self::Token(_) => "a token",
        })
    }
}
