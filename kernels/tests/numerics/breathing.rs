//! Breath out of synthetic amplitude series, whose rate is known.

use std::f32::consts::TAU;

use invispose_kernels::breathing::BreathingPlan;
use proptest::prelude::*;
use rand::RngExt;

use super::data;

const STEPS: usize = 300;
const RATE_HZ: f32 = 10.0;
const STREAMS: usize = 24;

fn plan() -> BreathingPlan {
    BreathingPlan::new(STEPS, RATE_HZ, 0.1, 0.6).unwrap()
}

/// Streams in which a breath of `rate_hz`, with half as much of its first harmonic, has amplitudes of −0.02 to 0.02, beside noise of −`noise` to
/// `noise` and a slow drift.
fn breaths(seed: u64, rate_hz: f32, noise: f32) -> Vec<f32> {
    let mut rng = data::rng(seed);
    let streams: Vec<(f32, f32)> =
        (0..STREAMS).map(|_| (rng.random_range(-0.02..0.02), rng.random_range(-0.1..0.1))).collect();
    let mut block = Vec::new();
    for t in 0..STEPS {
        let at = t as f32 / RATE_HZ;
        let chest = (TAU * rate_hz * at).sin() + 0.5 * (2.0 * TAU * rate_hz * at + 1.0).sin();
        for (strength, drift) in &streams {
            let noise = noise * rng.random_range(-1.0..1.0);
            block.push(1.0 + strength * chest + drift * at / 30.0 + noise);
        }
    }
    block
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_rate_is_found_and_not_its_harmonic(seed in 0u64..1000, bpm in 9.0f32..30.0) {
        let breath = plan().estimate(&breaths(seed, bpm / 60.0, 0.01), STREAMS).unwrap();
        prop_assert!((60.0 * breath.rate_hz - bpm).abs() < 0.7, "{bpm}: {breath:?}");
        prop_assert!(breath.quality > 0.4, "{bpm}: {breath:?}");
    }

    #[test]
    fn a_stream_s_gain_changes_nothing(seed in 0u64..1000, gain in 0.01f32..100.0) {
        let block = breaths(seed, 0.25, 0.01);
        let louder: Vec<f32> = block.iter().map(|v| v * gain).collect();
        let (a, b) = (plan().estimate(&block, STREAMS).unwrap(), plan().estimate(&louder, STREAMS).unwrap());
        prop_assert!((a.rate_hz - b.rate_hz).abs() < 1e-3 && (a.quality - b.quality).abs() < 1e-2);
    }

    #[test]
    fn noise_is_not_breath(seed in 0u64..1000) {
        let breath = plan().estimate(&breaths(seed, 0.25, 2.0), STREAMS);
        prop_assert!(breath.is_none_or(|b| b.quality < 0.2), "{breath:?}");
    }

    #[test]
    fn whatever_the_values_it_answers(values in prop::collection::vec(prop::num::f32::ANY, STEPS)) {
        if let Some(breath) = plan().estimate(&values, 1) {
            prop_assert!(!(breath.quality > 1.0));
        }
    }
}

#[test]
fn a_step_or_a_constant_is_not_breath() {
    let step: Vec<f32> = (0..STEPS * STREAMS).map(|i| if i / STREAMS < 170 { 1.0 } else { 1.3 }).collect();
    assert!(plan().estimate(&step, STREAMS).is_none_or(|b| b.quality < 0.2));
    assert_eq!(plan().estimate(&vec![1.0; STEPS * STREAMS], STREAMS), None);
    assert_eq!(plan().estimate(&[1.0; 7], STREAMS), None);
}

#[test]
fn blocks_that_cannot_hold_two_slow_breaths_are_refused() {
    assert!(BreathingPlan::new(150, RATE_HZ, 0.1, 0.6).is_none());
    assert!(BreathingPlan::new(STEPS, RATE_HZ, 0.6, 0.1).is_none());
    assert!(BreathingPlan::new(STEPS, 2.0, 0.1, 0.6).is_none());
}
