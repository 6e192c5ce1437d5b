//! Presence: is somebody there, by what varies in the signal against what varied while the room was quiet.
//!
//! Takes [`CleanWindow`]s, gives [`ObservedWindow`]s. Each link learns its own quiet level; nothing is compared with a constant
//! level. Until a link has learned it, only variation that noise of no strength explains counts as motion: the
//! autocorrelation must be beyond both [`PresenceConfig::moving_share`] and what white noise reaches by chance.

use std::collections::HashMap;
use std::sync::Arc;

use invispose_kernels::Layout;
use invispose_models::input::Reference;
use serde::{Deserialize, Serialize};

use super::baseline::{Baseline, LinkBaseline, VERSION};
use super::breathing::{BreathingConfig, BreathingMonitor};
use super::calibration::LinkKnowledge;
use super::cleanup::{CleanLink, CleanWindow};
use super::quiet::Quiet;
use crate::csi::LinkId;
use crate::pose::{Breathing, Presence};
use crate::signal::SignalAnswer;

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
    /// Quiet windows count once it was quiet for this long before them and after them, seconds: people who keep still move again, and what
    /// they were until then is not the quiet room. They would make the level theirs, and then the next ones' who move a little more.
    pub hold_s: f64,
    /// By how much the level may rise in an hour, as a share of itself: whoever sleeps in the room shall not become its quiet.
    pub rise_per_h: f32,
    /// Correlation of a link's amplitudes over subcarriers and antennas with those that it had in the quiet room, from which on what was kept of
    /// that room is believed after a start or a long silence: quiet links stay above 0.99, moved boards mostly below 0.85.
    pub fit: f32,
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
            hold_s: 30.0,
            rise_per_h: 0.25,
            fit: 0.9,
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
    /// The links that it is heard on.
    pub breaths: Vec<(LinkId, Breathing)>,
    /// What the site's own classifiers say.
    pub signal: SignalAnswer,
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
            links.insert((LinkId::new(known.link.as_str()), known.layout), Quiet::kept(known, &config));
        }
        let breathing = BreathingMonitor::new(config.breathing.clone());
        Self { config, links, present: false, turning_ns: None, last_ns: None, changed: false, breathing }
    }

    /// What was learned so far.
    pub fn baseline(&self) -> Baseline {
        let known =
            self.links.iter().filter_map(|((link, layout), quiet)| quiet.baseline(link.as_str(), *layout));
        let mut links: Vec<LinkBaseline> = known.collect();
        links.sort_by(|a, b| (&a.link, a.layout).cmp(&(&b.link, b.layout)));
        Baseline { version: VERSION, links }
    }

    /// Knows of these links what `baseline` does, without doubt.
    pub fn adopt(&mut self, baseline: &Baseline) {
        for known in &baseline.links {
            let key = (LinkId::new(known.link.as_str()), known.layout);
            if let Some(quiet) = self.links.get_mut(&key) {
                quiet.adopt(known, &self.config);
            }
        }
        self.changed = true;
    }

    /// What each link knows, by name and layout.
    pub fn knowledge(&self) -> Vec<LinkKnowledge> {
        let of = |((link, layout), quiet): (&(LinkId, Layout), &Quiet)| LinkKnowledge {
            link: link.clone(),
            layout: *layout,
            quiet_level: quiet.level,
            time_ns: quiet.level.map(|_| quiet.sampled_ns),
            holds: !quiet.unheard() && quiet.holds(),
            dropped: quiet.dropped.clone(),
        };
        let mut links: Vec<LinkKnowledge> = self.links.iter().map(of).collect();
        links.sort_by(|a, b| (&a.link, a.layout).cmp(&(&b.link, b.layout)));
        links
    }

    /// The link's receiver has settled.
    pub fn is_settled(&self, link: &LinkId, layout: Layout) -> bool {
        self.links.get(&(link.clone(), layout)).is_some_and(|quiet| quiet.settled(&self.config))
    }

    /// The quiet room's mean amplitudes as a link knows them (see [`LinkBaseline::profile`]).
    pub fn profile(&self, link: &LinkId, layout: Layout) -> Option<Arc<[f32]>> {
        self.links.get(&(link.clone(), layout)).filter(|quiet| quiet.holds())?.profile.clone()
    }

    /// True once after a link has learned its level, brought its reference up to date, or believed or given up what was kept.
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
            if let Some(quiet) = known(&mut self.links, link) {
                quiet.hear(link, time, &self.config);
            }
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
        let reference =
            |link: &CleanLink| self.links.get(&key(link)).filter(|q| q.holds())?.reference.clone();
        let references = clean.links.iter().map(reference).collect();
        let breaths = self.breathing.links();
        ObservedWindow { clean, presence, breathing, breaths, references, signal: SignalAnswer::default() }
    }

    /// The stream broke off: nothing that was in the making goes on.
    fn interrupt(&mut self) {
        self.turning_ns = None;
        self.present = false;
        self.links.values_mut().for_each(Quiet::interrupt);
    }

    fn evidence(&self, link: &CleanLink) -> Option<Evidence> {
        self.links.get(&key(link))?.evidence(&link.motion?, &self.config)
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
        let Some(quiet) = known(&mut self.links, link) else { return };
        let was = quiet.level.is_some();
        if !quiet.learn(link, quiet_now, passed_s, time, &self.config) {
            return;
        }
        self.changed = true;
        let learned = !was && quiet.level.is_some();
        if was && let (None, Some(why)) = (quiet.level, &quiet.dropped) {
            tracing::warn!(link = link.raw.link.as_str(), layout = %link.raw.layout, "the link's baseline is given up: {why}");
        }
        if learned {
            self.drop_other_layouts(link);
        }
    }

    /// A link that has learned in this layout and was not heard in another one, of which something was kept, has changed its layout.
    fn drop_other_layouts(&mut self, link: &CleanLink) {
        let (name, layout) = (&link.raw.link, link.raw.layout);
        self.links.retain(|(other, old), quiet| {
            let gone = other == name && *old != layout && quiet.unheard();
            if gone {
                tracing::warn!(
                    link = name.as_str(),
                    "the baseline of layout {old} is given up: the link's layout is {layout}"
                );
            }
            !gone
        });
    }
}

/// What a link knows, made at first sight; `None` where there are too many.
fn known<'a>(links: &'a mut HashMap<(LinkId, Layout), Quiet>, link: &CleanLink) -> Option<&'a mut Quiet> {
    let key = key(link);
    if links.len() >= MAX_LINKS && !links.contains_key(&key) {
        return None;
    }
    Some(links.entry(key).or_insert_with(Quiet::new))
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
