//! The server under test: one that the suite starts, or one that runs already, at one address
//! or at several.

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
    /// It runs already, at these addresses; at least one. Clients are spread over them, and all of
    /// them together must keep the spec. Cases that must start, stop or measure it are
    /// skipped, and it must have no other clients meanwhile.
    Connect(Vec<SocketAddr>),
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
        Self::connect_to_all(vec![address])
    }

    /// A server that runs already and that all of `addresses` lead to, each of which is given
    /// once: one process or many nodes, with one order for the clients of all of them.
    ///
    /// # Panics
    /// Without an address.
    pub fn connect_to_all(addresses: Vec<SocketAddr>) -> Self {
        assert!(!addresses.is_empty(), "a server that runs has an address");
        let joined = |before: &str, between: &str| -> String {
            let texts: Vec<String> = addresses.iter().map(|it| format!("{before}{it}")).collect();
            texts.join(between)
        };
        Self {
            argument: joined("--connect ", " "),
            name: joined("", ", "),
            access: Access::Connect(addresses),
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
