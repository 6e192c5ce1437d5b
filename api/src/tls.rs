//! TLS, to the outside and for those who come from there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

use crate::Time;
use crate::listen::{TlsFiles, end_of};

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
    /// A file without what should be in it.
    #[error("{0}: no certificate in it")]
    Empty(PathBuf),
    /// Authorities that clients cannot be checked against.
    #[error("{path}: {source}")]
    Clients {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: VerifierBuilderError,
    },
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
        Some(path) => (authorities_of(path)?, String::new()),
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

/// A server that shows this certificate, and asks clients for one where authorities are named. HTTP/2 is offered before HTTP/1.1.
pub(crate) fn server(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match &files.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(authorities_of(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let wrong = |source| TlsError::Clients { path: path.clone(), source };
            builder.with_client_cert_verifier(verifier.map_err(wrong)?)
        }
    };
    let chain = certificates(&files.certificate)?;
    let mut config = builder.with_single_cert(chain, private_key(&files.key)?)?;
    // What a resumed session was allowed ends with this configuration: its tickets are sealed with keys of its own.
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    // The strongest that both know is taken.
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// When the first of the certificates in a file ends; `None` where none of them says it.
pub(crate) fn end(path: &Path) -> Result<Option<Time>, TlsError> {
    Ok(certificates(path)?.iter().filter_map(end_of).min())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn authorities_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn of_system() -> (RootCertStore, String) {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    (roots, found.errors.first().map(|error| format!(": {error}")).unwrap_or_default())
}

fn build(roots: RootCertStore, identity: Option<&(PathBuf, PathBuf)>) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    Ok(Arc::new(match identity {
        Some((certificate, key)) => {
            builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?)?
        }
        None => builder.with_no_client_auth(),
    }))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File { path: path.to_owned(), source };
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(file)?.collect::<Result<_, _>>().map_err(file)?;
    if found.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(found) }
}
