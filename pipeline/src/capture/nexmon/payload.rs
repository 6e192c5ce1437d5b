//! The UDP payload of Nexmon CSI: an 18-byte header, then one 32-bit word for each FFT bin.
//!
//! | offset | field |
//! |---|---|
//! | 0..2 | u16 magic `0x1111` |
//! | 2 | i8 RSSI in dBm (older firmware: `0x11`) |
//! | 3 | u8 frame control (older firmware: `0x11`) |
//! | 4..10 | transmitter address |
//! | 10..12 | u16 sequence control: fragment in bits 0-3, sequence number in bits 4-15 |
//! | 12..14 | u16 core (bits 0-2) and spatial stream (bits 3-5) |
//! | 14..16 | u16 chanspec: channel in bits 0-7, width in bits 11-13, band in bits 14-15 |
//! | 16..18 | u16 chip version |
//! | 18.. | bins in FFT order |
//!
//! 43455c0 and 4339 give i16 real, i16 imaginary. 4358 and 4366c0 pack sign-magnitude mantissas (9 and 12 bits, sign
//! included) and one exponent (5 and 6 bits) into the word, real above imaginary above exponent; all bins of a packet are
//! scaled by the same power of two so that the largest takes 10 bits. Source: the layouts published with `nexmon_csi`
//! (header, `unpack_float`).

use std::ops::Range;
use std::sync::Arc;

use invispose_kernels::{Complex32, Layout};

use crate::capture::decoder::Reject;
use crate::capture::links::{LinkNames, cached_fft_order, mac_key, mac_name};
use crate::csi::CsiFrame;

/// The UDP port that the firmware sends to.
pub const PORT: u16 = 5500;
/// Bytes before the bins.
pub(super) const HEADER: usize = 18;

/// FFT bins that hold remains of headers instead of CSI with the RSSI firmware. They are decoded as they stand, so that
/// checksums over a capture cover the whole file; cleanup nulls them. All lie at or beside DC, where nothing is sent.
pub const HEADER_DEBRIS_BINS: Range<usize> = 0..3;

/// Chips whose CSI can be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chip {
    /// Nexus 5.
    Bcm4339,
    /// Nexus 6P.
    Bcm4358,
    /// Raspberry Pi 3B+ and 4B.
    Bcm43455c0,
    /// Asus RT-AC86U.
    Bcm4366c0,
}

impl Chip {
    /// The chip that a header's version field means: the numbers of Nexmon's `firmware_version.h`, and `0xdead`, which early
    /// 4358 firmware left there.
    pub fn from_version(version: u16) -> Option<Self> {
        Some(match version {
            1 => Self::Bcm4339,
            3 | 0xdead => Self::Bcm4358,
            101 => Self::Bcm43455c0,
            106 => Self::Bcm4366c0,
            _ => return None,
        })
    }

    /// The chip's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bcm4339 => "BCM4339",
            Self::Bcm4358 => "BCM4358",
            Self::Bcm43455c0 => "BCM43455c0",
            Self::Bcm4366c0 => "BCM4366c0",
        }
    }

    /// Bits of the mantissa (sign included) and of the exponent; `None` for plain i16.
    fn packed_float(self) -> Option<(u32, u32)> {
        match self {
            Self::Bcm4358 => Some((9, 5)),
            Self::Bcm4366c0 => Some((12, 6)),
            Self::Bcm4339 | Self::Bcm43455c0 => None,
        }
    }
}

/// Decodes payloads; keeps link names between them.
#[derive(Default)]
pub struct PayloadDecoder {
    links: LinkNames,
    orders: Vec<(u16, Arc<[i16]>)>,
    chip: Option<Chip>,
}

