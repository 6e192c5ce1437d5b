//! What one link knows of the quiet room: how much varies in it, what its channel is like, and whether what an earlier run kept still holds.

use std::collections::VecDeque;
use std::sync::Arc;

use invispose_kernels::Layout;
use invispose_models::input::{Reference, ReferenceBuilder};

use super::baseline::LinkBaseline;
use super::cleanup::CleanLink;
use super::motion::Motion;
use super::presence::{Evidence, PresenceConfig};
use super::segments::Segments;

/// A reference is made anew from this much quiet time, seconds.
const REFERENCE_S: f64 = 30.0;
/// A link that was silent for this long may have started anew, or stand elsewhere.
pub(super) const LONG_SILENCE_NS: i64 = 10_000_000_000;
/// Channels whose amplitudes differ by no more than this, root mean square relative to the amplitude, are the same however flat they are: noise
/// makes as much.
const SAME_RMS: f32 = 0.05;
/// A link whose channel is as it was, but which varies more while nothing moves, is given this many times as long as one whose channel is another.
const PATIENCE: f64 = 10.0;

/// What one link knows of the quiet room.
pub(super) struct Quiet {
    /// Stream time of the first window since the link was last silent for long, and of the newest.
    heard_ns: Option<(i64, i64)>,
    /// Variation of quiet windows, the oldest first.
    samples: VecDeque<f32>,
    /// Their quantile; `None` until learned.
    pub level: Option<f32>,
    /// While learning: quiet seconds in a row, times the share of steps with a packet.
    quiet_s: f64,
    pub sampled_ns: i64,
    pub reference: Option<Arc<Reference>>,
    pub profile: Option<Arc<[f32]>>,
    /// The quiet stretch that is going on, as far as it may still turn out to have been somebody.
    stretch: Stretch,
    building: ReferenceBuilder,
    shape: ProfileBuilder,
    building_s: f64,
    /// What is known comes from before the link's last long silence, and was not seen to hold since.
    doubt: Option<Doubt>,
    /// Since the last long silence its channel was seen to be as it was: its receiver has settled.
    confirmed: bool,
    /// Why what was known before was given up.
    pub dropped: Option<String>,
}

/// A quiet stretch.
#[derive(Default)]
struct Stretch {
    /// The level was learned in it: what came after that is like what came before.
    learned: bool,
    /// Seconds so far.
    seconds: f64,
    /// Variation of windows by time, the oldest first.
    samples: VecDeque<(i64, f32)>,
    /// What the channel was like, and until when that was made.
    channel: Option<(i64, ReferenceBuilder, ProfileBuilder)>,
}

/// What is being found out about a level that was kept.
#[derive(Clone, Copy, Default)]
struct Doubt {
    /// How alike the channel of the newest window is to the one that was kept.
    fit: Option<Fit>,
    /// Quiet seconds in a row in which the channel was another.
    other_s: f64,
    /// Quiet seconds in a row in which more varied than did.
    more_s: f64,
}

#[derive(Clone, Copy)]
struct Fit {
    /// Correlation over subcarriers and antennas.
    similarity: f32,
    good: bool,
}

impl Quiet {
    pub fn new() -> Self {
        Self {
            heard_ns: None,
            samples: VecDeque::new(),
            level: None,
            quiet_s: 0.0,
            sampled_ns: i64::MIN,
            reference: None,
            profile: None,
            stretch: Stretch::default(),
            building: ReferenceBuilder::default(),
            shape: ProfileBuilder::default(),
            building_s: 0.0,
            doubt: None,
            confirmed: false,
            dropped: None,
        }
    }

    /// What an earlier run kept.
    pub fn kept(baseline: &LinkBaseline, config: &PresenceConfig) -> Self {
        let samples: VecDeque<f32> = baseline.quiet.iter().copied().take(config.samples).collect();
        Self {
            level: quantile(&samples, config.quantile),
            samples,
            sampled_ns: baseline.time_ns,
            reference: baseline.reference.clone().map(Arc::new),
            profile: (!baseline.profile.is_empty()).then(|| baseline.profile.as_slice().into()),
            doubt: (!baseline.profile.is_empty()).then(Doubt::default),
            ..Self::new()
        }
    }

