//! One logged packet.

use crate::capture::bytes::{Endian, Fields, mac_text, transmitter};
use crate::capture::tones::{self, Modulation};
use crate::{Complex32, CsiFrame, Layout, LinkId};

/// Bytes of a record's header after its length field.
pub(super) const HEADER: usize = 25;

/// Bytes that may follow the CSI within its length: less than any antenna or tone more would take.
const CSI_PADDING: usize = 64;

/// Noise floor that ath9k assumes when it states signal strengths in dBm (`ATH_DEFAULT_NOISE_FLOOR`).
const DEFAULT_NOISE_DBM: f32 = -95.0;

/// ath9k's mark for a chain without RSSI.
const RSSI_UNDEFINED: u8 = 0x80;

/// One logged packet, with the names of the tool's `read_log_file`.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The card's clock in microseconds; cards that count 32 bits wrap.
    pub timestamp: u64,
    /// Bytes of CSI; 0 for a packet that was not sounded.
    pub csi_len: u16,
    /// Frequency of the primary channel in MHz.
    pub tx_channel: u16,
    /// PHY error code, 0 for a good packet.
    pub err_info: u8,
    /// Noise floor as logged; the tool leaves 0.
    pub noise_floor: u8,
    /// Rate code.
    pub rate: u8,
    /// 0 is 20 MHz, 1 is 40 MHz.
    pub bandwidth: u8,
    /// Tones: 56 at 20 MHz, 114 at 40 MHz.
    pub num_tones: u8,
    /// Receive chains.
    pub nr: u8,
    /// Transmit streams.
    pub nc: u8,
    /// RSSI over all chains in dB above the noise floor.
    pub rssi: u8,
    /// RSSI of each chain.
    pub rssi_chains: [u8; 3],
    /// Bytes of the packet that follows the CSI.
    pub payload_len: u16,
    /// `[tx][rx][tone]`, 10-bit values as the card gives them; empty when `csi_len` is 0.
    pub csi: Vec<Complex32>,
    /// Transmitter of the packet, if the log holds the packet's start.
    pub transmitter: Option<[u8; 6]>,
}

/// Bytes of CSI for so many values: 20 bits each.
pub(crate) const fn csi_bytes(values: usize) -> usize {
    (values * 20).div_ceil(8)
}

impl Record {
    /// Decodes the header of a record (after its length field).
    pub(super) fn header(record: &[u8], endian: Endian) -> Option<Self> {
        let mut fields = Fields::new(record, endian);
        Some(Self {
            timestamp: fields.u64()?,
            csi_len: fields.u16()?,
            tx_channel: fields.u16()?,
            err_info: fields.u8()?,
            noise_floor: fields.u8()?,
            rate: fields.u8()?,
            bandwidth: fields.u8()?,
            num_tones: fields.u8()?,
            nr: fields.u8()?,
            nc: fields.u8()?,
            rssi: fields.u8()?,
            rssi_chains: [fields.u8()?, fields.u8()?, fields.u8()?],
            payload_len: fields.u16()?,
            csi: Vec::new(),
            transmitter: None,
        })
    }

    /// Bytes that the CSI must have by the counts.
    pub(super) fn expected_csi_len(&self) -> usize {
        csi_bytes(usize::from(self.num_tones) * usize::from(self.nr) * usize::from(self.nc))
    }

    /// Are the counts ones that the chips have?
    pub(super) fn consistent(&self) -> bool {
        matches!(self.num_tones, 56 | 114)
            && (1..=4).contains(&self.nr)
            && (1..=4).contains(&self.nc)
            && (0..CSI_PADDING).contains(&usize::from(self.csi_len).wrapping_sub(self.expected_csi_len()))
    }

