//! Intel 5300, Atheros, FeitCSI and PicoScenes: properties, on captures made bit by bit here.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use invispose_pipeline::Complex32;
use invispose_pipeline::capture::{Format, Item, atheros, feitcsi, intel5300, picoscenes};
use proptest::prelude::*;

const FORMATS: [&Format; 4] = [&intel5300::FORMAT, &atheros::FORMAT, &feitcsi::FORMAT, &picoscenes::FORMAT];

fn decode_all(format: &Format, data: &[u8]) -> Vec<Item> {
    let mut decoder = (format.decoder)();
    let items: Vec<Item> = std::iter::from_fn(|| decoder.next(data)).take(data.len() + 1).collect();
    assert!(items.len() <= data.len(), "more items than bytes");
    let offsets: Vec<u64> = items.iter().filter_map(|item| Some(item.as_ref().err()?.offset)).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b) && offsets.iter().all(|&at| at < data.len() as u64));
    items
}

/// Appends the low `count` bits of `value`, lowest first.
fn push_bits(bits: &mut Vec<bool>, value: i32, count: usize) {
    bits.extend((0..count).map(|i| value >> i & 1 == 1));
}

fn pack(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|chunk| chunk.iter().enumerate().map(|(i, &bit)| u8::from(bit) << i).sum()).collect()
}

/// Values that depend on every index, within `limit`.
fn value(seed: u32, tx: usize, rx: usize, tone: usize, limit: i32) -> (i32, i32) {
    let mix = seed as usize * 7919 + tx * 911 + rx * 337 + tone * 13;
    let part = |n: usize| (n % (2 * limit as usize)) as i32 - limit;
    (part(mix), part(mix * 31 + 5))
}

fn complex((re, im): (i32, i32)) -> Complex32 {
    Complex32::new(re as f32, im as f32)
}

fn expected(seed: u32, tx: usize, rx: usize, tones: usize, limit: i32) -> Vec<Complex32> {
    let mut csi = Vec::new();
    for t in 0..tx {
        for r in 0..rx {
            csi.extend((0..tones).map(|tone| complex(value(seed, t, r, tone, limit))));
        }
    }
    csi
}

/// A record and what it holds.
#[derive(Clone)]
struct Sample {
    bytes: Vec<u8>,
    csi: Vec<Complex32>,
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, {} values", self.bytes.len(), self.csi.len())
    }
}

fn intel_sample(seed: u32) -> Sample {
    let (ntx, nrx) = (1 + (seed % 3) as u8, 1 + (seed / 3 % 3) as u8);
    let record = intel5300::Record {
        timestamp_low: seed.wrapping_mul(1000),
        bfee_count: seed as u16,
        nrx,
        ntx,
        rssi_a: 30,
        rssi_b: 31,
        rssi_c: 32,
        noise: -90,
        agc: 40,
        antenna_sel: 0b100100,
        rate: 0x100,
        csi: expected(seed, ntx.into(), nrx.into(), 30, 128),
    };
    Sample { bytes: intel5300::encode(&record).unwrap(), csi: record.csi }
}

fn atheros_sample(seed: u32, big: bool) -> Sample {
    let (nc, nr) = (1 + (seed % 3) as usize, 1 + (seed / 3 % 3) as usize);
    let tones = if seed.is_multiple_of(2) { 56 } else { 114 };
    let mut bits = Vec::new();
    for tone in 0..tones {
        for tx in 0..nc {
            for rx in 0..nr {
                let (re, im) = value(seed, tx, rx, tone, 512);
                push_bits(&mut bits, im, 10);
                push_bits(&mut bits, re, 10);
            }
        }
    }
    let csi = pack(&bits);
    let packet: Vec<u8> = (0..40).map(|i| if i == 0 { 0x88 } else { i }).collect();
    let u16s = |v: usize| if big { (v as u16).to_be_bytes() } else { (v as u16).to_le_bytes() };
    let time = u64::from(seed) * 1000;
    let mut bytes = u16s(25 + csi.len() + packet.len()).to_vec();
    bytes.extend(if big { time.to_be_bytes() } else { time.to_le_bytes() });
    bytes.extend([u16s(csi.len()), u16s(5180)].concat());
    bytes.extend([0, 0, 0x80, u8::from(tones == 114), tones as u8, nr as u8, nc as u8, 50, 49, 48, 0x80]);
    bytes.extend(u16s(packet.len()));
    bytes.extend(csi);
    bytes.extend(packet);
    Sample { bytes, csi: expected(seed, nc, nr, tones, 512) }
}

