//! The certificate that the server shows, read again when its files change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;

use super::ConnectionStats;
use crate::tls::{self, TlsError};

/// From one look at the files to the next.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, then those that lead to a known authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Clients must show a certificate that one of these authorities signed; `None`: any client may come.
    pub client_authorities: Option<PathBuf>,
}

impl TlsFiles {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.certificate), Some(&self.key), self.client_authorities.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// What changes when a file does, or what a link to it points to; zeros for one that is not there.
    fn look(&self) -> Vec<[i64; 4]> {
        let one = |path| {
            let Ok(file) = fs::metadata(path) else { return [0; 4] };
            [file.ino() as i64, file.size() as i64, file.mtime(), file.mtime_nsec()]
        };
        self.paths().map(one).collect()
    }
}

/// TLS of the listener. Cheap to clone; clones show the same certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read or used, or the key is not the certificate's.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = RwLock::new(tls::server(&files)?);
        Ok(Self { inner: Arc::new(Inner { files, config }) })
    }

    /// What new connections are made with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.inner.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again. New connections get the new certificate; where it cannot be used, the old one stays.
    ///
    /// # Errors
    /// Why it stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = tls::server(&self.inner.files)?;
        *self.inner.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Reloads whenever a file changes, and says how that went. Never ends.
    pub(crate) async fn watch(self, stats: Arc<ConnectionStats>) {
        let mut seen = self.inner.files.look();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let files = self.inner.files.clone();
            let Ok(look) = tokio::task::spawn_blocking(move || files.look()).await else { continue };
            if look == seen {
                continue;
            }
            seen = look;
            self.reload_and_tell(&stats);
        }
    }

    /// As [`Tls::reload`]; counts it and logs how it went.
    pub fn reload_and_tell(&self, stats: &ConnectionStats) {
        let certificate = self.inner.files.certificate.display();
        match self.reload() {
            Ok(()) => {
                stats.reloads.add(1);
                tracing::info!(%certificate, "TLS certificate read again");
            }
            Err(error) => {
                stats.failed_reloads.add(1);
                tracing::error!(%certificate, "TLS certificate not read again, the old one stays: {error}");
            }
        }
    }
}
