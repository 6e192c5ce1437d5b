//! One packet.

use std::ops::Range;

use crate::capture::bytes::{Endian, Fields, mac_text, take};
use crate::capture::tones::{self, Modulation};
use crate::{Complex32, CsiFrame, Layout, LinkId};

/// Bytes of a header.
pub(super) const HEADER: usize = 272;

const MAX_ANTENNAS: u8 = 4;
const MAX_TONES: u32 = 4096;

/// Host times that are taken for times: years 2001 to 2096, in microseconds. Firmware leaves other things, or nothing, in
/// the place where newer versions of the tool put the time.
const HOST_TIMES_US: Range<u64> = 1_000_000_000_000_000..4_000_000_000_000_000;

/// The header that AX200 and AX210 firmware puts before CSI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of CSI after the header.
    pub csi_length: u32,
    /// Fine timing clock in ticks of 3.125 ns, wrapping every 13.4 s.
    pub ftm_clock: u32,
    /// Time of the host in microseconds since the Unix epoch, where the tool's version writes it.
    pub host_time_us: Option<u64>,
    /// Receive chains.
    pub num_rx: u8,
    /// Transmit streams.
    pub num_tx: u8,
    /// Tones.
    pub num_subcarriers: u32,
    /// Signal strength at chain 1 as a positive number: -dBm.
    pub rssi_1: u32,
    /// Signal strength at chain 2.
    pub rssi_2: u32,
    /// Transmitter.
    pub source_mac: [u8; 6],
    /// The card's clock in microseconds, wrapping at 32 bits.
    pub mu_clock: u32,
    /// iwlwifi's `rate_n_flags`, version 2.
    pub rate_flags: u32,
}

impl Header {
    /// Decodes a header; `None` if the bytes end before its fields do.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes, Endian::Little);
        let csi_length = fields.u32()?;
        fields.skip(4)?;
        let ftm_clock = fields.u32()?;
        let host_time_us = Some(fields.u64()?).filter(|us| HOST_TIMES_US.contains(us));
        fields.skip(26)?;
        let (num_rx, num_tx) = (fields.u8()?, fields.u8()?);
        fields.skip(4)?;
        let num_subcarriers = fields.u32()?;
        fields.skip(4)?;
        let (rssi_1, rssi_2) = (fields.u32()?, fields.u32()?);
        let source_mac = take(fields.slice(6)?, 0)?;
        fields.skip(14)?;
        let (mu_clock, rate_flags) = (fields.u32()?, fields.u32()?);
        Some(Self {
            csi_length,
            ftm_clock,
            host_time_us,
            num_rx,
            num_tx,
            num_subcarriers,
            rssi_1,
            rssi_2,
            source_mac,
            mu_clock,
            rate_flags,
        })
    }

    /// Complex values by the counts.
    pub fn values(&self) -> usize {
        usize::from(self.num_rx) * usize::from(self.num_tx) * self.num_subcarriers as usize
    }

    /// Are counts and rate ones that the cards have, and does the length fit them?
    pub(super) fn consistent(&self) -> bool {
        let antennas = 1..=MAX_ANTENNAS;
        antennas.contains(&self.num_rx)
            && antennas.contains(&self.num_tx)
            && (1..=MAX_TONES).contains(&self.num_subcarriers)
            && self.value_bytes().is_some()
            && (self.rate_flags >> 8) & 7 <= 5
            && (self.rate_flags >> 11) & 7 <= 4
    }

    /// Bytes of a complex value.
    pub(super) fn value_bytes(&self) -> Option<usize> {
        [4, 16].into_iter().find(|bytes| self.csi_length as usize == bytes * self.values())
    }

    /// PHY generation of the packet.
    pub fn modulation(&self) -> Option<Modulation> {
        match (self.rate_flags >> 8) & 7 {
            1 => Some(Modulation::Legacy),
            2 => Some(Modulation::Ht),
            3 => Some(Modulation::Vht),
            4 => Some(Modulation::He),
            _ => None,
        }
    }

    /// Bandwidth of the packet in MHz.
    pub fn bandwidth_mhz(&self) -> Option<u16> {
        [20, 40, 80, 160, 320].get(((self.rate_flags >> 11) & 7) as usize).copied()
    }

    /// Modulation and coding scheme.
    pub fn mcs(&self) -> u8 {
        (self.rate_flags & 7) as u8
    }

    /// Signal strength in dBm: the sum of the chains' powers. `None` if no chain reports any.
    pub fn rssi_dbm(&self) -> Option<f32> {
        let milliwatts: f64 = [self.rssi_1, self.rssi_2]
            .into_iter()
            .filter(|rssi| (1..=127).contains(rssi))
            .map(|rssi| 10f64.powf(-f64::from(rssi) / 10.0))
            .sum();
        (milliwatts > 0.0).then(|| (10.0 * milliwatts.log10()) as f32)
    }
}

