//! How many people are there, from those who are followed.

use serde::{Deserialize, Serialize};

use crate::pose::{Count, CountBasis, Person, PoseFrame};

/// The rules of counting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountRules {
    /// Share of the time in which somebody who is there is not shown, 0..1: `--suite tracking` says what it is behind which detector.
    pub missed: f64,
}

impl Default for CountRules {
    fn default() -> Self {
        Self { missed: 0.1 }
    }
}

/// People who may be there at most, for the sums.
const MOST: usize = 2 * PoseFrame::MAX_PERSONS;

/// How many people are there where these are shown: each is there with the probability of its confidence, and of those who are there each
/// is missed with that of the rules, whatever the others are. `somebody`: the signal says that somebody is.
///
/// Those who are missed when `n` are seen follow the negative binomial distribution of `n + 1` successes, the posterior under a flat prior of the
/// number of people.
pub fn count(persons: &[Person], somebody: bool, rules: &CountRules) -> Count {
    let missed = rules.missed.clamp(0.0, 0.9);
    // The number of those shown who are there: a Poisson binomial distribution.
    let mut seen = vec![1.0];
    for person in persons {
        let p = f64::from(person.confidence).clamp(0.0, 1.0);
        let mut next = vec![0.0; seen.len() + 1];
        for (n, probability) in seen.iter().enumerate() {
            next[n] += (1.0 - p) * probability;
            next[n + 1] += p * probability;
        }
        seen = next;
    }
    let mut all = vec![0.0; MOST + 1];
    for (n, probability) in seen.iter().enumerate() {
        let mut hidden = (1.0 - missed).powi(n as i32 + 1);
        for (k, to) in all.iter_mut().skip(n).enumerate() {
            *to += probability * hidden;
            hidden *= missed * (n + k + 1) as f64 / (k + 1) as f64;
        }
    }
    if somebody && let Some(nobody) = all.first_mut() {
        *nobody = 0.0;
    }
    let sum: f64 = all.iter().sum();
    all.iter_mut().for_each(|p| *p /= sum.max(f64::MIN_POSITIVE));
    Count::of(&all, CountBasis::Tracks)
}