    /// Decodes a record (after its length field, to its end); `None` if header and length do not fit each other.
    pub fn parse(record: &[u8], endian: Endian) -> Option<Self> {
        let mut parsed = Self::header(record, endian)?;
        let (csi, packet) = record.get(HEADER..)?.split_at_checked(parsed.csi_len.into())?;
        if parsed.csi_len != 0 {
            if !parsed.consistent() {
                return None;
            }
            let pairs = usize::from(parsed.nr) * usize::from(parsed.nc);
            parsed.csi = unpack(csi, pairs, parsed.num_tones.into());
        }
        parsed.transmitter = packet.get(..usize::from(parsed.payload_len)).and_then(transmitter);
        Some(parsed)
    }

    /// Channel bandwidth of the packet in MHz.
    pub fn bandwidth_mhz(&self) -> u16 {
        if self.num_tones == 114 { 40 } else { 20 }
    }

    /// Signal strength in dBm over all chains: RSSI above the noise floor that was logged or, as ath9k itself has it,
    /// above -95 dBm. `None` for a packet without RSSI.
    pub fn rssi_dbm(&self) -> Option<f32> {
        let noise_dbm = self.noise_dbm().unwrap_or(DEFAULT_NOISE_DBM);
        (self.rssi != RSSI_UNDEFINED).then(|| noise_dbm + f32::from(self.rssi as i8))
    }

    /// Noise floor in dBm, where one was logged.
    pub fn noise_dbm(&self) -> Option<f32> {
        (self.noise_floor != 0).then(|| f32::from(self.noise_floor as i8))
    }

    /// As a frame; `link` names the transmitter or, in a log without packets, the format.
    pub fn into_frame(self, link: LinkId, capture_time_ns: i64) -> CsiFrame {
        let bandwidth_mhz = self.bandwidth_mhz();
        let layout = Layout::new(self.nc.into(), self.nr.into(), self.num_tones.into());
        CsiFrame {
            capture_time_ns: Some(capture_time_ns),
            rssi_dbm: self.rssi_dbm(),
            noise_dbm: self.noise_dbm(),
            // The log does not say on which side of the primary channel a 40 MHz channel extends.
            center_mhz: (bandwidth_mhz == 20).then(|| f32::from(self.tx_channel)),
            bandwidth_mhz: Some(bandwidth_mhz),
            subcarrier_index: tones::indices(Modulation::Ht, bandwidth_mhz),
            ..CsiFrame::new(link, layout, self.csi)
        }
    }

    /// Name of the link: the transmitter's address or `atheros`.
    pub(super) fn link_name(transmitter: Option<[u8; 6]>) -> String {
        transmitter.map_or_else(|| "atheros".to_owned(), mac_text)
    }
}

/// Unpacks `pairs` × `tones` values, stored tone by tone, into `[pair][tone]`. Values beyond the end of `stream` are 0.
///
/// With pairs in the stream's order (transmit stream, then receive chain) that is `[tx][rx][tone]`.
pub(crate) fn unpack(stream: &[u8], pairs: usize, tones: usize) -> Vec<Complex32> {
    let mut csi = vec![Complex32::ZERO; pairs * tones];
    let (mut pair, mut tone) = (0, 0);
    let mut store = |bits: u64| {
        if let Some(slot) = csi.get_mut(pair * tones + tone) {
            *slot = complex_10_bit(bits);
        }
        pair += 1;
        if pair == pairs {
            pair = 0;
            tone += 1;
        }
    };
    // Two values fill five bytes.
    let stream = stream.get(..csi_bytes(pairs * tones)).unwrap_or(stream);
    let (couples, last) = stream.as_chunks::<5>();
    for &[a, b, c, d, e] in couples {
        let word = u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]);
        store(word);
        store(word >> 20);
    }
    if let &[a, b, c, ..] = last {
        store(u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]));
    }
    csi
}

/// The low 20 bits: imaginary part below real part.
fn complex_10_bit(bits: u64) -> Complex32 {
    let signed = |bits: u64| ((bits << 54) as i64 >> 54) as f32;
    Complex32::new(signed(bits >> 10), signed(bits))
}