    /// Knows what a calibration of this run has learned.
    pub fn adopt(&mut self, baseline: &LinkBaseline, config: &PresenceConfig) {
        *self = Self { heard_ns: self.heard_ns, doubt: None, ..Self::kept(baseline, config) };
    }

    /// What a later run may go on with; `None` before anything was learned.
    pub fn baseline(&self, link: &str, layout: Layout) -> Option<LinkBaseline> {
        self.level.map(|level| LinkBaseline {
            link: link.to_owned(),
            layout,
            time_ns: self.sampled_ns,
            // No higher than what it was let rise to.
            quiet: self.samples.iter().map(|sample| sample.min(level)).collect(),
            reference: self.reference.as_deref().cloned(),
            profile: self.profile.as_deref().unwrap_or_default().to_vec(),
        })
    }

    /// The stream broke off: nothing that was in the making goes on.
    pub fn interrupt(&mut self) {
        self.heard_ns = None;
        self.disturb();
        if self.level.is_none() {
            self.forget();
        }
    }

    /// It was never heard in this run.
    pub fn unheard(&self) -> bool {
        self.heard_ns.is_none()
    }

    /// The link's packets came in a window that ended at `time`.
    pub fn hear(&mut self, link: &CleanLink, time: i64, config: &PresenceConfig) {
        let since = match self.heard_ns {
            Some((since, last)) if time.saturating_sub(last) < LONG_SILENCE_NS => since,
            _ => {
                self.doubt = self.profile.as_ref().map(|_| Doubt::default());
                self.confirmed = false;
                time
            }
        };
        self.heard_ns = Some((since, time));
        if let (Some(doubt), Some(profile)) = (&mut self.doubt, &self.profile) {
            doubt.fit = fit(link, profile, config.fit);
        }
    }

    /// Its receiver's gain has settled: it was heard for long enough, or its channel is as it was.
    pub fn settled(&self, config: &PresenceConfig) -> bool {
        self.confirmed || self.heard_long(config)
    }

    fn heard_long(&self, config: &PresenceConfig) -> bool {
        let long = |(since, now): (i64, i64)| now.saturating_sub(since) as f64 >= config.settle_s * 1e9;
        self.heard_ns.is_some_and(long)
    }

    /// What is known of the quiet room holds for the newest window.
    pub fn holds(&self) -> bool {
        self.level.is_some() && self.doubt.is_none_or(|d| d.fit.is_some_and(|f| f.good))
    }

    /// What a window with this motion shows.
    pub fn evidence(&self, motion: &Motion, config: &PresenceConfig) -> Option<Evidence> {
        // A channel that is as it was comes from a receiver that has settled.
        let known = self.doubt.is_some() && self.holds();
        if self.heard_ns.is_none() || !(known || self.settled(config)) {
            return None;
        }
        let noise = config.noise_sigmas * motion.noise_share;
        let learned = self.level.filter(|_| self.holds());
        let level = match learned {
            Some(quiet) => {
                let level = motion.coherent / quiet.max(f32::MIN_POSITIVE);
                if motion.share > noise { level } else { level.min(1.0) }
            }
            None => unlearned(motion, config),
        };
        // A gain that settles looks like motion: until it must have, only quiet is told.
        if !self.heard_long(config) && level >= config.off {
            return None;
        }
        Some(Evidence { level: level.min(1e6), learned: learned.is_some() })
    }

    /// Goes on learning from a window that lasted `passed_s` more than the one before; true when something that should be kept has changed.
    pub fn learn(
        &mut self,
        link: &CleanLink,
        quiet_now: bool,
        passed_s: f64,
        time: i64,
        config: &PresenceConfig,
    ) -> bool {
        let Some(motion) = link.motion else { return false };
        if self.doubt.is_some() {
            return self.judge(&motion, passed_s, config);
        }
        let sample = sample(&motion);
        if self.level.is_none() {
            if !quiet_now {
                self.forget();
                return false;
            }
            // A link with few packets shows less in the same time.
            let received = link.raw.received.iter().filter(|r| **r).count();
            self.quiet_s += passed_s * received as f64 / link.raw.received.len().max(1) as f64;
            self.add(sample, config.samples, time);
            self.build(link, passed_s);
            if self.quiet_s >= config.learn_s && self.samples.len() >= 10 {
                self.level = quantile(&self.samples, config.quantile);
                let (reference, shape) = self.built();
                self.take_reference(reference, shape);
                self.stretch.learned = true;
                return true;
            }
        } else if quiet_now {
            return self.refresh(link, sample, passed_s, time, config);
        } else {
            self.disturb();
        }
        false
    }

