//! Real captures of every format, cleaned on both: every output within 1e-4 of its array's largest value.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use invispose_kernels::cleanup::{Clean, Cleanup, CleanupSpec, Doppler, Hampel, Iq, Sanitise};
use invispose_kernels::cpu::CpuCleanup;
use invispose_kernels::filter::{self, butterworth_bandpass};
use invispose_kernels::gpu::{
    Block, Components, Detrend, GpuCleanup, GpuContext, GpuOptions, GpuProduct, GpuSeries, SeriesSpec,
};
use invispose_kernels::pca::PcaPlan;
use invispose_kernels::{mask, ratio};
use invispose_pipeline::{Complex32, Layout, capture};

use super::context;

const TOLERANCE: f32 = 1e-4;
/// Packets taken from a file and layout.
const MOST: usize = 32;

fn largest<'a>(values: impl IntoIterator<Item = &'a f32>) -> f32 {
    values.into_iter().fold(1e-12, |m: f32, v| m.max(v.abs()))
}

#[track_caller]
fn assert_close(name: &str, got: &[f32], want: &[f32], scale: f32) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= TOLERANCE * scale, "{name} at {i}: {g} for {w}, scale {scale}");
    }
}

#[track_caller]
fn assert_same(name: &str, got: &Clean<'_>, want: &Clean<'_>) {
    let parts = [
        ("gain", got.gain, want.gain),
        ("amplitude", got.amplitude, want.amplitude),
        ("phase", got.phase, want.phase),
        ("delay", got.delay, want.delay),
        ("doppler", got.doppler, want.doppler),
    ];
    for (part, got, want) in parts {
        assert_close(&format!("{name}: {part}"), got, want, largest(want));
    }
    // One scale for both parts: an antenna's ratio to itself has no imaginary part.
    let scale = largest(want.ratio_re.iter().chain(want.ratio_im));
    assert_close(&format!("{name}: ratio"), got.ratio_re, want.ratio_re, scale);
    assert_close(&format!("{name}: ratio"), got.ratio_im, want.ratio_im, scale);
    for (g, w) in got.motion.iter().zip(want.motion) {
        assert_eq!(g.is_some(), w.is_some(), "{name}: motion");
        assert!((g.unwrap_or(0.0) - w.unwrap_or(0.0)).abs() <= TOLERANCE, "{name}: motion");
    }
}

/// The packets of each layout of a capture, one after the other.
fn packets(path: &PathBuf) -> BTreeMap<Layout, (Option<Vec<i16>>, Vec<Complex32>)> {
    let mut out: BTreeMap<Layout, (Option<Vec<i16>>, Vec<Complex32>)> = BTreeMap::new();
    for frame in capture::open(path).unwrap().flatten() {
        let (index, all) = out.entry(frame.layout).or_default();
        *index = frame.subcarrier_index.as_deref().map(<[i16]>::to_vec);
        if all.len() < MOST * frame.layout.values() {
            all.extend_from_slice(&frame.csi);
        }
    }
    out
}

#[test]
fn every_format_and_layout_agrees() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures");
    let Ok(formats) = fs::read_dir(&folder) else {
        println!("skipped: no {}", folder.display());
        return;
    };
    let Some(context) = context() else { return };
    let mut files: Vec<PathBuf> = formats
        .flat_map(|format| fs::read_dir(format.unwrap().path()).into_iter().flatten())
        .map(|file| file.unwrap().path())
        .filter(|file| !file.to_string_lossy().ends_with(".meta.json"))
        .collect();
    files.sort();
    let mut seen = BTreeSet::new();
    for file in files {
        for (layout, (index, x)) in packets(&file) {
            let steps = x.len() / layout.values().max(1);
            // A layout that another capture of the format has shown says nothing new.
            if steps < 2 || !seen.insert((file.parent().map(PathBuf::from), layout)) {
                continue;
            }
            let name = format!("{} {layout}", file.display());
            println!("{name}: {steps} packets");
            cleaned(&context, &name, layout, index, &x);
        }
    }
    assert!(!seen.is_empty());
}

