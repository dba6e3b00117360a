//! Why a stress test could not be completed.

use std::net::SocketAddr;

use zillions_ordering::Unconfirmed;

use crate::parameters::CLIENTS_MAX;

/// Why the test could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum StressError {
    /// More clients than a body can number.
    #[error("{clients} clients are too many: at most {CLIENTS_MAX} per repetition")]
    TooManyClients {
        /// Publishers and subscribers together.
        clients: u64,
    },
    /// Nowhere to connect to.
    #[error("no address of a server is given")]
    NoAddress,
    /// The operating system gave no epoll instance or socket.
    #[error("cannot set up the clients: {0}")]
    Setup(std::io::Error),
    /// A client could not connect.
    #[error("client #{client} cannot connect to {address} in repetition {repetition}: {source}")]
    Connect {
        /// Its number.
        client: usize,
        /// The server's address.
        address: SocketAddr,
        /// From 1.
        repetition: u32,
        /// The system's error.
        source: std::io::Error,
    },
    /// A client never received what it sent before the test began.
    #[error(
        "client #{client} connected in repetition {repetition}, but the server did not send it its \
         own message within {seconds} s"
    )]
    NoEcho {
        /// Its number.
        client: usize,
        /// From 1.
        repetition: u32,
        /// How long it waited.
        seconds: f64,
    },
    /// Clients at several addresses do not hear each other: not one service.
    #[error(
        "what client #{client} sends at {from} does not reach all clients at all addresses within \
         {seconds} s: do they lead to one service?"
    )]
    Apart {
        /// Its number.
        client: usize,
        /// Its address.
        from: SocketAddr,
        /// How long it waited.
        seconds: f64,
    },
    /// The server ended a connection.
    #[error(
        "the server closed the connection of client #{client} in repetition {repetition}: {reason}"
    )]
    Lost {
        /// Its number.
        client: usize,
        /// From 1.
        repetition: u32,
        /// End of file, or what the system said.
        reason: String,
    },
    /// The checker of the order failed.
    #[error(transparent)]
    Checker(#[from] Unconfirmed),
}
