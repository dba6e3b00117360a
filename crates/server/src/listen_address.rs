//! What an operator writes to say where to listen, and what is spoken there.

use std::net::SocketAddr;

use crate::error::Error;
use crate::listen::parse;

/// What is spoken at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// The protocol itself.
    Plain,
    /// The protocol, encrypted.
    Tls,
    /// The protocol's frames in binary messages; and HTTP, for a chat page.
    WebSocket,
    /// WebSocket, encrypted; and HTTPS.
    SecureWebSocket,
}

impl Scheme {
    /// Those that stand before the address.
    const WRITTEN: [Self; 3] = [Self::Tls, Self::WebSocket, Self::SecureWebSocket];

    /// What stands before the address.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Tls => "tls://",
            Self::WebSocket => "ws://",
            Self::SecureWebSocket => "wss://",
        }
    }

    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::SecureWebSocket)
    }

    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::SecureWebSocket)
    }

    /// The scheme, and the address after it.
    pub(crate) fn split(text: &str) -> (Self, &str) {
        let split = |scheme: Self| Some((scheme, text.strip_prefix(scheme.prefix())?));
        Self::WRITTEN.into_iter().find_map(split).unwrap_or((Self::Plain, text))
    }
}

/// Parses `HOST:PORT`, with the prefix of a [`Scheme`] before it or none.
///
/// # Errors
/// [`Error::Address`].
pub(crate) fn parse_listen(text: &str) -> Result<(Scheme, SocketAddr), Error> {
    let (scheme, rest) = Scheme::split(text);
    let invalid = |reason| Error::Address { text: text.to_owned(), reason };
    if let Some((unknown, _)) = rest.split_once("://") {
        let reason = format!("'{unknown}://' is not supported; tls://, ws:// and wss:// are");
        return Err(invalid(reason));
    }
    match parse(rest) {
        Ok(address) => Ok((scheme, address)),
        // As it was given.
        Err(Error::Address { reason, .. }) => Err(invalid(reason)),
        Err(error) => Err(error),
    }
}
