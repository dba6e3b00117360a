//! Where the server is.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A server's address as a user writes it: `HOST:PORT`, where the host is a name or an IP address
/// (IPv6 in brackets).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The host without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// There is no colon, or nothing after it.
    #[error("the port is missing: write HOST:PORT, such as localhost:8080")]
    NoPort,
    /// There is nothing before the port.
    #[error("the host is missing: write HOST:PORT, such as localhost:8080")]
    NoHost,
    /// What stands after the last colon is no port.
    #[error("{0:?} is no port: use a number from 1 to 65535")]
    BadPort(String),
    /// Several colons without brackets, or brackets that do not match.
    #[error("an IPv6 address is written in brackets, such as [::1]:8080")]
    Brackets,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or(AddressError::Brackets)?,
            None if host.contains([':', ']']) => return Err(AddressError::Brackets),
            None => host,
        };
        if host.is_empty() {
            return Err(AddressError::NoHost);
        }
        if port.is_empty() {
            return Err(AddressError::NoPort);
        }
        match port.parse() {
            Ok(port) if port != 0 => Ok(Self { host: host.to_owned(), port }),
            _ => Err(AddressError::BadPort(port.to_owned())),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ip_addresses_are_read_and_written_back() {
        for (text, host, port) in [
            ("127.0.0.1:8080", "127.0.0.1", 8080),
            ("localhost:1", "localhost", 1),
            ("[::1]:65535", "::1", 65535),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!((address.host(), address.port()), (host, port));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is_wrong() {
        for (text, error) in [
            ("", AddressError::NoPort),
            ("localhost", AddressError::NoPort),
            ("localhost:", AddressError::NoPort),
            (":8080", AddressError::NoHost),
            ("[]:8080", AddressError::NoHost),
            ("localhost:http", AddressError::BadPort("http".to_owned())),
            ("localhost:0", AddressError::BadPort("0".to_owned())),
            ("localhost:65536", AddressError::BadPort("65536".to_owned())),
            ("::1:8080", AddressError::Brackets),
            ("[::1:8080", AddressError::Brackets),
            ("::1]:8080", AddressError::Brackets),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }
}
