//! `GET /metrics`: what the pipeline and the protocols count, in the Prometheus text format 0.0.4. Figures are read when they are
//! asked for; one that has no source is left out.

mod exposition;
mod names;
mod process;
mod traffic;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use axum::http::header;
use axum::response::IntoResponse;
use invispose_pipeline::health::{Part, SourceSnapshot, StageSnapshot};

use self::exposition::Exposition;
pub use self::names::{Kind, Metric, table};
pub(crate) use self::traffic::{CarriesErrors, Counted, Direction, Present, Route, Traffic};
use crate::outputs::mqtt::MqttStats;
use crate::outputs::webhooks::WebhookStats;
use crate::store::StoreStats;
use crate::view::source_name;
use crate::{ApiState, Site, Time};

pub(crate) async fn metrics(state: ApiState) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render(&state))
}

fn render(state: &ApiState) -> String {
    let mut out = Exposition(String::new());
    state.traffic().render(&mut out);
    connections(&mut out, state);
    sources(&mut out, &state.health().sources());
    pipeline(&mut out, state);
    sites(&mut out, state);
    if let Some(store) = state.store() {
        store_metrics(&mut out, store.stats());
    }
    if state.outputs().mqtt.running.load(Relaxed) {
        mqtt_metrics(&mut out, &state.outputs().mqtt);
    }
    if state.outputs().webhooks.running().is_some() {
        webhook_metrics(&mut out, &state.outputs().webhooks);
    }
    if state.health().trails().given_up().is_some() {
        let spans = state.telemetry();
        let results = [("sent", &spans.sent), ("failed", &spans.failed), ("given_up", &spans.given_up)];
        out.write(
            Metric::Spans,
            results.into_iter().map(|(r, count)| (vec![r], count.get() as f64)).collect(),
        );
    }
    out.one(Metric::Uptime, state.uptime().as_secs_f64());
    out.write(Metric::Build, vec![(vec![env!("CARGO_PKG_VERSION")], 1.0)]);
    process::render(&mut out);
    out.0
}

fn connections(out: &mut Exposition, state: &ApiState) {
    let stats = state.connections();
    out.one(Metric::Connections, stats.open() as f64);
    out.one(Metric::ConnectionsAccepted, stats.accepted.get() as f64);
    out.one(Metric::ConnectionsRefused, stats.refused.get() as f64);
    out.one(Metric::ConnectionsFruitless, stats.fruitless.get() as f64);
    if stats.encrypted.get() > 0 {
        let reloads = [("ok", &stats.reloads), ("failed", &stats.failed_reloads)];
        let reloads = reloads.into_iter().map(|(result, count)| (vec![result], count.get() as f64));
        out.write(Metric::TlsReloads, reloads.collect());
        let ends = Some(stats.certificate_ends.get()).filter(|seconds| *seconds > 0);
        out.write(
            Metric::TlsCertificateEnds,
            ends.map(|seconds| (vec![], seconds as f64)).into_iter().collect(),
        );
    }
}

fn sources(out: &mut Exposition, sources: &[SourceSnapshot]) {
    let mut each = |metric, value: &dyn Fn(&SourceSnapshot) -> Option<f64>| {
        let samples =
            sources.iter().filter_map(|s| Some((vec![s.uri.as_str(), source_name(s.kind)], value(s)?)));
        out.write(metric, samples.collect());
    };
    each(Metric::SourceReceived, &|s| Some(s.received as f64));
    each(Metric::SourceAccepted, &|s| Some(s.accepted as f64));
    each(Metric::SourceDropped, &|s| Some(s.dropped as f64));
    each(Metric::SourceSiblings, &|s| Some(s.siblings as f64));
    each(Metric::SourceRunning, &|s| Some(f64::from(u8::from(s.running))));
    let now_ns = Time::now().as_ns();
    each(Metric::SourceAge, &|s| s.last_ns.map(|ns| now_ns.saturating_sub(ns as i64).max(0) as f64 / 1e9));
    let rejected = sources.iter().flat_map(|s| {
        let of = move |(reason, count): (&&'static str, &u64)| {
            (vec![s.uri.as_str(), source_name(s.kind), *reason], *count as f64)
        };
        s.rejected.iter().map(of)
    });
    out.write(Metric::SourceRejected, rejected.collect());
}

