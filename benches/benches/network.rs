//! The pose network on the CPU: windows of three links in batches of 1, 8 and 32, and what multilateration and memory cost with
//! five links.
//!
//! `cargo bench -p invispose-benches --bench network`; names are `network/batch` and `layers/which`, times are of a whole batch, from the input's
//! numbers to people. `benches/network/onnx_runtime.py` runs it beside the same weights in ONNX Runtime, and compares where both see
//! the likeliest person's nose. `RAYON_NUM_THREADS` sets the number of threads.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use invispose_models::{
    input::{BLOCKS, Earlier, FEATURES, FIXED, Input, LinkInput},
    network::NetworkConfig,
    predictor::{DeviceChoice, Predictor, Weights},
    weights::{self, ModelCard},
};

/// Numbers that the script can make as well.
fn window(number: usize, links: usize) -> Input {
    let value = |i: usize| ((i * 7919 + number * 104_729) % 1000) as f32 / 500.0 - 1.0;
    let link = |l: usize| LinkInput {
        features: (0..BLOCKS * FEATURES).map(|i| value(i + 31 * l)).collect(),
        fixed: (0..FIXED).map(|i| value(3 * i + 17 * l)).collect(),
    };
    let earlier = Earlier::default();
    Input { room_m: [6.0, 5.0, 2.7], links: (0..links).map(link).collect(), coverage: 1.0, earlier }
}

fn windows(count: usize, links: usize) -> Vec<Input> {
    (0..count).map(|number| window(number, links)).collect()
}

fn network(c: &mut Criterion) {
    let predictor = Predictor::load(&Weights::Shipped, DeviceChoice::Cpu).unwrap();
    let seen = predictor.predict(&windows(32, 3)).unwrap();
    for (number, window) in seen.iter().enumerate() {
        println!("nose of window {number}: {:.5?}", window.people[0].keypoints[0]);
    }
    let mut group = c.benchmark_group("network");
    for batch in [1, 8, 32] {
        let inputs = windows(batch, 3);
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_with_input(BenchmarkId::from_parameter(batch), &inputs, |b, inputs| {
            b.iter(|| predictor.predict(black_box(inputs)).unwrap());
        });
    }
    group.finish();
}

/// Networks that are alike but for that, with weights that nothing has taught.
fn layers(c: &mut Criterion) {
    let card = Predictor::load(&Weights::ShippedWide, DeviceChoice::Cpu).unwrap().card().clone();
    let neither = NetworkConfig { multilateration: false, memory: 0, ..card.network };
    let multilateration = NetworkConfig { multilateration: true, ..neither };
    let both = NetworkConfig { memory: 64, ..multilateration };
    let inputs = windows(8, 5);
    let mut group = c.benchmark_group("layers");
    group.throughput(Throughput::Elements(inputs.len() as u64));
    for (name, config) in [("neither", neither), ("multilateration", multilateration), ("and-memory", both)] {
        let card = ModelCard { network: config, ..card.clone() };
        let bytes = weights::to_bytes(&config.init(&Default::default()), &card).unwrap();
        let predictor = Predictor::load(&Weights::Bytes(bytes), DeviceChoice::Cpu).unwrap();
        group.bench_function(name, |b| b.iter(|| predictor.predict(black_box(&inputs)).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, network, layers);
criterion_main!(benches);
