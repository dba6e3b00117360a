//! Where to chat: `HOST:PORT`, `tls://…`, `ws://…` or `wss://…`.

use std::fmt;
use std::str::FromStr;

use zillions_client::Address;

/// What frames travel in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// The connection itself.
    Stream,
    /// The binary messages of a WebSocket.
    WebSocket {
        /// With its `/`, and with the query if there is one.
        path: String,
    },
}

/// A server's address as a user writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    pub(crate) host: Address,
    pub(crate) tls: bool,
    pub(crate) carrier: Carrier,
}

impl ServerAddress {
    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether it is a WebSocket's.
    #[must_use]
    pub fn is_web_socket(&self) -> bool {
        matches!(self.carrier, Carrier::WebSocket { .. })
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    /// Reads an address; the error is the reason why it is invalid.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self { host: text.parse()?, tls: false, carrier: Carrier::Stream });
        };
        match scheme.to_ascii_lowercase().as_str() {
            "tls" => Ok(Self { host: rest.parse()?, tls: true, carrier: Carrier::Stream }),
            "ws" => web_socket(rest, false),
            "wss" => web_socket(rest, true),
            _ => Err(format!(
                "unknown scheme '{scheme}': write HOST:PORT, tls://HOST:PORT, ws://HOST:PORT/PATH \
                 or wss://HOST:PORT/PATH"
            )),
        }
    }
}

fn web_socket(rest: &str, tls: bool) -> Result<ServerAddress, String> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if host.contains('@') {
        return Err("user names are not supported: give a token with --token-file".to_owned());
    }
    if path.contains('#') {
        return Err(
            "the path of a WebSocket has no fragment: leave out what follows '#'".to_owned()
        );
    }
    if let Some(other) = path.chars().find(|it| !it.is_ascii_graphic()) {
        return Err(format!("invalid character {other:?} in the path: write it as %XX"));
    }
    // As in a browser, the port may be left out.
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let host = match has_port {
        true => host.parse()?,
        false => format!("{host}:{}", if tls { 443 } else { 80 }).parse()?,
    };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(ServerAddress { host, tls, carrier: Carrier::WebSocket { path } })
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.carrier, self.tls) {
            (Carrier::Stream, false) => write!(f, "{}", self.host),
            (Carrier::Stream, true) => write!(f, "tls://{}", self.host),
            (Carrier::WebSocket { path }, false) => write!(f, "ws://{}{path}", self.host),
            (Carrier::WebSocket { path }, true) => write!(f, "wss://{}{path}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_back() {
        for (text, written) in [
            ("localhost:8080", "localhost:8080"),
            ("tls://chat.example.org:7000", "tls://chat.example.org:7000"),
            ("TLS://[::1]:7000", "tls://[::1]:7000"),
            ("ws://localhost:8080", "ws://localhost:8080/"),
            ("ws://localhost/room?a=b", "ws://localhost:80/room?a=b"),
            ("wss://[::1]", "wss://[::1]:443/"),
            ("wss://h:1?a", "wss://h:1/?a"),
        ] {
            let address: ServerAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), written);
        }
    }

    #[test]
    fn an_invalid_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("localhost", "the port is missing"),
            ("tls://localhost", "the port is missing"),
            ("https://localhost:1", "unknown scheme 'https'"),
            ("ws://", "the host is missing"),
            ("ws://h:0/", "invalid port \"0\""),
            ("ws://h:1/a b", "invalid character ' '"),
            ("ws://h:1/ü", "invalid character 'ü'"),
            ("ws://h:1/#a", "the path of a WebSocket has no fragment"),
            ("ws://me:secret@h:1/", "user names are not supported"),
        ] {
            let error = text.parse::<ServerAddress>().expect_err(text);
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }
}