/// Tones, bandwidth bits, modulation bits of FeitCSI's header, and the filler of a 160 MHz packet.
const FIRMWARE_SHAPES: [(usize, u32, u32, Option<(usize, usize)>); 6] = [
    (52, 0, 1, None),
    (56, 0, 2, None),
    (114, 1, 3, None),
    (242, 0, 4, None),
    (484, 3, 3, None),
    (498, 3, 3, Some((242, 256))),
];

fn firmware_header(csi: usize, rx: usize, tx: usize, tones: usize, rate: u32, seed: u32) -> Vec<u8> {
    let mut header = vec![0; 272];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(csi as u32).to_le_bytes());
    put(46, &[rx as u8, tx as u8]);
    put(52, &(tones as u32).to_le_bytes());
    put(60, &[40, 0, 0, 0, 43]);
    put(68, &[2, 0, 0, 0, 0, 9]);
    put(88, &seed.wrapping_mul(1000).to_le_bytes());
    put(92, &rate.to_le_bytes());
    header
}

/// `[rx][tx][tone]` pairs of 16 bits, filler included, and what is to come out.
fn firmware_csi(seed: u32, rx: usize, tx: usize, tones: usize, filler: Option<(usize, usize)>) -> Sample {
    let measured = |tone: &usize| filler.is_none_or(|(from, to)| !(from..to).contains(tone));
    let mut bytes = Vec::new();
    for r in 0..rx {
        for t in 0..tx {
            for tone in 0..tones {
                let (re, im) = value(seed, t, r, tone, 2000);
                bytes.extend([(re as i16).to_le_bytes(), (im as i16).to_le_bytes()].concat());
            }
        }
    }
    let csi = expected(seed, tx, rx, tones, 2000)
        .into_iter()
        .enumerate()
        .filter(|(i, _)| measured(&(i % tones)))
        .map(|(_, c)| c)
        .collect();
    Sample { bytes, csi }
}

fn feitcsi_sample(seed: u32) -> Sample {
    let (tones, width, modulation, filler) = FIRMWARE_SHAPES[seed as usize % 6];
    let (rx, tx) = (1 + seed as usize / 6 % 2, 1 + seed as usize / 12 % 2);
    let body = firmware_csi(seed, rx, tx, tones, filler);
    let mut bytes = firmware_header(body.bytes.len(), rx, tx, tones, modulation << 8 | width << 11, seed);
    bytes.extend(body.bytes);
    Sample { bytes, csi: body.csi }
}

fn segment(name: &str, version: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = (name.len() as u32 + 4 + body.len() as u32).to_le_bytes().to_vec();
    bytes.push(name.len() as u8 + 1);
    bytes.extend(name.as_bytes());
    bytes.push(0);
    bytes.extend(version.to_le_bytes());
    bytes.extend(body);
    bytes
}

fn rx_basic(version: u16, device: u16, format: u8, mhz: u16, seed: u32) -> Vec<u8> {
    let mut bytes = device.to_le_bytes().to_vec();
    bytes.extend((u64::from(seed) * 1000 + 1).to_le_bytes());
    if version >= 4 {
        bytes.extend((1_700_000_000_000_000_000 + u64::from(seed)).to_le_bytes());
    }
    bytes.extend(5180u16.to_le_bytes());
    if version >= 5 {
        bytes.extend(5180u16.to_le_bytes());
    }
    if version >= 3 {
        bytes.extend([5180u16.to_le_bytes(), mhz.to_le_bytes()].concat());
        bytes.push(format);
    } else {
        bytes.push(format);
    }
    bytes.extend([mhz.to_le_bytes(), 800u16.to_le_bytes()].concat());
    bytes.extend([4, 1, 0, 1]);
    if version >= 2 {
        bytes.extend([1, 0]);
    }
    let levels: [i8; 5] = if version >= 3 { [-92, -40, -41, -42, -128] } else { [-92, 52, 51, 50, -128] };
    bytes.extend(levels.map(|level| level as u8));
    if version >= 5 {
        bytes.extend([0x80; 5]);
    }
    bytes
}

