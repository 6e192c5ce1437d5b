//! Transmissions simulated per second and core: 1 transmitter, 3 receivers with 3 antennas, 30 subcarriers, every fault on.
//!
//! `cargo run --release -p invispose-models --no-default-features --example sim_throughput`

use std::time::Instant;

use invispose_models::sim::{SceneConfig, SimError, Simulator, Split, for_each_scene};

/// Seconds that this thread has run on a core, so that other work on the machine does not count.
fn core_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).map_or(f64::NAN, |ns| ns * 1e-9)
}

fn main() -> Result<(), SimError> {
    for count in 0..=3 {
        let mut config = SceneConfig::demo();
        config.people.count = count;
        let seconds = 20.0;
        let mut scene = Simulator::new(&config, Split::Train.seed(1))?;
        let start = core_s();
        let packets = scene.packets(0.0, seconds).count();
        let one = core_s() - start;
        let sent = seconds * f64::from(config.radio.packet_hz);
        println!(
            "{count} people: {:.0} transmissions/s on one core ({:.0} packets/s over {} links)",
            sent / one,
            packets as f64 / one,
            scene.links().len()
        );
    }
    let scenes: Vec<_> = (0..16).map(|i| (SceneConfig::demo(), Split::Train.seed(i))).collect();
    let start = Instant::now();
    let packets: usize = for_each_scene(&scenes, |_, mut s| s.packets(0.0, 10.0).count())?.iter().sum();
    println!(
        "16 scenes of 2 people on all cores: {:.0} transmissions/s, {packets} packets",
        16.0 * 1000.0 / start.elapsed().as_secs_f64()
    );
    Ok(())
}
