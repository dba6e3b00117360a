//! Addresses as a user writes them, checked before anything is started.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Socket, Type};

/// Held while a trial socket is open, and while a child is between its fork and
/// its exec: a child that inherited the trial socket, however briefly, would
/// make the port look taken to the next one who tries. The interrupt handler takes
/// it for good: no child is half started then, and none is started any more.
pub(crate) static NO_FORK: Mutex<()> = Mutex::new(());

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not `HOST:PORT` with an IP address.
    #[error(
        "invalid address '{text}': write HOST:PORT with an IP address, for example 127.0.0.1:8080 or [::1]:8080"
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

/// Parses `HOST:PORT`, where the host is an IP address.
///
/// # Errors
/// [`AddressError::Unparsable`].
pub fn parse(text: &str) -> Result<SocketAddr, AddressError> {
    text.parse().map_err(|_| AddressError::Unparsable { text: text.to_owned() })
}

/// Finds out, by binding a socket for a moment, whether a server could listen
/// on `address` now.
///
/// # Errors
/// Every variant but `Unparsable`.
pub fn check_free(address: SocketAddr) -> Result<(), AddressError> {
    match try_bind(address) {
        Ok(()) => Ok(()),
        Err(source) => Err(match source.kind() {
            io::ErrorKind::AddrInUse => AddressError::InUse { address },
            io::ErrorKind::AddrNotAvailable => AddressError::NotLocal { address },
            io::ErrorKind::PermissionDenied => AddressError::NoPermission { address },
            _ => AddressError::Bind { address, source },
        }),
    }
}

/// Binds and does not listen: where somebody listens this fails all the same,
/// and a socket that does not listen is in nobody's way.
fn try_bind(address: SocketAddr) -> io::Result<()> {
    let _no_fork = NO_FORK.lock().unwrap_or_else(PoisonError::into_inner);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}
