//! A running plan allocates nothing, and memory stays flat. Counted are the threads that take part, since the test
//! harness allocates on its own thread whenever it likes.
#![allow(clippy::unwrap_used, clippy::expect_used, unsafe_code, missing_docs)]

use std::{
    alloc::{GlobalAlloc, Layout as Memory, System},
    cell::Cell,
    sync::{
        Barrier,
        atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed},
    },
};

use invispose_kernels::{
    Complex32, Layout, agc,
    cleanup::{Cleanup, CleanupSpec, Doppler, Hampel, Iq, Sanitise},
    cpu::CpuCleanup,
    delay::DelayPlan,
    doppler::DopplerPlan,
    filter,
    grid::{self, Grid},
    hampel, motion,
    music::{Array, MusicPlan},
    pca::PcaPlan,
    phase, ratio,
    same_work::SameWork,
};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// Counts this thread's allocations from now on.
fn count_this_thread() {
    COUNTED.set(true);
}

// SAFETY: hands every call on to the system's allocator unchanged; reading a const thread-local allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        if COUNTED.get() {
            CALLS.fetch_add(1, Relaxed);
            BYTES.fetch_add(memory.size() as isize, Relaxed);
        }
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, at: *mut u8, memory: Memory) {
        if COUNTED.get() {
            BYTES.fetch_sub(memory.size() as isize, Relaxed);
        }
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, memory) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[track_caller]
fn none<R>(name: &str, run: impl FnOnce() -> R) -> R {
    let before = CALLS.load(Relaxed);
    let result = run();
    let calls = CALLS.load(Relaxed) - before;
    assert_eq!(calls, 0, "{name}: {calls} allocations");
    result
}

/// Packets cleaned by the loop: 10 million where the environment asks for the long run, as a release build can.
fn packets() -> usize {
    std::env::var("LONG_PACKETS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000)
}

#[test]
fn nothing_is_allocated_once_a_plan_is_made() {
    count_this_thread();
    // A fault of the counter itself must not pass for silence.
    let before = CALLS.load(Relaxed);
    drop(std::hint::black_box(Box::new(1_u8)));
    assert_eq!(CALLS.load(Relaxed), before + 1);

    let layout = Layout::new(1, 3, 56);
    let index: Vec<i16> = (-28..=28).filter(|&k| k != 0).collect();
    let x: Vec<[i8; 2]> =
        (0..64 * layout.values()).map(|i| [(i * 37 % 101) as i8 - 50, (i * 59 % 89) as i8 - 44]).collect();
    let wide: Vec<Complex32> = x.iter().map(|v| Complex32::new(f32::from(v[0]), f32::from(v[1]))).collect();

    let mut spec = CleanupSpec::packets(layout, index.clone(), (0..56).collect(), 2);
    spec.steps = 32;
    spec.hampel = Some(Hampel { half: 3, sigmas: 3.0 });
    spec.delay = Some(57);
    spec.doppler = Some(Doppler { len: 30, hop: 2 });
    spec.motion = true;
    let mut plan = CpuCleanup::new(spec.clone(), 1).unwrap();
    spec.sanitise = Sanitise::Shared;
    spec.ratio = None;
    let mut other = CpuCleanup::new(spec.clone(), 1).unwrap();
    none("windows", || {
        plan.run(Iq::I8(&x)).unwrap();
        other.run(Iq::F32(&wide)).unwrap();
        plan.read().unwrap().amplitude[0] + other.read().unwrap().phase[0]
    });
    let mut gap = wide.clone();
    gap[..layout.values()].fill(Complex32::ZERO);
    none("windows with gaps", || plan.run(Iq::F32(&gap)).unwrap());
    none("a refused input", || assert!(plan.run(Iq::I8(&x[1..])).is_err()));

    // Within rayon's pool; entering the pool from outside allocates in rayon itself.
    let mut threads = CpuCleanup::new(spec, 2).unwrap();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .start_handler(|_| count_this_thread())
        .build()
        .unwrap();
    let (first, second) = (Barrier::new(2), Barrier::new(2));
    pool.install(|| {
        // Each worker steals once before the count: a worker's first theft allocates in crossbeam's epochs.
        rayon::join(
            || first.wait(),
            || {
                first.wait();
                rayon::join(|| second.wait(), || second.wait());
            },
        );
        threads.run(Iq::I8(&x)).unwrap();
        none("two threads", || threads.run(Iq::I8(&x)).unwrap());
    });

    let mut packet = wide[..layout.values()].to_vec();
    let k: Vec<f32> = index.iter().map(|&k| f32::from(k)).collect();
    let mut out = vec![0.0; layout.values()];
    let mut quotient = vec![Complex32::ZERO; 56];
    let mut delay = DelayPlan::indexed(114, &index);
    let mut profile = vec![0.0; 114];
    let mut doppler = DopplerPlan::new(30, 5);
    let mut spectrum = vec![0.0; 30 * doppler.frames(64)];
    let mut pca = PcaPlan::new(64, 56, 3);
    let mut block: Vec<f32> = wide.iter().take(64 * 56).map(|h| h.norm()).collect();
    let array = Array { antennas: 3, subcarriers: 56, spacing_wavelengths: 0.5, spacing_hz: 312_500.0 };
    let mut music = MusicPlan::new(array, 2, 8, 2, &[0.0, 0.5], &[0.0, 1e-8]);
    let mut peaks = [0.0; 4];
    let sections = filter::butterworth_bandpass(2, 1.0, 20.0, 100.0).unwrap();
    let mut state = vec![[0.0; 2]; sections.len()];
    let mut source = [0; 64];
    let times: Vec<i64> = (0..64).map(|t| t * 10_100_000).collect();
    let (mut column, mut filtered, mut scratch) = ([0.0; 64], [0.0; 64], [0.0; 7]);
    let mut same = SameWork::default();
    let fixed: [[i8; 2]; 256] = std::array::from_fn(|i| x[i]);
    none("operations", || {
        agc::normalise(&mut packet, 56, &[]);
        phase::sanitise_linear(&packet[..56], &k, &mut out[..56]);
        phase::sanitise_spotfi(&packet, &k, &mut out);
        ratio::csi_ratio(&packet[..56], &packet[56..112], 0.1, &mut quotient);
        delay.run(&packet[..56], &mut profile);
        doppler.run(&wide[..64 * 56], 56, 3, &mut spectrum);
        assert!(pca.run(&block, 10));
        assert!(music.run(&packet, &mut peaks));
        filter::filter(&sections, &mut state, &mut block);
        filter::detrend_linear(&mut block);
        motion::autocorrelation(&block, 56, &[true; 64]);
        motion::fluctuation(&block, 56, &[true; 64]);
        hampel::hampel_block(&mut block, 56, 3, 3.0, &mut column, &mut filtered, &mut scratch);
        grid::nearest(&Grid { end_ns: 640_000_000, rate_hz: 100.0, steps: 64 }, &times, &mut source);
        same.run(&fixed).motion
    });

    // Asking the environment allocates.
    let (bytes, packets) = (BYTES.load(Relaxed), packets());
    let started = std::time::Instant::now();
    none("the long loop", || {
        for _ in 0..packets / 64 {
            plan.run(Iq::I8(&x)).unwrap();
        }
    });
    assert_eq!(BYTES.load(Relaxed), bytes);
    println!("{packets} packets in {:.0} s: no allocation", started.elapsed().as_secs_f64());
}
