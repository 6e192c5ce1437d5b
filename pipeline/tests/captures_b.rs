//! Nexmon, ESP32, ADR-018 and NPZ: real captures against `reference.json`, round trips, damage, conversion and live sockets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use invispose_pipeline::capture::adr018::{self, Datagram, DatagramDecoder, Sibling};
use invispose_pipeline::capture::convert::{Target, convert};
use invispose_pipeline::capture::inspect::{Summary, inspect};
use invispose_pipeline::capture::nexmon::{self, PayloadDecoder, PcapWriter};
use invispose_pipeline::capture::udp::{Protocol, UdpSource, drop_oldest};
use invispose_pipeline::capture::{FORMATS, Item, OpenError, Reject, esp32_csv, open, open_bytes, sniff};
use invispose_pipeline::health::SourceStats;
use invispose_pipeline::{Complex32, CsiFrame, Layout, LinkId, SourceKind};
use proptest::prelude::*;
use serde_json::Value;

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

fn reference(name: &str) -> Value {
    let json = std::fs::read(shared("captures/reference.json").unwrap()).unwrap();
    serde_json::from_slice::<Value>(&json).unwrap()["files"][name].clone()
}

/// All items; a decoder may give no more of them than there are bytes.
fn read(bytes: &[u8]) -> Option<(&'static str, Vec<Item>)> {
    let mut reader = open_bytes(bytes.to_vec(), "test").ok()?;
    let items: Vec<Item> = reader.by_ref().take(bytes.len() + 2).collect();
    Some((reader.format(), items))
}

fn split(items: Vec<Item>) -> (Vec<CsiFrame>, Vec<Reject>) {
    let mut rejects = Vec::new();
    let frames = items.into_iter().filter_map(|item| item.map_err(|r| rejects.push(r)).ok()).collect();
    (frames, rejects)
}

fn frames_of(path: &Path) -> (Vec<CsiFrame>, Vec<Reject>) {
    split(open(path).unwrap().collect())
}

fn summary_of(path: &Path) -> Summary {
    inspect(&mut open(path).unwrap(), None, |_| ())
}

fn complex(value: &Value) -> Vec<Complex32> {
    let part = |v: &Value| v.as_f64().unwrap() as f32;
    value.as_array().unwrap().iter().map(|p| Complex32::new(part(&p[0]), part(&p[1]))).collect()
}

fn assert_close(got: f64, expected: f64, relative: f64) {
    assert!((got - expected).abs() <= relative * expected.abs(), "{got} is not {expected}");
}

fn magnitude(frame: &CsiFrame) -> f64 {
    frame.csi.iter().map(|c| f64::from(c.re).hypot(f64::from(c.im))).sum()
}

// Real captures.

#[test]
fn exactly_one_format_recognises_each_capture() {
    let Some(root) = shared("captures") else { return };
    let mut seen = 0;
    for folder in std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let expected = match folder.file_name().unwrap().to_str().unwrap() {
            "atheros" => "atheros",
            "esp32" => "esp32-csv",
            "esp32-udp" => "adr018-jsonl",
            "feitcsi" => "feitcsi",
            "intel5300" => "intel5300",
            "nexmon" => "nexmon-pcap",
            "picoscenes" => "picoscenes",
            other => panic!("a folder `{other}` that this test does not know"),
        };
        for file in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if file.to_str().unwrap().ends_with(".meta.json") {
                continue;
            }
            let data = std::fs::read(&file).unwrap();
            let head = &data[..data.len().min(1 << 16)];
            let names: Vec<_> = FORMATS.iter().filter(|f| (f.sniff)(head)).map(|f| f.name).collect();
            assert_eq!(names, [expected], "{}", file.display());
            seen += 1;
        }
    }
    assert!(seen >= 26, "{seen} captures");
}

fn nexmon_matches(name: &str, chip: &str) {
    let key = format!("nexmon/{name}");
    let Some(path) = shared("captures").map(|p| p.join(&key)) else { return };
    let expected = reference(&key)["csiread"].clone();
    let (frames, rejects) = frames_of(&path);
    assert_eq!(rejects, []);
    assert_eq!(frames.len() as u64, expected["frames"].as_u64().unwrap());
    for (i, frame) in frames.iter().take(expected["sec"].as_array().unwrap().len()).enumerate() {
        let integer = |field: &str| expected[field][i].as_i64().unwrap();
        assert_eq!(frame.capture_time_ns, Some(integer("sec") * 1_000_000_000 + integer("usec") * 1000));
        assert_eq!(i64::from(frame.sequence.unwrap()), integer("seq") >> 4);
        let mac: Vec<String> = expected["src_addr"][i]
            .as_array()
            .unwrap()
            .iter()
            .map(|b| format!("{:02x}", b.as_u64().unwrap()))
            .collect();
        let link = format!("{}/core{}-ss{}", mac.join(":"), integer("core"), integer("spatial"));
        assert_eq!(frame.link.as_str(), link);
        // The RSSI firmware's magic has the RSSI in its third byte; older firmware has 0x11 there.
        let magic = integer("magic") as u32;
        let rssi = (magic != 0x1111_1111).then_some(f32::from((magic >> 16) as u8 as i8));
        assert_eq!(frame.rssi_dbm, rssi);
    }
    for frame in &frames {
        assert_eq!(frame.layout, Layout::new(1, 1, 256));
        assert_eq!(frame.bandwidth_mhz, Some(80));
        assert_eq!(frame.subcarrier_index.as_ref().unwrap()[255], -1);
    }
    let first = &frames[0].csi;
    assert_eq!(first[..4], complex(&expected["csi_f0_bin0_3"]));
    assert_eq!(first[8..12], complex(&expected["csi_f0_bin8_11"]));
    assert_close(magnitude(&frames[0]), expected["abs_sum_f0"].as_f64().unwrap(), 1e-9);
    let summary = summary_of(&path);
    assert_eq!(summary.chip.as_deref(), Some(chip));
    assert_close(summary.magnitude_sum, expected["abs_sum_all"].as_f64().unwrap(), 1e-9);
    if let Some(rssi) = reference(&key)["CSIKit"]["rssi"].as_f64().filter(|&r| r != -1.0) {
        assert_eq!(frames[0].rssi_dbm, Some(rssi as f32));
    }
}

