//! What commands print. A reader that has gone (`invispose inspect … | head`) ends a command quietly: nobody misses the rest.

use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, Write};

use anyhow::Context;

/// Nobody reads standard output any more. The command is over, and has not failed.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the standard output")]
pub struct Closed;

/// Writes to standard output.
///
/// # Errors
/// [`Closed`] where the reader has gone, else what the system says, e.g. that the disk behind it is full.
pub fn write(text: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match text(&mut out).and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        done => done.context("standard output"),
    }
}

/// Writes one line to standard output; see [`write`].
pub fn line(text: impl Display) -> anyhow::Result<()> {
    write(|out| writeln!(out, "{text}"))
}

/// Writes one line to standard error. Where that fails there is nobody left to tell.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
