//! The data directory: everything that outlives a run, and one process at a time that writes it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A directory that no other process serves from as long as this value lives.
///
/// An advisory lock on the file `lock` says so; it ends with the process, however that ends. Ids, rings and learned
/// baselines of two processes would otherwise overwrite each other. Readers of a ring need no lock.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    lock: File,
}

impl DataDir {
    /// Creates the directory where it is missing, and locks it.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        Self::lock(root).with_context(|| format!("data directory {}", root.display()))
    }

    fn lock(root: &Path) -> anyhow::Result<Self> {
        // It says who was where, and holds keys: a new one is for its owner alone.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let path = root.join("lock");
        let mut options = OpenOptions::new();
        let mut lock =
            options.read(true).write(true).create(true).truncate(false).open(path).context("lock")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // For the message only.
                let _ = (&lock).take(32).read_to_string(&mut holder);
                bail!(
                    "in use by process {}; stop it, or give this one a directory of its own with --data-dir",
                    holder.trim()
                );
            }
            Err(TryLockError::Error(e)) => return Err(e).context("cannot be locked"),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).context("lock")?;
        Ok(Self { root: root.to_owned(), lock })
    }

    /// A file of the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that is being spawned holds a copy of it for a moment.
        let _ = self.lock.unlock();
    }
}

/// Name of the file in it that keeps what a site's quiet room is like.
pub fn baseline_of(site: &str) -> String {
    format!("{site}.baseline.json")
}
