//! Parts of a packet that a receiver scales apart from each other.
//!
//! An ESP32 hands over the legacy training field and one or two high-throughput ones in one row, and the ratio of
//! their scales steps from packet to packet. What is to be free of gain is scaled for each part.

use super::assembly::LinkWindow;

/// Subcarriers of one training field of a 20 MHz packet as an ESP32 gives it.
const FIELD: u16 = 64;

/// Ranges of a row of amplitudes, `[pair][column]`, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments(Vec<usize>);

impl Segments {
    /// The link's parts: training fields where its columns are several of an ESP32's, else the whole row of all antenna pairs,
    /// whose ratio of strengths carries information.
    ///
    /// One antenna pair with 128 or 192 columns and no tone plan is what only ESP32s give. At 40 MHz the high-throughput field
    /// is twice as long as the legacy one.
    pub fn of(raw: &LinkWindow, columns: &[u16]) -> Self {
        let layout = raw.layout;
        let several =
            layout.pairs() == 1 && matches!(layout.subcarriers, 128 | 192) && raw.subcarrier_index.is_none();
        if !several {
            return Self(vec![columns.len() * layout.pairs()]);
        }
        let wide = raw.bandwidth_mhz == Some(40);
        let field = |column: u16| if wide { (column / FIELD).min(1) } else { column / FIELD };
        let lengths = (0..3).map(|f| columns.iter().filter(|&&c| field(c) == f).count());
        Self(lengths.filter(|n| *n > 0).collect())
    }

    /// The whole row is scaled as one.
    pub fn is_whole(&self) -> bool {
        self.0.len() <= 1
    }

    /// Scales each part of one packet's amplitudes to unit mean square; parts without power become zeros.
    pub fn normalise(&self, row: &mut [f32]) {
        let mut rest = row;
        for &length in &self.0 {
            let (part, after) = rest.split_at_mut(length.min(rest.len()));
            let mean = part.iter().map(|a| a * a).sum::<f32>() / part.len().max(1) as f32;
            let scale = if mean > 0.0 && mean.is_finite() { 1.0 / mean.sqrt() } else { 0.0 };
            part.iter_mut().for_each(|a| *a *= scale);
            rest = after;
        }
    }
}
