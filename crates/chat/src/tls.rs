//! TLS: whom to trust, and the handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use thiserror::Error;

use crate::socket::Socket;

/// Why no certificate can be checked.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file of `--tls-ca` cannot be used.
    #[error("cannot read certificates from '{}': {reason}", path.display())]
    File {
        /// As it was given.
        path: PathBuf,
        /// One line.
        reason: String,
    },
    /// The system has none.
    #[error("the system has no certificate authorities ({0}): name one with --tls-ca FILE")]
    System(String),
    /// The library refused.
    #[error("cannot use TLS: {0}")]
    Library(#[from] rustls::Error),
}

/// Checks servers by the authorities in `file`, or by the system's.
pub(crate) fn trust(file: Option<&Path>) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => add_file(path, &mut roots)?,
        None => {
            let found = rustls_native_certs::load_native_certs();
            // Some that cannot be read are common, and none of them may be needed.
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let reason = found.errors.first().map(ToString::to_string);
                let reason = reason.unwrap_or_else(|| "none were found".to_owned());
                return Err(TrustError::System(reason));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn add_file(path: &Path, roots: &mut RootCertStore) -> Result<(), TrustError> {
    let fail = |reason: String| TrustError::File { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| fail(error.to_string()))?;
        roots.add(certificate).map_err(|error| fail(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(fail("there is no certificate in it (PEM is expected)".to_owned())),
        false => Ok(()),
    }
}

/// A connection with TLS on it.
pub(crate) type TlsStream = StreamOwned<ClientConnection, Socket>;

/// Shakes hands with the server of that name. The error is one line.
pub(crate) fn shake_hands(
    config: &Arc<ClientConfig>,
    host: &str,
    mut socket: Socket,
) -> Result<TlsStream, String> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("a certificate cannot be for the host name '{host}'"))?;
    let mut connection = ClientConnection::new(Arc::clone(config), name)
        .map_err(|error| format!("cannot use TLS: {error}"))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).map_err(|error| reason(&error))?;
    }
    Ok(StreamOwned::new(connection, socket))
}

/// What went wrong, and what to do where that is known.
fn reason(error: &io::Error) -> String {
    use rustls::{CertificateError, Error, InvalidMessage};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match (inner, error.kind()) {
        // An authority of the same name and another key is as unknown.
        (
            Some(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )),
            _,
        ) => "the server's certificate is of an unknown authority: name it with --tls-ca FILE"
            .to_owned(),
        (Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)), _) => {
            "the server does not speak TLS here: leave out tls:// or write ws://".to_owned()
        }
        (Some(error), _) => format!("TLS failed: {error}"),
        (None, io::ErrorKind::TimedOut) => "the TLS handshake timed out".to_owned(),
        (None, io::ErrorKind::UnexpectedEof) => {
            "the server closed the connection during the TLS handshake".to_owned()
        }
        (None, _) => format!("TLS failed: {error}"),
    }
}
