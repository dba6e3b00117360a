//! The server under test: one that the suite starts, or one that runs already.

use std::net::SocketAddr;

use zillions_harness::Launch;

/// A server under test.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name in reports.
    pub name: String,
    /// How it is reached.
    pub reach: Reach,
}

/// How a server under test is reached.
#[derive(Debug, Clone)]
pub enum Reach {
    /// The suite starts a fresh one for each case.
    Launch(Launch),
    /// Somebody else runs it. Cases that have to start, stop or measure it are
    /// skipped, and nobody else may talk on it meanwhile.
    Connect(SocketAddr),
}

impl Subject {
    /// A server that the suite starts.
    pub fn launch(name: impl Into<String>, launch: Launch) -> Self {
        Self { name: name.into(), reach: Reach::Launch(launch) }
    }

    /// A server that runs at `address` already.
    pub fn connect(address: SocketAddr) -> Self {
        Self { name: address.to_string(), reach: Reach::Connect(address) }
    }

    /// The command line without the address; empty for a running server.
    pub fn command(&self) -> Vec<String> {
        match &self.reach {
            Reach::Launch(launch) => launch.command(),
            Reach::Connect(_) => Vec::new(),
        }
    }
}
