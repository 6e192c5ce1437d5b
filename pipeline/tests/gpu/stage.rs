//! The cleanup stage on a GPU against the same stage on the CPU, with the GPU lost on the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use invispose_kernels::gpu::GpuContext;
use invispose_pipeline::health::{Health, SourceStats};
use invispose_pipeline::sources::Packet;
use invispose_pipeline::stages::assembly::{Assembler, AssemblyConfig, CsiWindow};
use invispose_pipeline::stages::cleanup::{CleanWindow, Cleanup};
use invispose_pipeline::stages::gather::BatchConfig;
use invispose_pipeline::{Complex32, CsiFrame, Layout, LinkId, SourceKind};

use super::context;

const MS: i64 = 1_000_000;
const START: i64 = 1_700_000_000_000 * MS;
const TOLERANCE: f32 = 1e-4;

/// Bytes, words and floats; one antenna and several.
const LINKS: [(&str, Layout, f32); 4] = [
    ("bytes", Layout::new(1, 1, 52), 20.0),
    ("words", Layout::new(1, 3, 30), 300.0),
    ("more words", Layout::new(1, 3, 30), 250.0),
    ("floats", Layout::new(2, 2, 57), 0.7),
];

fn noise(n: u64) -> f32 {
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// A room in which somebody moves about half of the time.
fn packet(site: u64, link: usize, k: u64) -> CsiFrame {
    let (name, layout, gain) = LINKS[link];
    let time_ns = START + k as i64 * 10 * MS;
    let seconds = k as f32 * 0.01;
    let moving = if k % 300 > 150 { 0.3 } else { 0.0 };
    let seed = (site * 10 + link as u64) << 40 | k << 16;
    let csi = (0..layout.values())
        .map(|i| {
            let (pair, s) =
                ((i / usize::from(layout.subcarriers)) as f32, (i % usize::from(layout.subcarriers)) as f32);
            let h = Complex32::from_polar(1.0, 0.1 * s + pair)
                + Complex32::from_polar(moving, 9.0 * seconds + 0.07 * s + 2.0 * pair)
                + Complex32::new(noise(seed + 2 * i as u64), noise(seed + 2 * i as u64 + 1)) * 0.04;
            let h = h * Complex32::from_polar(gain * (1.0 + 0.5 * (k % 3) as f32), noise(seed) * 3.0);
            if gain < 1.0 { h } else { Complex32::new(h.re.round(), h.im.round()) }
        })
        .collect();
    CsiFrame { time_ns, ..CsiFrame::new(LinkId::new(name), layout, csi) }
}

/// Windows of two sites in turn; packets are missing here and there, and one link falls silent for a while.
fn windows() -> Vec<CsiWindow> {
    let account = Arc::new(SourceStats::new("test", SourceKind::Replay));
    let mut out: Vec<Vec<CsiWindow>> = Vec::new();
    for site in 0..2u64 {
        let mut own = Vec::new();
        let mut assembler =
            Assembler::new(format!("site-{site}"), SourceKind::Replay, AssemblyConfig::default());
        let mut emit = |window| own.push(window);
        for k in 0..450 {
            for link in 0..LINKS.len() {
                let silent = link == 1 && (100..350).contains(&k);
                if noise(k * 7 + link as u64) > -0.8 && !silent {
                    let frame = packet(site, link, k);
                    assembler
                        .push(Packet { frame, arrived: Instant::now(), account: account.clone() }, &mut emit);
                }
            }
        }
        assembler.finish(&mut emit);
        out.push(own);
    }
    let longest = out.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|i| out.iter().filter_map(move |site| site.get(i).cloned())).collect()
}

fn on_cpu(windows: Vec<CsiWindow>) -> Vec<CleanWindow> {
    let mut cleanup = Cleanup::new();
    windows.into_iter().map(|window| cleanup.run(window)).collect()
}

