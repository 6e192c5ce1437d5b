//! What is told of links and of the pipeline's own troubles, on simulated troubles: suite `faults-sim`.
//!
//! How long nodes, machines and components are in trouble is assumed, not measured; the figures say which of that becomes an event.

use std::collections::BTreeMap;
use std::sync::Arc;

use invispose_models::sim::{Draw, Split};

use super::report::{Figures, Plot, Report, figure};
use super::sweep;
use crate::events::{Event, EventKind, Monitor, MonitorConfig, SiteWatch, WatchConfig};
use crate::floor::FloorPlan;
use crate::health::{Health, SourceStats};
use crate::pose::SourceKind;

/// Troubles of each kind.
const TROUBLES: u64 = 400;
/// A node that reboots is silent for so long, seconds: mean, standard deviation, and at least.
const REBOOT_S: [f64; 3] = [5.0, 1.5, 2.0];
/// A link that is gone is gone for so long, seconds, alike on a logarithmic scale.
const GONE_S: [f64; 2] = [20.0, 600.0];
/// A link is in a window as long as one of its packets is, and windows come so often, seconds.
const WINDOW_S: f64 = 2.0;
const HOP_S: f64 = 0.25;
/// Packets of a source a second.
const PACKETS_HZ: f64 = 300.0;
/// In an hour without trouble so many times a burst of packets is lost, up to a fifth of a second of them.
const BURSTS: usize = 6;
const BURST_PACKETS: f64 = 60.0;
const HOURS: u64 = 60;
/// Where the pipeline does not keep up it loses such a share of packets, for so long, seconds; both alike on a logarithmic scale.
const OVERLOAD_SHARE: [f64; 2] = [0.015, 0.3];
const OVERLOAD_S: [f64; 2] = [20.0, 300.0];
/// A component's fault lasts so long, seconds, alike on a logarithmic scale; one that is over sooner than the second need not be told.
const FAULT_S: [f64; 2] = [0.05, 60.0];
const SHORT_S: f64 = 1.0;

/// Runs the suite.
pub fn run(watch: &WatchConfig, monitor: &MonitorConfig) -> Report {
    let figures = |watch, monitor| {
        let (links, losses, faults) =
            (links(watch, Split::Test), losses(monitor, Split::Test), components(monitor, Split::Test));
        Figures::from([
            ("reboots_told", figure(links.reboots_told)),
            ("links_gone_not_told", figure(links.gone_untold)),
            ("links_gone_told_after_s", figure(links.delay_s)),
            ("hours_without_trouble_with_an_alarm", figure(losses.alarms)),
            ("overloads_not_told", figure(losses.untold)),
            ("overloads_told_after_s", figure(losses.delay_s)),
            ("faults_of_over_1_s_not_told", figure(faults.untold)),
            ("faults_of_under_1_s_told", figure(faults.short_told)),
        ])
    };
    let at_once = MonitorConfig { every_s: 1.0, losses_over_s: 1.0, lost_share: 0.0 };
    let mut baseline = figures(&WatchConfig { link_lost_s: 0.0 }, &at_once);
    baseline.insert("method", "every window without a link's packets and every lost packet is told".into());
    Report {
        suite: "faults-sim",
        split: "test seeds of the simulated troubles, on which nothing was chosen".into(),
        metrics: figures(watch, monitor),
        baseline,
        more: BTreeMap::new(),
        per_recording: Vec::new(),
        notes: vec![
            format!(
                "assumed: nodes reboot within {} ± {} s, links are gone for {} to {} s",
                REBOOT_S[0], REBOOT_S[1], GONE_S[0], GONE_S[1]
            ),
            format!(
                "assumed: {BURSTS} bursts of up to {BURST_PACKETS} lost packets an hour at {PACKETS_HZ} packets a second; an overload loses {} to {} of them for {} to {} s",
                OVERLOAD_SHARE[0], OVERLOAD_SHARE[1], OVERLOAD_S[0], OVERLOAD_S[1]
            ),
        ],
        plots: Vec::new(),
    }
}

