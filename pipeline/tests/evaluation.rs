//! The suites: on the real sets where they are there, and on synthetic rooms.
#![allow(clippy::unwrap_used)]

#[path = "../../tests/support/arrays.rs"]
mod arrays;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use invispose_pipeline::evaluation::breaths::{self, Room};
use invispose_pipeline::evaluation::ghosts::{GhostPlan, haunt};
use invispose_pipeline::evaluation::recordings::Recording;
use invispose_pipeline::evaluation::report::Figures;
use invispose_pipeline::evaluation::sets::{self, Body, Part, Truth};
use invispose_pipeline::evaluation::{self, SUITES, faults, lived};
use invispose_pipeline::events::{MonitorConfig, WatchConfig};
use invispose_pipeline::stages::presence::PresenceConfig;
use invispose_pipeline::understanding::BreathRules;
use invispose_pipeline::{Complex32, CsiFrame, Layout, LinkId};

use arrays::{matlab, npy};

fn shared(set: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/labelled").join(set);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is not there", folder.display());
    None
}

/// A quiet room, 20 s of 100 packets a second with noise (a 64-bit linear congruential generator, Knuth's constants).
fn quiet() -> Recording {
    let layout = Layout::new(1, 1, 20);
    let mut state = 7u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let frame = |k: i64| {
        let csi = (0..layout.values())
            .map(|s| Complex32::from_polar(20.0, 0.3 * s as f32) + Complex32::new(noise(), noise()))
            .collect();
        CsiFrame { time_ns: k * 10_000_000, ..CsiFrame::new(LinkId::new("a"), layout, csi) }
    };
    Recording { file: "quiet".into(), start_ns: 0, frames: (0..2000).map(frame).collect() }
}

#[test]
fn a_quiet_room_with_faults_is_empty() {
    let plan = GhostPlan {
        seconds: 150.0,
        gain_every_s: 7.0,
        reboot_every_s: 40.0,
        restart_every_s: 55.0,
        hop: Duration::from_millis(500),
        ..Default::default()
    };
    let said = haunt(&quiet(), &plan, &PresenceConfig::default(), 3);
    assert!(said.known > 50, "{said:?}");
    assert_eq!((said.present, said.alarms, said.breathing), (0, 0, 0), "{said:?}");
}

#[test]
fn every_suite_says_what_is_missing() {
    let nothing = tempfile::tempdir().unwrap();
    for (suite, _) in SUITES {
        let error = evaluation::run(suite, nothing.path()).unwrap().unwrap_err().to_string();
        assert!(error.contains(&nothing.path().display().to_string()), "{suite}: {error}");
    }
    assert!(evaluation::run("other", nothing.path()).is_none());
}

#[test]
fn a_damaged_table_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("raw_3_Fall.csv"), "1,2,3\n").unwrap();
    let error = evaluation::run("fall", folder.path()).unwrap().unwrap_err().to_string();
    assert!(error.contains("raw_3_Fall.csv") && error.contains("line 1"), "{error}");
    let day = folder.path().join("D1");
    fs::create_dir(&day).unwrap();
    fs::write(day.join("e01-x.npy"), b"\x93NUMPY\x01\x00\xff\xff{").unwrap();
    let error = evaluation::run("har-geotec", folder.path()).unwrap().unwrap_err().to_string();
    assert!(error.contains("e01-x.npy"), "{error}");
}

#[test]
fn breathing_agrees_with_the_phone() {
    let Some(folder) = shared("respiration-intel") else { return };
    let alone = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, alone.path().join(path.file_name().unwrap())).unwrap();
    }
    let report = evaluation::run("respiration", alone.path()).unwrap().unwrap();
    let error = report.metrics["max_abs_error_bpm"].as_f64().unwrap();
    assert!(error <= 1.0, "{error} breaths a minute");
}

#[test]
fn activities_of_another_day_are_told_apart() {
    let Some(folder) = shared("har-geotec") else { return };
    let report = evaluation::run("har-geotec", &folder).unwrap().unwrap();
    let figure = |f: &Figures| f["balanced_accuracy"].as_f64().unwrap();
    // Chance is 0.1.
    assert!(figure(&report.metrics) > 0.7 && figure(&report.metrics) > figure(&report.baseline) + 0.2);
}

