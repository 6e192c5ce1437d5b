//! Which subcarriers a packet of a given modulation and bandwidth sounds (IEEE 802.11-2020 and 802.11ax-2021).

use std::sync::{Arc, LazyLock};

/// PHY generation of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Modulation {
    /// Legacy OFDM (802.11a/g).
    Legacy,
    /// High throughput (802.11n).
    Ht,
    /// Very high throughput (802.11ac).
    Vht,
    /// High efficiency (802.11ax), single or multi user.
    He,
}

type Indices = LazyLock<Arc<[i16]>>;

/// The positive half; the other half mirrors it.
fn mirrored(halves: &[std::ops::RangeInclusive<i16>]) -> Arc<[i16]> {
    let positive = || halves.iter().cloned().flatten();
    let mut all: Vec<i16> = positive().map(|k| -k).chain(positive()).collect();
    all.sort_unstable();
    all.into()
}

static LEGACY20: Indices = LazyLock::new(|| mirrored(&[1..=26]));
static HT20: Indices = LazyLock::new(|| mirrored(&[1..=28]));
static HT40: Indices = LazyLock::new(|| mirrored(&[2..=58]));
static VHT80: Indices = LazyLock::new(|| mirrored(&[2..=122]));
static VHT160: Indices = LazyLock::new(|| mirrored(&[6..=126, 130..=250]));
static HE40: Indices = LazyLock::new(|| mirrored(&[3..=244]));
static HE80: Indices = LazyLock::new(|| mirrored(&[3..=500]));
static HE160: Indices = LazyLock::new(|| mirrored(&[12..=509, 515..=1012]));

/// Data and pilot subcarriers, lowest frequency first; `None` for a combination that the standard does not have.
pub fn indices(modulation: Modulation, bandwidth_mhz: u16) -> Option<Arc<[i16]>> {
    use Modulation::{He, Ht, Legacy, Vht};
    let table = match (modulation, bandwidth_mhz) {
        (Legacy, 20) => &LEGACY20,
        (Ht | Vht, 20) => &HT20,
        (Ht | Vht, 40) => &HT40,
        // HE20 has the same 242 tones, at a quarter of the spacing.
        (Vht, 80) | (He, 20) => &VHT80,
        (Vht, 160) => &VHT160,
        (He, 40) => &HE40,
        (He, 80) => &HE80,
        (He, 160) => &HE160,
        _ => return None,
    };
    Some(Arc::clone(table))
}

/// Tones that AX200 and AX210 firmware reports for a 160 MHz packet: it leaves a gap of unmeasured filler between the
/// two 80 MHz halves. Gives the filler's range for `tones` reported, if there is one.
pub fn filler_160(
    modulation: Modulation,
    bandwidth_mhz: u16,
    tones: usize,
) -> Option<std::ops::Range<usize>> {
    match (modulation, bandwidth_mhz, tones) {
        (Modulation::Vht, 160, 498) => Some(242..256),
        (Modulation::He, 160, 2020) => Some(996..1024),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_the_standard() {
        use Modulation::{He, Ht, Legacy, Vht};
        let count = |m, b| indices(m, b).map(|i| i.len());
        assert_eq!([count(Legacy, 20), count(Ht, 20), count(Ht, 40)], [Some(52), Some(56), Some(114)]);
        assert_eq!([count(Vht, 80), count(Vht, 160), count(Ht, 80)], [Some(242), Some(484), None]);
        assert_eq!([20, 40, 80, 160].map(|b| count(He, b)), [242, 484, 996, 1992].map(Some));
    }
}
