//! Cleanup per operation and as a whole, at five layouts and three batch sizes, beside the speed of a plain copy.
//!
//! `cargo bench -p invispose-benches --bench cleanup`; names are `what/layout/batch`. After criterion's own figures a table
//! gives nanoseconds per packet, bytes moved per packet (input read once, outputs written once) and that rate as a
//! share of this machine's copy bandwidth. One thread. `kernels/examples/callgrind.sh` counts instructions.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use invispose_kernels::{
    Complex32, Layout, agc,
    cleanup::{Cleanup, CleanupSpec, Doppler, Hampel, Iq, Sanitise},
    cpu::CpuCleanup,
    delay::DelayPlan,
    doppler::DopplerPlan,
    filter, hampel, motion,
    music::{Array, MusicPlan},
    pca::PcaPlan,
    phase, ratio,
    same_work::SameWork,
};

/// 4×64, 3×30, 3×114, 1×256, 4×996.
const LAYOUTS: [Layout; 5] = [
    Layout::new(1, 4, 64),
    Layout::new(1, 3, 30),
    Layout::new(1, 3, 114),
    Layout::new(1, 1, 256),
    Layout::new(1, 4, 996),
];
const BATCHES: [usize; 3] = [1, 32, 1024];

fn index(n: u16) -> Vec<i16> {
    let half = n as i16 / 2;
    (-half..=half).filter(|&k| k != 0).take(n as usize).collect()
}

fn packets(layout: Layout, count: usize) -> Vec<[i8; 2]> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let index = index(layout.subcarriers);
    let mut out = Vec::with_capacity(count * layout.values());
    for _ in 0..count {
        let slope = 0.6 * noise();
        for _ in 0..layout.pairs() {
            let offset = 6.0 * noise();
            for &k in &index {
                let k = f32::from(k);
                let h = Complex32::from_polar(60.0, slope * k + offset)
                    + Complex32::from_polar(15.0, (slope - 0.04) * k + offset + 1.0)
                    + Complex32::new(noise(), noise());
                out.push([h.re as i8, h.im as i8]);
            }
        }
    }
    out
}

fn spec(layout: Layout, windows: usize) -> CleanupSpec {
    CleanupSpec::packets(layout, index(layout.subcarriers), (0..layout.subcarriers).collect(), windows)
}

/// Per packet: amplitude, sanitised phase and CSI ratio from packed bytes; and with everything over time for whole
/// windows.
fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("cleanup");
    for layout in LAYOUTS {
        for batch in BATCHES {
            let x = packets(layout, batch);
            group.throughput(Throughput::Elements(batch as u64));
            let mut plan = CpuCleanup::new(spec(layout, batch), 1).unwrap();
            group.bench_function(BenchmarkId::new(format!("packets/{layout}"), batch), |b| {
                b.iter(|| plan.run(black_box(Iq::I8(&x))).unwrap());
            });
            if batch >= 32 {
                let mut all = spec(layout, batch / 32);
                all.steps = 32;
                all.hampel = Some(Hampel { half: 3, sigmas: 3.0 });
                all.delay = Some((layout.subcarriers as usize + 1).next_power_of_two());
                all.doppler = Some(Doppler { len: 32, hop: 32 });
                all.motion = true;
                let mut plan = CpuCleanup::new(all, 1).unwrap();
                group.bench_function(BenchmarkId::new(format!("windows_of_32/{layout}"), batch), |b| {
                    b.iter(|| plan.run(black_box(Iq::I8(&x))).unwrap());
                });
            }
        }
    }
    group.finish();
}