#[test]
fn nexmon_43455c0() {
    nexmon_matches("example_43455c0.pcap", "BCM43455c0");
}

#[test]
fn nexmon_43455c0_walk() {
    nexmon_matches("walk_43455c0.pcap", "BCM43455c0");
}

#[test]
fn nexmon_4339() {
    nexmon_matches("example_4339.pcap", "BCM4339");
}

#[test]
fn nexmon_4358() {
    nexmon_matches("example_4358.pcap", "BCM4358");
}

#[test]
fn nexmon_4366c0() {
    nexmon_matches("example_4366c0.pcap", "BCM4366c0");
}

/// Checks an ESP32 log against the reference's own reading of it, and gives the rejects.
fn esp32_matches(name: &str, columns: (usize, usize, usize, usize)) -> Vec<Reject> {
    let key = format!("esp32/{name}");
    let Some(path) = shared("captures").map(|p| p.join(&key)) else { return Vec::new() };
    let expected = reference(&key)["independent"].clone();
    let (frames, rejects) = frames_of(&path);
    let total = expected["frames_with_csi_array"].as_u64().unwrap();
    assert_eq!((frames.len() + rejects.len()) as u64, total);
    for (values, count) in expected["value_count_histogram"].as_object().unwrap() {
        let values: usize = values.parse().unwrap();
        let got = frames.iter().filter(|f| 2 * f.csi.len() == values).count() as u64;
        assert_eq!(
            got,
            if values.is_multiple_of(2) { count.as_u64().unwrap() } else { 0 },
            "{values} values"
        );
    }
    let first = &frames[0];
    assert_eq!(first.csi[..8], complex(&expected["f0_complex_first8_real_imag"]));
    let field = |i: usize| expected["f0_fields"][i].as_str().unwrap();
    let (mac, rssi, noise, time) = columns;
    assert_eq!(first.link.as_str(), field(mac).to_lowercase());
    assert_eq!(first.rssi_dbm, Some(field(rssi).parse().unwrap()));
    assert_eq!(first.noise_dbm, Some(field(noise).parse().unwrap()));
    assert_eq!(first.capture_time_ns, Some(field(time).parse::<i64>().unwrap() * 1000));
    assert!(frames.is_sorted_by_key(|f| f.capture_time_ns));

    // Every value again, by the standard library's parsers.
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    let rows = text.lines().filter(|l| l.starts_with("CSI_DATA,")).map(|l| {
        let array = &l[l.find('[').unwrap() + 1..l.find(']').unwrap()];
        array.split_whitespace().map(|v| v.parse::<f32>().unwrap()).collect::<Vec<f32>>()
    });
    let good = rows.filter(|r| r.len() % 2 == 0);
    for (frame, row) in frames.iter().zip(good) {
        let parts: Vec<f32> = frame.csi.iter().flat_map(|c| [c.im, c.re]).collect();
        assert_eq!(parts, row);
    }
    rejects
}

#[test]
fn esp32_csi_tool() {
    assert_eq!(esp32_matches("esp32_csi_tool_917.csv", (2, 3, 14, 18)), []);
}

#[test]
fn esp32_csi_tool_mixed_lengths() {
    assert_eq!(esp32_matches("esp32_csi_tool_mixed_lengths.csv", (2, 3, 14, 18)), []);
    let Some(path) = shared("captures/esp32/esp32_csi_tool_mixed_lengths.csv") else { return };
    let layouts: Vec<_> = summary_of(&path).layouts.iter().map(|l| (l.subcarriers, l.frames)).collect();
    assert_eq!(layouts, [(64, 199), (192, 2965)]);
}

#[test]
fn esp32_malformed_row_costs_itself() {
    let Some(path) = shared("captures/esp32/esp32_csi_tool_100hz_one_malformed_row.csv") else { return };
    let rejects = esp32_matches("esp32_csi_tool_100hz_one_malformed_row.csv", (2, 3, 14, 18));
    let [reject] = &rejects[..] else { panic!("{rejects:?}") };
    assert_eq!(reject.reason, "bad_length");
    let text = std::fs::read(&path).unwrap();
    let row = text[reject.offset as usize..].split(|&b| b == b'\n').next().unwrap();
    assert!(row.starts_with(b"CSI_DATA,"));
    assert_eq!(summary_of(&path).frames, 833);
}

#[test]
fn esp_csi() {
    assert_eq!(esp32_matches("esp_csi_116.csv", (2, 3, 14, 18)), []);
    let Some(path) = shared("captures/esp32/esp_csi_116.csv") else { return };
    assert_eq!(frames_of(&path).0[0].sequence, Some(56));
}

