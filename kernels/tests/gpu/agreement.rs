//! The same batch on both: every output within 1e-4 of the largest value.

use invispose_kernels::{
    Complex32, Layout,
    cleanup::{Clean, Cleanup, CleanupSpec, Doppler, Hampel, Iq, Ratio, Sanitise, Scale},
    cpu::CpuCleanup,
    gpu::{GpuCleanup, GpuContext, GpuError, GpuOptions, GpuProduct, Output},
    ratio,
};

use super::{
    context,
    data::{self, Samples},
};

const TOLERANCE: f32 = 1e-4;

#[track_caller]
pub fn assert_close(name: &str, got: &[f32], want: &[f32]) {
    assert_within(name, got, want, want.iter().fold(1e-12f32, |m, v| m.max(v.abs())));
}

#[track_caller]
fn assert_within(name: &str, got: &[f32], want: &[f32], scale: f32) {
    assert_eq!(got.len(), want.len(), "{name}");
    let (at, error) = got
        .iter()
        .zip(want)
        .map(|(g, w)| (g - w).abs() / scale)
        .enumerate()
        .fold((0, 0.0f32), |most, now| if now.1 <= most.1 { most } else { now });
    println!("{name}: {error:e}");
    assert!(error <= TOLERANCE, "{name}: {error:e} at {at}: {} for {}", got[at], want[at]);
    assert!(got.iter().all(|v| v.is_finite()), "{name}");
}

#[track_caller]
fn assert_same(name: &str, got: &Clean<'_>, want: &Clean<'_>) {
    assert_eq!(got.windows, want.windows);
    assert_close(&format!("{name} gain"), got.gain, want.gain);
    assert_close(&format!("{name} amplitude"), got.amplitude, want.amplitude);
    assert_close(&format!("{name} phase"), got.phase, want.phase);
    // One scale for both parts: an antenna's ratio to itself has no imaginary part.
    let ratio = want.ratio_re.iter().chain(want.ratio_im).fold(1e-12f32, |m, v| m.max(v.abs()));
    assert_within(&format!("{name} ratio re"), got.ratio_re, want.ratio_re, ratio);
    assert_within(&format!("{name} ratio im"), got.ratio_im, want.ratio_im, ratio);
    assert_close(&format!("{name} delay"), got.delay, want.delay);
    assert_close(&format!("{name} doppler"), got.doppler, want.doppler);
    assert_eq!(got.motion.len(), want.motion.len());
    for (g, w) in got.motion.iter().zip(want.motion) {
        assert_eq!(g.is_some(), w.is_some(), "{name} motion");
        let difference = g.unwrap_or(0.0) - w.unwrap_or(0.0);
        assert!(difference.abs() <= TOLERANCE, "{name} motion: {difference:e}");
    }
}

#[track_caller]
pub fn compare(context: &GpuContext, name: &str, spec: &CleanupSpec, input: Iq<'_>) {
    let mut cpu = CpuCleanup::new(spec.clone(), 1).unwrap();
    cpu.run(input).unwrap();
    let mut gpu = GpuCleanup::new(context, spec.clone(), GpuOptions::default()).unwrap();
    gpu.run(input).unwrap();
    let name = format!("{name} {} {:?} {:?}", spec.layout, spec.sanitise, spec.scale);
    assert_same(&name, &gpu.read().unwrap(), &cpu.read().unwrap());
}

#[test]
fn packets_of_every_layout() {
    let Some(context) = context() else { return };
    for (seed, (layout, pack)) in (0..).zip(data::layouts()) {
        let mut spec = data::spec(layout, 1, 6);
        let x = pack(data::room(seed, 6, layout.pairs(), &spec.index));
        compare(&context, "packets", &spec, x.iq());
        spec.sanitise = Sanitise::Shared;
        spec.scale = Scale::Keep;
        spec.ratio = Some(Ratio { antenna: layout.rx - 1, floor: 0.5 });
        compare(&context, "packets", &spec, x.iq());
        let x = pack(data::noise(seed, 6 * layout.values()));
        compare(&context, "noise", &spec, x.iq());
        spec.sanitise = Sanitise::PerPair;
        compare(&context, "noise", &spec, x.iq());
    }
}