/// A plot for each setting.
pub fn sweeps(watch: &WatchConfig, monitor: &MonitorConfig) -> Vec<Plot> {
    const ABOUT: &str = "simulated troubles";
    let settings = sweep::around(watch, &[("link_lost_s", "seconds")]);
    let lines =
        ["reboots told as a lost link", "links that are gone, not told", "minutes until that is told"];
    let y = "share; minutes";
    let mut plots = sweep::plots("watch", ABOUT, watch, &settings, y, &lines, |c| {
        let links = links(c, Split::Validation);
        vec![links.reboots_told, links.gone_untold, links.delay_s / 60.0]
    });
    let settings =
        sweep::around(monitor, &[("losses_over_s", "seconds"), ("lost_share", "share of packets")]);
    let lines = ["hours without trouble with an alarm", "overloads not told", "minutes until one is told"];
    plots.extend(sweep::plots("monitor", ABOUT, monitor, &settings, y, &lines, |c| {
        let losses = losses(c, Split::Validation);
        vec![losses.alarms, losses.untold, losses.delay_s / 60.0]
    }));
    let settings = sweep::around(monitor, &[("every_s", "seconds")]);
    let lines = ["faults of over a second, not told", "faults of under a second, told"];
    plots.extend(sweep::plots("monitor", ABOUT, monitor, &settings, "share of faults", &lines, |c| {
        let faults = components(c, Split::Validation);
        vec![faults.untold, faults.short_told]
    }));
    plots
}

struct Links {
    reboots_told: f64,
    gone_untold: f64,
    delay_s: f64,
}

/// Each silence of a link of two, from its last packet to half a minute after its end.
fn links(config: &WatchConfig, split: Split) -> Links {
    // When a silence of this length is told, seconds after the last packet.
    let told = |silent_s: f64, phase_s: f64| -> Option<f64> {
        let mut watch = SiteWatch::new("site", FloorPlan::new(&[]).ok()?, config.clone());
        let mut told = None;
        let mut at_s = phase_s - WINDOW_S;
        while at_s < silent_s + 30.0 && told.is_none() {
            let heard = at_s < WINDOW_S || at_s >= silent_s;
            let links = ["other", "link"].into_iter().take(1 + usize::from(heard));
            watch.links(nanoseconds(at_s), links, &mut |event| {
                if event.kind == EventKind::RouterDisconnected {
                    told = Some(at_s);
                }
            });
            at_s += HOP_S;
        }
        told
    };
    let mut draw = Draw::new(split.seed(0xFA17), 1);
    let mut links = Links { reboots_told: 0.0, gone_untold: 0.0, delay_s: 0.0 };
    let mut gone_told = 0.0f64;
    for _ in 0..TROUBLES {
        let [mean, spread, least] = REBOOT_S;
        let reboot_s = (mean + spread * f64::from(draw.normal())).max(least);
        links.reboots_told += f64::from(u8::from(told(reboot_s, phase(&mut draw, HOP_S)).is_some()));
        match told(between(&mut draw, GONE_S), phase(&mut draw, HOP_S)) {
            Some(after_s) => {
                links.delay_s += after_s;
                gone_told += 1.0;
            }
            None => links.gone_untold += 1.0,
        }
    }
    let all = TROUBLES as f64;
    Links {
        reboots_told: links.reboots_told / all,
        gone_untold: links.gone_untold / all,
        delay_s: links.delay_s / gone_told,
    }
}

struct Losses {
    alarms: f64,
    untold: f64,
    delay_s: f64,
}

