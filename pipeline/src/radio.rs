//! A look at the signal as it is at present: how well each link is heard, and for those who watch its amplitudes, its Doppler spectrum and
//! its delay profile.

mod delay;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use invispose_kernels::Layout;

pub use self::delay::DelayProfile;
use crate::csi::LinkId;
use crate::stages::cleanup::{CleanLink, CleanWindow};

/// Values of the longest curve: as many as a plot shows.
pub const CURVE: usize = 64;

/// What the newest window of a site held.
#[derive(Clone, Debug, PartialEq)]
pub struct Glance {
    /// End of the window, nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// Its links.
    pub links: Vec<LinkGlance>,
}

/// What one link and layout gave.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkGlance {
    /// The link.
    pub link: LinkId,
    /// Its packets' layout.
    pub layout: Layout,
    /// Packets per second on the window's grid, over the window.
    pub packets_per_s: f64,
    /// Share of the grid's steps with a packet, 0..1.
    pub received: f64,
    /// Mean over the window's packets that say it, dBm.
    pub rssi_dbm: Option<f32>,
    /// Centre frequency in MHz.
    pub center_mhz: Option<f32>,
    /// Bandwidth in MHz.
    pub bandwidth_mhz: Option<u16>,
    /// Amplitude of the newest packet over the subcarriers that carry signal, first antenna pair, in the receiver's units; at most
    /// [`CURVE`] values, each the mean of its neighbours. Empty while nobody watches.
    pub amplitude: Vec<f32>,
    /// Power over Doppler frequency, from −rate/2 upward, likewise. Empty also where the window was cleaned on a GPU.
    pub doppler: Vec<f32>,
    /// Power over delay of the newest packet. `None` while nobody watches, and where packets do not say which subcarriers they hold.
    pub delay: Option<DelayProfile>,
    /// Steps per second of the grid: the Doppler spectrum spans so many hertz.
    pub rate_hz: f64,
}

/// The newest windows of all sites. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Radio {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    watchers: AtomicUsize,
    sites: Mutex<HashMap<Arc<str>, Arc<Glance>>>,
}

/// Somebody who watches: curves are made as long as there is one.
#[derive(Debug)]
pub struct Watching {
    radio: Radio,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.radio.inner.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Radio {
    /// From the next window on there are curves, until the answer is dropped.
    pub fn watch(&self) -> Watching {
        self.inner.watchers.fetch_add(1, Ordering::Relaxed);
        Watching { radio: self.clone() }
    }

    /// The newest window of a site; `None` before the first one.
    pub fn newest(&self, site: &str) -> Option<Arc<Glance>> {
        self.sites().get(site).cloned()
    }

    /// Shows a window.
    pub fn show(&self, window: &CleanWindow) {
        let curves = self.inner.watchers.load(Ordering::Relaxed) > 0;
        let about = &window.window;
        let links = window.links.iter().map(|l| glance(l, about.grid.rate_hz, curves)).collect();
        self.put(about.site.clone(), Glance { time_ns: about.grid.end_ns, links });
    }

    /// Shows what was made of a window.
    pub fn put(&self, site: Arc<str>, glance: Glance) {
        self.sites().insert(site, Arc::new(glance));
    }

    fn sites(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Glance>>> {
        self.inner.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn glance(link: &CleanLink, rate_hz: f64, curves: bool) -> LinkGlance {
    let raw = &link.raw;
    let heard = raw.received.iter().filter(|r| **r).count();
    let received = heard as f64 / raw.received.len().max(1) as f64;
    let told: Vec<f32> = raw.rssi_dbm.iter().flatten().copied().collect();
    LinkGlance {
        link: raw.link.clone(),
        layout: raw.layout,
        packets_per_s: received * rate_hz,
        received,
        rssi_dbm: (!told.is_empty()).then(|| told.iter().sum::<f32>() / told.len() as f32),
        center_mhz: raw.center_mhz,
        bandwidth_mhz: raw.bandwidth_mhz,
        amplitude: if curves { curve(&amplitude(link)) } else { Vec::new() },
        doppler: if curves { curve(&link.doppler) } else { Vec::new() },
        delay: curves.then(|| delay::profile(raw, &link.columns)).flatten(),
        rate_hz,
    }
}

/// Of the newest packet's first antenna pair.
fn amplitude(link: &CleanLink) -> Vec<f32> {
    let raw = &link.raw;
    let values = raw.layout.values();
    let newest = raw.received.iter().rposition(|r| *r);
    let packet = newest.and_then(|step| raw.csi.get(step * values..(step + 1) * values)).unwrap_or_default();
    link.columns.iter().filter_map(|&column| packet.get(usize::from(column))).map(|v| v.norm()).collect()
}

/// At most [`CURVE`] values: means of neighbours.
fn curve(values: &[f32]) -> Vec<f32> {
    let count = values.len().min(CURVE);
    let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len().max(1) as f32;
    let bounds = |i: usize| i * values.len() / count.max(1);
    (0..count).filter_map(|i| values.get(bounds(i)..bounds(i + 1)).map(mean)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_keep_the_mean() {
        let long: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let short = curve(&long);
        assert_eq!(short.len(), CURVE);
        assert!(short.windows(2).all(|w| w[0] < w[1]));
        assert!((short.iter().sum::<f32>() / CURVE as f32 - 499.5).abs() < 1.0);
        assert_eq!(curve(&[1.0, 2.0]), [1.0, 2.0]);
        assert!(curve(&[]).is_empty());
    }
}
