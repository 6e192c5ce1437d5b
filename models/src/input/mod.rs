//! What the pose network sees: windows of complex CSI made into numbers of one fixed shape.
//!
//! Training and serving call the same functions. The front end does not depend on the device: subcarriers are averaged
//! into [`BINS`] groups, time is brought to [`RATE_HZ`], and every packet is brought to the quiet room's gain, phase and
//! phase slope, which the clocks and the gain control change (the strongest part of the channel is the quiet room's). What then differs from the
//! quiet room is what bodies add; the network sees its moments over blocks of [`BLOCK`] steps.

pub(crate) mod block;
mod channel;
mod earlier;
#[cfg(feature = "gpu")]
pub(crate) mod gpu;
mod track;
mod withheld;

pub use block::FEATURES;
pub use channel::{Binned, Reference, ReferenceBuilder};
pub use earlier::{CONTEXT_S, EARLIER, Earlier, History, Memory};
pub use track::FeatureTrack;
pub use withheld::{Part, Withheld};

use invispose_kernels::{Complex32, Layout};

/// Time steps per second that the network sees.
pub const RATE_HZ: f32 = 50.0;
/// Time steps of a window (2 s); the pose is that at the window's end.
pub const STEPS: usize = 100;
/// Steps of a block (0.2 s).
pub const BLOCK: usize = 10;
/// Blocks of a window.
pub const BLOCKS: usize = STEPS / BLOCK;
/// Seconds of a window.
pub const WINDOW_S: f32 = STEPS as f32 / RATE_HZ;
/// Groups of neighbouring subcarriers.
pub const BINS: usize = 12;
/// Receive antennas looked at; further ones are left out.
pub const ANTENNAS: usize = 3;
/// Real channels per bin: a complex value for each antenna.
pub const CHANNELS: usize = 2 * ANTENNAS;
/// Numbers that say where a link's ends stand and what its radio is.
pub const GEOMETRY: usize = 14;
/// Numbers per link that do not change with time: the quiet room's channel and the geometry.
pub const FIXED: usize = CHANNELS * BINS + GEOMETRY;
/// Links that one input can hold.
pub const MAX_LINKS: usize = 8;

/// One link's packets on a uniform time grid, the newest last.
#[derive(Clone, Copy, Debug)]
pub struct LinkWindow<'a> {
    /// `[step][pair][subcarrier]`, pairs in the order of the layout (`tx` major).
    pub csi: &'a [Complex32],
    /// Which steps hold a received packet; the values of the others are not looked at.
    pub received: &'a [bool],
    /// Antennas and subcarriers of every step.
    pub layout: Layout,
    /// Steps per second.
    pub rate_hz: f32,
    /// Transmitter, site coordinates in metres.
    pub transmitter_m: [f32; 3],
    /// Receiver, site coordinates in metres.
    pub receiver_m: [f32; 3],
    /// The same link while nobody was there.
    pub reference: &'a Reference,
}

/// What makes a window unusable.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InputError {
    /// No link.
    #[error("a window needs at least one link")]
    NoLinks,
    /// More links than the network takes.
    #[error("{0} links, the network takes at most {MAX_LINKS}")]
    TooManyLinks(usize),
    /// The arrays do not fit the layout.
    #[error("link {link}: {values} values for {steps} steps of layout {layout}")]
    Shape {
        /// Which link of the call.
        link: usize,
        /// Complex values given.
        values: usize,
        /// Steps of the mask.
        steps: usize,
        /// The stated layout.
        layout: Layout,
    },
    /// The rate is not a usable number.
    #[error("link {link}: {rate_hz} packets per second, the network needs at least {MIN_RATE_HZ}")]
    Rate {
        /// Which link of the call.
        link: usize,
        /// The rate given.
        rate_hz: f32,
    },
    /// Sizes or positions that are not finite.
    #[error("link {link}: the room or the positions are not finite numbers")]
    Geometry {
        /// Which link of the call.
        link: usize,
    },
}

/// The lowest grid rate that is accepted; below it fewer than one step in four holds a packet.
pub const MIN_RATE_HZ: f32 = 12.5;