/// Hours in which bursts are lost, and overloads.
fn losses(config: &MonitorConfig, split: Split) -> Losses {
    let mut draw = Draw::new(split.seed(0xFA17), 2);
    let mut alarms = 0u32;
    for _ in 0..HOURS {
        let bursts: Vec<(f64, f64)> =
            (0..BURSTS).map(|_| (phase(&mut draw, 3600.0), phase(&mut draw, BURST_PACKETS))).collect();
        let lost = |at_s: f64| -> f64 {
            bursts.iter().filter(|(when, _)| *when <= at_s).map(|(_, packets)| packets).sum()
        };
        alarms += u32::from(first_loss_told(config, 3600.0, draw.unit(), lost).is_some());
    }
    let (mut told, mut delay_s) = (0.0f64, 0.0);
    for _ in 0..TROUBLES {
        let share = between(&mut draw, OVERLOAD_SHARE);
        let lasts_s = between(&mut draw, OVERLOAD_S);
        let begins_s = config.losses_over_s * (1.0 + f64::from(draw.unit()));
        let lost = |at_s: f64| share * PACKETS_HZ * (at_s - begins_s).clamp(0.0, lasts_s);
        let until_s = begins_s + lasts_s + 2.0 * config.losses_over_s;
        if let Some(at_s) = first_loss_told(config, until_s, draw.unit(), lost) {
            told += 1.0;
            delay_s += at_s - begins_s;
        }
    }
    let all = TROUBLES as f64;
    Losses { alarms: f64::from(alarms) / HOURS as f64, untold: 1.0 - told / all, delay_s: delay_s / told }
}

/// When it is first told that packets are lost, where `lost` says how many were by then; the first look is at this share of a period.
fn first_loss_told(
    config: &MonitorConfig,
    until_s: f64,
    first: f32,
    lost: impl Fn(f64) -> f64,
) -> Option<f64> {
    let health = Health::default();
    let account = Arc::new(SourceStats::new("source", SourceKind::Simulated));
    health.add_source(account.clone());
    let mut monitor = Monitor::new(health, config.clone());
    let every_s = monitor.period().as_secs_f64();
    let mut told = None;
    let mut at_s = f64::from(first) * every_s;
    while at_s < until_s && told.is_none() {
        let lost = lost(at_s);
        account.dropped.set(lost as u64);
        account.accepted.set((PACKETS_HZ * at_s - lost).max(0.0) as u64);
        monitor.look(nanoseconds(at_s), &mut |event: Event| {
            if event.kind == EventKind::PerformanceDegraded {
                told = Some(at_s);
            }
        });
        at_s += every_s;
    }
    told
}

struct Components {
    untold: f64,
    short_told: f64,
}

/// Faults of a component, each by itself.
fn components(config: &MonitorConfig, split: Split) -> Components {
    let mut draw = Draw::new(split.seed(0xFA17), 3);
    let (mut long, mut untold, mut short, mut short_told) = (0.0f64, 0.0, 0.0f64, 0.0);
    for _ in 0..TROUBLES {
        let lasts_s = between(&mut draw, FAULT_S);
        let health = Health::default();
        let mut monitor = Monitor::new(health.clone(), config.clone());
        let mut told = false;
        let every_s = monitor.period().as_secs_f64();
        let mut at_s = phase(&mut draw, every_s);
        while at_s < lasts_s + 2.0 * every_s {
            health.set_fault("stage", (at_s < lasts_s).then(|| "trouble".to_owned()));
            monitor.look(nanoseconds(at_s), &mut |event| told |= event.kind == EventKind::SystemError);
            at_s += every_s;
        }
        if lasts_s >= SHORT_S {
            long += 1.0;
            untold += f64::from(u8::from(!told));
        } else {
            short += 1.0;
            short_told += f64::from(u8::from(told));
        }
    }
    Components { untold: untold / long, short_told: short_told / short }
}

fn nanoseconds(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}

fn phase(draw: &mut Draw, period_s: f64) -> f64 {
    f64::from(draw.unit()) * period_s
}

/// Alike on a logarithmic scale.
fn between(draw: &mut Draw, [from, to]: [f64; 2]) -> f64 {
    from * (to / from).powf(f64::from(draw.unit()))
}
