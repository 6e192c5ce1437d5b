//! When a training ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::OptimiserConfig;

/// What validations said so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Course {
    /// The best score, millimetres.
    best: Option<f64>,
    /// Validations since then.
    worse: u32,
    /// The step from which on the learning rate falls before its time.
    falls_at: Option<u64>,
}

impl Course {
    /// Steps of the whole training.
    pub fn end(&self, o: &OptimiserConfig) -> u64 {
        self.falls_at.map_or(o.steps, |at| o.steps.min(at + o.cool_down))
    }

    /// The step from which on the learning rate falls before its time.
    pub fn falls_at(&self) -> Option<u64> {
        self.falls_at
    }

    /// Takes in a validation's figures: their score is the mean position error over places and numbers of people.
    pub fn judge(&mut self, step: u64, metrics: &BTreeMap<String, f64>, o: &OptimiserConfig) {
        let errors: Vec<f64> = metrics
            .iter()
            .filter(|(name, _)| name.ends_with("_mpjpe_mm") && !name.contains("mean_position"))
            .map(|(_, error)| *error)
            .collect();
        let score = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
        if self.best.is_none_or(|best| score < best) {
            (self.best, self.worse) = (Some(score), 0);
        } else {
            self.worse += 1;
        }
        let falling = step + o.cool_down >= self.end(o);
        if o.patience.is_some_and(|patience| self.worse >= patience) && !falling {
            self.falls_at = Some(step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_when_patience_ends_and_not_before() {
        let mut o = OptimiserConfig {
            steps: 1000,
            batch: 1,
            learning_rate: 1e-3,
            warm_up: 1,
            cool_down: 100,
            weight_decay: 0.0,
            validate_every: 10,
            patience: Some(2),
            mixed_precision: false,
        };
        let judge = |o: &OptimiserConfig, scores: &[f64]| {
            let mut course = Course::default();
            for (score, step) in scores.iter().zip((1..).map(|i| 10 * i)) {
                let figures = [("demo_1_mpjpe_mm", *score), ("demo_1_mean_position_mpjpe_mm", 1e4 * score)];
                course.judge(step, &figures.map(|(k, v)| (k.to_owned(), v)).into(), o);
            }
            course.end(o)
        };
        assert_eq!(judge(&o, &[3.0, 2.0, 2.5]), 1000);
        assert_eq!(judge(&o, &[3.0, 2.0, 2.5, 1.0, 1.5]), 1000);
        assert_eq!(judge(&o, &[3.0, 2.0, 2.5, 2.0, 1.0, 4.0, 4.0]), 140);
        // It falls anyway.
        o.steps = 130;
        assert_eq!(judge(&o, &[3.0, 2.0, 2.5, 2.0]), 130);
        o.patience = None;
        assert_eq!(judge(&o, &[3.0, 4.0, 4.0, 4.0, 4.0]), 130);
    }
}
