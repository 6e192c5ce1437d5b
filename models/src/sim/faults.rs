//! What the radio makes of the channel.

use std::f32::consts::TAU;

use invispose_kernels::{Complex32, Layout};

use super::config::SceneConfig;
use super::phasor::sin_cos_turns;
use super::radio::{Faults, Radio};
use super::seed::{Draw, mix};

/// One link's receiver with its constant imperfections.
pub(crate) struct Receiver {
    seed: u64,
    faults: Faults,
    layout: Layout,
    index: Vec<i16>,
    tx_power_dbm: f32,
    /// Sampling interval, seconds.
    sample_s: f64,
    /// Noise standard deviation of each real and imaginary part, in units of the channel.
    noise: f32,
    /// Constant complex gain of each receive antenna.
    chains: Vec<Complex32>,
    cfo_hz: f32,
    sfo: f64,
}

/// A packet as reported.
pub(crate) struct Heard {
    pub csi: Vec<Complex32>,
    pub rssi_dbm: f32,
    pub noise_dbm: Option<f32>,
}

fn turn(turns: f32) -> Complex32 {
    let (s, c) = sin_cos_turns(turns);
    Complex32::new(c, s)
}

fn mean_power(csi: &[Complex32]) -> f32 {
    csi.iter().map(Complex32::norm_sqr).sum::<f32>() / csi.len().max(1) as f32
}

impl Receiver {
    pub fn new(config: &SceneConfig, seed: u64, layout: Layout, empty: &[Complex32]) -> Self {
        let f = config.faults.clone();
        let mut d = Draw::new(seed, 0);
        let chains = (0..layout.rx)
            .map(|_| {
                let phase = if f.antenna_phase { d.unit() } else { 0.0 };
                turn(phase) * 10f32.powf(f.antenna_gain_db * d.normal() / 20.0)
            })
            .collect();
        let noise = f.snr_db.map_or(0.0, |snr| (mean_power(empty) * 10f32.powf(-snr / 10.0) / 2.0).sqrt());
        Self {
            seed,
            layout,
            index: config.radio.subcarriers.indices(),
            tx_power_dbm: config.radio.tx_power_dbm,
            sample_s: 1e-6 / f64::from(config.radio.bandwidth_mhz),
            noise,
            chains,
            cfo_hz: f.cfo_hz * d.normal(),
            sfo: f64::from(f.sfo_ppm * d.normal()) * 1e-6,
            faults: f,
        }
    }

    /// Everything random about one packet.
    pub fn packet_draw(&self, sequence: u64) -> Draw {
        Draw::new(self.seed, mix(sequence, 5))
    }

    /// Factor of a reflected static path: doors, plants and temperature, over minutes.
    pub fn drift(&self, path: usize, t_s: f64) -> Complex32 {
        let mut d = Draw::new(self.seed, mix(path as u64, 11));
        let (period, phase) = (f64::from(d.between([120.0, 1800.0])), f64::from(d.unit()));
        let turns = (t_s / period + phase).rem_euclid(1.0) as f32;
        Complex32::new(1.0, 0.0) + turn(d.unit()) * (self.faults.drift * (TAU * turns).sin())
    }

    /// The delay that the packet detector and the sampling clock add, seconds.
    fn delay_s(&self, t_s: f64, d: &mut Draw) -> f64 {
        let detection = f64::from(self.faults.sto_ns * d.normal()) * 1e-9;
        // The detector follows the drifting clock by whole samples.
        let drift = self.sfo * t_s / self.sample_s;
        detection + (drift - drift.round()) * self.sample_s
    }

    /// The extra phase of an antenna since the loops last locked, turns.
    fn lock_turns(&self, antenna: usize, t_s: f64) -> f32 {
        let rate = f64::from(self.faults.pll_jumps_per_s);
        if rate <= 0.0 {
            return 0.0;
        }
        // One jump in each interval of the mean length, at a random moment of it.
        let k = (t_s * rate).floor() as i64;
        let jumped = Draw::new(self.seed, mix(k as u64, 13)).unit() <= (t_s * rate - k as f64) as f32;
        let epoch = if jumped { k + 1 } else { k };
        Draw::new(self.seed, mix(epoch as u64, 17 + antenna as u64)).unit()
    }

    /// Channel to report: chain gains, timing, carrier, noise, gain control, rounding.
    pub fn hear(&self, mut csi: Vec<Complex32>, silent: &[bool], t_s: f64, d: &mut Draw) -> Heard {
        let f = &self.faults;
        let n = self.layout.subcarriers as usize;
        let delay = self.delay_s(t_s, d);
        let wander = if f.cfo_phase_rad > 3.0 { d.unit() } else { f.cfo_phase_rad * d.normal() / TAU };
        let common = ((f64::from(self.cfo_hz) * t_s).rem_euclid(1.0)) as f32 + wander;
        let ramp: Vec<Complex32> = self
            .index
            .iter()
            .map(|k| turn(common - (Radio::SPACING_HZ * f64::from(*k) * delay) as f32))
            .collect();
        let rx = self.layout.rx.max(1) as usize;
        for (pair, tones) in csi.chunks_exact_mut(n.max(1)).enumerate() {
            let antenna = pair % rx;
            let chain = self.chains.get(antenna).copied().unwrap_or(Complex32::new(1.0, 0.0))
                * turn(self.lock_turns(antenna, t_s));
            for ((value, r), off) in tones.iter_mut().zip(&ramp).zip(silent) {
                *value = if *off { Complex32::default() } else { *value * r * chain };
                if self.noise > 0.0 {
                    let [re, im] = d.normal2();
                    *value += Complex32::new(re, im) * self.noise;
                }
            }
        }
        let power = mean_power(&csi);
        let antennas_db = 10.0 * (rx as f32).log10();
        let rssi_dbm = self.tx_power_dbm + 10.0 * power.max(1e-20).log10() + antennas_db;
        let noise_dbm = (self.noise > 0.0).then(|| {
            self.tx_power_dbm + 10.0 * (2.0 * self.noise * self.noise).max(1e-20).log10() + antennas_db
        });
        if f.agc_step_db > 0.0 || f.quantisation_bits.is_some() {
            self.gain_and_round(&mut csi, power, d);
        }
        // Devices report whole decibels.
        let rssi_dbm = if f.quantisation_bits.is_some() { rssi_dbm.round() } else { rssi_dbm };
        Heard { csi, rssi_dbm, noise_dbm }
    }

    fn gain_and_round(&self, csi: &mut [Complex32], power: f32, d: &mut Draw) {
        let f = &self.faults;
        // Room for peaks: the mean power lies 14 dB below full scale.
        let full = f.quantisation_bits.map_or(1.0, |b| f32::from((1i32 << (b.clamp(2, 16) - 1)) as u16 - 1));
        let target_db = 20.0 * (full * 0.2).log10();
        let mut gain_db = target_db - 10.0 * power.max(1e-20).log10();
        if f.agc_step_db > 0.0 {
            gain_db = (gain_db / f.agc_step_db).round() * f.agc_step_db;
            if d.chance(f.agc_miss) {
                gain_db += if d.chance(0.5) { f.agc_step_db } else { -f.agc_step_db };
            }
        }
        let gain = 10f32.powf(gain_db / 20.0);
        let fixed = |v: f32| (v * gain).round().clamp(-full - 1.0, full);
        for v in csi {
            *v = if f.quantisation_bits.is_some() {
                Complex32::new(fixed(v.re), fixed(v.im))
            } else {
                *v * gain
            };
        }
    }
}
