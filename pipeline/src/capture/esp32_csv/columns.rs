//! Where the columns of a row stand.

/// More columns than any firmware writes before the array.
pub(super) const MAX: usize = 40;

/// Positions of the columns that are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    /// Columns before the array.
    pub count: usize,
    pub sequence: Option<usize>,
    pub mac: usize,
    pub rssi: usize,
    pub bandwidth: Option<usize>,
    pub noise: Option<usize>,
    pub channel: Option<usize>,
    pub secondary: Option<usize>,
    pub timestamp: usize,
    pub len: usize,
}

impl Columns {
    /// The column set that has `count` columns before the array.
    pub(super) fn from_count(count: usize) -> Option<Self> {
        let classic = Self {
            count,
            sequence: Some(1),
            mac: 2,
            rssi: 3,
            bandwidth: Some(7),
            noise: Some(14),
            channel: Some(16),
            secondary: Some(17),
            timestamp: 18,
            len: 22,
        };
        match count {
            25 => Some(Self { sequence: None, len: 24, ..classic }),
            24 => Some(classic),
            26 => Some(Self { len: 24, ..classic }),
            14 => Some(Self {
                bandwidth: None,
                noise: Some(5),
                channel: Some(8),
                secondary: None,
                timestamp: 9,
                len: 12,
                ..classic
            }),
            _ => None,
        }
    }

    /// Reads a header line, `type,…,data` or `type,…,CSI_DATA`; `None` where the line is none or lacks a needed column.
    pub(super) fn from_header(line: &[u8]) -> Option<Self> {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if !line.starts_with(b"type,") {
            return None;
        }
        let names = || line.trim_ascii().split(|&b| b == b',').map(|n| n.trim_ascii());
        let at = |wanted: &[&[u8]]| names().position(|n| wanted.contains(&n));
        let count = at(&[b"data", b"CSI_DATA"]).filter(|&c| c <= MAX)?;
        Some(Self {
            count,
            sequence: at(&[b"seq", b"id"]),
            mac: at(&[b"mac"])?,
            rssi: at(&[b"rssi"])?,
            bandwidth: at(&[b"bandwidth", b"cwb"]),
            noise: at(&[b"noise_floor"]),
            channel: at(&[b"channel", b"channel_primary"]),
            secondary: at(&[b"secondary_channel", b"channel_secondary"]),
            timestamp: at(&[b"local_timestamp"])?,
            len: at(&[b"len"])?,
        })
    }
}
