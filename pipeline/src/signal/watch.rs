//! A site's own classifiers at work.

use std::collections::VecDeque;
use std::sync::Arc;

use super::features::{Look, Looks};
use super::learn::by_number;
use super::model::{SignalModel, Task};
use super::{SignalAnswer, SignalConfig};
use crate::pose::{Count, CountBasis, SignalActivity};
use crate::stages::presence::ObservedWindow;

/// The classifiers of one site; with none of them nothing is said and nothing is computed.
#[derive(Debug, Default)]
pub struct SignalWatch {
    config: SignalConfig,
    classifiers: Vec<Classifier>,
}

#[derive(Debug)]
struct Classifier {
    model: SignalModel,
    names: Vec<Arc<str>>,
    looks: Looks,
    newest: Newest,
}

/// What a classifier makes of the newest looks.
#[derive(Debug, Default)]
pub struct Newest {
    /// Stream times and probabilities, the oldest first.
    looks: VecDeque<(i64, Vec<f64>)>,
}

/// An answer is shown for as long as looks come, nanoseconds: four come in a second.
const LASTS_NS: i64 = 500_000_000;

impl SignalWatch {
    /// With these classifiers.
    pub fn new(config: SignalConfig, models: Vec<SignalModel>) -> Self {
        let classifier = |model: SignalModel| Classifier {
            names: model.labels.iter().map(|l| Arc::from(l.as_str())).collect(),
            looks: Looks::new(model.looks()),
            newest: Newest::default(),
            model,
        };
        Self { config, classifiers: models.into_iter().map(classifier).collect() }
    }

    /// What they say at the end of a window.
    pub fn run(&mut self, window: &ObservedWindow) -> SignalAnswer {
        let mut answer = SignalAnswer::default();
        let present = window.presence.map(|p| p.present);
        for classifier in &mut self.classifiers {
            let Some(p) = classifier.look(window, &self.config) else { continue };
            match classifier.model.task {
                // Nobody does anything.
                Task::Activity if present == Some(true) => {
                    answer.activity = classifier.likeliest(&p, &self.config)
                }
                Task::Count if present.is_some() => {
                    answer.count =
                        Some(Count::of(&by_number(&classifier.model.labels, &p), CountBasis::Signal));
                }
                Task::Activity | Task::Count => {}
            }
        }
        answer
    }
}

impl Classifier {
    /// Mean probabilities over the newest looks; `None` where they are unlike what was learned.
    fn look(&mut self, window: &ObservedWindow, config: &SignalConfig) -> Option<Vec<f64>> {
        if let Some(look) = self.looks.take(&window.clean) {
            self.newest.take(&self.model, &look, config);
        }
        self.newest.mean(window.clean.window.grid.end_ns, config)
    }

    fn likeliest(&self, p: &[f64], config: &SignalConfig) -> Option<SignalActivity> {
        let (name, p) = self.names.iter().zip(p).max_by(|a, b| a.1.total_cmp(b.1))?;
        let probability = *p as f32;
        (probability >= config.min_probability).then(|| SignalActivity { name: name.clone(), probability })
    }
}

impl Newest {
    /// A look counts, unless it is stranger than what was learned.
    pub fn take(&mut self, model: &SignalModel, look: &Look, config: &SignalConfig) {
        let (p, strange) = model.judge(look);
        if strange <= f64::from(config.strange) {
            self.looks.push_back((look.time_ns, p));
        }
    }

    /// Mean probabilities of the looks that still count at a stream time; `None` once none has come for half a second.
    pub fn mean(&mut self, now: i64, config: &SignalConfig) -> Option<Vec<f64>> {
        let oldest = now.saturating_sub((f64::from(config.average_s) * 1e9) as i64);
        self.looks.retain(|(time, _)| (oldest..=now).contains(time));
        let (last, newest) = self.looks.back()?;
        if now.saturating_sub(*last) > LASTS_NS {
            return None;
        }
        let mut mean = vec![0.0; newest.len()];
        for (_, p) in &self.looks {
            mean.iter_mut().zip(p).for_each(|(m, p)| *m += p / self.looks.len() as f64);
        }
        Some(mean)
    }
}
