//! What capture gives: one packet's channel state information.

use std::{fmt, sync::Arc};

use invispose_kernels::{Complex32, Layout};

/// Names one transmitter-receiver pair within a site, e.g. `node-7` or `98:de:d0:48:92:66/core0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(Arc<str>);

impl LinkId {
    /// A link of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One packet of one link.
#[derive(Clone, Debug, PartialEq)]
pub struct CsiFrame {
    /// The transmitter-receiver pair.
    pub link: LinkId,
    /// When the packet was taken, by the capture's own clock, in nanoseconds: since the Unix epoch where the format
    /// records wall time, else since an arbitrary start (wrapping device counters are unwrapped). `None` where
    /// the format holds no time.
    pub capture_time_ns: Option<i64>,
    /// When the packet entered the pipeline, nanoseconds since the Unix epoch. Decoders leave 0; a source sets it:
    /// arrival for a live source, the recording's time line for a replay.
    pub time_ns: i64,
    /// The transmitter's or tool's packet counter, where there is one.
    pub sequence: Option<u32>,
    /// Received signal strength in dBm: the total over the antennas as the tool defines it.
    pub rssi_dbm: Option<f32>,
    /// Noise floor in dBm.
    pub noise_dbm: Option<f32>,
    /// Centre frequency in MHz.
    pub center_mhz: Option<f32>,
    /// Bandwidth in MHz.
    pub bandwidth_mhz: Option<u16>,
    /// Antennas and subcarriers.
    pub layout: Layout,
    /// IEEE 802.11 index of each subcarrier column (0 = DC), in the order of the columns; `None` where unknown.
    pub subcarrier_index: Option<Arc<[i16]>>,
    /// `[tx][rx][subcarrier]`, `layout.values()` long, in the device's own unit.
    pub csi: Vec<Complex32>,
}

impl CsiFrame {
    /// A frame with the given essentials and everything optional absent.
    pub fn new(link: LinkId, layout: Layout, csi: Vec<Complex32>) -> Self {
        debug_assert_eq!(csi.len(), layout.values());
        Self {
            link,
            capture_time_ns: None,
            time_ns: 0,
            sequence: None,
            rssi_dbm: None,
            noise_dbm: None,
            center_mhz: None,
            bandwidth_mhz: None,
            layout,
            subcarrier_index: None,
            csi,
        }
    }

    /// The value at `[tx][rx][subcarrier]`.
    pub fn at(&self, tx: usize, rx: usize, subcarrier: usize) -> Complex32 {
        let l = self.layout;
        self.csi[(tx * l.rx as usize + rx) * l.subcarriers as usize + subcarrier]
    }
}
