//! NPZ: columns grow in temporary files, since an array's length stands before its elements.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use invispose_kernels::Layout;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{ConvertError, Sink};
use crate::csi::{CsiFrame, LinkId};

/// Each layout holds one temporary file a column open.
const MAX_LAYOUTS: usize = 64;

/// Name and NumPy type of each column.
const COLUMNS: [(&str, &str); 6] = [
    ("csi", "<c8"),
    ("time_ns", "<i8"),
    ("sequence", "<i8"),
    ("rssi_dbm", "<f4"),
    ("noise_dbm", "<f4"),
    ("link", "<u4"),
];

struct Columns {
    rows: u64,
    files: [BufWriter<File>; COLUMNS.len()],
}

pub(super) struct NpzSink {
    folder: PathBuf,
    path: PathBuf,
    layouts: BTreeMap<Layout, Columns>,
    links: HashMap<LinkId, u32>,
    names: Vec<LinkId>,
}

impl NpzSink {
    pub(super) fn new(folder: &Path, path: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            path: path.to_owned(),
            layouts: BTreeMap::new(),
            links: HashMap::new(),
            names: Vec::new(),
        }
    }

    fn write(&mut self, frame: &CsiFrame) -> io::Result<()> {
        let link = match self.links.get(&frame.link) {
            Some(&index) => index,
            None => {
                let index = self.names.len() as u32;
                self.names.push(frame.link.clone());
                self.links.insert(frame.link.clone(), index);
                index
            }
        };
        let columns = match self.layouts.get_mut(&frame.layout) {
            Some(columns) => columns,
            None => {
                let file = || tempfile::tempfile_in(&self.folder).map(BufWriter::new);
                let files = [file()?, file()?, file()?, file()?, file()?, file()?];
                self.layouts.entry(frame.layout).or_insert(Columns { rows: 0, files })
            }
        };
        columns.rows += 1;
        let [csi, time, sequence, rssi, noise, links] = &mut columns.files;
        for v in &frame.csi {
            csi.write_all(&v.re.to_le_bytes())?;
            csi.write_all(&v.im.to_le_bytes())?;
        }
        time.write_all(&frame.capture_time_ns.unwrap_or(i64::MIN).to_le_bytes())?;
        sequence.write_all(&frame.sequence.map_or(-1, i64::from).to_le_bytes())?;
        rssi.write_all(&frame.rssi_dbm.unwrap_or(f32::NAN).to_le_bytes())?;
        noise.write_all(&frame.noise_dbm.unwrap_or(f32::NAN).to_le_bytes())?;
        links.write_all(&link.to_le_bytes())
    }

    /// Puts the columns together.
    pub(super) fn finish(self, out: &mut File) -> io::Result<()> {
        let mut zip = ZipWriter::new(BufWriter::new(out));
        let options =
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
        for (layout, columns) in self.layouts {
            for ((name, dtype), file) in COLUMNS.iter().zip(columns.files) {
                let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.rewind()?;
                zip.start_file(format!("{name}_{layout}.npy"), options)?;
                let shape = match *name {
                    "csi" => {
                        format!("{}, {}, {}, {}", columns.rows, layout.tx, layout.rx, layout.subcarriers)
                    }
                    _ => format!("{},", columns.rows),
                };
                zip.write_all(&header(dtype, &shape))?;
                io::copy(&mut file, &mut zip)?;
            }
        }
        let longest = self.names.iter().map(|n| n.as_str().chars().count()).max().unwrap_or(0).max(1);
        zip.start_file("links.npy", options)?;
        zip.write_all(&header(&format!("<U{longest}"), &format!("{},", self.names.len())))?;
        for name in &self.names {
            let chars = name.as_str().chars().map(u32::from).chain(std::iter::repeat(0)).take(longest);
            for c in chars {
                zip.write_all(&c.to_le_bytes())?;
            }
        }
        zip.finish()?.flush()
    }
}

impl Sink for NpzSink {
    fn push(&mut self, frame: &CsiFrame) -> Result<(), ConvertError> {
        if self.layouts.len() == MAX_LAYOUTS && !self.layouts.contains_key(&frame.layout) {
            return Err(ConvertError::Layouts(MAX_LAYOUTS));
        }
        self.write(frame).map_err(|source| ConvertError::Io { path: self.path.clone(), source })
    }
}

/// A version 1.0 header, padded to 64 bytes.
fn header(dtype: &str, shape: &str) -> Vec<u8> {
    let mut text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    while !(10 + text.len() + 1).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    out
}
