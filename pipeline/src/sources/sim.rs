//! The simulator as a source: packets of a simulated room, asked for by name.

use std::sync::Arc;

use invispose_kernels::Layout;
use invispose_models::sim::{Faults, Node, Packet, SceneConfig, Simulator};

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

/// Simulated packets as the frames that a receiver's capture would give.
#[derive(Clone, Debug)]
pub struct SimFrames {
    links: Vec<(LinkId, Layout)>,
    center_mhz: f32,
    bandwidth_mhz: u16,
    subcarrier_index: Arc<[i16]>,
    start_ns: i64,
}

impl SimFrames {
    /// Of a scene that begins at `start_ns`, nanoseconds since the Unix epoch.
    pub fn new(simulator: &Simulator, start_ns: i64) -> Self {
        let radio = &simulator.config().radio;
        Self {
            links: simulator.links().iter().map(|l| (LinkId::new(l.name.as_str()), l.layout)).collect(),
            center_mhz: (radio.carrier_hz / 1e6) as f32,
            bandwidth_mhz: radio.bandwidth_mhz,
            subcarrier_index: simulator.subcarrier_indices().into(),
            start_ns,
        }
    }

    /// With other names for the links.
    pub fn renamed(mut self, name: impl Fn(LinkId) -> LinkId) -> Self {
        self.links = self.links.into_iter().map(|(link, layout)| (name(link), layout)).collect();
        self
    }

    /// The frame of one of the scene's packets; `None` for a link that the scene has not.
    pub fn frame(&self, packet: Packet) -> Option<CsiFrame> {
        let (link, layout) = self.links.get(packet.link)?;
        let time_ns = self.start_ns.saturating_add((packet.t_s * 1e9).round() as i64);
        Some(CsiFrame {
            capture_time_ns: Some(time_ns),
            time_ns,
            sequence: Some(packet.sequence),
            rssi_dbm: Some(packet.rssi_dbm),
            noise_dbm: packet.noise_dbm,
            center_mhz: Some(self.center_mhz),
            bandwidth_mhz: Some(self.bandwidth_mhz),
            subcarrier_index: Some(self.subcarrier_index.clone()),
            ..CsiFrame::new(link.clone(), *layout, packet.csi)
        })
    }
}

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
    Ok(SiteConfig {
        id: id.to_owned(),
        name: "Simulated room".to_owned(),
        room_m: scene.room.size_m,
        links: links(&scene),
        zones: Vec::new(),
        experimental_poses: false,
        max_occupancy: None,
    })
}

/// Where the links of a scene stand, by the names that its packets have.
pub fn links(scene: &SceneConfig) -> Vec<LinkConfig> {
    let link = |tx: &Node, rx: &Node| LinkConfig {
        id: format!("{}-{}", tx.name, rx.name),
        transmitter_m: tx.position_m,
        receiver_m: rx.position_m,
    };
    scene.transmitters.iter().flat_map(|tx| scene.receivers.iter().map(move |rx| link(tx, rx))).collect()
}

/// The scene that is simulated, with nobody there at first.
pub fn scene(spec: &SimSpec) -> Result<SceneConfig, SourceError> {
    let mut scene = match spec.room {
        Some(room) => spec.radios.random(room | DEMONSTRATION),
        None => spec.radios.demo(),
    };
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
        let frames = SimFrames::new(&self.simulator, start_ns);
        let mut pacer = Pacer::new(self.speed);
        let mut from_s = 0.0;
        for chunk in 1u64.. {
            let to_s = (chunk as f64 * CHUNK_S).min(self.end_s);
            if from_s >= to_s {
                break;
            }
            for packet in self.simulator.packets(from_s, to_s) {
                let quiet = packet.t_s < QUIET_S;
                let Some(frame) = frames.frame(packet) else { continue };
                if !quiet && pacer.wait(frame.time_ns, stop) {
                    return Ok(());
                }
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
