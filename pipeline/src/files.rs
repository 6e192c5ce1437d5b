//! Small files that a crash must not leave half written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file so that it holds what it held before, or all of this: on the disk when it returns.
///
/// # Errors
/// What the file system said; nothing has changed then, and no half is left behind.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    });
    if written.is_err() {
        // A full disk should not stay full of halves.
        let _ = fs::remove_file(&new);
    }
    written
}
