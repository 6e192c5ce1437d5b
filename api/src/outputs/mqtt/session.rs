//! The state of a session on the disk, so that a restart goes on with what the broker has kept for us.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A session's file: the library's own encoding, replaced as a whole.
#[derive(Clone, Debug)]
pub(super) struct File {
    path: PathBuf,
}

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn read(&self) -> std::io::Result<Option<Vec<u8>>> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = fs::File::create(&new)?;
        file.write_all(bytes)?;
        fs::rename(&new, &self.path)
    }

    fn remove(path: &Path) -> std::io::Result<()> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// Both versions have the same trait under two names.
macro_rules! store {
    ($version:ident) => {
        impl $version::SessionStore for File {
            fn load<'a>(
                &'a self,
                _: &'a $version::SessionStoreKey,
            ) -> SessionFuture<'a, Option<$version::PersistedSession>> {
                Box::pin(async move {
                    // A damaged file is no session: the broker's is then ended and a new one begun.
                    Ok(self.read()?.and_then(|bytes| $version::PersistedSession::decode(&bytes).ok()))
                })
            }

            fn save<'a>(
                &'a self,
                _: &'a $version::SessionStoreKey,
                session: &'a $version::PersistedSession,
            ) -> SessionFuture<'a, ()> {
                Box::pin(async move { Ok(self.write(&session.encode()?)?) })
            }

            fn clear<'a>(&'a self, _: &'a $version::SessionStoreKey) -> SessionFuture<'a, ()> {
                Box::pin(async move { Ok(Self::remove(&self.path)?) })
            }
        }
    };
}

type SessionFuture<'a, T> =
    std::pin::Pin<Box<dyn Future<Output = Result<T, Box<dyn std::error::Error + Send + Sync>>> + Send + 'a>>;

store!(rumqttc_v4);
store!(rumqttc_v5);
