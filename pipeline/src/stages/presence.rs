//! Presence: is somebody there, by what varies in the signal against what varied while the room was quiet.
//!
//! Takes [`CleanWindow`]s, gives [`ObservedWindow`]s. Each link learns its own quiet level; nothing is compared with a constant
//! level. Until a link has learned it, only variation that noise of no strength explains counts as motion: the
//! autocorrelation must be beyond both [`PresenceConfig::moving_share`] and what white noise reaches by chance.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use invispose_kernels::Layout;
use invispose_models::input::{Reference, ReferenceBuilder};
use serde::{Deserialize, Serialize};

use super::baseline::{Baseline, LinkBaseline, VERSION};
use super::breathing::{BreathingConfig, BreathingMonitor};
use super::cleanup::{CleanLink, CleanWindow};
use crate::csi::LinkId;
use crate::health::{Health, Part};
use crate::pose::{Breathing, Presence};

/// The rules of presence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresenceConfig {
    /// Autocorrelation from which on a window counts as motion when the link's quiet level is not known, and is not
    /// learned from. Quiet links stay below 0.2, movement is mostly above 0.4.
    pub moving_share: f32,
    /// Standard deviations of white noise that an autocorrelation must exceed to count at all: 3 are exceeded by chance in
    /// one of 740 windows.
    pub noise_sigmas: f32,
    /// The quantile of the quiet windows' variation that is the quiet level, 0..1: not the highest, which one disturbance
    /// sets.
    pub quantile: f32,
    /// Somebody comes when the variation is this many times the quiet level (`--suite motion-espectre --plots` shows the
    /// trade-off)…
    pub on: f32,
    /// …for this long, seconds: one packet in error moves a window or two…
    pub on_s: f64,
    /// …and leaves when it is less than this many times the quiet level…
    pub off: f32,
    /// …for this long, seconds: people pause.
    pub off_s: f64,
    /// Seconds after a link's first packet, or its first after a long silence, in which it says nothing: a receiver's gain
    /// control settles for up to two of them, and the window remembers as long.
    pub settle_s: f64,
    /// Quiet seconds in a row from which the quiet level is first learned, by a link with a packet in every step of the grid;
    /// one with fewer packets takes as many more seconds.
    pub learn_s: f64,
    /// Seconds between the quiet windows that keep it up to date: as long as a window, so that they are independent.
    pub refresh_s: f64,
    /// Quiet windows kept: with `refresh_s` the last eight quiet minutes.
    pub samples: usize,
    /// Breathing, which shows somebody who keeps still.
    pub breathing: BreathingConfig,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            moving_share: 0.25,
            noise_sigmas: 3.0,
            quantile: 0.95,
            on: 2.0,
            on_s: 0.2,
            off: 1.5,
            off_s: 2.0,
            settle_s: 4.0,
            learn_s: 3.0,
            refresh_s: 2.0,
            samples: 256,
            breathing: BreathingConfig::default(),
        }
    }
}

/// A window and what it says of presence.
#[derive(Clone, Debug)]
pub struct ObservedWindow {
    /// The features.
    pub clean: CleanWindow,
    /// `None` while nothing can be said: no packets, or quiet and not yet learned.
    pub presence: Option<Presence>,
    /// Breathing; `None` unless it is reliable.
    pub breathing: Option<Breathing>,
    /// The quiet room's channel of each of the window's links, in their order; `None` where it was not learned yet.
    pub references: Vec<Option<Arc<Reference>>>,
}

/// The state of one site.
pub struct PresenceDetector {
    config: PresenceConfig,
    links: HashMap<(LinkId, Layout), Quiet>,
    present: bool,
    /// Stream time since when the evidence has been for the other state.
    turning_ns: Option<i64>,
    last_ns: Option<i64>,
    changed: bool,
    breathing: BreathingMonitor,
}

