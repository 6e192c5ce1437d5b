//! What a cleanup plan leaves on the device.

use crate::cleanup::{CleanupSpec, Sizes};

/// A result on the device, laid out as in [`crate::cleanup::Clean`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// `[window][T]`.
    Gain,
    /// `[window][T][pairs][columns]`.
    Amplitude,
    /// `[window][T][pairs][columns]`, radians.
    Phase,
    /// Real part of the ratio, `[window][T][pairs][columns]`.
    RatioRe,
    /// Imaginary part.
    RatioIm,
    /// `[window][T][pairs][fft_len]`.
    Delay,
    /// `[window][pairs][frames][len]`.
    Doppler,
    /// `[window][2]`: the statistic, and 1 where it could be measured, else 0.
    Motion,
}

impl Output {
    pub(super) const ALL: [Output; 8] = [
        Output::Gain,
        Output::Amplitude,
        Output::Phase,
        Output::RatioRe,
        Output::RatioIm,
        Output::Delay,
        Output::Doppler,
        Output::Motion,
    ];

    /// `f32`s of one window.
    pub(super) fn len(self, spec: &CleanupSpec, sizes: &Sizes) -> usize {
        match self {
            Output::Gain => spec.steps,
            Output::Amplitude | Output::Phase => sizes.values,
            Output::RatioRe | Output::RatioIm => sizes.ratio,
            Output::Delay => sizes.delay,
            Output::Doppler => sizes.doppler,
            Output::Motion => 2 * usize::from(spec.motion),
        }
    }
}
