//! Serial logs of ESP32 CSI firmware: lines that hold `CSI_DATA,…,[…]`.
//!
//! Known column sets, told apart by a header line (`type,…`) or by the number of columns before the array:
//!
//! | columns | written by |
//! |---|---|
//! | 25 | ESP32-CSI-Tool: role, mac, rssi, …, `local_timestamp` at 18, `len` at 24 |
//! | 24 | esp-csi `csi_recv`: sequence, mac, rssi, …, `local_timestamp` at 18, `len` at 22, `first_word` |
//! | 26 | the same with AGC and FFT gain before `len` |
//! | 14 | esp-csi on ESP32-C5, C6 and C61: sequence, mac, rssi, rate, noise floor, …, `local_timestamp` at 9, `len` at 12 |
//!
//! The array holds i8 pairs, imaginary first, separated by spaces or commas, in quotes or not. Whatever else is in the log
//! (boot messages, other lines, a prefix before `CSI_DATA`) is no record and is passed over; a record that does not parse is
//! rejected, and reading goes on behind its tag, so that a line which the next one runs into costs itself only.

mod columns;
mod writer;

use std::sync::Arc;

use invispose_kernels::{Complex32, Layout};
use memchr::memmem;

use self::columns::Columns;
use super::clock::Micros32;
use super::decoder::{Decoder, Format, Item, Reject};
use super::links::{LinkNames, cached_fft_order, channel_mhz, mac_key, mac_name, parse_mac};
use crate::csi::CsiFrame;

pub use writer::{HEADER, write_row};

/// ESP32 CSI serial logs and CSV files.
pub const FORMAT: Format =
    Format { name: "esp32-csv", sniff, decoder: || Box::<CsvDecoder>::default() as Box<dyn Decoder> };

const TAG: &[u8] = b"CSI_DATA,";

fn sniff(head: &[u8]) -> bool {
    // A serial log is text, but a chip's boot messages at another baud rate put some other bytes in.
    let printable =
        head.iter().filter(|b| (0x20..0x7f).contains(*b) || matches!(b, b'\n' | b'\r' | b'\t')).count();
    head.first() != Some(&b'{') && memmem::find(head, TAG).is_some() && printable * 10 >= head.len() * 9
}

#[derive(Default)]
struct CsvDecoder {
    pos: usize,
    header: Option<Columns>,
    clock: Micros32,
    links: LinkNames,
    orders: Vec<(u16, Arc<[i16]>)>,
    /// The array of the record being read.
    values: Vec<i8>,
}

impl Decoder for CsvDecoder {
    fn next(&mut self, data: &[u8]) -> Option<Item> {
        loop {
            let rest = data.get(self.pos..).filter(|r| !r.is_empty())?;
            let newline = memchr::memchr(b'\n', rest);
            let end = newline.unwrap_or(rest.len());
            let line = &rest[..end];
            let next_line = self.pos + end + usize::from(newline.is_some());
            if let Some(header) = Columns::from_header(line) {
                self.header = Some(header);
                self.pos = next_line;
                continue;
            }
            let Some(tag) = memmem::find(line, TAG) else {
                self.pos = next_line;
                continue;
            };
            let offset = (self.pos + tag) as u64;
            return Some(match self.record(&line[tag..]) {
                Ok(frame) => {
                    self.pos = next_line;
                    Ok(frame)
                }
                Err((reason, detail)) => {
                    self.pos += tag + TAG.len();
                    Err(Reject { offset, reason, detail })
                }
            });
        }
    }

    fn chip(&self) -> Option<&str> {
        Some("ESP32")
    }
}