#[test]
fn esp_csi_in_a_log_with_prefix_and_doubled_quotes() {
    let Some(folder) = shared("labelled/occupancy-esp32s3") else { return };
    for file in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        let (frames, rejects) = frames_of(&file);
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        let rows = text.lines().filter(|l| l.contains("CSI_DATA,")).count();
        assert_eq!(frames.len() + rejects.len(), rows);
        assert!(rejects.len() * 100 <= rows, "{rejects:?}");
        let row = text.lines().find(|l| l.contains("CSI_DATA,")).unwrap();
        let array = &row[row.find('[').unwrap() + 1..row.find(']').unwrap()];
        let row: Vec<f32> = array.split(',').map(|v| v.parse().unwrap()).collect();
        assert_eq!(frames[0].csi.iter().flat_map(|c| [c.im, c.re]).collect::<Vec<_>>(), row);
    }
}

#[test]
fn adr018_json_lines() {
    let Some(path) = shared("captures/esp32-udp/two_s3_nodes.csi.jsonl") else { return };
    let meta: Value =
        serde_json::from_slice(&std::fs::read(path.with_file_name("two_s3_nodes.csi.meta.json")).unwrap())
            .unwrap();
    let (frames, rejects) = frames_of(&path);
    assert_eq!(rejects, []);
    let text = std::fs::read_to_string(&path).unwrap();
    let all: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(all.len() as u64, meta["frame_count"].as_u64().unwrap());
    // Lines of sibling datagrams (vital signs, features, compressed CSI) hold no raw CSI and are no errors.
    let lines: Vec<&Value> = all.iter().filter(|l| l["magic"] == "0xC5110001").collect();
    assert_eq!(frames.len(), lines.len());
    let mut sum = 0.0;
    for (frame, line) in frames.iter().zip(&lines) {
        assert_eq!(frame.link.as_str(), format!("node-{}", line["node_id"]));
        assert_eq!(frame.rssi_dbm, None);
        assert_eq!(frame.csi.len() as u64, line["subcarriers"].as_u64().unwrap());
        let seconds = line["timestamp"].as_f64().unwrap();
        assert!((frame.capture_time_ns.unwrap() as f64 / 1e9 - seconds).abs() < 1e-6);
        let hex = line["iq_hex"].as_str().unwrap();
        for (i, v) in frame.csi.iter().enumerate() {
            let part = |at: usize| f32::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap() as i8);
            assert_eq!(*v, Complex32::new(part(4 * i + 2), part(4 * i)));
            sum += f64::from(v.re).hypot(f64::from(v.im));
        }
    }
    let summary = summary_of(&path);
    assert_close(summary.magnitude_sum, sum, 1e-12);
    for node in [1, 2] {
        let count = lines.iter().filter(|l| l["node_id"] == node).count() as u64;
        assert_eq!(summary.links[&format!("node-{node}")].frames, count);
    }
}

#[test]
fn espectre_npz() {
    let Some(root) = shared("labelled/motion-espectre") else { return };
    let info: Value =
        serde_json::from_slice(&std::fs::read(root.join("dataset_info.json")).unwrap()).unwrap();
    let mut seen = 0;
    for label in ["baseline", "movement"] {
        for entry in info["files"][label].as_array().unwrap() {
            let path = root.join(label).join(entry["filename"].as_str().unwrap());
            if !path.exists() {
                continue;
            }
            seen += 1;
            let (frames, rejects) = frames_of(&path);
            assert_eq!(rejects, []);
            assert_eq!(frames.len() as u64, entry["num_packets"].as_u64().unwrap());
            assert!(frames.iter().all(|f| f.layout == Layout::new(1, 1, 64)));
            assert!(frames.iter().any(|f| magnitude(f) > 0.0));
            let span = frames.last().unwrap().capture_time_ns.unwrap() - frames[0].capture_time_ns.unwrap();
            let expected = entry["duration_ms"].as_f64().unwrap() * 1e6;
            let n = frames.len() as f64;
            assert_close(span as f64, expected * (n - 1.0) / n, 1e-3);
            let chip = summary_of(&path).chip.unwrap();
            assert_eq!(chip.to_uppercase(), entry["chip"].as_str().unwrap());
        }
    }
    assert_eq!(seen, 20);
}

// Summary.

#[test]
fn summary_keeps_its_json() {
    let mut pcap = PcapWriter::new(Vec::new()).unwrap();
    for i in 0..4 {
        pcap.write(&nexmon_frame(64, i, Some(-40.0 - i as f32))).unwrap();
    }
    let mut bytes = pcap.into_inner();
    bytes.truncate(bytes.len() - 1);
    let mut reader = open_bytes(bytes, "x").unwrap();
    let summary = inspect(&mut reader, Some(1..3), |_| ());
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["format"], "nexmon-pcap");
    assert_eq!(json["chip"], "BCM43455c0");
    assert_eq!(json["frames"], 3);
    assert_eq!(json["rejected"], serde_json::json!({"truncated": 1}));
    assert!(json["first_rejected"]["truncated"].as_u64().unwrap() > 24);
    assert_eq!(json["layouts"], serde_json::json!([{"tx": 1, "rx": 1, "subcarriers": 64, "frames": 3}]));
    assert_eq!(json["first_time_ns"], 1_600_000_000_000_000_000_i64);
    assert_eq!(json["last_time_ns"], 1_600_000_000_020_000_000_i64);
    assert_close(json["rate_hz"].as_f64().unwrap(), 100.0, 1e-9);
    let link = &json["links"]["02:00:00:00:00:07/core1-ss2"];
    assert_eq!(link["rssi_dbm"], serde_json::json!({"min": -42.0, "mean": -41.0, "max": -40.0, "frames": 3}));
    assert_eq!(link["noise_dbm"], Value::Null);
    let csi = json["csi"].as_array().unwrap();
    assert_eq!(csi.len(), 2);
    let frame = nexmon_frame(64, 1, None);
    assert_eq!(csi[0][0][0].as_array().unwrap().len(), 64);
    assert_eq!(csi[0][0][0][5], serde_json::json!([frame.csi[5].re, frame.csi[5].im]));
    assert!(summary.to_string().contains("1 truncated, first at byte"));
}

