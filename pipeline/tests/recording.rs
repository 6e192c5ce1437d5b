//! The encoding of frames and recordings: nothing acknowledged is lost, nothing damaged is shown.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use invispose_pipeline::codec::{self, DecodeError, EncodeError, Frame};
use invispose_pipeline::pose::{Activity, Breathing, Count, CountBasis, Presence, SignalActivity};
use invispose_pipeline::recording::{Metadata, Reader, RecordingError, Writer, WriterConfig};
use invispose_pipeline::site::SiteConfig;
use invispose_pipeline::{Complex32, CsiFrame, Layout, LinkId, PoseFrame, Provenance, SourceKind};
use proptest::prelude::*;
use support::{Numbers, any_csi, any_pose, child, csi_frame, pose_frame};

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    let n = match frame {
        Frame::Csi(f) => codec::encode_csi(f, &mut out),
        Frame::Pose(f) => codec::encode_pose(f, &mut out),
    };
    assert_eq!(n.unwrap(), out.len());
    out
}

fn any_frame() -> impl Strategy<Value = Frame> {
    prop_oneof![any_csi().prop_map(Frame::Csi), any_pose().prop_map(Frame::Pose)]
}

// The encoding.

#[test]
fn a_csi_frame_has_the_documented_bytes() {
    let frame = CsiFrame {
        time_ns: 0x0102_0304_0506_0708,
        capture_time_ns: Some(-2),
        sequence: Some(0xA1A2_A3A4),
        rssi_dbm: Some(-1.0),
        noise_dbm: None,
        center_mhz: Some(2.0),
        bandwidth_mhz: Some(80),
        subcarrier_index: Some(vec![-1, 1].into()),
        ..CsiFrame::new(
            LinkId::new("né"),
            Layout::new(1, 1, 2),
            vec![Complex32::new(1.0, -2.0), Complex32::new(0.5, 0.0)],
        )
    };
    #[rustfmt::skip]
    let expected: &[u8] = &[
        1, 1, 2, 0, 67, 0, 0, 0,
        8, 7, 6, 5, 4, 3, 2, 1,
        0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0b0111_0111, 0, 80, 0, 0xA4, 0xA3, 0xA2, 0xA1,
        0, 0, 0x80, 0xBF, 0, 0, 0, 0, 0, 0, 0, 0x40,
        1, 0, 1, 0, 2, 0, 3, 0,
        b'n', 0xC3, 0xA9,
        0xFF, 0xFF, 1, 0,
        0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0, 0, 0, 0, 0x3F, 0, 0, 0, 0,
    ];
    assert_eq!(encoded(&Frame::Csi(frame.clone())), expected);
    assert_eq!(codec::decode_csi(expected).unwrap(), (frame, expected.len()));
    assert_eq!(codec::decode_pose(expected), Err(DecodeError::Kind { kind: 1 }));
}

fn one_person() -> PoseFrame {
    let mut person = pose_frame(1).persons.remove(0);
    person.activity = Some(Activity::Lying);
    person.zone = Some(3);
    PoseFrame {
        frame_id: 5,
        site: "lab".into(),
        time_ns: -1,
        processing_ns: 7,
        provenance: Provenance {
            source: SourceKind::Replay,
            model: Some("m".into()),
            calibrated: false,
            experimental: true,
        },
        presence: Some(Presence { present: true, motion_level: 1.0, coverage: 0.5 }),
        breathing: Some(Breathing { rate_bpm: 16.0, quality: 0.5 }),
        count: None,
        activity: None,
        persons: vec![person],
    }
}