impl PayloadDecoder {
    /// Reads one UDP payload. Each core and spatial stream of a transmitter is a link of its own,
    /// `aa:bb:cc:dd:ee:ff/core0-ss0`, 1 x 1 x bins; bins stay in FFT order. Up to four bytes after the bins are ignored.
    ///
    /// # Errors
    /// `truncated`, `bad_magic`, `unknown_chip` or `bad_length` (no 64, 128, 256 or 512 bins).
    pub fn decode(&mut self, payload: &[u8]) -> Result<CsiFrame, Reject> {
        let reject = |reason, detail: String| Reject { offset: 0, reason, detail };
        let Some((head, body)) = payload.split_first_chunk::<HEADER>() else {
            return Err(reject("truncated", format!("{} bytes of an {HEADER}-byte header", payload.len())));
        };
        let &[m0, m1, rssi, fctl, a, b, c, d, e, f, q0, q1, s0, s1, w0, w1, v0, v1] = head;
        if [m0, m1] != [0x11, 0x11] {
            return Err(reject("bad_magic", format!("magic {m1:02x}{m0:02x}, not 1111")));
        }
        let version = u16::from_le_bytes([v0, v1]);
        let Some(chip) = Chip::from_version(version) else {
            return Err(reject("unknown_chip", format!("chip version {version:#06x}")));
        };
        let bins = [64u16, 128, 256, 512]
            .into_iter()
            .find(|&n| (4 * usize::from(n)..=4 * usize::from(n) + 4).contains(&body.len()))
            .ok_or_else(|| reject("bad_length", format!("{} bytes of CSI", body.len())))?;
        let body = &body[..4 * usize::from(bins)];
        let csi = match chip.packed_float() {
            None => body.chunks_exact(4).map(complex_i16).collect(),
            Some((mantissa, exponent)) => unpack_floats(body, mantissa, exponent),
        };
        self.chip = Some(chip);
        let mac = [a, b, c, d, e, f];
        let (core, stream) = (s0 & 7, s0 >> 3 & 7);
        let key = mac_key(mac) << 8 | u64::from(s0 & 0x3f);
        let link = self.links.get(key, || format!("{}/core{core}-ss{stream}", mac_name(mac)));
        let _ = s1;
        let mut frame = CsiFrame::new(link, Layout::new(1, 1, bins), csi);
        frame.sequence = Some(u32::from(u16::from_le_bytes([q0, q1]) >> 4));
        frame.rssi_dbm = ([rssi, fctl] != [0x11, 0x11]).then_some(f32::from(rssi as i8));
        frame.center_mhz = center_mhz(u16::from_le_bytes([w0, w1]));
        frame.bandwidth_mhz = Some(bins / 64 * 20);
        frame.subcarrier_index = Some(cached_fft_order(&mut self.orders, bins));
        Ok(frame)
    }

    /// The chip of the last good payload.
    pub fn chip(&self) -> Option<Chip> {
        self.chip
    }
}

fn complex_i16(word: &[u8]) -> Complex32 {
    Complex32::new(
        f32::from(i16::from_le_bytes([word[0], word[1]])),
        f32::from(i16::from_le_bytes([word[2], word[3]])),
    )
}

/// Centre of the chanspec's channel: its low byte is the centre channel for 40 MHz and wider, band bits 14-15 are 3 for
/// 5 GHz and 0 for 2.4 GHz.
fn center_mhz(chanspec: u16) -> Option<f32> {
    let channel = chanspec & 0xff;
    match (channel, chanspec >> 14) {
        (0, _) => None,
        (14, 0) => Some(2484.0),
        (_, 0) => Some(2407.0 + 5.0 * f32::from(channel)),
        (_, 3) => Some(5000.0 + 5.0 * f32::from(channel)),
        _ => None,
    }
}

/// Bits that the largest magnitude of a packet takes after scaling.
const SCALED_BITS: i32 = 10;

/// Words of sign-magnitude real, sign-magnitude imaginary (`mantissa` bits each, sign on top) and two's complement
/// `exponent`, from high to low bits.
fn unpack_floats(body: &[u8], mantissa: u32, exponent: u32) -> Vec<Complex32> {
    let magnitude_mask = (1u32 << (mantissa - 1)) - 1;
    let split = |word: &[u8]| {
        let w = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let re = w >> (exponent + mantissa);
        let im = w >> exponent;
        let e = ((w << (32 - exponent)) as i32) >> (32 - exponent);
        (
            re & magnitude_mask,
            re >> (mantissa - 1) & 1 == 1,
            im & magnitude_mask,
            im >> (mantissa - 1) & 1 == 1,
            e,
        )
    };
    let top = body
        .chunks_exact(4)
        .filter_map(|word| {
            let (re, _, im, _, e) = split(word);
            (re | im).checked_ilog2().map(|bits| e + bits as i32)
        })
        .max()
        .unwrap_or(0);
    let shift = SCALED_BITS - top;
    let scale = |magnitude: u32, negative: bool, e: i32| {
        let by = e + shift;
        // Nonzero magnitudes shift left by at most SCALED_BITS: `top` bounds their exponent.
        let v = match by {
            _ if magnitude == 0 || by < -(mantissa as i32) => 0,
            0.. => magnitude << by.min(SCALED_BITS),
            _ => magnitude >> -by,
        };
        if negative { -(v as f32) } else { v as f32 }
    };
    body.chunks_exact(4)
        .map(|word| {
            let (re, re_negative, im, im_negative, e) = split(word);
            // Adding 0 turns -0 into 0.
            Complex32::new(scale(re, re_negative, e) + 0.0, scale(im, im_negative, e) + 0.0)
        })
        .collect()
}