    /// Keeps what is known up to date by a quiet window; true when the channel was.
    fn refresh(
        &mut self,
        link: &CleanLink,
        sample: f32,
        passed_s: f64,
        time: i64,
        config: &PresenceConfig,
    ) -> bool {
        let hold_s = if self.stretch.learned { 0.0 } else { config.hold_s };
        self.stretch.seconds += passed_s;
        if self.stretch.seconds < hold_s {
            return false;
        }
        let since = |then: i64| time.saturating_sub(then) as f64 / 1e9;
        self.build(link, passed_s);
        if self.building_s >= REFERENCE_S {
            let (reference, shape) = self.built();
            self.stretch.channel = Some((time, reference, shape));
        }
        let newest = self.stretch.samples.back().map_or(self.sampled_ns, |(at, _)| *at);
        if since(newest) >= config.refresh_s {
            self.stretch.samples.push_back((time, sample));
        }
        while let Some((at, sample)) = self.stretch.samples.front().copied()
            && since(at) >= hold_s
        {
            self.stretch.samples.pop_front();
            let hours = at.saturating_sub(self.sampled_ns).max(0) as f32 / 3.6e12;
            self.add(sample, config.samples, at);
            let most = match self.level {
                Some(level) if !self.stretch.learned => level * (1.0 + config.rise_per_h * hours.min(1.0)),
                _ => f32::INFINITY,
            };
            self.level = quantile(&self.samples, config.quantile).map(|level| level.min(most));
        }
        let made = self.stretch.channel.take_if(|(made, ..)| since(*made) >= hold_s);
        let taken = made.is_some();
        if let Some((_, reference, shape)) = made {
            self.take_reference(reference, shape);
        }
        taken
    }

    /// It was not quiet: what came shortly before may have been somebody who kept still.
    fn disturb(&mut self) {
        self.stretch = Stretch::default();
        self.built();
    }

    /// Believes what was kept, or gives it up, by a window in which nothing moves; true when that was decided.
    fn judge(&mut self, motion: &Motion, passed_s: f64, config: &PresenceConfig) -> bool {
        let settled = self.settled(config);
        let (Some(doubt), Some(level)) = (&mut self.doubt, self.level) else { return false };
        if unlearned(motion, config) >= 1.0 {
            (doubt.other_s, doubt.more_s) = (0.0, 0.0);
            return false;
        }
        let Some(fit) = doubt.fit else { return false };
        let more = motion.coherent / level.max(f32::MIN_POSITIVE);
        if fit.good && more < config.on {
            self.doubt = None;
            self.dropped = None;
            self.confirmed = true;
            return true;
        }
        if !settled {
            return false;
        }
        let (seconds, needed_s) = if fit.good {
            (&mut doubt.more_s, PATIENCE * config.learn_s)
        } else {
            (&mut doubt.other_s, config.learn_s)
        };
        *seconds += passed_s;
        if *seconds < needed_s {
            return false;
        }
        let why = if fit.good {
            format!("it varies {more:.1} times as much as it did, though nothing moves")
        } else {
            format!(
                "its channel is another: similarity {:.2}, at least {:.2} is needed; the room or the node was changed",
                fit.similarity, config.fit
            )
        };
        self.forget();
        self.dropped = Some(why);
        true
    }

    fn forget(&mut self) {
        *self = Self { heard_ns: self.heard_ns, dropped: self.dropped.take(), ..Self::new() };
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
        add_packets(link, &mut self.building, &mut self.shape);
        self.building_s += passed_s;
    }

    /// What was in the making.
    fn built(&mut self) -> (ReferenceBuilder, ProfileBuilder) {
        self.building_s = 0.0;
        (std::mem::take(&mut self.building), std::mem::take(&mut self.shape))
    }

    fn take_reference(&mut self, reference: ReferenceBuilder, shape: ProfileBuilder) {
        if let Some(reference) = reference.finish() {
            self.reference = Some(Arc::new(reference));
        }
        if let Some(profile) = shape.finish() {
            self.profile = Some(profile.into());
        }
    }
}

