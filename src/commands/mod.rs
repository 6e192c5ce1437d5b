//! One module a command.

pub mod backup;
pub mod calibrate;
pub mod config;
pub mod convert;
pub mod doctor;
pub mod evaluate;
pub mod inspect;
mod plots;
pub mod record;
pub mod ring;
pub mod serve;
pub mod simulate;
pub mod study;
pub mod token;
pub mod train;

use std::path::Path;

use invispose_pipeline::sources::{ReplayOptions, SourceSpec, SpecKind};

/// A file as a source: a recording or a capture, whichever its first bytes say.
fn file_source(path: &Path, options: ReplayOptions) -> SourceSpec {
    let recording = invispose_pipeline::recording::is_recording(path);
    let (scheme, kind) = if recording {
        ("recording", SpecKind::Recording(path.to_owned(), options))
    } else {
        ("file", SpecKind::File(path.to_owned(), options))
    };
    SourceSpec { uri: format!("{scheme}:{}", path.display()), site: None, kind }
}
