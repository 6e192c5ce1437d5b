//! By how much longer ways than the strongest one a link's signal came.

use invispose_kernels::Complex32;
use invispose_kernels::delay::DelayPlan;
use invispose_kernels::doppler::hann;

use super::CURVE;
use crate::stages::assembly::LinkWindow;
use crate::stages::cleanup::tone_plan;

/// One tap in so many comes before the strongest one, and so many at least: as wide as a path is.
const BEFORE: usize = 8;
const BEFORE_AT_LEAST: usize = 4;

/// Power over delay, from that of the strongest tap: clocks that are not synchronised hide the delay itself.
#[derive(Clone, Debug, PartialEq)]
pub struct DelayProfile {
    /// Shares of the strongest tap's power, 0..1, mean over antenna pairs; at most [`CURVE`] values.
    pub power: Vec<f32>,
    /// Delay of the first value, nanoseconds.
    pub from_ns: f64,
    /// From one value to the next, nanoseconds: the inverse of the bandwidth.
    pub step_ns: f64,
}

/// Of the newest packet's `columns`; `None` where its subcarriers' places in the band are not known, or nothing was heard.
///
/// The taper (Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform", 1978) keeps the band's edges
/// from looking like further paths; it makes a path two taps wide.
pub(super) fn profile(raw: &LinkWindow, columns: &[u16]) -> Option<DelayProfile> {
    let index = raw.subcarrier_index.as_deref()?;
    let size = tone_plan(raw)?.fft_len();
    let used: Vec<i16> =
        columns.iter().map(|&c| index.get(usize::from(c)).copied()).collect::<Option<_>>()?;
    let (first, last) = (used.iter().min()?, used.iter().max()?);
    let taper = hann(usize::from(last.abs_diff(*first)) + 1);
    let weight = |i: i16| taper.get(usize::from(i.abs_diff(*first))).copied().unwrap_or_default();

    let newest = raw.received.iter().rposition(|r| *r)?;
    let values = raw.layout.values();
    let packet = raw.csi.get(newest * values..(newest + 1) * values)?;
    let mut plan = DelayPlan::indexed(size, &used);
    let (mut power, mut sum) = (vec![0.0; size], vec![0.0f32; size]);
    for pair in packet.chunks_exact(usize::from(raw.layout.subcarriers).max(1)) {
        let value = |(&c, &i): (&u16, &i16)| pair.get(usize::from(c)).map(|h| h * weight(i));
        let line: Vec<Complex32> = columns.iter().zip(&used).filter_map(value).collect();
        plan.run(&line, &mut power);
        sum.iter_mut().zip(&power).for_each(|(s, p)| *s += p);
    }

    let top = sum.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    let (strongest, most) = top.filter(|(_, p)| p.is_finite() && *p > 0.0)?;
    // What comes later looks like what comes before.
    let count = (size / stride(used) / 2).clamp(1, CURVE);
    let before = (count / BEFORE).max(BEFORE_AT_LEAST).min(count);
    let tap = |k: usize| sum.get((strongest + size + k - before) % size).map(|p| p / most);
    let step_ns = 1e3 / f64::from(raw.bandwidth_mhz?);
    Some(DelayProfile {
        power: (0..count).filter_map(tap).collect(),
        from_ns: -(before as f64) * step_ns,
        step_ns,
    })
}

/// From one subcarrier to the next, as most are: where only every second is known, paths come again after half the transform.
fn stride(mut used: Vec<i16>) -> usize {
    used.sort_unstable();
    let mut steps: Vec<u16> = used.windows(2).map(|w| w[1].abs_diff(w[0])).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().map_or(1, usize::from).max(1)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use invispose_kernels::Layout;
    use invispose_kernels::mask::Standard;
    use proptest::prelude::*;

    use super::*;
    use crate::csi::LinkId;

    /// A packet of two paths: the second `extra_ns` later, of so much of the first's amplitude; all of it `offset_ns` late by the clock.
    fn packet(index: &[i16], bandwidth_mhz: u16, offset_ns: f64, extra_ns: f64, share: f64) -> LinkWindow {
        let at = |i: i16, ns: f64, amplitude: f64| {
            let turn = -TAU * f64::from(i) * 312_500.0 * ns * 1e-9;
            Complex32::new((amplitude * turn.cos()) as f32, (amplitude * turn.sin()) as f32)
        };
        let both = |&i: &i16| at(i, offset_ns, 5.0) + at(i, offset_ns + extra_ns, 5.0 * share);
        LinkWindow {
            link: LinkId::new("a"),
            layout: Layout::new(1, 1, index.len() as u16),
            subcarrier_index: Some(index.into()),
            center_mhz: None,
            bandwidth_mhz: Some(bandwidth_mhz),
            rssi_dbm: vec![None],
            csi: index.iter().map(both).collect(),
            received: vec![true],
        }
    }

    fn all(count: usize) -> Vec<u16> {
        (0..count as u16).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Whatever the clocks say, the strongest way is at zero and the other one where its way is longer.
        #[test]
        fn paths_are_where_they_were_put(offset_ns in -1000.0..1000.0, taps in 4usize..40, share in 0.2..0.7) {
            let index = Standard::Vht80.tones(true);
            let raw = packet(&index, 80, offset_ns, taps as f64 * 12.5, share);
            let found = profile(&raw, &all(index.len())).unwrap();
            prop_assert_eq!((found.step_ns, found.from_ns, found.power.len()), (12.5, -100.0, CURVE));
            prop_assert!((found.power[8] - 1.0).abs() < 1e-6);
            let second = (11..CURVE).max_by(|a, b| found.power[*a].total_cmp(&found.power[*b])).unwrap();
            prop_assert!(second.abs_diff(8 + taps) <= 1, "{} instead of {}", second, 8 + taps);
            // Between two taps a path is up to 1.4 dB lower than on one.
            let wanted = (share * share) as f32;
            prop_assert!(found.power[second] > 0.6 * wanted && found.power[second] < 1.7 * wanted);
        }
    }

    #[test]
    fn every_second_subcarrier_shows_no_path_twice() {
        let index: Vec<i16> =
            (-28..=-2).step_by(2).chain([-1]).chain((1..=27).step_by(2)).chain([28]).collect();
        let found = profile(&packet(&index, 20, 130.0, 200.0, 0.5), &all(index.len())).unwrap();
        assert_eq!((found.power.len(), found.from_ns, found.step_ns), (16, -200.0, 50.0));
        assert_eq!(found.power.iter().filter(|p| **p > 0.9).count(), 1);
    }

    #[test]
    fn nothing_is_made_up() {
        let index = Standard::Ht20.tones(true);
        let whole = packet(&index, 20, 0.0, 100.0, 0.5);
        let columns = all(index.len());
        assert!(profile(&whole, &columns).is_some());
        for raw in [
            LinkWindow { subcarrier_index: None, ..whole.clone() },
            LinkWindow { bandwidth_mhz: None, ..whole.clone() },
            LinkWindow { received: vec![false], ..whole.clone() },
            LinkWindow { csi: vec![Complex32::ZERO; index.len()], ..whole.clone() },
            LinkWindow { csi: vec![Complex32::new(f32::NAN, 0.0); index.len()], ..whole.clone() },
        ] {
            assert_eq!(profile(&raw, &columns), None);
        }
        assert_eq!(profile(&whole, &[]), None);
        assert_eq!(profile(&whole, &[999]), None);
    }
}
