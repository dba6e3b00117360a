//! TLS as a codec: `rustls` behind the shard's interface.
//!
//! [`config`] makes of the options what all connections share; [`connection`] is the codec, and
//! [`over`] puts another one on it. Why it is built so: `docs/design/0020-tls.md`.

mod client_names;
mod config;
mod connection;
mod over;
mod pem;
mod trust;

use std::sync::Arc;

use rustls::ServerConfig;

use crate::codec::{Codec, Protocol};
pub(crate) use config::server_config;
use connection::Connection;
use over::Over;
pub(crate) use trust::{client_config, tls_reason};

/// What the clients of a `tls://` address speak, or of a `wss://` address.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    /// What is spoken inside, if not the plain protocol.
    inner: Option<Arc<dyn Protocol>>,
}

impl Tls {
    pub(crate) fn new(config: Arc<ServerConfig>, inner: Option<Arc<dyn Protocol>>) -> Self {
        Self { config, inner }
    }
}

impl Protocol for Tls {
    fn name(&self) -> &'static str {
        match self.inner {
            None => "tls",
            Some(_) => "websocket-tls",
        }
    }

    fn codec(&self) -> Box<dyn Codec> {
        let tls = Connection::new(&self.config);
        match &self.inner {
            None => Box::new(tls),
            Some(inner) => Box::new(Over::new(tls, inner.codec())),
        }
    }
}

#[cfg(test)]
mod tests;
