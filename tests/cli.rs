//! Commands that start, answer and end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{finished, output, shared};

fn inspect(file: &str, dir: &std::path::Path) -> Value {
    serde_json::from_str(&output(&["inspect", file, "--json", "--frames", "0..1"], dir)).unwrap()
}

#[test]
fn simulated_captures_read_as_the_devices_they_speak_for() {
    let dir = tempfile::tempdir().unwrap();
    for (format, file, wanted, layout) in [
        ("intel5300", "walk.dat", "intel5300", [1, 3, 30]),
        ("esp32-csv", "walk.csv", "esp32-csv", [1, 1, 64]),
        ("nexmon", "walk.pcap", "nexmon-pcap", [1, 1, 64]),
    ] {
        let args = ["simulate", "--out", file, "--seconds", "2", "--people", "1", "--format", format];
        output(&args, dir.path());
        let summary = inspect(file, dir.path());
        assert_eq!(summary["format"], wanted);
        assert!(summary["rejected"].as_object().unwrap().is_empty(), "{summary}");
        // 2 s at 100 packets/s, less the packets that the simulated air lost.
        let frames = summary["frames"].as_u64().unwrap();
        assert!((150..=200).contains(&frames), "{frames}");
        let counted = &summary["layouts"][0];
        let shape = ["tx", "rx", "subcarriers"].map(|k| counted[k].as_u64().unwrap());
        assert_eq!(shape, layout);
        assert!(summary["magnitude_sum"].as_f64().unwrap() > 0.0);
        let first = &summary["csi"][0][0];
        assert_eq!(first.as_array().unwrap().len(), layout[1] as usize);
        assert_eq!(first[0].as_array().unwrap().len(), layout[2] as usize);
    }
}

#[test]
fn people_of_a_scene_do_what_motion_capture_shows() {
    let dir = tempfile::tempdir().unwrap();
    let limb = |side: &str, x: i32| {
        format!(
            "JOINT {side}UpLeg {{ OFFSET {x} 0 0 CHANNELS 0 JOINT {side}Leg {{ OFFSET 0 -4 0 CHANNELS 0 JOINT {side}Foot {{ OFFSET 0 -4 0 \
             CHANNELS 0 }} }} }}\nJOINT {side}Arm {{ OFFSET {x} 4 0 CHANNELS 0 JOINT {side}ForeArm {{ OFFSET {x} -3 0 CHANNELS 0 JOINT \
             {side}Hand {{ OFFSET 0 -3 0 CHANNELS 0 }} }} }}\n"
        )
    };
    let head = "JOINT Neck { OFFSET 0 5 0 CHANNELS 0 JOINT Head { OFFSET 0 1 0 CHANNELS 0 } }";
    let motion = "MOTION Frames: 2 Frame Time: 1.0\n0 0 0\n0 0 4\n";
    let bvh = format!(
        "HIERARCHY ROOT Hips {{ OFFSET 0 0 0 CHANNELS 3 Xposition Yposition Zposition\n{}{}{head} }}\n{motion}",
        limb("Left", 1),
        limb("Right", -1)
    );
    std::fs::write(dir.path().join("slide.bvh"), bvh).unwrap();
    let scene = r#"
        transmitters = [{ name = "a", position_m = [0.5, 0.5, 1.0], antennas = 1 }]
        receivers = [{ name = "b", position_m = [3.5, 3.5, 1.0], antennas = 2 }]
        people = { clips = [{ file = "slide.bvh", at_m = [1.5, 2.0], heading_deg = 0.0, activity = "walking" }] }
        [room]
        size_m = [4.0, 4.0, 2.5]
        surfaces = ["brick", "brick", "brick", "brick", "concrete", "concrete"]
        [radio]
        carrier_hz = 5.32e9
        bandwidth_mhz = 40
        subcarriers = "ht40"
        packet_hz = 50.0
        tx_power_dbm = 15.0
    "#;
    std::fs::write(dir.path().join("scene.toml"), scene).unwrap();
    let args =
        ["simulate", "--scene", "scene.toml", "--seconds", "1", "--out", "a.ivr", "--truth", "truth.jsonl"];
    output(&args, dir.path());
    let truth = std::fs::read_to_string(dir.path().join("truth.jsonl")).unwrap();
    let lines: Vec<Value> = truth.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let (first, last) = (&lines[0]["people"][0], &lines[lines.len() - 1]["people"][0]);
    assert_eq!(first["activity"], "walking");
    let x = |p: &Value| p["keypoints"][11][0].as_f64().unwrap();
    assert!(x(last) > x(first) + 0.2, "{first} {last}");
    assert_eq!(inspect("a.ivr", dir.path())["layouts"][0]["subcarriers"], 114);
}

