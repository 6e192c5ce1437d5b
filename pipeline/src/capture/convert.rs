//! Writing captures as NPZ (for NumPy) and Parquet (for data frames): streaming, memory bounded, and atomic: the file appears
//! under its name when it is whole, or not at all.

mod npz;
#[cfg(feature = "parquet")]
mod parquet;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::decoder::Item;
use crate::csi::CsiFrame;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One set of arrays for each layout, e.g. of 1 x 3 x 30: `csi_1x3x30` complex64 `[n][tx][rx][subcarrier]`, `time_ns_1x3x30` i64
    /// (least i64: no time), `sequence_1x3x30` i64 (-1: none), `rssi_dbm_1x3x30` and `noise_dbm_1x3x30` f32 (NaN: not measured),
    /// `link_1x3x30` u32, a row of the string array `links`. Uncompressed.
    Npz,
    /// One row a frame: `time_ns`, `link`, `sequence`, `rssi_dbm`, `noise_dbm`, `center_mhz`, `bandwidth_mhz`, `tx`, `rx`, `subcarriers`,
    /// `csi` (list of floats, real and imaginary alternating, `[tx][rx][subcarrier]`).
    #[cfg(feature = "parquet")]
    Parquet,
}

/// What a conversion did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Converted {
    /// Frames written.
    pub frames: u64,
    /// Records rejected, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
}

/// Why a conversion failed.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// Writing failed.
    #[error("cannot write {path}")]
    Io {
        /// The file that was to be written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// NPZ holds one set of arrays a layout, and this capture has too many.
    #[error("the capture has more than {0} layouts: write Parquet instead")]
    Layouts(usize),
    /// The Parquet writer failed.
    #[cfg(feature = "parquet")]
    #[error("cannot write {path} as Parquet")]
    Parquet {
        /// The file that was to be written.
        path: PathBuf,
        /// Why.
        source: ::parquet::errors::ParquetError,
    },
}

/// Takes frames one after the other.
trait Sink {
    fn push(&mut self, frame: &CsiFrame) -> Result<(), ConvertError>;
}

/// Writes all frames of `records` (a [`CaptureReader`](super::CaptureReader), or any other source of records) to `path`.
///
/// `progress` is called every few hundred records with the number of records read.
///
/// # Errors
/// [`ConvertError`]; `path` is then as it was before.
pub fn convert(
    records: impl Iterator<Item = Item>,
    target: Target,
    path: &Path,
    progress: impl FnMut(u64),
) -> Result<Converted, ConvertError> {
    let io = |source| ConvertError::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Beside its place, so that the rename stays within one file system.
    let mut builder = tempfile::Builder::new();
    builder.prefix(".convert-");
    // As open to others as any file of this user, not as closed as temporary ones.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(io)?;
    let converted = match target {
        Target::Npz => {
            let mut sink = npz::NpzSink::new(folder, path);
            let converted = drain(records, &mut sink, progress)?;
            sink.finish(file.as_file_mut()).map_err(io)?;
            converted
        }
        #[cfg(feature = "parquet")]
        Target::Parquet => {
            let mut sink = parquet::ParquetSink::new(file.as_file().try_clone().map_err(io)?, path)?;
            let converted = drain(records, &mut sink, progress)?;
            sink.finish()?;
            converted
        }
    };
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|e| io(e.error))?;
    Ok(converted)
}

fn drain(
    records: impl Iterator<Item = Item>,
    sink: &mut impl Sink,
    mut progress: impl FnMut(u64),
) -> Result<Converted, ConvertError> {
    let mut converted = Converted::default();
    let mut count = 0u64;
    for item in records {
        count += 1;
        if count.is_multiple_of(512) {
            progress(count);
        }
        match item {
            Ok(frame) => {
                sink.push(&frame)?;
                converted.frames += 1;
            }
            Err(reject) => *converted.rejected.entry(reject.reason).or_default() += 1,
        }
    }
    progress(count);
    Ok(converted)
}
