//! Addresses as a user writes them, checked before anything is started.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not `IP:PORT`.
    #[error(
        "'{text}' is no address to listen on: write IP:PORT, for example 127.0.0.1:8080 or [::1]:8080"
    )]
    Unparsable {
        /// What was given.
        text: String,
    },
    /// Somebody listens there already.
    #[error(
        "address {address} is in use by another process: choose another one, or stop that process"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// No interface of this machine has it.
    #[error("address {address} is not an address of this machine: choose a local one, for example 127.0.0.1:{}", address.port())]
    NotLocal {
        /// The address.
        address: SocketAddr,
    },
    /// Ports below 1024, usually.
    #[error("no permission to listen on {address}: choose a port of 1024 or above")]
    NoPermission {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else that bind says.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Parses `IP:PORT`.
///
/// # Errors
/// [`AddressError::Unparsable`].
pub fn parse(text: &str) -> Result<SocketAddr, AddressError> {
    text.parse().map_err(|_| AddressError::Unparsable { text: text.to_owned() })
}

/// Finds out, by listening there for a moment, whether a server could listen
/// on `address` now.
///
/// # Errors
/// Every variant but `Unparsable`.
pub fn check_free(address: SocketAddr) -> Result<(), AddressError> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => Err(match source.kind() {
            io::ErrorKind::AddrInUse => AddressError::InUse { address },
            io::ErrorKind::AddrNotAvailable => AddressError::NotLocal { address },
            io::ErrorKind::PermissionDenied => AddressError::NoPermission { address },
            _ => AddressError::Bind { address, source },
        }),
    }
}
