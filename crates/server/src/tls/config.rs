//! From options and files to what all TLS connections share.

use std::path::Path;
use std::sync::Arc;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoClientAuth, NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, InconsistentKeys, RootCertStore, ServerConfig};
use tracing::warn;

use super::client_names::ClientNames;
use super::pem::{self, refused};
use crate::error::Error;
use crate::options::{ClientCertificates, TlsOptions};

/// What all connections at `tls://` and `wss://` addresses share. Warns of a certificate that
/// clients will refuse.
///
/// # Errors
/// [`Error::Contradiction`], which names the option.
pub(crate) fn server_config(options: &TlsOptions) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let identity = identity(options, &provider)?;
    let verifier = verifier(options, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    // Connections last long, and after a restart nothing could be resumed: no tickets, no table.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The server's certificate, those that lead to an authority, and the key.
fn identity(options: &TlsOptions, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let (Some(certificate_file), Some(key_file)) = (&options.certificate_file, &options.key_file)
    else {
        return Err(Error::Contradiction(
            "an address that begins with tls:// or wss:// requires --certificate-file and \
             --key-file"
                .into(),
        ));
    };
    let chain = pem::certificates("--certificate-file", certificate_file)?;
    let key = pem::key("--key-file", key_file)?;
    let refuse_key = |why: String| refused("--key-file", key_file, why);
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        refuse_key("it is invalid, or not RSA, ECDSA on P-256 or P-384, or Ed25519".into())
    })?;
    warn_if_not_valid_now(&chain[0], certificate_file, provider);
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(identity),
        Err(rustls::Error::InconsistentKeys(_)) => Err(refuse_key(format!(
            "it is not the key of the first certificate in '{}'",
            certificate_file.display()
        ))),
        Err(error) => {
            let why = format!("the first certificate is invalid: {error}");
            Err(refused("--certificate-file", certificate_file, why))
        }
    }
}

/// The time is checked before the issuer, so no authority is needed to know.
fn warn_if_not_valid_now(certificate: &CertificateDer<'_>, path: &Path, provider: &CryptoProvider) {
    let Ok(certificate) = ParsedCertificate::try_from(certificate) else { return };
    let verified = verify_server_cert_signed_by_trust_anchor(
        &certificate,
        &RootCertStore::empty(),
        &[],
        UnixTime::now(),
        provider.signature_verification_algorithms.all,
    );
    let Err(rustls::Error::InvalidCertificate(error)) = verified else { return };
    let state = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet"
        }
        _ => return,
    };
    warn!("the certificate in '{}' {state}: clients will refuse it", path.display());
}

/// Whom it lets in.
fn verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let path = match (options.client_certificates, &options.client_ca_file) {
        (ClientCertificates::None, None) if options.allow_client_name.is_empty() => {
            return Ok(Arc::new(NoClientAuth));
        }
        (ClientCertificates::None, _) => {
            return Err(Error::Contradiction(
                "--client-ca-file and --allow-client-name require --client-certificates optional \
                 or required"
                    .into(),
            ));
        }
        (_, None) => {
            return Err(Error::Contradiction(
                "--client-certificates requires --client-ca-file".into(),
            ));
        }
        (_, Some(path)) => path,
    };
    let roots = pem::authorities("--client-ca-file", path)?;
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
    let builder = match options.client_certificates {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        _ => builder,
    };
    let inner = builder.build().map_err(|error| refused("--client-ca-file", path, error))?;
    if options.allow_client_name.is_empty() {
        return Ok(inner);
    }
    let names = options.allow_client_name.iter().map(|name| client_name(name));
    Ok(Arc::new(ClientNames { inner, names: names.collect::<Result<_, _>>()? }))
}

fn client_name(text: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(text.to_owned()).map_err(|_| {
        Error::Contradiction(format!(
            "--allow-client-name: invalid name '{text}': write a DNS name or an IP address"
        ))
    })
}
