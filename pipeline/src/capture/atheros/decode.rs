//! Walking over a log.

use super::record::{HEADER, Record};
use crate::LinkId;
use crate::capture::bytes::{Endian, Fields};
use crate::capture::clock::Micros32;
use crate::capture::{Decoder, Format, Item, Reject};

/// Atheros CSI Tool.
pub const FORMAT: Format = Format { name: "atheros", sniff, decoder: || Box::new(Atheros::default()) };

/// Channels in the 2.4, 5 and 6 GHz bands.
const CHANNELS_MHZ: std::ops::RangeInclusive<u16> = 2300..=7200;

#[derive(Default)]
struct Atheros {
    /// Known once the first record was looked for.
    endian: Option<Endian>,
    at: usize,
    clock: Micros32,
    link: Option<(Option<[u8; 6]>, LinkId)>,
}

/// Length field and header of the record at `at`.
fn header(data: &[u8], at: usize, endian: Endian) -> Option<(usize, Record)> {
    let length = Fields::new(data.get(at..)?, endian).u16()?;
    Some((length.into(), Record::header(data.get(at + 2..)?, endian)?))
}

/// Is there a header at `at` all of whose lengths and counts fit each other?
fn is_record(data: &[u8], at: usize, endian: Endian) -> bool {
    if !matches!(data.get(at + 18), Some(56 | 114)) {
        return false;
    }
    header(data, at, endian).is_some_and(|(length, record)| {
        let parts = HEADER + usize::from(record.csi_len) + usize::from(record.payload_len);
        // Some versions repeat the length at the end and count that.
        (length == parts || length == parts + 2)
            && record.consistent()
            && usize::from(record.csi_len) == record.expected_csi_len()
            && CHANNELS_MHZ.contains(&record.tx_channel)
    })
}

/// Is it a packet that was logged without CSI?
fn is_unsounded(data: &[u8], at: usize, endian: Endian) -> bool {
    header(data, at, endian).is_some_and(|(length, record)| {
        let parts = HEADER + usize::from(record.payload_len);
        record.csi_len == 0
            && (length == parts || length == parts + 2)
            && CHANNELS_MHZ.contains(&record.tx_channel)
    })
}

/// Could a record start at `at`, or do the data end there?
fn is_boundary(data: &[u8], at: usize, endian: Endian) -> bool {
    at == data.len() || is_record(data, at, endian) || is_unsounded(data, at, endian)
}

fn find_record(data: &[u8], from: usize, to: usize, endian: Endian) -> Option<usize> {
    (from..to).find(|&at| is_record(data, at, endian))
}

/// Byte order, and where the first record starts.
fn detect(data: &[u8]) -> Option<(Endian, usize)> {
    use Endian::{Big, Little};
    // A mark of the byte order comes first in newer logs.
    let candidates = match data.first()? {
        0xff => [(Big, 1), (Little, 0), (Big, 0)],
        0x00 => [(Little, 1), (Big, 0), (Little, 0)],
        _ => [(Little, 0), (Big, 0), (Little, 1)],
    };
    let starts = |is: fn(&[u8], usize, Endian) -> bool| {
        candidates.into_iter().find(|&(endian, at)| is(data, at, endian))
    };
    starts(is_record).or_else(|| {
        // The first records are damaged or hold no CSI: the byte order of the first good one, from the start.
        let head = data.len().min(1 << 16);
        let (endian, _) = (0..head)
            .flat_map(|at| [(Little, at), (Big, at)])
            .find(|&(endian, at)| is_record(data, at, endian))?;
        let marked = matches!((endian, data.first()), (Big, Some(0xff)) | (Little, Some(0x00)));
        let at = usize::from(marked && !is_unsounded(data, 0, endian));
        Some((endian, at))
    })
}

impl Atheros {
    fn reject(&mut self, next: usize, reason: &'static str, detail: String) -> Option<Item> {
        let offset = self.at as u64;
        self.at = next;
        Some(Err(Reject { offset, reason, detail }))
    }

    /// Leaves a record that cannot be used: for its end if another starts there, else for the next one anywhere.
    fn resume(
        &mut self,
        data: &[u8],
        endian: Endian,
        end: usize,
        reason: &'static str,
        detail: String,
    ) -> Option<Item> {
        let next = if end <= data.len() && is_boundary(data, end, endian) {
            end
        } else {
            find_record(data, self.at + 1, data.len(), endian).unwrap_or(data.len())
        };
        self.reject(next, reason, detail)
    }

    fn time_ns(&mut self, timestamp: u64) -> i64 {
        match u32::try_from(timestamp) {
            Ok(counter) => self.clock.nanoseconds(counter),
            Err(_) => i64::try_from(timestamp).unwrap_or(i64::MAX).saturating_mul(1000),
        }
    }

    fn link(&mut self, transmitter: Option<[u8; 6]>) -> LinkId {
        match &self.link {
            Some((last, link)) if *last == transmitter => link.clone(),
            _ => {
                let link = LinkId::new(Record::link_name(transmitter));
                self.link = Some((transmitter, link.clone()));
                link
            }
        }
    }
}

impl Decoder for Atheros {
    fn next(&mut self, data: &[u8]) -> Option<Item> {
        let endian = match self.endian {
            Some(endian) => endian,
            None => {
                let (endian, at) = detect(data).unwrap_or((Endian::Little, 0));
                (self.endian, self.at) = (Some(endian), at);
                endian
            }
        };
        let left = data.len().checked_sub(self.at).filter(|&left| left > 0)?;
        let Some((length, head)) = header(data, self.at, endian) else {
            return self.reject(data.len(), "truncated", format!("{left} bytes of a record"));
        };
        let end = self.at + 2 + length;
        let describe = || {
            format!(
                "length {length}, {} bytes of CSI, {} tones, {} receive chains, {} streams",
                head.csi_len, head.num_tones, head.nr, head.nc
            )
        };
        if length < HEADER + usize::from(head.csi_len) {
            return self.resume(data, endian, self.at + 2 + length.max(HEADER), "bad_length", describe());
        }
        if head.csi_len != 0 && !head.consistent() {
            return self.resume(data, endian, end, "bad_payload", describe());
        }
        if end > data.len() {
            let next = find_record(data, self.at + 1, data.len(), endian).unwrap_or(data.len());
            return self.reject(next, "truncated", format!("{left} of {} bytes", length + 2));
        }
        // Bytes got lost within this record if the next one starts before its end.
        if !is_boundary(data, end, endian)
            && let Some(next) = find_record(data, self.at + 1, end, endian)
        {
            let detail = format!("{} of {} bytes before the next record", next - self.at, length + 2);
            return self.reject(next, "truncated", detail);
        }
        if head.csi_len == 0 {
            return self.reject(end, "no_csi", "a packet without CSI".to_owned());
        }
        match data.get(self.at + 2..end).and_then(|record| Record::parse(record, endian)) {
            Some(record) => {
                self.at = end;
                let time_ns = self.time_ns(record.timestamp);
                let link = self.link(record.transmitter);
                Some(Ok(record.into_frame(link, time_ns)))
            }
            None => self.reject(end, "bad_payload", describe()),
        }
    }

    fn chip(&self) -> Option<&str> {
        Some("QCA93XX")
    }
}

fn sniff(head: &[u8]) -> bool {
    let Some((endian, at)) = detect(head) else { return false };
    if is_record(head, at, endian) {
        return true;
    }
    // After damage or packets without CSI: a record and what may follow it.
    let Some(first) = find_record(head, at, head.len(), endian) else { return false };
    header(head, first, endian).is_some_and(|(length, _)| is_boundary(head, first + 2 + length, endian))
}
