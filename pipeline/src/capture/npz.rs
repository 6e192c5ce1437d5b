//! NPZ files of CSI arrays: one row a packet.
//!
//! Read are arrays whose name begins with `csi`, else the first complex array. Rows are `[subcarrier]`, `[rx][subcarrier]` or
//! `[tx][rx][subcarrier]`, either complex64/complex128 or real numbers that alternate imaginary and real, as ESP32 gives them
//! (`csi_data` int8 of ESPectre). Beside an array `csi<suffix>`, the arrays `time_ns<suffix>` (i64), `rssi_dbm<suffix>`,
//! `noise_dbm<suffix>`, `sequence<suffix>` and `link<suffix>` (rows of the string array `links`) of the same length are read; this is what
//! [`convert`](super::convert) writes. Without times, they follow from a scalar `sample_rate`, `rate_hz`, `rate` or `fs` in hertz,
//! else from `duration_ms`: row i of n then stands at i/n of it. A scalar string `chip` names the chip.
//!
//! Rows are inflated one at a time; no array is ever whole in memory.

mod archive;

use std::collections::VecDeque;

use invispose_kernels::{Complex32, Layout};

pub(crate) use self::archive::npy_header;
use self::archive::{Array, Dtype, Entry, clip, entries, number, whole};
use super::decoder::{Decoder, Format, Item, Reject};
use crate::csi::{CsiFrame, LinkId};

/// NPZ files.
pub const FORMAT: Format =
    Format { name: "npz", sniff, decoder: || Box::<NpzDecoder>::default() as Box<dyn Decoder> };

fn sniff(head: &[u8]) -> bool {
    let name_length = match head.get(26..28) {
        Some(&[a, b]) if head.starts_with(b"PK\x03\x04") => usize::from(u16::from_le_bytes([a, b])),
        _ => return false,
    };
    head.get(30..30 + name_length).is_some_and(|name| name.ends_with(b".npy"))
}

/// More values than any packet holds: 8 x 8 antennas, 4096 subcarriers.
const MAX_VALUES: usize = 1 << 18;

#[derive(Default)]
struct NpzDecoder {
    opened: bool,
    chip: Option<String>,
    links: Vec<LinkId>,
    sets: VecDeque<Set>,
    /// Bytes of one row.
    row: Vec<u8>,
}

/// An array of CSI and what belongs to its rows.
struct Set {
    csi: Array,
    layout: Layout,
    rows: usize,
    next: usize,
    /// Nanoseconds from row to row, where no times are given.
    period_ns: Option<f64>,
    time: Option<Array>,
    rssi: Option<Array>,
    noise: Option<Array>,
    sequence: Option<Array>,
    link: Option<Array>,
    name: LinkId,
}

impl Decoder for NpzDecoder {
    fn next(&mut self, data: &[u8]) -> Option<Item> {
        if !self.opened {
            self.opened = true;
            if let Err((reason, detail)) = self.open(data) {
                return Some(Err(Reject { offset: 0, reason, detail }));
            }
        }
        loop {
            let set = self.sets.front_mut()?;
            if set.next == set.rows {
                self.sets.pop_front();
                continue;
            }
            let offset = set.csi.stream.offset();
            let item = set.read(data, &mut self.row, &self.links).ok_or_else(|| Reject {
                offset,
                reason: "truncated",
                detail: format!("array `{}` ends at row {} of {}", clip(&set.csi.name), set.next, set.rows),
            });
            if item.is_err() {
                self.sets.pop_front();
            }
            return Some(item);
        }
    }

    fn chip(&self) -> Option<&str> {
        self.chip.as_deref()
    }
}

