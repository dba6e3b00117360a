//! What can go wrong.

use std::io;
use std::net::SocketAddr;

/// Why the server did not start, or stopped without being told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address argument is missing.
    #[error("no address given: the one argument is HOST:PORT")]
    NoAddress,
    /// The argument is not an address.
    #[error(
        "invalid address '{argument}': {reason}; write HOST:PORT, for example 127.0.0.1:8080 or [::1]:8080"
    )]
    BadAddress {
        /// The argument as given.
        argument: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A system call that never fails in a healthy process failed.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The chosen fault ended the server.
    #[error("ended by the fault `{fault}`: {reason}")]
    Fault {
        /// The fault's name.
        fault: &'static str,
        /// What set it off.
        reason: String,
    },
}

impl Error {
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}
