//! Cleanup of batches of windows: one trait, implemented on the CPU ([`crate::cpu::CpuCleanup`]) and, with the feature
//! `gpu`, on a GPU.
//!
//! A plan is made once for a [`CleanupSpec`] and owns every table, transform and buffer; running it allocates nothing.

use thiserror::Error;

use crate::{Complex32, Layout, mask};

/// How packets are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// As received.
    Keep,
    /// Unit mean power over the kept columns of all pairs ([`crate::agc::normalise`]).
    UnitPower,
}

/// Which line is taken out of the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sanitise {
    /// Each pair its own ([`crate::phase::sanitise_linear`]).
    PerPair,
    /// One for all pairs of a packet ([`crate::phase::sanitise_spotfi`]).
    Shared,
}

/// CSI ratio against one receive antenna.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The receive antenna to divide by, for each transmit antenna.
    pub antenna: u16,
    /// Smallest divisor as a share of the reference's mean power in the packet ([`crate::ratio::csi_ratio`]).
    pub floor: f32,
}

/// Outlier removal over time, on amplitude ([`crate::hampel::hampel`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hampel {
    /// Packets on either side.
    pub half: usize,
    /// Limit in standard deviations.
    pub sigmas: f32,
}

/// Frames of the Doppler spectrogram ([`crate::doppler::DopplerPlan`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doppler {
    /// Packets in a frame.
    pub len: usize,
    /// Packets from one frame to the next.
    pub hop: usize,
}

/// What a plan is made for.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanupSpec {
    /// Shape of the packets that come in.
    pub layout: Layout,
    /// Subcarrier index of each incoming column (0 = DC), `layout.subcarriers` long, ascending.
    pub index: Vec<i16>,
    /// The columns to keep, ascending.
    pub columns: Vec<u16>,
    /// Packets in a window, T.
    pub steps: usize,
    /// Most windows in one run.
    pub windows: usize,
    /// Scale of the packets.
    pub scale: Scale,
    /// Line to remove from the phase.
    pub sanitise: Sanitise,
    /// CSI ratio; `None` leaves it out.
    pub ratio: Option<Ratio>,
    /// Hampel filter over the window; `None` leaves it out.
    pub hampel: Option<Hampel>,
    /// Length of the transform for the delay profile (columns at their indices); `None` leaves it out.
    pub delay: Option<usize>,
    /// Doppler spectrogram; `None` leaves it out.
    pub doppler: Option<Doppler>,
    /// Motion statistic of each window.
    pub motion: bool,
}

impl CleanupSpec {
    /// Whole windows in `input`; an error for none, more than the plan holds, or a part of one.
    pub(crate) fn windows_in(&self, input: &Iq<'_>) -> Result<usize, CleanupError> {
        self.whole_windows(input.len())
    }

    /// Windows in so many complex values.
    pub(crate) fn whole_windows(&self, values: usize) -> Result<usize, CleanupError> {
        let window_values = self.steps * self.layout.values();
        let windows = values / window_values;
        if windows == 0 || windows > self.windows || windows * window_values != values {
            return Err(CleanupError::Input { values, window_values, windows: self.windows });
        }
        Ok(windows)
    }

    /// Packets of `layout` one by one (T = 1), up to `windows` in a run: unit power, per-pair phase, ratio against the
    /// first receive antenna where there are several, nothing over time.
    pub fn packets(layout: Layout, index: Vec<i16>, columns: Vec<u16>, windows: usize) -> Self {
        Self {
            layout,
            index,
            columns,
            steps: 1,
            windows,
            scale: Scale::UnitPower,
            sanitise: Sanitise::PerPair,
            ratio: (layout.rx > 1).then_some(Ratio { antenna: 0, floor: 1e-2 }),
            hampel: None,
            delay: None,
            doppler: None,
            motion: false,
        }
    }

    /// Keeps the tones that `standard` uses.
    pub fn keep(mut self, standard: mask::Standard, pilots: bool) -> Self {
        self.columns = mask::usable_columns(standard, &self.index, pilots);
        self
    }

    /// Frames of the Doppler spectrogram in a window; 0 without one.
    pub fn doppler_frames(&self) -> usize {
        self.doppler.map_or(0, |d| self.steps.checked_sub(d.len).map_or(0, |rest| rest / d.hop.max(1) + 1))
    }

    /// Lengths of the outputs of one window.
    pub fn sizes(&self) -> Sizes {
        let (pairs, packet) = (self.layout.pairs(), self.layout.pairs() * self.columns.len());
        Sizes {
            values: self.steps * packet,
            ratio: if self.ratio.is_some() { self.steps * packet } else { 0 },
            delay: self.delay.map_or(0, |n| self.steps * pairs * n),
            doppler: self.doppler.map_or(0, |d| pairs * self.doppler_frames() * d.len),
        }
    }

    /// Checks that a plan can be made.
    ///
    /// # Errors
    /// [`CleanupError::Spec`] names what does not fit.
    pub fn check(&self) -> Result<(), CleanupError> {
        let s = self.layout.subcarriers as usize;
        let fail = |what| Err(CleanupError::Spec(what));
        if self.layout.pairs() == 0 || self.columns.is_empty() {
            return fail("no antenna pairs or no columns");
        }
        if self.index.len() != s {
            return fail("index is not as long as the layout has subcarriers");
        }
        if !self.index.is_sorted_by(|a, b| a < b) || !self.columns.is_sorted_by(|a, b| a < b) {
            return fail("index or columns do not ascend");
        }
        if self.columns.last().is_some_and(|&c| c as usize >= s) {
            return fail("a column lies outside the layout");
        }
        if self.steps == 0 || self.windows == 0 {
            return fail("no steps or no windows");
        }
        if self.ratio.is_some_and(|r| r.antenna >= self.layout.rx || !(r.floor > 0.0)) {
            return fail("ratio: no such receive antenna, or a floor that is not positive");
        }
        if self.hampel.is_some_and(|h| h.half == 0 || h.half > 32 || !(h.sigmas >= 0.0)) {
            return fail("hampel: half is not in 1..=32, or sigmas is negative");
        }
        if self.delay.is_some_and(|n| n == 0 || n > 1 << 14) {
            return fail("delay: the transform's length is not in 1..=16384");
        }
        if self.doppler.is_some_and(|d| d.len == 0 || d.hop == 0 || d.len > self.steps) {
            return fail("doppler: no length or hop, or a frame longer than the window");
        }
        Ok(())
    }
}