/// What one link knows of the quiet room.
struct Quiet {
    /// Stream time of the first window since the link was last silent for long, and of the newest.
    heard_ns: Option<(i64, i64)>,
    /// Variation of quiet windows, the oldest first.
    samples: VecDeque<f32>,
    /// Their quantile; `None` until learned.
    level: Option<f32>,
    /// While learning: quiet seconds in a row, times the share of steps with a packet.
    quiet_s: f64,
    sampled_ns: i64,
    reference: Option<Arc<Reference>>,
    building: ReferenceBuilder,
    building_s: f64,
}

/// A reference is made anew from this much quiet time.
const REFERENCE_S: f64 = 30.0;
/// A link that was silent for this long may have started anew.
const LONG_SILENCE_NS: i64 = 10_000_000_000;
/// Links that are remembered; more come only from forged packets.
const MAX_LINKS: usize = 8192;

/// What one link's window shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Variation over the quiet level, at most 1 where noise explains it. Before learning: 1 = the least that counts
    /// as motion.
    pub level: f32,
    /// The quiet level is known.
    pub learned: bool,
}

impl PresenceDetector {
    /// A detector that starts from `baseline`, where the links are in it.
    pub fn new(config: PresenceConfig, baseline: Option<&Baseline>) -> Self {
        let mut links = HashMap::new();
        for known in baseline.iter().flat_map(|b| &b.links).take(MAX_LINKS) {
            let mut quiet = Quiet::new();
            quiet.samples = known.quiet.iter().copied().take(config.samples).collect();
            quiet.level = quantile(&quiet.samples, config.quantile);
            quiet.reference = known.reference.clone().map(Arc::new);
            links.insert((LinkId::new(known.link.as_str()), known.layout), quiet);
        }
        let breathing = BreathingMonitor::new(config.breathing.clone());
        Self { config, links, present: false, turning_ns: None, last_ns: None, changed: false, breathing }
    }

    /// What was learned so far.
    pub fn baseline(&self) -> Baseline {
        let mut links: Vec<LinkBaseline> = self
            .links
            .iter()
            .filter(|(_, quiet)| quiet.level.is_some())
            .map(|((link, layout), quiet)| LinkBaseline {
                link: link.as_str().to_owned(),
                layout: *layout,
                time_ns: quiet.sampled_ns,
                quiet: quiet.samples.iter().copied().collect(),
                reference: quiet.reference.as_deref().cloned(),
            })
            .collect();
        links.sort_by(|a, b| (&a.link, a.layout).cmp(&(&b.link, b.layout)));
        Baseline { version: VERSION, links }
    }

    /// True once after a link has learned its level or brought its reference up to date.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Takes in one window.
    pub fn run(&mut self, clean: CleanWindow) -> ObservedWindow {
        let time = clean.window.grid.end_ns;
        let passed_s = self.last_ns.map_or(0.0, |last| time.saturating_sub(last) as f64 / 1e9);
        if clean.window.reset || !(0.0..=10.0).contains(&passed_s) {
            self.interrupt();
            self.breathing.clear();
        }
        let breathing = self.breathing.run(&clean);
        self.last_ns = Some(time);

        for link in clean.links.iter().filter(|link| link.motion.is_some()) {
            self.hear(key(link), time);
        }
        let evidence: Vec<Option<Evidence>> = clean.links.iter().map(|link| self.evidence(link)).collect();
        let level = site_level(&evidence, self.config.on);
        let fresh = clean.window.fresh_links > 0;
        if fresh && let Some(level) = level {
            self.decide(level, time);
        }
        let quiet_site =
            !self.present && breathing.is_none() && level.is_none_or(|level| level < self.config.on);
        for (link, evidence) in clean.links.iter().zip(&evidence) {
            let quiet = quiet_site
                && evidence.is_some_and(|e| e.level < if e.learned { self.config.on } else { 1.0 });
            self.learn(link, quiet, passed_s, time);
        }
        let somewhat_learned = evidence.iter().flatten().any(|e| e.learned);
        let presence = level.filter(|_| fresh && (somewhat_learned || self.present)).map(|level| Presence {
            // Who breathes is there, however still.
            present: self.present || breathing.is_some(),
            motion_level: level,
            coverage: clean.window.fresh_links as f32 / clean.window.known_links.max(1) as f32,
        });
        let reference = |link: &CleanLink| self.links.get(&key(link)).and_then(|q| q.reference.clone());
        let references = clean.links.iter().map(reference).collect();
        ObservedWindow { clean, presence, breathing, references }
    }

