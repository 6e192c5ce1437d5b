//! Parts of the input that a network is not shown, to learn what each is worth.

use serde::{Deserialize, Serialize};

use super::{
    BINS, BLOCK, BLOCKS, CHANNELS, FEATURES, RATE_HZ,
    block::{MEANS, MOMENTS, OVER_TIME},
};

/// A part of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The quiet room's channel.
    QuietChannel,
    /// Where a link's ends stand, and the room's size.
    Geometry,
    /// Second moments over a block: phases between antennas and subcarriers.
    Moments,
    /// Products of packets some steps apart: how fast paths change.
    Doppler,
    /// The mean over a block.
    Mean,
}

/// What a network is not shown; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withheld {
    /// These parts are 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Of a window only the last seconds, in whole blocks, as if nothing had been received before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_but_last_s: Option<f32>,
    /// Of the windows before only so many, the last ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_but_last_earlier: Option<usize>,
}

impl Withheld {
    /// All but the last seconds of a site's past, from [`super::WINDOW_S`] to [`super::CONTEXT_S`] in whole windows.
    pub fn all_but_last_s(context_s: f32) -> Self {
        let earlier = (context_s / super::WINDOW_S).round() as usize;
        Self { all_but_last_earlier: Some(earlier.saturating_sub(1)), ..Self::default() }
    }

    /// Whether everything is shown.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Says what makes no sense.
    #[cfg(feature = "nn")]
    pub(crate) fn check(&self) -> Result<(), String> {
        let block_s = BLOCK as f32 / RATE_HZ;
        match self.all_but_last_s {
            Some(s) if !(block_s..=super::WINDOW_S).contains(&s) => {
                Err(format!("withheld.all_but_last_s: {block_s} to {}", super::WINDOW_S))
            }
            _ => Ok(()),
        }
    }

    /// How many of the windows before are shown.
    #[cfg(feature = "nn")]
    pub(crate) fn earlier(&self) -> usize {
        self.all_but_last_earlier.unwrap_or(super::EARLIER).min(super::EARLIER)
    }

    /// Takes it out of links' features, `[link][BLOCKS][FEATURES]`.
    pub fn hide(&self, features: &mut [f32]) {
        if self.is_nothing() {
            return;
        }
        let shown = self.all_but_last_s.map_or(BLOCKS, |s| (s * RATE_HZ / BLOCK as f32).round() as usize);
        for window in features.chunks_exact_mut(BLOCKS * FEATURES) {
            window[..BLOCKS.saturating_sub(shown) * FEATURES].fill(0.0);
            for block in window.chunks_exact_mut(FEATURES) {
                for part in &self.parts {
                    match part {
                        Part::Moments => block[MOMENTS].fill(0.0),
                        Part::Doppler => block[OVER_TIME].fill(0.0),
                        Part::Mean => block[MEANS].fill(0.0),
                        Part::QuietChannel | Part::Geometry => {}
                    }
                }
            }
        }
    }

    /// Takes it out of a link's fixed features, `[FIXED]`.
    pub fn hide_fixed(&self, fixed: &mut [f32]) {
        let (quiet, geometry) = fixed.split_at_mut(CHANNELS * BINS);
        if self.parts.contains(&Part::QuietChannel) {
            quiet.fill(0.0);
        }
        if self.parts.contains(&Part::Geometry) {
            geometry.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::FIXED;

    #[test]
    fn what_is_withheld_is_gone_and_the_rest_is_as_it_was() {
        let all = vec![1.0f32; 2 * BLOCKS * FEATURES];
        let gone = |withheld: &Withheld| {
            let mut now = all.clone();
            withheld.hide(&mut now);
            (now.iter().filter(|v| **v == 0.0).count(), now)
        };
        assert_eq!(gone(&Withheld::default()).0, 0);
        // One of two seconds: the older half of each link's window.
        let (count, now) = gone(&Withheld { all_but_last_s: Some(1.0), ..Withheld::default() });
        assert_eq!(count, all.len() / 2);
        let half = BLOCKS / 2 * FEATURES;
        assert!(now.chunks_exact(half).enumerate().all(|(i, h)| h.iter().all(|v| *v == (i % 2) as f32)));
        // The parts of a block are all of it but its power and its share of packets.
        let parts = vec![Part::Moments, Part::Doppler, Part::Mean];
        let (count, _) = gone(&Withheld { parts, ..Withheld::default() });
        assert_eq!(count, all.len() - 2 * 2 * BLOCKS);

        let mut fixed = vec![1.0; FIXED];
        Withheld { parts: vec![Part::Geometry], ..Withheld::default() }.hide_fixed(&mut fixed);
        assert!(fixed.iter().enumerate().all(|(i, v)| *v == f32::from(u8::from(i < CHANNELS * BINS))));
    }
}
