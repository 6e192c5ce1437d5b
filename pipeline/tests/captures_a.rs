//! Intel 5300, Atheros, FeitCSI and PicoScenes: real captures against `reference.json`, and properties.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use invispose_pipeline::capture::{Format, Item, Reject, atheros, intel5300};
use invispose_pipeline::{Complex32, CsiFrame};
use serde_json::Value;

const FORMATS: [&Format; 2] = [&intel5300::FORMAT, &atheros::FORMAT];

fn captures() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

fn decode_all(format: &Format, data: &[u8]) -> Vec<Item> {
    let mut decoder = (format.decoder)();
    // Every item consumes a byte at least.
    let items: Vec<Item> = std::iter::from_fn(|| decoder.next(data)).take(data.len() + 1).collect();
    assert!(items.len() <= data.len(), "more items than bytes");
    items
}

fn frames(items: Vec<Item>) -> (Vec<CsiFrame>, Vec<Reject>) {
    let mut rejects = Vec::new();
    let frames = items.into_iter().filter_map(|item| item.map_err(|r| rejects.push(r)).ok()).collect();
    (frames, rejects)
}

/// A capture and what the reference tools read out of it.
struct Capture {
    data: Vec<u8>,
    reference: Value,
    frames: Vec<CsiFrame>,
}

fn load(format: &Format, name: &str) -> Option<Capture> {
    let root = captures()?;
    let json: Value = serde_json::from_slice(&std::fs::read(root.join("reference.json")).unwrap()).unwrap();
    let reference = json["files"][name].clone();
    let data = std::fs::read(root.join(name)).unwrap();
    for other in FORMATS {
        assert_eq!(
            (other.sniff)(&data[..data.len().min(1 << 16)]),
            other.name == format.name,
            "{}",
            other.name
        );
    }
    let (frames, rejects) = frames(decode_all(format, &data));
    assert_eq!(rejects, []);
    for frame in &frames {
        assert_eq!(frame.csi.len(), frame.layout.values());
        if let Some(index) = &frame.subcarrier_index {
            assert_eq!(index.len(), usize::from(frame.layout.subcarriers));
        }
    }
    Some(Capture { data, reference, frames })
}

fn magnitude_sum(values: &[Complex32]) -> f64 {
    values.iter().map(|c| f64::from(c.re).hypot(f64::from(c.im))).sum()
}

fn complex_list(value: &Value) -> Vec<(f64, f64)> {
    let pair = |v: &Value| (v[0].as_f64().unwrap(), v[1].as_f64().unwrap());
    value.as_array().unwrap().iter().map(pair).collect()
}

fn assert_values(got: impl IntoIterator<Item = Complex32>, expected: &Value, tolerance: f64) {
    let expected = complex_list(expected);
    let got: Vec<Complex32> = got.into_iter().take(expected.len()).collect();
    assert_eq!(got.len(), expected.len());
    for (got, (re, im)) in got.iter().zip(expected) {
        let scale = re.hypot(im).max(1e-30);
        let error = (f64::from(got.re) - re).hypot(f64::from(got.im) - im);
        assert!(error <= tolerance * scale, "{got} is not {re}{im:+}i");
    }
}

fn row(frame: &CsiFrame, tx: usize, rx: usize) -> impl Iterator<Item = Complex32> {
    (0..usize::from(frame.layout.subcarriers)).map(move |s| frame.at(tx, rx, s))
}

fn assert_close(got: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((got - expected).abs() <= tolerance * expected.abs().max(1e-30), "{got} is not {expected}");
}

fn shapes(frames: &[CsiFrame]) -> std::collections::BTreeMap<String, u64> {
    let mut counts = std::collections::BTreeMap::new();
    for l in frames.iter().map(|f| f.layout) {
        *counts.entry(format!("[{}, {}, {}]", l.subcarriers, l.rx, l.tx)).or_insert(0) += 1;
    }
    counts
}

fn seconds(frame: &CsiFrame) -> f64 {
    frame.capture_time_ns.unwrap() as f64 / 1e9
}

fn assert_times(frames: &[CsiFrame], reference: &Value, tolerance: f64) {
    let start = seconds(&frames[0]);
    for (frame, expected) in frames.iter().zip(reference["timestamps"].as_array().unwrap()) {
        assert!((seconds(frame) - start - expected.as_f64().unwrap()).abs() <= tolerance);
    }
    let last = reference["timestamp_last"].as_f64().unwrap();
    let got = seconds(frames.last().unwrap()) - start;
    assert!((got - last).abs() <= tolerance, "{got} is not {last}");
}