#[test]
fn a_capture_survives_conversion() {
    let dir = tempfile::tempdir().unwrap();
    output(&["simulate", "--out", "a.dat", "--seconds", "1", "--format", "intel5300"], dir.path());
    let before = inspect("a.dat", dir.path());
    output(&["convert", "a.dat", "a.npz"], dir.path());
    output(&["convert", "a.dat", "a.ivr"], dir.path());
    output(&["convert", "a.ivr", "b.npz"], dir.path());
    output(&["convert", "a.dat", "a.parquet"], dir.path());
    assert_eq!(std::fs::read(dir.path().join("a.parquet")).unwrap()[..4], *b"PAR1");
    let mode = |file| std::fs::metadata(dir.path().join(file)).unwrap().permissions();
    assert_eq!((mode("a.npz"), mode("a.parquet")), (mode("a.dat"), mode("a.dat")));
    // A device that is named by mistake is not replaced by a file.
    assert!(!finished(&["convert", "a.dat", ".", "--format", "npz"], dir.path()).status.success());
    for file in ["a.ivr", "a.npz", "b.npz"] {
        let after = inspect(file, dir.path());
        assert_eq!(after["frames"], before["frames"], "{file}");
        assert_eq!(after["magnitude_sum"], before["magnitude_sum"], "{file}");
        assert_eq!(after["csi"], before["csi"], "{file}");
    }
}

#[test]
fn errors_say_what_and_where() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.txt"), "not a capture").unwrap();
    std::fs::write(dir.path().join("wrong.toml"), "nonsense = 1").unwrap();
    std::fs::write(dir.path().join("invispose.toml"), "listen = '127.0.0.1:0'\nlisten_on = 1\n").unwrap();
    for (args, words) in [
        (&["inspect", "notes.txt", "--config", "/dev/null"][..], &["notes.txt", "intel5300"][..]),
        (&["inspect", "none.dat", "--config", "/dev/null"], &["none.dat", "No such file"]),
        (&["convert", "notes.txt", "none/a.ivr", "--config", "/dev/null"], &["notes.txt"]),
        (
            &["run", "--config", "/dev/null", "--listen", "127.0.0.1:0", "--source", "file:none.dat"],
            &["none.dat: No such file"],
        ),
        (
            &["record", "--config", "/dev/null", "--source", "file:none.dat", "--out", "a.ivr"],
            &["No such file"],
        ),
        (&["train", "wrong.toml", "--config", "/dev/null"], &["wrong.toml", "nonsense", "optimiser"]),
        (
            &["evaluate", "--config", "/dev/null", "--suite", "seen-room", "--weights", "notes.txt"],
            &["notes.txt"],
        ),
        (&["config"], &["invispose.toml", "line 2", "listen_on"]),
        (&["run", "--config", "/dev/null"], &["--source"]),
        (&["run", "--config", "/dev/null", "--source", "ftp://x"], &["ftp://x", "udp://"]),
        (&["run", "--config", "/dev/null", "--source", "sim:demo?seeed=1"], &["seeed"]),
        (&["demo", "--config", "/dev/null", "--device", "tpu"], &["tpu"]),
        (&["evaluate", "--config", "/dev/null", "--suite", "all"], &["unseen-room"]),
    ] {
        let out = finished(args, dir.path());
        assert!(!out.status.success(), "{args:?}");
        assert!(out.stdout.is_empty(), "{args:?}");
        let message = String::from_utf8(out.stderr).unwrap();
        assert!(message.matches("os error").count() <= 1, "said twice: {message}");
        for word in words {
            assert!(message.contains(word), "{args:?}: {message}");
        }
    }
}

