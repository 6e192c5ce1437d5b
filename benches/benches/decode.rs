//! Decode throughput of each format beside reading the same bytes once.
//!
//! The captures are those under `../shared/captures`; a missing one is skipped and said so.

#![allow(clippy::expect_used, missing_docs)]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use invispose_pipeline::capture;

fn captures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures");
    let mut found = Vec::new();
    for file in [
        "intel5300/sample_0x5_64_3000.dat",
        "atheros/ath_csi_1.dat",
        "nexmon/example_4339.pcap",
        "nexmon/example_4366c0.pcap",
        "esp32/esp32_csi_tool_mixed_lengths.csv",
        "picoscenes/ax200_example.csi",
        "feitcsi/HESU160_5500.csi",
        "esp32-udp/two_s3_nodes.csi.jsonl",
    ] {
        match std::fs::read(folder.join(file)) {
            Ok(bytes) => found.push((file.to_owned(), bytes)),
            Err(_) => println!("skipped: no {}", folder.join(file).display()),
        }
    }
    found
}

fn decode(c: &mut Criterion) {
    for (name, bytes) in captures() {
        let frames = capture::open_bytes(bytes.clone(), &name).expect("a capture").flatten().count();
        let mut group = c.benchmark_group(format!("decode/{name}"));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("read through", |b| {
            b.iter(|| black_box(&bytes).iter().fold(0u64, |sum, &byte| sum.wrapping_add(byte.into())));
        });
        group.bench_function(format!("decode {frames} frames"), |b| {
            let mut reader = capture::open_bytes(bytes.clone(), &name).expect("a capture");
            b.iter(|| {
                reader.rewind();
                assert_eq!(reader.by_ref().flatten().map(black_box).count(), frames);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