#[test]
fn files_that_are_no_captures_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pcap");
    assert!(matches!(open(&path), Err(OpenError::Io { .. })));
    assert!(matches!(open(folder.path()), Err(OpenError::NotAFile(_))));
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(open(&path), Err(OpenError::Empty(_))));
    std::fs::write(&path, [0x1f, 0x8b, 8, 0]).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Compressed { compression: "gzip", .. })));
    std::fs::write(&path, b"hello, world").unwrap();
    let error = open(&path).unwrap_err().to_string();
    for format in FORMATS {
        assert!(error.contains(format.name), "{error}");
    }
}

#[test]
fn a_mapped_file_reads_as_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("misleading.csv");
    let bytes = nexmon_capture(5);
    std::fs::write(&path, &bytes).unwrap();
    let mut reader = open(&path).unwrap();
    assert_eq!(reader.len(), bytes.len());
    let mapped: Vec<Item> = reader.by_ref().collect();
    assert_eq!(mapped, read(&bytes).unwrap().1);
    reader.rewind();
    assert_eq!(reader.count(), 5);
}

// Round trips.

fn nexmon_frame(bins: u16, i: u32, rssi: Option<f32>) -> CsiFrame {
    let csi = (0..bins).map(|k| Complex32::new(f32::from(k) - 9.0, i as f32 - f32::from(k))).collect();
    let mut frame = CsiFrame::new(LinkId::new("02:00:00:00:00:07/core1-ss2"), Layout::new(1, 1, bins), csi);
    frame.sequence = Some(i);
    frame.rssi_dbm = rssi;
    frame.capture_time_ns = Some(1_600_000_000_000_000_000 + i64::from(i) * 10_000_000);
    frame.center_mhz = Some(5210.0);
    frame.bandwidth_mhz = Some(bins / 64 * 20);
    frame
}

fn nexmon_capture(frames: u32) -> Vec<u8> {
    let mut pcap = PcapWriter::new(Vec::new()).unwrap();
    (0..frames).for_each(|i| pcap.write(&nexmon_frame(64, i, Some(-50.0))).unwrap());
    pcap.into_inner()
}

fn esp32_frame(subcarriers: u16, i: u32) -> CsiFrame {
    let csi =
        (0..subcarriers).map(|k| Complex32::new(f32::from(k % 200) - 100.0, (i % 128) as f32)).collect();
    let mut frame = CsiFrame::new(LinkId::new("02:00:00:00:00:09"), Layout::new(1, 1, subcarriers), csi);
    frame.rssi_dbm = Some(-61.0);
    frame.noise_dbm = Some(-96.0);
    frame.capture_time_ns = Some(i64::from(i) * 10_000_000);
    frame
}

fn esp32_capture(frames: u32) -> Vec<u8> {
    let mut out = esp32_csv::HEADER.as_bytes().to_vec();
    (0..frames).for_each(|i| esp32_csv::write_row(&esp32_frame(64, i), &mut out).unwrap());
    out
}

fn jsonl_capture(frames: u32) -> Vec<u8> {
    (0..frames)
        .flat_map(|i| {
            let hex: String = (0..128).map(|k| format!("{:02x}", (k + i) as u8)).collect();
            format!("{{\"timestamp\": {i}.5, \"node_id\": 3, \"magic\": \"0xC5110001\", \"iq_hex\": \"{hex}\", \"subcarriers\": 64}}\n")
                .into_bytes()
        })
        .collect()
}

/// The same packets in pcapng, with nanosecond stamps, built here from the format's description.
fn pcapng_capture(frames: u32, big: bool) -> Vec<u8> {
    let word = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let half = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let block = |kind: u32, body: &[u8]| {
        let length = word(12 + body.len() as u32);
        [&word(kind)[..], &length, body, &length].concat()
    };
    let section = [&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat();
    let tsresol = [&half(9)[..], &half(1), &[9, 0, 0, 0], &[0; 4]].concat();
    let interface = [&half(1)[..], &half(0), &word(0), &tsresol].concat();
    let mut out = [block(0x0a0d_0d0a, &section), block(1, &interface)].concat();
    let pcap = nexmon_capture(frames);
    let mut at = 24;
    let mut i = 0u64;
    while at < pcap.len() {
        let length = u32::from_le_bytes(pcap[at + 8..at + 12].try_into().unwrap());
        let packet = &pcap[at + 16..at + 16 + length as usize];
        let time = 1_600_000_000_000_000_007 + i;
        let mut body =
            [word(0), word((time >> 32) as u32), word(time as u32), word(length), word(length)].concat();
        body.extend_from_slice(packet);
        body.resize(body.len().next_multiple_of(4), 0);
        out.extend_from_slice(&block(6, &body));
        at += 16 + length as usize;
        i += 1;
    }
    out
}

fn npz_capture(frames: u32) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let records = (0..frames).map(|i| Ok(esp32_frame(64, i)));
    convert(records, Target::Npz, &path, |_| ()).unwrap();
    std::fs::read(path).unwrap()
}

