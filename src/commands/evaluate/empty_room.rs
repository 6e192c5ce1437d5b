//! What the whole pipeline shows of rooms with nobody in them, beside what networks alone say of it.

use std::fmt::{self, Display, Write as _};

use invispose_models::data::Place;
use invispose_models::predictor::{Compute, Weights};
use invispose_models::sim::Radios;
use invispose_pipeline::evaluation::empty::{self, Shown};
use serde::Serialize;

/// Simulated seconds of each kind of room at each noise level.
const SECONDS: f64 = 1800.0;

/// A kind of room with some radios.
#[derive(Serialize)]
pub struct EmptyRoom {
    room: Place,
    radios: Radios,
    by_noise: Vec<Shown>,
}

/// Each kind of room with each of the radios that weights ship for.
pub fn measure(device: &Compute) -> anyhow::Result<Vec<EmptyRoom>> {
    let measured = |(room, radios, weights)| {
        let by_noise = empty::shown(room, &radios, &weights, SECONDS, device)?;
        Ok(EmptyRoom { room, radios, by_noise })
    };
    Weights::SHIPPED.into_iter().map(measured).collect()
}

impl EmptyRoom {
    fn of(&self) -> &'static str {
        match self.room {
            Place::Demo => "the demo room",
            Place::Random => "rooms never seen",
        }
    }

    /// As a section of a report.
    pub fn markdown(&self) -> String {
        let mut out = format!("\n## Through the pipeline, {}, {}\n\n", self.of(), self.radios);
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
        writeln!(f, "through the pipeline, {}, {}:", self.of(), self.radios)?;
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
