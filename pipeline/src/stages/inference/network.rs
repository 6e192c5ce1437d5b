//! The trained network as a [`PoseModel`].

use std::sync::Arc;

use invispose_models::input::{Input, LinkWindow, MAX_LINKS};
use invispose_models::predictor::{self, Detection, Predictor};

use super::{ModelError, PoseInput, PoseModel};
use crate::pose::{Activity, Keypoint};
use crate::tracking::Observation;

/// A [`Predictor`] in the pipeline.
pub struct NetworkModel {
    predictor: Predictor,
    name: Arc<str>,
}

impl NetworkModel {
    /// Serves with `predictor`.
    pub fn new(predictor: Predictor) -> Self {
        Self { name: predictor.model().into(), predictor }
    }
}

impl PoseModel for NetworkModel {
    fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    fn device(&self) -> String {
        self.predictor.describe().device
    }

    fn predict(&mut self, windows: &[PoseInput<'_>]) -> Result<Vec<Option<Vec<Observation>>>, ModelError> {
        let mut usable = Vec::new();
        let mut inputs = Vec::new();
        for (i, window) in windows.iter().enumerate() {
            if let Some(input) = input(window) {
                usable.push(i);
                inputs.push(input);
            }
        }
        let mut answers = vec![None; windows.len()];
        if inputs.is_empty() {
            return Ok(answers);
        }
        let seen = self.predictor.predict(&inputs).map_err(|e| ModelError(e.to_string()))?;
        let within_m = self.predictor.within_m();
        for (&i, people) in usable.iter().zip(seen) {
            if let Some(answer) = answers.get_mut(i) {
                *answer = Some(people.iter().map(|d| observation(d, within_m)).collect());
            }
        }
        Ok(answers)
    }
}

/// The window's links that stand somewhere and whose quiet room is known; `None` without any.
fn input(window: &PoseInput<'_>) -> Option<Input> {
    let clean = &window.window.clean;
    let links: Vec<LinkWindow<'_>> = clean
        .links
        .iter()
        .zip(&window.window.references)
        .filter_map(|(link, reference)| {
            let place = window.site.links.iter().find(|l| l.id == link.raw.link.as_str())?;
            Some(LinkWindow {
                csi: &link.raw.csi,
                received: &link.raw.received,
                layout: link.raw.layout,
                rate_hz: clean.window.grid.rate_hz as f32,
                transmitter_m: place.transmitter_m,
                receiver_m: place.receiver_m,
                reference: reference.as_deref()?,
            })
        })
        .take(MAX_LINKS)
        .collect();
    // What makes an input unusable is a link's shape, which assembly has made sure of, or the site's configuration.
    Input::new(window.site.room_m, &links)
        .inspect_err(|e| tracing::debug!("no input for the network: {e}"))
        .ok()
}

fn observation(d: &Detection, within_m: f32) -> Observation {
    let keypoints = std::array::from_fn(|i| Keypoint {
        position_m: d.keypoints[i],
        confidence: d.keypoint_confidence[i],
    });
    let [left, right] = [d.keypoints[11], d.keypoints[12]];
    // The radius within which a normal distribution on the floor lies with this probability: 1 − exp(−r² / 2σ²).
    let sure = (0.5 * (d.keypoint_confidence[11] + d.keypoint_confidence[12])).clamp(0.02, 0.98);
    Observation {
        confidence: d.confidence,
        position_sigma_m: within_m / (-2.0 * (1.0 - sure).ln()).sqrt(),
        root_m: std::array::from_fn(|i| 0.5 * (left[i] + right[i])),
        keypoints,
        activity: Some(match d.activity {
            predictor::Activity::Standing => Activity::Standing,
            predictor::Activity::Walking => Activity::Walking,
            predictor::Activity::Sitting => Activity::Sitting,
            predictor::Activity::Lying => Activity::Lying,
            predictor::Activity::Waving => Activity::Waving,
            predictor::Activity::Falling => Activity::Falling,
        }),
    }
}