fn cleaned(context: &GpuContext, name: &str, layout: Layout, index: Option<Vec<i16>>, x: &[Complex32]) {
    let (s, steps) = (usize::from(layout.subcarriers), x.len() / layout.values());
    let mut power = vec![0.0; s];
    x.iter().enumerate().for_each(|(i, h)| power[i % s] += h.norm_sqr());
    let columns = mask::live_columns(&power, 1e-3);
    let counted = (0..layout.subcarriers as i16).map(|k| k - layout.subcarriers as i16 / 2).collect();
    let index = index.filter(|i| i.len() == s && i.is_sorted_by(|a, b| a < b)).unwrap_or(counted);
    let words: Vec<[i16; 2]> = x.iter().map(|h| [h.re as i16, h.im as i16]).collect();
    let whole = words.iter().zip(x).all(|(w, h)| f32::from(w[0]) == h.re && f32::from(w[1]) == h.im);
    let input = if whole { Iq::I16(&words) } else { Iq::F32(x) };

    let mut spec = CleanupSpec::packets(layout, index, columns.clone(), 1);
    spec.steps = steps;
    spec.hampel = Some(Hampel { half: 3, sigmas: 3.0 });
    spec.delay = Some(s.next_power_of_two());
    spec.doppler = (steps >= 16).then_some(Doppler { len: 16, hop: 8 });
    spec.motion = true;
    for sanitise in [Sanitise::PerPair, Sanitise::Shared] {
        spec.sanitise = sanitise;
        let mut cpu = CpuCleanup::new(spec.clone(), 1).unwrap();
        let mut gpu = GpuCleanup::new(context, spec.clone(), GpuOptions::default()).unwrap();
        cpu.run(input).unwrap();
        gpu.run(input).unwrap();
        let want = cpu.read().unwrap();
        assert_same(&format!("{name} {sanitise:?}"), &gpu.read().unwrap(), &want);
        if sanitise == Sanitise::Shared {
            series(context, name, want.amplitude, steps, layout.pairs() * columns.len());
        }
        // Packets are looked at alone in the second run.
        (spec.hampel, spec.delay, spec.doppler, spec.motion) = (None, None, None, false);
    }
    product(context, name, layout, &columns, input, x);
}

/// Detrending, band-pass and components of the amplitudes.
fn series(context: &GpuContext, name: &str, amplitude: &[f32], steps: usize, streams: usize) {
    let sections = butterworth_bandpass(2, 0.1, 0.8, 10.0).unwrap();
    let mut spec = SeriesSpec {
        windows: 1,
        steps,
        streams,
        detrend: Detrend::Line,
        sections: sections.clone(),
        zero_phase: false,
        components: None,
    };
    let mut plan = GpuSeries::new(context, spec.clone()).unwrap();
    plan.run(Block::Host(amplitude)).unwrap();
    let got = plan.read().unwrap();
    let mut want = amplitude.to_vec();
    for stream in 0..streams {
        let mut column: Vec<f32> = amplitude.iter().skip(stream).step_by(streams).copied().collect();
        filter::detrend_linear(&mut column);
        filter::filter(&sections, &mut vec![[0.0; 2]; sections.len()], &mut column);
        want.iter_mut().skip(stream).step_by(streams).zip(column).for_each(|(to, v)| *to = v);
    }
    // f32 cannot hold what is left of an amplitude better than the amplitude itself.
    assert_close(&format!("{name}: series"), got.values, &want, largest(amplitude));

    let count = 3.min(steps).min(streams);
    (spec.detrend, spec.sections) = (Detrend::Keep, Vec::new());
    spec.components = Some(Components { count, iterations: 30 });
    let mut plan = GpuSeries::new(context, spec).unwrap();
    plan.run(Block::Host(amplitude)).unwrap();
    let mut cpu = PcaPlan::new(steps, streams, count);
    assert!(cpu.run(amplitude, 30));
    let (got, want) = (plan.read().unwrap(), cpu.variances());
    assert_close(&format!("{name}: variances"), got.variances, want, largest(want));
}

/// Unpacking, and the product with the conjugate of the first antenna.
fn product(
    context: &GpuContext,
    name: &str,
    layout: Layout,
    columns: &[u16],
    input: Iq<'_>,
    x: &[Complex32],
) {
    let packets = x.len() / layout.values();
    let (s, rx) = (usize::from(layout.subcarriers), usize::from(layout.rx));
    for antenna in [None, Some(0)] {
        let mut plan = GpuProduct::new(context, layout, columns, packets, antenna).unwrap();
        plan.run(input).unwrap();
        let mut want = Vec::new();
        for row in 0..packets * layout.pairs() {
            let of = |row: usize| -> Vec<Complex32> {
                columns.iter().map(|&c| x[row * s + usize::from(c)]).collect()
            };
            let (own, mut out) = (of(row), vec![Complex32::ZERO; columns.len()]);
            match antenna {
                None => out.copy_from_slice(&own),
                Some(_) => ratio::conjugate_product(&own, &of(row / rx * rx), &mut out),
            }
            want.extend(out);
        }
        let flat = |x: &[Complex32]| x.iter().flat_map(|h| [h.re, h.im]).collect::<Vec<f32>>();
        let (got, want) = (flat(plan.read().unwrap()), flat(&want));
        assert_close(&format!("{name}: product"), &got, &want, largest(&want));
    }
}
