//! Why a server did not start, or ended unasked.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use zillions_log::LogError;

/// Why a server did not start, or ended unasked. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is invalid.
    #[error(
        "invalid address '{text}': {reason}; write HOST:PORT, for example 127.0.0.1:8080 or [::1]:8080"
    )]
    Address {
        /// As given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two addresses are the same.
    #[error("address {address} is given twice")]
    AddressTwice {
        /// The address.
        address: SocketAddr,
    },
    /// Limits contradict each other, or an option has no effect.
    #[error("{0}")]
    Contradiction(String),
    /// The config file cannot be read, or is wrong.
    #[error("{}{}: {what}", path.display(), position(*line))]
    Config {
        /// The file.
        path: PathBuf,
        /// The line, from 1, if it is known.
        line: Option<usize>,
        /// What is wrong.
        what: String,
    },
    /// The ring cannot be created.
    #[error("--ring-bytes: {0}")]
    Ring(#[source] LogError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}{}", advice(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// What a service manager passed is not what the server can use.
    #[error("{what}, passed by the service manager, {reason}")]
    Passed {
        /// The descriptor.
        what: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The descriptor limit is too low for `--max-clients`.
    #[error(
        "--max-clients {clients} needs {needed} descriptors, and the limit of this process is \
         {limit}: raise it (ulimit -n {needed}, or LimitNOFILE= of a service) or allow fewer clients"
    )]
    DescriptorsOfClients {
        /// The requested number of clients.
        clients: usize,
        /// How many descriptors that takes.
        needed: u64,
        /// The limit.
        limit: u64,
    },
    /// The descriptor limit is too low for anything.
    #[error(
        "too few descriptors: the limit of this process is {limit}: raise it (ulimit -n {needed} or \
         more, or LimitNOFILE= of a service), or use fewer --shards"
    )]
    Descriptors {
        /// How many are certainly enough for one client.
        needed: u64,
        /// The limit.
        limit: u64,
    },
    /// The requested engine does not work here.
    #[error("the {name} engine does not work here: {source}{advice}; use --engine auto or epoll")]
    Engine {
        /// The engine, as the command line names it.
        name: &'static str,
        /// What the error means for this engine.
        advice: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A system call failed that does not fail in a healthy process.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The uplink of an edge ended unasked.
    #[error("the uplink ended: it panicked, which is a bug")]
    Uplink,
    /// A shard ended unasked.
    #[error("shard {number} ended: {reason}")]
    Shard {
        /// Its number.
        number: usize,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// The exit code: 64 if the command line or the config file is wrong, 70 if the server cannot run here.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Address { .. }
            | Self::AddressTwice { .. }
            | Self::Contradiction(_)
            | Self::Passed { .. }
            | Self::Config { .. }
            | Self::Ring(LogError::Size { .. }) => 64,
            _ => 70,
        }
    }
}

fn position(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(":{line}"))
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: stop it or choose another port"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has the address",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege: choose a higher one"
        }
        _ => "",
    }
}