fn pipeline(out: &mut Exposition, state: &ApiState) {
    let stages = state.health().stages();
    let mut each = |metric, value: fn(&StageSnapshot) -> f64| {
        out.write(metric, stages.iter().map(|s| (vec![s.name], value(s))).collect());
    };
    each(Metric::StageTaken, |s| s.taken as f64);
    each(Metric::StageGiven, |s| s.given as f64);
    each(Metric::StageBusy, |s| s.busy_ns as f64 / 1e9);
    each(Metric::StageQueued, |s| s.queued as f64);
    let network = state.health().network();
    if network.runs.get() > 0 {
        out.one(Metric::NetworkRuns, network.runs.get() as f64);
        out.one(Metric::NetworkWindows, network.windows.get() as f64);
        out.one(Metric::NetworkBusy, network.busy_ns.get() as f64 / 1e9);
    }
    let faults = state.health().faults();
    let labels = |part: &'_ Part| -> Vec<String> {
        [part.component(), part.site().unwrap_or_default(), part.source().unwrap_or_default()]
            .map(String::from)
            .into()
    };
    let faults: Vec<Vec<String>> = faults.keys().map(labels).collect();
    out.write(Metric::Faults, faults.iter().map(|f| (f.iter().map(String::as_str).collect(), 1.0)).collect());
    if let Some(device) = state.health().device() {
        out.write(Metric::Device, vec![(vec![&device], 1.0)]);
    }
    if let Some(desk) = state.alert_desk() {
        let mut open = BTreeMap::<_, u64>::new();
        for alert in desk.alerts() {
            let severity = serde_json::to_string(&alert.severity).unwrap_or_default();
            *open.entry((severity, alert.status.name())).or_default() += 1;
        }
        let samples = open
            .iter()
            .map(|((severity, status), count)| (vec![severity.trim_matches('"'), *status], *count as f64));
        out.write(Metric::AlertsOpen, samples.collect());
    }
}

fn sites(out: &mut Exposition, state: &ApiState) {
    let sites = state.sites();
    let fresh = |s: &&Site| s.idle().is_some_and(|idle| idle <= state.config().stale_after);
    let newest: Vec<_> = sites.iter().filter(fresh).filter_map(|s| Some((s, s.latest()?))).collect();
    let mut each = |metric, value: &dyn Fn(&Site) -> Option<f64>| {
        let samples = sites.iter().filter_map(|s| Some((vec![s.config().id.as_str()], value(s)?)));
        out.write(metric, samples.collect());
    };
    each(Metric::Frames, &|s| Some(s.ring().head() as f64));
    each(Metric::FrameAge, &|s| s.idle().map(|idle| idle.as_secs_f64()));
    each(Metric::RingSlots, &|s| Some(f64::from(s.ring().slots())));
    each(Metric::RingUsed, &|s| {
        let (head, oldest) = (s.ring().head(), s.ring().oldest());
        Some(if head == 0 { 0.0 } else { (head + 1).saturating_sub(oldest) as f64 })
    });
    let id = |s: &'_ Site| s.config().id.clone();
    let ids: Vec<String> = newest.iter().map(|(s, _)| id(s)).collect();
    let of_newest = |value: fn(&invispose_pipeline::PoseFrame) -> f64| {
        newest.iter().zip(&ids).map(|((_, frame), id)| (vec![id.as_str()], value(frame))).collect()
    };
    out.write(Metric::FrameProcessing, of_newest(|frame| frame.processing_ns as f64 / 1e9));
    out.write(Metric::Persons, of_newest(|frame| frame.persons.len() as f64));
    let models = newest.iter().zip(&ids).filter_map(|((_, frame), id)| {
        let model = frame.provenance.model.as_deref()?;
        Some((vec![id.as_str(), model, if frame.provenance.calibrated { "true" } else { "false" }], 1.0))
    });
    out.write(Metric::Model, models.collect());
}

fn all(out: &mut Exposition, counters: &[(Metric, &AtomicU64)]) {
    for (metric, counter) in counters {
        out.one(*metric, counter.load(Relaxed) as f64);
    }
}

fn mqtt_metrics(out: &mut Exposition, stats: &MqttStats) {
    let counters = [
        (Metric::MqttConnections, &stats.connections),
        (Metric::MqttPublished, &stats.published),
        (Metric::MqttRefused, &stats.refused),
        (Metric::MqttGivenUp, &stats.given_up),
        (Metric::MqttMissed, &stats.missed),
        (Metric::MqttCommands, &stats.commands),
        (Metric::MqttQueuedBytes, &stats.queued_bytes),
    ];
    all(out, &counters);
}

fn webhook_metrics(out: &mut Exposition, stats: &WebhookStats) {
    let counters = [
        (Metric::WebhookEvents, &stats.queued),
        (Metric::WebhookDelivered, &stats.delivered),
        (Metric::WebhookFailed, &stats.failed),
        (Metric::WebhookDead, &stats.dead),
        (Metric::WebhookGivenUp, &stats.given_up),
        (Metric::WebhookMissed, &stats.missed),
    ];
    all(out, &counters);
}

fn store_metrics(out: &mut Exposition, stats: &StoreStats) {
    let counters = [
        (Metric::StoreFrames, &stats.frames),
        (Metric::StoreFramesMissed, &stats.missed),
        (Metric::StoreEvents, &stats.events),
        (Metric::StoreEventsMissed, &stats.missed_events),
        (Metric::StoreRefused, &stats.refused),
        (Metric::StoreQueued, &stats.queued),
        (Metric::StoreQueuedBytes, &stats.queued_bytes),
    ];
    all(out, &counters);
}
