//! The body of a CSI frame.

use std::sync::Arc;

use super::{Cursor, DecodeError, EncodeError, at_most, check_flags, exactly};
use crate::{Complex32, CsiFrame, Layout, LinkId};

const FIXED_BYTES: usize = 44;

const CAPTURE_TIME: u16 = 1;
const SEQUENCE: u16 = 1 << 1;
const RSSI: u16 = 1 << 2;
const NOISE: u16 = 1 << 3;
const CENTER: u16 = 1 << 4;
const BANDWIDTH: u16 = 1 << 5;
const SUBCARRIER_INDEX: u16 = 1 << 6;
const KNOWN: u16 = (1 << 7) - 1;

pub(super) fn body_bytes(frame: &CsiFrame) -> Result<usize, EncodeError> {
    let link = frame.link.as_str().len();
    at_most("link", usize::from(u16::MAX), link)?;
    exactly("csi", frame.layout.values(), frame.csi.len())?;
    let index = match &frame.subcarrier_index {
        Some(index) => {
            exactly("subcarrier_index", usize::from(frame.layout.subcarriers), index.len())?;
            2 * index.len()
        }
        None => 0,
    };
    Ok(FIXED_BYTES + link + index + 8 * frame.csi.len())
}

pub(super) fn write(frame: &CsiFrame, out: &mut Vec<u8>) {
    let flag = |present: bool, bit: u16| if present { bit } else { 0 };
    let flags = flag(frame.capture_time_ns.is_some(), CAPTURE_TIME)
        | flag(frame.sequence.is_some(), SEQUENCE)
        | flag(frame.rssi_dbm.is_some(), RSSI)
        | flag(frame.noise_dbm.is_some(), NOISE)
        | flag(frame.center_mhz.is_some(), CENTER)
        | flag(frame.bandwidth_mhz.is_some(), BANDWIDTH)
        | flag(frame.subcarrier_index.is_some(), SUBCARRIER_INDEX);
    let link = frame.link.as_str().as_bytes();
    out.extend(frame.time_ns.to_le_bytes());
    out.extend(frame.capture_time_ns.unwrap_or_default().to_le_bytes());
    out.extend(flags.to_le_bytes());
    out.extend(frame.bandwidth_mhz.unwrap_or_default().to_le_bytes());
    out.extend(frame.sequence.unwrap_or_default().to_le_bytes());
    out.extend(frame.rssi_dbm.unwrap_or_default().to_le_bytes());
    out.extend(frame.noise_dbm.unwrap_or_default().to_le_bytes());
    out.extend(frame.center_mhz.unwrap_or_default().to_le_bytes());
    for n in [frame.layout.tx, frame.layout.rx, frame.layout.subcarriers, link.len() as u16] {
        out.extend(n.to_le_bytes());
    }
    out.extend(link);
    for n in frame.subcarrier_index.iter().flat_map(|index| index.iter()) {
        out.extend(n.to_le_bytes());
    }
    for v in &frame.csi {
        out.extend(v.re.to_le_bytes());
        out.extend(v.im.to_le_bytes());
    }
}

pub(super) fn read(at: &mut Cursor<'_>, newer: bool) -> Result<CsiFrame, DecodeError> {
    let time_ns = at.i64()?;
    let capture_time_ns = at.i64()?;
    let flags_at = at.offset();
    let flags = at.u16()?;
    check_flags(flags_at, flags, KNOWN, newer)?;
    let has = |bit: u16| flags & bit != 0;
    let bandwidth_mhz = at.u16()?;
    let sequence = at.u32()?;
    let (rssi_dbm, noise_dbm, center_mhz) = (at.f32()?, at.f32()?, at.f32()?);
    let layout = Layout::new(at.u16()?, at.u16()?, at.u16()?);
    let link_bytes = at.u16()?;
    let link = LinkId::new(at.text("link", link_bytes)?);
    let subcarrier_index = if has(SUBCARRIER_INDEX) {
        let bytes = at.take(2 * u64::from(layout.subcarriers))?;
        let (pairs, _) = bytes.as_chunks::<2>();
        Some(pairs.iter().map(|b| i16::from_le_bytes(*b)).collect::<Arc<[i16]>>())
    } else {
        None
    };
    let values = u64::from(layout.tx) * u64::from(layout.rx) * u64::from(layout.subcarriers);
    let (pairs, _) = at.take(8 * values)?.as_chunks::<8>();
    let csi = pairs
        .iter()
        .map(|&[a, b, c, d, e, f, g, h]| {
            Complex32::new(f32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]))
        })
        .collect();
    Ok(CsiFrame {
        link,
        capture_time_ns: has(CAPTURE_TIME).then_some(capture_time_ns),
        time_ns,
        sequence: has(SEQUENCE).then_some(sequence),
        rssi_dbm: has(RSSI).then_some(rssi_dbm),
        noise_dbm: has(NOISE).then_some(noise_dbm),
        center_mhz: has(CENTER).then_some(center_mhz),
        bandwidth_mhz: has(BANDWIDTH).then_some(bandwidth_mhz),
        layout,
        subcarrier_index,
        csi,
    })
}
