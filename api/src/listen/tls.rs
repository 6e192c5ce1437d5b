//! The certificate that the server shows, read again when its files change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;

use super::ConnectionStats;
use crate::Time;
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
    shown: RwLock<Shown>,
}

#[derive(Clone, Debug)]
struct Shown {
    config: Arc<ServerConfig>,
    /// When the first certificate of the chain ends.
    ends: Option<Time>,
}

impl Shown {
    fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { config: tls::server(files)?, ends: tls::end(&files.certificate)? })
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read or used, or the key is not the certificate's.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let shown = RwLock::new(Shown::load(&files)?);
        Ok(Self { inner: Arc::new(Inner { files, shown }) })
    }

    fn shown(&self) -> Shown {
        self.inner.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What new connections are made with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.shown().config
    }

    /// When the first certificate of the chain ends; `None` where none of them says it.
    pub fn ends(&self) -> Option<Time> {
        self.shown().ends
    }

    /// Tells of the certificate in use.
    pub(crate) fn tell(&self, stats: &ConnectionStats) {
        let seconds = self.ends().map_or(0, |at| at.as_ns().div_euclid(1_000_000_000));
        stats.certificate_ends.set(u64::try_from(seconds).unwrap_or(0));
    }

    /// Reads the files again. New connections get the new certificate; where it cannot be used, the old one stays.
    ///
    /// # Errors
    /// Why it stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let shown = Shown::load(&self.inner.files)?;
        *self.inner.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
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
                self.tell(stats);
                tracing::info!(%certificate, "TLS certificate read again");
            }
            Err(error) => {
                stats.failed_reloads.add(1);
                tracing::error!(%certificate, "TLS certificate not read again, the old one stays: {error}");
            }
        }
    }
}
