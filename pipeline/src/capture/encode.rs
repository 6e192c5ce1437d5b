//! Why a frame cannot be written in a device's format.

/// A frame that does not fit the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The link's name does not hold the address that the format needs.
    #[error("link `{link}` is not named as the format needs: {expected}")]
    Link {
        /// The link's name.
        link: String,
        /// The form that was expected.
        expected: &'static str,
    },
    /// The format has no room for this layout.
    #[error("layout {layout} does not fit: {expected}")]
    Layout {
        /// The frame's layout.
        layout: invispose_kernels::Layout,
        /// What fits.
        expected: &'static str,
    },
    /// A value lies outside the format's integers.
    #[error("value {value} at {index} lies outside {range}")]
    Range {
        /// Index into `csi`.
        index: usize,
        /// The real or imaginary part, as printed.
        value: String,
        /// The permitted range.
        range: &'static str,
    },
}

/// `value` rounded to an integer of `min..=max`.
pub(super) fn quantise(
    value: f32,
    index: usize,
    (min, max): (i32, i32),
    range: &'static str,
) -> Result<i32, EncodeError> {
    let rounded = value.round();
    if rounded >= min as f32 && rounded <= max as f32 {
        Ok(rounded as i32)
    } else {
        Err(EncodeError::Range { index, value: value.to_string(), range })
    }
}
