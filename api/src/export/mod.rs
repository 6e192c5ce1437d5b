//! Frames as files: rows of persons, or whole frames.

mod parquet;

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use crate::contract;
use crate::view::{FrameView, PersonView, decimal, source_name};
use invispose_pipeline::pose::Activity;

pub(crate) use self::parquet::Parquet;

/// Takes frames and gives bytes.
pub(crate) trait Sink: Send {
    /// The bytes that can be written already.
    fn frames(&mut self, frames: &[FrameView]) -> io::Result<Vec<u8>>;

    /// The rest.
    fn end(&mut self) -> io::Result<Vec<u8>>;
}

/// Whole frames, one JSON object a line.
pub(crate) struct JsonLines {
    stale_after: Duration,
}

impl JsonLines {
    pub(crate) fn new(stale_after: Duration) -> Self {
        Self { stale_after }
    }
}

impl Sink for JsonLines {
    fn frames(&mut self, frames: &[FrameView]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        for frame in frames {
            serde_json::to_writer(&mut out, &contract::PoseFrame::new(frame, self.stale_after))?;
            out.push(b'\n');
        }
        Ok(out)
    }

    fn end(&mut self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

/// Rows of comma-separated values (RFC 4180).
#[derive(Default)]
pub(crate) struct Csv {
    begun: bool,
}

const HEADER: &str = "timestamp,frame_id,site_id,source,model,calibrated,experimental,present,motion_level,\
    person_id,confidence,x_m,y_m,z_m,vx_m_s,vy_m_s,vz_m_s,activity,zone_id\r\n";

impl Csv {
    fn begin(&mut self) -> String {
        if std::mem::replace(&mut self.begun, true) { String::new() } else { HEADER.to_owned() }
    }
}

impl Sink for Csv {
    fn frames(&mut self, frames: &[FrameView]) -> io::Result<Vec<u8>> {
        let mut out = self.begin();
        for frame in frames {
            let of = frame.frame();
            let p = &of.provenance;
            let presence = of.presence.map(|p| (p.present, decimal(p.motion_level)));
            let row = format!(
                "{},{},{},{},{},{},{},{},{}",
                frame.time(),
                of.frame_id,
                quoted(&of.site),
                source_name(p.source),
                quoted(p.model.as_deref().unwrap_or_default()),
                p.calibrated,
                p.experimental,
                presence.map_or(String::new(), |(present, _)| present.to_string()),
                presence.map_or(String::new(), |(_, motion)| motion.to_string()),
            );
            if frame.person_count() == 0 {
                // Writing to a string does not fail.
                let _ = write!(out, "{row},,,,,,,,,,\r\n");
            }
            for person in frame.persons() {
                let _ = write!(out, "{row},{}\r\n", columns(&person));
            }
        }
        Ok(out.into_bytes())
    }

    fn end(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.begin().into_bytes())
    }
}

fn columns(person: &PersonView) -> String {
    let ([x, y, z], [vx, vy, vz]) = (person.position_m(), person.velocity_m_s());
    format!(
        "{},{},{x},{y},{z},{vx},{vy},{vz},{},{}",
        person.id(),
        person.confidence(),
        person.activity().map(Activity::name).unwrap_or_default(),
        quoted(person.zone().map_or("", |z| &z.id))
    )
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
