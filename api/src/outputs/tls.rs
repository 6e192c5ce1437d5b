//! TLS to the outside.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// Why TLS is not possible.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file of certificates or keys.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// No certificate to trust.
    #[error("no certificate authority is known{0}")]
    Roots(String),
    /// Certificate and key are of no use.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// A client that trusts the authorities in this file, or those of the system, and shows this certificate with its key.
pub(crate) fn client(
    authorities: Option<&Path>,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let (roots, troubles) = match authorities {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
            (roots, String::new())
        }
        None => of_system(),
    };
    if roots.is_empty() {
        return Err(TlsError::Roots(troubles));
    }
    build(roots, identity)
}

/// A client that trusts the authorities of the system and those in this file; nobody where there are none.
pub(crate) fn client_of_system_and(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let (mut roots, troubles) = of_system();
    for certificate in authorities.map(certificates).transpose()?.into_iter().flatten() {
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        tracing::warn!("no certificate authority is known{troubles}: webhooks cannot reach https addresses");
    }
    build(roots, None)
}

fn of_system() -> (RootCertStore, String) {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    (roots, found.errors.first().map(|error| format!(": {error}")).unwrap_or_default())
}

fn build(roots: RootCertStore, identity: Option<&(PathBuf, PathBuf)>) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    Ok(Arc::new(match identity {
        Some((certificate, key)) => {
            let file = |source| TlsError::File { path: key.clone(), source };
            let private = PrivateKeyDer::from_pem_file(key).map_err(file)?;
            builder.with_client_auth_cert(certificates(certificate)?, private)?
        }
        None => builder.with_no_client_auth(),
    }))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File { path: path.to_owned(), source };
    CertificateDer::pem_file_iter(path).map_err(file)?.collect::<Result<_, _>>().map_err(file)
}
