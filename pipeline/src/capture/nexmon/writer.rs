//! Writes frames as the 43455c0 firmware sends them, and as a pcap file of such packets.

use std::io::{self, Write};

use super::payload::{HEADER, PORT};
use crate::capture::encode::{EncodeError, quantise};
use crate::capture::links::parse_mac;
use crate::csi::CsiFrame;

/// The 43455c0's version number in the header.
const CHIP_43455C0: u16 = 101;

/// Writes the UDP payload of a frame: i16 real and imaginary, RSSI firmware where the frame has an RSSI.
///
/// # Errors
/// When the link is not named `aa:bb:cc:dd:ee:ff/coreN-ssM`, the layout is not 1 x 1 x (64, 128, 256 or 512), or a value does
/// not round into i16.
pub fn encode_payload(frame: &CsiFrame) -> Result<Vec<u8>, EncodeError> {
    let (mac, core, stream) = address(frame.link.as_str()).ok_or_else(|| EncodeError::Link {
        link: frame.link.to_string(),
        expected: "`aa:bb:cc:dd:ee:ff/core0-ss0`, core and stream 0 to 7",
    })?;
    let layout = frame.layout;
    let width: u16 = match (layout.pairs(), layout.subcarriers) {
        (1, 64) => 0x1000,
        (1, 128) => 0x1800,
        (1, 256) => 0x2000,
        (1, 512) => 0x2800,
        _ => return Err(EncodeError::Layout { layout, expected: "1x1x64, 1x1x128, 1x1x256 or 1x1x512" }),
    };
    let mut out = Vec::with_capacity(HEADER + 4 * frame.csi.len());
    out.extend_from_slice(&[0x11, 0x11]);
    match frame.rssi_dbm {
        // Beacons: the frame control byte of most of what is captured.
        Some(rssi) => out.extend_from_slice(&[rssi.round().clamp(-128.0, 127.0) as i8 as u8, 0x80]),
        None => out.extend_from_slice(&[0x11, 0x11]),
    }
    out.extend_from_slice(&mac);
    out.extend_from_slice(&((frame.sequence.unwrap_or(0) as u16) << 4).to_le_bytes());
    out.extend_from_slice(&[core | stream << 3, 0]);
    out.extend_from_slice(&(chanspec(frame.center_mhz) | width).to_le_bytes());
    out.extend_from_slice(&CHIP_43455C0.to_le_bytes());
    for (index, v) in frame.csi.iter().enumerate() {
        for part in [v.re, v.im] {
            let value = quantise(part, index, (-32768, 32767), "-32768..=32767")? as i16;
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    Ok(out)
}

/// Address, core and spatial stream of a link's name.
fn address(link: &str) -> Option<([u8; 6], u8, u8)> {
    let (mac, rest) = link.split_once('/')?;
    let (core, stream) = rest.strip_prefix("core")?.split_once("-ss")?;
    let (core, stream) = (core.parse().ok()?, stream.parse().ok()?);
    Some((parse_mac(mac.as_bytes())?, core, stream)).filter(|_| core < 8 && stream < 8)
}

/// Channel and band bits of a centre frequency; 0 where it is unknown or no channel.
fn chanspec(center_mhz: Option<f32>) -> u16 {
    match center_mhz {
        Some(2484.0) => 14,
        Some(mhz) if (2412.0..2484.0).contains(&mhz) => ((mhz - 2407.0) / 5.0).round() as u16,
        Some(mhz) if (5005.0..=6275.0).contains(&mhz) => 0xc000 | ((mhz - 5000.0) / 5.0).round() as u16,
        _ => 0,
    }
}

/// Writes a pcap file (microseconds, Ethernet) of Nexmon packets.
pub struct PcapWriter<W> {
    out: W,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file's header.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W) -> io::Result<Self> {
        let mut header = Vec::with_capacity(24);
        header.extend_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
        header.extend_from_slice(&2u16.to_le_bytes());
        header.extend_from_slice(&4u16.to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        header.extend_from_slice(&262_144_u32.to_le_bytes());
        header.extend_from_slice(&1u32.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out })
    }

    /// Appends a frame. The packet's time is the frame's capture time, else its pipeline time, in whole microseconds; times
    /// outside 1970 to 2106 are clamped.
    ///
    /// # Errors
    /// [`EncodeError`] as `InvalidData`, and those of `out`.
    pub fn write(&mut self, frame: &CsiFrame) -> io::Result<()> {
        let payload = encode_payload(frame).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        let time_us = frame.capture_time_ns.unwrap_or(frame.time_ns).div_euclid(1000);
        let seconds = time_us.div_euclid(1_000_000).clamp(0, i64::from(u32::MAX)) as u32;
        let micros = time_us.rem_euclid(1_000_000) as u32;
        let udp_length = (8 + payload.len()) as u16;
        let ip_length = 20 + udp_length;
        let packet_length = 14 + u32::from(ip_length);

        let mut record = Vec::with_capacity(16 + packet_length as usize);
        for field in [seconds, micros, packet_length, packet_length] {
            record.extend_from_slice(&field.to_le_bytes());
        }
        record.extend_from_slice(&[0xff; 6]);
        record.extend_from_slice(b"NEXMON");
        record.extend_from_slice(&[0x08, 0x00]);
        let ip_start = record.len();
        record.extend_from_slice(&[0x45, 0]);
        record.extend_from_slice(&ip_length.to_be_bytes());
        // Identification 1, no fragments, time to live 1, UDP, checksum 0 for now, 10.10.10.10 to everybody.
        record.extend_from_slice(&[0, 1, 0, 0, 1, 17, 0, 0, 10, 10, 10, 10, 255, 255, 255, 255]);
        let checksum = internet_checksum(&record[ip_start..]);
        record[ip_start + 10..ip_start + 12].copy_from_slice(&checksum.to_be_bytes());
        for field in [PORT, PORT, udp_length, 0] {
            record.extend_from_slice(&field.to_be_bytes());
        }
        record.extend_from_slice(&payload);
        self.out.write_all(&record)
    }

    /// Gives the output back.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// RFC 1071.
fn internet_checksum(header: &[u8]) -> u16 {
    let mut sum: u32 =
        header.chunks(2).map(|p| u32::from(p[0]) << 8 | p.get(1).map_or(0, |&b| u32::from(b))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
