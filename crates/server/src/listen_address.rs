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
    let invalid = |reason| Error::Address { text: text.to_owned(), reason };
    if let Some((unknown, _)) = rest.split_once("://") {
        return Err(invalid(format!("'{unknown}://' is not supported, ws:// is")));
    }
    match parse(rest) {
        Ok(address) => Ok((scheme, address)),
        // As it was given.
        Err(Error::Address { reason, .. }) => Err(invalid(reason)),
        Err(error) => Err(error),
    }
}
