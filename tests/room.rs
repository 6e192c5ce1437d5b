//! A site teaches the network its room, and a server takes the new weights while it runs; a public set teaches one of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use support::{PATIENCE, Server, finished, mmfi, output, signal};

/// A room that the program's own weights have never seen.
const SCENE: &str = r#"
transmitters = [{ name = "router", position_m = [4.6, 0.4, 1.1], antennas = 1 }]
receivers = [
  { name = "a", position_m = [0.4, 0.5, 1.0], antennas = 3 },
  { name = "b", position_m = [2.4, 3.7, 1.5], antennas = 3, axis_deg = 40.0 },
]
[room]
size_m = [5.0, 4.0, 2.6]
surfaces = ["brick", "brick", "brick", "brick", "concrete", "concrete"]
[radio]
carrier_hz = 5.32e9
bandwidth_mhz = 20
subcarriers = "intel5300"
packet_hz = 100.0
tx_power_dbm = 15.0
[faults]
snr_db = 28.0
sto_ns = 20.0
cfo_hz = 100.0
agc_step_db = 0.5
quantisation_bits = 8
"#;

const SITE: &str = r#"
[[site]]
id = "lab"
room_m = [5.0, 4.0, 2.6]
experimental_poses = true
[[site.links]]
id = "router-a"
transmitter_m = [4.6, 0.4, 1.1]
receiver_m = [0.4, 0.5, 1.0]
[[site.links]]
id = "router-b"
transmitter_m = [4.6, 0.4, 1.1]
receiver_m = [2.4, 3.7, 1.5]
"#;

/// Enough that the room is learned rather than what was known unlearned.
const STEPS: &str = "120";

const CAMERA: [&str; 6] = ["calibrate", "camera", "--data-dir", "data", "--recording", "someone.ivr"];

/// The labels' clock is so much behind.
const BEHIND_S: f64 = 1.3;

/// A recording of the empty room and of one person in it, the baseline, and what a camera saw.
fn room(dir: &Path) -> Vec<Value> {
    std::fs::write(dir.join("scene.toml"), SCENE).unwrap();
    std::fs::write(dir.join("invispose.toml"), SITE).unwrap();
    let simulate = |out: &str, people: &str, seconds: &str, more: &[&str]| {
        let all =
            ["simulate", "--scene", "scene.toml", "--out", out, "--people", people, "--seconds", seconds];
        output(&[&all[..], more].concat(), dir);
    };
    simulate("empty.ivr", "0", "20", &[]);
    simulate("someone.ivr", "1", "180", &["--truth", "truth.jsonl"]);
    output(&["calibrate", "baseline", "--data-dir", "data", "--source", "recording:empty.ivr"], dir);
    let truth = std::fs::read_to_string(dir.join("truth.jsonl")).unwrap();
    truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// As the camera writes it, on its own clock.
fn seen(truth: &Value) -> Value {
    let person = |p: &Value| json!({ "keypoints": p["keypoints"], "activity": p["activity"] });
    let persons: Vec<Value> = truth["people"].as_array().unwrap().iter().map(person).collect();
    json!({ "time": truth["time_ns"].as_f64().unwrap() / 1e9 - BEHIND_S, "persons": persons })
}

fn lines(dir: &Path, name: &str, lines: impl IntoIterator<Item = String>) {
    std::fs::write(dir.join(name), lines.into_iter().map(|l| l + "\n").collect::<String>()).unwrap();
}

#[test]
fn a_camera_and_a_walk_teach_the_network_a_room() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let truth = room(dir);
    lines(dir, "camera.jsonl", truth.iter().map(|t| seen(t).to_string()));
    let taught = ["--labels", "camera.jsonl", "--out", "lab.safetensors", "--steps", STEPS, "--json"];
    let answer: Value = serde_json::from_str(&output(&[&CAMERA[..], &taught].concat(), dir)).unwrap();
    let offset = answer["clock_offset_s"].as_f64().unwrap();
    assert!((offset - BEHIND_S).abs() < 0.15, "{answer}");
    let error = |when: &str| answer[when]["1"]["mpjpe_mm"].as_f64().unwrap();
    assert!(answer["windows_learned"].as_u64().unwrap() > 200, "{answer}");
    // In a room never seen some minutes of labels are worth something; one minute may not be.
    assert!(error("after") < error("before"), "{answer}");
    assert!(answer["better"] == true && dir.join("lab.safetensors").exists(), "{answer}");

    // The same person's way, without a camera: where they were, twice a second.
    let middle = |t: &Value, axis: usize| {
        let hip = |joint: usize| t["people"][0]["keypoints"][joint][axis].as_f64().unwrap();
        0.5 * (hip(11) + hip(12))
    };
    let at = |t: &Value| format!("{},{},{}", t["t_s"], middle(t, 0), middle(t, 1));
    lines(dir, "path.csv", ["time_s,x_m,y_m".to_owned()].into_iter().chain(truth.iter().step_by(10).map(at)));
    let walk =
        ["calibrate", "walk", "--data-dir", "data", "--recording", "someone.ivr", "--path", "path.csv"];
    let taught = ["--out", "walk.safetensors", "--steps", STEPS, "--json"];
    let answer: Value = serde_json::from_str(&output(&[&walk[..], &taught].concat(), dir)).unwrap();
    let error = |when: &str| answer[when]["1"]["root_mm"].as_f64().unwrap();
    assert!(error("after") < error("before"), "{answer}");
    assert_eq!(answer["better"], dir.join("walk.safetensors").exists());

    // What cannot teach says why, and writes nothing.
    let mut short = seen(&truth[1]);
    short["persons"][0]["keypoints"].as_array_mut().unwrap().pop();
    lines(dir, "short.jsonl", [seen(&truth[0]).to_string(), short.to_string()]);
    let still =
        truth.iter().map(|t| json!({ "time": t["t_s"], "persons": seen(&truth[0])["persons"] }).to_string());
    lines(dir, "still.jsonl", still);
    lines(dir, "fast.csv", ["0,1,1".into(), "0.1,4,1".into()]);
    let refused = |args: &[&str], labels: [&str; 2], why: &str| {
        let out = finished(&[args, &labels, &["--out", "never.safetensors"]].concat(), dir);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains(why), "{said}");
        assert!(!dir.join("never.safetensors").exists());
    };
    refused(&CAMERA, ["--labels", "short.jsonl"], "line 2: 16 keypoints");
    refused(&CAMERA, ["--labels", "still.jsonl"], "--clock-offset");
    refused(&walk[..6], ["--path", "fast.csv"], "line 2: 30.0 m/s");
}

