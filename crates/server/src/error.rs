//! Why a server did not start, or ended without being told to.

use std::io;
use std::net::SocketAddr;

use zillions_log::LogError;

/// Why a server did not start, or ended without being told to. Each is one clear line.
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
    /// The ring cannot be made.
    #[error("--ring-bytes: {0}")]
    Ring(#[source] LogError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}{}", advice(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The descriptor limit is too low for what was asked.
    #[error(
        "--max-clients {clients} needs {needed} descriptors, and the limit of this process is \
         {limit}: raise it (ulimit -n {needed}, or LimitNOFILE= of a service) or allow fewer clients"
    )]
    Descriptors {
        /// How many clients were asked for.
        clients: usize,
        /// How many descriptors that takes.
        needed: u64,
        /// How many there may be.
        limit: u64,
    },
    /// The engine that was asked for does not work here.
    #[error(
        "the io-uring engine does not work here: {source}{}; use --engine auto or epoll",
        uring_advice(source)
    )]
    Uring {
        /// What the system said.
        source: io::Error,
    },
    /// A system call that does not fail in a healthy process did.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A shard ended.
    #[error("shard {number} ended: {reason}")]
    Shard {
        /// Its number.
        number: usize,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// The exit code: 64 for what the command line says, 70 for what is so around the server.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Address { .. } | Self::AddressTwice { .. } | Self::Contradiction(_) => 64,
            Self::Ring(LogError::Size { .. }) => 64,
            _ => 70,
        }
    }
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

fn uring_advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            " (io_uring is switched off by kernel.io_uring_disabled or a container's seccomp profile)"
        }
        io::ErrorKind::OutOfMemory => " (the limit of locked memory, ulimit -l, may be too low)",
        io::ErrorKind::Unsupported => " (the kernel is older than io_uring)",
        _ => "",
    }
}
