//! Certificates and keys in files, as PEM.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::warn;

use crate::error::Error;

/// The permission bit of everybody to read; a group that may is somebody's decision.
const READ_BY_ALL: u32 = 0o004;

/// An error about an option's file: one line.
pub(super) fn refused(option: &str, path: &Path, why: impl std::fmt::Display) -> Error {
    Error::Contradiction(format!("{option} '{}': {why}", path.display()))
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| refused(option, path, format_args!("cannot read it: {error}")))
}

/// All certificates of a file; there is at least one.
///
/// # Errors
/// [`Error::Contradiction`], which names the option and the file.
pub(super) fn certificates(
    option: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(option, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(refused(option, path, "there is no certificate in it; PEM is expected"))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(refused(option, path, format_args!("invalid PEM: {error}"))),
    }
}

/// The authorities of a file.
///
/// # Errors
/// [`Error::Contradiction`], which names the option and the file.
pub(super) fn authorities(option: &str, path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(option, path)? {
        let added = roots.add(certificate);
        added.map_err(|error| {
            refused(option, path, format_args!("a certificate is invalid: {error}"))
        })?;
    }
    Ok(roots)
}

/// The private key of a file; warns if everybody may read it.
///
/// # Errors
/// [`Error::Contradiction`], which names the option and the file.
pub(super) fn key(option: &str, path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let bytes = read(option, path)?;
    if fs::metadata(path).is_ok_and(|file| file.mode() & READ_BY_ALL != 0) {
        warn!("everybody may read the private key in '{}': chmod 640 it", path.display());
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        PemError::NoItemsFound => refused(
            option,
            path,
            "there is no private key in it; PEM without a password is expected",
        ),
        error => refused(option, path, format_args!("invalid PEM: {error}")),
    })
}