#[test]
fn a_lived_in_room_is_told_from_an_empty_one() {
    let options = lived::Options {
        scenes: 1,
        empty_s: vec![[0.0, 10.0], [40.0, 55.0]],
        hop: Duration::from_millis(500),
    };
    let report = lived::run(&options, &PresenceConfig::default(), true).unwrap();
    let metric = |name: &str| report.metrics[name].as_f64().unwrap();
    // Half a minute of presence and nine seconds after it, in half seconds.
    assert!((75.0..=80.0).contains(&metric("windows")), "{}", metric("windows"));
    assert!(metric("recall") > 0.7 && metric("specificity") == 1.0, "{:?}", report.metrics);
    assert!(metric("longest_unseen_s") < 10.0);
    assert!(report.metrics.contains_key("walking"));
    for plot in &report.plots {
        assert!(plot.chosen.is_some() && plot.lines.iter().all(|(_, points)| points.len() >= 4), "{plot:?}");
    }
    assert_eq!(report.plots.len(), 4);
}

#[test]
fn nobody_is_shown_a_breath_that_is_not_theirs() {
    let options = breaths::Options { scenes: 1, seconds: 52.0, ..Default::default() };
    let report = breaths::run(&options, &PresenceConfig::default(), &BreathRules::default()).unwrap();
    let metric = |room: Room, name: &str| report.more[room.name()][name].as_f64();
    for room in Room::ALL {
        // Eight seconds are judged of each scene, five windows each.
        assert!(metric(room, "windows").is_some_and(|n| (38.0..=42.0).contains(&n)), "{report}");
        for wrong in ["persons_of_another", "walkers_shown"] {
            assert!(metric(room, wrong).is_none_or(|share| share == 0.0), "{report}");
        }
    }
    assert_eq!(metric(Room::OneWalks, "site_shown"), Some(0.0), "{report}");
}

/// What is shipped tells the troubles that last and none of those that pass.
#[test]
fn troubles_that_pass_are_not_told() {
    let report = faults::run(&WatchConfig::default(), &MonitorConfig::default());
    let metric = |of: &Figures, name: &str| of[name].as_f64().unwrap();
    assert_eq!(metric(&report.metrics, "reboots_told"), 0.0, "{report}");
    assert!(metric(&report.metrics, "links_gone_not_told") < 0.05, "{report}");
    assert!(metric(&report.baseline, "reboots_told") > 0.9, "{report}");
    assert!(metric(&report.metrics, "hours_without_trouble_with_an_alarm") < 0.2, "{report}");
}