fn csi_segment(
    version: u16,
    device: u16,
    format: u8,
    mhz: u16,
    (tones, tx, rx): (usize, usize, usize),
    stored: &[u8],
) -> Vec<u8> {
    let mut bytes = device.to_le_bytes().to_vec();
    if version >= 4 {
        bytes.push(67);
    }
    bytes.push(format);
    bytes.extend(mhz.to_le_bytes());
    bytes.extend([5_180_000_000u64.to_le_bytes(), 20_000_000u64.to_le_bytes()].concat());
    bytes.extend(312_500u32.to_le_bytes());
    bytes.extend((tones as u16).to_le_bytes());
    bytes.extend([tx as u8, rx as u8, 0]);
    if version >= 3 {
        bytes.extend(1u16.to_le_bytes());
    }
    bytes.push(0b100100);
    if version >= 2 {
        bytes.extend(0i16.to_le_bytes());
    }
    bytes.extend((stored.len() as u32).to_le_bytes());
    bytes.extend(stored);
    segment("CSI", version, &bytes)
}

/// A frame of each device, in every combination of versions that its tool had.
fn picoscenes_sample(seed: u32) -> Sample {
    let (tx, rx) = (1 + seed as usize / 5 % 2, 1 + seed as usize / 10 % 2);
    let frame_version: u16 = 1 + (seed / 20 % 2) as u16;
    let mut version = 1 + (seed / 3 % 4) as u16;
    let (device, format, mhz, shape, body) = match seed % 5 {
        0 => {
            let csi = expected(seed, tx, rx, 30, 128);
            let record = intel5300::Record {
                timestamp_low: 0,
                bfee_count: 0,
                nrx: rx as u8,
                ntx: tx as u8,
                rssi_a: 1,
                rssi_b: 1,
                rssi_c: 1,
                noise: 0,
                agc: 0,
                antenna_sel: 0b100100,
                rate: 0,
                csi: csi.clone(),
            };
            let bytes = intel5300::encode(&record).unwrap()[23..].to_vec();
            (0x5300, 1, 20, (30, tx, rx), Sample { bytes, csi })
        }
        1 => {
            let mut bits = Vec::new();
            for tone in 0..114 {
                for t in 0..tx {
                    for r in 0..rx {
                        let (re, im) = value(seed, t, r, tone, 512);
                        push_bits(&mut bits, im, 10);
                        push_bits(&mut bits, re, 10);
                    }
                }
            }
            let sample = Sample { bytes: pack(&bits), csi: expected(seed, tx, rx, 114, 512) };
            (0x9300, 1, 40, (114, tx, rx), sample)
        }
        2 | 3 => {
            version = version.max(3);
            let (tones, width, modulation, filler) = FIRMWARE_SHAPES[seed as usize / 7 % 6];
            let mhz = [20, 40, 80, 160][width as usize];
            let device = if seed % 5 == 2 { 0x2000 } else { 0x2100 };
            let sample = firmware_csi(seed, rx, tx, tones, filler);
            (device, modulation as u8 - 1, mhz, (tones, tx, rx), sample)
        }
        _ => {
            let index: Vec<u8> = (-26..=26i16).filter(|&k| k != 0).flat_map(i16::to_le_bytes).collect();
            let (double, column) = (seed.is_multiple_of(2), (seed / 2).is_multiple_of(2));
            let mut bytes = [index.as_slice(), b"BBv2\x04"].concat();
            bytes.extend([52u64, tx as u64, rx as u64, 1].map(u64::to_le_bytes).concat());
            bytes.extend([b'C', if double { b'D' } else { b'F' }, if double { 64 } else { 32 }]);
            bytes.push(if column { b'C' } else { b'R' });
            let mut element = |t, r, tone| {
                let (re, im) = value(seed, t, r, tone, 2000);
                for part in [re, im] {
                    if double {
                        bytes.extend(f64::from(part).to_le_bytes());
                    } else {
                        bytes.extend((part as f32).to_le_bytes());
                    }
                }
            };
            if column {
                (0..rx).for_each(|r| (0..tx).for_each(|t| (0..52).for_each(|k| element(t, r, k))));
            } else {
                (0..52).for_each(|k| (0..tx).for_each(|t| (0..rx).for_each(|r| element(t, r, k))));
            }
            (0x1234, 0, 20, (52, tx, rx), Sample { bytes, csi: expected(seed, tx, rx, 52, 2000) })
        }
    };
    let basic_version = 1 + (seed / 4 % 5) as u16;
    let mut segments =
        segment("RxSBasic", basic_version, &rx_basic(basic_version, device, format, mhz, seed));
    segments.extend(segment("Unheard", 9, &[1, 2, 3]));
    if device == 0x2000 || device == 0x2100 {
        let header = firmware_header(body.bytes.len(), rx, tx, shape.0, 0, seed);
        segments.extend(segment("MVMExtra", 1, &[&272u16.to_le_bytes(), header.as_slice()].concat()));
    } else {
        segments.extend(segment("LegacyCSI", 2, &[0; 7]));
    }
    segments.extend(csi_segment(version, device, format, mhz, shape, &body.bytes));
    let mut bytes = vec![0; 4];
    bytes.extend(0x2015_0315u32.to_le_bytes());
    bytes.extend(frame_version.to_le_bytes());
    bytes.push(4);
    if frame_version >= 2 {
        bytes.extend(1u16.to_le_bytes());
    }
    bytes.extend(segments);
    if frame_version >= 2 {
        bytes.extend(30u32.to_le_bytes());
    }
    // The packet carries the magic, too.
    bytes.extend((0..30u8).map(|i| if i == 0 { 0x88 } else { i }));
    let magic = bytes.len() - 6;
    bytes[magic..magic + 4].copy_from_slice(&0x2015_0315u32.to_le_bytes());
    let length = bytes.len() as u32 - 4;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Sample { bytes, csi: body.csi }
}

