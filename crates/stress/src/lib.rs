//! The stress test of the original zillions, done right.
//!
//! A repetition launches the publishers, each with its subscribers, all of them
//! ordinary clients. Each publisher sends its messages one after another and
//! waits until its subscribers have each, or a time-out has passed. Bodies have
//! every length from 0 to 255 bytes. Every frame that any client receives is
//! recorded, and when the repetition ends the whole history is checked for
//! integrity, FIFO, total and causal order across all publishers.
//!
//! [`run`] drives all clients from one thread: that gives the history its order
//! without locks, and the load one clock.

mod body;
mod client;
mod outcome;
mod repetition;

pub use outcome::{Latency, Summary, Violation};

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use zillions_ordering::Unconfirmed;

use crate::repetition::Repetition;

/// Most clients of a repetition: a client's number has two bytes in a body.
pub const CLIENTS_MAX: u64 = u16::MAX as u64;

/// Longest latency that is recorded exactly, in nanoseconds: 10 minutes.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// What to send, and how often.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// Clients that send.
    pub publishers: u16,
    /// Clients that wait for the messages of a publisher, per publisher.
    pub subscribers: u16,
    /// Messages that each publisher sends in one repetition.
    pub messages: u32,
    /// Repetitions of all of that, each with new connections.
    pub repetitions: u32,
    /// How long a publisher waits for its subscribers.
    pub timeout: Duration,
    /// Determines lengths and contents of the bodies.
    pub seed: u64,
}

impl Parameters {
    /// Clients of one repetition, publishers and subscribers together.
    pub fn clients(&self) -> u64 {
        u64::from(self.publishers) * (1 + u64::from(self.subscribers))
    }
}

/// Why the test could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum StressError {
    /// More clients than a body can number.
    #[error("{clients} clients are too many: at most {CLIENTS_MAX} per repetition")]
    TooManyClients {
        /// Publishers and subscribers together.
        clients: u64,
    },
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

/// Reported after each repetition.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Repetitions done.
    pub repetitions: u32,
    /// Deliveries so far.
    pub delivered: u64,
    /// Drops so far.
    pub dropped: u64,
}

/// Tests the server at `address` and stops at the first violation.
///
/// # Errors
/// When the clients cannot be set up, or the server drops a connection.
pub fn run(
    parameters: &Parameters,
    address: SocketAddr,
    observe: &mut dyn FnMut(Progress),
) -> Result<Summary, StressError> {
    if parameters.clients() > CLIENTS_MAX {
        return Err(StressError::TooManyClients { clients: parameters.clients() });
    }
    let started = Instant::now();
    let mut latency = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
        .map_err(|error| StressError::Setup(std::io::Error::other(error.to_string())))?;
    let mut summary = Summary::default();
    for number in 1..=parameters.repetitions {
        let result = Repetition::start(parameters, address, number, &mut latency)?.finish()?;
        summary.add(result);
        observe(Progress {
            repetitions: number,
            delivered: summary.delivered,
            dropped: summary.dropped,
        });
        if summary.violation.is_some() {
            break;
        }
    }
    summary.seconds = started.elapsed().as_secs_f64();
    summary.latency = Latency::of(&latency);
    Ok(summary)
}
