//! Who is shown in an empty simulated room: the whole pipeline, presence and network, at every noise level.

use invispose_models::data::Place;
use invispose_models::evaluate::EMPTY_SNR_DB;
use invispose_models::predictor::{Compute, LoadError, Predictor, Weights};
use invispose_models::sim::Radios;
use serde::Serialize;

use crate::Health;
use crate::pipeline::{PipelineBuilder, PipelineError, SiteSetup};
use crate::sources::{SimSpec, SourceError, SourceSpec, SpecKind, Speed, sim};
use crate::stages::inference::NetworkModel;

/// What was shown at one noise level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// Signal to noise ratio, dB.
    pub snr_db: f32,
    /// Frames.
    pub frames: usize,
    /// Hours simulated.
    pub hours: f64,
    /// Frames that say that somebody is there.
    pub frames_with_presence: usize,
    /// Frames that show a person.
    pub frames_with_persons: usize,
}

/// Why it cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum EmptyRoomError {
    /// The weights cannot be used.
    #[error(transparent)]
    Weights(#[from] LoadError),
    /// The room cannot be simulated.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A measuring thread died.
    #[error("a measuring thread panicked")]
    Panicked,
    /// The pipeline does not start.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// Such a room with these radios, at each noise level of [`EMPTY_SNR_DB`] another one where it is random, for `seconds`, as fast as can be, by
/// seeds that training never uses. The network of the weights computes on `compute`.
///
/// # Errors
/// When the weights cannot be used, or something does not start.
pub fn shown(
    place: Place,
    radios: &Radios,
    weights: &Weights,
    seconds: f64,
    compute: &Compute,
) -> Result<Vec<Shown>, EmptyRoomError> {
    // Threads of their own: those of the pool are needed by the pipelines.
    std::thread::scope(|scope| {
        let levels = EMPTY_SNR_DB
            .map(|snr_db| scope.spawn(move || at(place, radios, weights, snr_db, seconds, compute)));
        levels.into_iter().map(|level| level.join().map_err(|_| EmptyRoomError::Panicked)?).collect()
    })
}

fn at(
    place: Place,
    radios: &Radios,
    weights: &Weights,
    snr_db: f32,
    seconds: f64,
    compute: &Compute,
) -> Result<Shown, EmptyRoomError> {
    let predictor = Predictor::load_on(weights, compute.clone())?;
    let seed = u64::from(snr_db.to_bits());
    let room = SimSpec {
        room: match place {
            Place::Demo => None,
            Place::Random => Some(seed),
        },
        people: 0,
        seed,
        radios: radios.clone(),
        faults: Some(format!("snr_db:{snr_db}")),
        speed: Speed::Max,
        seconds: Some(seconds),
    };
    let site = sim::site(&room, "empty")?;
    let spec = SourceSpec { uri: "sim:empty".to_owned(), site: None, kind: SpecKind::Sim(room) };
    let (to, frames) = crossbeam_channel::bounded(1024);
    let pipeline = PipelineBuilder::new(Health::default())
        .site(SiteSetup { calibrated: true, ..SiteSetup::new(site, vec![(spec.uri.clone(), spec.open()?)]) })
        .model(Box::new(NetworkModel::new(predictor)))
        .frames_to(to)
        .start()?;
    let mut shown = Shown { snr_db, frames: 0, hours: 0.0, frames_with_presence: 0, frames_with_persons: 0 };
    let mut first_ns = None;
    for frame in frames {
        let first_ns = *first_ns.get_or_insert(frame.time_ns);
        shown.hours = (frame.time_ns - first_ns) as f64 / 3.6e12;
        shown.frames += 1;
        shown.frames_with_presence += usize::from(frame.presence.is_some_and(|p| p.present));
        shown.frames_with_persons += usize::from(!frame.persons.is_empty());
    }
    pipeline.join();
    Ok(shown)
}
