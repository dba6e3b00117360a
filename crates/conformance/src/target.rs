//! The server under test: one that the suite starts, or one that runs already.

use std::net::SocketAddr;

use zillions_harness::Launch;

use crate::expectations::Expectations;

/// A server under test.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name in reports.
    pub name: String,
    /// How the suite gets at it.
    pub access: Access,
    /// How it is given to `zillions check`, in the command that runs a case again.
    pub argument: String,
    /// Its known failures.
    pub expectations: Expectations,
}

/// How the suite gets at a server under test.
#[derive(Debug, Clone)]
pub enum Access {
    /// The suite starts a fresh one for each case.
    Launch(Launch),
    /// It runs already. Cases that must start, stop or measure it are
    /// skipped, and it must have no other clients meanwhile.
    Connect(SocketAddr),
}

impl Target {
    /// A server that the suite starts. `name` is also what a user types after
    /// `zillions check`; see [`argument`](Self::argument).
    pub fn launch(name: impl Into<String>, launch: Launch) -> Self {
        let name = name.into();
        Self {
            argument: name.clone(),
            name,
            access: Access::Launch(launch),
            expectations: Expectations::default(),
        }
    }

    /// A server that runs at `address` already.
    pub fn connect(address: SocketAddr) -> Self {
        Self {
            argument: format!("--connect {address}"),
            name: address.to_string(),
            access: Access::Connect(address),
            expectations: Expectations::default(),
        }
    }

    /// The same, with failures that are known.
    #[must_use]
    pub fn expecting(mut self, expectations: Expectations) -> Self {
        self.expectations = expectations;
        self
    }

    /// The command line without the address; empty for a running server.
    pub fn command(&self) -> Vec<String> {
        match &self.access {
            Access::Launch(launch) => launch.command(),
            Access::Connect(_) => Vec::new(),
        }
    }
}