    /// The stream broke off: nothing that was in the making goes on.
    fn interrupt(&mut self) {
        self.turning_ns = None;
        self.present = false;
        for quiet in self.links.values_mut() {
            quiet.heard_ns = None;
            if quiet.level.is_none() {
                quiet.forget();
            }
        }
    }

    fn hear(&mut self, key: (LinkId, Layout), time: i64) {
        if self.links.len() >= MAX_LINKS && !self.links.contains_key(&key) {
            return;
        }
        let quiet = self.links.entry(key).or_insert_with(Quiet::new);
        let since = match quiet.heard_ns {
            Some((since, last)) if time.saturating_sub(last) < LONG_SILENCE_NS => since,
            _ => time,
        };
        quiet.heard_ns = Some((since, time));
    }

    fn evidence(&self, link: &CleanLink) -> Option<Evidence> {
        let motion = link.motion?;
        let noise = self.config.noise_sigmas * motion.noise_share;
        let known = self.links.get(&key(link))?;
        let (since, now) = known.heard_ns?;
        if (now.saturating_sub(since) as f64) < self.config.settle_s * 1e9 {
            return None;
        }
        let learned = known.level;
        let level = match learned {
            Some(quiet) => {
                let level = motion.coherent / quiet.max(f32::MIN_POSITIVE);
                if motion.share > noise { level } else { level.min(1.0) }
            }
            None => motion.share.max(0.0) / self.config.moving_share.max(noise),
        };
        Some(Evidence { level: level.min(1e6), learned: learned.is_some() })
    }

    fn decide(&mut self, level: f32, time: i64) {
        let turning = if self.present { level < self.config.off } else { level >= self.config.on };
        if !turning {
            self.turning_ns = None;
            return;
        }
        let since = *self.turning_ns.get_or_insert(time);
        let needed_s = if self.present { self.config.off_s } else { self.config.on_s };
        if time.saturating_sub(since) as f64 / 1e9 >= needed_s {
            self.present = !self.present;
            self.turning_ns = None;
        }
    }

    fn learn(&mut self, link: &CleanLink, quiet_now: bool, passed_s: f64, time: i64) {
        let Some(motion) = link.motion else { return };
        if self.links.len() >= MAX_LINKS && !self.links.contains_key(&key(link)) {
            return;
        }
        let config = &self.config;
        let quiet = self.links.entry(key(link)).or_insert_with(Quiet::new);
        // Noise alone reaches this in one of twenty windows: a link that happens to show less has no lower level.
        let sample = motion.coherent.max(motion.noise_coherent(1.64));
        if quiet.level.is_none() {
            if !quiet_now {
                quiet.forget();
                return;
            }
            // A link with few packets shows less in the same time.
            let received = link.raw.received.iter().filter(|r| **r).count();
            quiet.quiet_s += passed_s * received as f64 / link.raw.received.len().max(1) as f64;
            quiet.add(sample, config.samples, time);
            quiet.build(link, passed_s);
            if quiet.quiet_s >= config.learn_s && quiet.samples.len() >= 10 {
                quiet.level = quantile(&quiet.samples, config.quantile);
                quiet.take_reference();
                self.changed = true;
            }
        } else if quiet_now {
            quiet.build(link, passed_s);
            if quiet.building_s >= REFERENCE_S {
                quiet.take_reference();
                self.changed = true;
            }
            if time.saturating_sub(quiet.sampled_ns) as f64 / 1e9 >= config.refresh_s {
                quiet.add(sample, config.samples, time);
                quiet.level = quantile(&quiet.samples, config.quantile);
            }
        } else {
            // Half a quiet stretch is no reference.
            quiet.building = ReferenceBuilder::default();
            quiet.building_s = 0.0;
        }
    }
}