type Bad = (&'static str, String);

impl CsvDecoder {
    fn record(&mut self, record: &[u8]) -> Result<CsiFrame, Bad> {
        let Some(bracket) = memchr::memchr(b'[', record) else {
            return Err(("truncated", format!("no array in {} bytes", record.len())));
        };
        let mut fields = [&record[..0]; columns::MAX];
        let mut count = 0;
        for field in record[..bracket].split(|&b| b == b',') {
            *fields.get_mut(count).ok_or(("bad_columns", "too many columns".to_owned()))? = field;
            count += 1;
        }
        // What stands between the last comma and the bracket is the array's opening quotes.
        let columns = count - 1;
        let Some(place) = self.header.filter(|h| h.count == columns).or(Columns::from_count(columns)) else {
            return Err(("bad_columns", format!("{columns} columns before the array")));
        };
        parse_array(&record[bracket + 1..], &mut self.values)?;

        let number = |at: usize, min: i64, max: i64| {
            fields.get(at).and_then(|f| integer(f)).filter(|v| (min..=max).contains(v)).ok_or_else(|| {
                let text =
                    fields.get(at).map(|f| String::from_utf8_lossy(&f[..f.len().min(24)]).into_owned());
                ("bad_number", format!("column {at}: `{}`", text.unwrap_or_default()))
            })
        };
        let mac = fields.get(place.mac).and_then(|f| parse_mac(f.trim_ascii()));
        let mac = mac.ok_or_else(|| ("bad_address", format!("column {} holds no address", place.mac)))?;
        let len = number(place.len, 0, 65536)?;
        let got = self.values.len();
        // Some firmware states the buffer's length and prints the part that is valid, one or two of three training fields.
        let plausible = got as i64 == len || matches!(got, 128 | 256 | 384) || 2 * got as i64 == len;
        if got == 0 || !got.is_multiple_of(2) || !plausible {
            return Err(("bad_length", format!("{got} values where `len` is {len}")));
        }
        let subcarriers = u16::try_from(got / 2).map_err(|_| ("bad_length", format!("{got} values")))?;
        let rssi = number(place.rssi, -128, 127)?;
        let noise = place.noise.map(|at| number(at, -128, 127)).transpose()?;
        let channel = place.channel.map(|at| number(at, 0, 255)).transpose()?;
        let timestamp = number(place.timestamp, 0, i64::from(u32::MAX))?;
        let secondary = place.secondary.and_then(|at| number(at, 0, 2).ok()).unwrap_or(0);
        let wide = place.bandwidth.and_then(|at| number(at, 0, 1).ok());

        let csi =
            self.values.chunks_exact(2).map(|p| Complex32::new(f32::from(p[1]), f32::from(p[0]))).collect();
        let link = self.links.get(mac_key(mac), || mac_name(mac));
        let mut frame = CsiFrame::new(link, Layout::new(1, 1, subcarriers), csi);
        frame.capture_time_ns = Some(self.clock.nanoseconds(timestamp as u32));
        frame.sequence =
            place.sequence.and_then(|at| integer(fields.get(at)?)).and_then(|v| u32::try_from(v).ok());
        frame.rssi_dbm = Some(rssi as f32);
        frame.noise_dbm = noise.map(|v| v as f32).filter(|&v| v != 0.0);
        let offset = match (wide, secondary) {
            (Some(1), 1) => 10.0,
            (Some(1), 2) => -10.0,
            _ => 0.0,
        };
        frame.center_mhz = channel.and_then(|c| channel_mhz(c as u16)).map(|mhz| mhz + offset);
        frame.bandwidth_mhz = wide.map(|w| if w == 1 { 40 } else { 20 });
        // One training field of a channel without a secondary one. Longer arrays put several fields one after the other.
        if subcarriers == 64 && secondary == 0 {
            frame.subcarrier_index = Some(cached_fft_order(&mut self.orders, 64));
        }
        Ok(frame)
    }
}

/// A decimal integer, with spaces and quotes around it.
fn integer(field: &[u8]) -> Option<i64> {
    let field = field.trim_ascii();
    let (negative, digits) = match field.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, field),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for &d in digits {
        if !d.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(d - b'0');
    }
    Some(if negative { -value } else { value })
}

/// Reads i8 values up to `]`, separated by spaces or commas.
fn parse_array(text: &[u8], values: &mut Vec<i8>) -> Result<(), Bad> {
    values.clear();
    let mut bytes = text.iter().copied();
    let mut byte = bytes.next();
    loop {
        while matches!(byte, Some(b' ' | b',' | b'\t')) {
            byte = bytes.next();
        }
        let negative = byte == Some(b'-');
        if negative {
            byte = bytes.next();
        }
        let mut value = 0i32;
        let mut digits = 0;
        while let Some(d @ b'0'..=b'9') = byte {
            value = value * 10 + i32::from(d - b'0');
            digits += 1;
            if digits > 3 {
                break;
            }
            byte = bytes.next();
        }
        if digits > 0 {
            let signed = if negative { -value } else { value };
            match i8::try_from(signed) {
                Ok(v) if matches!(byte, Some(b' ' | b',' | b'\t' | b']')) => values.push(v),
                Ok(_) if matches!(byte, None | Some(b'\r')) => {}
                Ok(_) => return Err(("bad_number", format!("value {} runs into other text", values.len()))),
                Err(_) => return Err(("bad_number", format!("value {} is {signed}, no i8", values.len()))),
            }
        }
        match byte {
            Some(b']') if !negative || digits > 0 => return Ok(()),
            None | Some(b'\r') => {
                return Err(("truncated", format!("the array ends after {} values", values.len())));
            }
            Some(b' ' | b',' | b'\t') if digits > 0 => {}
            Some(other) => {
                let seen = char::from(other).escape_default();
                return Err(("bad_number", format!("`{seen}` after {} values", values.len())));
            }
        }
    }
}