fn sample(kind: usize, seed: u32) -> Sample {
    match kind {
        0 => intel_sample(seed),
        1 => atheros_sample(seed, false),
        2 => atheros_sample(seed, true),
        3 => feitcsi_sample(seed),
        _ => picoscenes_sample(seed),
    }
}

/// Format of each kind of [`sample`].
const KINDS: [&Format; 5] = [FORMATS[0], FORMATS[1], FORMATS[1], FORMATS[2], FORMATS[3]];

fn concat(samples: &[Sample]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.bytes.clone()).collect()
}

/// Kind and records, no two alike.
fn stream() -> impl Strategy<Value = (usize, Vec<Sample>)> {
    let seeds = prop::collection::btree_set(0..1000u32, 1..5).prop_map(Vec::from_iter).prop_shuffle();
    (0..KINDS.len(), seeds)
        .prop_map(|(kind, seeds)| (kind, seeds.into_iter().map(|seed| sample(kind, seed)).collect()))
}

/// What of `samples` was decoded, in order; fails on a frame that is none of them.
fn recognised(items: &[Item], samples: &[Sample]) -> Vec<usize> {
    let mut next = 0;
    items
        .iter()
        .flatten()
        .filter_map(|frame| {
            let found = (next..samples.len()).find(|&i| samples[i].csi == frame.csi)?;
            next = found + 1;
            Some(found)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole_streams_decode_exactly((kind, samples) in stream()) {
        let data = concat(&samples);
        let items = decode_all(KINDS[kind], &data);
        prop_assert_eq!(items.len(), samples.len());
        for (item, sample) in items.iter().zip(&samples) {
            let frame = item.as_ref().unwrap();
            prop_assert_eq!(&frame.csi, &sample.csi);
            prop_assert_eq!(frame.csi.len(), frame.layout.values());
            let index = frame.subcarrier_index.as_ref().unwrap();
            prop_assert_eq!(index.len(), usize::from(frame.layout.subcarriers));
            prop_assert!(frame.capture_time_ns.is_some());
        }
        for format in FORMATS {
            prop_assert_eq!((format.sniff)(&data), format.name == KINDS[kind].name);
        }
    }

    #[test]
    fn a_cut_costs_the_last_record_only((kind, samples) in stream(), at in 0.0..1.0f64) {
        let data = concat(&samples);
        let cut = (data.len() as f64 * at) as usize;
        let items = decode_all(KINDS[kind], &data[..cut]);
        let mut end = 0;
        let whole = samples.iter().take_while(|s| { end += s.bytes.len(); end <= cut }).count();
        let start: usize = samples[..whole].iter().map(|s| s.bytes.len()).sum();
        prop_assert_eq!(recognised(&items, &samples), (0..whole).collect::<Vec<_>>());
        let rejects: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).collect();
        prop_assert_eq!(rejects.len(), usize::from(start < cut));
        prop_assert!(rejects.iter().all(|r| r.offset == start as u64 && r.reason == "truncated"));
    }

    #[test]
    fn a_damaged_byte_costs_its_record_only(
        (kind, samples) in stream(), at in 0.0..1.0f64, change in 1..=255u8,
    ) {
        let mut data = concat(&samples);
        let at = (data.len() as f64 * at) as usize;
        data[at] ^= change;
        // Damage to the first record can hide the byte order until the second.
        let mut end = 0;
        let damaged = samples.iter().take_while(|s| { end += s.bytes.len(); end <= at }).count();
        let got = recognised(&decode_all(KINDS[kind], &data), &samples);
        for i in (0..samples.len()).filter(|&i| i != damaged) {
            prop_assert!(got.contains(&i), "lost record {} to damage in {}", i, damaged);
        }
    }

    #[test]
    fn lost_bytes_cost_their_record_only(
        (kind, samples) in stream(), which in 0..4usize, from in 0.0..1.0f64, to in 0.0..1.0f64,
    ) {
        prop_assume!(which < samples.len());
        // A gap as long as the records that follow makes the damaged record end where a record ends.
        let length = samples[which].bytes.len() as f64;
        let gap = (length * from.max(to)) as usize - (length * from.min(to)) as usize;
        let mut following = 0;
        prop_assume!(samples[which + 1..].iter().all(|s| { following += s.bytes.len(); following != gap }));
        let mut data = Vec::new();
        for (i, sample) in samples.iter().enumerate() {
            let at = |f: f64| (sample.bytes.len() as f64 * f) as usize;
            let gap = at(from.min(to))..at(from.max(to));
            data.extend(sample.bytes.iter().enumerate().filter(|(k, _)| i != which || !gap.contains(k)).map(|(_, b)| b));
        }
        let got = recognised(&decode_all(KINDS[kind], &data), &samples);
        for i in (0..samples.len()).filter(|&i| i != which) {
            prop_assert!(got.contains(&i), "lost record {} to a gap in {}", i, which);
        }
    }

    #[test]
    fn arbitrary_bytes_end(data in prop::collection::vec(any::<u8>(), 0..4096)) {
        for format in FORMATS {
            decode_all(format, &data);
            prop_assert!(!(format.sniff)(&data));
        }
    }

    #[test]
    fn bytes_like_headers_end((kind, samples) in stream(), noise in prop::collection::vec((any::<u16>(), 0..6u8), 0..40)) {
        let mut data = concat(&samples);
        for (at, byte) in noise {
            let at = usize::from(at) % data.len().min(300);
            data[at] = byte.wrapping_sub(1);
        }
        for format in FORMATS {
            decode_all(format, &data);
        }
        decode_all(KINDS[kind], &data);
    }

    #[test]
    fn intel_records_round_trip(
        nrx in 1..=3u8, ntx in 1..=3u8, antenna_sel in 0..64u8, seed in any::<u32>(), header in any::<(u32, u16, [u8; 3], i8, u8, u16)>(),
    ) {
        let (timestamp_low, bfee_count, [rssi_a, rssi_b, rssi_c], noise, agc, rate) = header;
        let csi = expected(seed % 10_000, ntx.into(), nrx.into(), 30, 128);
        let record = intel5300::Record {
            timestamp_low, bfee_count, nrx, ntx, rssi_a, rssi_b, rssi_c, noise, agc, antenna_sel, rate, csi,
        };
        let bytes = intel5300::encode(&record).unwrap();
        prop_assert_eq!(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])), bytes.len() - 2);
        prop_assert_eq!(intel5300::Record::parse(&bytes[3..]), Some(record));
    }
}