#[test]
fn windows_of_every_layout() {
    let Some(context) = context() else { return };
    for (seed, (layout, pack)) in (10..).zip(data::layouts()) {
        for ratio in [true, false] {
            let mut spec = data::spec(layout, 24, 2);
            spec.ratio = ratio.then_some(Ratio { antenna: 0, floor: 1e-2 });
            spec.hampel = Some(Hampel { half: 3, sigmas: 3.0 });
            spec.delay = Some((layout.subcarriers as usize).next_power_of_two());
            spec.doppler = Some(Doppler { len: 16, hop: 4 });
            spec.motion = true;
            let x = pack(data::room(seed, 48, layout.pairs(), &spec.index));
            compare(&context, "windows", &spec, x.iq());
        }
    }
}

#[test]
fn every_format_gives_the_same() {
    let Some(context) = context() else { return };
    let layout = Layout::new(1, 3, 57);
    let spec = data::spec(layout, 3, 3);
    let packed = data::bytes(&data::room(3, 9, 3, &spec.index));
    let swapped = packed.iter().map(|v| [v[1], v[0]]).collect();
    let words = packed.iter().map(|v| [i16::from(v[0]), i16::from(v[1])]).collect();
    let floats = packed.iter().map(|v| Complex32::new(f32::from(v[0]), f32::from(v[1]))).collect();
    let mut cpu = CpuCleanup::new(spec.clone(), 1).unwrap();
    cpu.run(Iq::I8(&packed)).unwrap();
    let want = cpu.read().unwrap();
    // One plan for all: the last and widest format makes it grow.
    let options = GpuOptions { sample_bytes: 2, ..GpuOptions::default() };
    let mut gpu = GpuCleanup::new(&context, spec, options).unwrap();
    let forms = [
        Samples::I8(packed.clone()),
        Samples::I8ImaginaryFirst(swapped),
        Samples::I16(words),
        Samples::F32(floats),
        Samples::I8(packed.clone()),
    ];
    for x in &forms {
        gpu.run(x.iq()).unwrap();
        assert_same("format", &gpu.read().unwrap(), &want);
    }
}

#[test]
fn transforms_of_every_size() {
    let Some(context) = context() else { return };
    for (seed, n) in (0..).zip([1, 2, 3, 30, 52, 56, 57, 64, 114, 128, 234, 242, 256, 484, 996]) {
        let layout = Layout::new(1, 2, 56);
        let mut spec = data::spec(layout, 2, 2);
        spec.delay = Some(n);
        let x = data::room(seed, 4, 2, &spec.index);
        compare(&context, &format!("delay {n}"), &spec, Iq::F32(&x));

        let mut spec = data::spec(Layout::new(1, 2, 5), n + 3, 1);
        spec.doppler = Some(Doppler { len: n, hop: 2 });
        let x = data::room(seed, n + 3, 2, &spec.index);
        compare(&context, &format!("doppler {n}"), &spec, Iq::F32(&x));
    }
}

#[test]
fn missing_and_broken_packets() {
    let Some(context) = context() else { return };
    let layout = Layout::new(1, 2, 30);
    let mut spec = data::spec(layout, 24, 3);
    spec.hampel = Some(Hampel { half: 2, sigmas: 2.0 });
    spec.motion = true;
    spec.delay = Some(30);
    spec.doppler = Some(Doppler { len: 20, hop: 4 });
    let mut x = data::room(3, 72, 2, &spec.index);
    let mut lose = |t: usize, value: f32| x[t * 60..(t + 1) * 60].fill(Complex32::new(value, 0.0));
    for t in [0, 5, 6, 23].into_iter().chain(48..72) {
        lose(t, 0.0);
    }
    lose(30, f32::NAN);
    lose(31, f32::INFINITY);
    lose(40, 1e30);
    x[33 * 60 + 7].im = f32::NEG_INFINITY;
    for ratio in [None, Some(Ratio { antenna: 1, floor: 1e-2 })] {
        spec.ratio = ratio;
        compare(&context, "gaps", &spec, Iq::F32(&x));
    }
}