/// The motion of a window by what counts before a quiet level is known: from 1 on something moves.
pub(super) fn unlearned(motion: &Motion, config: &PresenceConfig) -> f32 {
    motion.share.max(0.0) / config.moving_share.max(config.noise_sigmas * motion.noise_share)
}

/// What a quiet window says of the quiet level. Noise alone reaches this in one of twenty windows: a link that happens to show less has no
/// lower level.
pub(super) fn sample(motion: &Motion) -> f32 {
    motion.coherent.max(motion.noise_coherent(1.64))
}

/// Adds the packets that are new in a window.
pub(super) fn add_packets(link: &CleanLink, reference: &mut ReferenceBuilder, profile: &mut ProfileBuilder) {
    let steps = link.raw.received.len();
    let values = link.raw.layout.values();
    for step in steps.saturating_sub(link.new_steps)..steps {
        if link.raw.received[step]
            && let Some(packet) = link.raw.csi.get(step * values..(step + 1) * values)
        {
            reference.push(link.raw.layout, packet);
        }
    }
    profile.add(link, steps.saturating_sub(link.new_steps));
}

/// The mean amplitude of packets that are scaled to unit mean square.
#[derive(Clone, Debug, Default)]
pub(super) struct ProfileBuilder {
    sum: Vec<f32>,
    packets: u32,
}

impl ProfileBuilder {
    /// Adds the packets of the steps from `from` on.
    pub fn add(&mut self, link: &CleanLink, from: usize) {
        let layout = link.raw.layout;
        let values = layout.values();
        let segments = Segments::of(&link.raw, &link.columns);
        let places: Vec<usize> = places(link).collect();
        self.sum.resize(values, 0.0);
        let mut row = vec![0.0; places.len()];
        let packets = link.raw.csi.chunks_exact(values.max(1));
        for (packet, _) in packets.zip(&link.raw.received).skip(from).filter(|(_, got)| **got) {
            row.iter_mut().zip(&places).for_each(|(a, &p)| *a = packet[p].norm());
            if row.iter().all(|a| a.is_finite()) {
                segments.normalise(&mut row);
                row.iter().zip(&places).for_each(|(a, &p)| self.sum[p] += a);
                self.packets += 1;
            }
        }
    }

    /// `[tx][rx][subcarrier]`, 0 where no signal is; `None` without a packet.
    pub fn finish(mut self) -> Option<Vec<f32>> {
        self.sum.iter_mut().for_each(|s| *s /= self.packets as f32);
        (self.packets > 0 && self.sum.iter().all(|s| s.is_finite())).then_some(self.sum)
    }
}

/// Places of a packet's values that carry signal.
fn places(link: &CleanLink) -> impl Iterator<Item = usize> {
    let subcarriers = usize::from(link.raw.layout.subcarriers);
    let pairs = 0..link.raw.layout.pairs();
    pairs.flat_map(move |pair| link.columns.iter().map(move |&c| pair * subcarriers + usize::from(c)))
}

/// How alike a window's mean channel is to `profile`; `None` where they cannot be compared.
fn fit(link: &CleanLink, profile: &[f32], least: f32) -> Option<Fit> {
    let mut now = ProfileBuilder::default();
    now.add(link, 0);
    let now = now.finish().filter(|now| now.len() == profile.len())?;
    let pairs: Vec<(f32, f32)> = places(link).map(|p| (now[p], profile[p])).collect();
    let n = pairs.len() as f32;
    let (a, b) = pairs.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let (mut both, mut first, mut second, mut apart) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    for (x, y) in pairs {
        both += (x - a) * (y - b);
        first += (x - a).powi(2);
        second += (y - b).powi(2);
        apart += (x - y).powi(2);
    }
    let similarity = both / (first * second).sqrt().max(f32::MIN_POSITIVE);
    Some(Fit { similarity, good: similarity >= least || (apart / n).sqrt() <= SAME_RMS })
}

/// A quantile of the quiet windows' variation.
pub(super) fn quantile(samples: &VecDeque<f32>, q: f32) -> Option<f32> {
    let mut sorted: Vec<f32> = samples.iter().copied().collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = (q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f32).round() as usize;
    sorted.get(at).copied()
}
