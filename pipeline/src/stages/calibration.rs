//! Calibration of the quiet room on demand: somebody says that nobody is there, and for a while every window is learned from.
//!
//! What a link learns by itself it must guess to be quiet; here an operator says so, and is contradicted where something moves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use invispose_kernels::Layout;
use invispose_models::input::ReferenceBuilder;

use super::baseline::{Baseline, LinkBaseline, VERSION};
use super::cleanup::CleanWindow;
use super::presence::PresenceConfig;
use super::quiet::{ProfileBuilder, add_packets, sample, unlearned};
use crate::csi::LinkId;

/// From one window that is looked at to the next, nanoseconds: windows overlap.
const EVERY_NS: i64 = 500_000_000;
/// Windows that a link must have given.
const LEAST_WINDOWS: usize = 10;
/// A link in which something moves in more than this share of the windows was not quiet: noise alone passes for motion in fewer.
const MOVED_SHARE: f32 = 0.1;

/// The shortest and the longest calibration, seconds: the receiver's gain settles for up to four; a quarter of an hour shows all that a
/// quiet room does.
pub const SECONDS: std::ops::RangeInclusive<f64> = 10.0..=900.0;

/// How far a calibration is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Progress {
    /// None was asked for since the start.
    #[default]
    Never,
    /// It listens.
    Listening {
        /// For so long, seconds of stream time.
        seconds: f64,
        /// So much of it is over, seconds.
        passed_s: f64,
    },
    /// What was learned is in force.
    Done {
        /// Stream time of the end, nanoseconds since the Unix epoch.
        time_ns: i64,
        /// Links that have learned.
        links: usize,
    },
    /// Nothing was learned; what was known before is in force.
    Refused {
        /// Stream time of the end, nanoseconds since the Unix epoch.
        time_ns: i64,
        /// What was wrong.
        reason: String,
    },
}

/// What a link knows of the quiet room.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkKnowledge {
    /// The link.
    pub link: LinkId,
    /// Its packets' layout.
    pub layout: Layout,
    /// The quiet level: variation relative to the amplitude; `None` until it is learned.
    pub quiet_level: Option<f32>,
    /// When that was last brought up to date, stream time in nanoseconds since the Unix epoch.
    pub time_ns: Option<i64>,
    /// It was heard in this run, and what is known of it holds.
    pub holds: bool,
    /// Why what was known before was given up.
    pub dropped: Option<String>,
}

/// Calibration of one site as it is at present.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteCalibration {
    /// The last calibration that was asked for.
    pub progress: Progress,
    /// Links by name and layout.
    pub links: Vec<LinkKnowledge>,
}

/// Why a calibration does not begin.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// No packets come from this site.
    #[error("site {0:?} has no source that runs")]
    NoSource(String),
    /// One is under way.
    #[error("a calibration of this site is under way")]
    Busy,
    /// Too short or too long.
    #[error("a calibration takes {} to {} seconds", SECONDS.start(), SECONDS.end())]
    Seconds,
}

/// The calibrations of all sites, shared by the pipeline and those who ask for them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Calibrations {
    sites: Arc<Mutex<HashMap<Arc<str>, Entry>>>,
}

#[derive(Debug, Default)]
struct Entry {
    open: bool,
    asked: Option<f64>,
    shown: SiteCalibration,
}

impl Calibrations {
    /// Asks for a calibration of `seconds` of stream time. The room has to be quiet and without people meanwhile.
    ///
    /// # Errors
    /// When it cannot begin.
    pub fn begin(&self, site: &str, seconds: f64) -> Result<SiteCalibration, CalibrationError> {
        if !SECONDS.contains(&seconds) {
            return Err(CalibrationError::Seconds);
        }
        let mut sites = self.lock();
        let open = sites.get_mut(site).filter(|entry| entry.open);
        let entry = open.ok_or_else(|| CalibrationError::NoSource(site.to_owned()))?;
        if entry.asked.is_some() || matches!(entry.shown.progress, Progress::Listening { .. }) {
            return Err(CalibrationError::Busy);
        }
        entry.asked = Some(seconds);
        entry.shown.progress = Progress::Listening { seconds, passed_s: 0.0 };
        Ok(entry.shown.clone())
    }

    /// What is known of a site; `None` where no packets come from.
    pub fn of(&self, site: &str) -> Option<SiteCalibration> {
        self.lock().get(site).map(|entry| entry.shown.clone())
    }