fn check_intel(name: &str) {
    let Some(Capture { data, reference, frames }) = load(&intel5300::FORMAT, name) else { return };
    let tool = &reference["csiread"];
    assert_eq!(frames.len() as u64, tool["frames"]);
    let expected: std::collections::BTreeMap<String, u64> =
        serde_json::from_value(reference["CSIKit"]["frame_shapes"].clone()).unwrap();
    assert_eq!(shapes(&frames), expected);
    for (frame, time) in frames.iter().zip(tool["timestamp_low"].as_array().unwrap()) {
        assert_eq!(frame.capture_time_ns.unwrap(), time.as_i64().unwrap() * 1000);
    }
    let last = frames.last().unwrap();
    assert_eq!(last.capture_time_ns.unwrap(), tool["timestamp_low_last"].as_i64().unwrap() * 1000);
    assert_times(&frames, &reference["CSIKit"], 1e-6);
    for (frame, count) in frames.iter().zip(tool["bfee_count"].as_array().unwrap()) {
        assert_eq!(frame.sequence, count.as_u64().map(|c| c as u32));
    }
    let first = &frames[0];
    for (key, expected) in tool.as_object().unwrap() {
        if let Some(at) = key.strip_prefix("csi_f0_rx") {
            let digit = |i: usize| usize::from(at.as_bytes()[i] - b'0');
            assert_values(row(first, digit(4), digit(0)), expected, 0.0);
        }
    }
    let sum: f64 = frames.iter().map(|f| magnitude_sum(&f.csi)).sum();
    assert_close(sum, &tool["abs_sum_all"], 1e-9);

    // The raw record.
    let start = (0..data.len()).find(|&i| data[i + 2] == 0xBB).unwrap();
    let length = usize::from(u16::from_be_bytes([data[start], data[start + 1]]));
    let record = intel5300::Record::parse(&data[start + 3..start + 2 + length]).unwrap();
    let rssi = [record.rssi_a, record.rssi_b, record.rssi_c];
    assert_eq!(serde_json::json!(rssi), tool["rssi_abc"]);
    assert_eq!(serde_json::json!(record.perm()), tool["perm"]);
    assert_eq!(i64::from(record.noise), tool["noise"]);
    assert_eq!(u64::from(record.agc), tool["agc"]);
    assert_eq!(u64::from(record.rate), tool["rate"]);
    assert_eq!(first.noise_dbm, (record.noise != -127).then_some(f32::from(record.noise)));
    let scaled = record.scaled().unwrap();
    assert_values(scaled, &tool["scaled_f0_rx0_tx0_sc0_3"], 1e-6);
    assert_eq!(intel5300::encode(&record).unwrap()[..21], data[start..start + 21]);
    assert_eq!(first.csi, record.csi);
}

#[test]
fn intel_sample_0x1_ap() {
    check_intel("intel5300/sample_0x1_ap.dat");
}

#[test]
fn intel_sample_0x5_64_3000() {
    check_intel("intel5300/sample_0x5_64_3000.dat");
}

#[test]
fn intel_log_all_csi_6_7_6() {
    check_intel("intel5300/log.all_csi.6.7.6.dat");
}

fn check_atheros(name: &str, start: usize) {
    let Some(Capture { data, reference, frames }) = load(&atheros::FORMAT, name) else { return };
    let tool = &reference["csiread"];
    assert_eq!(frames.len() as u64, tool["frames"]);
    for (frame, time) in frames.iter().zip(tool["timestamp"].as_array().unwrap()) {
        assert_eq!(frame.capture_time_ns.unwrap(), time.as_i64().unwrap() * 1000);
    }
    let endian = match tool["endian"].as_str().unwrap() {
        "big" => invispose_pipeline::capture::bytes::Endian::Big,
        _ => invispose_pipeline::capture::bytes::Endian::Little,
    };
    let record = atheros::Record::parse(&data[start + 2..], endian).unwrap();
    assert_eq!(serde_json::json!([record.nr]), tool["nr"]);
    assert_eq!(serde_json::json!([record.nc]), tool["nc"]);
    assert_eq!(serde_json::json!([record.num_tones]), tool["num_tones"]);
    assert_eq!(serde_json::json!(record.rssi_chains), tool["rssi_123"]);
    assert_eq!(u64::from(record.rssi), tool["rssi"]);
    assert_eq!(u64::from(record.csi_len), tool["csi_len"][0]);
    assert_eq!(u64::from(record.tx_channel), tool["tx_channel"]);
    assert_eq!(u64::from(record.err_info), tool["err_info"]);
    assert_eq!(u64::from(record.noise_floor), tool["noise_floor"]);
    assert_eq!(u64::from(record.rate), tool["Rate"]);
    assert_eq!(u64::from(record.bandwidth), tool["bandWidth"]);
    assert_eq!(u64::from(record.payload_len), tool["payload_len"]);

    // csiread reads the stream as tone{rx{tx}} where the official decoder reads tone{tx{rx}}: element
    // `rx * nc + tx` of a tone in its order is element `tx * nr + rx` in ours.
    let first = &frames[0];
    assert_eq!((first.layout.rx, first.layout.tx), (u16::from(record.nr), u16::from(record.nc)));
    for (rx, tx) in [(0, 0), (1, 0), (0, 1)] {
        let element = rx * usize::from(record.nc) + tx;
        let expected = &tool[format!("csi_f0_rx{rx}_tx{tx}_sc0_3")];
        let nr = usize::from(record.nr);
        assert_values(row(first, element / nr, element % nr), expected, 0.0);
    }
    assert_close(magnitude_sum(&first.csi), &tool["abs_sum_f0"], 1e-9);
    assert_eq!(first.center_mhz, Some(f32::from(record.tx_channel)));
    assert_eq!(first.rssi_dbm, Some(f32::from(record.rssi) - 95.0));
    assert_eq!(first.noise_dbm, None);
}

#[test]
fn atheros_little_endian() {
    check_atheros("atheros/ath_csi_1.dat", 0);
}

#[test]
fn atheros_big_endian_with_mark() {
    check_atheros("atheros/sample_bigEndian.dat", 1);
}

#[test]
fn atheros_big_endian_without_mark() {
    let Some(Capture { data, frames: marked, .. }) = load(&atheros::FORMAT, "atheros/sample_bigEndian.dat")
    else {
        return;
    };
    assert!((atheros::FORMAT.sniff)(&data[1..]));
    assert_eq!(frames(decode_all(&atheros::FORMAT, &data[1..])).0, marked);
}
