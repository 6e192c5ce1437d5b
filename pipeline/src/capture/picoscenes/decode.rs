//! Walking over a capture.

use super::csi::Device;
use super::frame::{MAGIC, Record, frame_length};
use crate::LinkId;
use crate::capture::bytes::{mac_text, take};
use crate::capture::clock::Micros32;
use crate::capture::{Decoder, Format, Item, Reject};

/// PicoScenes.
pub const FORMAT: Format = Format { name: "picoscenes", sniff, decoder: || Box::new(PicoScenes::default()) };

#[derive(Default)]
struct PicoScenes {
    at: usize,
    clock: Micros32,
    device: Option<Device>,
    link: Option<(LinkKey, LinkId)>,
}

type LinkKey = (Option<[u8; 6]>, Device);

/// The first frame that starts in `from..to`. (The magic stands inside packets that PicoScenes sends, too: not enough alone.)
fn find_frame(data: &[u8], from: usize, to: usize) -> Option<usize> {
    (from..to.min(data.len())).find(|&at| {
        take(data, at + 4).map(u32::from_le_bytes) == Some(MAGIC) && frame_length(data, at).is_some()
    })
}

fn is_boundary(data: &[u8], at: usize) -> bool {
    at == data.len() || frame_length(data, at).is_some()
}

impl PicoScenes {
    fn reject(&mut self, next: usize, reason: &'static str, detail: String) -> Option<Item> {
        let offset = self.at as u64;
        self.at = next;
        Some(Err(Reject { offset, reason, detail }))
    }

    fn link(&mut self, key: LinkKey) -> LinkId {
        match &self.link {
            Some((last, link)) if *last == key => link.clone(),
            _ => {
                let link = LinkId::new(match key {
                    (Some(mac), _) => mac_text(mac),
                    (None, Device::Qca9300) => "qca9300".to_owned(),
                    (None, Device::Iwl5300) => "iwl5300".to_owned(),
                    (None, Device::Ax200) => "ax200".to_owned(),
                    (None, Device::Ax210) => "ax210".to_owned(),
                    (None, Device::Radio) => "radio".to_owned(),
                });
                self.link = Some((key, link.clone()));
                link
            }
        }
    }

    /// The host's time where it is stored, else the device's clock.
    fn time_ns(&mut self, record: &Record) -> Option<i64> {
        if let Some(ns) = record.basic.system_time {
            return i64::try_from(ns).ok();
        }
        let timestamp = record.basic.timestamp;
        match (record.csi.device, &record.firmware) {
            (Device::Radio, _) => i64::try_from(timestamp).ok().filter(|&ns| ns != 0),
            (Device::Ax200 | Device::Ax210, Some(header)) => Some(self.clock.nanoseconds(header.mu_clock)),
            (Device::Ax200 | Device::Ax210, None) if timestamp == 0 => None,
            _ => match u32::try_from(timestamp) {
                Ok(counter) => Some(self.clock.nanoseconds(counter)),
                Err(_) => i64::try_from(timestamp).ok()?.checked_mul(1000),
            },
        }
    }
}

impl Decoder for PicoScenes {
    fn next(&mut self, data: &[u8]) -> Option<Item> {
        let left = data.len().checked_sub(self.at).filter(|&left| left > 0)?;
        let Some(length) = frame_length(data, self.at) else {
            let stated = take(data, self.at).map_or(0, u32::from_le_bytes) as usize;
            let magic = take(data, self.at + 4).map(u32::from_le_bytes);
            let end = self.at.saturating_add(stated).saturating_add(4);
            let detail = format!("length {stated}, magic {:#010x}", magic.unwrap_or(0));
            let next = if end < data.len() && frame_length(data, end).is_some() {
                Some(end)
            } else {
                find_frame(data, self.at + 1, data.len())
            };
            return match next {
                None if end > data.len() && magic.is_none_or(|magic| magic == MAGIC) => {
                    self.reject(data.len(), "truncated", format!("{left} bytes of a frame"))
                }
                next => self.reject(next.unwrap_or(data.len()), "bad_header", detail),
            };
        };
        let end = self.at.saturating_add(length);
        if end > data.len() {
            let next = find_frame(data, self.at + 1, data.len()).unwrap_or(data.len());
            return self.reject(next, "truncated", format!("{left} of {length} bytes"));
        }
        // Bytes got lost within this frame if the next one starts before its end.
        if !is_boundary(data, end)
            && let Some(next) = find_frame(data, self.at + 1, end)
        {
            let detail = format!("{} of {length} bytes before the next frame", next - self.at);
            return self.reject(next, "truncated", detail);
        }
        match Record::parse(data.get(self.at..end)?) {
            Ok(record) => {
                self.at = end;
                let device = record.csi.device;
                self.device = Some(device);
                let time_ns = self.time_ns(&record);
                let link = self.link((record.transmitter, device));
                Some(Ok(record.into_frame(link, time_ns)))
            }
            Err((reason, detail)) => self.reject(end, reason, detail),
        }
    }

    fn chip(&self) -> Option<&str> {
        self.device.map(Device::name)
    }
}

fn sniff(head: &[u8]) -> bool {
    frame_length(head, 0).is_some()
        || find_frame(head, 0, head.len())
            .and_then(|at| frame_length(head, at + frame_length(head, at)?))
            .is_some()
}