/// What comes out of the stage on a GPU; `after` is told how many have.
fn on_gpu(
    context: &GpuContext,
    windows: Vec<CsiWindow>,
    health: &Health,
    mut after: impl FnMut(usize),
) -> Vec<CleanWindow> {
    let (send, input) = bounded(8);
    let (output, received): (_, Receiver<CleanWindow>) = bounded(8);
    let (context, health) = (context.clone(), health.clone());
    let batch = BatchConfig { windows: 6, wait: Duration::from_millis(2) };
    std::thread::scope(|scope| {
        scope.spawn(move || windows.into_iter().for_each(|window| send.send(window).unwrap()));
        scope.spawn(move || Cleanup::new().serve_on(&context, batch, &health, &input, &output));
        let mut out = Vec::new();
        for window in received {
            out.push(window);
            after(out.len());
        }
        out
    })
}

/// Every window, in order, with the same motion; returns how many links were cleaned on the GPU, and how many there are.
#[track_caller]
fn assert_same(got: &[CleanWindow], want: &[CleanWindow]) -> (usize, usize) {
    assert_eq!(got.len(), want.len());
    let (mut on_gpu, mut all) = (0, 0);
    for (g, w) in got.iter().zip(want) {
        assert_eq!((&g.window.site, g.window.end_step), (&w.window.site, w.window.end_step));
        assert_eq!(g.links.len(), w.links.len());
        for (g, w) in g.links.iter().zip(&w.links) {
            assert_eq!((&g.raw, &g.columns, g.new_steps), (&w.raw, &w.columns, w.new_steps));
            assert_eq!(g.motion.is_some(), w.motion.is_some(), "{}", g.raw.link.as_str());
            if let (Some(g), Some(w)) = (g.motion, w.motion) {
                assert_eq!(g.lag, w.lag);
                let pairs = [
                    (g.share, w.share),
                    (g.coherent, w.coherent),
                    (g.total, w.total),
                    (g.noise_share, w.noise_share),
                ];
                for (g, w) in pairs {
                    assert!((g - w).abs() <= TOLERANCE, "{g} for {w}");
                }
            }
            on_gpu += usize::from(g.samples.is_some());
            all += 1;
        }
    }
    (on_gpu, all)
}

#[test]
fn every_window_comes_out_in_order_and_the_same() {
    let Some(context) = context() else { return };
    let windows = windows();
    let want = on_cpu(windows.clone());
    let health = Health::default();
    let got = on_gpu(&context, windows, &health, |_| ());
    assert!(health.faults().is_empty(), "{:?}", health.faults());
    let (on_gpu, all) = assert_same(&got, &want);
    assert_eq!(on_gpu, all, "some links were left to the CPU");
    assert!(got.iter().flat_map(|w| &w.links).filter(|l| l.motion.is_some()).count() > 100);
}

#[test]
fn a_gpu_lost_on_the_way_costs_no_window() {
    let Some(context) = context() else { return };
    let windows = windows();
    let want = on_cpu(windows.clone());
    let health = Health::default();
    let got = on_gpu(&context, windows, &health, |n| {
        if n == 40 {
            context.device().destroy();
        }
    });
    let (on_gpu, all) = assert_same(&got, &want);
    assert!(on_gpu > 40 && on_gpu < all, "{on_gpu} of {all}");
    let faults = health.faults();
    assert!(faults.values().any(|f| f.contains("lost") && f.contains("CPU")), "{faults:?}");
}

#[test]
fn what_the_gpu_cannot_take_goes_to_the_cpu() {
    let Some(context) = context() else { return };
    let mut windows = windows();
    for window in windows.iter_mut().take(30) {
        for link in window.links.iter_mut().filter(|l| l.link.as_str() == "bytes") {
            // A packet without power, and one with what is no number.
            let values = link.layout.values();
            if let Some(step) = link.received.iter().rposition(|r| *r) {
                let from =
                    if window.end_step % 2 == 0 { Complex32::ZERO } else { Complex32::new(f32::NAN, 1.0) };
                link.csi[step * values..(step + 1) * values].fill(from);
            }
        }
    }
    windows.truncate(30);
    let got = on_gpu(&context, windows, &Health::default(), |_| ());
    assert_eq!(got.len(), 30);
    for link in got.iter().flat_map(|w| &w.links) {
        assert_eq!(link.samples.is_some(), link.raw.link.as_str() != "bytes");
    }
}
