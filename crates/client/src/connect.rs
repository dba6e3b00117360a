//! Reaching a server.

use std::{
    fmt, io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

use thiserror::Error;

use crate::Address;

/// How long one address is tried.
const CONNECT_SECONDS_MAX: u64 = 10;

/// Why no server was reached.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The host's name could not be resolved.
    #[error("cannot connect to {address}: cannot look up the host: {source}")]
    LookUp {
        /// What was to be reached.
        address: Address,
        /// What the resolver says.
        source: io::Error,
    },
    /// No address of the host answered.
    #[error("cannot connect to {address}: {}", tried(address, attempts))]
    NoAnswer {
        /// What was to be reached.
        address: Address,
        /// What was tried, in order; empty if the host has no address.
        attempts: Vec<Attempt>,
    },
}

/// An address that was tried in vain.
#[derive(Debug)]
pub struct Attempt {
    /// The address.
    pub address: SocketAddr,
    /// Why it is of no use.
    pub error: io::Error,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.error)
    }
}

fn tried(address: &Address, attempts: &[Attempt]) -> String {
    match attempts {
        [] => "the host has no address".to_owned(),
        // Nothing to add if the user named that very address.
        [only] if only.address.to_string() == address.to_string() => only.error.to_string(),
        _ => {
            let attempts: Vec<_> = attempts.iter().map(ToString::to_string).collect();
            format!("tried {}", attempts.join("; "))
        }
    }
}

/// Connects to the first address of the host that answers.
///
/// # Errors
///
/// [`ConnectError`] with every address tried and what came of it.
pub fn connect(address: &Address) -> Result<TcpStream, ConnectError> {
    let resolved = (address.host(), address.port())
        .to_socket_addrs()
        .map_err(|source| ConnectError::LookUp { address: address.clone(), source })?;
    connect_any(resolved)
        .map_err(|attempts| ConnectError::NoAnswer { address: address.clone(), attempts })
}

fn connect_any(addresses: impl Iterator<Item = SocketAddr>) -> Result<TcpStream, Vec<Attempt>> {
    let mut attempts = Vec::new();
    for address in addresses {
        let timeout = Duration::from_secs(CONNECT_SECONDS_MAX);
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => attempts.push(Attempt { address, error }),
        }
    }
    Err(attempts)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// An address where nobody listens, kept from others while the socket lives.
    fn refusing() -> (SocketAddr, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listening = listener.local_addr().expect("its address");
        // A connected socket's own port cannot be listened on by chance, and refuses callers.
        let stream = TcpStream::connect(listening).expect("a connection");
        (stream.local_addr().expect("its address"), stream)
    }

    #[test]
    fn every_address_is_tried_until_one_answers() {
        let (refused, _held) = refusing();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let answering = listener.local_addr().expect("its address");
        let stream = connect_any([refused, answering].into_iter()).expect("the second answers");
        assert_eq!(stream.peer_addr().expect("connected"), answering);
    }

    #[test]
    fn the_error_names_all_that_was_tried() {
        let ((first, _held), (second, _held_too)) = (refusing(), refusing());
        let attempts = connect_any([first, second].into_iter()).expect_err("nobody answers");
        let address = "room.example:8080".parse().expect("an address");
        let error = ConnectError::NoAnswer { address, attempts }.to_string();
        let expected = format!(
            "cannot connect to room.example:8080: tried {first}: Connection refused (os error \
             111); {second}: Connection refused (os error 111)"
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn an_ip_address_is_named_once() {
        let (refused, _held) = refusing();
        let address: Address = refused.to_string().parse().expect("an address");
        let error = connect(&address).expect_err("nobody answers").to_string();
        assert_eq!(
            error,
            format!("cannot connect to {refused}: Connection refused (os error 111)")
        );
    }

    #[test]
    fn a_host_without_an_address_is_an_error() {
        let attempts = connect_any([].into_iter()).expect_err("there is nothing to try");
        let address = "room.example:8080".parse().expect("an address");
        let error = ConnectError::NoAnswer { address, attempts }.to_string();
        assert_eq!(error, "cannot connect to room.example:8080: the host has no address");
    }
}
