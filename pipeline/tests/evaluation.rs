//! The suites: on the real sets where they are there, and on synthetic rooms.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use invispose_pipeline::evaluation::breaths::{self, Room};
use invispose_pipeline::evaluation::ghosts::{GhostPlan, haunt};
use invispose_pipeline::evaluation::recordings::Recording;
use invispose_pipeline::evaluation::report::Figures;
use invispose_pipeline::evaluation::{self, SUITES, faults, lived};
use invispose_pipeline::events::{MonitorConfig, WatchConfig};
use invispose_pipeline::stages::presence::PresenceConfig;
use invispose_pipeline::understanding::BreathRules;
use invispose_pipeline::{Complex32, CsiFrame, Layout, LinkId};

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