/// The plain functions and plans: those of packets in batches, those over time in a block of 32 packets. Throughput is in
/// bytes, inputs read and outputs written once.
fn operations(c: &mut Criterion) {
    let mut group = c.benchmark_group("operation");
    for layout in LAYOUTS {
        let (pairs, n, values) = (layout.pairs(), layout.subcarriers as usize, layout.values());
        let index: Vec<f32> = index(layout.subcarriers).iter().map(|&k| f32::from(k)).collect();
        for batch in BATCHES {
            let x: Vec<Complex32> = packets(layout, batch)
                .iter()
                .map(|v| Complex32::new(f32::from(v[0]), f32::from(v[1])))
                .collect();
            let mut out = vec![0.0f32; x.len()];
            let mut quotient = vec![Complex32::ZERO; x.len()];
            let id = |name: &str| BenchmarkId::new(format!("{name}/{layout}"), batch);
            let bytes = |per_value: usize| Throughput::Bytes((x.len() * per_value) as u64);

            let mut scaled = x.clone();
            group.throughput(bytes(16)).bench_function(id("agc"), |b| {
                b.iter(|| {
                    for h in scaled.chunks_exact_mut(values) {
                        black_box(agc::normalise(h, n, &[]));
                    }
                });
            });
            group.throughput(bytes(12)).bench_function(id("phase_per_pair"), |b| {
                b.iter(|| {
                    for (h, to) in black_box(&x).chunks_exact(n).zip(out.chunks_exact_mut(n)) {
                        phase::sanitise_linear(h, &index, to);
                    }
                });
            });
            group.bench_function(id("phase_shared"), |b| {
                b.iter(|| {
                    for (h, to) in black_box(&x).chunks_exact(values).zip(out.chunks_exact_mut(values)) {
                        phase::sanitise_spotfi(h, &index, to);
                    }
                });
            });
            // Each antenna against the last of its packet.
            let over_last =
                |to: &mut [Complex32], work: &dyn Fn(&[Complex32], &[Complex32], &mut [Complex32])| {
                    for (h, to) in black_box(&x).chunks_exact(values).zip(to.chunks_exact_mut(values)) {
                        let last = &h[(pairs - 1) * n..];
                        h.chunks_exact(n).zip(to.chunks_exact_mut(n)).for_each(|(h, to)| work(h, last, to));
                    }
                };
            group.throughput(bytes(16)).bench_function(id("ratio"), |b| {
                b.iter(|| over_last(&mut quotient, &|h, r, to| ratio::csi_ratio(h, r, 1.0, to)));
            });
            group.bench_function(id("conjugate_product"), |b| {
                b.iter(|| over_last(&mut quotient, &|h, r, to| ratio::conjugate_product(h, r, to)));
            });
            let mut delay = DelayPlan::contiguous(n);
            group.throughput(bytes(12)).bench_function(id("delay"), |b| {
                b.iter(|| {
                    for (h, to) in black_box(&x).chunks_exact(n).zip(out.chunks_exact_mut(n)) {
                        delay.run(h, to);
                    }
                });
            });
        }

        let x: Vec<Complex32> =
            packets(layout, 32).iter().map(|v| Complex32::new(f32::from(v[0]), f32::from(v[1]))).collect();
        let id = |name: &str| BenchmarkId::new(name, layout);
        let bytes = |per_value: usize| Throughput::Bytes((x.len() * per_value) as u64);
        let mut doppler = DopplerPlan::new(32, 32);
        let mut spectrum = vec![0.0; 32];
        group.throughput(bytes(12)).bench_function(id("doppler_32_all_streams"), |b| {
            b.iter(|| {
                for s in 0..values {
                    doppler.run(black_box(&x), values, s, &mut spectrum);
                }
            });
        });
        let block: Vec<f32> = x.iter().map(|h| h.norm()).collect();
        let (mut column, mut filtered, mut scratch) = (vec![0.0; 32], vec![0.0; 32], vec![0.0; 7]);
        let mut noisy = block.clone();
        group.throughput(bytes(8)).bench_function(id("hampel_32"), |b| {
            b.iter(|| {
                noisy.copy_from_slice(&block);
                hampel::hampel_block(
                    black_box(&mut noisy),
                    values,
                    3,
                    3.0,
                    &mut column,
                    &mut filtered,
                    &mut scratch,
                )
            });
        });
        let received = [true; 32];
        group.throughput(bytes(4)).bench_function(id("motion_32"), |b| {
            b.iter(|| motion::autocorrelation(black_box(&block), values, &received));
        });
        let mut pca = PcaPlan::new(32, values, 3);
        group.bench_function(id("pca_32_first_3"), |b| b.iter(|| pca.run(black_box(&block), 20)));
    }
    group.throughput(Throughput::Bytes(1024 * 8));
    let mut line = vec![1.0; 1024];
    group.bench_function("detrend_line_1024", |b| {
        b.iter(|| filter::detrend_linear(black_box(&mut line)));
    });
    let sections = filter::butterworth_bandpass(4, 0.1, 0.6, 20.0).unwrap();
    let mut state = vec![[0.0; 2]; sections.len()];
    group.bench_function("band_pass_1024", |b| {
        b.iter(|| filter::filter(&sections, &mut state, black_box(&mut line)));
    });
    let array = Array { antennas: 3, subcarriers: 30, spacing_wavelengths: 0.5, spacing_hz: 1.25e6 };
    let angles: Vec<f64> = (-90..=90).step_by(3).map(|d| f64::from(d).to_radians()).collect();
    let delays: Vec<f64> = (0..50).map(|d| f64::from(d) * 4e-9).collect();
    let mut music = MusicPlan::new(array, 2, 15, 3, &angles, &delays);
    let x: Vec<Complex32> = packets(Layout::new(1, 3, 30), 1)
        .iter()
        .map(|v| Complex32::new(f32::from(v[0]), f32::from(v[1])))
        .collect();
    let mut spectrum = vec![0.0; angles.len() * delays.len()];
    group.throughput(Throughput::Elements(1));
    group.bench_function("music_3x30_61x50", |b| b.iter(|| music.run(black_box(&x), &mut spectrum)));
    group.finish();
}

