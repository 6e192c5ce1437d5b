//! Intel 5300, Atheros, FeitCSI and PicoScenes: real captures against `reference.json`, and properties.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use invispose_pipeline::capture::{Format, Item, Reject, atheros, feitcsi, intel5300, picoscenes};
use invispose_pipeline::{Complex32, CsiFrame};
use serde_json::Value;

const FORMATS: [&Format; 4] = [&intel5300::FORMAT, &atheros::FORMAT, &feitcsi::FORMAT, &picoscenes::FORMAT];

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

fn check_feitcsi(name: &str) {
    let Some(Capture { data, reference, frames }) = load(&feitcsi::FORMAT, name) else { return };
    let tool = &reference["CSIKit"];
    assert_eq!(frames.len() as u64, tool["frames"]);
    let expected: std::collections::BTreeMap<String, u64> =
        serde_json::from_value(tool["frame_shapes"].clone()).unwrap();
    assert_eq!(shapes(&frames), expected);
    // The tool counts in ticks of 3.125 ns, the card's other clock in microseconds.
    assert_times(&frames, tool, 3e-6);
    let first = &frames[0];
    assert_values(row(first, 0, 0), &tool["csi_f0_first4"], 0.0);
    assert_close(magnitude_sum(&first.csi), &tool["abs_sum_f0"], 1e-9);
    assert_eq!(first.bandwidth_mhz.unwrap().to_string(), tool["bandwidth"].as_str().unwrap());
    assert!(frames.iter().all(|frame| frame.subcarrier_index.is_some()));

    let record = feitcsi::Record::parse(&data).unwrap();
    let header = record.header;
    assert_eq!(header.host_time_us, None);
    assert_eq!(serde_json::json!(header.source_mac), tool["source_mac"]);
    assert_eq!(u64::from(header.ftm_clock), tool["ftm_clock"]);
    assert_eq!(u64::from(header.mu_clock), tool["mu_clock"]);
    assert_eq!(u64::from(header.rssi_1), tool["rssi_1"]);
    assert_eq!(u64::from(header.rssi_2), tool["rssi_2"]);
    assert_eq!(u64::from(header.num_rx), tool["num_rx"]);
    assert_eq!(u64::from(header.num_tx), tool["num_tx"]);
    assert_eq!(u64::from(header.num_subcarriers), tool["num_subcarriers"]);
    assert_eq!(u64::from(header.mcs()), tool["mcs"]);
    let modulation = format!("{:?}", header.modulation().unwrap()).to_uppercase();
    assert_eq!(modulation, tool["rate_format"].as_str().unwrap());
    assert_eq!(first.link.as_str(), "00:16:ea:12:34:56");
    // Two chains at -47 and -46 dBm are -43.5 dBm together.
    let total = -f64::from(header.rssi_1.min(header.rssi_2));
    let rssi = f64::from(first.rssi_dbm.unwrap());
    assert!((total..=total + 3.02).contains(&rssi), "{rssi}");
}

#[test]
fn feitcsi_every_modulation_and_bandwidth() {
    let names = [
        "HESU160_5500",
        "HESU20_5500",
        "HESU80_5500",
        "HT20_2452",
        "HT40_2452",
        "VHT160_5500",
        "VHT20_5500",
        "VHT40_5500",
        "VHT80_5500",
    ];
    for name in names {
        check_feitcsi(&format!("feitcsi/{name}.csi"));
    }
}

/// Pilots of HT and VHT at 20 MHz.
const PILOTS_HT20: [i16; 4] = [-21, -7, 7, 21];

