//! Walking over a log.

use super::record::{BEAMFORMING, PAYLOAD, Record, Sizes};
use crate::capture::bytes::take;
use crate::capture::clock::Micros32;
use crate::capture::{Decoder, Format, Item, Reject};

/// Linux 802.11n CSI Tool.
pub const FORMAT: Format = Format { name: "intel5300", sniff, decoder: || Box::new(Intel5300::default()) };

#[derive(Default)]
struct Intel5300 {
    at: usize,
    clock: Micros32,
}

/// Is there a whole and consistent report header at `at`?
fn is_report(data: &[u8], at: usize) -> bool {
    let Some([high, low, BEAMFORMING]) = take(data, at) else { return false };
    let length = usize::from(u16::from_be_bytes([high, low]));
    data.get(at..)
        .and_then(Sizes::of)
        .is_some_and(|sizes| sizes.consistent() && length == PAYLOAD - 2 + sizes.csi_len)
}

/// The first report that starts in `from..to`.
fn find_report(data: &[u8], from: usize, to: usize) -> Option<usize> {
    let codes = data.get(from + 2..to.saturating_add(2).min(data.len()))?;
    codes
        .iter()
        .enumerate()
        .filter(|&(_, &code)| code == BEAMFORMING)
        .map(|(i, _)| from + i)
        .find(|&at| is_report(data, at))
}

/// Could a record start at `at`: a report, or up to three others and then a report or the end?
fn is_boundary(data: &[u8], mut at: usize) -> bool {
    for _ in 0..4 {
        match take(data, at) {
            None => return at == data.len(),
            Some([_, _, BEAMFORMING]) => return is_report(data, at),
            Some([0, 0, _]) => return false,
            Some([high, low, _]) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    false
}

impl Intel5300 {
    fn reject(&mut self, next: usize, reason: &'static str, detail: String) -> Option<Item> {
        let offset = self.at as u64;
        self.at = next;
        Some(Err(Reject { offset, reason, detail }))
    }

    /// Leaves a record that cannot be used, for the next report wherever that is.
    fn resume(&mut self, data: &[u8], reason: &'static str, detail: String) -> Option<Item> {
        let next = find_report(data, self.at + 1, data.len()).unwrap_or(data.len());
        self.reject(next, reason, detail)
    }

    fn report(&mut self, data: &[u8], length: usize) -> Option<Item> {
        let end = self.at + 2 + length;
        let record = data.get(self.at..)?;
        let sizes = match Sizes::of(record) {
            Some(sizes) if sizes.consistent() && length >= PAYLOAD - 2 + sizes.csi_len => sizes,
            Some(Sizes { nrx, ntx, csi_len }) => {
                let detail =
                    format!("length {length}, {nrx} receive chains, {ntx} streams, {csi_len} bytes of CSI");
                return if end <= data.len() && is_boundary(data, end) {
                    self.reject(end, "bad_payload", detail)
                } else {
                    self.resume(data, "bad_payload", detail)
                };
            }
            None => {
                return self.resume(data, "truncated", format!("{} bytes of a report", record.len()));
            }
        };
        if end > data.len() {
            let detail = format!("{} of {} bytes", record.len(), length + 2);
            return self.resume(data, "truncated", detail);
        }
        // Bytes got lost within this report if the next one starts before its end.
        if !is_boundary(data, end)
            && let Some(next) = find_report(data, self.at + 1, end)
        {
            let detail = format!("{} of {} bytes before the next report", next - self.at, length + 2);
            return self.reject(next, "truncated", detail);
        }
        match record.get(3..PAYLOAD + sizes.csi_len).and_then(Record::parse) {
            Some(record) => {
                self.at = end;
                let time_ns = self.clock.nanoseconds(record.timestamp_low);
                Some(Ok(record.into_frame(time_ns)))
            }
            None => self.reject(end, "bad_payload", format!("length {length}")),
        }
    }
}

impl Decoder for Intel5300 {
    fn next(&mut self, data: &[u8]) -> Option<Item> {
        while self.at < data.len() {
            let Some([high, low, code]) = take(data, self.at) else {
                let left = data.len() - self.at;
                return self.reject(data.len(), "truncated", format!("{left} bytes of a record"));
            };
            let length = usize::from(u16::from_be_bytes([high, low]));
            if code == BEAMFORMING {
                return self.report(data, length);
            }
            let end = self.at + 2 + length;
            if length == 0 {
                return self.resume(data, "bad_length", "length 0".to_owned());
            }
            if let Some(next) = find_report(data, self.at + 1, end.min(data.len())) {
                let detail = format!("length {length} of a record with code {code:#04x} covers a report");
                return self.reject(next, "bad_length", detail);
            }
            if end > data.len() {
                let detail = format!("{} of {} bytes", data.len() - self.at, length + 2);
                return self.reject(data.len(), "truncated", detail);
            }
            self.at = end;
        }
        None
    }

    fn chip(&self) -> Option<&str> {
        Some("Intel IWL5300")
    }
}

fn sniff(head: &[u8]) -> bool {
    // A report at the start or right after a few other records.
    let mut at = 0;
    for _ in 0..64 {
        match take(head, at) {
            Some([_, _, BEAMFORMING]) if is_report(head, at) => return true,
            None | Some([_, _, BEAMFORMING] | [0, 0, _]) => break,
            Some([high, low, _]) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    // After damage: two reports that follow each other.
    let Some(first) = find_report(head, 0, head.len()) else { return false };
    let mut log = Intel5300 { at: first, ..Intel5300::default() };
    let mut follows = || log.next(head).is_some_and(|item| item.is_ok());
    follows() && follows()
}