fn same_work(c: &mut Criterion) {
    let all: Vec<[[i8; 2]; 256]> =
        packets(Layout::new(1, 4, 64), 64).chunks_exact(256).map(|p| p.try_into().unwrap()).collect();
    let mut plan = SameWork::default();
    let mut next = all.iter().cycle();
    c.bench_function("4x64_same_work", |b| {
        b.iter(|| next.next().map(|packet| plan.run(black_box(packet)).motion));
    });
}

/// Bytes a second that a copy moves (read and written), buffers of `len` bytes.
fn copy_bandwidth(len: usize) -> f64 {
    let (from, mut to) = (vec![1u8; len / 2], vec![0u8; len / 2]);
    let rounds = ((1usize << 30) / len).max(1);
    (0..5)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..rounds {
                to.copy_from_slice(black_box(&from));
                black_box(&mut to);
            }
            (rounds * len) as f64 / start.elapsed().as_secs_f64()
        })
        .fold(0.0, f64::max)
}

fn table() {
    println!("\nlayout batch | ns/packet | bytes/packet | GB/s | copy of as many bytes GB/s | share");
    for layout in LAYOUTS {
        for batch in BATCHES {
            let x = packets(layout, batch);
            let mut plan = CpuCleanup::new(spec(layout, batch), 1).unwrap();
            let outputs = if layout.rx > 1 { 4 } else { 2 };
            let bytes = layout.values() * (2 + 4 * outputs);
            let mut best = Duration::MAX;
            let rounds = (20_000 / batch).max(5);
            for _ in 0..10 {
                let start = Instant::now();
                for _ in 0..rounds {
                    plan.run(black_box(Iq::I8(&x))).unwrap();
                }
                best = best.min(start.elapsed());
            }
            let each = best.as_secs_f64() / (rounds * batch) as f64;
            let (rate, copy) = (bytes as f64 / each, copy_bandwidth(bytes * batch));
            println!(
                "{layout} {batch} | {:.0} | {bytes} | {:.2} | {:.2} | {:.0} %",
                each * 1e9,
                rate / 1e9,
                copy / 1e9,
                100.0 * rate / copy
            );
        }
    }
    let mut shared = spec(LAYOUTS[0], 1024);
    shared.sanitise = Sanitise::Shared;
    let mut plan = CpuCleanup::new(shared, 1).unwrap();
    let x = packets(LAYOUTS[0], 1024);
    let start = Instant::now();
    for _ in 0..50 {
        plan.run(black_box(Iq::I8(&x))).unwrap();
    }
    println!("1x4x64 1024, shared slope: {:.0} ns/packet", start.elapsed().as_secs_f64() * 1e9 / 51_200.0);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    targets = same_work, whole, operations
}

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    if !std::env::args().any(|a| a == "--test" || a == "--list") {
        table();
    }
}