#[test]
fn weights_are_replaced_while_the_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let truth = room(dir);
    lines(dir, "camera.jsonl", truth.iter().map(|t| seen(t).to_string()));
    let taught = ["--labels", "camera.jsonl", "--out", "lab.safetensors", "--steps", STEPS];
    output(&[&CAMERA[..], &taught].concat(), dir);

    let source = "recording:someone.ivr?loop=true";
    let server = Server::start(&["run", "--source", source, "--baseline", "empty.ivr"], dir);
    let model = |frame: &Value| frame["metadata"]["model"].as_str().unwrap_or_default().to_owned();
    let own = model(&server.current(|f| !model(f).is_empty()));
    assert!(!own.contains("+room"), "{own}");
    let configure = |weights: &str| {
        std::fs::write(dir.join("invispose.toml"), format!("{SITE}[model]\nweights = {weights:?}\n"))
            .unwrap();
        signal(server.pid(), "HUP");
    };
    configure("lab.safetensors");
    let taught = server.current(|f| model(f) != own);
    assert_eq!(model(&taught), format!("{own}+room"));
    // The site's own minutes have shown that the new weights are of use there, or not: nobody else says so.
    let card = server
        .graphql("{ models { name sites { calibrated } } frames(first: 500) { edges { node { id } } } }");
    assert_eq!(card["data"]["models"][0]["name"], format!("{own}+room"));

    // What is no weights changes nothing.
    std::fs::write(dir.join("bad.safetensors"), "no weights").unwrap();
    configure("bad.safetensors");
    let from = Instant::now();
    let later = server.current(|f| f["frame_id"].as_u64() > taught["frame_id"].as_u64().map(|id| id + 40));
    assert_eq!(model(&later), format!("{own}+room"));
    assert!(from.elapsed() < PATIENCE);

    // No frame was lost on the way.
    let tail = output(&["ring", "data/lab.ring", "--json", "--last", "200"], dir);
    let ids = tail.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["frame_id"].as_u64().unwrap());
    let ids: Vec<u64> = ids.collect();
    assert!(ids.len() > 40 && ids.windows(2).all(|w| w[1] == w[0] + 1), "{ids:?}");
    server.terminate();
}