/// Where each chain's first value lies: after 3 bits, 16 bits a value, chain by chain.
fn intel_chain_values(bytes: &[u8], chains: usize, ntx: usize) -> Vec<f32> {
    let bit = |at: usize| bytes[23 + at / 8] >> (at % 8) & 1;
    let byte = |at: usize| (0..8).map(|i| bit(at + i) << i).sum::<u8>() as i8;
    (0..chains).map(|chain| f32::from(byte(3 + 16 * chain * ntx))).collect()
}

#[test]
fn intel_antennas_stand_in_order() {
    // Chains connected to C, A, B; C and A; B alone; and a permutation that names A twice.
    for (nrx, antenna_sel, antennas, rows) in [
        (3u8, 0b01_00_10, Some(vec![0, 1, 2]), vec![2, 0, 1]),
        (2, 0b01_00_10, Some(vec![0, 2]), vec![1, 0]),
        (1, 0b00_00_01, Some(vec![1]), vec![0]),
        (2, 0b00_00_00, None, vec![0, 1]),
    ] {
        let mut bytes = intel_sample(0).bytes;
        let mut record = intel5300::Record::parse(&bytes[3..]).unwrap();
        record.nrx = nrx;
        record.antenna_sel = antenna_sel;
        record.csi = expected(1, 1, nrx.into(), 30, 128);
        assert_eq!(record.antennas(), antennas);
        bytes = intel5300::encode(&record).unwrap();
        let stored = intel_chain_values(&bytes, nrx.into(), 1);
        let frame = record.into_frame(0);
        assert_eq!(usize::from(frame.layout.rx), rows.len());
        for (chain, row) in rows.into_iter().enumerate() {
            assert_eq!(frame.at(0, row, 0).re, stored[chain]);
        }
    }
}

