//! Simulated rooms as streams through the pipeline's own stages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use invispose_models::sim::Simulator;

use crate::health::SourceStats;
use crate::pose::SourceKind;
use crate::sources::Packet;
use crate::sources::sim::SimFrames;
use crate::stages::assembly::{Assembler, AssemblyConfig};
use crate::stages::cleanup::{CleanWindow, Cleanup};

/// Seconds that are simulated at once.
const CHUNK_S: f64 = 10.0;

/// Simulates the first `end_s` seconds of a scene, whose time zero is the epoch, and gives every cleaned window, one each `hop`, beside the
/// simulator, which knows what is true of it.
pub(super) fn play(
    simulator: &mut Simulator,
    end_s: f64,
    hop: Duration,
    mut work: impl FnMut(&mut Simulator, CleanWindow),
) {
    let config = AssemblyConfig { hop, ..Default::default() };
    let mut assembler = Assembler::new("simulated", SourceKind::Simulated, config);
    let mut cleanup = Cleanup::new();
    let account = Arc::new(SourceStats::new("simulated", SourceKind::Simulated));
    let frames = SimFrames::new(simulator, 0);
    let mut from_s = 0.0;
    while from_s < end_s {
        let to_s = (from_s + CHUNK_S).min(end_s);
        let mut windows = Vec::new();
        for frame in simulator.packets(from_s, to_s).filter_map(|packet| frames.frame(packet)) {
            let packet = Packet { frame, arrived: Instant::now(), account: account.clone() };
            assembler.push(packet, &mut |window| windows.push(cleanup.run(window)));
        }
        for window in windows {
            work(simulator, window);
        }
        from_s = to_s;
    }
}
