//! JSON lines of ADR-018 frames: one object a line with `timestamp` (Unix seconds), `node_id`, `magic`, `iq_hex` (the
//! complete I/Q payload) and `subcarriers`. The lines' `rssi` is not a measurement and is not read.

use std::borrow::Cow;

use invispose_kernels::{Complex32, Layout};
use serde::Deserialize;

use super::adr018::{DatagramDecoder, MAGIC, Sibling};
use super::decoder::{Decoder, Format, Item, Reject};
use crate::csi::CsiFrame;

/// JSON lines of ADR-018 frames.
pub const FORMAT: Format =
    Format { name: "adr018-jsonl", sniff, decoder: || Box::<LineDecoder>::default() as Box<dyn Decoder> };

fn sniff(head: &[u8]) -> bool {
    let start = head.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(head.len());
    let body = &head[start..];
    body.first() == Some(&b'{') && memchr::memmem::find(body, b"\"iq_hex\"").is_some()
}

#[derive(Deserialize)]
struct Line<'a> {
    timestamp: Option<f64>,
    node_id: Option<u8>,
    #[serde(borrow)]
    magic: Option<Cow<'a, str>>,
    #[serde(borrow)]
    iq_hex: Option<Cow<'a, str>>,
    subcarriers: Option<u16>,
}

#[derive(Default)]
struct LineDecoder {
    pos: usize,
    frames: DatagramDecoder,
}

impl Decoder for LineDecoder {
    fn next(&mut self, data: &[u8]) -> Option<Item> {
        loop {
            let rest = data.get(self.pos..).filter(|r| !r.is_empty())?;
            let offset = self.pos as u64;
            let end = memchr::memchr(b'\n', rest);
            self.pos += end.map_or(rest.len(), |e| e + 1);
            let line = rest[..end.unwrap_or(rest.len())].trim_ascii();
            if line.is_empty() {
                continue;
            }
            let last = end.is_none();
            match self.line(line) {
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => {}
                Err((reason, detail)) => {
                    let reason = if last && reason == "bad_json" { "truncated" } else { reason };
                    return Some(Err(Reject { offset, reason, detail }));
                }
            }
        }
    }

    fn chip(&self) -> Option<&str> {
        Some("ESP32")
    }
}

impl LineDecoder {
    fn line(&mut self, line: &[u8]) -> Result<Option<CsiFrame>, (&'static str, String)> {
        let line: Line<'_> = serde_json::from_slice(line).map_err(|e| ("bad_json", e.to_string()))?;
        if let Some(magic) = &line.magic {
            let digits = magic.trim_start_matches("0x").trim_start_matches("0X");
            match u32::from_str_radix(digits, 16) {
                Ok(MAGIC) => {}
                Ok(m) if Sibling::from_magic(m).is_some() => return Ok(None),
                _ => return Err(("bad_magic", format!("magic `{}`", clip(magic)))),
            }
        }
        let node = line.node_id.ok_or(("missing_field", "no `node_id`".to_owned()))?;
        let hex = line.iq_hex.ok_or(("missing_field", "no `iq_hex`".to_owned()))?;
        let csi = hex_pairs(hex.as_bytes())?;
        let subcarriers = match line.subcarriers {
            Some(n) => n,
            None => u16::try_from(csi.len()).map_err(|_| ("bad_length", format!("{} values", csi.len())))?,
        };
        let per_antenna = usize::from(subcarriers);
        if per_antenna == 0 || csi.is_empty() || !csi.len().is_multiple_of(per_antenna) {
            return Err(("bad_length", format!("{} values for {subcarriers} subcarriers", csi.len())));
        }
        let rx = u16::try_from(csi.len() / per_antenna)
            .map_err(|_| ("bad_length", format!("{} values", csi.len())))?;
        let mut frame = CsiFrame::new(self.frames.link(node), Layout::new(1, rx, subcarriers), csi);
        // Beyond the range of i64 nanoseconds (years 1677 to 2262) a time is no time.
        frame.capture_time_ns =
            line.timestamp.map(|s| s * 1e9).filter(|ns| ns.abs() < 9.2e18).map(|ns| ns.round() as i64);
        frame.subcarrier_index = self.frames.index(subcarriers);
        Ok(Some(frame))
    }
}

fn clip(text: &str) -> String {
    text.chars().take(24).collect()
}

/// Pairs of hexadecimal i8, imaginary first.
fn hex_pairs(hex: &[u8]) -> Result<Vec<Complex32>, (&'static str, String)> {
    if !hex.len().is_multiple_of(4) {
        return Err(("bad_length", format!("{} hexadecimal digits are no i8 pairs", hex.len())));
    }
    let mut bad = 0;
    let mut byte = |hi: u8, lo: u8| {
        let (hi, lo) = (NIBBLE[usize::from(hi)], NIBBLE[usize::from(lo)]);
        bad |= hi | lo;
        f32::from((hi << 4 | lo & 15) as i8)
    };
    let csi = hex
        .chunks_exact(4)
        .map(|h| {
            let im = byte(h[0], h[1]);
            Complex32::new(byte(h[2], h[3]), im)
        })
        .collect();
    if bad & 0x80 == 0 {
        Ok(csi)
    } else {
        Err(("bad_number", "`iq_hex` holds other than hexadecimal digits".to_owned()))
    }
}

/// The value of a hexadecimal digit; the top bit is set for other bytes.
const NIBBLE: [u8; 256] = {
    let mut table = [0x80; 256];
    let mut i = 0;
    while i < 10 {
        table[b'0' as usize + i] = i as u8;
        i += 1;
    }
    let mut i = 0;
    while i < 6 {
        table[b'a' as usize + i] = 10 + i as u8;
        table[b'A' as usize + i] = 10 + i as u8;
        i += 1;
    }
    table
};
