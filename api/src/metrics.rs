//! `GET /metrics`: the pipeline's counters in the Prometheus text format 0.0.4.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use invispose_pipeline::health::Part;

use crate::outputs::mqtt::MqttStats;
use crate::outputs::webhooks::WebhookStats;
use crate::store::StoreStats;
use crate::view::source_name;
use crate::{ApiState, system};

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

struct Exposition(String);

impl Exposition {
    /// One metric: its samples as label pairs and a value.
    fn metric(&mut self, name: &str, kind: Kind, help: &str, samples: Vec<(Vec<(&str, &str)>, f64)>) {
        if samples.is_empty() {
            return;
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a string does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

pub(crate) async fn metrics(State(state): State<ApiState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render(&state))
}

fn fault_labels(part: &Part) -> Vec<(&'static str, &str)> {
    let place = part.site().map(|id| ("site", id)).or(part.source().map(|uri| ("source", uri)));
    [("component", part.component())].into_iter().chain(place).collect()
}

fn render(state: &ApiState) -> String {
    let mut out = Exposition(String::new());
    let sources = state.health().sources();
    let source = |value: fn(&invispose_pipeline::health::SourceSnapshot) -> f64| {
        sources
            .iter()
            .map(|s| (vec![("source", s.uri.as_str()), ("kind", source_name(s.kind))], value(s)))
            .collect::<Vec<_>>()
    };
    use Kind::{Counter, Gauge};
    out.metric("invispose_source_received_total", Counter, "Packets seen.", source(|s| s.received as f64));
    out.metric(
        "invispose_source_accepted_total",
        Counter,
        "Packets that entered the pipeline.",
        source(|s| s.accepted as f64),
    );
    out.metric(
        "invispose_source_dropped_total",
        Counter,
        "Packets dropped because the pipeline was full.",
        source(|s| s.dropped as f64),
    );
    out.metric(
        "invispose_source_siblings_total",
        Counter,
        "Packets of the same protocol that hold no CSI.",
        source(|s| s.siblings as f64),
    );
    out.metric(
        "invispose_source_running",
        Gauge,
        "1 while the source runs.",
        source(|s| f64::from(u8::from(s.running))),
    );
    let rejected = sources.iter().flat_map(|s| s.rejected.iter().map(move |(reason, n)| (s, *reason, *n)));
    let rejected = rejected
        .map(|(s, reason, n)| {
            (vec![("source", s.uri.as_str()), ("kind", source_name(s.kind)), ("reason", reason)], n as f64)
        })
        .collect();
    out.metric("invispose_source_rejected_total", Counter, "Packets rejected, by reason.", rejected);

    let stages = state.health().stages();
    let stage = |value: fn(&invispose_pipeline::health::StageSnapshot) -> f64| {
        stages.iter().map(|s| (vec![("stage", s.name)], value(s))).collect::<Vec<_>>()
    };
    out.metric("invispose_stage_taken_total", Counter, "Items a stage took.", stage(|s| s.taken as f64));
    out.metric("invispose_stage_given_total", Counter, "Items a stage gave on.", stage(|s| s.given as f64));
    out.metric(
        "invispose_stage_busy_seconds_total",
        Counter,
        "Time a stage worked.",
        stage(|s| s.busy_ns as f64 / 1e9),
    );
    out.metric("invispose_stage_queued", Gauge, "Items that wait for a stage.", stage(|s| s.queued as f64));

    let faults = state.health().faults();
    let faults = faults.keys().map(|part| (fault_labels(part), 1.0)).collect();
    out.metric("invispose_fault", Gauge, "1 for each standing fault.", faults);

    if let Some(store) = state.store() {
        store_metrics(&mut out, store.stats());
    }

    mqtt_metrics(&mut out, &state.outputs().mqtt);
    webhook_metrics(&mut out, &state.outputs().webhooks);

    let sites: Vec<&str> = state.sites().iter().map(|s| s.config().id.as_str()).collect();
    let site = |value: &dyn Fn(&crate::Site) -> Option<f64>| {
        let values = state.sites().iter().zip(&sites);
        values.filter_map(|(s, id)| value(s).map(|v| (vec![("site", *id)], v))).collect::<Vec<_>>()
    };
    out.metric(
        "invispose_frames_total",
        Counter,
        "Pose frames in the life of the data directory.",
        site(&|s| Some(s.ring().head() as f64)),
    );
    out.metric(
        "invispose_frame_age_seconds",
        Gauge,
        "Time since the newest frame was published.",
        site(&|s| s.idle().map(|d| d.as_secs_f64())),
    );
    let fresh = |s: &crate::Site| s.idle().is_some_and(|idle| idle <= state.config().stale_after);
    let persons = |s: &crate::Site| if fresh(s) { s.latest().map(|f| f.persons.len() as f64) } else { None };
    out.metric(
        "invispose_persons",
        Gauge,
        "Persons in the newest frame; absent when it is stale.",
        site(&persons),
    );

    out.metric(
        "invispose_uptime_seconds",
        Gauge,
        "Since the API started.",
        vec![(vec![], state.uptime().as_secs_f64())],
    );
    if let Some(bytes) = system::resident_bytes() {
        out.metric("process_resident_memory_bytes", Gauge, "Resident memory.", vec![(vec![], bytes as f64)]);
    }
    out.metric(
        "invispose_build_info",
        Gauge,
        "Version.",
        vec![(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)],
    );
    out.0
}

fn mqtt_metrics(out: &mut Exposition, stats: &MqttStats) {
    use Kind::{Counter, Gauge};
    for (name, kind, help, counter) in [
        ("invispose_mqtt_connections_total", Counter, "Connections made to the broker.", &stats.connections),
        ("invispose_mqtt_published_total", Counter, "Messages that the broker has.", &stats.published),
        ("invispose_mqtt_refused_total", Counter, "Messages that the broker refused.", &stats.refused),
        ("invispose_mqtt_given_up_total", Counter, "Messages given up: the queue was full.", &stats.given_up),
        (
            "invispose_mqtt_events_missed_total",
            Counter,
            "Events given up before they were queued.",
            &stats.missed,
        ),
        ("invispose_mqtt_commands_total", Counter, "Commands heard.", &stats.commands),
        ("invispose_mqtt_queued_bytes", Gauge, "Bytes that wait on the disk.", &stats.queued_bytes),
    ] {
        out.metric(name, kind, help, vec![(vec![], counter.load(Relaxed) as f64)]);
    }
}

fn webhook_metrics(out: &mut Exposition, stats: &WebhookStats) {
    for (name, help, counter) in [
        ("invispose_webhook_events_total", "Events queued for delivery.", &stats.queued),
        ("invispose_webhook_delivered_total", "Events that endpoints have taken.", &stats.delivered),
        ("invispose_webhook_failed_total", "Attempts that failed.", &stats.failed),
        ("invispose_webhook_dead_total", "Events given up after the last attempt.", &stats.dead),
        ("invispose_webhook_given_up_total", "Events given up: the queue was full.", &stats.given_up),
        ("invispose_webhook_events_missed_total", "Events given up before they were queued.", &stats.missed),
    ] {
        out.metric(name, Kind::Counter, help, vec![(vec![], counter.load(Relaxed) as f64)]);
    }
}

fn store_metrics(out: &mut Exposition, stats: &StoreStats) {
    use Kind::{Counter, Gauge};
    for (name, kind, help, counter) in [
        ("invispose_store_frames_total", Counter, "Frames written, or waiting on the disk.", &stats.frames),
        (
            "invispose_store_frames_missed_total",
            Counter,
            "Frames overwritten before they were written.",
            &stats.missed,
        ),
        ("invispose_store_events_total", Counter, "Events written, or waiting on the disk.", &stats.events),
        (
            "invispose_store_events_missed_total",
            Counter,
            "Events given up before they were written.",
            &stats.missed_events,
        ),
        (
            "invispose_store_refused_total",
            Counter,
            "Writes that the database will never take.",
            &stats.refused,
        ),
        ("invispose_store_queued", Gauge, "Writes that wait on the disk.", &stats.queued),
        ("invispose_store_queued_bytes", Gauge, "Their bytes.", &stats.queued_bytes),
    ] {
        out.metric(name, kind, help, vec![(vec![], StoreStats::get(counter) as f64)]);
    }
}
