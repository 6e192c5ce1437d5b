//! ADR-018 raw CSI datagrams of ESP32 nodes (UDP, default port 5005, little-endian).
//!
//! `0xC5110001`, u8 node, u8 antennas, u16 subcarriers, u32 centre MHz, u32 sequence, i8 RSSI, i8 noise floor, u8 PPDU
//! type, u8 flags, then antenna-major i8 pairs, imaginary first. No timestamp and no checksum.

use std::sync::Arc;

use invispose_kernels::{Complex32, Layout};

use super::decoder::Reject;
use super::encode::{EncodeError, quantise};
use super::links::{LinkNames, cached_fft_order};
use crate::csi::{CsiFrame, LinkId};

/// Magic of a raw CSI datagram.
pub const MAGIC: u32 = 0xC511_0001;
/// Bytes before the I/Q values.
pub const HEADER: usize = 20;
/// The port that nodes send to unless told otherwise.
pub const DEFAULT_PORT: u16 = 5005;

/// Datagrams of the same nodes on the same port that hold no raw CSI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sibling {
    /// Vital signs (`…0002`).
    Vitals,
    /// Features (`…0003`).
    Features,
    /// Fused vital signs or WASM events (`…0004`).
    Fused,
    /// Compressed CSI (`…0005`).
    Compressed,
    /// Feature state (`…0006`).
    FeatureState,
    /// Time synchronisation (`0xC511A110`).
    TimeSync,
}

impl Sibling {
    /// The kind that a magic stands for.
    pub fn from_magic(magic: u32) -> Option<Self> {
        Some(match magic {
            0xC511_0002 => Self::Vitals,
            0xC511_0003 => Self::Features,
            0xC511_0004 => Self::Fused,
            0xC511_0005 => Self::Compressed,
            0xC511_0006 => Self::FeatureState,
            0xC511_A110 => Self::TimeSync,
            _ => return None,
        })
    }

    /// A stable name for counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vitals => "vitals",
            Self::Features => "features",
            Self::Fused => "fused",
            Self::Compressed => "compressed",
            Self::FeatureState => "feature_state",
            Self::TimeSync => "time_sync",
        }
    }
}

/// What a datagram holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Datagram {
    /// Raw CSI.
    Csi(CsiFrame),
    /// Something else of the same family.
    Sibling(Sibling),
}

/// Decodes datagrams; keeps link names between them.
#[derive(Default)]
pub struct DatagramDecoder {
    links: LinkNames,
    orders: Vec<(u16, Arc<[i16]>)>,
}

impl DatagramDecoder {
    /// Reads one datagram. RSSI and noise of 0 dBm mean "not measured"; the bandwidth is known only where the firmware
    /// fills PPDU type or flags (older firmware leaves both 0).
    ///
    /// # Errors
    /// `truncated`, `bad_magic`, `bad_layout` (no antennas or no subcarriers) or `bad_length`.
    pub fn decode(&mut self, data: &[u8]) -> Result<Datagram, Reject> {
        let reject = |reason, detail: String| Reject { offset: 0, reason, detail };
        let Some((magic, _)) = data.split_first_chunk::<4>() else {
            return Err(reject("truncated", format!("{} bytes, no magic", data.len())));
        };
        let magic = u32::from_le_bytes(*magic);
        if let Some(sibling) = Sibling::from_magic(magic) {
            return Ok(Datagram::Sibling(sibling));
        }
        if magic != MAGIC {
            return Err(reject("bad_magic", format!("magic {magic:#010x}")));
        }
        let Some((head, iq)) = data.split_first_chunk::<HEADER>() else {
            return Err(reject("truncated", format!("{} bytes of a {HEADER}-byte header", data.len())));
        };
        let &[_, _, _, _, node, antennas, s0, s1, c0, c1, c2, c3, q0, q1, q2, q3, rssi, noise, ppdu, flags] =
            head;
        let subcarriers = u16::from_le_bytes([s0, s1]);
        let layout = Layout::new(1, u16::from(antennas), subcarriers);
        if layout.values() == 0 {
            return Err(reject("bad_layout", format!("{antennas} antennas, {subcarriers} subcarriers")));
        }
        let expected = 2 * layout.values();
        if iq.len() != expected {
            let reason = if iq.len() < expected { "truncated" } else { "bad_length" };
            return Err(reject(reason, format!("{} I/Q bytes for {layout}, not {expected}", iq.len())));
        }
        let mut frame = CsiFrame::new(self.link(node), layout, iq_i8(iq));
        frame.sequence = Some(u32::from_le_bytes([q0, q1, q2, q3]));
        frame.rssi_dbm = Some(f32::from(rssi as i8)).filter(|&v| v != 0.0);
        frame.noise_dbm = Some(f32::from(noise as i8)).filter(|&v| v != 0.0);
        frame.center_mhz = match u32::from_le_bytes([c0, c1, c2, c3]) {
            0 => None,
            mhz => Some(mhz as f32),
        };
        frame.bandwidth_mhz = (ppdu != 0 || flags != 0).then_some(20 << (flags & 3));
        frame.subcarrier_index = self.index(subcarriers);
        Ok(Datagram::Csi(frame))
    }

