//! The other side of TLS: what a client of another server trusts.

use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{
    CertificateError, ClientConfig, Error as TlsError, HandshakeType, InvalidMessage, RootCertStore,
};

use super::pem;
use crate::error::Error;

/// Checks servers by the authorities in the file of `option`, or by the system's.
///
/// # Errors
/// [`Error::Contradiction`], which names the option: there are none, or the file cannot be used.
pub(crate) fn client_config(option: &str, file: Option<&Path>) -> Result<Arc<ClientConfig>, Error> {
    let roots = match file {
        Some(path) => pem::authorities(option, path)?,
        None => system_authorities(option)?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn system_authorities(option: &str) -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some that cannot be read are common, and none of them may be needed.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let reason = found.errors.first().map(ToString::to_string);
    Err(Error::Contradiction(format!(
        "the system has no certificate authorities ({}): name one with {option} FILE",
        reason.as_deref().unwrap_or("none were found")
    )))
}

/// Why TLS to another server failed, in one line, and what to do where that is known; `None` if the
/// error is not of TLS, nor caused by one. `option` names the file of certificates.
pub(crate) fn tls_reason(error: &(dyn StdError + 'static), option: &str) -> Option<String> {
    let tls = find_tls_error(error)?;
    Some(match tls {
        // An authority of the same name and another key is as unknown.
        TlsError::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => format!("its certificate is of an unknown authority: name it with {option}"),
        // The second is what a server of plain text sends back.
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType)
        | TlsError::InappropriateHandshakeMessage {
            got_type: HandshakeType::ClientHello, ..
        } => {
            format!("it does not speak TLS there: leave out tls:// and {option}")
        }
        error => format!("TLS failed: {error}"),
    })
}

fn find_tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a TlsError> {
    if let Some(found) = error.downcast_ref::<TlsError>() {
        return Some(found);
    }
    // What an I/O error was made of is not its source, but inside.
    let inner = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
    match inner {
        Some(inner) => find_tls_error(inner),
        None => find_tls_error(error.source()?),
    }
}
