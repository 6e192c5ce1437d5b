//! A scene in motion: truth and packets.

use std::collections::VecDeque;

use invispose_kernels::Complex32;
use rayon::prelude::*;

use super::SimError;
use super::body::Body;
use super::channel::Channel;
use super::clip::Moves;
use super::config::{Resting, SceneConfig};
use super::faults::Receiver;
use super::figure::{Figure, clothed, figure};
use super::motion::{Activity, Floor, Script, rest};
use super::radio::Link;
use super::seed::{Draw, mix};
use crate::skeleton::Keypoints;

/// Where one person is and what they do.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct PersonTruth {
    /// Index of the person in the scene.
    pub person: usize,
    /// 17 keypoints in metres, COCO order.
    pub keypoints: Keypoints,
    /// What they do.
    pub activity: Activity,
    /// Where they face, radians from x towards y.
    pub heading_rad: f32,
    /// Breaths per second.
    pub breathing_hz: f32,
}

/// One packet as a receiver reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// Index into [`Simulator::links`].
    pub link: usize,
    /// The transmitter's counter; gaps are losses.
    pub sequence: u32,
    /// When it was received, seconds since the scene's start.
    pub t_s: f64,
    /// Received power over all antennas, dBm.
    pub rssi_dbm: f32,
    /// Noise power, dBm; `None` for a receiver without noise.
    pub noise_dbm: Option<f32>,
    /// `[tx][rx][subcarrier]`, in the device's unit: whole numbers where the scene quantises, the channel itself where
    /// there is neither gain control nor quantisation.
    pub csi: Vec<Complex32>,
}

/// A scene from a configuration and a seed. Everything it gives is a function of both and of the time asked for, not of
/// what was asked before.
pub struct Simulator {
    config: SceneConfig,
    seed: u64,
    links: Vec<Link>,
    channel: Channel,
    radios: Vec<Receiver>,
    people: Vec<(Body, Does)>,
}

/// What a person goes by.
enum Does {
    Rest(Resting),
    Clip(Box<Moves>),
    Script(Box<Script>),
}

impl Simulator {
    /// The scene with people and radios drawn from `seed` (see [`super::Split`] for which seeds serve what).
    ///
    /// # Errors
    /// [`SimError::Config`] for a configuration that [`SceneConfig::check`] refuses.
    pub fn new(config: &SceneConfig, seed: u64) -> Result<Self, SimError> {
        config.check()?;
        let channel = Channel::new(config);
        let mut links = Vec::new();
        let mut radios = Vec::new();
        for (t, tx) in config.transmitters.iter().enumerate() {
            for (r, rx) in config.receivers.iter().enumerate() {
                let layout = channel.layout(t, r);
                radios.push(Receiver::new(
                    config,
                    mix(seed, 100 + links.len() as u64),
                    layout,
                    channel.empty(t, r),
                ));
                let name = format!("{}-{}", tx.name, rx.name);
                links.push(Link { name, transmitter: t, receiver: r, layout });
            }
        }
        let floor = Floor::of(&config.room);
        let people = (0..config.people.count)
            .map(|i| {
                let own = mix(seed, 1000 + i as u64);
                let p = &config.people;
                let mut body = Body::random(&mut Draw::new(own, 1), p.stature_m, p.build);
                let does = if let Some(resting) = p.resting.get(i) {
                    body.breathing_hz = resting.breathing_hz;
                    Does::Rest(*resting)
                } else if let Some(clip) = p.clips.get(i - p.resting.len()) {
                    Does::Clip(Box::new(Moves::load(clip, &body, config.room.size_m)?))
                } else {
                    Does::Script(Box::new(Script::new(own, body.clone(), floor, p)))
                };
                Ok((body, does))
            })
            .collect::<Result<_, SimError>>()?;
        Ok(Self { config: config.clone(), seed, links, channel, radios, people })
    }

    /// What it simulates.
    pub fn config(&self) -> &SceneConfig {
        &self.config
    }

    /// Transmitter-receiver pairs, all receivers of the first transmitter first.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// IEEE 802.11 indices of the subcarrier columns.
    pub fn subcarrier_indices(&self) -> Vec<i16> {
        self.config.radio.subcarriers.indices()
    }

    /// Who is in the room at `t_s` seconds, and how.
    pub fn people_at(&mut self, t_s: f64) -> Vec<PersonTruth> {
        self.figures(t_s).into_iter().map(|(truth, _)| truth).collect()
    }

    fn figures(&mut self, t_s: f64) -> Vec<(PersonTruth, Figure)> {
        if self.config.people.absent_s.iter().any(|[a, b]| (*a..*b).contains(&t_s)) {
            return Vec::new();
        }
        let person = |(i, (body, does)): (usize, &mut (Body, Does))| {
            let turns = (t_s * f64::from(body.breathing_hz)).rem_euclid(1.0) as f32 + body.breathing_phase;
            let inhaled = (std::f32::consts::TAU * turns).sin();
            let moment = match does {
                Does::Rest(resting) => rest(resting, body),
                Does::Script(script) => script.at(t_s),
                Does::Clip(moves) => {
                    let joints = moves.at(body, t_s);
                    let heading = joints.pelvis.x.y.atan2(joints.pelvis.x.x);
                    return told(i, body, clothed(body, &joints, inhaled), moves.activity, heading);
                }
            };
            let figure = figure(body, &moment.posture, moment.at, moment.heading, inhaled);
            told(i, body, figure, moment.activity, moment.heading)
        };
        self.people.iter_mut().enumerate().map(person).collect()
    }