#[test]
fn hampel_of_every_width() {
    let Some(context) = context() else { return };
    for half in [1, 2, 5, 16, 32] {
        let mut spec = data::spec(Layout::new(1, 1, 30), 50, 1);
        spec.hampel = Some(Hampel { half, sigmas: 1.0 });
        let x = data::noise(half as u64, 50 * 30);
        compare(&context, &format!("hampel {half}"), &spec, Iq::F32(&x));
    }
}

#[test]
fn batches_follow_each_other_and_stay_on_the_device() {
    let Some(context) = context() else { return };
    let layout = Layout::new(1, 3, 56);
    let spec = data::spec(layout, 4, 5);
    let options = GpuOptions { readback: false, slots: 2, sample_bytes: 8, timed_runs: 16 };
    let mut gpu = GpuCleanup::new(&context, spec.clone(), options).unwrap();
    let mut cpu = CpuCleanup::new(spec.clone(), 1).unwrap();
    for batch in 0..9usize {
        let windows = batch % 5 + 1;
        let x = data::room(batch as u64, 4 * windows, 3, &spec.index);
        gpu.run(Iq::F32(&x)).unwrap();
        assert_eq!(gpu.windows(), windows);
        if batch % 4 == 0 {
            cpu.run(Iq::F32(&x)).unwrap();
            assert_same("batch", &gpu.read().unwrap(), &cpu.read().unwrap());
            assert_same("read again", &gpu.read().unwrap(), &cpu.read().unwrap());
        }
    }
    gpu.wait().unwrap();
    let bytes = (spec.windows * spec.sizes().values * 4) as u64;
    assert_eq!(gpu.output(Output::Amplitude).size(), bytes);
    if let Some(busy) = gpu.busy().unwrap() {
        assert_eq!(busy.runs, 9);
        assert!(busy.busy_s <= busy.span_s);
    }
}

#[test]
fn unpacked_samples_and_conjugate_products() {
    let Some(context) = context() else { return };
    for (seed, (layout, pack)) in (20..).zip(data::layouts()) {
        let samples = pack(data::noise(seed, 5 * layout.values()));
        let columns: Vec<u16> = (0..layout.subcarriers).filter(|c| c % 5 != 1).collect();
        let value = |i: usize| -> Complex32 {
            let of = |re: i16, im: i16| Complex32::new(re.into(), im.into());
            match &samples {
                Samples::I8(x) => of(x[i][0].into(), x[i][1].into()),
                Samples::I8ImaginaryFirst(x) => of(x[i][1].into(), x[i][0].into()),
                Samples::I16(x) => of(x[i][0], x[i][1]),
                Samples::F32(x) => x[i],
            }
        };
        let row = |packet: usize, pair: usize| -> Vec<Complex32> {
            let start = packet * layout.values() + pair * layout.subcarriers as usize;
            columns.iter().map(|&c| value(start + c as usize)).collect()
        };
        for antenna in [None, Some(layout.rx - 1)] {
            let mut want = Vec::new();
            for (packet, pair) in (0..5).flat_map(|t| (0..layout.pairs()).map(move |p| (t, p))) {
                let mut out = row(packet, pair);
                if let Some(antenna) = antenna {
                    let rx = layout.rx as usize;
                    let reference = row(packet, pair / rx * rx + antenna as usize);
                    ratio::conjugate_product(&row(packet, pair), &reference, &mut out);
                }
                want.extend(out);
            }
            let mut plan = GpuProduct::new(&context, layout, &columns, 8, antenna).unwrap();
            plan.run(samples.iq()).unwrap();
            let got = plan.read().unwrap();
            assert_close(
                &format!("{layout} {antenna:?}"),
                bytemuck::cast_slice(got),
                bytemuck::cast_slice(&want),
            );
        }
    }
    let layout = Layout::new(1, 2, 4);
    for (columns, antenna) in [(vec![4u16], None), (vec![], None), (vec![0], Some(2))] {
        assert!(matches!(
            GpuProduct::new(&context, layout, &columns, 1, antenna),
            Err(GpuError::Limit { .. })
        ));
    }
}