    /// Packets of this site may come from now on.
    pub fn open(&self, site: Arc<str>) {
        self.lock().entry(site).or_default().open = true;
    }

    /// No more packets come.
    pub(super) fn close(&self, site: &str) {
        if let Some(entry) = self.lock().get_mut(site) {
            entry.open = false;
        }
    }

    /// The seconds of a calibration that was asked for, once.
    pub(super) fn take_asked(&self, site: &str) -> Option<f64> {
        self.lock().get_mut(site)?.asked.take()
    }

    pub(super) fn show(&self, site: &str, progress: Progress) {
        if let Some(entry) = self.lock().get_mut(site) {
            entry.shown.progress = progress;
        }
    }

    pub(super) fn show_links(&self, site: &str, links: Vec<LinkKnowledge>) {
        if let Some(entry) = self.lock().get_mut(site) {
            entry.shown.links = links;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the links of one site gave while the room was quiet.
pub struct QuietRoom {
    config: PresenceConfig,
    seconds: f64,
    began_ns: Option<i64>,
    now_ns: i64,
    links: HashMap<(LinkId, Layout), Heard>,
}

#[derive(Default)]
struct Heard {
    looked_ns: i64,
    samples: Vec<f32>,
    moving: usize,
    reference: ReferenceBuilder,
    profile: ProfileBuilder,
}

impl QuietRoom {
    /// Listens for `seconds` of stream time.
    pub fn new(config: PresenceConfig, seconds: f64) -> Self {
        Self { config, seconds, began_ns: None, now_ns: 0, links: HashMap::new() }
    }

    /// Takes in a window. `settled` says of which links the receiver's gain has settled: others are not listened to yet.
    pub fn take(&mut self, window: &CleanWindow, settled: impl Fn(&LinkId, Layout) -> bool) {
        let now = window.window.grid.end_ns;
        self.began_ns.get_or_insert(now);
        self.now_ns = now;
        for link in &window.links {
            let (Some(motion), true) = (link.motion, settled(&link.raw.link, link.raw.layout)) else {
                continue;
            };
            let heard = self.links.entry((link.raw.link.clone(), link.raw.layout)).or_default();
            add_packets(link, &mut heard.reference, &mut heard.profile);
            if now.saturating_sub(heard.looked_ns) >= EVERY_NS {
                heard.looked_ns = now;
                heard.moving += usize::from(unlearned(&motion, &self.config) >= 1.0);
                heard.samples.push(sample(&motion));
            }
        }
    }

    /// It listens for so long, seconds of stream time.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// So much is over, seconds of stream time.
    pub fn passed_s(&self) -> f64 {
        self.began_ns.map_or(0.0, |began| self.now_ns.saturating_sub(began) as f64 / 1e9)
    }

    /// It has listened for long enough.
    pub fn is_over(&self) -> bool {
        self.passed_s() >= self.seconds
    }

    /// What was learned.
    ///
    /// # Errors
    /// What was wrong: something moved, or no link was heard for long enough.
    pub fn finish(self) -> Result<Baseline, String> {
        let moved = |heard: &Heard| heard.moving as f32 / heard.samples.len().max(1) as f32;
        let mut links: Vec<_> =
            self.links.into_iter().filter(|(_, heard)| heard.samples.len() >= LEAST_WINDOWS).collect();
        links.sort_by(|a, b| a.0.cmp(&b.0));
        let worst = links.iter().max_by(|a, b| moved(&a.1).total_cmp(&moved(&b.1)));
        match worst {
            None => {
                return Err(format!(
                    "no link was heard for long enough: {LEAST_WINDOWS} half seconds are needed after the {} in which its gain settles",
                    self.config.settle_s
                ));
            }
            Some(((link, _), heard)) if moved(heard) > MOVED_SHARE => {
                return Err(format!(
                    "the room was not quiet: something moved in {:.0} % of what link {} heard",
                    100.0 * moved(heard),
                    link.as_str()
                ));
            }
            Some(_) => {}
        }
        let learned = |((link, layout), heard): ((LinkId, Layout), Heard)| LinkBaseline {
            link: link.as_str().to_owned(),
            layout,
            time_ns: self.now_ns,
            quiet: heard.samples,
            reference: heard.reference.finish(),
            profile: heard.profile.finish().unwrap_or_default(),
        };
        Ok(Baseline { version: VERSION, links: links.into_iter().map(learned).collect() })
    }
}
