//! The simulator as a source: packets of a simulated room, asked for by name.

use std::sync::Arc;

use invispose_models::sim::{Faults, SceneConfig, Simulator};

use super::pace::{Pacer, Speed, wall_ns};
use super::{FrameSender, SimSpec, Source, SourceError, Stop};
use crate::csi::{CsiFrame, LinkId};
use crate::pose::SourceKind;
use crate::site::{LinkConfig, SiteConfig};

/// The room stays empty for this long at first, so that its quiet level can be learned as in any real room. These packets are
/// sent at once, with times before the start.
pub const QUIET_S: f64 = 8.0;
/// Simulated at once.
const CHUNK_S: f64 = 0.05;
/// The two highest bits of a seed keep demonstrations apart from every scene that trains or measures.
const DEMONSTRATION: u64 = 3 << 62;

/// A simulated room.
pub struct SimSource {
    simulator: Simulator,
    speed: Speed,
    end_s: f64,
}

impl SimSource {
    /// The scene that `spec` describes.
    pub fn new(spec: &SimSpec) -> Result<Self, SourceError> {
        let simulator = Simulator::new(&scene(spec)?, spec.seed | DEMONSTRATION)
            .map_err(|e| SourceError::Simulator(e.to_string()))?;
        Ok(Self { simulator, speed: spec.speed, end_s: spec.seconds.map_or(f64::INFINITY, |s| s + QUIET_S) })
    }
}

/// The simulated room as a site: its size and where its radios stand.
pub fn site(spec: &SimSpec, id: &str) -> Result<SiteConfig, SourceError> {
    let scene = scene(spec)?;
    let links = scene.transmitters.iter().flat_map(|tx| {
        scene.receivers.iter().map(|rx| LinkConfig {
            id: format!("{}-{}", tx.name, rx.name),
            transmitter_m: tx.position_m,
            receiver_m: rx.position_m,
        })
    });
    Ok(SiteConfig {
        id: id.to_owned(),
        name: "Simulated room".to_owned(),
        room_m: scene.room.size_m,
        links: links.collect(),
        zones: Vec::new(),
        experimental_poses: false,
        max_occupancy: None,
    })
}

fn scene(spec: &SimSpec) -> Result<SceneConfig, SourceError> {
    let mut scene = SceneConfig::demo();
    scene.people.count = spec.people;
    scene.people.absent_s = vec![[0.0, QUIET_S]];
    if let Some(text) = &spec.faults {
        scene.faults = faults(text).map_err(SourceError::Simulator)?;
    }
    Ok(scene)
}

/// `none`, `ordinary`, or changes to the ordinary radio: `loss:0.1,snr_db:20`.
fn faults(text: &str) -> Result<Faults, String> {
    let bad = |problem: String| format!("faults `{text}`: {problem}");
    let mut value = serde_json::to_value(Faults::ordinary()).map_err(|e| bad(e.to_string()))?;
    for change in text.split(',') {
        match change.split_once(':') {
            None if change == "none" => {
                value = serde_json::to_value(Faults::none()).map_err(|e| bad(e.to_string()))?;
            }
            None if change == "ordinary" => {}
            None => return Err(bad(format!("`{change}` is neither `none`, `ordinary` nor `NAME:VALUE`"))),
            Some((name, number)) => {
                let number =
                    serde_json::from_str(number).map_err(|_| bad(format!("`{number}` is no value")))?;
                if let Some(fields) = value.as_object_mut() {
                    fields.insert(name.to_owned(), number);
                }
            }
        }
    }
    serde_json::from_value(value).map_err(|e| bad(e.to_string()))
}

impl Source for SimSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Simulated
    }

    fn speed(&self) -> Speed {
        self.speed
    }

    fn run(mut self: Box<Self>, out: &FrameSender, stop: &Stop) -> Result<(), SourceError> {
        let start_ns = wall_ns().saturating_sub((QUIET_S * 1e9) as i64);
        let names: Vec<LinkId> =
            self.simulator.links().iter().map(|l| LinkId::new(l.name.as_str())).collect();
        let layouts: Vec<_> = self.simulator.links().iter().map(|l| l.layout).collect();
        let index: Arc<[i16]> = self.simulator.subcarrier_indices().into();
        let radio = self.simulator.config().radio.clone();
        let mut pacer = Pacer::new(self.speed);
        let mut from_s = 0.0;
        for chunk in 1u64.. {
            let to_s = (chunk as f64 * CHUNK_S).min(self.end_s);
            if from_s >= to_s {
                break;
            }
            for packet in self.simulator.packets(from_s, to_s) {
                let (Some(link), Some(&layout)) = (names.get(packet.link), layouts.get(packet.link)) else {
                    continue;
                };
                let time_ns = start_ns.saturating_add((packet.t_s * 1e9).round() as i64);
                if packet.t_s >= QUIET_S && pacer.wait(time_ns, stop) {
                    return Ok(());
                }
                let frame = CsiFrame {
                    capture_time_ns: Some((packet.t_s * 1e9).round() as i64),
                    time_ns,
                    sequence: Some(packet.sequence),
                    rssi_dbm: Some(packet.rssi_dbm),
                    noise_dbm: packet.noise_dbm,
                    center_mhz: Some((radio.carrier_hz / 1e6) as f32),
                    bandwidth_mhz: Some(radio.bandwidth_mhz),
                    subcarrier_index: Some(index.clone()),
                    ..CsiFrame::new(link.clone(), layout, packet.csi)
                };
                if out.send(frame, stop).is_err() {
                    return Ok(());
                }
            }
            if stop.stopped() {
                break;
            }
            from_s = to_s;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn faults_are_changes_to_the_ordinary_radio() {
        let changed = faults("loss:0.1,quantisation_bits:null").unwrap();
        assert_eq!(changed, Faults { loss: 0.1, quantisation_bits: None, ..Faults::ordinary() });
        assert_eq!(faults("none").unwrap(), Faults::none());
        assert!(faults("rain:1").unwrap_err().contains("rain"));
        assert!(faults("loss:much").unwrap_err().contains("much"));
        assert!(faults("storm").unwrap_err().contains("storm"));
    }
}