#[test]
fn a_pose_frame_has_the_documented_bytes() {
    let frame = one_person();
    let bytes = encoded(&Frame::Pose(frame.clone()));
    #[rustfmt::skip]
    let head: &[u8] = &[
        2, 1, 2, 0, 0x6E, 1, 0, 0,
        5, 0, 0, 0, 0, 0, 0, 0,
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        7, 0, 0, 0, 0, 0, 0, 0,
        2, 0b0011_1110, 1, 0,
        0, 0, 0x80, 0x3F, 0, 0, 0, 0x3F,
        3, 0, 1, 0, 0x38, 1,
        b'l', b'a', b'b', b'm',
    ];
    assert_eq!(bytes[..head.len()], *head);
    let person = &bytes[head.len()..];
    assert_eq!(person.len(), 312 + 8);
    assert_eq!(person[312..], [0, 0, 0x80, 0x41, 0, 0, 0, 0x3F]);
    let p = &frame.persons[0];
    let float = |at: usize| f32::from_le_bytes(person[at..at + 4].try_into().unwrap());
    assert_eq!(person[..8], p.id.to_le_bytes());
    assert_eq!(float(8), p.confidence);
    assert_eq!([float(12), float(16), float(20)], p.position_m);
    assert_eq!([float(24), float(28), float(32)], p.velocity_m_s);
    assert_eq!(person[36..40], [4, 1, 3, 0]);
    for (k, joint) in p.keypoints.iter().enumerate() {
        let at = 40 + 16 * k;
        assert_eq!([float(at), float(at + 4), float(at + 8)], joint.position_m);
        assert_eq!(float(at + 12), joint.confidence);
    }
    assert_eq!(codec::decode_pose(&bytes).unwrap(), (frame.clone(), bytes.len()));

    // What the second version has added stands at the end.
    let mut more = frame;
    more.count = Some(Count { mean: 1.0, low: 1, high: 2, basis: CountBasis::Signal });
    more.activity = Some(SignalActivity { name: "sit".into(), probability: 0.5 });
    more.persons[0].breathing = Some(Breathing { rate_bpm: 16.0, quality: 0.5 });
    let longer = encoded(&Frame::Pose(more.clone()));
    #[rustfmt::skip]
    let tail: &[u8] = &[
        0, 0, 0x80, 0x3F, 1, 2, 3, 0,
        0, 0, 0, 0x3F, 3, 0, b's', b'i', b't',
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x41, 0, 0, 0, 0x3F,
    ];
    assert_eq!(longer[35], 0b111);
    assert_eq!(longer[bytes.len()..], *tail);
    assert_eq!(codec::decode_pose(&longer).unwrap(), (more, longer.len()));
    let mut nobody = longer.clone();
    nobody[bytes.len() + 21] = 1;
    let field = "breathing person";
    let error = DecodeError::Value { offset: bytes.len() + 21, field, value: 1 };
    assert_eq!(codec::decode_pose(&nobody), Err(error));
}

#[test]
fn what_a_newer_minor_version_appends_is_skipped() {
    let frame = one_person();
    let mut bytes = encoded(&Frame::Pose(frame.clone()));
    let length = |bytes: &mut Vec<u8>| {
        let n = bytes.len() as u32 - 8;
        bytes[4..8].copy_from_slice(&n.to_le_bytes());
    };
    // A longer person, an unknown flag, an unknown activity, and something after the last person.
    bytes[2] = 3;
    let person = bytes.len() - 312 - 8;
    bytes[33] |= 0x80;
    bytes[48..50].copy_from_slice(&316u16.to_le_bytes());
    bytes[person + 36] = 77;
    let after_person = bytes.len() - 8;
    bytes.splice(after_person..after_person, [9; 4]);
    bytes.extend([9; 10]);
    length(&mut bytes);
    let mut expected = frame;
    expected.persons[0].activity = None;
    assert_eq!(codec::decode_pose(&bytes).unwrap(), (expected, bytes.len()));
    // The same bytes do not pass as this version's.
    bytes[2] = 0;
    assert_eq!(codec::decode(&bytes), Err(DecodeError::Value { offset: 33, field: "flags", value: 0xBE }));
    bytes[1] = 2;
    assert_eq!(codec::decode(&bytes), Err(DecodeError::Version { major: 2 }));

    let mut bytes = encoded(&Frame::Csi(csi_frame(1)));
    bytes.push(0);
    length(&mut bytes);
    let count = bytes.len();
    assert_eq!(codec::decode(&bytes), Err(DecodeError::Trailing { offset: count - 1, count: 1 }));
    bytes[2] = 200;
    assert_eq!(codec::decode_csi(&bytes).unwrap(), (csi_frame(1), count));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut out = vec![1];
    let mut frame = csi_frame(1);
    frame.csi.pop();
    assert!(matches!(codec::encode_csi(&frame, &mut out), Err(EncodeError::Shape { field: "csi", .. })));
    let mut frame = csi_frame(1);
    frame.subcarrier_index = Some(vec![1].into());
    let shape = codec::encode_csi(&frame, &mut out);
    assert!(matches!(shape, Err(EncodeError::Shape { field: "subcarrier_index", .. })));
    let mut frame = csi_frame(1);
    frame.link = LinkId::new("x".repeat(70_000));
    assert!(matches!(codec::encode_csi(&frame, &mut out), Err(EncodeError::TooLong { field: "link", .. })));
    let layout = Layout::new(32, 32, 2100);
    let frame = CsiFrame::new(LinkId::new("x"), layout, vec![Complex32::default(); layout.values()]);
    assert!(matches!(codec::encode_csi(&frame, &mut out), Err(EncodeError::TooLong { field: "frame", .. })));
    let mut frame = one_person();
    frame.persons = vec![frame.persons[0].clone(); 17];
    let crowd = codec::encode_pose(&frame, &mut out);
    assert!(matches!(crowd, Err(EncodeError::TooLong { field: "persons", limit: 16, found: 17 })));
    assert_eq!(out, [1]);
}