/// One small capture of each format.
fn samples() -> Vec<Vec<u8>> {
    vec![
        nexmon_capture(4),
        pcapng_capture(4, false),
        pcapng_capture(4, true),
        esp32_capture(4),
        jsonl_capture(4),
        npz_capture(4),
    ]
}

#[test]
fn pcapng_in_both_byte_orders() {
    let (_, pcap) = read(&nexmon_capture(3)).unwrap();
    for big in [false, true] {
        let bytes = pcapng_capture(3, big);
        let (format, items) = read(&bytes).unwrap();
        assert_eq!(format, "nexmon-pcapng");
        assert_eq!(items.len(), 3);
        for (i, (item, expected)) in items.iter().zip(&pcap).enumerate() {
            let (item, expected) = (item.as_ref().unwrap(), expected.as_ref().unwrap());
            assert_eq!(item.csi, expected.csi);
            assert_eq!(item.capture_time_ns, Some(1_600_000_000_000_000_007 + i as i64));
        }
    }
}

#[test]
fn packets_of_others_in_a_pcap_are_no_csi() {
    let mut bytes = nexmon_capture(1);
    let mut other = bytes[24..].to_vec();
    other[16 + 14 + 20 + 2] = 0;
    bytes.extend_from_slice(&other);
    let (frames, rejects) = split(read(&bytes).unwrap().1);
    assert_eq!((frames.len(), rejects.len()), (1, 0));
}

