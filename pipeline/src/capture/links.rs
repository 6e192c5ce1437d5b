//! One [`LinkId`] per transmitter, so that a frame costs no allocation for its name.

use std::collections::HashMap;

use crate::csi::LinkId;

/// Names already given, by a key that the format chooses.
#[derive(Default)]
pub(super) struct LinkNames {
    last: Option<(u64, LinkId)>,
    all: HashMap<u64, LinkId>,
}

impl LinkNames {
    /// The link of `key`, named by `name` when it is seen for the first time.
    pub(super) fn get(&mut self, key: u64, name: impl FnOnce() -> String) -> LinkId {
        if let Some((k, link)) = &self.last
            && *k == key
        {
            return link.clone();
        }
        let link = self.all.entry(key).or_insert_with(|| LinkId::new(name())).clone();
        self.last = Some((key, link.clone()));
        link
    }
}

/// A 48-bit address as the low bits of a key.
pub(super) fn mac_key(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |key, &b| key << 8 | u64::from(b))
}

/// `aa:bb:cc:dd:ee:ff`.
pub(super) fn mac_name(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// Reads `aa:bb:cc:dd:ee:ff`, upper or lower case.
pub(super) fn parse_mac(text: &[u8]) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(|&b| b == b':');
    for byte in &mut mac {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 2 {
            return None;
        }
        *byte = u8::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// Centre of a 20 MHz channel in MHz: 2.4 GHz below 15, 5 GHz above. `None` for 0.
pub(super) fn channel_mhz(channel: u16) -> Option<f32> {
    match channel {
        0 => None,
        1..=13 => Some(2407.0 + 5.0 * f32::from(channel)),
        14 => Some(2484.0),
        15..=200 => Some(5000.0 + 5.0 * f32::from(channel)),
        _ => None,
    }
}

/// Subcarrier indices of an FFT of `n` bins in FFT order: `0, 1, … n/2-1, -n/2, … -1`.
pub(super) fn fft_order(n: u16) -> std::sync::Arc<[i16]> {
    let n = i32::from(n);
    (0..n).map(|i| if i < n / 2 { i as i16 } else { (i - n) as i16 }).collect()
}

/// The entry of `table` for an FFT of `n` bins, made at first use. `n` is one of the few sizes that a format allows.
pub(super) fn cached_fft_order(
    table: &mut Vec<(u16, std::sync::Arc<[i16]>)>,
    n: u16,
) -> std::sync::Arc<[i16]> {
    if let Some((_, index)) = table.iter().find(|(size, _)| *size == n) {
        return index.clone();
    }
    let index = fft_order(n);
    table.push((n, index.clone()));
    index
}
