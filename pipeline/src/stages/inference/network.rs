//! The trained network as a [`PoseModel`].

use std::{collections::HashMap, sync::Arc};

#[cfg(feature = "gpu")]
use invispose_kernels::gpu::DeviceSamples;
use invispose_models::input::{self, Earlier, History, Input, LinkWindow, MAX_LINKS, WINDOW_S};
#[cfg(feature = "gpu")]
use invispose_models::predictor::DeviceWindow;
use invispose_models::predictor::{self, Detection, PredictError, Prediction, Predictor};

use super::{ModelError, PoseInput, PoseModel};
use crate::pose::{Activity, Keypoint};
use crate::stages::cleanup::CleanLink;
use crate::tracking::Observation;

/// A [`Predictor`] in the pipeline.
pub struct NetworkModel {
    predictor: Predictor,
    /// What the network left of each site's windows.
    histories: HashMap<Arc<str>, History>,
    moved: Option<String>,
    name: Arc<str>,
}

impl NetworkModel {
    /// Serves with `predictor`.
    pub fn new(predictor: Predictor) -> Self {
        Self { name: predictor.model().into(), predictor, histories: HashMap::new(), moved: None }
    }

    /// The network's answers; when the GPU fails, those of the CPU, on which it goes on.
    fn answer(&mut self, sites: &[Site<'_>]) -> Result<Vec<Prediction>, PredictError> {
        match self.ask(sites) {
            Err(PredictError::Device(error)) if self.predictor.compute().is_gpu() => {
                self.predictor.move_to_cpu().map_err(|e| PredictError::Device(format!("{error}; {e}")))?;
                self.moved = Some(format!("{error}; the network goes on on the CPU"));
                self.ask(sites)
            }
            answer => answer,
        }
    }

    fn ask(&self, sites: &[Site<'_>]) -> Result<Vec<Prediction>, PredictError> {
        #[cfg(feature = "gpu")]
        if self.predictor.compute().is_gpu()
            && let Some(mut windows) = sites.iter().map(Site::on_gpu).collect::<Option<Vec<_>>>()
        {
            for (window, site) in windows.iter_mut().zip(sites) {
                window.earlier = self.earlier(site);
            }
            return self.predictor.predict_on_device(&windows);
        }
        let input = |(i, site): (usize, &Site<'_>)| {
            let input = Input::new(site.room_m, &site.links).map_err(|_| PredictError::Shape(i))?;
            Ok(Input { earlier: self.earlier(site), ..input })
        };
        self.predictor.predict(&sites.iter().enumerate().map(input).collect::<Result<Vec<_>, _>>()?)
    }

    fn earlier(&self, site: &Site<'_>) -> Earlier {
        self.histories.get(site.id).map_or_else(Earlier::default, |history| history.before(site.end_s))
    }

    /// How many of these windows, in order, can be looked at together: what is left of a window is there for those of its site
    /// that end a window's length after it.
    fn together<'a>(&self, sites: &[Site<'a>]) -> usize {
        let mut first: HashMap<&'a str, f64> = HashMap::new();
        let later = |site: &Site<'a>| {
            let first_s = *first.entry(site.id).or_insert(site.end_s);
            site.end_s - first_s >= f64::from(WINDOW_S) / 2.0
        };
        if self.predictor.remembers() {
            sites.iter().position(later).unwrap_or(sites.len())
        } else {
            sites.len()
        }
    }
}

impl PoseModel for NetworkModel {
    fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    fn device(&self) -> String {
        self.predictor.describe().device
    }

    fn take_moved(&mut self) -> Option<String> {
        self.moved.take()
    }

    fn predict(&mut self, windows: &[PoseInput<'_>]) -> Result<Vec<Option<Vec<Observation>>>, ModelError> {
        let mut inputs = Vec::new();
        let usable: Vec<usize> = (0..windows.len())
            .filter(|&i| Site::of(&windows[i]).map(|site| inputs.push(site)).is_some())
            .collect();
        let mut answers = vec![None; windows.len()];
        if inputs.is_empty() {
            return Ok(answers);
        }
        let within_m = self.predictor.within_m();
        let (mut usable, mut rest) = (usable.into_iter(), inputs.as_slice());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.together(rest).max(1));
            rest = later;
            let seen = self.answer(now).map_err(|e| ModelError(e.to_string()))?;
            for ((site, i), seen) in now.iter().zip(usable.by_ref()).zip(seen) {
                if let Some(memory) = seen.memory {
                    self.histories.entry(site.id.into()).or_default().keep(site.end_s, memory);
                }
                if let Some(answer) = answers.get_mut(i) {
                    *answer = Some(seen.people.iter().map(|d| observation(d, within_m)).collect());
                }
            }
        }
        Ok(answers)
    }
}

/// The window's links that stand somewhere and whose quiet room is known.
struct Site<'a> {
    id: &'a str,
    /// When the window ends, seconds.
    end_s: f64,
    room_m: [f32; 3],
    links: Vec<LinkWindow<'a>>,
    /// The same links on the GPU, where all of them are there.
    #[cfg(feature = "gpu")]
    samples: Option<Vec<&'a DeviceSamples>>,
}

impl<'a> Site<'a> {
    /// `None` without any such link.
    fn of(window: &PoseInput<'a>) -> Option<Self> {
        let clean = &window.window.clean;
        let (_used, links): (Vec<&CleanLink>, Vec<LinkWindow<'_>>) = clean
            .links
            .iter()
            .zip(&window.window.references)
            .filter_map(|(link, reference)| {
                let place = window.site.links.iter().find(|l| l.id == link.raw.link.as_str())?;
                let window = LinkWindow {
                    csi: &link.raw.csi,
                    received: &link.raw.received,
                    layout: link.raw.layout,
                    rate_hz: clean.window.grid.rate_hz as f32,
                    transmitter_m: place.transmitter_m,
                    receiver_m: place.receiver_m,
                    reference: reference.as_deref()?,
                };
                Some((link, window))
            })
            .take(MAX_LINKS)
            .unzip();
        // What makes an input unusable is a link's shape, which assembly has made sure of, or the site's configuration.
        input::check(window.site.room_m, &links)
            .inspect_err(|e| tracing::debug!("no input for the network: {e}"))
            .ok()?;
        Some(Self {
            id: &clean.window.site,
            end_s: clean.window.grid.end_ns as f64 / 1e9,
            room_m: window.site.room_m,
            links,
            #[cfg(feature = "gpu")]
            samples: _used.iter().map(|link| link.samples.as_ref()).collect(),
        })
    }

    #[cfg(feature = "gpu")]
    fn on_gpu(&self) -> Option<DeviceWindow<'a>> {
        let (room_m, links, samples) = (self.room_m, self.links.clone(), self.samples.clone()?);
        Some(DeviceWindow { room_m, links, samples, earlier: Earlier::default() })
    }
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