#[test]
fn a_damaged_pcap_record_costs_itself() {
    let mut bytes = nexmon_capture(5);
    let record = (bytes.len() - 24) / 5;
    bytes[24 + record + 8..24 + record + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let (frames, rejects) = split(read(&bytes).unwrap().1);
    assert_eq!(frames.len(), 4);
    assert_eq!(rejects.len(), 1);
    assert_eq!((rejects[0].reason, rejects[0].offset), ("bad_length", 24 + record as u64));
}

#[test]
fn serial_chatter_is_no_record_and_half_lines_cost_themselves() {
    let row = |i| {
        let mut out = Vec::new();
        esp32_csv::write_row(&esp32_frame(64, i), &mut out).unwrap();
        out
    };
    let mut log = b"ets Jul 29 2019 12:21:46\r\nrst:0x1 (POWERON_RESET)\r\n".to_vec();
    log.extend_from_slice(&row(0));
    log.extend_from_slice(b"I (1234) wifi: connected\nCSI_ADR,1,2,3\n");
    log.extend_from_slice(&row(1)[..150]);
    log.extend_from_slice(&row(2));
    log.extend_from_slice(b"I (99) csi: ");
    log.extend_from_slice(&row(3));
    log.extend_from_slice(&row(4)[..60]);
    log.push(b'\n');
    log.extend_from_slice(&String::from_utf8(row(5)).unwrap().replace("STA,02:", "STA,zz:").into_bytes());
    log.extend_from_slice(&String::from_utf8(row(6)).unwrap().replace(",-61,", ",-6x,").into_bytes());
    log.extend_from_slice(&String::from_utf8(row(7)).unwrap().replace("-100 ", "-1000 ").into_bytes());
    log.extend_from_slice(&row(8)[..200]);
    let (frames, rejects) = split(read(&log).unwrap().1);
    let times: Vec<i64> = frames.iter().map(|f| f.capture_time_ns.unwrap() / 10_000_000).collect();
    assert_eq!(times, [0, 2, 3]);
    let reasons: Vec<_> = rejects.iter().map(|r| r.reason).collect();
    assert_eq!(reasons, ["bad_number", "truncated", "bad_address", "bad_number", "bad_number", "truncated"]);
    for reject in rejects {
        assert!(log[reject.offset as usize..].starts_with(b"CSI_DATA,"));
    }
}

#[test]
fn esp_csi_of_newer_chips() {
    let values: Vec<String> = (0..106).map(|v| (v - 50).to_string()).collect();
    let log = format!(
        "type,seq,mac,rssi,rate,noise_floor,fft_gain,agc_gain,channel,local_timestamp,sig_len,rx_state,len,first_word,data\n\
         CSI_DATA,7,1a:00:00:00:00:00,-33,11,-92,20,30,44,4294967295,47,0,106,0,\"[{0}]\"\n\
         CSI_DATA,8,1a:00:00:00:00:00,-33,11,-92,20,30,44,9,47,0,106,0,\"[{0}]\"\n",
        values.join(",")
    );
    // With its header line and without.
    for log in [&log[..], &log[log.find("CSI_DATA").unwrap()..]] {
        let (frames, rejects) = split(read(log.as_bytes()).unwrap().1);
        assert_eq!(rejects, []);
        let f = &frames[0];
        assert_eq!(
            (f.layout.subcarriers, f.sequence, f.rssi_dbm, f.noise_dbm),
            (53, Some(7), Some(-33.0), Some(-92.0))
        );
        assert_eq!(f.center_mhz, Some(5220.0));
        assert_eq!(f.csi[0], Complex32::new(-49.0, -50.0));
        // The 32-bit clock wraps between the two.
        assert_eq!(frames[1].capture_time_ns.unwrap() - f.capture_time_ns.unwrap(), 10_000);
    }
}

#[test]
fn a_trailer_of_four_bytes_is_tolerated() {
    let mut payload = nexmon::encode_payload(&nexmon_frame(128, 3, None)).unwrap();
    let plain = PayloadDecoder::default().decode(&payload).unwrap();
    payload.extend_from_slice(&[1, 2, 3, 4]);
    assert_eq!(PayloadDecoder::default().decode(&payload).unwrap(), plain);
    payload.push(0);
    assert_eq!(PayloadDecoder::default().decode(&payload).unwrap_err().reason, "bad_length");
    payload[16] = 0x77;
    assert_eq!(PayloadDecoder::default().decode(&payload).unwrap_err().reason, "unknown_chip");
}

fn int8_csi(n: usize) -> impl Strategy<Value = Vec<Complex32>> {
    prop::collection::vec((any::<i8>(), any::<i8>()), n)
        .prop_map(|v| v.into_iter().map(|(a, b)| Complex32::new(a.into(), b.into())).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn adr018_round_trip(
        (layout, csi) in (1u16..=4, 1u16..=256)
            .prop_flat_map(|(rx, n)| (Just(Layout::new(1, rx, n)), int8_csi(usize::from(rx * n)))),
        node: u8, sequence: u32, rssi in -120i8..0, noise in -120i8..0,
        center in prop::option::of(2412u32..6000), width in prop::option::of(0u32..4),
    ) {
        let mut frame = CsiFrame::new(LinkId::new(format!("node-{node}")), layout, csi);
        frame.sequence = Some(sequence);
        frame.rssi_dbm = Some(rssi.into());
        frame.noise_dbm = Some(noise.into());
        frame.center_mhz = center.map(|c| c as f32);
        frame.bandwidth_mhz = width.map(|w| 20 << w);
        let bytes = adr018::encode(&frame).unwrap();
        let Datagram::Csi(mut back) = DatagramDecoder::default().decode(&bytes).unwrap() else { panic!("sibling") };
        back.subcarrier_index = None;
        prop_assert_eq!(&back, &frame);
        for cut in 0..bytes.len() {
            prop_assert_eq!(DatagramDecoder::default().decode(&bytes[..cut]).unwrap_err().reason, "truncated");
        }
    }

    #[test]
    fn nexmon_round_trip(
        (bins, parts) in prop::sample::select(vec![64u16, 128, 256, 512])
            .prop_flat_map(|n| (Just(n), prop::collection::vec((any::<i16>(), any::<i16>()), usize::from(n)))),
        mac: [u8; 6], core in 0u8..8, stream in 0u8..8, sequence in 0u32..4096, micros in 0i64..4_000_000_000_000_000,
        rssi in prop::option::of(-120i8..0), channel in prop::sample::select(vec![36u16, 42, 155]),
    ) {
        let mac: Vec<String> = mac.iter().map(|b| format!("{b:02x}")).collect();
        let link = LinkId::new(format!("{}/core{core}-ss{stream}", mac.join(":")));
        let csi = parts.into_iter().map(|(a, b)| Complex32::new(a.into(), b.into())).collect();
        let mut frame = CsiFrame::new(link, Layout::new(1, 1, bins), csi);
        frame.sequence = Some(sequence);
        frame.capture_time_ns = Some(micros * 1000);
        frame.rssi_dbm = rssi.map(f32::from);
        frame.center_mhz = Some(5000.0 + 5.0 * f32::from(channel));
        frame.bandwidth_mhz = Some(bins / 64 * 20);
        let mut pcap = PcapWriter::new(Vec::new()).unwrap();
        pcap.write(&frame).unwrap();
        let (_, items) = read(&pcap.into_inner()).unwrap();
        prop_assert_eq!(items.len(), 1);
        let mut back = items[0].clone().unwrap();
        prop_assert_eq!(back.subcarrier_index.take().unwrap().len(), usize::from(bins));
        prop_assert_eq!(back, frame);
    }

    #[test]
    fn esp32_round_trip(
        csi in (1usize..200).prop_flat_map(int8_csi), mac: [u8; 6], micros: u32,
        rssi in -120i8..0, noise in -120i8..0, channel in 1u16..=13,
    ) {
        let mac: Vec<String> = mac.iter().map(|b| format!("{b:02x}")).collect();
        let layout = Layout::new(1, 1, csi.len() as u16);
        let mut frame = CsiFrame::new(LinkId::new(mac.join(":")), layout, csi);
        frame.capture_time_ns = Some(i64::from(micros) * 1000);
        frame.rssi_dbm = Some(rssi.into());
        frame.noise_dbm = Some(noise.into());
        frame.center_mhz = Some(2407.0 + 5.0 * f32::from(channel));
        frame.bandwidth_mhz = Some(20);
        let mut row = Vec::new();
        esp32_csv::write_row(&frame, &mut row).unwrap();
        let (_, items) = read(&row).unwrap();
        prop_assert_eq!(items.len(), 1);
        let mut back = items[0].clone().unwrap();
        back.subcarrier_index = None;
        prop_assert_eq!(back, frame);
    }

    #[test]
    fn arbitrary_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        for format in FORMATS {
            let mut decoder = (format.decoder)();
            let items = std::iter::from_fn(|| decoder.next(&bytes)).take(bytes.len() + 2).count();
            prop_assert!(items <= bytes.len().max(1), "{} gave {items} items", format.name);
        }
        let _ = DatagramDecoder::default().decode(&bytes);
        let _ = PayloadDecoder::default().decode(&bytes);
    }

    #[test]
    fn mutated_captures_end(which in 0usize..6, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = samples().swap_remove(which);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some((_, items)) = read(&bytes) {
            prop_assert!(items.len() <= bytes.len());
            for frame in items.into_iter().flatten() {
                prop_assert_eq!(frame.csi.len(), frame.layout.values());
            }
        }
    }
}

#[test]
fn truncation_loses_the_last_record_only() {
    for bytes in samples() {
        let (format, whole) = read(&bytes).unwrap();
        // The directory of an archive stands at its end: without it, there are no records to speak of.
        if format == "npz" {
            continue;
        }
        let whole = split(whole).0;
        let mut most = 0;
        for cut in 0..=bytes.len() {
            let Some((_, items)) = read(&bytes[..cut]) else { continue };
            let (frames, rejects) = split(items);
            assert_eq!(frames[..], whole[..frames.len()], "{format} cut at {cut}");
            assert!(rejects.len() <= 1, "{format} cut at {cut}: {rejects:?}");
            assert!(frames.len() >= most, "{format} cut at {cut}");
            most = frames.len();
        }
        assert_eq!(most, whole.len());
        // All records but the cut one are there: halfway into the last record.
        let cut = bytes.len() - bytes.len() / 10;
        assert_eq!(split(read(&bytes[..cut]).unwrap().1).0.len(), whole.len() - 1, "{format}");
    }
}

#[test]
fn truncated_real_captures_lose_one_record() {
    let Some(root) = shared("captures") else { return };
    for name in ["nexmon/example_4366c0.pcap", "esp32/esp_csi_116.csv", "esp32-udp/two_s3_nodes.csi.jsonl"] {
        let mut bytes = std::fs::read(root.join(name)).unwrap();
        let (whole, _) = split(read(&bytes).unwrap().1);
        bytes.truncate(bytes.len() - 100);
        let (frames, rejects) = split(read(&bytes).unwrap().1);
        assert_eq!(frames.len(), whole.len() - 1, "{name}");
        assert_eq!(rejects.len(), 1, "{name}");
    }
}

// Conversion.

fn mixed_records() -> Vec<Item> {
    let mut records: Vec<Item> = Vec::new();
    for i in 0..50 {
        records.push(Ok(nexmon_frame(64, i, Some(-40.0))));
        records.push(Ok(esp32_frame(192, i)));
        if i % 10 == 0 {
            records.push(Err(Reject { offset: 0, reason: "truncated", detail: String::new() }));
        }
    }
    let layout = Layout::new(2, 3, 30);
    let csi = (0..180).map(|k| Complex32::new(k as f32, 0.5)).collect();
    records.push(Ok(CsiFrame::new(LinkId::new("bare"), layout, csi)));
    records
}

#[test]
fn npz_holds_what_was_converted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let converted = convert(mixed_records().into_iter(), Target::Npz, &path, |_| ()).unwrap();
    assert_eq!(converted.frames, 101);
    assert_eq!(converted.rejected["truncated"], 5);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let (back, rejects) = frames_of(&path);
    assert_eq!(rejects, []);
    let mut expected: Vec<CsiFrame> = mixed_records().into_iter().flatten().collect();
    for frame in &mut expected {
        frame.center_mhz = None;
        frame.bandwidth_mhz = None;
    }
    expected.sort_by_key(|f| f.layout);
    assert_eq!(back, expected);
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_what_was_converted() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    convert(mixed_records().into_iter(), Target::Parquet, &path, |_| ()).unwrap();
    let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let expected: Vec<CsiFrame> = mixed_records().into_iter().flatten().collect();
    let mut rows = 0;
    for (row, frame) in reader.get_row_iter(None).unwrap().zip(&expected) {
        let row = row.unwrap();
        assert_eq!(row.get_long(0).ok(), frame.capture_time_ns);
        assert_eq!(row.get_string(1).unwrap(), frame.link.as_str());
        assert_eq!(row.get_float(3).ok(), frame.rssi_dbm);
        assert_eq!(row.get_int(9).unwrap(), i32::from(frame.layout.subcarriers));
        let list = row.get_list(10).unwrap();
        let values: Vec<f32> = list
            .elements()
            .iter()
            .map(|v| match v {
                parquet::record::Field::Float(v) => *v,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(values, frame.csi.iter().flat_map(|c| [c.re, c.im]).collect::<Vec<_>>());
        rows += 1;
    }
    assert_eq!(rows, expected.len());
}

#[test]
fn a_failed_conversion_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    std::fs::File::create(&path).unwrap().write_all(b"before").unwrap();
    let many = (1..=65)
        .map(|n| Ok(CsiFrame::new(LinkId::new("a"), Layout::new(1, 1, n), vec![Complex32::ONE; n.into()])));
    convert(many, Target::Npz, &path, |_| ()).unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), b"before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

// Live.

/// Sends datagrams to a running source until it has taken them all, and gives the frames in its channel.
fn live(protocol: Protocol, capacity: usize, datagrams: &[Vec<u8>]) -> (Vec<CsiFrame>, SourceStats) {
    let source = UdpSource::bind("127.0.0.1:0".parse().unwrap(), protocol).unwrap();
    let to = source.local_addr().unwrap();
    let stats = SourceStats::new("udp://test", SourceKind::Live);
    let stop = AtomicBool::new(false);
    let (sender, receiver) = crossbeam_channel::bounded(capacity);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| source.run(&stop, &stats, drop_oldest(&sender, &receiver, &stats)));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (sent, datagram) in datagrams.iter().enumerate() {
            // Loopback drops when the receiver lags: never more than 32 on the way.
            while stats.received.get() + 32 < sent as u64 {
                std::thread::yield_now();
            }
            socket.send_to(datagram, to).unwrap();
        }
        let patience = std::time::Instant::now();
        while stats.received.get() < datagrams.len() as u64 && patience.elapsed() < Duration::from_secs(20) {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap().unwrap();
    });
    let rejected: u64 = stats.rejected().values().sum();
    assert_eq!(stats.received.get(), datagrams.len() as u64);
    assert_eq!(
        stats.received.get(),
        stats.accepted.get() + stats.siblings.get() + rejected + stats.dropped.get()
    );
    assert_eq!(stats.running.get(), 0);
    (receiver.try_iter().collect(), stats)
}

