//! Walking over a capture.

use super::record::{HEADER, Header, Record};
use crate::LinkId;
use crate::capture::clock::Micros32;
use crate::capture::{Decoder, Format, Item, Reject};

/// FeitCSI.
pub const FORMAT: Format = Format { name: "feitcsi", sniff, decoder: || Box::new(FeitCsi::default()) };

#[derive(Default)]
struct FeitCsi {
    at: usize,
    clock: Micros32,
    link: Option<([u8; 6], LinkId)>,
}

/// A consistent header at `at`.
fn header(data: &[u8], at: usize) -> Option<Header> {
    // A cheap look at the antenna counts first.
    if !matches!(data.get(at + 46..at + 48)?, [1..=4, 1..=4]) {
        return None;
    }
    Header::parse(data.get(at..)?).filter(Header::consistent)
}

fn end_of(at: usize, header: &Header) -> usize {
    at + HEADER + header.csi_length as usize
}

/// The first record in `from..to` that is followed by another or by the end of the data.
fn find_record(data: &[u8], from: usize, to: usize) -> Option<usize> {
    (from..to).find(|&at| {
        header(data, at).is_some_and(|header| {
            let end = end_of(at, &header);
            is_boundary(data, end) || data.len() < end + HEADER
        })
    })
}

fn is_boundary(data: &[u8], at: usize) -> bool {
    at == data.len() || header(data, at).is_some()
}

impl FeitCsi {
    fn reject(&mut self, next: usize, reason: &'static str, detail: String) -> Option<Item> {
        let offset = self.at as u64;
        self.at = next;
        Some(Err(Reject { offset, reason, detail }))
    }

    fn link(&mut self, source: [u8; 6]) -> LinkId {
        match &self.link {
            Some((last, link)) if *last == source => link.clone(),
            _ => {
                let link = LinkId::new(Record::link_name(source));
                self.link = Some((source, link.clone()));
                link
            }
        }
    }
}

impl Decoder for FeitCsi {
    fn next(&mut self, data: &[u8]) -> Option<Item> {
        let left = data.len().checked_sub(self.at).filter(|&left| left > 0)?;
        let Some(header) = header(data, self.at) else {
            let Some(bad) = data.get(self.at..).filter(|_| left >= HEADER).and_then(Header::parse) else {
                return self.reject(data.len(), "truncated", format!("{left} bytes of a header"));
            };
            let detail = format!(
                "{} bytes of CSI, {} receive chains, {} streams, {} tones",
                bad.csi_length, bad.num_rx, bad.num_tx, bad.num_subcarriers
            );
            let end = end_of(self.at, &bad);
            let next = if end < data.len() && is_boundary(data, end) {
                end
            } else {
                find_record(data, self.at + 1, data.len()).unwrap_or(data.len())
            };
            return self.reject(next, "bad_payload", detail);
        };
        let end = end_of(self.at, &header);
        if end > data.len() {
            let next = find_record(data, self.at + 1, data.len()).unwrap_or(data.len());
            return self.reject(next, "truncated", format!("{left} of {} bytes", end - self.at));
        }
        // Bytes got lost within this record if the next one starts before its end.
        if !is_boundary(data, end)
            && let Some(next) = find_record(data, self.at + 1, end)
        {
            let detail = format!("{} of {} bytes before the next record", next - self.at, end - self.at);
            return self.reject(next, "truncated", detail);
        }
        match data.get(self.at..end).and_then(Record::parse) {
            Some(record) => {
                self.at = end;
                let card_ns = self.clock.nanoseconds(header.mu_clock);
                let time_ns = header.host_time_us.map_or(card_ns, |us| us as i64 * 1000);
                let link = self.link(header.source_mac);
                Some(Ok(record.into_frame(link, time_ns)))
            }
            None => self.reject(end, "bad_payload", format!("{} bytes of CSI", header.csi_length)),
        }
    }

    fn chip(&self) -> Option<&str> {
        Some("Intel AX2xx")
    }
}

fn sniff(head: &[u8]) -> bool {
    header(head, 0).is_some()
        || find_record(head, 0, head.len()).is_some_and(|at| {
            // After damage: two records that follow each other.
            header(head, at).is_some_and(|first| header(head, end_of(at, &first)).is_some())
        })
}
