//! One beamforming report.

use std::sync::{Arc, LazyLock};

use crate::capture::bytes::{Endian, Fields, take};
use crate::{Complex32, CsiFrame, Layout, LinkId};

/// Subcarrier groups in every report.
pub const SUBCARRIERS: usize = 30;

/// Code of a beamforming report.
pub(super) const BEAMFORMING: u8 = 0xBB;

/// Bytes from a record's start to its payload: length, code, header.
pub(super) const PAYLOAD: usize = 23;

const MAX_ANTENNAS: u8 = 3;

/// Bit of `rate` that says 40 MHz (`RATE_MCS_HT40_MSK` of iwlwifi).
const RATE_HT40: u16 = 1 << 11;

/// `noise` of a report without a measured noise floor.
const NOISE_UNDEFINED: i8 = -127;

/// One beamforming report, with the names of the tool's `read_bf_file`.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The card's clock in microseconds, wrapping at 32 bits.
    pub timestamp_low: u32,
    /// Counts the reports, wrapping.
    pub bfee_count: u16,
    /// Receive chains, 1 to 3.
    pub nrx: u8,
    /// Streams, 1 to 3.
    pub ntx: u8,
    /// RSSI at antenna A in dB above the tool's reference, 0 where not connected.
    pub rssi_a: u8,
    /// RSSI at antenna B.
    pub rssi_b: u8,
    /// RSSI at antenna C.
    pub rssi_c: u8,
    /// Noise floor in dBm; -127 is "unknown".
    pub noise: i8,
    /// Gain in dB.
    pub agc: u8,
    /// The permutation: two bits a chain, chain 0 lowest.
    pub antenna_sel: u8,
    /// Low half of iwlwifi's `rate_n_flags`.
    pub rate: u16,
    /// `[tx][rx][subcarrier]`, 8-bit values as the card gives them; rows of `rx` in antenna order.
    pub csi: Vec<Complex32>,
}

/// Why a record cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The card has one to three chains and streams.
    #[error("{nrx} receive chains and {ntx} streams: each must be 1 to 3")]
    Antennas {
        /// Receive chains asked for.
        nrx: u8,
        /// Streams asked for.
        ntx: u8,
    },
    /// The CSI array does not fit the counts.
    #[error("{got} CSI values where {expected} belong")]
    Values {
        /// Values given.
        got: usize,
        /// `ntx * nrx * 30`.
        expected: usize,
    },
}

/// Bytes of CSI for `pairs` antenna pairs: 30 × (3 + 16 × pairs) bits and 7, in whole bytes.
pub(super) const fn csi_bytes(pairs: usize) -> usize {
    60 * pairs + 12
}

/// The header fields that a decoder needs to judge a report.
pub(super) struct Sizes {
    pub nrx: u8,
    pub ntx: u8,
    pub csi_len: usize,
}

impl Sizes {
    /// From the bytes of a record (starting at its length field); `None` if they end before the payload.
    pub fn of(record: &[u8]) -> Option<Self> {
        let header: &[u8; PAYLOAD] = record.first_chunk()?;
        Some(Self {
            nrx: header[11],
            ntx: header[12],
            csi_len: usize::from(u16::from_le_bytes([header[19], header[20]])),
        })
    }

    /// Are counts and length what the tool accepts?
    pub fn consistent(&self) -> bool {
        let range = 1..=MAX_ANTENNAS;
        range.contains(&self.nrx)
            && range.contains(&self.ntx)
            && self.csi_len == csi_bytes(usize::from(self.nrx) * usize::from(self.ntx))
    }
}

