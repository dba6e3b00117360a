//! Reaching a server by the address that a user writes.

use std::{
    fmt, io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    str::FromStr,
    time::Duration,
};

use zillions_harness::MachineFault;

/// How long one address is tried.
const CONNECT_SECONDS_MAX: u64 = 10;

/// `HOST:PORT`, where the host is a name or an IP address (IPv6 in brackets).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Without brackets.
    host: String,
    /// Never 0.
    port: u16,
}

impl Address {
    /// The name or the IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for Address {
    type Err = String;

    /// Reads an address; the error is the reason why it is invalid.
    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write HOST:PORT, for example localhost:8080 or [::1]:8080";
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        if port.is_empty() {
            return Err(format!("the port is missing: {FORM}"));
        }
        let in_brackets = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let host = in_brackets.unwrap_or(host);
        if host.is_empty() {
            return Err(format!("the host is missing: {FORM}"));
        }
        if host.contains(['[', ']']) || host.contains(':') != in_brackets.is_some() {
            return Err(format!("brackets enclose an IPv6 address and nothing else: {FORM}"));
        }
        match port.parse() {
            Ok(port) if port != 0 => Ok(Self { host: host.to_owned(), port }),
            _ => Err(format!("invalid port {port:?}: use a number from 1 to 65535")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Connects to the first address of the host that answers, each within ten seconds.
///
/// # Errors
///
/// One line that names the address and all that was tried.
pub fn connect(address: &Address) -> Result<TcpStream, String> {
    let resolved = (address.host.as_str(), address.port).to_socket_addrs();
    let found = resolved.map_err(|error| format!("cannot look up the host: {error}"));
    found
        .and_then(|found| connect_any(found, &address.to_string()))
        .map_err(|reason| format!("cannot connect to {address}: {reason}"))
}

fn connect_any(
    addresses: impl Iterator<Item = SocketAddr>,
    as_given: &str,
) -> Result<TcpStream, String> {
    let mut attempts: Vec<(SocketAddr, io::Error)> = Vec::new();
    for address in addresses {
        let timeout = Duration::from_secs(CONNECT_SECONDS_MAX);
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => attempts.push((address, error)),
        }
    }
    match &attempts[..] {
        [] => Err("the host has no address".to_owned()),
        // Nothing to add if the user gave that very address.
        [(only, error)] if only.to_string() == as_given => Err(MachineFault::explain(error)),
        _ => {
            let each = attempts
                .iter()
                .map(|(address, error)| format!("{address}: {}", MachineFault::explain(error)));
            Err(format!("tried {}", each.collect::<Vec<_>>().join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn names_and_ip_addresses_are_read_and_written_back() {
        for (text, host, port) in [
            ("127.0.0.1:8080", "127.0.0.1", 8080),
            ("localhost:1", "localhost", 1),
            ("[::1]:65535", "::1", 65535),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!((&*address.host, address.port), (host, port));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn an_invalid_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "the port is missing"),
            ("localhost", "the port is missing"),
            ("localhost:", "the port is missing"),
            (":8080", "the host is missing"),
            ("[]:8080", "the host is missing"),
            ("localhost:http", "invalid port \"http\""),
            ("localhost:0", "invalid port \"0\""),
            ("localhost:65536", "invalid port \"65536\""),
            ("::1:8080", "brackets"),
            ("[::1:8080", "brackets"),
            ("::1]:8080", "brackets"),
            ("[localhost]:8080", "brackets"),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }

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
        let stream = connect_any([refused, answering].into_iter(), "a name").expect("one answers");
        assert_eq!(stream.peer_addr().expect("connected"), answering);
    }

    #[test]
    fn the_error_names_all_that_was_tried() {
        const REFUSED: &str = "Connection refused (os error 111)";
        let ((first, _held), (second, _held_too)) = (refusing(), refusing());
        let error = |addresses: &[SocketAddr], as_given: &str| {
            connect_any(addresses.iter().copied(), as_given).expect_err("nobody answers")
        };
        let both = format!("tried {first}: {REFUSED}; {second}: {REFUSED}");
        assert_eq!(error(&[first, second], "chat.example:8080"), both);
        assert_eq!(error(&[first], "chat.example:8080"), format!("tried {first}: {REFUSED}"));
        assert_eq!(error(&[first], &first.to_string()), REFUSED);
        assert_eq!(error(&[], "chat.example:8080"), "the host has no address");
    }
}
