//! Detrending, band-pass and components on both.

use invispose_kernels::{
    Layout,
    cleanup::{Cleanup, Hampel, Iq},
    cpu::CpuCleanup,
    filter,
    gpu::{Block, Components, Detrend, GpuCleanup, GpuError, GpuOptions, GpuSeries, Output, SeriesSpec},
    pca::PcaPlan,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{agreement::assert_close, context, data};

fn spec(windows: usize, steps: usize, streams: usize) -> SeriesSpec {
    SeriesSpec {
        windows,
        steps,
        streams,
        detrend: Detrend::Keep,
        sections: vec![],
        zero_phase: false,
        components: None,
    }
}

/// Breathing, a step and a drift over noise, on a level far above them.
fn block(seed: u64, windows: usize, steps: usize, streams: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut out = Vec::new();
    for _ in 0..windows {
        let weights: Vec<[f32; 3]> = (0..streams)
            .map(|_| {
                [rng.random_range(-1.0..1.0), rng.random_range(-0.3..0.3), rng.random_range(-0.08..0.08)]
            })
            .collect();
        for t in 0..steps {
            let t = t as f32;
            for w in &weights {
                let step = if t > 0.6 * steps as f32 { 1.0 } else { 0.0 };
                let x = w[0] * (t * 0.11).sin() + w[1] * step + w[2] * (t * 0.9).cos();
                out.push(30.0 + x + 0.002 * t + rng.random_range(-0.01..0.01f32));
            }
        }
    }
    out
}

/// Applies `each` to every stream of every window.
fn columns(x: &[f32], steps: usize, streams: usize, mut each: impl FnMut(&mut [f32])) -> Vec<f32> {
    let mut out = x.to_vec();
    for window in out.chunks_exact_mut(steps * streams) {
        for s in 0..streams {
            let mut column: Vec<f32> = window.iter().skip(s).step_by(streams).copied().collect();
            each(&mut column);
            window.iter_mut().skip(s).step_by(streams).zip(column).for_each(|(to, v)| *to = v);
        }
    }
    out
}

#[test]
fn detrending_agrees() {
    let Some(context) = context() else { return };
    for (steps, streams) in [(1, 3), (2, 1), (57, 70), (1000, 30)] {
        let x = block(1, 2, steps, streams);
        for (detrend, each) in [
            (Detrend::Mean, filter::detrend_mean as fn(&mut [f32])),
            (Detrend::Line, filter::detrend_linear),
            (Detrend::Keep, |_| ()),
        ] {
            let mut plan =
                GpuSeries::new(&context, SeriesSpec { detrend, ..spec(2, steps, streams) }).unwrap();
            plan.run(Block::Host(&x)).unwrap();
            let want = columns(&x, steps, streams, each);
            // f32 cannot hold what is left of a level of 30 better than this.
            let got = plan.read().unwrap().values;
            let most = got.iter().zip(&want).fold(0.0f32, |m, (g, w)| m.max((g - w).abs()));
            assert!(most <= 1e-5, "{detrend:?} {steps}: {most:e}");
        }
    }
}

#[test]
fn band_passes_agree() {
    let Some(context) = context() else { return };
    // Breathing at 100 Hz lies so low that f32 alone would lose it.
    for (order, low, high, rate) in [(2, 0.1, 0.6, 100.0), (4, 0.1, 0.5, 50.0), (1, 2.0, 20.0, 100.0)] {
        let sections = filter::butterworth_bandpass(order, low, high, rate).unwrap();
        let (steps, streams) = (1200, 5);
        let x = block(2, 2, steps, streams);
        for zero_phase in [false, true] {
            let spec = SeriesSpec { sections: sections.clone(), zero_phase, ..spec(2, steps, streams) };
            let mut plan = GpuSeries::new(&context, spec).unwrap();
            plan.run(Block::Host(&x)).unwrap();
            let mut state = vec![[0.0; 2]; sections.len()];
            let want = columns(&x, steps, streams, |column| {
                if zero_phase {
                    filter::filter_zero_phase(&sections, &mut state, column);
                } else {
                    state.fill([0.0; 2]);
                    filter::filter(&sections, &mut state, column);
                }
            });
            assert_close(&format!("{low}..{high} Hz {zero_phase}"), plan.read().unwrap().values, &want);
        }
    }
}

#[test]
fn components_agree() {
    let Some(context) = context() else { return };
    for (steps, streams, count) in [(40, 300, 3), (120, 56, 3), (8, 5, 2), (30, 20, 1), (26, 3984, 3)] {
        let x = block(3, 3, steps, streams);
        let components = Some(Components { count, iterations: 40 });
        let mut plan =
            GpuSeries::new(&context, SeriesSpec { components, ..spec(3, steps, streams) }).unwrap();
        plan.run(Block::Host(&x)).unwrap();
        let got = plan.read().unwrap();
        let mut cpu = PcaPlan::new(steps, streams, count);
        for (w, window) in x.chunks_exact(steps * streams).enumerate() {
            assert!(cpu.run(window, 40));
            let name = format!("{steps} {streams} {count} window {w}");
            let part = |x: &'_ [f32], len: usize| x[w * len..(w + 1) * len].to_vec();
            assert_close(&name, &part(got.components, count * streams), cpu.components());
            assert_close(&name, &part(got.scores, count * steps), cpu.scores());
            assert_close(&name, &part(got.variances, count), cpu.variances());
        }
    }
}

#[test]
fn cleaned_amplitude_goes_on_without_leaving_the_device() {
    let Some(context) = context() else { return };
    let mut cleanup = data::spec(Layout::new(1, 2, 56), 64, 2);
    cleanup.hampel = Some(Hampel { half: 3, sigmas: 3.0 });
    let streams = 2 * cleanup.columns.len();
    let x = data::room(4, 128, 2, &cleanup.index);
    let options = GpuOptions { readback: false, sample_bytes: 8, ..GpuOptions::default() };
    let mut first = GpuCleanup::new(&context, cleanup.clone(), options).unwrap();
    let wanted = SeriesSpec { detrend: Detrend::Line, ..spec(2, 64, streams) };
    let mut then = GpuSeries::new(&context, wanted).unwrap();
    first.run(Iq::F32(&x)).unwrap();
    then.run(Block::Device(first.output(Output::Amplitude), 2)).unwrap();
    let mut cpu = CpuCleanup::new(cleanup, 1).unwrap();
    cpu.run(Iq::F32(&x)).unwrap();
    let want = columns(cpu.read().unwrap().amplitude, 64, streams, filter::detrend_linear);
    assert_close("detrended amplitude", then.read().unwrap().values, &want);
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(context) = context() else { return };
    let too_many = Some(Components { count: 5, iterations: 1 });
    for bad in
        [spec(0, 4, 4), spec(1, 0, 4), spec(1, 4, 0), SeriesSpec { components: too_many, ..spec(1, 4, 4) }]
    {
        assert!(matches!(GpuSeries::new(&context, bad), Err(GpuError::Limit { .. })));
    }
    let mut plan = GpuSeries::new(&context, spec(2, 4, 4)).unwrap();
    for len in [0, 15, 17, 48] {
        assert!(matches!(plan.run(Block::Host(&vec![0.0; len])), Err(GpuError::Limit { .. })));
    }
    plan.run(Block::Host(&[1.0; 16])).unwrap();
    assert_eq!(plan.read().unwrap().values, [1.0; 16]);
}