impl Record {
    /// Decodes the body of a record (after its code); `None` if it is not consistent.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(body, Endian::Little);
        let timestamp_low = fields.u32()?;
        let bfee_count = fields.u16()?;
        fields.skip(2)?;
        let (nrx, ntx) = (fields.u8()?, fields.u8()?);
        let (rssi_a, rssi_b, rssi_c) = (fields.u8()?, fields.u8()?, fields.u8()?);
        let (noise, agc, antenna_sel) = (fields.i8()?, fields.u8()?, fields.u8()?);
        let csi_len = usize::from(fields.u16()?);
        let rate = fields.u16()?;
        if !(Sizes { nrx, ntx, csi_len }).consistent() {
            return None;
        }
        let mut record = Self {
            timestamp_low,
            bfee_count,
            nrx,
            ntx,
            rssi_a,
            rssi_b,
            rssi_c,
            noise,
            agc,
            antenna_sel,
            rate,
            csi: Vec::new(),
        };
        record.csi = unpack(fields.slice(csi_len)?, nrx.into(), ntx.into(), record.rows());
        Some(record)
    }

    /// Antenna (0 A, 1 B, 2 C) of each chain; entries from `nrx` on mean nothing.
    pub fn perm(&self) -> [u8; 3] {
        [0, 2, 4].map(|shift| (self.antenna_sel >> shift) & 3)
    }

    /// The antennas that the rows of `csi` stand for, in rising order; `None` if `perm` is not one.
    pub fn antennas(&self) -> Option<Vec<u8>> {
        let mut antennas: Vec<u8> = self.perm().into_iter().take(self.nrx.into()).collect();
        antennas.sort_unstable();
        let valid = antennas.iter().all(|&a| a < 3) && antennas.windows(2).all(|w| w[0] != w[1]);
        valid.then_some(antennas)
    }

    /// Row of `csi` of each chain.
    fn rows(&self) -> [usize; 3] {
        let perm = self.perm();
        match self.antennas() {
            Some(antennas) => perm.map(|antenna| antennas.iter().filter(|&&a| a < antenna).count()),
            None => [0, 1, 2],
        }
    }

    /// Received signal strength in dBm over all antennas (`get_total_rss.m`); `None` if no antenna reports any.
    pub fn total_rss_dbm(&self) -> Option<f64> {
        let milliwatts: f64 = [self.rssi_a, self.rssi_b, self.rssi_c]
            .into_iter()
            .filter(|&rssi| rssi != 0)
            .map(|rssi| decibels_to_power(f64::from(rssi)))
            .sum();
        (milliwatts > 0.0).then(|| 10.0 * milliwatts.log10() - 44.0 - f64::from(self.agc))
    }

    /// CSI in units of sqrt(SNR), `[tx][rx][subcarrier]` (`get_scaled_csi.m`); `None` where there is no signal.
    pub fn scaled(&self) -> Option<Vec<Complex32>> {
        let csi_power: f64 = self.csi.iter().map(|c| f64::from(c.norm_sqr())).sum();
        if csi_power == 0.0 {
            return None;
        }
        let scale = decibels_to_power(self.total_rss_dbm()?) / (csi_power / SUBCARRIERS as f64);
        let noise_dbm = if self.noise == NOISE_UNDEFINED { -92.0 } else { f64::from(self.noise) };
        // Each coefficient is off by about one unit, so its error has power 1 before scaling.
        let quantisation = scale * f64::from(self.nrx) * f64::from(self.ntx);
        let noise = decibels_to_power(noise_dbm) + quantisation;
        // Transmit power is split over the streams; Intel takes 4.5 dB for a third.
        let streams = match self.ntx {
            2 => 2.0,
            3 => decibels_to_power(4.5),
            _ => 1.0,
        };
        let factor = (scale / noise * streams).sqrt();
        let scaled = |part: f32| (f64::from(part) * factor) as f32;
        Some(self.csi.iter().map(|c| Complex32::new(scaled(c.re), scaled(c.im))).collect())
    }

    /// Channel bandwidth of the packet in MHz.
    pub fn bandwidth_mhz(&self) -> u16 {
        if self.rate & RATE_HT40 == 0 { 20 } else { 40 }
    }

    /// As a frame of the link `intel5300` (the format names no addresses).
    pub fn into_frame(self, capture_time_ns: i64) -> CsiFrame {
        static LINK: LazyLock<LinkId> = LazyLock::new(|| LinkId::new("intel5300"));
        let layout = Layout::new(self.ntx.into(), self.nrx.into(), SUBCARRIERS as u16);
        CsiFrame {
            capture_time_ns: Some(capture_time_ns),
            sequence: Some(self.bfee_count.into()),
            rssi_dbm: self.total_rss_dbm().map(|dbm| dbm as f32),
            noise_dbm: (self.noise != NOISE_UNDEFINED).then(|| f32::from(self.noise)),
            bandwidth_mhz: Some(self.bandwidth_mhz()),
            subcarrier_index: Some(subcarrier_index(self.bandwidth_mhz())),
            ..CsiFrame::new(LINK.clone(), layout, self.csi)
        }
    }
}

