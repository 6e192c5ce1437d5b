//! The channel: static paths, what bodies scatter, and what they shadow.

use invispose_kernels::{Complex32, Layout};

use super::config::SceneConfig;
use super::figure::{Blocker, Figure, Segment};
use super::geom::Vec3;
use super::phasor::{LANES, Lanes, Tones};
use super::radio::{Node, Radio};
use super::scatterers::{Antenna, Legs, add_scattered};
use super::shadow;
use super::statics::{StaticPath, static_paths};

#[derive(Clone, Debug)]
struct Station {
    center: Vec3,
    antennas: Vec<Antenna>,
}

impl Station {
    fn new(config: &SceneConfig, node: &Node) -> Self {
        let radio = &config.radio;
        let antennas = node
            .antenna_positions(radio.wavelength_m())
            .into_iter()
            .map(|p| Antenna::new(&config.room, radio.carrier_hz, p.into()))
            .collect();
        Self { center: node.center(), antennas }
    }
}

/// The empty room's part of one link.
#[derive(Clone, Debug)]
struct Fixed {
    paths: Vec<StaticPath>,
    /// `[path][pair][subcarrier]`.
    phasors: Vec<Complex32>,
    /// `[pair][subcarrier]`: the sum over the paths.
    sum: Vec<Complex32>,
}

/// The channel of a scene, for any bodies in it.
pub(crate) struct Channel {
    tones: Tones,
    silent: Vec<bool>,
    wavelength: f32,
    transmitters: Vec<Station>,
    receivers: Vec<Station>,
    /// `[transmitter][receiver]`.
    fixed: Vec<Fixed>,
    lanes: Lanes,
    legs: Vec<Legs>,
}

impl Channel {
    pub fn new(config: &SceneConfig) -> Self {
        let radio = &config.radio;
        let index = radio.subcarriers.indices();
        let tones = Tones::new(radio.carrier_hz, Radio::SPACING_HZ, &index);
        let silent = index.iter().map(|i| radio.subcarriers.silent(*i)).collect();
        let stations = |nodes: &[Node]| nodes.iter().map(|n| Station::new(config, n)).collect::<Vec<_>>();
        let (transmitters, receivers) = (stations(&config.transmitters), stations(&config.receivers));
        let mut lanes = Lanes::new(&tones);
        let mut fixed = Vec::new();
        for tx in &transmitters {
            for rx in &receivers {
                fixed.push(Fixed::new(config, &tones, &mut lanes, tx, rx));
            }
        }
        let wavelength = radio.wavelength_m();
        Self { lanes, tones, silent, wavelength, transmitters, receivers, fixed, legs: Vec::new() }
    }

    pub fn layout(&self, transmitter: usize, receiver: usize) -> Layout {
        Layout::new(
            self.transmitters[transmitter].antennas.len() as u16,
            self.receivers[receiver].antennas.len() as u16,
            self.tones.len() as u16,
        )
    }

    /// Whether the column is reported but never sent.
    pub fn silent(&self) -> &[bool] {
        &self.silent
    }

    /// The empty room's channel, `[tx][rx][subcarrier]`.
    pub fn empty(&self, transmitter: usize, receiver: usize) -> &[Complex32] {
        &self.fixed[transmitter * self.receivers.len() + receiver].sum
    }

    /// The channel with these people, `[tx][rx][subcarrier]`. `drift(path)` is the factor of a reflected static path.
    pub fn with_people(
        &mut self,
        transmitter: usize,
        receiver: usize,
        people: &[Figure],
        drift: Option<&dyn Fn(usize) -> Complex32>,
    ) -> Vec<Complex32> {
        let link = transmitter * self.receivers.len() + receiver;
        let fixed = &self.fixed[link];
        let mut out = fixed.sum.clone();
        for (i, path) in fixed.paths.iter().enumerate() {
            let mut factor = self.unshadowed(path, people);
            if let (Some(drift), true) = (drift, i > 0) {
                factor *= drift(i);
            }
            let change = factor - 1.0;
            if change != Complex32::new(0.0, 0.0) {
                let phasors = &fixed.phasors[i * out.len()..(i + 1) * out.len()];
                for (o, p) in out.iter_mut().zip(phasors) {
                    *o += p * change;
                }
            }
        }
        if !people.is_empty() {
            self.scattered(transmitter, receiver, people, &mut out);
        }
        out
    }

