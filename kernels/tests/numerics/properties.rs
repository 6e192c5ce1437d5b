//! What must hold whatever the packet.

use invispose_kernels::{
    Complex32, Layout,
    cleanup::{Cleanup, CleanupSpec, Doppler, Iq, Ratio, Sanitise},
    cpu::CpuCleanup,
    doppler::DopplerPlan,
    grid::{self, Grid, MISSING},
    motion, phase,
};
use proptest::prelude::*;

use super::data::{self, SIZES};

fn size() -> impl Strategy<Value = usize> {
    prop::sample::select(SIZES.to_vec())
}

/// Each pair's packet turned by `slope · k + offset`.
fn turned(x: &[Complex32], index: &[i16], slope: f32, offset: f32) -> Vec<Complex32> {
    x.iter()
        .zip(index.iter().cycle())
        .map(|(h, &k)| {
            let turn = f64::from(slope) * f64::from(k) + f64::from(offset);
            h * Complex32::new(turn.cos() as f32, turn.sin() as f32)
        })
        .collect()
}

fn cleaned(spec: &CleanupSpec, x: &[Complex32]) -> (Vec<f32>, Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut plan = CpuCleanup::new(spec.clone(), 1).unwrap();
    plan.run(Iq::F32(x)).unwrap();
    let got = plan.read().unwrap();
    (got.amplitude.to_vec(), got.phase.to_vec(), got.ratio_re.to_vec(), got.ratio_im.to_vec())
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn timing_and_carrier_offsets_leave_the_phase(
        n in size(), seed in 0u64..1000, sto in -0.5f32..0.5, cfo in -20.0f32..20.0, shared: bool,
    ) {
        let index = data::index(n);
        let x = data::packets(seed, 1, 2, &index);
        // Such that the estimate's own range, half a turn between neighbours, is kept with the packet's own slope.
        let sto = sto * if n == 30 { 1.0 } else { 2.0 };
        let y = turned(&x, &index, sto, cfo);
        let layout = Layout::new(1, 2, n as u16);
        let mut spec = CleanupSpec::packets(layout, index.clone(), (0..n as u16).collect(), 1);
        spec.sanitise = if shared { Sanitise::Shared } else { Sanitise::PerPair };
        let (a, b) = (cleaned(&spec, &x), cleaned(&spec, &y));
        prop_assert!(apart(&a.1, &b.1) < 2e-3, "fast: {}", apart(&a.1, &b.1));
        prop_assert!(apart(&a.0, &b.0) < 1e-5);
        prop_assert!(apart(&a.2, &b.2) < 1e-4 && apart(&a.3, &b.3) < 1e-4);
        let k: Vec<f32> = index.iter().map(|&k| f32::from(k)).collect();
        let (mut p, mut q) = (vec![0.0; n], vec![0.0; n]);
        phase::sanitise_linear(&x[..n], &k, &mut p);
        phase::sanitise_linear(&y[..n], &k, &mut q);
        prop_assert!(apart(&p, &q) < 2e-3, "plain: {}", apart(&p, &q));
    }

    #[test]
    fn gain_leaves_every_feature(n in size(), seed in 0u64..1000, gain in 1e-3f32..1e3) {
        let index = data::index(n);
        let x = data::packets(seed, 1, 3, &index);
        let y: Vec<Complex32> = x.iter().map(|h| h * gain).collect();
        let mut spec = CleanupSpec::packets(Layout::new(1, 3, n as u16), index, (0..n as u16).collect(), 1);
        spec.ratio = Some(Ratio { antenna: 2, floor: 1e-2 });
        let (a, b) = (cleaned(&spec, &x), cleaned(&spec, &y));
        prop_assert!(apart(&a.0, &b.0) < 1e-5);
        prop_assert!(apart(&a.1, &b.1) < 1e-3);
        prop_assert!(apart(&a.2, &b.2) < 1e-4 && apart(&a.3, &b.3) < 1e-4);
        let (t, u) = (motion::turbulence(&a.0), motion::turbulence(&b.0));
        prop_assert!((t - u).abs() < 1e-5);
    }

    #[test]
    fn a_tone_peaks_at_its_frequency(n in 16usize..200, share in 0.02f64..0.98, amplitude in 0.1f32..10.0) {
        let rate = 100.0;
        let hz = (share - 0.5) * rate;
        let x: Vec<Complex32> = (0..n)
            .map(|t| {
                let (im, re) = (std::f64::consts::TAU * hz * t as f64 / rate).sin_cos();
                Complex32::new(re as f32, im as f32) * amplitude + Complex32::new(5.0, -3.0)
            })
            .collect();
        let mut plan = DopplerPlan::new(n, 1);
        let mut power = vec![0.0; n];
        plan.run(&x, 1, 0, &mut power);
        let peak = (0..n).max_by(|&a, &b| power[a].total_cmp(&power[b])).unwrap();
        let mut off = (plan.frequency_hz(peak, rate) - hz).abs();
        off = off.min(rate - off);
        // A tone within a bin of zero is a constant to the mean.
        prop_assume!(hz.abs() > 2.0 * rate / n as f64);
        prop_assert!(off <= 0.51 * rate / n as f64, "{off} Hz off at {hz} Hz");
    }

    #[test]
    fn a_moving_path_peaks_at_its_doppler(share in 0.1f64..0.9, cfo in 0u64..1000) {
        // Antenna 0 sees the static path only; each packet has its own offset, which the ratio takes out.
        let (steps, n, rate) = (64, 30, 200.0);
        let hz = (share - 0.5) * rate;
        prop_assume!(hz.abs() > 8.0);
        let index = data::index(n);
        let mut rng = data::rng(cfo);
        let mut x = Vec::new();
        for t in 0..steps {
            let (slope, offset) = (rand::RngExt::random_range(&mut rng, -0.5..0.5f32), rand::RngExt::random_range(&mut rng, -3.0..3.0f32));
            let turn = (std::f64::consts::TAU * hz * t as f64 / rate) as f32;
            let one = vec![Complex32::ONE; n];
            let two = vec![Complex32::ONE + Complex32::from_polar(0.3, turn); n];
            x.extend(turned(&[one, two].concat(), &index, slope, offset));
        }
        let layout = Layout::new(1, 2, n as u16);
        let mut spec = CleanupSpec::packets(layout, index, (0..n as u16).collect(), 1);
        spec.steps = steps;
        spec.doppler = Some(Doppler { len: steps, hop: steps });
        let mut plan = CpuCleanup::new(spec, 1).unwrap();
        plan.run(Iq::F32(&x)).unwrap();
        let power = &plan.read().unwrap().doppler[steps..];
        let peak = (0..steps).max_by(|&a, &b| power[a].total_cmp(&power[b])).unwrap();
        let got = (peak as f64 - 32.0) * rate / steps as f64;
        prop_assert!((got - hz).abs() <= 0.51 * rate / steps as f64, "{got} {hz}");
    }

    #[test]
    fn no_packet_is_placed_twice_or_out_of_reach(
        gaps in prop::collection::vec(0i64..30_000, 0..60), rate in 10.0f64..1e6, steps in 1usize..40,
    ) {
        let mut now = 0;
        let times: Vec<i64> = gaps.iter().map(|g| { now += g; now }).collect();
        let grid = Grid { end_ns: now, rate_hz: rate, steps };
        let mut source = vec![0; steps];
        let received = grid::nearest(&grid, &times, &mut source);
        let placed: Vec<u32> = source.iter().copied().filter(|&s| s != MISSING).collect();
        prop_assert_eq!(placed.len(), received);
        prop_assert!(placed.windows(2).all(|w| w[0] < w[1]));
        for (k, &s) in source.iter().enumerate() {
            let t = grid.time_ns(k);
            let reach = 0.5 * grid.period_ns();
            let nearest = times.iter().map(|&p| (p - t).abs()).min();
            if s == MISSING {
                // A step's time is rounded to a nanosecond.
                prop_assert!(nearest.is_none_or(|d| d as f64 + 0.5 >= reach));
            } else {
                prop_assert_eq!((times[s as usize] - t).abs(), nearest.unwrap());
            }
        }
    }
}
