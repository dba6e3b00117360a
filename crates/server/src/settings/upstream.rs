//! What the options of a room say of upstream servers.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::error::Error;
use crate::listen::{includes, parse};
use crate::options::RoomOptions;
use crate::tls::client_config;
use crate::upstream::address::UpstreamAddress;

/// Checks that an upstream server has an address now, and that it is none of these, which the
/// server listens on.
///
/// # Errors
/// [`Error::Address`] or [`Error::Contradiction`].
pub(super) fn check(text: &str, listening: &[SocketAddr]) -> Result<(), Error> {
    let address = parse(&UpstreamAddress::parse(text)?.host_and_port)?;
    if address.port() == 0 {
        return Err(Error::Contradiction(format!(
            "--upstream {text}: port 0 is not a port to connect to"
        )));
    }
    let is_here = address.ip().is_loopback() || address.ip().is_unspecified();
    if listening.contains(&address) || (is_here && includes(listening, address)) {
        return Err(Error::Contradiction(format!(
            "--upstream {text} is where this server itself listens: nobody would make an order"
        )));
    }
    Ok(())
}

/// The file of certificates to trust, if there is one. Whatever is to be trusted can be read.
///
/// # Errors
/// [`Error::Contradiction`], which names the option.
pub(super) fn ca(options: &RoomOptions) -> Result<Option<PathBuf>, Error> {
    let file = &options.upstream_ca_file;
    let addresses: Result<Vec<_>, _> =
        options.upstream.iter().map(|text| UpstreamAddress::parse(text)).collect();
    if addresses?.iter().any(|address| address.tls_name.is_some()) {
        client_config("--upstream-ca-file", file.as_deref())?;
    } else if file.is_some() {
        return Err(Error::Contradiction(
            "--upstream-ca-file requires an --upstream that begins with tls://".into(),
        ));
    }
    Ok(file.clone())
}
