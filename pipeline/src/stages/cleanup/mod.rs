//! Cleanup: windows of raw CSI to windows of features that the radio's faults are not in.
//!
//! Takes [`CsiWindow`]s, gives [`CleanWindow`]s. On the CPU each step of a link's grid is cleaned once: the next window of
//! the link takes over what it shares with the one before. On a GPU, windows of all sites are cleaned together and
//! only what presence needs comes back; see `Cleanup::serve_on`.

mod columns;
#[cfg(feature = "gpu")]
mod gpu;
mod link;
#[cfg(feature = "gpu")]
mod pack;

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use invispose_kernels::{Complex32, Layout};

use self::columns::Columns;
pub(crate) use self::columns::tone_plan;
use self::link::LinkState;
use super::assembly::{CsiWindow, LinkWindow};
use super::motion::Motion;
use super::worker::take;
use crate::csi::LinkId;
use crate::health::Health;
use crate::trail::mark;

/// A window and its links' features.
#[derive(Clone, Debug)]
pub struct CleanWindow {
    /// What it was made from, without the links.
    pub window: CsiWindow,
    /// The links, in the order in which the window had them.
    pub links: Vec<CleanLink>,
}

/// One link's features. Rows of steps that were not received are zeros. Where the link was cleaned on a GPU nothing on the
/// way reads amplitude, phase, ratio, Doppler and delay, so they stay there and are empty here.
#[derive(Clone, Debug)]
pub struct CleanLink {
    /// The raw packets on the grid.
    pub raw: LinkWindow,
    /// Columns of `raw` that carry signal, ascending; `S` is their number.
    pub columns: Arc<[u16]>,
    /// `[step][pair][S]`: amplitude of the packet scaled to unit mean power, without outliers (Hampel over time).
    pub amplitude: Vec<f32>,
    /// `[step][pair][S]`: phase without the slope and offset that the receiver's clocks add, common to all pairs.
    pub phase: Vec<f32>,
    /// `[step][tx × (rx − 1)][S]`: CSI of each further receive antenna over that of the first; empty with one antenna.
    pub ratio: Vec<Complex32>,
    /// `[bin]`: power over Doppler frequency (−rate/2 upward) of the window's last second, mean over streams of the ratio, or of
    /// the amplitude where there is no ratio; missing steps repeat the one before.
    pub doppler: Vec<f32>,
    /// `[bin]`: power over delay of the newest packet, mean over antenna pairs.
    pub delay: Vec<f32>,
    /// What moves; `None` with too few packets.
    pub motion: Option<Motion>,
    /// Steps at the end that are new since the link's last window.
    pub new_steps: usize,
    /// The raw packets on the GPU, where the network's input is made from them; `None` where they were cleaned on the CPU.
    #[cfg(feature = "gpu")]
    pub samples: Option<invispose_kernels::gpu::DeviceSamples>,
}

/// The state of all sites' links.
#[derive(Default)]
pub struct Cleanup {
    links: HashMap<Key, Known>,
    on_cpu: HashMap<Key, LinkState>,
}

type Key = (Arc<str>, LinkId, Layout);

/// What is known of a link wherever it is cleaned.
struct Known {
    end_step: i64,
    columns: Columns,
}

/// A link's window that is to be cleaned.
struct Prepared {
    raw: LinkWindow,
    columns: Arc<[u16]>,
    new_steps: usize,
}

impl Prepared {
    #[cfg(feature = "gpu")]
    fn packets(&self) -> usize {
        self.raw.received.iter().filter(|r| **r).count()
    }
}

/// Whether what is kept of a link of `site` up to the step `end` still serves in `window`, if that is the site's.
fn stays(window: &CsiWindow, site: &Arc<str>, end: i64) -> bool {
    let oldest = window.end_step - window.grid.steps as i64;
    *site != window.site || !window.reset && end > oldest
}

impl Cleanup {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cleans one window on the CPU.
    pub fn run(&mut self, window: CsiWindow) -> CleanWindow {
        let (window, links) = self.prepare(window);
        let links = links.into_iter().map(|link| self.clean(&window, link)).collect();
        CleanWindow { window, links }
    }

    /// Cleans on the CPU until its input ends or nobody takes its output.
    pub fn serve(mut self, health: &Health, input: &Receiver<CsiWindow>, output: &Sender<CleanWindow>) {
        let stats = health.stage("cleanup");
        for window in input {
            let started = take(&stats, input);
            let mut clean = self.run(window);
            mark(&mut clean.window.trail, "cleanup", started);
            stats.busy_ns.add(started.elapsed().as_nanos() as u64);
            if output.send(clean).is_err() {
                return;
            }
            stats.given.add(1);
        }
    }

    /// Takes the links out of a window and says how each is to be cleaned.
    fn prepare(&mut self, mut window: CsiWindow) -> (CsiWindow, Vec<Prepared>) {
        self.links.retain(|(site, _, _), known| stays(&window, site, known.end_step));
        self.on_cpu.retain(|(site, _, _), state| stays(&window, site, state.end_step()));
        let links = std::mem::take(&mut window.links)
            .into_iter()
            .map(|raw| {
                let key = (window.site.clone(), raw.link.clone(), raw.layout);
                let (known, new_steps) = match self.links.remove(&key) {
                    Some(mut known) => {
                        let new_steps = usize::try_from(window.end_step - known.end_step).unwrap_or(0);
                        known.columns.refresh(&raw);
                        (Known { end_step: window.end_step, ..known }, new_steps.min(raw.received.len()))
                    }
                    None => {
                        let columns = Columns::of(&raw);
                        (Known { end_step: window.end_step, columns }, raw.received.len())
                    }
                };
                let columns = known.columns.columns.clone();
                self.links.insert(key, known);
                Prepared { raw, columns, new_steps }
            })
            .collect();
        (window, links)
    }

    fn clean(&mut self, window: &CsiWindow, link: Prepared) -> CleanLink {
        let key = (window.site.clone(), link.raw.link.clone(), link.raw.layout);
        let before = self.on_cpu.remove(&key);
        let (clean, state) = LinkState::run(before, window.end_step, link, window.grid.rate_hz);
        self.on_cpu.insert(key, state);
        clean
    }
}
