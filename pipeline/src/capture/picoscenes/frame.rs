//! A frame and its segments.

use super::csi::{Csi, Device, Unusable};
use crate::capture::bytes::{Endian, Fields, take, transmitter};
use crate::capture::feitcsi::Header as FirmwareHeader;
use crate::{CsiFrame, LinkId};

/// In every frame after its length.
pub(super) const MAGIC: u32 = 0x2015_0315;

/// A level that was not measured.
const LEVEL_UNDEFINED: i16 = -128;

/// The `RxSBasic` segment, with the names of the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxBasic {
    /// The tool's code of what received the packet.
    pub device_type: u16,
    /// The device's clock: nanoseconds since the Unix epoch for software-defined radios, microseconds for IWL5300 and
    /// QCA9300, 0 for AX200 and AX210.
    pub timestamp: u64,
    /// The host's time in nanoseconds since the Unix epoch, from version 4 on.
    pub system_time: Option<u64>,
    /// Centre of the channel in MHz.
    pub center_freq: i16,
    /// Centre of the primary 20 MHz in MHz.
    pub control_freq: i16,
    /// Bandwidth of the channel in MHz.
    pub cbw: u16,
    /// As in [`Csi::packet_format`].
    pub packet_format: u8,
    /// Bandwidth of the packet in MHz.
    pub packet_cbw: u16,
    /// Guard interval in ns.
    pub guard_interval: u16,
    /// Modulation and coding scheme.
    pub mcs: u8,
    /// Space-time streams.
    pub num_sts: u8,
    /// Extra sounding streams.
    pub num_ess: u8,
    /// Receive chains.
    pub num_rx: u8,
    /// Noise floor in dBm; -128 is "unknown".
    pub noise_floor: i8,
    /// Signal strength in dBm; -128 is "unknown".
    pub rssi: i16,
    /// Signal strength of each chain in dBm.
    pub rssi_chains: [i16; 3],
}

impl RxBasic {
    /// Decodes the body of a segment of version 1 to 5; `None` if it ends early.
    fn parse(body: &[u8], version: u16) -> Option<Self> {
        let mut fields = Fields::new(body, Endian::Little);
        let device_type = fields.u16()?;
        let timestamp = fields.u64()?;
        let system_time = if version >= 4 { Some(fields.u64()?).filter(|&ns| ns != 0) } else { None };
        let center_freq = fields.i16()?;
        if version >= 5 {
            // Centre of the second half of an 80+80 MHz channel.
            fields.skip(2)?;
        }
        let (control_freq, cbw, packet_format, packet_cbw);
        if version >= 3 {
            control_freq = fields.i16()?;
            cbw = fields.u16()?;
            packet_format = fields.u8()?;
            packet_cbw = fields.u16()?;
        } else {
            control_freq = center_freq;
            packet_format = fields.u8()?;
            cbw = fields.u16()?;
            packet_cbw = cbw;
        }
        let guard_interval = fields.u16()?;
        let (mcs, num_sts, num_ess, num_rx) = (fields.u8()?, fields.u8()?, fields.u8()?, fields.u8()?);
        if version >= 2 {
            // Number of users and which one this is.
            fields.skip(2)?;
        }
        let noise_floor = fields.i8()?;
        // Before version 3 levels are above the noise floor.
        let base = if version >= 3 { 0 } else { i16::from(noise_floor) };
        let mut level = || {
            let level = i16::from(fields.i8()?);
            Some(if level == LEVEL_UNDEFINED { level } else { base + level })
        };
        let (rssi, rssi_chains) = (level()?, [level()?, level()?, level()?]);
        Some(Self {
            device_type,
            timestamp,
            system_time,
            center_freq,
            control_freq,
            cbw,
            packet_format,
            packet_cbw,
            guard_interval,
            mcs,
            num_sts,
            num_ess,
            num_rx,
            noise_floor,
            rssi,
            rssi_chains,
        })
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Reception.
    pub basic: RxBasic,
    /// Channel state.
    pub csi: Csi,
    /// What the firmware of an AX200 or AX210 said.
    pub firmware: Option<FirmwareHeader>,
    /// Transmitter of the packet, where it or the firmware names one.
    pub transmitter: Option<[u8; 6]>,
}

/// One segment: name, version, body.
fn segment<'a>(fields: &mut Fields<'a>) -> Option<(&'a [u8], u16, &'a [u8])> {
    let length = fields.u32()? as usize;
    let mut inner = Fields::new(fields.slice(length)?, Endian::Little);
    let name_length = usize::from(inner.u8()?);
    let name = inner.slice(name_length)?;
    let version = inner.u16()?;
    Some((name.strip_suffix(b"\0").unwrap_or(name), version, inner.rest()))
}