const ON_MMFI: &str = r#"
name = "tiny"
version = "0"
seed = 1
network = { fixed = 16, encode = 16, block = 16, span = 16, trunk = 32 }
[data]
packet_hz = 50.0
lose_link = 0.0
sets = [{ set = "mmfi", folder = "sets", split = "P3 cross-subject" }]
[optimiser]
steps = 60
batch = 8
learning_rate = 3e-3
warm_up = 5
cool_down = 20
weight_decay = 0.01
validate_every = 30
"#;

#[test]
fn a_network_learns_from_the_training_part_of_a_public_set_and_is_measured_on_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // S05 is for testing; of the others one is for validation.
    for (seed, recording) in ["E01/S01/A02", "E01/S02/A02", "E01/S03/A05", "E01/S05/A02"].iter().enumerate() {
        mmfi::write(&dir.join("sets/mmfi"), recording, seed as u64);
    }
    let cut = dir.join("sets/mmfi/E01/S05/A02/wifi-csi/frame007.mat");
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(dir.join("mmfi.toml"), ON_MMFI).unwrap();
    output(&["train", "mmfi.toml", "--out", "out"], dir);
    let curve = std::fs::read_to_string(dir.join("out/loss.csv")).unwrap();
    let loss = |line: &str| line.split_once(",train,loss,").map(|(_, v)| v.parse::<f64>().unwrap());
    let losses: Vec<f64> = curve.lines().filter_map(loss).collect();
    assert!(losses.len() == 3 && losses[2] < losses[0], "{curve}");
    assert!(curve.contains("30,validation,set:mmfi_1_mpjpe_mm,"), "{curve}");

    let evaluate = ["evaluate", "--suite", "mmfi", "--data", "sets", "--json"];
    let tried = [&evaluate[..], &["--weights", "out/weights.safetensors"]].concat();
    let report: Value = serde_json::from_str(&output(&tried, dir)).unwrap();
    let metrics = &report["metrics"];
    assert_eq!(report["split"], "P3 cross-subject");
    assert_eq!([&metrics["train_recordings"], &metrics["test_recordings"]], [&json!(3), &json!(1)]);
    // Five windows a second once there are two seconds, of one person each.
    assert_eq!([&metrics["windows"], &metrics["persons"]], [&json!(11), &json!(11)]);
    assert_eq!(metrics["files_left_out"], 1);
    assert!(report["notes"].to_string().contains("frame007.mat"), "{report}");
    let figure = |table: &str, name: &str| report[table][name].as_f64().unwrap();
    assert!(figure("metrics", "mpjpe_mm") > 0.0 && figure("baseline", "mean_position_mpjpe_mm") > 0.0);
    assert_eq!(report["E01"]["mpjpe_mm"], metrics["mpjpe_mm"]);
    // The same predictor, without a network, over every frame instead of every window.
    let alone: Value = serde_json::from_str(&output(&evaluate, dir)).unwrap();
    let mean = alone["P3 cross-subject"]["mean_position_error"].as_f64().unwrap();
    assert!((mean / figure("baseline", "mean_position_mpjpe_mm") - 1.0).abs() < 0.5, "{alone}");

    let refused = |args: &[&str], why: &str| {
        let out = finished(args, dir);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains(why), "{said}");
    };
    refused(&[&tried[..], &["--split", "P1 random"]].concat(), "may have learned");
    let by_frame = ON_MMFI.replace("P3 cross-subject", "random-frames");
    std::fs::write(dir.join("frames.toml"), by_frame).unwrap();
    refused(&["train", "frames.toml", "--out", "never"], "neighbouring frames");
    std::fs::write(dir.join("frames.toml"), ON_MMFI.replace("\"mmfi\"", "\"other\"")).unwrap();
    refused(&["train", "frames.toml", "--out", "never"], "no set of poses");
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/models/weights/pose.safetensors");
    refused(&[&evaluate[..], &["--weights", shipped]].concat(), "choose a split");
}