/// Lengths of the outputs of one window, in `f32`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Amplitude and phase: `[T][pairs][columns]`.
    pub values: usize,
    /// Each half of the ratio: the same, or 0.
    pub ratio: usize,
    /// Delay profiles: `[T][pairs][fft_len]`, or 0.
    pub delay: usize,
    /// Spectrograms: `[pairs][frames][len]`, or 0.
    pub doppler: usize,
}

/// Complex samples as they come, `[window][T][tx][rx][subcarrier]`. A packet of zeros stands for one that was not
/// received: its outputs are zeros, and statistics over time leave it out.
#[derive(Clone, Copy, Debug)]
pub enum Iq<'a> {
    /// Signed bytes, real part first.
    I8(&'a [[i8; 2]]),
    /// Signed bytes, imaginary part first (ESP32).
    I8ImaginaryFirst(&'a [[i8; 2]]),
    /// Signed 16-bit numbers, real part first, in the machine's byte order.
    I16(&'a [[i16; 2]]),
    /// Floats.
    F32(&'a [Complex32]),
}

impl<'a> Iq<'a> {
    /// Complex values.
    pub fn len(&self) -> usize {
        match self {
            Iq::I8(x) | Iq::I8ImaginaryFirst(x) => x.len(),
            Iq::I16(x) => x.len(),
            Iq::F32(x) => x.len(),
        }
    }

    /// No values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of one complex value.
    pub fn value_bytes(&self) -> usize {
        match self {
            Iq::I8(_) | Iq::I8ImaginaryFirst(_) => 2,
            Iq::I16(_) => 4,
            Iq::F32(_) => 8,
        }
    }

    /// The values `from..from + len`; empty if there are not so many.
    pub fn slice(&self, from: usize, len: usize) -> Iq<'a> {
        fn part<T>(x: &[T], from: usize, len: usize) -> &[T] {
            x.get(from..).and_then(|x| x.get(..len)).unwrap_or(&[])
        }
        match self {
            Iq::I8(x) => Iq::I8(part(x, from, len)),
            Iq::I8ImaginaryFirst(x) => Iq::I8ImaginaryFirst(part(x, from, len)),
            Iq::I16(x) => Iq::I16(part(x, from, len)),
            Iq::F32(x) => Iq::F32(part(x, from, len)),
        }
    }
}

/// The outputs of one run, on the host; every array is `[windows]` times what [`Sizes`] says.
#[derive(Clone, Copy, Debug)]
pub struct Clean<'a> {
    /// Windows in this run.
    pub windows: usize,
    /// What each packet was multiplied by, `[window][T]`; 0 for one that was not received.
    pub gain: &'a [f32],
    /// `|h|`, scaled and Hampel-filtered.
    pub amplitude: &'a [f32],
    /// Sanitised phase, radians.
    pub phase: &'a [f32],
    /// Real part of the CSI ratio.
    pub ratio_re: &'a [f32],
    /// Imaginary part of the CSI ratio.
    pub ratio_im: &'a [f32],
    /// Power delay profile of each packet and pair ([`crate::delay::DelayPlan::run`]) of the scaled CSI.
    pub delay: &'a [f32],
    /// Doppler spectrogram of each pair: the mean over the kept columns of the power spectrum of the CSI ratio, or,
    /// without a ratio, of the amplitude. Two-sided, zero at `len / 2`. The mean that a frame loses is that of its
    /// received packets, and missing ones count as that mean.
    pub doppler: &'a [f32],
    /// Motion statistic ([`crate::motion::autocorrelation`] of `amplitude²`) of each window; `None` where it cannot be
    /// measured. Empty if it was not asked for.
    pub motion: &'a [Option<f32>],
}

/// What stops a cleanup.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CleanupError {
    /// The specification contradicts itself.
    #[error("cleanup specification: {0}")]
    Spec(&'static str),
    /// The input is no whole number of windows, or more of them than the plan has room for.
    #[error("{values} values are not 1..={windows} windows of {window_values}")]
    Input {
        /// Complex values given.
        values: usize,
        /// Complex values of one window.
        window_values: usize,
        /// Windows that the plan has room for.
        windows: usize,
    },
    /// The device was lost or refused; the pipeline goes on with another.
    #[error("device: {0}")]
    Device(String),
}

/// A plan for cleaning batches of windows.
pub trait Cleanup: Send {
    /// What the plan was made for.
    fn spec(&self) -> &CleanupSpec;

    /// Starts cleaning a batch of whole windows. What an earlier run gave is lost.
    ///
    /// # Errors
    /// [`CleanupError::Input`] if `input` does not fit, [`CleanupError::Device`] if the device is gone.
    fn run(&mut self, input: Iq<'_>) -> Result<(), CleanupError>;

    /// The outputs of the last run, waiting for them and bringing them to the host where they are elsewhere.
    ///
    /// # Errors
    /// [`CleanupError::Device`] if the device is gone.
    fn read(&mut self) -> Result<Clean<'_>, CleanupError>;
}
