//! Every metric that there is: its name, what it measures, and its labels. `docs/operations/metrics.md` is made of this.

/// What its figures may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of durations up to bounds.
    Histogram,
}

impl Kind {
    /// As Prometheus writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

macro_rules! metrics {
    ($($variant:ident $kind:ident $name:literal [$($label:literal)*] $help:literal;)*) => {
        /// A metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric { $(#[doc = $help] $variant,)* }

        impl Metric {
            /// All of them, in the order of the exposition.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What its figures may do.
            pub fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }

            /// Names of the labels, in order; the last ones may be left out where they do not apply.
            pub fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($label,)*],)* }
            }

            /// What it measures.
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

metrics! {
    ApiRequests Counter "api_requests_total" ["method" "endpoint" "status"] "Requests answered; the endpoint is the route, never what a client wrote.";
    ApiRequestDuration Histogram "api_request_duration_seconds" ["method" "endpoint"] "Time from a request's head to the head of its answer.";
    ApiErrors Counter "api_errors_total" ["endpoint" "error_type"] "Answers that were errors: the status in words, or graphql for errors inside an answer of status 200.";
    WebSockets Gauge "websocket_connections_active" [] "Open WebSockets.";
    WebSocketMessages Counter "websocket_messages_total" ["direction" "type"] "Messages sent and received over WebSockets.";
    Subscriptions Gauge "invispose_subscriptions" ["protocol"] "Subscriptions that are being fed: operations of GraphQL, streaming calls of gRPC, topics of /ws/v1/stream.";
    GraphqlRefused Counter "invispose_graphql_refused_total" ["reason"] "GraphQL requests refused before they were executed: the document was too_large, or other large queries kept the server busy.";

    Connections Gauge "invispose_connections" [] "Open connections, WebSockets among them.";
    ConnectionsAccepted Counter "invispose_connections_accepted_total" [] "Connections that were taken.";
    ConnectionsRefused Counter "invispose_connections_refused_total" [] "Connections refused because their address had as many as one may have.";
    ConnectionsFruitless Counter "invispose_connections_fruitless_total" [] "Connections that ended before a request: nothing useful came in time, or the TLS handshake failed.";
    TlsReloads Counter "invispose_tls_reloads_total" ["result"] "Times that the TLS certificate was read again, ok or failed.";
    TlsCertificateEnds Gauge "invispose_tls_certificate_expiry_timestamp_seconds" [] "Unix time at which the first certificate of the chain that is shown ends.";

    SourceReceived Counter "invispose_source_received_total" ["source" "kind"] "Packets seen.";
    SourceAccepted Counter "invispose_source_accepted_total" ["source" "kind"] "Packets that entered the pipeline.";
    SourceDropped Counter "invispose_source_dropped_total" ["source" "kind"] "Packets dropped because the pipeline was full.";
    SourceSiblings Counter "invispose_source_siblings_total" ["source" "kind"] "Packets of the same protocol that hold no CSI.";
    SourceRejected Counter "invispose_source_rejected_total" ["source" "kind" "reason"] "Packets rejected, by reason.";
    SourceRunning Gauge "invispose_source_running" ["source" "kind"] "1 while the source runs.";
    SourceAge Gauge "invispose_source_age_seconds" ["source" "kind"] "Time since the last packet was accepted.";

    StageTaken Counter "invispose_stage_taken_total" ["stage"] "Items a stage took.";
    StageGiven Counter "invispose_stage_given_total" ["stage"] "Items a stage gave on.";
    StageBusy Counter "invispose_stage_busy_seconds_total" ["stage"] "Time a stage worked.";
    StageQueued Gauge "invispose_stage_queued" ["stage"] "Items that wait in the channel before a stage, as it last saw.";
    NetworkRuns Counter "invispose_network_runs_total" [] "Runs of the network, each of a batch of windows.";
    NetworkWindows Counter "invispose_network_windows_total" [] "Windows that the network has looked at.";
    NetworkBusy Counter "invispose_network_seconds_total" [] "Time from handing windows to the network to having its answers, copies to a GPU and back included.";
    Faults Gauge "invispose_fault" ["component" "site" "source"] "1 for each standing fault.";
    Device Gauge "invispose_device_info" ["device"] "1; where cleanup and the network run, GPU or CPU, and why.";
    Model Gauge "invispose_model_info" ["site" "model" "calibrated"] "1; the model behind the site's newest frame.";

    Frames Counter "invispose_frames_total" ["site"] "Pose frames in the life of the data directory.";
    FrameAge Gauge "invispose_frame_age_seconds" ["site"] "Time since the newest frame was published.";
    FrameProcessing Gauge "invispose_frame_processing_seconds" ["site"] "Processing time of the newest frame; absent when it is stale.";
    Persons Gauge "invispose_persons" ["site"] "Persons in the newest frame; absent when it is stale.";
    RingSlots Gauge "invispose_ring_slots" ["site"] "Frames that the ring holds at most.";
    RingUsed Gauge "invispose_ring_frames" ["site"] "Frames that the ring holds.";
    AlertsOpen Gauge "invispose_alerts" ["severity" "state"] "Alerts that are not over.";

    StoreFrames Counter "invispose_store_frames_total" [] "Frames written, or waiting on the disk.";
    StoreFramesMissed Counter "invispose_store_frames_missed_total" [] "Frames overwritten before they were written.";
    StoreEvents Counter "invispose_store_events_total" [] "Events written, or waiting on the disk.";
    StoreEventsMissed Counter "invispose_store_events_missed_total" [] "Events given up before they were written.";
    StoreRefused Counter "invispose_store_refused_total" [] "Writes that the database will never take.";
    StoreQueued Gauge "invispose_store_queued" [] "Writes that wait on the disk.";
    StoreQueuedBytes Gauge "invispose_store_queued_bytes" [] "Their bytes.";

    MqttConnections Counter "invispose_mqtt_connections_total" [] "Connections made to the broker.";
    MqttPublished Counter "invispose_mqtt_published_total" [] "Messages that the broker has.";
    MqttRefused Counter "invispose_mqtt_refused_total" [] "Messages that the broker refused.";
    MqttGivenUp Counter "invispose_mqtt_given_up_total" [] "Messages given up: the queue was full.";
    MqttMissed Counter "invispose_mqtt_events_missed_total" [] "Events given up before they were queued.";
    MqttCommands Counter "invispose_mqtt_commands_total" [] "Commands heard.";
    MqttQueuedBytes Gauge "invispose_mqtt_queued_bytes" [] "Bytes that wait on the disk.";

    WebhookEvents Counter "invispose_webhook_events_total" [] "Events queued for delivery.";
    WebhookDelivered Counter "invispose_webhook_delivered_total" [] "Events that endpoints have taken.";
    WebhookFailed Counter "invispose_webhook_failed_total" [] "Attempts that failed.";
    WebhookDead Counter "invispose_webhook_dead_total" [] "Events given up after the last attempt.";
    WebhookGivenUp Counter "invispose_webhook_given_up_total" [] "Events given up: the queue was full.";
    WebhookMissed Counter "invispose_webhook_events_missed_total" [] "Events given up before they were queued.";

    Spans Counter "invispose_telemetry_spans_total" ["result"] "Spans of traces: sent, failed, or given up because there were too many.";

    Uptime Gauge "invispose_uptime_seconds" [] "Since the API started.";
    Build Gauge "invispose_build_info" ["version"] "1; the version.";
    ProcessMemory Gauge "process_resident_memory_bytes" [] "Resident memory.";
    ProcessCpu Counter "process_cpu_seconds_total" [] "Processor time, user and system.";
    ProcessFds Gauge "process_open_fds" [] "Open file descriptors.";
    ProcessMaxFds Gauge "process_max_fds" [] "File descriptors that the process may open.";
    ProcessThreads Gauge "process_threads" [] "Threads.";
}

