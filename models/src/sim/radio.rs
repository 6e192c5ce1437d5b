//! Radios: where they stand, what they sound, and what is wrong with them.

use invispose_kernels::Layout;
use serde::{Deserialize, Serialize};

use super::geom::{Vec3, v3};
use super::phasor::SPEED_OF_LIGHT;

/// Which subcarriers are reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subcarriers {
    /// Intel 5300 at 20 MHz: 30 groups (IEEE 802.11n-2009, table 7-25f, Ng = 2).
    Intel5300,
    /// Intel 5300 at 40 MHz: 30 groups (Ng = 4).
    Intel5300Ht40,
    /// HT at 20 MHz: 56 tones, ±1…28.
    Ht20,
    /// HT at 40 MHz: 114 tones, ±2…58.
    Ht40,
    /// ESP32 at 20 MHz: all 64 bins of the transform, -32…31; guard bins and DC carry no signal.
    Esp32,
    /// VHT at 80 MHz: 242 tones, ±2…122.
    Vht80,
    /// VHT at 160 MHz: 484 tones, two 80 MHz halves.
    Vht160,
    /// These indices, 0 = the carrier.
    List(Vec<i16>),
}

impl Subcarriers {
    /// Indices in multiples of 312.5 kHz from the carrier.
    pub fn indices(&self) -> Vec<i16> {
        let sides = |from: i16, to: i16| (-to..=-from).chain(from..=to).collect::<Vec<_>>();
        match self {
            Self::Intel5300 => {
                (-28..=-2).step_by(2).chain([-1]).chain((1..=27).step_by(2)).chain([28]).collect()
            }
            Self::Intel5300Ht40 => (-58..=-2).step_by(4).chain((2..=58).step_by(4)).collect(),
            Self::Ht20 => sides(1, 28),
            Self::Ht40 => sides(2, 58),
            Self::Esp32 => (-32..=31).collect(),
            Self::Vht80 => sides(2, 122),
            Self::Vht160 => vht160(),
            Self::List(l) => l.clone(),
        }
    }

    /// Indices that are reported but never sent: the columns hold noise only.
    pub(crate) fn silent(&self, index: i16) -> bool {
        matches!(self, Self::Esp32) && (index == 0 || index.abs() > 28)
    }
}

fn vht160() -> Vec<i16> {
    [-128i16, 128].iter().flat_map(|c| (-122..=-2).chain(2..=122).map(move |k| c + k)).collect()
}

/// What every radio of the scene has in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Radio {
    /// Carrier frequency, hertz.
    pub carrier_hz: f64,
    /// Channel bandwidth, MHz; sets the sampling interval.
    pub bandwidth_mhz: u16,
    /// Reported subcarriers, 312.5 kHz apart.
    pub subcarriers: Subcarriers,
    /// Packets per second of each transmitter; transmitters take turns.
    pub packet_hz: f32,
    /// Transmit power, dBm.
    pub tx_power_dbm: f32,
}

impl Radio {
    /// Subcarrier spacing of 802.11a to ac, hertz.
    pub const SPACING_HZ: f64 = 312_500.0;

    /// Wavelength at the carrier, metres.
    pub fn wavelength_m(&self) -> f32 {
        (SPEED_OF_LIGHT / self.carrier_hz) as f32
    }
}

/// A transmitter or receiver with a uniform linear array.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Middle of the array, metres.
    pub position_m: [f32; 3],
    /// Antennas.
    pub antennas: u16,
    /// Direction of the array's axis on the floor plan, degrees from x towards y.
    #[serde(default)]
    pub axis_deg: f32,
    /// Distance between neighbouring antennas, metres; half a wavelength where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_m: Option<f32>,
}

impl Node {
    /// Positions of the antennas, metres.
    pub fn antenna_positions(&self, wavelength_m: f32) -> Vec<[f32; 3]> {
        let axis = Vec3::X.turned(self.axis_deg.to_radians());
        let spacing = self.spacing_m.unwrap_or(wavelength_m / 2.0);
        let middle = (f32::from(self.antennas) - 1.0) / 2.0;
        (0..self.antennas)
            .map(|i| (Vec3::from(self.position_m) + axis * (spacing * (f32::from(i) - middle))).into())
            .collect()
    }

    pub(crate) fn center(&self) -> Vec3 {
        let [x, y, z] = self.position_m;
        v3(x, y, z)
    }
}

/// One transmitter-receiver pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// `transmitter-receiver` by their names.
    pub name: String,
    /// Index of the transmitter in the scene.
    pub transmitter: usize,
    /// Index of the receiver in the scene.
    pub receiver: usize,
    /// Antennas and subcarriers of its packets.
    pub layout: Layout,
}

/// What is wrong with the radios. Every part is switched off by 0 or `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Thermal noise: mean power of the empty room's channel over the noise power, dB, for each link.
    pub snr_db: Option<f32>,
    /// Standard deviation of the packet detection offset, nanoseconds: a linear phase over subcarriers.
    pub sto_ns: f32,
    /// Sampling clock offset, parts per million: the delay drifts and is pulled back by a sample when it has drifted
    /// by one.
    pub sfo_ppm: f32,
    /// Residual carrier frequency offset, hertz, plus `cfo_phase_rad` of random phase: common to a receiver's antennas.
    pub cfo_hz: f32,
    /// Standard deviation of a packet's random common phase, radians; anything above 3 is uniform.
    pub cfo_phase_rad: f32,
    /// The phase-locked loops lock anew this often, with a new random phase for every antenna; per second.
    pub pll_jumps_per_s: f32,
    /// Random constant phase of every receive antenna (from powering up).
    pub antenna_phase: bool,
    /// Spread of the receive chains' constant gains, dB (standard deviation).
    pub antenna_gain_db: f32,
    /// Step of the automatic gain control, dB; without it the gain is exact.
    pub agc_step_db: f32,
    /// Probability that a packet is taken with the gain one step off.
    pub agc_miss: f32,
    /// Bits of each real and imaginary part, 2 to 16, as the device rounds them.
    pub quantisation_bits: Option<u8>,
    /// Standard deviation of the packet interval's jitter, seconds.
    pub jitter_s: f32,
    /// Probability that a receiver misses a packet.
    pub loss: f32,
    /// Slow drift of the reflected static paths: relative amplitude.
    pub drift: f32,
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

impl Faults {
    /// A radio without faults.
    pub const fn none() -> Self {
        Self {
            snr_db: None,
            sto_ns: 0.0,
            sfo_ppm: 0.0,
            cfo_hz: 0.0,
            cfo_phase_rad: 0.0,
            pll_jumps_per_s: 0.0,
            antenna_phase: false,
            antenna_gain_db: 0.0,
            agc_step_db: 0.0,
            agc_miss: 0.0,
            quantisation_bits: None,
            jitter_s: 0.0,
            loss: 0.0,
            drift: 0.0,
        }
    }

    /// An ordinary Intel 5300 in an ordinary room.
    pub const fn ordinary() -> Self {
        Self {
            snr_db: Some(28.0),
            sto_ns: 25.0,
            sfo_ppm: 2.0,
            cfo_hz: 200.0,
            cfo_phase_rad: 4.0,
            pll_jumps_per_s: 0.0,
            antenna_phase: true,
            antenna_gain_db: 1.0,
            agc_step_db: 1.0,
            agc_miss: 0.02,
            quantisation_bits: Some(8),
            jitter_s: 0.0005,
            loss: 0.01,
            drift: 0.0,
        }
    }
}
