//! What the whole pipeline shows of the demo room with nobody in it, beside what networks alone say of it.

use std::fmt::{self, Display, Write as _};

use invispose_models::predictor::{Compute, Weights};
use invispose_models::sim::Radios;
use invispose_pipeline::evaluation::empty::{self, Shown};
use serde::Serialize;

/// Simulated seconds at each noise level.
const SECONDS: f64 = 3600.0;

/// The demo room with some radios.
#[derive(Serialize)]
pub struct EmptyRoom {
    radios: Radios,
    by_noise: Vec<Shown>,
}

/// The demo room with each of the radios that weights ship for.
pub fn measure(device: &Compute) -> anyhow::Result<Vec<EmptyRoom>> {
    let room = |(radios, weights)| {
        Ok(EmptyRoom { by_noise: empty::shown(&radios, &weights, SECONDS, device)?, radios })
    };
    Weights::OF_DEMO_ROOM.into_iter().map(room).collect()
}

impl EmptyRoom {
    /// As a section of a report.
    pub fn markdown(&self) -> String {
        let mut out = format!("\n## Through the pipeline, {}\n\n", self.radios);
        out += "| signal to noise | hours | frames | with presence | with persons |\n|---|---|---|---|---|\n";
        for by in &self.by_noise {
            let (presence, persons) = (by.frames_with_presence, by.frames_with_persons);
            // Writing to a string does not fail.
            let _ = writeln!(
                out,
                "| {:.0} dB | {:.2} | {} | {presence} | {persons} |",
                by.snr_db, by.hours, by.frames
            );
        }
        out
    }
}

impl Display for EmptyRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "through the pipeline, {}:", self.radios)?;
        for by in &self.by_noise {
            let (presence, persons) = (by.frames_with_presence, by.frames_with_persons);
            writeln!(
                f,
                "  {:>2.0} dB, {:.2} h, {} frames: {persons} with persons, {presence} with presence",
                by.snr_db, by.hours, by.frames
            )?;
        }
        Ok(())
    }
}