/// One link of an [`Input`].
#[derive(Clone, Debug, PartialEq)]
pub struct LinkInput {
    /// `[BLOCKS][FEATURES]`.
    pub features: Vec<f32>,
    /// `[FIXED]`: the reference's channels, then the geometry.
    pub fixed: Vec<f32>,
}

/// One window of one site, ready for the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Size of the room in metres.
    pub room_m: [f32; 3],
    /// 1 to [`MAX_LINKS`] links, in any order.
    pub links: Vec<LinkInput>,
    /// Share of all links' steps for which a packet was received, 0..1.
    pub coverage: f32,
    /// What was left of the site's windows before, for networks that look at it.
    pub earlier: Earlier,
}

impl Input {
    /// The window of all links of a site, each at least [`WINDOW_S`] long (a shorter one counts as not received before
    /// its first step). Links must end at the same time. Nothing is known of the windows before.
    ///
    /// # Errors
    /// When there is no link or too many, or an array does not fit its layout.
    pub fn new(room_m: [f32; 3], links: &[LinkWindow<'_>]) -> Result<Self, InputError> {
        check(room_m, links)?;
        let mut received = 0;
        let inputs = links
            .iter()
            .map(|link| {
                let (input, heard) = link_input(room_m, link);
                received += heard;
                input
            })
            .collect::<Vec<_>>();
        let coverage = received as f32 / (inputs.len() * STEPS) as f32;
        Ok(Self { room_m, links: inputs, coverage, earlier: Earlier::default() })
    }
}

/// Checks that an input can be made from these links of a room.
///
/// # Errors
/// When there is no link or too many, or an array does not fit its layout.
pub fn check(room_m: [f32; 3], links: &[LinkWindow<'_>]) -> Result<(), InputError> {
    if links.is_empty() {
        return Err(InputError::NoLinks);
    }
    if links.len() > MAX_LINKS {
        return Err(InputError::TooManyLinks(links.len()));
    }
    for (index, link) in links.iter().enumerate() {
        let values = link.layout.values();
        let steps = link.received.len();
        if values == 0 || link.csi.len() != steps.saturating_mul(values) {
            return Err(InputError::Shape {
                link: index,
                values: link.csi.len(),
                steps,
                layout: link.layout,
            });
        }
        if !(link.rate_hz.is_finite() && link.rate_hz >= MIN_RATE_HZ) {
            return Err(InputError::Rate { link: index, rate_hz: link.rate_hz });
        }
        if room_m.iter().chain(&link.transmitter_m).chain(&link.receiver_m).any(|v| !v.is_finite()) {
            return Err(InputError::Geometry { link: index });
        }
    }
    Ok(())
}

/// A link's input, and how many of its steps hold a packet.
fn link_input(room_m: [f32; 3], link: &LinkWindow<'_>) -> (LinkInput, usize) {
    let values = link.layout.values();
    let mut track = FeatureTrack::new(link.reference.clone());
    for step in 0..STEPS {
        track.push(
            nearest(link, step).map(|s| Binned::of(link.layout, &link.csi[s * values..(s + 1) * values])),
        );
    }
    let fixed = fixed_features(link.reference, room_m, link.transmitter_m, link.receiver_m);
    (LinkInput { features: track.blocks(), fixed }, track.received())
}

/// The received step of the window that lies nearest to the network's step, at most half a network step away: no packet
/// stands for two steps.
fn nearest(link: &LinkWindow<'_>, step: usize) -> Option<usize> {
    let before_end_s = (STEPS - 1 - step) as f32 / RATE_HZ;
    let at = link.received.len() as f32 - 1.0 - before_end_s * link.rate_hz;
    let reach = 0.5 * link.rate_hz / RATE_HZ;
    let from = (at - reach).ceil().max(0.0) as usize;
    let to = (at + reach).floor();
    if to < 0.0 {
        return None;
    }
    (from..=(to as usize).min(link.received.len().saturating_sub(1)))
        .filter(|&s| link.received.get(s).copied().unwrap_or(false))
        .min_by(|&a, &b| (a as f32 - at).abs().total_cmp(&(b as f32 - at).abs()))
}

/// Where a link's ends stand, from the middle of the room's floor, metres.
#[cfg(feature = "nn")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ends {
    pub room_m: [f32; 3],
    pub transmitter_m: [f32; 3],
    pub receiver_m: [f32; 3],
}

#[cfg(feature = "nn")]
impl Ends {
    /// As [`fixed_features`] say.
    pub fn of(fixed: &[f32]) -> Self {
        let at = |from: usize, unit: f32| std::array::from_fn(|i| unit * fixed[CHANNELS * BINS + from + i]);
        Self { transmitter_m: at(0, POSITION_M), receiver_m: at(3, POSITION_M), room_m: at(6, SIZE_M) }
    }
}

/// The middle of a room's floor, from which the network tells places, metres.
pub(crate) fn floor_centre(room_m: [f32; 3]) -> [f32; 3] {
    [0.5 * room_m[0], 0.5 * room_m[1], 0.0]
}

/// Units of the geometry, metres: of places from the middle of the floor, and of the room's edges and the link's length.
const POSITION_M: f32 = 3.0;
const SIZE_M: f32 = 5.0;

/// The part of a link's input that does not change with time, `[FIXED]`.
pub fn fixed_features(
    reference: &Reference,
    room_m: [f32; 3],
    transmitter_m: [f32; 3],
    receiver_m: [f32; 3],
) -> Vec<f32> {
    let mut out = vec![0.0; FIXED];
    reference.write(&mut out[..CHANNELS * BINS]);
    let g = &mut out[CHANNELS * BINS..];
    let centre = floor_centre(room_m);
    let difference: [f32; 3] = std::array::from_fn(|i| receiver_m[i] - transmitter_m[i]);
    let distance = difference.iter().map(|d| d * d).sum::<f32>().sqrt();
    for i in 0..3 {
        g[i] = (transmitter_m[i] - centre[i]) / POSITION_M;
        g[3 + i] = (receiver_m[i] - centre[i]) / POSITION_M;
        g[6 + i] = room_m[i] / SIZE_M;
        g[10 + i] = difference[i] / distance.max(1e-3);
    }
    g[9] = distance / SIZE_M;
    g[13] = f32::from(reference.antennas) / ANTENNAS as f32;
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn csi(layout: Layout, steps: usize) -> Vec<Complex32> {
        (0..steps * layout.values())
            .map(|i| Complex32::from_polar(1.0 + 0.3 * (i as f32 * 0.37).sin(), i as f32 * 0.11))
            .collect()
    }

    fn reference(layout: Layout, values: &[Complex32]) -> Reference {
        let mut b = ReferenceBuilder::default();
        b.push(layout, values);
        b.finish().unwrap()
    }

    fn window<'a>(
        layout: Layout,
        csi: &'a [Complex32],
        received: &'a [bool],
        rate_hz: f32,
        reference: &'a Reference,
    ) -> LinkWindow<'a> {
        LinkWindow {
            csi,
            received,
            layout,
            rate_hz,
            transmitter_m: [0.5, 0.5, 1.0],
            receiver_m: [4.0, 3.0, 1.2],
            reference,
        }
    }

    #[test]
    fn a_common_phase_slope_and_gain_change_nothing() {
        let layout = Layout::new(1, 3, 30);
        let clean = csi(layout, STEPS);
        let mut faulty = clean.clone();
        for (step, packet) in faulty.chunks_exact_mut(layout.values()).enumerate() {
            let (gain, offset, slope) =
                (1.0 + 0.5 * (step % 3) as f32, step as f32 * 1.3, 0.05 * (step % 7) as f32);
            for (i, v) in packet.iter_mut().enumerate() {
                *v *= Complex32::from_polar(gain, offset + slope * (i % 30) as f32);
            }
        }
        let r = reference(layout, &clean[..layout.values()]);
        let received = vec![true; STEPS];
        let a = Input::new([5.0, 4.0, 2.5], &[window(layout, &clean, &received, RATE_HZ, &r)]).unwrap();
        let b = Input::new([5.0, 4.0, 2.5], &[window(layout, &faulty, &received, RATE_HZ, &r)]).unwrap();
        for (x, y) in a.links[0].features.iter().zip(&b.links[0].features) {
            // Steps are rounded to 1 / 2048.
            assert!((x - y).abs() < 0.02, "{x} {y}");
        }
    }

    #[test]
    fn any_layout_and_rate_gives_the_same_shape_and_finite_numbers() {
        for layout in
            [Layout::new(1, 1, 52), Layout::new(2, 3, 30), Layout::new(3, 3, 114), Layout::new(1, 4, 5)]
        {
            for rate in [20.0, 50.0, 100.0, 333.0] {
                let steps = (rate * WINDOW_S) as usize;
                let mut values = csi(layout, steps);
                values[3] = Complex32::new(f32::NAN, f32::INFINITY);
                let received: Vec<bool> = (0..steps).map(|s| s % 5 != 0).collect();
                let r = reference(layout, &values[layout.values()..2 * layout.values()]);
                let input =
                    Input::new([5.0, 4.0, 2.5], &[window(layout, &values, &received, rate, &r)]).unwrap();
                assert_eq!(input.links[0].features.len(), BLOCKS * FEATURES);
                assert_eq!(input.links[0].fixed.len(), FIXED);
                assert!(input.links[0].features.iter().chain(&input.links[0].fixed).all(|v| v.is_finite()));
                assert!(input.coverage > 0.25 && input.coverage <= 1.0, "{}", input.coverage);
            }
        }
    }

    #[test]
    fn the_quiet_room_itself_gives_zero() {
        let layout = Layout::new(1, 3, 30);
        let packet = csi(layout, 1);
        let values: Vec<_> = (0..STEPS).flat_map(|_| packet.clone()).collect();
        let r = reference(layout, &packet);
        let received = vec![true; STEPS];
        let input = Input::new([5.0, 4.0, 2.5], &[window(layout, &values, &received, RATE_HZ, &r)]).unwrap();
        for block in input.links[0].features.chunks_exact(FEATURES) {
            // No second moment, the logarithm of next to nothing, every packet received.
            assert!(block[..BLOCK].iter().all(|v| v.abs() < 1e-4));
            assert!(block.iter().any(|v| *v < -2.0) && block[FEATURES - 1] == 1.0);
        }
    }

    #[test]
    fn noise_about_the_quiet_room_looks_like_nothing_that_stands_there() {
        use rand::{RngExt, SeedableRng};
        let layout = Layout::new(1, 3, 30);
        let quiet = csi(layout, 1);
        let r = reference(layout, &quiet);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let power = quiet.iter().map(Complex32::norm_sqr).sum::<f32>() / quiet.len() as f32;
        let (mut mean, packets) = ([0.0; CHANNELS * BINS], 4000);
        for _ in 0..packets {
            // 10 dB.
            let mut part = || rng.sample::<f32, _>(rand_distr::StandardNormal) * (0.05 * power).sqrt();
            let noisy: Vec<_> = quiet.iter().map(|v| v + Complex32::new(part(), part())).collect();
            let mut deviation = [0.0; CHANNELS * BINS];
            assert!(r.write_deviation(&Binned::of(layout, &noisy), &mut deviation));
            for (m, d) in mean.iter_mut().zip(deviation) {
                *m += d / packets as f32;
            }
        }
        let mut own = [0.0; CHANNELS * BINS];
        r.write(&mut own);
        let along =
            mean.iter().zip(own).map(|(m, o)| m * o).sum::<f32>() / own.iter().map(|o| o * o).sum::<f32>();
        // The gain that brings a packet nearest would leave -0.04 of the quiet channel itself.
        assert!(along.abs() < 0.005, "{along}");
    }

    #[test]
    fn bad_shapes_are_refused() {
        let layout = Layout::new(1, 3, 30);
        let values = csi(layout, STEPS);
        let r = reference(layout, &values[..layout.values()]);
        let received = vec![true; STEPS];
        assert_eq!(Input::new([5.0, 4.0, 2.5], &[]), Err(InputError::NoLinks));
        let short = window(layout, &values[1..], &received, RATE_HZ, &r);
        assert!(matches!(Input::new([5.0, 4.0, 2.5], &[short]), Err(InputError::Shape { .. })));
        let slow = window(layout, &values, &received, f32::NAN, &r);
        assert!(matches!(Input::new([5.0, 4.0, 2.5], &[slow]), Err(InputError::Rate { .. })));
        let many = vec![window(layout, &values, &received, RATE_HZ, &r); MAX_LINKS + 1];
        assert_eq!(Input::new([5.0, 4.0, 2.5], &many), Err(InputError::TooManyLinks(MAX_LINKS + 1)));
    }
}