fn node_frame(node: u8, subcarriers: u16, sequence: u32) -> CsiFrame {
    let csi = (0..subcarriers).map(|k| Complex32::new(f32::from(k % 100), -3.0)).collect();
    let mut frame = CsiFrame::new(LinkId::new(format!("node-{node}")), Layout::new(1, 1, subcarriers), csi);
    frame.sequence = Some(sequence);
    frame
}

#[test]
fn live_adr018() {
    let mut datagrams = Vec::new();
    for (i, subcarriers) in [64u16, 128, 192, 256, 64].into_iter().enumerate() {
        datagrams.push(adr018::encode(&node_frame(7, subcarriers, i as u32)).unwrap());
    }
    for magic in [0xC511_0002_u32, 0xC511_0003, 0xC511_0004, 0xC511_0005, 0xC511_0006, 0xC511_A110] {
        assert!(Sibling::from_magic(magic).is_some());
        datagrams.push([&magic.to_le_bytes()[..], &[0; 28]].concat());
    }
    datagrams.push(b"hello".to_vec());
    datagrams.push(datagrams[0][..100].to_vec());
    datagrams.push([&datagrams[0][..], &[0]].concat());
    datagrams.push(vec![1]);
    let mut no_antennas = datagrams[0].clone();
    no_antennas[5] = 0;
    datagrams.push(no_antennas);
    let (frames, stats) = live(Protocol::Adr018, 16, &datagrams);
    let layouts: Vec<u16> = frames.iter().map(|f| f.layout.subcarriers).collect();
    assert_eq!(layouts, [64, 128, 192, 256, 64]);
    assert!(frames.iter().all(|f| f.link.as_str() == "node-7" && f.time_ns > 1_600_000_000_000_000_000));
    assert!(frames.is_sorted_by_key(|f| f.time_ns));
    assert_eq!(stats.siblings.get(), 6);
    let rejected: Vec<_> = stats.rejected().into_iter().collect();
    assert_eq!(rejected, [("bad_layout", 1), ("bad_length", 1), ("bad_magic", 1), ("truncated", 2)]);
}