    /// The link of a node: `node-7`.
    pub(super) fn link(&mut self, node: u8) -> LinkId {
        self.links.get(u64::from(node), || format!("node-{node}"))
    }

    /// 64 subcarriers are one FFT of 20 MHz in FFT order. Longer arrays are several training fields one after the other
    /// or a wider channel, which the datagram does not tell apart.
    pub(super) fn index(&mut self, subcarriers: u16) -> Option<Arc<[i16]>> {
        (subcarriers == 64).then(|| cached_fft_order(&mut self.orders, 64))
    }
}

/// Pairs of i8, imaginary first.
pub(super) fn iq_i8(iq: &[u8]) -> Vec<Complex32> {
    iq.chunks_exact(2).map(|p| Complex32::new(f32::from(p[1] as i8), f32::from(p[0] as i8))).collect()
}

/// Writes a frame as the node would send it.
///
/// # Errors
/// When the link is not named `node-N` (N in 0..=255), the layout has more than one transmit chain or 255 antennas, or a
/// value does not round into i8.
pub fn encode(frame: &CsiFrame) -> Result<Vec<u8>, EncodeError> {
    let node: u8 =
        frame.link.as_str().strip_prefix("node-").and_then(|n| n.parse().ok()).ok_or_else(|| {
            EncodeError::Link { link: frame.link.to_string(), expected: "`node-0` to `node-255`" }
        })?;
    let layout = frame.layout;
    let antennas = u8::try_from(layout.rx).ok().filter(|_| layout.tx == 1 && layout.values() > 0);
    let antennas =
        antennas.ok_or(EncodeError::Layout { layout, expected: "1 x (1 to 255) x (1 to 65535)" })?;
    let dbm = |v: Option<f32>| v.map_or(0, |v| v.round().clamp(-128.0, 127.0) as i8) as u8;
    let mut out = Vec::with_capacity(HEADER + 2 * frame.csi.len());
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&[node, antennas]);
    out.extend_from_slice(&layout.subcarriers.to_le_bytes());
    out.extend_from_slice(&frame.center_mhz.map_or(0, |v| v.round() as u32).to_le_bytes());
    out.extend_from_slice(&frame.sequence.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&[dbm(frame.rssi_dbm), dbm(frame.noise_dbm)]);
    // An unknown PPDU type (0xFF) beside a known bandwidth keeps the two apart from old firmware's zeroes.
    out.extend_from_slice(&match frame.bandwidth_mhz {
        None => [0, 0],
        Some(160) => [0xff, 3],
        Some(80) => [0xff, 2],
        Some(40) => [0xff, 1],
        Some(_) => [0xff, 0],
    });
    for (index, v) in frame.csi.iter().enumerate() {
        for part in [v.im, v.re] {
            out.push(quantise(part, index, (-128, 127), "-128..=127")? as i8 as u8);
        }
    }
    Ok(out)
}