fn check_picoscenes(name: &str, chip: &str) {
    let Some(Capture { data, reference, frames }) = load(&picoscenes::FORMAT, name) else { return };
    let tool = &reference["csiread"];
    assert_eq!(frames.len() as u64, tool["frames"]);
    if let Some(expected) = reference["CSIKit"]["frame_shapes"].as_object() {
        // CSIKit calls the axes of the QCA9300 the other way round.
        let swapped = chip == "QCA9300";
        for (shape, count) in expected {
            let axes: Vec<u16> = serde_json::from_str(shape).unwrap();
            let (rx, tx) = if swapped { (axes[2], axes[1]) } else { (axes[1], axes[2]) };
            assert_eq!(shapes(&frames)[&format!("[{}, {rx}, {tx}]", axes[0])], *count);
        }
    }
    let first = &frames[0];
    assert_values(row(first, 0, 0), &tool["csi_f0_sc0_3_rx0_tx0"], 1e-7);

    let length = u32::from_le_bytes(data[..4].try_into().unwrap()) as usize + 4;
    let record = picoscenes::Record::parse(&data[..length]).unwrap();
    let info = &tool["csi_info_f0"];
    assert_eq!(record.csi.packet_format, info["PacketFormat"].as_i64().unwrap() as i8);
    assert_eq!(u64::from(record.csi.cbw), info["CBW"]);
    assert_eq!(record.csi.carrier_freq, info["CarrierFreq"]);
    assert_eq!(record.csi.sampling_rate, info["SamplingRate"]);
    assert_eq!(u64::from(record.csi.subcarrier_bandwidth), info["SubcarrierBandwidth"]);
    assert_eq!(u64::from(record.csi.num_tones), info["NumTones"]);
    assert_eq!(u64::from(record.csi.num_tx), info["NumTx"]);
    assert_eq!(u64::from(record.csi.num_rx), info["NumRx"]);
    assert_eq!(
        u64::from(record.csi.layout.tx),
        info["NumTx"].as_u64().unwrap() + info["NumESS"].as_u64().unwrap()
    );
    assert_eq!(u64::from(record.csi.num_csi), info["NumCSI"]);
    assert_eq!(u64::from(record.csi.ant_sel), info["ANTSEL"]);
    let basic = &tool["rxsbasic_f0"];
    assert_eq!(u64::from(record.basic.device_type), basic["DeviceType"]);
    assert_eq!(record.basic.timestamp, basic["Timestamp"]);
    assert_eq!(i64::from(record.basic.center_freq), basic["CenterFreq"]);
    assert_eq!(i64::from(record.basic.control_freq), basic["ControlFreq"]);
    assert_eq!(u64::from(record.basic.cbw), basic["CBW"]);
    assert_eq!(u64::from(record.basic.packet_format), basic["PacketFormat"]);
    assert_eq!(u64::from(record.basic.packet_cbw), basic["PacketCBW"]);
    assert_eq!(u64::from(record.basic.guard_interval), basic["GI"]);
    assert_eq!(u64::from(record.basic.mcs), basic["MCS"]);
    assert_eq!(u64::from(record.basic.num_sts), basic["NumSTS"]);
    assert_eq!(u64::from(record.basic.num_ess), basic["NumESS"]);
    assert_eq!(u64::from(record.basic.num_rx), basic["NumRx"]);
    assert_eq!(i64::from(record.basic.noise_floor), basic["NoiseFloor"]);
    assert_eq!(i64::from(record.basic.rssi), basic["RSSI"]);
    for (i, rssi) in record.basic.rssi_chains.into_iter().enumerate() {
        assert_eq!(i64::from(rssi), basic[format!("RSSI{}", i + 1)]);
    }
    let mac: Vec<String> =
        tool["addr2_f0"].as_array().unwrap().iter().map(|b| format!("{:02x}", b.as_u64().unwrap())).collect();
    assert_eq!(first.link.as_str(), mac.join(":"));
    assert_eq!(first.center_mhz.map(|mhz| (f64::from(mhz) * 1e6) as u64), info["CarrierFreq"].as_u64());

    // csiread leaves out the pilots of AX200, so CSIKit's checksum counts there.
    let without_pilots = chip == "Intel AX200";
    let index = first.subcarrier_index.clone().unwrap();
    let kept = index.iter().filter(|k| !(without_pilots && PILOTS_HT20.contains(k)));
    for (&k, expected) in kept.zip(tool["subcarrier_index_f0"].as_array().unwrap()) {
        assert_eq!(i64::from(k), *expected);
    }
    let sums = if without_pilots { &reference["CSIKit"] } else { tool };
    assert_close(magnitude_sum(&first.csi), &sums["abs_sum_f0"], 1e-6);
    if reference["CSIKit"]["timestamps"].is_array() {
        assert_times(&frames, &reference["CSIKit"], 1e-6);
    }
    let mut decoder = (picoscenes::FORMAT.decoder)();
    decoder.next(&data).unwrap().unwrap();
    assert_eq!(decoder.chip(), Some(chip));
}

#[test]
fn picoscenes_ax200() {
    check_picoscenes("picoscenes/ax200_example.csi", "Intel AX200");
}

#[test]
fn picoscenes_iwl5300() {
    check_picoscenes("picoscenes/rx_by_iwl5300.csi", "Intel IWL5300");
}

#[test]
fn picoscenes_qca9300() {
    check_picoscenes("picoscenes/rx_by_qca9300.csi", "QCA9300");
}

#[test]
fn picoscenes_usrp() {
    check_picoscenes("picoscenes/rx_by_usrpN210.csi", "USRP SDR");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[test]
fn each_format_knows_its_own_captures_only() {
    let Some(root) = captures() else { return };
    for path in files(&root) {
        let data = std::fs::read(&path).unwrap();
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        // One log begins with another record of 131 bytes.
        for length in [155, 300, 1000, 5000, 1 << 16] {
            for format in FORMATS {
                let known = (format.sniff)(&data[..data.len().min(length)]);
                assert_eq!(known, format.name == folder, "{} {} {length}", format.name, path.display());
            }
        }
    }
}

#[test]
fn a_cut_capture_loses_its_last_record_only() {
    let Some(root) = captures() else { return };
    for format in FORMATS {
        for path in files(&root.join(format.name)) {
            let mut data = std::fs::read(path).unwrap();
            data.truncate(20_000);
            let whole = frames(decode_all(format, &data)).0;
            for cut in (0..data.len()).step_by(97) {
                let (got, rejects) = frames(decode_all(format, &data[..cut]));
                assert!(got.iter().zip(&whole).all(|(a, b)| a == b));
                assert!(rejects.iter().all(|r| r.reason == "truncated") && rejects.len() <= 1, "{rejects:?}");
            }
        }
    }
}
