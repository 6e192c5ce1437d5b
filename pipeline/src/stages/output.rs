//! The end of the way: frames into the rings.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use super::persons::Finished;
use super::recorder::{RecordItem, Tap};
use super::worker::take;
use crate::health::{Health, Part};
use crate::pose::PoseFrame;
use crate::ring::RingWriter;
use crate::trail::Followed;

/// Publishes frames in the ring of their site.
pub struct Output {
    rings: HashMap<Arc<str>, RingWriter>,
    /// Numbers for sites without a ring.
    numbers: HashMap<Arc<str>, u64>,
    frames_to: Option<Sender<PoseFrame>>,
    /// Of the sites that may be recorded.
    taps: HashMap<Arc<str>, Arc<Tap>>,
    record: Sender<RecordItem>,
    health: Health,
}

impl Output {
    /// Into these rings, and to the other takers where there are any.
    pub fn new(
        rings: HashMap<Arc<str>, RingWriter>,
        frames_to: Option<Sender<PoseFrame>>,
        (taps, record): (HashMap<Arc<str>, Arc<Tap>>, Sender<RecordItem>),
        health: Health,
    ) -> Self {
        Self { rings, numbers: HashMap::new(), frames_to, taps, record, health }
    }

    /// Runs until its input ends.
    pub fn run(mut self, input: &Receiver<Finished>) {
        let stats = self.health.stage("ring");
        for finished in input {
            let started = take(&stats, input);
            if self.publish(finished) {
                stats.given.add(1);
            }
            stats.busy_ns.add(started.elapsed().as_nanos() as u64);
        }
    }

    fn publish(&mut self, Finished { mut frame, arrived, trail }: Finished) -> bool {
        let begun = Instant::now();
        frame.processing_ns =
            arrived.map_or(0, |a| u64::try_from(a.elapsed().as_nanos()).unwrap_or(u64::MAX));
        match self.rings.get_mut(&frame.site) {
            Some(ring) => {
                frame.frame_id = ring.next_frame_id();
                if trail.is_some() {
                    self.health.trails().numbered(&frame.site, frame.frame_id);
                }
                let published = ring.publish(&frame);
                let fault = published.err().map(|e| e.to_string());
                let failed = fault.is_some();
                if let Some(fault) = &fault {
                    tracing::error!(site = &*frame.site, "frame not published: {fault}");
                }
                self.health.set_fault(Part::Site("ring", frame.site.clone()), fault);
                if failed {
                    return false;
                }
            }
            None => {
                let number = self.numbers.entry(frame.site.clone()).or_default();
                *number += 1;
                frame.frame_id = *number;
            }
        }
        if let Some(mut trail) = trail {
            trail.step("ring", begun);
            let (site, frame_id, time_ns) = (frame.site.clone(), frame.frame_id, frame.time_ns);
            self.health.trails().arrived(Followed { site, frame_id, time_ns, trail: *trail });
        }
        if self.taps.get(&frame.site).is_some_and(|tap| tap.poses()) {
            // A recorder that has died raised its fault.
            let _ = self.record.send(RecordItem::Pose(frame.clone()));
        }
        if let Some(frames) = &self.frames_to
            && frames.send(frame).is_err()
        {
            // Whoever asked for every frame has gone.
            self.frames_to = None;
        }
        true
    }
}
