//! What a trial reports on its way, and why it cannot be carried out.

use std::io;
use std::net::SocketAddr;

use zillions_harness::MachineFault;

use crate::plan::PlanError;

/// The phase that a trial has entered; reported on the generator's own thread, so handle it quickly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every client is connected and has received a message; the load begins.
    WarmUp,
    /// The window begins.
    Measure,
    /// The window has ended; messages under way may still arrive.
    Drain,
}

/// A trial that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan is wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Not all clients could connect.
    #[error("connected {connected} of {clients} clients to {address}, then: {source}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// How many had connected.
        connected: usize,
        /// How many were to.
        clients: usize,
        /// What the system said.
        source: io::Error,
    },
    /// Connected, but the server ended a connection before it had served all.
    #[error("connection {client} of {clients} ended before the load began: {reason}")]
    LostEarly {
        /// Which, from 0.
        client: usize,
        /// How many there were.
        clients: usize,
        /// How it went.
        reason: String,
    },
    /// Connected, but no message arrived.
    #[error(
        "only {served} of {clients} clients received a message within {seconds} s of connecting"
    )]
    NotServed {
        /// How many received it.
        served: usize,
        /// How many were to.
        clients: usize,
        /// How long the generator waited.
        seconds: f64,
    },
    /// The server closed every connection before the window had ended.
    #[error("the server lost all {clients} connections {seconds:.3} s into the load: {reason}")]
    AllLost {
        /// How many there were.
        clients: usize,
        /// When the last one went.
        seconds: f64,
        /// How it went.
        reason: String,
    },
    /// This machine does not let the generator connect.
    #[error(transparent)]
    Machine(#[from] MachineFault),
    /// The generator's own system calls failed.
    #[error("system call of the load generator failed: {0}")]
    System(#[from] io::Error),
}

impl LoadError {
    /// Not all clients could connect, through the server's or the machine's fault.
    pub(crate) fn connect(
        address: SocketAddr,
        connected: usize,
        clients: usize,
        source: io::Error,
    ) -> Self {
        match MachineFault::of(&source) {
            Some(fault) => Self::Machine(fault),
            None => Self::Connect { address, connected, clients, source },
        }
    }

    /// Whether the end of the server would look like this on its connections.
    #[must_use]
    pub fn may_be_the_servers_end(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::LostEarly { .. } | Self::AllLost { .. })
    }
}
