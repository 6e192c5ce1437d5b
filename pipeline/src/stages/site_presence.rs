//! Presence's thread: each site's detector, what it keeps, the calibration that is under way, and its classifiers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::baseline::Baseline;
use super::calibration::{Calibrations, Progress, QuietRoom};
use super::cleanup::CleanWindow;
use super::presence::{ObservedWindow, PresenceConfig, PresenceDetector};
use crate::health::{Health, Part};
use crate::signal::{SignalAnswer, SignalWatch};

/// One site.
pub struct SitePresence {
    config: PresenceConfig,
    detector: PresenceDetector,
    file: Option<PathBuf>,
    calibrations: Calibrations,
    listening: Option<QuietRoom>,
    signal: SignalWatch,
}

impl SitePresence {
    /// A detector that starts from `baseline` and keeps what it learns in `file`.
    pub fn new(
        config: PresenceConfig,
        baseline: Option<&Baseline>,
        file: Option<PathBuf>,
        calibrations: Calibrations,
        signal: SignalWatch,
    ) -> Self {
        let detector = PresenceDetector::new(config.clone(), baseline);
        Self { config, detector, file, calibrations, listening: None, signal }
    }

    /// Takes in one window of one of `sites`. A baseline that cannot be kept raises a fault of the site's presence.
    pub fn run(sites: &mut HashMap<Arc<str>, Self>, clean: CleanWindow, health: &Health) -> ObservedWindow {
        let name = clean.window.site.clone();
        match sites.get_mut(&name) {
            Some(site) => site.take(&name, clean, health),
            None => {
                let references = vec![None; clean.links.len()];
                let (presence, breathing, breaths) = (None, None, Vec::new());
                ObservedWindow {
                    clean,
                    presence,
                    breathing,
                    breaths,
                    references,
                    signal: SignalAnswer::default(),
                }
            }
        }
    }

    fn take(&mut self, name: &Arc<str>, clean: CleanWindow, health: &Health) -> ObservedWindow {
        let (last, reset) = (clean.window.last, clean.window.reset);
        let mut observed = self.detector.run(clean);
        self.calibrate(name, &observed.clean, last, reset);
        observed.signal = self.signal.run(&observed);
        if self.detector.take_changed() || last {
            self.calibrations.show_links(name, self.detector.knowledge());
            if let Some(file) = &self.file {
                let baseline = self.detector.baseline();
                let kept = if baseline.links.is_empty() { Ok(()) } else { baseline.save(file) };
                health.set_fault(Part::Site("presence", name.clone()), kept.err().map(|e| e.to_string()));
            }
        }
        if last {
            self.calibrations.close(name);
        }
        observed
    }

    /// Begins the calibration that somebody asked for, goes on with it, or ends it.
    fn calibrate(&mut self, name: &str, window: &CleanWindow, last: bool, reset: bool) {
        if let Some(seconds) = self.calibrations.take_asked(name) {
            self.listening = Some(QuietRoom::new(self.config.clone(), seconds));
        }
        let Some(room) = &mut self.listening else { return };
        let time_ns = window.window.grid.end_ns;
        if last || reset && room.passed_s() > 0.0 {
            self.listening = None;
            let reason = "the stream of packets broke off".to_owned();
            return self.calibrations.show(name, Progress::Refused { time_ns, reason });
        }
        let detector = &self.detector;
        room.take(window, |link, layout| detector.is_settled(link, layout));
        if !room.is_over() {
            let progress = Progress::Listening { seconds: room.seconds(), passed_s: room.passed_s() };
            return self.calibrations.show(name, progress);
        }
        let progress = match self.listening.take().map(QuietRoom::finish) {
            Some(Ok(baseline)) => {
                self.detector.adopt(&baseline);
                Progress::Done { time_ns, links: baseline.links.len() }
            }
            Some(Err(reason)) => Progress::Refused { time_ns, reason },
            None => return,
        };
        self.calibrations.show(name, progress);
    }
}