fn put(path: PathBuf, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Somebody upright of COCO keypoints in a camera's coordinates (to its right, down, ahead), so far to its right.
fn upright(x: f64) -> [[f64; 3]; 17] {
    std::array::from_fn(|j| {
        let (joint, side) = (j as f64, if j % 2 == 1 { 0.2 } else { -0.2 });
        [x + side, 0.1 * joint - 0.9, 3.0 + 0.01 * joint]
    })
}

fn at(body: &Body<3>) -> Vec<[f64; 3]> {
    body.keypoints.iter().flatten().map(|p| p.map(f64::from)).collect()
}

fn near(a: &[[f64; 3]], b: &[[f64; 3]]) -> bool {
    a.len() == b.len() && a.iter().flatten().zip(b.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn mmfi_joints_are_the_keypoints_whichever_way_the_cameras_axis_goes() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("E02/S11/A03");
    let k = upright(0.4);
    let (o, head) = ([0.0; 3], [0.4, -1.0, 3.0]);
    // The order of Human3.6M's 17 joints.
    let joints =
        [o, k[12], k[14], k[16], k[11], k[13], k[15], o, o, o, head, k[5], k[7], k[9], k[6], k[8], k[10]];
    let mut found = Vec::new();
    for down in [1.0, -1.0] {
        let values: Vec<f64> = joints.iter().flat_map(|[x, y, z]| [*x, down * y, *z]).collect();
        put(own.join("ground_truth.npy"), npy(&[1, 17, 3], &values));
        let recordings = sets::named("mmfi").unwrap().under(folder.path()).unwrap();
        let [recording] = recordings.as_slice() else { panic!("{}", recordings.len()) };
        assert_eq!((recording.name().as_str(), recording.room()), ("E02/S11/A03", Some("E02")));
        let Truth::Metres { room_m, seen } = recording.truth().unwrap() else { panic!("pixels") };
        let body = seen[0].persons[0].clone();
        assert!(body.keypoints[..5].iter().all(Option::is_none) && body.head.is_some());
        assert!(at(&body).iter().all(|p| (0..3).all(|i| (0.0..f64::from(room_m[i])).contains(&p[i]))));
        found.push(body);
    }
    assert_eq!(found[0], found[1]);
    // Left is left: the same distances, and the other hand of nobody.
    let site = at(&found[0]);
    let camera: Vec<[f64; 3]> = k[5..].iter().map(|[x, y, z]| [x + 3.0, z + 0.5, 1.2 - y]).collect();
    assert!(near(&site, &camera), "{site:?}");
}

/// A frame of Person-in-WiFi 3D, whose every value tells where it belongs.
fn piw_frame(part: &Path, name: &str, people: &[[[f64; 3]; 17]]) {
    let shape = [3, 3, 30, 20];
    let count: usize = shape.iter().product();
    let real: Vec<f64> = (0..count).map(|i| i as f64).collect();
    let imaginary: Vec<f64> = (0..count).map(|i| -(i as f64)).collect();
    put(part.join(format!("csi/{name}.mat")), matlab(&[("csi_out", &shape, &real, Some(&imaginary))]));
    let joints = |k: &[[f64; 3]; 17]| {
        let (neck, head) = ([k[5][0], -0.5, 3.0], [k[5][0], -1.0, 3.0]);
        [neck, head, k[5], k[6], k[7], k[11], k[8], k[12], k[9], k[13], k[10], k[14], k[15], k[16]]
    };
    let values: Vec<f64> = people.iter().flat_map(joints).flatten().collect();
    put(part.join(format!("keypoint/{name}.npy")), npy(&[people.len(), 14, 3], &values));
}

#[test]
fn person_in_wifi_3d_gives_three_links_and_everybody_in_the_frame() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let (train, test) = (root.join("train_data"), root.join("test_data"));
    let two = [upright(-1.0), upright(1.0)];
    for frame in ["S12_03_7", "S12_03_8", "S12_03_9"] {
        piw_frame(&train, frame, &two);
    }
    piw_frame(&test, "S12_03_551", &two[..1]);
    put(train.join("train_data_list.txt"), "S12_03_8\nS12_03_7 x\n\nS12_03_9\n");
    put(test.join("test_data_list.txt"), "S12_03_551\n");
    // One is MATLAB 7.3, as the set has it.
    put(train.join("csi/S12_03_9.mat"), [&[b' '; 512][..], b"\x89HDF\r\n\x1a\n"].concat());
    let set = sets::named("person-in-wifi-3d").unwrap();
    let recordings = set.under(root).unwrap();
    let parts: Vec<_> = recordings.iter().map(|r| (r.name(), r.part("published").unwrap())).collect();
    assert_eq!(parts, [("train_data/S12_03".into(), Part::Train), ("test_data/S12_03".into(), Part::Test)]);
    // By recording, both of its parts are on the same side.
    assert_eq!(recordings[0].part("recordings"), recordings[1].part("recordings"));

    let Truth::Metres { seen, .. } = recordings[0].truth().unwrap() else { panic!("pixels") };
    assert_eq!(seen.iter().map(|s| s.persons.len()).collect::<Vec<_>>(), [2, 2, 2]);
    let camera: Vec<[f64; 3]> = two[1][5..].iter().map(|[x, y, z]| [x + 2.0, *z, 1.0 - y]).collect();
    assert!(near(&at(&seen[0].persons[1]), &camera), "{:?}", seen[0].persons[1]);

    let received = recordings[0].received().unwrap();
    assert!(
        matches!(received.left_out.as_slice(), [one] if one.contains("S12_03_9.mat") && one.contains("docs/formats.md"))
    );
    assert_eq!(received.links.iter().map(|l| l.packets.len()).collect::<Vec<_>>(), [40; 3]);
    let second = &received.links[1].packets;
    // Packet 21 is the second of frame 8, 300 packets a second; antenna 2, subcarrier 4 of receiver 1.
    assert_eq!(
        (second[21].time_ns, seen[0].time_s),
        (((8 * 20 + 1) as f64 / 300.0 * 1e9).round() as i64, 159.0 / 300.0)
    );
    let index = (1 + 3 * (2 + 3 * (4 + 30))) as f32;
    assert_eq!(second[21].csi[2 * 30 + 4], Complex32::new(index, -index));

    put(test.join("test_data_list.txt"), "S12_03_551\n../S12_03_4\n");
    let error = set.under(root).err().unwrap().to_string();
    assert!(error.contains("test_data_list.txt") && error.contains("line 2"), "{error}");
}

#[test]
fn poses_in_pictures_are_read_from_either_set_and_measured_in_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let csi: Vec<f64> = (0..5 * 30 * 3 * 3).map(|i| i as f64).collect();
    // OpenPose's 18 joints: the right wrist (4) was not seen.
    let joint = |j: usize, shift: f64| {
        [100.0 + shift + 10.0 * j as f64, 50.0 + (j * j) as f64, if j == 4 { 0.0 } else { 0.9 }]
    };
    let mut images = 0;
    // Names of both parts of the split, whichever is which.
    for recording in 0..24 {
        let shift = f64::from(recording);
        let mut matrix = vec![0.0; 18 * 18 * 4];
        let mut points = vec![0.0; 54];
        for j in 0..18 {
            for (what, v) in joint(j, shift).into_iter().enumerate() {
                (matrix[j + 18 * (j + 18 * what)], points[j + 18 * what]) = (v, v);
            }
        }
        let wisppn = matlab(&[
            ("csi_serial", &[5, 30, 3, 3], &csi, None),
            ("jointsMatrix", &[18, 18, 4], &matrix, None),
        ]);
        put(folder.path().join(format!("wisppn/set{recording}_fw_7.mat")), wisppn);
        let wi_pose =
            matlab(&[("CSI", &[5, 30, 3, 3], &csi, None), ("SkeletonPoints", &[54, 1], &points, None)]);
        let part = if recording % 2 == 0 { "Train" } else { "Test" };
        put(folder.path().join(format!("wi-pose/{part}/wave_{recording}-frame007.mat")), wi_pose);
        images += 1;
    }
    for name in ["wisppn", "wi-pose"] {
        let set = sets::named(name).unwrap();
        let recordings = set.under(folder.path()).unwrap();
        assert_eq!(recordings.len(), images);
        let Truth::Pixels(seen) = recordings[0].truth().unwrap() else { panic!("metres") };
        let keypoints = &seen[0].persons[0].keypoints;
        // The nose, the left shoulder and the right ankle; the right wrist is not known.
        let shift = keypoints[0].unwrap()[0] - 100.0;
        let wanted =
            [0, 5, 10].map(|j| joint(j, f64::from(shift))).map(|[x, y, _]| Some([x as f32, y as f32]));
        assert_eq!([keypoints[0], keypoints[5], keypoints[16]], wanted);
        assert_eq!((keypoints[10], keypoints.iter().flatten().count()), (None, 16));
        let received = recordings[0].received().unwrap();
        let packet = &received.links[0].packets[3];
        assert_eq!((packet.time_ns, packet.layout), ((7 * 5 + 3) * 10_000_000, Layout::new(3, 3, 30)));
        // Transmit antenna 1, receive antenna 2, subcarrier 4.
        let index = 3 + 5 * (4 + 30 * (1 + 3 * 2));
        assert_eq!(packet.csi[(3 + 2) * 30 + 4], Complex32::new(index as f32, 0.0));

        let report = evaluation::run(name, folder.path()).unwrap().unwrap();
        let split = &report.more["recordings"];
        let figure = |name: &str| split[name].as_f64().unwrap();
        // All have the same pose, elsewhere.
        assert!(
            figure("test_recordings") >= 1.0 && figure("mean_pose_root_relative_error") < 1e-3,
            "{report}"
        );
        assert!(figure("mean_position_error") > 0.1 && report.metrics["unit"] == "pixels", "{report}");
    }
    // Nothing of a damaged file makes a reader panic.
    let path = folder.path().join("wisppn/set0_fw_7.mat");
    let whole = fs::read(&path).unwrap();
    for cut in [0, 100, 136, 200, whole.len() - 100] {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = evaluation::run("wisppn", folder.path()).unwrap().unwrap_err().to_string();
        assert!(error.contains("set0_fw_7.mat"), "{error}");
    }
}

#[test]
fn the_configuration_for_mmfi_names_a_set_and_a_split_that_there_are() {
    let config = include_str!("../../models/configs/mmfi.toml");
    let config = invispose_models::train::TrainConfig::from_toml(config).unwrap();
    let group = &config.data.sets[0];
    assert_eq!(sets::named(&group.set).unwrap().split(&group.split).unwrap(), group.split);
    // What is not there is told before anything is trained.
    let error = sets::teach(group, &|_, _, _| ()).unwrap_err().to_string();
    assert!(error.contains("ground_truth.npy"), "{error}");
}
