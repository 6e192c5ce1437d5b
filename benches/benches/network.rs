//! The pose network on the CPU: windows of three links in batches of 1, 8 and 32.
//!
//! `cargo bench -p invispose-benches --bench network`; names are `network/batch`, times are of a whole batch, from the input's
//! numbers to people. `benches/network/onnx_runtime.py` runs it beside the same weights in ONNX Runtime, and compares where both see
//! the likeliest person's nose. `RAYON_NUM_THREADS` sets the number of threads.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use invispose_models::{
    input::{BLOCKS, FEATURES, FIXED, Input, LinkInput},
    predictor::{DeviceChoice, Predictor, Weights},
};

const LINKS: usize = 3;

/// Numbers that the script can make as well.
fn window(number: usize) -> Input {
    let value = |i: usize| ((i * 7919 + number * 104_729) % 1000) as f32 / 500.0 - 1.0;
    let link = |l: usize| LinkInput {
        features: (0..BLOCKS * FEATURES).map(|i| value(i + 31 * l)).collect(),
        fixed: (0..FIXED).map(|i| value(3 * i + 17 * l)).collect(),
    };
    Input { room_m: [6.0, 5.0, 2.7], links: (0..LINKS).map(link).collect(), coverage: 1.0 }
}

fn network(c: &mut Criterion) {
    let predictor = Predictor::load(&Weights::Shipped, DeviceChoice::Cpu).unwrap();
    let seen = predictor.predict(&(0..32).map(window).collect::<Vec<_>>()).unwrap();
    for (number, people) in seen.iter().enumerate() {
        println!("nose of window {number}: {:.5?}", people[0].keypoints[0]);
    }
    let mut group = c.benchmark_group("network");
    for batch in [1, 8, 32] {
        let inputs: Vec<Input> = (0..batch).map(window).collect();
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_with_input(BenchmarkId::from_parameter(batch), &inputs, |b, inputs| {
            b.iter(|| predictor.predict(black_box(inputs)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, network);
criterion_main!(benches);
