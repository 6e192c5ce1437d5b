//! Whether confidences mean what they say.

use serde::Serialize;

const BINS: usize = 10;

/// How often answers of like confidence were right.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reliability {
    /// Sum of confidences, right ones and number, by tenth of confidence.
    sums: [(f64, f64, usize); BINS],
}

/// Answers of like confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Mean confidence, 0..1.
    pub confidence: f64,
    /// Share that was right, 0..1.
    pub right: f64,
    /// How many.
    pub count: usize,
}

impl Reliability {
    pub(super) fn add(&mut self, confidence: f32, right: bool) {
        let (sum, hits, count) = &mut self.sums[((confidence * BINS as f32) as usize).min(BINS - 1)];
        *sum += f64::from(confidence);
        *hits += f64::from(u8::from(right));
        *count += 1;
    }

    /// The tenths of confidence that occurred, the lowest first.
    pub fn bins(&self) -> Vec<Bin> {
        let bin = |&(sum, hits, count): &(f64, f64, usize)| Bin {
            confidence: sum / count as f64,
            right: hits / count as f64,
            count,
        };
        self.sums.iter().filter(|(_, _, count)| *count > 0).map(bin).collect()
    }

    /// Expected calibration error: the mean distance of confidence and share of right ones over all answers (Naeini et al.,
    /// "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015).
    pub fn expected_error(&self) -> f64 {
        let seen: usize = self.sums.iter().map(|(_, _, count)| count).sum();
        self.sums.iter().map(|(sum, hits, _)| (sum - hits).abs()).sum::<f64>() / seen.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_the_distance_from_the_diagonal_weighted_by_how_often() {
        let mut r = Reliability::default();
        // Three in four right at 0.75, and none of four at 0.25.
        (0..4).for_each(|i| r.add(0.75, i > 0));
        assert_eq!(r.expected_error(), 0.0);
        (0..4).for_each(|_| r.add(0.25, false));
        assert!((r.expected_error() - 0.125).abs() < 1e-9, "{}", r.expected_error());
        assert_eq!(r.bins().iter().map(|b| b.count).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(Reliability::default().expected_error(), 0.0);
    }
}
