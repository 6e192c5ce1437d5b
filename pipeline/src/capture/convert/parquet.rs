//! Parquet, one row a frame.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::{ConvertError, Sink};
use crate::csi::CsiFrame;
use crate::parquet_columns::{column, optional, required};

const SCHEMA: &str = "message frames {
    optional int64 time_ns;
    required binary link (utf8);
    optional int64 sequence;
    optional float rssi_dbm;
    optional float noise_dbm;
    optional float center_mhz;
    optional int32 bandwidth_mhz;
    required int32 tx;
    required int32 rx;
    required int32 subcarriers;
    required group csi (list) { repeated group list { required float element; } }
}";

/// Values held before a row group is written: 8 MiB of CSI.
const GROUP_VALUES: usize = 1 << 20;
/// Frames held before a row group is written.
const GROUP_FRAMES: usize = 16_384;

pub(super) struct ParquetSink {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    frames: Vec<CsiFrame>,
    values: usize,
}

impl ParquetSink {
    pub(super) fn new(file: File, path: &Path) -> Result<Self, ConvertError> {
        let failed = |source| ConvertError::Parquet { path: path.to_owned(), source };
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(failed)?);
        let writer = SerializedFileWriter::new(file, schema, Arc::default()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), writer, frames: Vec::new(), values: 0 })
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let frames = std::mem::take(&mut self.frames);
        self.values = 0;
        let mut group = self.writer.next_row_group()?;
        let group_ref = &mut group;
        optional::<Int64Type>(group_ref, frames.iter().map(|f| f.capture_time_ns))?;
        required::<ByteArrayType>(group_ref, frames.iter().map(|f| ByteArray::from(f.link.as_str())))?;
        optional::<Int64Type>(group_ref, frames.iter().map(|f| f.sequence.map(i64::from)))?;
        optional::<FloatType>(group_ref, frames.iter().map(|f| f.rssi_dbm))?;
        optional::<FloatType>(group_ref, frames.iter().map(|f| f.noise_dbm))?;
        optional::<FloatType>(group_ref, frames.iter().map(|f| f.center_mhz))?;
        optional::<Int32Type>(group_ref, frames.iter().map(|f| f.bandwidth_mhz.map(i32::from)))?;
        required::<Int32Type>(group_ref, frames.iter().map(|f| i32::from(f.layout.tx)))?;
        required::<Int32Type>(group_ref, frames.iter().map(|f| i32::from(f.layout.rx)))?;
        required::<Int32Type>(group_ref, frames.iter().map(|f| i32::from(f.layout.subcarriers)))?;
        // An element's definition level is 1; an empty list would have 0, and there is none.
        let elements = || frames.iter().flat_map(|f| f.csi.iter().enumerate());
        let values: Vec<f32> = elements().flat_map(|(_, v)| [v.re, v.im]).collect();
        let continued: Vec<i16> = elements().flat_map(|(i, _)| [i16::from(i > 0), 1]).collect();
        let defined = vec![1; values.len()];
        column::<FloatType>(group_ref, &values, Some(&defined), Some(&continued))?;
        group.close()?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), ConvertError> {
        let path = self.path.clone();
        let failed = |source| ConvertError::Parquet { path, source };
        match self.flush() {
            Ok(()) => self.writer.close().map(|_| ()).map_err(failed),
            Err(e) => Err(failed(e)),
        }
    }
}

impl Sink for ParquetSink {
    fn push(&mut self, frame: &CsiFrame) -> Result<(), ConvertError> {
        self.values += frame.csi.len();
        self.frames.push(frame.clone());
        if self.values >= GROUP_VALUES || self.frames.len() >= GROUP_FRAMES {
            self.flush().map_err(|source| ConvertError::Parquet { path: self.path.clone(), source })?;
        }
        Ok(())
    }
}