#[test]
fn intel_passes_over_other_records() {
    let samples = [1, 2].map(intel_sample);
    let packet = [&[0, 101, 0xC1], [0xBB; 100].as_slice()].concat();
    let data = [&packet[..], &samples[0].bytes, &packet, &packet, &samples[1].bytes, &packet].concat();
    let items = decode_all(FORMATS[0], &data);
    assert_eq!(items.len(), 2);
    assert_eq!(recognised(&items, &samples), [0, 1]);
    assert!((FORMATS[0].sniff)(&data));
}

#[test]
fn atheros_marks_and_packets_without_csi() {
    for big in [false, true] {
        let samples = [3, 4].map(|seed| atheros_sample(seed, big));
        let mut unsounded = atheros_sample(0, big).bytes;
        unsounded.truncate(27);
        unsounded[10..12].fill(0);
        unsounded[25..27].fill(0);
        unsounded[..2].copy_from_slice(&if big { [0, 25] } else { [25, 0] });
        for mark in [vec![], vec![if big { 0xff } else { 0x00 }]] {
            let data = [&mark[..], &unsounded, &samples[0].bytes, &unsounded, &samples[1].bytes].concat();
            let items = decode_all(FORMATS[1], &data);
            assert_eq!(recognised(&items, &samples), [0, 1]);
            let offsets: Vec<u64> = items
                .iter()
                .filter_map(|item| Some(item.as_ref().err().filter(|r| r.reason == "no_csi")?.offset))
                .collect();
            let first = mark.len() as u64;
            assert_eq!(offsets, [first, first + 27 + samples[0].bytes.len() as u64]);
            assert!((FORMATS[1].sniff)(&data));
        }
    }
}

#[test]
fn picoscenes_times() {
    // Versions from 4 on store the host's time; before, the clocks of the devices count.
    let first = |seed| {
        decode_all(FORMATS[3], &picoscenes_sample(seed).bytes).remove(0).unwrap().capture_time_ns.unwrap()
    };
    for seed in 0..40u32 {
        let expected = match (1 + seed / 4 % 5, seed % 5) {
            (4.., _) => 1_700_000_000_000_000_000 + i64::from(seed),
            (_, 2 | 3) => i64::from(seed) * 1_000_000,
            (_, 4) => i64::from(seed) * 1000 + 1,
            _ => (i64::from(seed) * 1000 + 1) * 1000,
        };
        assert_eq!(first(seed), expected, "{seed}");
    }
}
