//! The shape of one packet's CSI.

use serde::{Deserialize, Serialize};

/// Antennas × subcarriers of a packet: the CSI array is `[tx][rx][subcarrier]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Layout {
    /// Transmit chains (spatial streams) sounded.
    pub tx: u16,
    /// Receive antennas.
    pub rx: u16,
    /// Subcarriers reported for each antenna pair.
    pub subcarriers: u16,
}

impl Layout {
    /// A layout of `tx` × `rx` antennas and `subcarriers` tones.
    pub const fn new(tx: u16, rx: u16, subcarriers: u16) -> Self {
        Self { tx, rx, subcarriers }
    }

    /// Antenna pairs: `tx * rx`.
    pub const fn pairs(self) -> usize {
        self.tx as usize * self.rx as usize
    }

    /// Complex values in one packet.
    pub const fn values(self) -> usize {
        self.pairs() * self.subcarriers as usize
    }
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.tx, self.rx, self.subcarriers)
    }
}
