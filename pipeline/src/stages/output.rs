//! The end of the way: frames into the rings, and recordings onto the disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::persons::Finished;
use super::worker::take;
use crate::csi::CsiFrame;
use crate::health::{Health, Part};
use crate::pose::PoseFrame;
use crate::recording::Writer;
use crate::ring::RingWriter;

/// Publishes frames in the ring of their site.
pub struct Output {
    rings: HashMap<Arc<str>, RingWriter>,
    /// Numbers for sites without a ring.
    numbers: HashMap<Arc<str>, u64>,
    frames_to: Option<Sender<PoseFrame>>,
    record: Option<Sender<RecordItem>>,
    health: Health,
}

impl Output {
    /// Into these rings, and to the other takers where there are any.
    pub fn new(
        rings: HashMap<Arc<str>, RingWriter>,
        frames_to: Option<Sender<PoseFrame>>,
        record: Option<Sender<RecordItem>>,
        health: Health,
    ) -> Self {
        Self { rings, numbers: HashMap::new(), frames_to, record, health }
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

    fn publish(&mut self, Finished { mut frame, arrived }: Finished) -> bool {
        frame.processing_ns =
            arrived.map_or(0, |a| u64::try_from(a.elapsed().as_nanos()).unwrap_or(u64::MAX));
        match self.rings.get_mut(&frame.site) {
            Some(ring) => {
                frame.frame_id = ring.next_frame_id();
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
        if let Some(record) = &self.record {
            // A recorder that has died raised its fault.
            let _ = record.send(RecordItem::Pose(frame.clone()));
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

/// What is recorded.
#[derive(Clone, Debug)]
pub enum RecordItem {
    /// A packet.
    Csi(CsiFrame),
    /// A finished frame.
    Pose(PoseFrame),
}

/// Writes a recording.
pub struct Recorder {
    writer: Writer,
    health: Health,
}

impl Recorder {
    /// Into this recording.
    pub fn new(writer: Writer, health: Health) -> Self {
        Self { writer, health }
    }

    /// Runs until its input ends, then closes the recording. What cannot be written raises a fault and is tried again
    /// with the next frame.
    pub fn run(mut self, input: &Receiver<RecordItem>) {
        let stats = self.health.stage("recording");
        loop {
            let written = match input.recv_timeout(Duration::from_millis(500)) {
                Ok(item) => {
                    let started = take(&stats, input);
                    let written = match &item {
                        RecordItem::Csi(frame) => self.writer.write_csi(frame),
                        RecordItem::Pose(frame) => self.writer.write_pose(frame),
                    };
                    stats.busy_ns.add(started.elapsed().as_nanos() as u64);
                    written
                }
                Err(RecvTimeoutError::Timeout) => self.writer.flush_if_due(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if written.is_ok() {
                stats.given.set(self.writer.acknowledged());
            }
            self.health.set_fault("recording", written.err().map(|e| e.to_string()));
        }
        match self.writer.close() {
            Ok(acknowledged) => stats.given.set(acknowledged),
            Err(e) => {
                tracing::error!("recording not closed: {e}");
                self.health.set_fault("recording", Some(e.to_string()));
            }
        }
    }
}