type Bad = (&'static str, String);

impl NpzDecoder {
    fn open(&mut self, data: &[u8]) -> Result<(), Bad> {
        let entries = entries(data).map_err(|e| ("bad_archive", e))?;
        let find = |name: &str| entries.iter().find(|e| e.name == name);
        let array = |name: &str| find(name).and_then(|e| Array::open(data, e).ok());
        self.chip = array("chip").and_then(|a| a.strings(data, 1)).and_then(|s| s.into_iter().next());
        if let Some(names) = array("links").and_then(|a| a.strings(data, 65_536)) {
            self.links = names.into_iter().map(LinkId::new).collect();
        }
        let scalar = |names: &[&str]| names.iter().find_map(|n| array(n)?.scalar(data));
        let rate = scalar(&["sample_rate", "rate_hz", "rate", "fs"]).filter(|&r| r > 0.0);
        let duration_ms = scalar(&["duration_ms"]).filter(|&d| d > 0.0);

        let mut chosen: Vec<&Entry> = entries.iter().filter(|e| e.name.starts_with("csi")).collect();
        if chosen.is_empty() {
            let complex = |e: &&Entry| Array::open(data, e).is_ok_and(|a| a.dtype.kind == b'c');
            chosen.extend(entries.iter().find(complex));
        }
        if chosen.is_empty() {
            return Err(("no_csi", "no array named `csi…` and none of complex numbers".to_owned()));
        }
        let mut bad = None;
        for entry in chosen {
            let csi = match Array::open(data, entry).and_then(|a| shape(&a).map(|s| (a, s))) {
                Ok((csi, (rows, layout))) => (csi, rows, layout),
                Err(detail) => {
                    bad = Some(("unsupported_array", detail));
                    continue;
                }
            };
            let (csi, rows, layout) = csi;
            let suffix = entry.name.strip_prefix("csi").unwrap_or("");
            let column = |name: &str| array(&format!("{name}{suffix}")).filter(|a| a.shape == [rows]);
            let period_ns = match (rate, duration_ms) {
                (Some(rate), _) => Some(1e9 / rate),
                (None, Some(ms)) if rows > 0 => Some(ms * 1e6 / rows as f64),
                _ => None,
            };
            self.sets.push_back(Set {
                layout,
                rows,
                next: 0,
                period_ns,
                time: column("time_ns"),
                rssi: column("rssi_dbm"),
                noise: column("noise_dbm"),
                sequence: column("sequence"),
                link: column("link"),
                name: LinkId::new(entry.name.as_str()),
                csi,
            });
        }
        match bad {
            Some(bad) if self.sets.is_empty() => Err(bad),
            _ => Ok(()),
        }
    }
}

/// Rows and layout of an array of CSI.
fn shape(array: &Array) -> Result<(usize, Layout), String> {
    let wrong = || {
        let Dtype { kind, size, .. } = array.dtype;
        format!(
            "array `{}` of {}{size} and shape {:?} holds no CSI rows",
            clip(&array.name),
            char::from(kind),
            array.shape
        )
    };
    let real = match (array.dtype.kind, array.dtype.size) {
        (b'c', 8 | 16) => false,
        (b'i', 1 | 2 | 4) | (b'f', 4 | 8) => true,
        _ => return Err(wrong()),
    };
    let (rows, tx, rx, last) = match array.shape[..] {
        [rows, last] => (rows, 1, 1, last),
        [rows, rx, last] => (rows, 1, rx, last),
        [rows, tx, rx, last] => (rows, tx, rx, last),
        _ => return Err(wrong()),
    };
    let subcarriers = match real {
        true if last % 2 == 0 => last / 2,
        true => return Err(wrong()),
        false => last,
    };
    let side = |n: usize| u16::try_from(n).map_err(|_| wrong());
    let values = tx.checked_mul(rx).and_then(|n| n.checked_mul(subcarriers)).unwrap_or(usize::MAX);
    if values == 0 || values > MAX_VALUES {
        return Err(wrong());
    }
    Ok((rows, Layout::new(side(tx)?, side(rx)?, side(subcarriers)?)))
}

impl Set {
    fn read(&mut self, data: &[u8], row: &mut Vec<u8>, links: &[LinkId]) -> Option<CsiFrame> {
        let dtype = self.csi.dtype;
        let per_value = if dtype.kind == b'c' { dtype.size } else { 2 * dtype.size };
        let bytes = self.layout.values() * per_value;
        if !self.csi.stream.can_hold(bytes) {
            return None;
        }
        row.resize(bytes, 0);
        self.csi.stream.read(data, row)?;
        let csi = complex_row(dtype, row)?;
        let link = value(&mut self.link, data, whole)
            .and_then(|i| links.get(usize::try_from(i).ok()?).cloned())
            .unwrap_or_else(|| self.name.clone());
        let mut frame = CsiFrame::new(link, self.layout, csi);
        frame.capture_time_ns = match &self.time {
            Some(_) => value(&mut self.time, data, whole).filter(|&t| t != i64::MIN),
            None => self.period_ns.map(|p| (p * self.next as f64) as i64),
        };
        let finite = |v: Option<f64>| v.filter(|v| v.is_finite()).map(|v| v as f32);
        frame.rssi_dbm = finite(value(&mut self.rssi, data, number));
        frame.noise_dbm = finite(value(&mut self.noise, data, number));
        frame.sequence = value(&mut self.sequence, data, whole).and_then(|s| u32::try_from(s).ok());
        self.next += 1;
        Some(frame)
    }
}

/// The next element of a column; a column that ends early gives nothing from there on.
fn value<T>(
    column: &mut Option<Array>,
    data: &[u8],
    convert: impl Fn(Dtype, &[u8]) -> Option<T>,
) -> Option<T> {
    let array = column.as_mut()?;
    let mut bytes = [0; 8];
    let read = bytes.get_mut(..array.dtype.size).and_then(|b| array.stream.read(data, b).map(|()| &*b));
    let value = read.and_then(|b| convert(array.dtype, b));
    if value.is_none() {
        *column = None;
    }
    value
}

/// A row of complex values. Real numbers alternate imaginary and real.
fn complex_row(dtype: Dtype, row: &[u8]) -> Option<Vec<Complex32>> {
    if (dtype.kind, dtype.size) == (b'i', 1) {
        return Some(super::adr018::iq_i8(row));
    }
    let (part, first_is_real) = match dtype.kind {
        b'c' => (Dtype { kind: b'f', size: dtype.size / 2, ..dtype }, true),
        _ => (dtype, false),
    };
    row.chunks_exact(2 * part.size)
        .map(|pair| {
            let (a, b) = pair.split_at(part.size);
            let (a, b) = (number(part, a)? as f32, number(part, b)? as f32);
            Some(if first_is_real { Complex32::new(a, b) } else { Complex32::new(b, a) })
        })
        .collect()
}
