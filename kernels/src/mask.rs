//! Which subcarriers carry signal: null, guard, DC and pilot tones of each standard.
//!
//! Source: IEEE 802.11-2020, 17.3.5.10 (legacy), table 19-6 with 19.3.11.10 (HT), 21.3.7 and 21.3.10.10 (VHT);
//! IEEE 802.11ax-2021, 27.3.2.2 and 27.3.12.13 (HE, the resource unit that fills the channel).

use serde::{Deserialize, Serialize};

/// A modulation format and bandwidth with its own tone plan. VHT20 and VHT40 have the plans of HT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standard {
    /// 802.11a/g, 20 MHz: 52 tones.
    Legacy20,
    /// 802.11n and VHT, 20 MHz: 56 tones.
    Ht20,
    /// 802.11n and VHT, 40 MHz: 114 tones.
    Ht40,
    /// 802.11ac, 80 MHz: 242 tones.
    Vht80,
    /// 802.11ac, 160 MHz: 484 tones.
    Vht160,
    /// 802.11ax, 20 MHz: 242 tones.
    He20,
    /// 802.11ax, 40 MHz: 484 tones.
    He40,
    /// 802.11ax, 80 MHz: 996 tones.
    He80,
    /// 802.11ax, 160 MHz: 1992 tones.
    He160,
}

impl Standard {
    /// Every standard.
    pub const ALL: [Standard; 9] = [
        Standard::Legacy20,
        Standard::Ht20,
        Standard::Ht40,
        Standard::Vht80,
        Standard::Vht160,
        Standard::He20,
        Standard::He40,
        Standard::He80,
        Standard::He160,
    ];

    /// Ranges of used `|index|`, both ends included.
    const fn used(self) -> &'static [(u16, u16)] {
        match self {
            Standard::Legacy20 => &[(1, 26)],
            Standard::Ht20 => &[(1, 28)],
            Standard::Ht40 => &[(2, 58)],
            Standard::Vht80 | Standard::He20 => &[(2, 122)],
            Standard::Vht160 => &[(6, 126), (130, 250)],
            Standard::He40 => &[(3, 244)],
            Standard::He80 => &[(3, 500)],
            Standard::He160 => &[(12, 509), (515, 1012)],
        }
    }

    /// `|index|` of the pilots.
    const fn pilots(self) -> &'static [u16] {
        match self {
            Standard::Legacy20 | Standard::Ht20 => &[7, 21],
            Standard::Ht40 => &[11, 25, 53],
            Standard::Vht80 => &[11, 39, 75, 103],
            Standard::Vht160 => &[25, 53, 89, 117, 139, 167, 203, 231],
            Standard::He20 => &[22, 48, 90, 116],
            Standard::He40 => &[10, 36, 78, 104, 144, 170, 212, 238],
            Standard::He80 => &[24, 92, 158, 226, 266, 334, 400, 468],
            Standard::He160 => {
                &[44, 112, 178, 246, 286, 354, 420, 488, 536, 604, 670, 738, 778, 846, 912, 980]
            }
        }
    }

    /// Size of the transform: tones from one band edge to the other.
    pub const fn fft_len(self) -> usize {
        match self {
            Standard::Legacy20 | Standard::Ht20 => 64,
            Standard::Ht40 => 128,
            Standard::Vht80 | Standard::He20 => 256,
            Standard::Vht160 | Standard::He40 => 512,
            Standard::He80 => 1024,
            Standard::He160 => 2048,
        }
    }

    /// Distance of two tones, hertz.
    pub const fn spacing_hz(self) -> f64 {
        match self {
            Standard::He20 | Standard::He40 | Standard::He80 | Standard::He160 => 78_125.0,
            _ => 312_500.0,
        }
    }

    /// The tone `index` (0 = DC) is sent on: neither guard nor DC.
    pub fn is_used(self, index: i16) -> bool {
        let i = index.unsigned_abs();
        self.used().iter().any(|&(from, to)| (from..=to).contains(&i))
    }

    /// The tone `index` is a pilot.
    pub fn is_pilot(self, index: i16) -> bool {
        self.pilots().contains(&index.unsigned_abs())
    }

    /// The indices of all used tones, ascending, with or without the pilots.
    pub fn tones(self, pilots: bool) -> Vec<i16> {
        let edge = self.fft_len() as i16 / 2;
        (-edge..edge).filter(|&i| self.is_used(i) && (pilots || !self.is_pilot(i))).collect()
    }
}

/// The columns whose tones `standard` uses, ascending; pilots are left out unless `pilots`.
///
/// In CSI taken from the long training fields the pilot tones hold channel estimates like all others, except
/// that VHT and HE send them on one stream only: keep them for one stream, drop them for several.
pub fn usable_columns(standard: Standard, subcarrier_index: &[i16], pilots: bool) -> Vec<u16> {
    (0u16..)
        .zip(subcarrier_index)
        .filter(|&(_, &i)| standard.is_used(i) && (pilots || !standard.is_pilot(i)))
        .map(|(column, _)| column)
        .collect()
}

/// The columns with signal where the indices are unknown: those whose mean power over a block of packets exceeds
/// `floor` (e.g. `1e-3`) times the median of the columns with any power at all.
///
/// `mean_power[column]` is in any unit.
pub fn live_columns(mean_power: &[f32], floor: f32) -> Vec<u16> {
    let mut sorted: Vec<f32> = mean_power.iter().copied().filter(|p| p.is_finite() && *p > 0.0).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let Some(&median) = sorted.get(sorted.len() / 2) else { return Vec::new() };
    (0u16..).zip(mean_power).filter(|&(_, &p)| p > floor * median).map(|(column, _)| column).collect()
}

/// Copies the usable columns of each row: `from` is `[rows][subcarriers]`, `to` is `[rows][columns.len()]`.
pub fn select_columns<T: Copy>(from: &[T], subcarriers: usize, columns: &[u16], to: &mut [T]) {
    if columns.is_empty() || subcarriers == 0 {
        return;
    }
    for (row, out) in from.chunks_exact(subcarriers).zip(to.chunks_exact_mut(columns.len())) {
        for (o, &c) in out.iter_mut().zip(columns) {
            if let Some(&v) = row.get(c as usize) {
                *o = v;
            }
        }
    }
}
