//! One operation, many times, for `callgrind.sh` to count: `instructions OPERATION REPETITIONS [LEVEL]`.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use invispose_kernels::{
    Layout,
    cleanup::{Cleanup, CleanupSpec, Iq},
    cpu::{CpuCleanup, Level},
    same_work::SameWork,
};

fn main() {
    let mut args = std::env::args().skip(1);
    let (what, times) =
        (args.next().unwrap_or_default(), args.next().and_then(|n| n.parse().ok()).unwrap_or(1u32));
    // Valgrind does not know AVX-512, so AVX2 unless asked for.
    let level = match args.next().as_deref() {
        Some("baseline") => Level::Baseline,
        Some("avx512") => Level::Avx512,
        _ => Level::Avx2,
    };
    if what == "same_work" {
        let mut plan = SameWork::new(level);
        let packet = std::array::from_fn(|i| [(i * 37 % 101) as i8 - 50, (i * 59 % 89) as i8 - 44]);
        for _ in 0..times {
            black_box(plan.run(black_box(&packet)));
        }
        return;
    }
    let layout = match what.as_str() {
        "4x64" => Layout::new(1, 4, 64),
        "3x30" => Layout::new(1, 3, 30),
        "3x114" => Layout::new(1, 3, 114),
        "1x256" => Layout::new(1, 1, 256),
        "4x996" => Layout::new(1, 4, 996),
        _ => {
            eprintln!(
                "instructions same_work|4x64|3x30|3x114|1x256|4x996 REPETITIONS [baseline|avx2|avx512]"
            );
            std::process::exit(2);
        }
    };
    let n = layout.subcarriers;
    let index = (0..n as i16).map(|k| k - n as i16 / 2).collect();
    let mut plan =
        CpuCleanup::with_level(CleanupSpec::packets(layout, index, (0..n).collect(), 1), 1, level).unwrap();
    let x: Vec<[i8; 2]> =
        (0..layout.values()).map(|i| [(i * 37 % 101) as i8 - 50, (i * 59 % 89) as i8 - 44]).collect();
    for _ in 0..times {
        plan.run(black_box(Iq::I8(&x))).unwrap();
        black_box(plan.read().unwrap());
    }
}