/// The table of `docs/operations/metrics.md`.
pub fn table() -> String {
    let mut text = String::from("| metric | type | labels | |\n|---|---|---|---|\n");
    for metric in Metric::ALL {
        let labels: Vec<String> = metric.labels().iter().map(|label| format!("`{label}`")).collect();
        let row = format!(
            "| `{}` | {} | {} | {} |\n",
            metric.name(),
            metric.kind().name(),
            labels.join(", "),
            metric.help()
        );
        text.push_str(&row);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;
    use std::fs;

    use serde_json::Value;

    use super::*;

    fn operations(file: &str) -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations/");
        fs::read_to_string(format!("{path}{file}")).unwrap()
    }

    /// Names in a PromQL expression that could be metrics: what is no label, function or keyword.
    fn metrics_in(expression: &str) -> BTreeSet<String> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let prefixes = ["invispose_", "api_", "websocket_", "process_"];
        let words = expression.split(|c| !word(c)).filter(|w| prefixes.iter().any(|p| w.starts_with(p)));
        words.map(str::to_owned).collect()
    }

    fn check(expression: &str) {
        let names = metrics_in(expression);
        assert!(!names.is_empty() || expression.contains("up{"), "no metric in {expression:?}");
        for name in names {
            let exists = Metric::ALL.iter().any(|metric| match metric.kind() {
                Kind::Histogram => name
                    .strip_prefix(metric.name())
                    .is_some_and(|rest| ["_bucket", "_sum", "_count"].contains(&rest)),
                _ => metric.name() == name,
            });
            assert!(exists, "{name} in {expression:?}");
        }
    }

    #[test]
    fn names_are_as_prometheus_asks() {
        let names: BTreeSet<&str> = Metric::ALL.iter().map(|m| m.name()).collect();
        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            assert_eq!(
                metric.name().ends_with("_total"),
                metric.kind() == Kind::Counter,
                "{}",
                metric.name()
            );
            assert!(!metric.help().contains('\n') && metric.help().ends_with('.'), "{}", metric.name());
        }
    }

    #[test]
    fn the_document_lists_them_all() {
        assert!(operations("metrics.md").contains(&table()), "the table should read:\n{}", table());
    }

    #[test]
    fn the_dashboard_and_the_alert_rules_ask_for_nothing_else() {
        let rules = operations("alerts.yml");
        let expressions: Vec<&str> =
            rules.lines().filter_map(|line| line.trim_start().strip_prefix("expr: ")).collect();
        assert!(expressions.len() >= 10);
        expressions.into_iter().for_each(check);

        let dashboard: Value = serde_json::from_str(&operations("grafana.json")).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
        let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
        assert!(expressions.len() >= 10);
        expressions.into_iter().for_each(check);
    }
}