/// One packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// As in the file.
    pub header: Header,
    /// Tones in `csi`: those of the header, less the filler in the gap of a 160 MHz packet.
    pub tones: u16,
    /// `[tx][rx][tone]`, pilots included, in the card's own unit.
    pub csi: Vec<Complex32>,
}

impl Record {
    /// Decodes a record; `None` if header and length do not fit each other or bytes are missing.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let header = Header::parse(record.get(..HEADER)?)?;
        if !header.consistent() {
            return None;
        }
        let value_bytes = header.value_bytes()?;
        let body = record.get(HEADER..)?.get(..header.csi_length as usize)?;
        let (rx, tx) = (header.num_rx.into(), header.num_tx.into());
        let tones = header.num_subcarriers as usize;
        let filler = header
            .modulation()
            .zip(header.bandwidth_mhz())
            .and_then(|(modulation, mhz)| tones::filler_160(modulation, mhz, tones));
        let csi = if value_bytes == 4 {
            unpack(body, rx, tx, tones, filler.clone(), complex_16_bit)
        } else {
            unpack(body, rx, tx, tones, filler.clone(), complex_64_bit)
        };
        let tones = tones - filler.map_or(0, |gap| gap.len());
        Some(Self { header, tones: u16::try_from(tones).ok()?, csi })
    }

    /// As a frame; `link` names the transmitter.
    pub fn into_frame(self, link: LinkId, capture_time_ns: i64) -> CsiFrame {
        let Self { header, tones, csi } = self;
        let layout = Layout::new(header.num_tx.into(), header.num_rx.into(), tones);
        let subcarrier_index = header
            .modulation()
            .zip(header.bandwidth_mhz())
            .and_then(|(modulation, mhz)| tones::indices(modulation, mhz))
            .filter(|index| index.len() == usize::from(tones));
        CsiFrame {
            capture_time_ns: Some(capture_time_ns),
            rssi_dbm: header.rssi_dbm(),
            bandwidth_mhz: header.bandwidth_mhz(),
            subcarrier_index,
            ..CsiFrame::new(link, layout, csi)
        }
    }

    /// Name of the link: the transmitter's address.
    pub(super) fn link_name(source: [u8; 6]) -> String {
        mac_text(source)
    }
}

/// Real part before imaginary part.
pub(crate) fn complex_16_bit(&[a, b, c, d]: &[u8; 4]) -> Complex32 {
    Complex32::new(i16::from_le_bytes([a, b]).into(), i16::from_le_bytes([c, d]).into())
}

fn complex_64_bit(bytes: &[u8; 16]) -> Complex32 {
    let part = |at| take(bytes, at).map_or(0.0, f64::from_le_bytes) as f32;
    Complex32::new(part(0), part(8))
}

/// From `[rx][tx][tone]` to `[tx][rx][tone]`, without the tones of `filler`.
pub(crate) fn unpack<const N: usize>(
    body: &[u8],
    rx: usize,
    tx: usize,
    tones: usize,
    filler: Option<Range<usize>>,
    complex: fn(&[u8; N]) -> Complex32,
) -> Vec<Complex32> {
    let (values, _) = body.as_chunks::<N>();
    let gap = filler.unwrap_or(tones..tones);
    let mut csi = Vec::with_capacity(values.len().min(rx * tx * tones));
    for t in 0..tx {
        for r in 0..rx {
            let start = (r * tx + t) * tones;
            let run = values.get(start..start + tones).unwrap_or(&[]);
            let (below, above) = (run.get(..gap.start).unwrap_or(&[]), run.get(gap.end..).unwrap_or(&[]));
            csi.extend(below.iter().chain(above).map(complex));
        }
    }
    csi
}