/// Length of the frame at `at` with its length field, if a frame starts there: magic, version and the first segment fit.
pub(super) fn frame_length(data: &[u8], at: usize) -> Option<usize> {
    let mut fields = Fields::new(data.get(at..)?, Endian::Little);
    let length = fields.u32()? as usize;
    if fields.u32()? != MAGIC {
        return None;
    }
    let (version, segments) = (fields.u16()?, fields.u8()?);
    if version >= 2 {
        fields.skip(2)?;
    }
    let first = fields.u32()? as usize;
    let name_length = usize::from(fields.u8()?);
    let name = fields.slice(name_length)?;
    let fits = (1..=2).contains(&version)
        && segments >= 1
        && first >= name_length + 3
        && first <= length
        && name_length >= 1
        && name.iter().all(|&c| c.is_ascii_alphanumeric() || c == 0);
    fits.then_some(length + 4)
}

impl Record {
    /// Decodes a whole frame, its length field included.
    ///
    /// # Errors
    /// A reason (`no_csi`, `bad_payload`, `unsupported`) and what was wrong.
    pub fn parse(frame: &[u8]) -> Result<Self, (&'static str, String)> {
        let bad = |what: &str| -> Unusable { ("bad_payload", what.to_owned()) };
        let mut fields = Fields::new(frame, Endian::Little);
        let mut header = || {
            fields.skip(8)?;
            let (version, segments) = (fields.u16()?, fields.u8()?);
            let packets = if version >= 2 { fields.u16()? } else { 1 };
            Some((version, segments, packets))
        };
        let (version, segments, packets) = header().ok_or_else(|| bad("frame header ends early"))?;

        let (mut basic, mut csi, mut firmware) = (None, None, None);
        for i in 0..segments {
            let Some((name, version, body)) = segment(&mut fields) else {
                return Err(bad(&format!("segment {i} of {segments} ends early")));
            };
            match name {
                b"RxSBasic" if !(1..=5).contains(&version) => {
                    return Err(("unsupported", format!("RxSBasic segment of version {version}")));
                }
                b"RxSBasic" => {
                    let parsed = RxBasic::parse(body, version);
                    basic = Some(parsed.ok_or_else(|| bad("RxSBasic segment ends early"))?);
                }
                b"CSI" => csi = Some((body, version)),
                b"MVMExtra" => {
                    let length = take(body, 0).map_or(0, u16::from_le_bytes);
                    let header = body.get(2..).and_then(|rest| rest.get(..length.into()));
                    firmware = header.and_then(FirmwareHeader::parse);
                }
                _ => {}
            }
        }
        let basic = basic.ok_or_else(|| bad("no RxSBasic segment"))?;
        let (body, csi_version) = csi.ok_or_else(|| ("no_csi", "no CSI segment".to_owned()))?;
        let csi = Csi::parse(body, csi_version, Some(basic.packet_cbw))?;

        let packet = match (version, packets) {
            (_, 0) => None,
            (1, _) => Some(fields.rest()),
            _ => fields.u32().and_then(|length| fields.slice(length as usize)),
        };
        let transmitter = packet
            .and_then(transmitter)
            .or_else(|| firmware.map(|header| header.source_mac).filter(|mac| *mac != [0; 6]));
        Ok(Self { basic, csi, firmware, transmitter })
    }

    /// Levels of software-defined radios are not calibrated: they leave 0.
    fn level(&self, level: i16) -> Option<f32> {
        let measured = level != LEVEL_UNDEFINED && !(level == 0 && self.csi.device == Device::Radio);
        measured.then(|| f32::from(level))
    }

    /// As a frame; `link` names the transmitter or, in a frame without one, the device.
    pub fn into_frame(self, link: LinkId, capture_time_ns: Option<i64>) -> CsiFrame {
        let center_mhz = match (self.csi.carrier_freq, self.basic.center_freq) {
            (0, 0) => None,
            (0, mhz) => Some(f32::from(mhz)),
            (hz, _) => Some((hz as f64 / 1e6) as f32),
        };
        let bandwidth_mhz = Some(self.basic.packet_cbw).filter(|&mhz| mhz != 0);
        CsiFrame {
            capture_time_ns,
            rssi_dbm: self.level(self.basic.rssi),
            noise_dbm: self.level(self.basic.noise_floor.into()),
            center_mhz,
            bandwidth_mhz,
            subcarrier_index: self.csi.subcarrier_index,
            ..CsiFrame::new(link, self.csi.layout, self.csi.values)
        }
    }
}
