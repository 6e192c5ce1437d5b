//! What a capture holds: counts, layouts, times, signal strengths and a checksum, in one pass.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use invispose_kernels::Layout;
use serde::Serialize;

use super::Item;
use super::reader::CaptureReader;
use crate::csi::CsiFrame;

/// Frames of one layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayoutCount {
    /// Transmit chains.
    pub tx: u16,
    /// Receive antennas.
    pub rx: u16,
    /// Subcarriers.
    pub subcarriers: u16,
    /// Frames of this layout.
    pub frames: u64,
}

/// Smallest, mean and largest value of a quantity, over the frames that have it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Smallest.
    pub min: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Largest.
    pub max: f64,
    /// Frames that have the quantity.
    pub frames: u64,
}

impl Spread {
    fn add(spread: &mut Option<Self>, value: Option<f32>) {
        let Some(value) = value.map(f64::from) else { return };
        let s = spread.get_or_insert(Self { min: value, mean: 0.0, max: value, frames: 0 });
        s.min = s.min.min(value);
        s.max = s.max.max(value);
        s.frames += 1;
        s.mean += (value - s.mean) / s.frames as f64;
    }
}

/// One link's part of a capture.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LinkSummary {
    /// Frames.
    pub frames: u64,
    /// Received signal strength in dBm; `null` where no frame has it.
    pub rssi_dbm: Option<Spread>,
    /// Noise floor in dBm; `null` where no frame has it.
    pub noise_dbm: Option<Spread>,
}

/// `csi[tx][rx][subcarrier] = [re, im]` of one frame.
pub type FrameValues = Vec<Vec<Vec<[f32; 2]>>>;

/// What [`inspect`] found. Field names are the JSON's, kept stable for scripts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The format's name.
    pub format: String,
    /// The chip, where the bytes tell.
    pub chip: Option<String>,
    /// Bytes of the capture.
    pub bytes: u64,
    /// Frames decoded.
    pub frames: u64,
    /// Records rejected, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Byte offset of the first record rejected for each reason.
    pub first_rejected: BTreeMap<&'static str, u64>,
    /// What was wrong with the first record rejected for each reason.
    pub first_rejected_detail: BTreeMap<&'static str, String>,
    /// Layouts, smallest first.
    pub layouts: Vec<LayoutCount>,
    /// Capture time of the first frame that has one, nanoseconds (see `CsiFrame::capture_time_ns`).
    pub first_time_ns: Option<i64>,
    /// Capture time of the last frame that has one.
    pub last_time_ns: Option<i64>,
    /// Mean frames per second between these two; `null` where they do not lie apart.
    pub rate_hz: Option<f64>,
    /// Links by name.
    pub links: BTreeMap<String, LinkSummary>,
    /// Centre frequencies in MHz, with their frames.
    pub center_mhz: BTreeMap<String, u64>,
    /// Bandwidths in MHz, with their frames.
    pub bandwidth_mhz: BTreeMap<u16, u64>,
    /// Σ|csi| over all decoded values, in f64.
    pub magnitude_sum: f64,
    /// `csi[frame][tx][rx][subcarrier] = [re, im]` of the frames that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csi: Option<Vec<FrameValues>>,
}

/// Reads a capture to its end from where the reader stands.
///
/// `frames` asks for the values of these frames, counted from 0 over the good ones; they are held in memory, all else is not.
/// `progress` is called every few hundred records with the number of records read.
pub fn inspect(reader: &mut CaptureReader, frames: Option<Range<u64>>, progress: impl FnMut(u64)) -> Summary {
    let (format, bytes) = (reader.format(), reader.len() as u64);
    let mut summary = summarise(reader.by_ref(), format, bytes, frames, progress);
    summary.chip = reader.chip().map(str::to_owned);
    summary
}

