//! Listening sockets that a service manager has opened and passes on: sd_listen_fds(3).
//!
//! They outlive the server: what connects while it restarts waits in them and is served then. So
//! they are never shut down, which would close them for the manager, too.

use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Socket, Type};

use crate::error::Error;

/// The passed sockets that nothing has taken yet.
#[derive(Debug, Default)]
pub struct Passed {
    sockets: Vec<PassedSocket>,
}

/// A listening TCP socket.
#[derive(Debug)]
struct PassedSocket {
    /// As `FileDescriptorName=` of the manager says.
    name: String,
    address: SocketAddr,
    socket: Socket,
}

impl Passed {
    /// What was passed to this process. It must be called before the process opens anything, and
    /// gives them only once.
    ///
    /// # Errors
    /// [`Error::Passed`], for something that is no listening TCP socket.
    pub fn from_environment() -> Result<Self, Error> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(Self::default());
        }
        let invalid = |reason| Error::Passed { what: "LISTEN_FDS".into(), reason };
        let passed = sd_notify::listen_fds_with_names();
        let passed = passed.map_err(|error| invalid(format!("is of no use: {error}")))?;
        let sockets = passed.map(|(number, name)| PassedSocket::new(number, name));
        Ok(Self { sockets: sockets.collect::<Result<_, _>>()? })
    }

    /// The socket that listens on this address, if one was passed.
    pub(crate) fn take(&mut self, address: SocketAddr) -> Option<Socket> {
        let index = self.sockets.iter().position(|passed| passed.address == address)?;
        Some(self.sockets.remove(index).socket)
    }

    /// All addresses have been served.
    ///
    /// # Errors
    /// [`Error::Passed`], for a socket that nobody wanted: clients that connect to it would wait for
    /// ever.
    pub fn end(self) -> Result<(), Error> {
        let Some(PassedSocket { name, address, .. }) = self.sockets.first() else { return Ok(()) };
        let reason = format!(
            "listens on {address}, which is none of the addresses to serve: give it, or end \
             what opens it"
        );
        Err(Error::Passed { what: format!("socket '{name}'"), reason })
    }
}

impl PassedSocket {
    fn new(number: RawFd, name: String) -> Result<Self, Error> {
        // SAFETY: the manager opened it for this process, which nothing else in it knows of:
        // nothing has been opened yet, and this runs once.
        let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(number) });
        let invalid =
            |reason| Err(Error::Passed { what: format!("descriptor {number} ('{name}')"), reason });
        let is_tcp = socket.r#type().is_ok_and(|it| it == Type::STREAM)
            && socket.domain().is_ok_and(|it| [Domain::IPV4, Domain::IPV6].contains(&it));
        if !is_tcp || !socket.is_listener().unwrap_or(false) {
            return invalid(
                "is not a listening TCP socket; see ListenStream= and Accept=no".into(),
            );
        }
        if let Err(error) = socket.set_nonblocking(true) {
            return invalid(format!("cannot be used: {error}"));
        }
        match socket.local_addr().map(|address| address.as_socket()) {
            Ok(Some(address)) => Ok(Self { name, address, socket }),
            _ => invalid("has no address".into()),
        }
    }
}