impl Quiet {
    fn new() -> Self {
        Self {
            heard_ns: None,
            samples: VecDeque::new(),
            level: None,
            quiet_s: 0.0,
            sampled_ns: i64::MIN,
            reference: None,
            building: ReferenceBuilder::default(),
            building_s: 0.0,
        }
    }

    fn forget(&mut self) {
        *self = Self { heard_ns: self.heard_ns, ..Self::new() };
    }

    fn add(&mut self, sample: f32, most: usize, time: i64) {
        while self.samples.len() >= most.max(1) {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.sampled_ns = time;
    }

    /// Adds the window's new packets to the reference in the making.
    fn build(&mut self, link: &CleanLink, passed_s: f64) {
        let steps = link.raw.received.len();
        let values = link.raw.layout.values();
        for step in steps.saturating_sub(link.new_steps)..steps {
            if link.raw.received[step] {
                self.building.push(link.raw.layout, &link.raw.csi[step * values..(step + 1) * values]);
            }
        }
        self.building_s += passed_s;
    }

    fn take_reference(&mut self) {
        if let Some(reference) = std::mem::take(&mut self.building).finish() {
            self.reference = Some(Arc::new(reference));
        }
        self.building_s = 0.0;
    }
}

fn key(link: &CleanLink) -> (LinkId, Layout) {
    (link.raw.link.clone(), link.raw.layout)
}

/// One number for the site: the mean of its √L most moved of L links, so that one of a hundred that errs does not speak for all. A link that has not
/// learned yet speaks only where it sees motion, with what is then just enough, or where no link has learned.
fn site_level(evidence: &[Option<Evidence>], on: f32) -> Option<f32> {
    let any_learned = evidence.iter().flatten().any(|e| e.learned);
    let mut levels: Vec<f32> = evidence
        .iter()
        .flatten()
        .filter(|e| e.learned || !any_learned || e.level >= 1.0)
        .map(|e| if e.learned { e.level } else { e.level * on })
        .collect();
    if levels.is_empty() {
        return None;
    }
    levels.sort_unstable_by(|a, b| b.total_cmp(a));
    let spoken = (levels.len() as f64).sqrt().ceil() as usize;
    Some(levels.iter().take(spoken).sum::<f32>() / spoken as f32)
}

fn quantile(samples: &VecDeque<f32>, q: f32) -> Option<f32> {
    let mut sorted: Vec<f32> = samples.iter().copied().collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = (q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f32).round() as usize;
    sorted.get(at).copied()
}

/// A site's detector and the file in which it keeps what it learns.
pub struct SitePresence {
    detector: PresenceDetector,
    file: Option<PathBuf>,
}

impl SitePresence {
    /// A detector that starts from `baseline` and keeps what it learns in `file`.
    pub fn new(config: PresenceConfig, baseline: Option<&Baseline>, file: Option<PathBuf>) -> Self {
        Self { detector: PresenceDetector::new(config, baseline), file }
    }

    /// Takes in one window of one of `sites`. A baseline that cannot be kept raises a fault of the site's presence.
    pub fn run(sites: &mut HashMap<Arc<str>, Self>, clean: CleanWindow, health: &Health) -> ObservedWindow {
        let Some(site) = sites.get_mut(&clean.window.site) else {
            let references = vec![None; clean.links.len()];
            return ObservedWindow { clean, presence: None, breathing: None, references };
        };
        let last = clean.window.last;
        let observed = site.detector.run(clean);
        if (site.detector.take_changed() || last)
            && let Some(file) = &site.file
        {
            let baseline = site.detector.baseline();
            let kept = if baseline.links.is_empty() { Ok(()) } else { baseline.save(file) };
            let part = Part::Site("presence", observed.clean.window.site.clone());
            health.set_fault(part, kept.err().map(|e| e.to_string()));
        }
        observed
    }
}