proptest! {
    /// Bit for bit, also where a float is no number.
    #[test]
    fn frames_survive_the_encoding(frame in any_frame(), rest in prop::collection::vec(any::<u8>(), 0..9)) {
        let bytes = encoded(&frame);
        let (decoded, used) = codec::decode(&[&bytes[..], &rest].concat()).unwrap();
        prop_assert_eq!(used, bytes.len());
        prop_assert_eq!(encoded(&decoded), bytes);
        prop_assert_eq!(format!("{decoded:?}"), format!("{frame:?}"));
    }

    #[test]
    fn a_cut_frame_is_refused(frame in any_frame(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&frame);
        let cut = cut.index(bytes.len());
        let truncated = matches!(codec::decode(&bytes[..cut]), Err(DecodeError::Truncated { .. }));
        prop_assert!(truncated);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(
        frame in any_frame(),
        patches in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let _ = codec::decode(&noise);
        let mut bytes = encoded(&frame);
        for (at, value) in patches {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok((decoded, used)) = codec::decode(&bytes) {
            prop_assert!(used <= bytes.len());
            let _ = encoded(&decoded);
        }
    }
}

// Recordings.

fn metadata() -> Metadata {
    let site = SiteConfig {
        id: "lab".into(),
        name: "The lab".into(),
        room_m: [6.0, 4.0, 2.5],
        links: Vec::new(),
        zones: Vec::new(),
        experimental_poses: false,
        max_occupancy: None,
    };
    Metadata { source: SourceKind::Simulated, site: Some(site), created_ns: 42, note: "a test".into() }
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.rec");
    (dir, path)
}

/// Frame `n` of a test recording: CSI and pose frames in turn, 1 ms apart.
fn frame(n: u32) -> Frame {
    if n.is_multiple_of(3) {
        let time_ns = i64::from(n) * 1_000_000;
        Frame::Pose(PoseFrame { time_ns, ..pose_frame(u64::from(n % 4)) })
    } else {
        Frame::Csi(csi_frame(n))
    }
}

fn write(writer: &mut Writer, frame: &Frame) -> Result<(), RecordingError> {
    match frame {
        Frame::Csi(f) => writer.write_csi(f),
        Frame::Pose(f) => writer.write_pose(f),
    }
}

/// A recording of frames 0.. in blocks of these counts.
fn record(path: &Path, counts: &[u32], close: bool) {
    let mut writer = Writer::create(path, &metadata()).unwrap();
    let mut n = 0;
    for count in counts {
        for _ in 0..*count {
            write(&mut writer, &frame(n)).unwrap();
            n += 1;
        }
        assert_eq!(writer.flush().unwrap(), u64::from(n));
    }
    if close {
        assert_eq!(writer.close().unwrap(), u64::from(n));
    }
}

fn read(path: &Path) -> Vec<Frame> {
    Reader::open(path).unwrap().frames().map(Result::unwrap).collect()
}

fn frames(range: std::ops::Range<u32>) -> Vec<Frame> {
    range.map(frame).collect()
}

#[test]
fn what_is_recorded_is_read() {
    for close in [true, false] {
        let (_dir, path) = scratch();
        record(&path, &[3, 1, 10], close);
        let reader = Reader::open(&path).unwrap();
        assert_eq!(*reader.metadata(), metadata());
        assert_eq!((reader.closed(), reader.torn_bytes(), reader.gaps().len()), (close, 0, 0));
        assert_eq!(reader.frame_count(), 14);
        assert_eq!(reader.time_range_ns(), Some((0, 13_000_000)));
        let blocks: Vec<_> =
            reader.blocks().iter().map(|b| (b.number, b.count, b.first_ns, b.last_ns)).collect();
        assert_eq!(
            blocks,
            [(0, 3, 0, 2_000_000), (1, 1, 3_000_000, 3_000_000), (2, 10, 4_000_000, 13_000_000)]
        );
        assert_eq!(read(&path), frames(0..14));
        for from in 0..15 {
            let rest: Vec<_> = reader.frames_from(i64::from(from) * 1_000_000).map(Result::unwrap).collect();
            assert_eq!(rest, frames(from.min(14)..14));
        }
    }
}

#[test]
fn a_site_of_another_version_costs_the_site_only() {
    let (_dir, path) = scratch();
    let header = |json: &str| {
        let mut bytes = [&b"INVISREC"[..], &[1, 0, 9, 0], &(json.len() as u32 + 20).to_le_bytes()].concat();
        bytes.extend(json.as_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    };
    let json =
        r#"{"source": "live", "site": {"id": "lab", "gravity": 9.81}, "created_ns": 1, "mood": "good"}"#;
    std::fs::write(&path, header(json)).unwrap();
    record_more(&path, 0, 2);
    let expected = Metadata { source: SourceKind::Live, site: None, created_ns: 1, note: String::new() };
    assert_eq!(*Reader::open(&path).unwrap().metadata(), expected);
    assert_eq!(read(&path), frames(0..2));
    // Without knowing where the frames came from they are not read.
    std::fs::write(&path, header(r#"{"created_ns": 1}"#)).unwrap();
    assert!(matches!(Reader::open(&path), Err(RecordingError::NotARecording { .. })));
}

#[test]
fn an_empty_recording_is_one() {
    let (_dir, path) = scratch();
    record(&path, &[], true);
    assert_eq!(read(&path), []);
    assert_eq!(Reader::open(&path).unwrap().time_range_ns(), None);
    record_more(&path, 0, 2);
    assert_eq!(read(&path), frames(0..2));
}

fn record_more(path: &Path, from: u32, count: u32) {
    let mut writer = Writer::append(path).unwrap();
    for n in from..from + count {
        write(&mut writer, &frame(n)).unwrap();
    }
    assert_eq!(writer.close().unwrap(), u64::from(count));
}

#[test]
fn a_recording_goes_on_after_a_close_and_after_a_crash() {
    for close in [true, false] {
        let (_dir, path) = scratch();
        record(&path, &[5], close);
        record_more(&path, 5, 4);
        record_more(&path, 9, 1);
        let reader = Reader::open(&path).unwrap();
        assert_eq!(reader.blocks().iter().map(|b| b.number).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(reader.closed());
        assert_eq!(read(&path), frames(0..10));
    }
}

#[test]
fn blocks_close_by_size_and_by_age() {
    let (_dir, path) = scratch();
    let small = WriterConfig { block_bytes: 2000, ..WriterConfig::default() };
    let mut writer = Writer::create(&path, &metadata()).unwrap().with_config(small);
    for n in 0..100 {
        write(&mut writer, &frame(n)).unwrap();
    }
    assert!(writer.acknowledged() > 80);
    // What is on the disk can be read while the writer goes on.
    assert_eq!(Reader::open(&path).unwrap().frame_count(), writer.acknowledged());
    let aged = WriterConfig { block_age: std::time::Duration::ZERO, ..small };
    let mut writer = writer.with_config(aged);
    writer.flush_if_due().unwrap();
    assert_eq!(writer.acknowledged(), 100);
    drop(writer);
    assert_eq!(read(&path), frames(0..100));
}

#[test]
fn a_dropped_writer_loses_nothing() {
    let (_dir, path) = scratch();
    let mut writer = Writer::create(&path, &metadata()).unwrap();
    write(&mut writer, &frame(0)).unwrap();
    drop(writer);
    assert_eq!(read(&path), frames(0..1));
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let (_dir, path) = scratch();
    assert!(matches!(Writer::append(&path), Err(RecordingError::Io { .. })));
    for foreign in [&b"a letter"[..], b"", b"INVISREC"] {
        std::fs::write(&path, foreign).unwrap();
        assert!(matches!(Reader::open(&path), Err(RecordingError::NotARecording { .. })));
        assert!(matches!(Writer::append(&path), Err(RecordingError::NotARecording { .. })));
        assert!(matches!(Writer::create(&path, &metadata()), Err(RecordingError::Io { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), foreign);
    }
    std::fs::remove_file(&path).unwrap();
    let writer = Writer::create(&path, &metadata()).unwrap();
    assert!(matches!(Writer::append(&path), Err(RecordingError::Locked { .. })));
    drop(writer);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 2;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(Reader::open(&path), Err(RecordingError::Version { found: 2, .. })));
}

#[test]
fn a_cut_at_any_byte_keeps_all_whole_blocks() {
    let (dir, path) = scratch();
    record(&path, &[2, 1, 2], true);
    let bytes = std::fs::read(&path).unwrap();
    let blocks = Reader::open(&path).unwrap().blocks().to_vec();
    let cut_path = dir.path().join("cut.rec");
    for cut in 0..bytes.len() {
        std::fs::write(&cut_path, &bytes[..cut]).unwrap();
        if (cut as u64) < blocks[0].offset {
            let refused = matches!(Reader::open(&cut_path), Err(RecordingError::NotARecording { .. }));
            assert!(refused, "cut at {cut}");
            continue;
        }
        let whole: u32 = blocks.iter().filter(|b| b.end() <= cut as u64).map(|b| b.count).sum();
        assert_eq!(read(&cut_path), frames(0..whole), "cut at {cut}");
        if cut % 7 == 0 {
            record_more(&cut_path, whole, 1);
            assert_eq!(read(&cut_path), frames(0..whole + 1), "appended after a cut at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// One damaged stretch costs the blocks that it touches; the others are all there, and nothing false is.
    #[test]
    fn damage_costs_the_block_that_it_hits(
        at in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 1..100),
        close in any::<bool>(),
    ) {
        let (_dir, path) = scratch();
        let counts = [4, 3, 5, 2];
        record(&path, &counts, close);
        let blocks = Reader::open(&path).unwrap().blocks().to_vec();
        let mut bytes = std::fs::read(&path).unwrap();
        let start = blocks[0].offset as usize;
        let at = start + at.index(bytes.len() - start);
        let end = (at + noise.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&noise[..end - at]);
        std::fs::write(&path, &bytes).unwrap();

        let mut expected = Vec::new();
        let mut first = 0;
        let mut hit = 0;
        for (block, count) in blocks.iter().zip(counts) {
            if block.end() as usize <= at || block.offset as usize >= end {
                expected.extend(frames(first..first + count));
            } else {
                hit += 1;
            }
            first += count;
        }
        let reader = Reader::open(&path).unwrap();
        let (good, bad): (Vec<_>, Vec<_>) = reader.frames().partition(Result::is_ok);
        let good: Vec<_> = good.into_iter().map(Result::unwrap).collect();
        // Noise may by chance equal what was there, so a hit block may still be whole.
        prop_assert!(expected.iter().all(|f| good.contains(f)));
        prop_assert!(good.iter().all(|f| frames(0..first).contains(f)));
        prop_assert!(bad.len() <= hit);
        prop_assert!(!bad.is_empty() || reader.torn_bytes() > 0 || good.len() == first as usize);
        drop(reader);

        record_more(&path, first, 2);
        let after: Vec<_> = Reader::open(&path).unwrap().frames().filter_map(Result::ok).collect();
        let mut all = good;
        all.extend(frames(first..first + 2));
        prop_assert_eq!(after, all);
    }

    #[test]
    fn no_file_makes_the_reader_panic(
        noise in prop::collection::vec(any::<u8>(), 0..2000),
        patches in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..10),
    ) {
        let (_dir, path) = scratch();
        record(&path, &[2, 2], true);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(&noise);
        for (at, value) in patches {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(reader) = Reader::open(&path) {
            prop_assert!(reader.frames().filter(Result::is_ok).count() <= 4);
        }
        std::fs::write(&path, &noise).unwrap();
        prop_assert!(Reader::open(&path).is_err());
    }
}

// Faults.

const RECORDER: &str = "INVISPOSE_TEST_RECORDER";
const BLOCK_BYTES: &str = "INVISPOSE_TEST_BLOCK_BYTES";

/// The process that `an_acknowledged_block_survives_a_kill` kills; alone it does nothing.
#[test]
fn child_recorder() {
    let Some(path) = std::env::var_os(RECORDER) else { return };
    let path = PathBuf::from(path);
    let first = Reader::open(&path).unwrap().frame_count() as u32;
    let block_bytes = std::env::var(BLOCK_BYTES).unwrap().parse().unwrap();
    let config = WriterConfig { block_bytes, ..WriterConfig::default() };
    let mut writer = Writer::append(&path).unwrap().with_config(config);
    let mut told = 0;
    for n in first.. {
        write(&mut writer, &frame(n)).unwrap();
        if writer.acknowledged() > told {
            told = writer.acknowledged();
            println!("\nack {}", u64::from(first) + told);
        }
    }
}

#[test]
fn an_acknowledged_block_survives_a_kill() {
    let mut numbers = Numbers(3);
    let mut torn = 0;
    // Small blocks for many acknowledgements, large ones because a kill can cut their write in two.
    for (block_bytes, recordings, kills) in [("3000", 4, 8), ("1500000", 4, 5)] {
        for _ in 0..recordings {
            let (_dir, path) = scratch();
            record(&path, &[], false);
            for _ in 0..kills {
                torn += usize::from(kill_while_recording(&path, block_bytes, &mut numbers));
            }
        }
    }
    println!("{torn} of 52 kills left a torn tail");
}

/// Kills a recording process at some moment after some acknowledgement. Returns whether that left a torn tail.
fn kill_while_recording(path: &Path, block_bytes: &str, numbers: &mut Numbers) -> bool {
    let mut process = child("child_recorder", RECORDER, path).env(BLOCK_BYTES, block_bytes).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut acks = lines.filter_map(|line| line.strip_prefix("ack ").map(|n| n.parse::<u32>().unwrap()));
    let acknowledged = acks.nth(numbers.below(3) as usize).unwrap();
    // Another moment each time: within the encoding, the writing or the waiting for the disk.
    for _ in 0..numbers.below(1 << 18) {
        std::hint::spin_loop();
    }
    process.kill().unwrap();
    process.wait().unwrap();

    let reader = Reader::open(path).unwrap();
    let all: Vec<_> = reader.frames().map(Result::unwrap).collect();
    assert!(all.len() >= acknowledged as usize, "{} of {acknowledged} are there", all.len());
    assert!(all == frames(0..all.len() as u32), "other frames than were written");
    reader.torn_bytes() > 0
}

/// Writes until the disk is full and checks what is left.
fn fill(path: &Path) {
    let config = WriterConfig { block_bytes: 20_000, ..WriterConfig::default() };
    let mut writer = Writer::create(path, &metadata()).unwrap().with_config(config);
    let mut taken = 0;
    let error = loop {
        match write(&mut writer, &frame(taken)) {
            Ok(()) => taken += 1,
            Err(e) => break e,
        }
        assert!(taken < 1_000_000, "the disk is not small");
    };
    let RecordingError::DiskFull { acknowledged, .. } = &error else { panic!("{error}") };
    assert!(*acknowledged > 0 && error.to_string().contains("disk full"), "{error}");
    assert_eq!(read(path), frames(0..*acknowledged as u32));
    // It stays full; the error stays the same, and the frame is not taken.
    assert!(matches!(write(&mut writer, &frame(taken)), Err(RecordingError::DiskFull { .. })));
    assert_eq!(read(path), frames(0..*acknowledged as u32));

    // Once there is room, what was taken before is written.
    let ballast = path.with_file_name("ballast");
    if ballast.exists() {
        std::fs::remove_file(ballast).unwrap();
        record_rest(writer, path, taken);
    }
}

fn record_rest(mut writer: Writer, path: &Path, taken: u32) {
    write(&mut writer, &frame(taken)).unwrap();
    assert_eq!(writer.close().unwrap(), u64::from(taken) + 1);
    assert_eq!(read(path), frames(0..taken + 1));
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "none"])
        .arg(dir.path())
        .stderr(Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        println!("skipped: no right to mount a small tmpfs");
        return;
    }
    std::fs::write(dir.path().join("ballast"), vec![1; 300_000]).unwrap();
    let result = std::panic::catch_unwind(|| fill(&dir.path().join("a.rec")));
    assert!(Command::new("umount").arg("-l").arg(dir.path()).status().unwrap().success());
    result.unwrap();
}

const FILLER: &str = "INVISPOSE_TEST_FILLER";

/// The process that `a_file_size_limit_is_said_and_survived` limits; alone it does nothing.
#[test]
fn child_filler() {
    let Some(path) = std::env::var_os(FILLER) else { return };
    fill(Path::new(&path));
    println!("\nsurvived");
}

/// The limit cuts a write in two as a full disk does, and needs no rights.
#[test]
fn a_file_size_limit_is_said_and_survived() {
    let (_dir, path) = scratch();
    let test = child("child_filler", FILLER, &path);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$@\"", "sh"]).arg(test.get_program());
    shell.args(test.get_args()).env(FILLER, &path).arg0("sh");
    let output = shell.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("survived"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
