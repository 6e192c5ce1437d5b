//! Person ids: never given twice in the life of a data directory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::files;

/// Ids set aside by one write, so that a new person seldom waits for the disk.
const BLOCK: u64 = 1024;

/// Gives ids that count up from 1. A crash skips at most [`BLOCK`] of them.
#[derive(Debug)]
pub struct PersonIds {
    next: u64,
    reserved: u64,
    file: Option<PathBuf>,
}

/// The file of ids cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct IdError {
    /// The file.
    pub path: PathBuf,
    /// What the system said, or that it holds no number.
    pub error: io::Error,
}

impl PersonIds {
    /// Ids that are not kept anywhere.
    pub fn in_memory() -> Self {
        Self { next: 1, reserved: u64::MAX, file: None }
    }

    /// Goes on after all ids that were ever given under this file.
    ///
    /// The file holds one decimal number: every id up to it may have been given. One that holds anything else is refused, because
    /// starting again at 1 would use ids twice.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, IdError> {
        let path = path.as_ref().to_owned();
        let mut text = String::new();
        let given = match File::open(&path).and_then(|f| f.take(64).read_to_string(&mut text)) {
            Ok(_) => text.trim().parse::<u64>().map_err(|_| IdError {
                path: path.clone(),
                error: io::Error::new(io::ErrorKind::InvalidData, "holds no whole number"),
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(IdError { path, error }),
        };
        Ok(Self { next: given + 1, reserved: given, file: Some(path) })
    }

    /// Leaves out ids up to this one, where they were given already under a file that is no more.
    pub fn continue_after(&mut self, id: u64) {
        if id >= self.next {
            self.next = id.saturating_add(1);
            // The next one reserves anew.
            self.reserved = if self.file.is_some() { id } else { self.reserved };
        }
    }

    /// A new id.
    pub fn fresh(&mut self) -> Result<u64, IdError> {
        if self.next > self.reserved
            && let Some(path) = &self.file
        {
            let reserved = self.next + BLOCK - 1;
            let text = format!("{reserved}\n");
            files::replace(path, text.as_bytes()).map_err(|error| IdError { path: path.clone(), error })?;
            self.reserved = reserved;
        }
        self.next += 1;
        Ok(self.next - 1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_go_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("person-ids");
        let mut seen = Vec::new();
        for _ in 0..3 {
            let mut ids = PersonIds::open(&path).unwrap();
            seen.extend((0..1500).map(|_| ids.fresh().unwrap()));
        }
        assert!(seen.windows(2).all(|w| w[0] < w[1]));
        std::fs::write(&path, "many\n").unwrap();
        assert!(PersonIds::open(&path).unwrap_err().to_string().contains("no whole number"));
    }
}