#[test]
fn what_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for format in ["recording", "intel5300", "esp32-csv", "nexmon"] {
        for out in
            ["nowhere/walk", "/dev/full"].into_iter().skip(usize::from(!Path::new("/dev/full").exists()))
        {
            let args = ["simulate", "--out", out, "--seconds", "2", "--format", format];
            let ended = finished(&args, dir.path());
            assert!(!ended.status.success(), "{args:?}");
            let message = String::from_utf8(ended.stderr).unwrap();
            assert!(message.contains(out), "{args:?}: {message}");
        }
    }
}

/// `invispose … | head` ends when `head` does.
#[test]
fn a_closed_pipe_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    output(&["simulate", "--out", "a.dat", "--seconds", "1", "--format", "intel5300"], dir.path());
    output(&["simulate", "--out", "a.ivr", "--seconds", "1"], dir.path());
    for args in [
        &["inspect", "a.dat", "--frames", "0.."][..],
        &["inspect", "a.dat", "--json"],
        &["inspect", "a.ivr"],
        &["convert", "a.dat", "a.npz"],
        &["simulate", "--out", "b.dat", "--seconds", "1", "--format", "intel5300"],
        &["record", "--source", "file:a.dat?speed=max", "--out", "b.ivr"],
        &["config"],
        &["config", "--json"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = support::invispose().args(args).current_dir(dir.path()).stdout(writer).output().unwrap();
        let message = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success() && !message.contains("panicked"), "{args:?}: {message}");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut wrong = support::invispose();
    let ended = wrong.args(["inspect", "none.dat"]).current_dir(dir.path()).stderr(writer).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "an error that nobody reads is one all the same");
}

#[test]
fn configuration_says_where_values_come_from() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("invispose.toml"), "data_dir = 'here'\n").unwrap();
    let printed: Value = serde_json::from_str(&output(&["config", "--json"], dir.path())).unwrap();
    let settings = &printed["settings"];
    assert_eq!(settings["data_dir"]["value"], "here");
    assert_eq!(settings["data_dir"]["origin"], "invispose.toml:1");
    assert_eq!(settings["listen"]["origin"], "default");
    // As it is written, not as an f64 of the nearest f32.
    assert_eq!(settings["falls.up"]["value"], 0.5);
    assert!(!output(&["config"], dir.path()).contains("0000000"));
}

#[test]
fn real_captures_are_what_the_reference_says() {
    let Some(folder) = shared("captures") else { return };
    let reference: Value =
        serde_json::from_slice(&std::fs::read(folder.join("reference.json")).unwrap()).unwrap();
    let here = std::path::Path::new(".");
    for (file, read) in reference["files"].as_object().unwrap() {
        let path = folder.join(file);
        let summary: Value =
            serde_json::from_str(&output(&["inspect", path.to_str().unwrap(), "--json"], here)).unwrap();
        let rejected: u64 = summary["rejected"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        let frames = ["csiread", "CSIKit"]
            .iter()
            .find_map(|tool| read[tool]["frames"].as_u64())
            .or(read["independent"]["frames_with_csi_array"].as_u64());
        // The independent ESP32 reading counts the malformed row among the rows.
        assert_eq!(Some(summary["frames"].as_u64().unwrap() + rejected), frames, "{file}");
        if let Some(sum) = read["csiread"]["abs_sum_all"].as_f64() {
            let ours = summary["magnitude_sum"].as_f64().unwrap();
            assert!((ours / sum - 1.0).abs() < 1e-9, "{file}: {ours} {sum}");
        }
    }
}
