//! Frames for tests: made from a number, or arbitrary.

// Every test file uses its own part of this.
#![allow(dead_code)]

use std::process::{Command, Stdio};
use std::sync::Arc;

use invispose_pipeline::pose::{Activity, Breathing, Count, CountBasis, Keypoint, Presence, SignalActivity};
use invispose_pipeline::{Complex32, CsiFrame, Layout, LinkId, Person, PoseFrame, Provenance, SourceKind};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

/// The pose frame of this id: every value follows from the id, so that a mixture of two frames is no frame at all.
pub fn pose_frame(id: u64) -> PoseFrame {
    let value = |n: u64| (id.wrapping_mul(2654435761).wrapping_add(n) & 0xFFFFF) as f32;
    let person = |p: u64| Person {
        id: id * 100 + p,
        confidence: value(p),
        position_m: [value(p + 1), value(p + 2), value(p + 3)],
        velocity_m_s: [value(p + 4), value(p + 5), value(p + 6)],
        keypoints: std::array::from_fn(|k| Keypoint {
            position_m: [value(k as u64), value(p), value(p * k as u64)],
            confidence: value(7),
        }),
        activity: (id.is_multiple_of(2)).then_some(Activity::Walking),
        zone: (p.is_multiple_of(2)).then_some(id as u16),
        breathing: (p == 2).then(|| Breathing { rate_bpm: value(12), quality: value(13) }),
    };
    PoseFrame {
        frame_id: id,
        site: Arc::from("lab"),
        time_ns: id as i64 * 50_000_000,
        processing_ns: id,
        provenance: Provenance {
            source: SourceKind::Simulated,
            model: (id.is_multiple_of(3)).then(|| Arc::from(format!("model {id}"))),
            calibrated: id.is_multiple_of(5),
            experimental: id.is_multiple_of(7),
        },
        presence: (!id.is_multiple_of(4)).then(|| Presence {
            present: id.is_multiple_of(2),
            motion_level: value(8),
            coverage: value(9),
        }),
        breathing: (id.is_multiple_of(6)).then(|| Breathing { rate_bpm: value(10), quality: value(11) }),
        count: (id.is_multiple_of(3)).then(|| Count {
            mean: value(14),
            low: id as u8,
            high: id as u8,
            basis: CountBasis::Tracks,
        }),
        activity: (id.is_multiple_of(4))
            .then(|| SignalActivity { name: format!("does {id}").into(), probability: value(15) }),
        persons: (0..id % (PoseFrame::MAX_PERSONS as u64 + 1)).map(person).collect(),
    }
}

/// The CSI frame of this number.
pub fn csi_frame(n: u32) -> CsiFrame {
    let layout = Layout::new(1, 2, 8 + (n % 5) as u16);
    let csi = (0..layout.values()).map(|i| Complex32::new(n as f32, i as f32)).collect();
    CsiFrame {
        time_ns: i64::from(n) * 1_000_000,
        sequence: Some(n),
        rssi_dbm: Some(-40.0),
        ..CsiFrame::new(LinkId::new(format!("node-{}", n % 3)), layout, csi)
    }
}

/// Any bits, those of NaNs too.
fn float() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits)
}

fn point() -> impl Strategy<Value = [f32; 3]> {
    [float(), float(), float()]
}

prop_compose! {
    /// Any CSI frame of a small layout.
    pub fn any_csi()(
        link in ".{0,20}",
        layout in (0u16..3, 0u16..4, 0u16..70).prop_map(|(tx, rx, n)| Layout::new(tx, rx, n)),
        time_ns in any::<i64>(),
        capture_time_ns in of(any::<i64>()),
        sequence in of(any::<u32>()),
        dbm in (of(float()), of(float())),
        radio in (of(float()), of(any::<u16>())),
        indexed in any::<bool>(),
        seed in any::<u32>(),
    ) -> CsiFrame {
        let bits = |i: usize| f32::from_bits(seed.wrapping_mul(2 * i as u32 + 1));
        CsiFrame {
            time_ns,
            capture_time_ns,
            sequence,
            rssi_dbm: dbm.0,
            noise_dbm: dbm.1,
            center_mhz: radio.0,
            bandwidth_mhz: radio.1,
            subcarrier_index: indexed.then(|| (0..layout.subcarriers).map(|i| i as i16 - 30).collect()),
            ..CsiFrame::new(
                LinkId::new(link),
                layout,
                (0..layout.values()).map(|i| Complex32::new(bits(i), bits(i + 7))).collect(),
            )
        }
    }
}

fn activity() -> impl Strategy<Value = Activity> {
    prop_oneof![
        Just(Activity::Standing),
        Just(Activity::Walking),
        Just(Activity::Sitting),
        Just(Activity::Lying),
        Just(Activity::Waving),
        Just(Activity::Falling),
    ]
}

prop_compose! {
    fn any_person()(
        id in any::<u64>(),
        confidence in float(),
        position_m in point(),
        velocity_m_s in point(),
        joints in vec((point(), float()), 17),
        activity in of(activity()),
        zone in of(any::<u16>()),
        breathing in of((float(), float())),
    ) -> Person {
        let keypoints = std::array::from_fn(|k| Keypoint { position_m: joints[k].0, confidence: joints[k].1 });
        let breathing = breathing.map(|(rate_bpm, quality)| Breathing { rate_bpm, quality });
        Person { id, confidence, position_m, velocity_m_s, keypoints, activity, zone, breathing }
    }
}

prop_compose! {
    /// Any pose frame.
    pub fn any_pose()(
        frame_id in any::<u64>(),
        site in ".{0,20}",
        time_ns in any::<i64>(),
        processing_ns in any::<u64>(),
        source in prop_oneof![Just(SourceKind::Live), Just(SourceKind::Replay), Just(SourceKind::Simulated)],
        model in of(".{0,20}"),
        marks in any::<(bool, bool)>(),
        presence in of((any::<bool>(), float(), float())),
        breathing in of((float(), float())),
        count in of((float(), any::<u8>(), any::<u8>(), 1u8..4)),
        activity in of((".{0,20}", float())),
        persons in vec(any_person(), 0..=PoseFrame::MAX_PERSONS),
    ) -> PoseFrame {
        PoseFrame {
            frame_id,
            site: Arc::from(site),
            time_ns,
            processing_ns,
            provenance: Provenance { source, model: model.map(Arc::from), calibrated: marks.0, experimental: marks.1 },
            presence: presence.map(|(present, motion_level, coverage)| Presence { present, motion_level, coverage }),
            breathing: breathing.map(|(rate_bpm, quality)| Breathing { rate_bpm, quality }),
            count: count.map(|(mean, low, high, basis)| {
                Count { mean, low, high, basis: CountBasis::from_code(basis).unwrap() }
            }),
            activity: activity.map(|(name, probability)| SignalActivity { name: name.into(), probability }),
            persons,
        }
    }
}

/// The command that runs one test of this test program again, in its own process, with a variable that tells it that it is the child.
pub fn child(test: &str, variable: &str, value: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(variable, value);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Numbers that look random and are the same in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}