#[test]
fn live_nexmon() {
    let mut datagrams: Vec<Vec<u8>> =
        (0..3).map(|i| nexmon::encode_payload(&nexmon_frame(256, i, Some(-44.0))).unwrap()).collect();
    datagrams.push(vec![0x11; 10]);
    datagrams.push(vec![0; 1042]);
    let (frames, stats) = live(Protocol::Nexmon, 16, &datagrams);
    assert_eq!(frames.iter().map(|f| f.sequence.unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(frames.iter().all(|f| f.rssi_dbm == Some(-44.0)));
    assert_eq!(stats.rejected().into_iter().collect::<Vec<_>>(), [("bad_magic", 1), ("truncated", 1)]);
}

#[test]
fn a_full_channel_gives_up_the_oldest() {
    let datagrams: Vec<Vec<u8>> = (0..500).map(|i| adr018::encode(&node_frame(1, 64, i)).unwrap()).collect();
    let (frames, stats) = live(Protocol::Adr018, 8, &datagrams);
    assert_eq!(
        frames.iter().map(|f| f.sequence.unwrap()).collect::<Vec<_>>(),
        (492..500).collect::<Vec<_>>()
    );
    assert_eq!(stats.dropped.get(), 492);
    assert_eq!(stats.accepted.get(), 8);
}

#[test]
fn sniffing_needs_no_more_than_a_head() {
    for bytes in samples() {
        let format = sniff(&bytes).unwrap();
        let others = FORMATS.iter().filter(|f| (f.sniff)(&bytes)).count();
        assert_eq!(others, 1, "{}", format.name);
    }
}

/// A process information block (type 0x80000001) that says it is four bytes long.
#[test]
fn a_pcapng_block_shorter_than_its_own_header_costs_that_block() {
    let mut bytes = vec![0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0];
    bytes.extend([0xff; 8]);
    bytes.extend([28, 0, 0, 0]);
    bytes.extend([0x01, 0, 0, 0x80, 4, 0, 0, 0, 4, 0, 0, 0]);
    let items: Vec<Item> = open_bytes(bytes, "short.pcapng").unwrap().collect();
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0].as_ref().unwrap_err().offset, 28);
}