/// The groups reported at 20 and 40 MHz (IEEE 802.11n, table 7-25f, Ng = 2 and 4).
pub(crate) fn subcarrier_index(bandwidth_mhz: u16) -> Arc<[i16]> {
    type Groups = LazyLock<Arc<[i16]>>;
    static GROUPS_20: Groups =
        LazyLock::new(|| (-28..=-2).step_by(2).chain([-1]).chain((1..=27).step_by(2)).chain([28]).collect());
    static GROUPS_40: Groups = LazyLock::new(|| (-58..=-2).step_by(4).chain((2..=58).step_by(4)).collect());
    Arc::clone(if bandwidth_mhz == 40 { &GROUPS_40 } else { &GROUPS_20 })
}

fn decibels_to_power(decibels: f64) -> f64 {
    10f64.powf(decibels / 10.0)
}

/// Unpacks the bit stream of `nrx` chains and `ntx` streams into `[tx][rx][subcarrier]`, chain `j` into row `rows[j]`.
///
/// Bits beyond the end of `payload` read as 0; the counts must be at most 3.
pub(crate) fn unpack(payload: &[u8], nrx: usize, ntx: usize, rows: [usize; 3]) -> Vec<Complex32> {
    // Room for a whole word at the last value.
    let mut padded = [0u8; csi_bytes(9) + 4];
    let length = payload.len().min(csi_bytes(9));
    padded[..length].copy_from_slice(&payload[..length]);

    let mut csi = vec![Complex32::ZERO; ntx * nrx * SUBCARRIERS];
    let mut bit = 0;
    for subcarrier in 0..SUBCARRIERS {
        bit += 3;
        for &row in rows.iter().take(nrx) {
            for tx in 0..ntx {
                let at = bit / 8;
                let word = take(&padded, at).map_or(0, u32::from_le_bytes) >> (bit % 8);
                csi[(tx * nrx + row) * SUBCARRIERS + subcarrier] =
                    Complex32::new(f32::from(word as u8 as i8), f32::from((word >> 8) as u8 as i8));
                bit += 16;
            }
        }
    }
    csi
}

/// Encodes a record as the tool logs it, length and code included. Parts of CSI values are rounded and held within the
/// 8 bits that the card has.
pub fn encode(record: &Record) -> Result<Vec<u8>, EncodeError> {
    let Record { nrx, ntx, .. } = *record;
    let range = 1..=MAX_ANTENNAS;
    if !range.contains(&nrx) || !range.contains(&ntx) {
        return Err(EncodeError::Antennas { nrx, ntx });
    }
    let pairs = usize::from(nrx) * usize::from(ntx);
    if record.csi.len() != pairs * SUBCARRIERS {
        return Err(EncodeError::Values { got: record.csi.len(), expected: pairs * SUBCARRIERS });
    }
    let csi_len = csi_bytes(pairs);
    let mut bytes = Vec::with_capacity(PAYLOAD + csi_len);
    bytes.extend_from_slice(&((PAYLOAD - 2 + csi_len) as u16).to_be_bytes());
    bytes.push(BEAMFORMING);
    bytes.extend_from_slice(&record.timestamp_low.to_le_bytes());
    bytes.extend_from_slice(&record.bfee_count.to_le_bytes());
    bytes.extend_from_slice(&[0, 0, nrx, ntx, record.rssi_a, record.rssi_b, record.rssi_c]);
    bytes.extend_from_slice(&[record.noise as u8, record.agc, record.antenna_sel]);
    bytes.extend_from_slice(&(csi_len as u16).to_le_bytes());
    bytes.extend_from_slice(&record.rate.to_le_bytes());
    bytes.resize(PAYLOAD + csi_len, 0);

    let rows = record.rows();
    let (nrx, ntx) = (usize::from(nrx), usize::from(ntx));
    let mut bit = 8 * PAYLOAD;
    for subcarrier in 0..SUBCARRIERS {
        bit += 3;
        for &row in rows.iter().take(nrx) {
            for tx in 0..ntx {
                let value = record.csi[(tx * nrx + row) * SUBCARRIERS + subcarrier];
                // Float to integer casts saturate.
                let [re, im] = [value.re, value.im].map(|part| u32::from(part.round() as i8 as u8));
                let word = (re | im << 8) << (bit % 8);
                for (byte, part) in bytes[bit / 8..].iter_mut().zip(word.to_le_bytes()) {
                    *byte |= part;
                }
                bit += 16;
            }
        }
    }
    Ok(bytes)
}