    /// The channel of a link at `t_s` without any fault of the radios: amplitude gain, `[tx][rx][subcarrier]`. Empty for a
    /// link that is not there.
    pub fn ideal(&mut self, link: usize, t_s: f64) -> Vec<Complex32> {
        let people: Vec<Figure> = self.figures(t_s).into_iter().map(|(_, f)| f).collect();
        match self.links.get(link) {
            Some(l) => self.channel.with_people(l.transmitter, l.receiver, &people, None),
            None => Vec::new(),
        }
    }

    /// The same for the empty room.
    pub fn empty_room(&self, link: usize) -> &[Complex32] {
        self.links.get(link).map_or(&[], |l| self.channel.empty(l.transmitter, l.receiver))
    }

    /// All packets with `from_s <= t_s < to_s`, in the order of sending; adjoining calls give every packet once.
    pub fn packets(&mut self, from_s: f64, to_s: f64) -> Packets<'_> {
        let slot_s = self.slot_s();
        let slot = ((from_s / slot_s).floor() - 1.0).max(0.0) as u64;
        Packets { simulator: self, slot, from_s, to_s, ready: VecDeque::new() }
    }

    /// Time between transmissions of any transmitter, seconds.
    fn slot_s(&self) -> f64 {
        1.0 / (f64::from(self.config.radio.packet_hz) * self.config.transmitters.len() as f64)
    }

    fn slot_time(&self, slot: u64) -> f64 {
        let slot_s = self.slot_s();
        let jitter = f64::from(self.config.faults.jitter_s);
        let off = if jitter > 0.0 {
            let normal = Draw::new(self.seed, mix(slot, 7)).normal();
            (f64::from(normal) * jitter).clamp(-0.45 * slot_s, 0.45 * slot_s)
        } else {
            0.0
        };
        slot as f64 * slot_s + off
    }

    /// One transmission as all receivers hear it.
    fn transmit(&mut self, slot: u64, t_s: f64, out: &mut VecDeque<Packet>) {
        let transmitters = self.config.transmitters.len() as u64;
        let (transmitter, sequence) = ((slot % transmitters) as usize, slot / transmitters);
        let people: Vec<Figure> = self.figures(t_s).into_iter().map(|(_, f)| f).collect();
        for (i, link) in self.links.iter().enumerate().filter(|(_, l)| l.transmitter == transmitter) {
            let radio = &self.radios[i];
            let mut draw = radio.packet_draw(sequence);
            if draw.chance(self.config.faults.loss) {
                continue;
            }
            let drift = |path: usize| radio.drift(path, t_s);
            let drift: Option<&dyn Fn(usize) -> Complex32> =
                if self.config.faults.drift > 0.0 { Some(&drift) } else { None };
            let csi = self.channel.with_people(transmitter, link.receiver, &people, drift);
            let heard = radio.hear(csi, self.channel.silent(), t_s, &mut draw);
            out.push_back(Packet {
                link: i,
                sequence: sequence as u32,
                t_s,
                rssi_dbm: heard.rssi_dbm,
                noise_dbm: heard.noise_dbm,
                csi: heard.csi,
            });
        }
    }
}

/// A figure with what is true of the person.
fn told(
    person: usize,
    body: &Body,
    figure: Figure,
    activity: Activity,
    heading_rad: f32,
) -> (PersonTruth, Figure) {
    let (keypoints, breathing_hz) = (figure.keypoints, body.breathing_hz);
    (PersonTruth { person, keypoints, activity, heading_rad, breathing_hz }, figure)
}

/// The packets of a span of time; see [`Simulator::packets`].
pub struct Packets<'a> {
    simulator: &'a mut Simulator,
    slot: u64,
    from_s: f64,
    to_s: f64,
    ready: VecDeque<Packet>,
}

impl Iterator for Packets<'_> {
    type Item = Packet;

    fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.ready.pop_front() {
                return Some(packet);
            }
            // Jitter never reaches half a slot.
            if (self.slot as f64 - 0.5) * self.simulator.slot_s() >= self.to_s {
                return None;
            }
            let (slot, t_s) = (self.slot, self.simulator.slot_time(self.slot));
            self.slot += 1;
            if t_s >= self.from_s && t_s < self.to_s {
                self.simulator.transmit(slot, t_s, &mut self.ready);
            }
        }
    }
}

/// Runs `work` on many scenes on all cores; results in the scenes' order, the same on any number of cores.
///
/// # Errors
/// The first [`SimError`] in that order, for a configuration that cannot be simulated.
pub fn for_each_scene<T: Send>(
    scenes: &[(SceneConfig, u64)],
    work: impl Fn(usize, Simulator) -> T + Sync,
) -> Result<Vec<T>, SimError> {
    scenes
        .par_iter()
        .enumerate()
        .map(|(i, (config, seed))| Simulator::new(config, *seed).map(|s| work(i, s)))
        .collect()
}