    /// What the people leave of a static path: a product over people of 1 minus what each blocks.
    fn unshadowed(&self, path: &StaticPath, people: &[Figure]) -> Complex32 {
        let mut factor = Complex32::new(1.0, 0.0);
        for person in people {
            let mut missing = Complex32::new(0.0, 0.0);
            for leg in path.points[..path.used].windows(2) {
                for b in &person.blockers {
                    missing += shadow::blocked(leg[0], leg[1], b, self.wavelength);
                }
            }
            factor *= Complex32::new(1.0, 0.0) - missing;
        }
        factor
    }

    fn scattered(&mut self, transmitter: usize, receiver: usize, people: &[Figure], out: &mut [Complex32]) {
        let (tx, rx) = (&self.transmitters[transmitter], &self.receivers[receiver]);
        let blockers: Vec<&Blocker> = people.iter().map(|p| &p.blockers[0]).collect();
        let visible = |s: &Segment, own: usize, trunk: bool, node: Vec3| {
            let mut v = 1.0;
            for (i, b) in blockers.iter().enumerate() {
                // A trunk does not hide itself.
                if !(trunk && i == own) {
                    v *= shadow::hidden(s.center, node, b);
                }
            }
            v
        };
        // [person][segment][antenna of tx, then of rx]
        let per = tx.antennas.len() + rx.antennas.len();
        self.legs.clear();
        for (i, person) in people.iter().enumerate() {
            for (k, s) in person.segments.iter().enumerate() {
                let trunk = k < TRUNK;
                let (from, to) = (visible(s, i, trunk, tx.center), visible(s, i, trunk, rx.center));
                self.legs.extend(tx.antennas.iter().map(|a| Legs::between(s, a, from)));
                self.legs.extend(rx.antennas.iter().map(|a| Legs::between(s, a, to)));
            }
        }
        // sqrt(σ) λ / ((4π)^{3/2} d1 d2), with sqrt(π) of σ taken out of the segments.
        let pi = std::f32::consts::PI;
        let scale = pi.sqrt() * self.wavelength / (4.0 * pi).powf(1.5);
        let tones = self.tones.len();
        for (t, _) in tx.antennas.iter().enumerate() {
            for (r, _) in rx.antennas.iter().enumerate() {
                self.lanes.clear();
                let bodies = people.iter().flat_map(|p| &p.segments).zip(self.legs.chunks_exact(per));
                let paths = bodies.map(|(s, legs)| (s, &legs[t], &legs[tx.antennas.len() + r]));
                add_scattered(&mut self.lanes, &self.tones, scale, paths);
                let pair = (t * rx.antennas.len() + r) * tones;
                self.lanes.fold_into(&mut out[pair..pair + tones]);
            }
        }
    }
}

/// The first segments are head, chest, belly and seat.
const TRUNK: usize = 4;

impl Fixed {
    fn new(config: &SceneConfig, tones: &Tones, lanes: &mut Lanes, tx: &Station, rx: &Station) -> Self {
        let radio = &config.radio;
        let wavelength = radio.wavelength_m();
        let paths = static_paths(&config.room, radio.carrier_hz, wavelength, tx.center, rx.center);
        let pairs = tx.antennas.len() * rx.antennas.len();
        let n = tones.len();
        let mut phasors = vec![Complex32::default(); paths.len() * pairs * n];
        let mut sum = vec![Complex32::default(); pairs * n];
        for (p, path) in paths.iter().enumerate() {
            for (t, a) in tx.antennas.iter().enumerate() {
                for (r, b) in rx.antennas.iter().enumerate() {
                    let pair = t * rx.antennas.len() + r;
                    let metres = path.between(&config.room, a.at[0], b.at[0], (tx.center, rx.center));
                    let mut one = ([0.0; LANES], [0.0; LANES]);
                    one.0[0] = metres;
                    one.1[0] = path.metres / metres.max(0.01);
                    lanes.clear();
                    lanes.add(tones, [(&one.0, &one.1), (&[0.0; LANES], &[0.0; LANES])]);
                    let at = (p * pairs + pair) * n;
                    let own = &mut phasors[at..at + n];
                    lanes.fold_into(own);
                    for (o, s) in own.iter_mut().zip(&mut sum[pair * n..(pair + 1) * n]) {
                        *o *= path.amplitude;
                        *s += *o;
                    }
                }
            }
        }
        Self { paths, phasors, sum }
    }
}