/// The same for any records, of a capture of this name and size.
pub fn summarise(
    items: impl Iterator<Item = Item>,
    format: &str,
    bytes: u64,
    frames: Option<Range<u64>>,
    mut progress: impl FnMut(u64),
) -> Summary {
    let mut summary = Summary {
        format: format.to_owned(),
        chip: None,
        bytes,
        frames: 0,
        rejected: BTreeMap::new(),
        first_rejected: BTreeMap::new(),
        first_rejected_detail: BTreeMap::new(),
        layouts: Vec::new(),
        first_time_ns: None,
        last_time_ns: None,
        rate_hz: None,
        links: BTreeMap::new(),
        center_mhz: BTreeMap::new(),
        bandwidth_mhz: BTreeMap::new(),
        magnitude_sum: 0.0,
        csi: frames.is_some().then(Vec::new),
    };
    let mut layouts: BTreeMap<Layout, u64> = BTreeMap::new();
    let mut timed = 0u64;
    let mut records = 0u64;
    for item in items {
        records += 1;
        if records.is_multiple_of(512) {
            progress(records);
        }
        match item {
            Err(reject) => {
                *summary.rejected.entry(reject.reason).or_default() += 1;
                summary.first_rejected.entry(reject.reason).or_insert(reject.offset);
                summary.first_rejected_detail.entry(reject.reason).or_insert(reject.detail);
            }
            Ok(frame) => {
                if let (Some(range), Some(csi)) = (&frames, &mut summary.csi)
                    && range.contains(&summary.frames)
                {
                    csi.push(values(&frame));
                }
                *layouts.entry(frame.layout).or_default() += 1;
                timed += u64::from(frame.capture_time_ns.is_some());
                summary.add(&frame);
            }
        }
    }
    progress(records);
    summary.layouts = layouts
        .into_iter()
        .map(|(l, frames)| LayoutCount { tx: l.tx, rx: l.rx, subcarriers: l.subcarriers, frames })
        .collect();
    if let (Some(first), Some(last)) = (summary.first_time_ns, summary.last_time_ns)
        && last > first
    {
        summary.rate_hz = Some((timed - 1) as f64 * 1e9 / (last as f64 - first as f64));
    }
    summary
}

impl Summary {
    fn add(&mut self, frame: &CsiFrame) {
        self.frames += 1;
        if let Some(time) = frame.capture_time_ns {
            self.first_time_ns.get_or_insert(time);
            self.last_time_ns = Some(time);
        }
        let link = match self.links.get_mut(frame.link.as_str()) {
            Some(link) => link,
            None => self.links.entry(frame.link.to_string()).or_default(),
        };
        link.frames += 1;
        Spread::add(&mut link.rssi_dbm, frame.rssi_dbm);
        Spread::add(&mut link.noise_dbm, frame.noise_dbm);
        if let Some(mhz) = frame.center_mhz {
            *self.center_mhz.entry(mhz.to_string()).or_default() += 1;
        }
        if let Some(mhz) = frame.bandwidth_mhz {
            *self.bandwidth_mhz.entry(mhz).or_default() += 1;
        }
        self.magnitude_sum +=
            frame.csi.iter().map(|v| (f64::from(v.re).powi(2) + f64::from(v.im).powi(2)).sqrt()).sum::<f64>();
    }
}

fn values(frame: &CsiFrame) -> FrameValues {
    let l = frame.layout;
    let mut rows = frame.csi.chunks_exact(usize::from(l.subcarriers).max(1));
    (0..l.tx)
        .map(|_| {
            rows.by_ref()
                .take(usize::from(l.rx))
                .map(|row| row.iter().map(|v| [v.re, v.im]).collect())
                .collect()
        })
        .collect()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "format     {}", self.format)?;
        writeln!(f, "chip       {}", self.chip.as_deref().unwrap_or("unknown"))?;
        writeln!(f, "size       {} bytes", self.bytes)?;
        writeln!(f, "frames     {}", self.frames)?;
        for (reason, count) in &self.rejected {
            let offset = self.first_rejected.get(reason).copied().unwrap_or(0);
            let detail = self.first_rejected_detail.get(reason).map_or("", String::as_str);
            writeln!(f, "rejected   {count} {reason}, first at byte {offset}: {detail}")?;
        }
        for l in &self.layouts {
            let (tx, rx, n) = (l.tx, l.rx, l.subcarriers);
            writeln!(f, "layout     {tx} tx x {rx} rx x {n} subcarriers: {} frames", l.frames)?;
        }
        match (self.first_time_ns, self.last_time_ns) {
            (Some(first), Some(last)) => {
                let span = (last as f64 - first as f64) / 1e9;
                write!(f, "time       {first} to {last} ns, {span:.3} s")?;
                match self.rate_hz {
                    Some(rate) => writeln!(f, ", {rate:.2} frames/s")?,
                    None => writeln!(f)?,
                }
            }
            _ => writeln!(f, "time       none in this format")?,
        }
        for (mhz, frames) in &self.center_mhz {
            writeln!(f, "centre     {mhz} MHz: {frames} frames")?;
        }
        for (mhz, frames) in &self.bandwidth_mhz {
            writeln!(f, "bandwidth  {mhz} MHz: {frames} frames")?;
        }
        for (name, link) in &self.links {
            write!(f, "link       {name}: {} frames", link.frames)?;
            for (what, spread) in [("RSSI", link.rssi_dbm), ("noise", link.noise_dbm)] {
                match spread {
                    Some(s) => write!(f, ", {what} {:.0} / {:.1} / {:.0} dBm", s.min, s.mean, s.max)?,
                    None => write!(f, ", {what} not measured")?,
                }
            }
            writeln!(f)?;
        }
        writeln!(f, "magnitude  {:.6} in all", self.magnitude_sum)
    }
}
