//! Which columns of a link's packets carry signal.

use std::sync::Arc;

use invispose_kernels::mask::{self, Standard};

use crate::stages::assembly::LinkWindow;

/// Columns with less than this share of the median column's power hold noise, not signal.
const LIVE_FLOOR: f32 = 0.04;
/// The columns with signal are looked for again after this many windows.
const COLUMNS_FOR: u32 = 600;

/// A link's columns, and when they were found.
pub(super) struct Columns {
    /// Ascending.
    pub columns: Arc<[u16]>,
    /// Packets that they were found from, and windows since.
    found_from: usize,
    windows: u32,
}

impl Columns {
    /// Those of a link that was not known before.
    pub fn of(raw: &LinkWindow) -> Self {
        Self { columns: find(raw).into(), found_from: packets(raw), windows: 0 }
    }

    /// Looks again where the time has come, or many more packets tell more.
    pub fn refresh(&mut self, raw: &LinkWindow) {
        if self.windows >= COLUMNS_FOR || packets(raw) > 2 * self.found_from {
            let found = find(raw);
            if *found != *self.columns {
                self.columns = found.into();
            }
            self.found_from = packets(raw);
            self.windows = 0;
        }
        self.windows += 1;
    }
}

fn packets(raw: &LinkWindow) -> usize {
    raw.received.iter().filter(|r| **r).count()
}

/// The columns that carry signal: those that the standard uses, where the indices say which one it is, and that have power.
fn find(raw: &LinkWindow) -> Vec<u16> {
    let subcarriers = usize::from(raw.layout.subcarriers);
    let mut power = vec![0.0f32; subcarriers];
    let rows = raw.csi.chunks_exact(raw.layout.values().max(1)).zip(&raw.received).filter(|(_, got)| **got);
    for row in rows.flat_map(|(packet, _)| packet.chunks_exact(subcarriers.max(1))) {
        for (p, h) in power.iter_mut().zip(row) {
            let square = h.norm_sqr();
            *p += if square.is_finite() { square } else { 0.0 };
        }
    }
    let live = mask::live_columns(&power, LIVE_FLOOR);
    let Some((index, standard)) = raw.subcarrier_index.as_deref().and_then(|i| Some((i, standard(raw, i)?)))
    else {
        return live;
    };
    // Pilots of one stream hold channel estimates like all others; with several streams only the first has them.
    let used = mask::usable_columns(standard, index, raw.layout.tx <= 1);
    let both: Vec<u16> = live.iter().copied().filter(|c| used.binary_search(c).is_ok()).collect();
    if 2 * both.len() >= live.len() { both } else { live }
}

/// The standard's tone plan that a link's packets have; `None` where they do not say which subcarriers they hold.
pub(crate) fn tone_plan(raw: &LinkWindow) -> Option<Standard> {
    standard(raw, raw.subcarrier_index.as_deref()?)
}

/// The tone plan that has these indices in this bandwidth.
fn standard(raw: &LinkWindow, index: &[i16]) -> Option<Standard> {
    let edge = index.iter().map(|i| i.unsigned_abs()).max()?;
    let (plain, efficient) = match raw.bandwidth_mhz? {
        20 if edge <= 26 => (Standard::Legacy20, Standard::He20),
        20 => (Standard::Ht20, Standard::He20),
        40 => (Standard::Ht40, Standard::He40),
        80 => (Standard::Vht80, Standard::He80),
        160 => (Standard::Vht160, Standard::He160),
        _ => return None,
    };
    let half = |s: Standard| (s.fft_len() / 2) as u16;
    [plain, efficient].into_iter().find(|&s| edge <= half(s))
}

/// IEEE index of a column, or its number where none is known.
pub(super) fn column_index(raw: &LinkWindow, column: u16) -> i16 {
    let known = raw.subcarrier_index.as_deref().and_then(|i| i.get(usize::from(column)).copied());
    known.unwrap_or(i16::try_from(column).unwrap_or(i16::MAX))
}
