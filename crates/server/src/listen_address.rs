//! What an operator writes to say where to listen, and what is spoken there.

use std::net::SocketAddr;

use crate::error::Error;
use crate::listen::parse;

/// What is spoken at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// The protocol itself.
    Plain,
    /// The protocol's frames in binary messages; and HTTP, for a chat page.
    WebSocket,
}

impl Scheme {
    /// What stands before the address.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::WebSocket => "ws://",
        }
    }

    /// The scheme, and the address after it.
    pub(crate) fn split(text: &str) -> (Self, &str) {
        match text.strip_prefix(Self::WebSocket.prefix()) {
            Some(rest) => (Self::WebSocket, rest),
            None => (Self::Plain, text),
        }
    }
}

/// Parses `HOST:PORT` or `ws://HOST:PORT`.
///
/// # Errors
/// [`Error::Address`].
pub(crate) fn parse_listen(text: &str) -> Result<(Scheme, SocketAddr), Error> {
    let (scheme, rest) = Scheme::split(text);
    if let Some((unknown, _)) = rest.split_once("://") {
        let reason = format!("'{unknown}://' is not supported, ws:// is");
        return Err(Error::Address { text: text.to_owned(), reason });
    }
    Ok((scheme, parse(rest)?))
}
