//! Home Assistant's discovery, against the rules of its documentation:
//! <https://www.home-assistant.io/integrations/mqtt/>, `/integrations/binary_sensor.mqtt/`, `/integrations/sensor.mqtt/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "common/mosquitto.rs"]
mod mosquitto;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{Server, person};
use invispose_api::outputs::mqtt::MqttConfig;
use invispose_api::outputs::{Outputs, OutputsConfig};
use invispose_pipeline::events::{Event, EventKind};
use invispose_pipeline::radio::{Glance, LinkGlance};
use invispose_pipeline::{Layout, LinkId};
use mosquitto::{Heard, Listener, Mosquitto, PATIENCE};
use serde_json::{Map, Value, json};

/// Configuration variables of every MQTT entity.
const COMMON: [&str; 20] = [
    "availability",
    "availability_mode",
    "availability_topic",
    "availability_template",
    "payload_available",
    "payload_not_available",
    "default_entity_id",
    "device",
    "device_class",
    "enabled_by_default",
    "encoding",
    "entity_category",
    "entity_picture",
    "icon",
    "json_attributes_template",
    "json_attributes_topic",
    "name",
    "origin",
    "qos",
    "unique_id",
];
const OF_BINARY_SENSOR: [&str; 7] = [
    "state_topic",
    "value_template",
    "payload_on",
    "payload_off",
    "expire_after",
    "force_update",
    "off_delay",
];
const OF_SENSOR: [&str; 9] = [
    "state_topic",
    "value_template",
    "unit_of_measurement",
    "state_class",
    "suggested_display_precision",
    "options",
    "expire_after",
    "force_update",
    "last_reset_value_template",
];
const OF_DEVICE: [&str; 13] = [
    "configuration_url",
    "connections",
    "hw_version",
    "identifiers",
    "manufacturer",
    "model",
    "model_id",
    "name",
    "serial_number",
    "suggested_area",
    "sw_version",
    "via_device",
    "labels",
];
/// Device classes of binary sensors that are used, with what on means there.
const BINARY_CLASSES: [(&str, &str); 5] = [
    ("presence", "home"),
    ("occupancy", "occupied"),
    ("motion", "motion detected"),
    ("safety", "unsafe"),
    ("connectivity", "connected"),
];

fn members<'a>(value: &'a Value, allowed: &[&[&str]], place: &str) -> &'a Map<String, Value> {
    let members = value.as_object().unwrap_or_else(|| panic!("{place}: no object"));
    for name in members.keys() {
        assert!(allowed.iter().any(|list| list.contains(&name.as_str())), "{place}: {name} is no variable");
    }
    members
}

/// Topics have `<prefix>/<component>/<node_id>/<object_id>/config`, with ids of letters, digits, `_` and `-`.
fn check(topic: &str, config: &Value, prefix: &str) {
    let parts: Vec<&str> = topic.strip_prefix(&format!("{prefix}/")).unwrap().split('/').collect();
    let [component, node, object, "config"] = parts[..] else { panic!("{topic}") };
    for id in [node, object] {
        assert!(
            id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') && !id.is_empty(),
            "{topic}"
        );
    }
    let config_members = match component {
        "binary_sensor" => members(config, &[&COMMON, &OF_BINARY_SENSOR], topic),
        "sensor" => members(config, &[&COMMON, &OF_SENSOR], topic),
        _ => panic!("{topic}: another component"),
    };
    for required in ["state_topic", "unique_id", "name"] {
        assert!(config[required].as_str().is_some_and(|s| !s.is_empty()), "{topic}: {required}");
    }
    assert!(!config["state_topic"].as_str().unwrap().contains(['+', '#']), "{topic}");
    match component {
        "binary_sensor" => {
            let class = config["device_class"].as_str().unwrap();
            assert!(BINARY_CLASSES.iter().any(|(name, _)| *name == class), "{topic}: {class}");
            assert!(matches!(config["entity_category"].as_str(), None | Some("diagnostic")), "{topic}");
        }
        _ => {
            assert!(
                matches!(
                    config["state_class"].as_str(),
                    None | Some("measurement" | "total" | "total_increasing")
                ),
                "{topic}"
            );
            assert!(config_members.get("unit_of_measurement").is_none_or(Value::is_string), "{topic}");
        }
    }
    assert!(
        !config_members.contains_key("availability_topic"),
        "{topic}: availability and availability_topic exclude each other"
    );
    assert!(["all", "any", "latest"].contains(&config["availability_mode"].as_str().unwrap()), "{topic}");
    for place in config["availability"].as_array().unwrap() {
        members(place, &[&["topic", "value_template", "payload_available", "payload_not_available"]], topic);
        assert!(place["topic"].is_string(), "{topic}");
    }
    assert!((0..=2).contains(&config["qos"].as_i64().unwrap()), "{topic}");
    let device = members(&config["device"], &[&OF_DEVICE], topic);
    assert!(
        device.contains_key("identifiers") || device.contains_key("connections"),
        "{topic}: a device needs one"
    );
    let origin = members(&config["origin"], &[&["name", "sw_version", "support_url"]], topic);
    assert!(origin["name"].is_string(), "{topic}: an origin has a name");
}

/// What the few templates that are used make of a payload.
fn render(template: &str, payload: &Value) -> String {
    let inner = template
        .strip_prefix("{{ ")
        .and_then(|t| t.strip_suffix(" }}"))
        .unwrap_or_else(|| panic!("{template}"));
    if let Some((then, rest)) = inner.split_once(" if ") {
        let (condition, otherwise) = rest.split_once(" else ").unwrap();
        let (left, right) = condition.split_once(" == ").unwrap();
        let holds = path(left, payload) == *right.trim_matches('\'');
        return if holds { then } else { otherwise }.trim_matches('\'').to_owned();
    }
    match path(inner, payload) {
        Value::Null => "None".into(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn path(expression: &str, payload: &Value) -> Value {
    let rest = expression.strip_prefix("value_json").unwrap_or_else(|| panic!("{expression}"));
    let steps = rest.replace("['", ".").replace("']", "");
    steps.split('.').skip(1).fold(payload.clone(), |value, step| value[step].clone())
}

/// Values that Home Assistant takes from these payloads, by unique id.
fn values(configs: &BTreeMap<String, Value>, payloads: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for (topic, config) in configs {
        let available = config["availability"].as_array().unwrap().iter().all(|place| {
            let payload = &payloads[place["topic"].as_str().unwrap()];
            let said = render(place["value_template"].as_str().unwrap(), payload);
            assert!(["online", "offline"].contains(&said.as_str()), "{topic}: {said}");
            said == "online"
        });
        let payload = &payloads[config["state_topic"].as_str().unwrap()];
        let value = match available {
            true => render(config["value_template"].as_str().unwrap(), payload),
            false => "unavailable".into(),
        };
        if available {
            match topic.split('/').nth(1).unwrap() {
                "binary_sensor" => {
                    assert!(["ON", "OFF", "None"].contains(&value.as_str()), "{topic}: {value}")
                }
                _ => assert!(value == "None" || value.parse::<f64>().is_ok(), "{topic}: {value}"),
            }
        }
        let object = topic.split('/').nth(3).unwrap();
        values.insert(object.to_owned(), value);
    }
    values
}

/// Listens until the wanted entities are announced; whatever else was said is kept.
fn announced(
    heard: &Listener,
    objects: &[&str],
    configs: &mut BTreeMap<String, Value>,
    payloads: &mut BTreeMap<String, Value>,
) {
    let there = |configs: &BTreeMap<String, Value>, o: &str| {
        configs.keys().any(|t| t.ends_with(&format!("/{o}/config")))
    };
    while !objects.iter().all(|o| there(configs, o)) {
        note(heard, configs, payloads);
    }
}

/// Publishes and listens until it is so.
fn until(
    (heard, configs, payloads): (&Listener, &mut BTreeMap<String, Value>, &mut BTreeMap<String, Value>),
    mut publish: impl FnMut(),
    done: impl Fn(&BTreeMap<String, Value>, &BTreeMap<String, Value>) -> bool,
) {
    let end = Instant::now() + PATIENCE;
    while !done(configs, payloads) {
        assert!(Instant::now() < end, "{configs:?} {payloads:?}");
        publish();
        if let Some(next) = heard.within(Duration::from_millis(50), is_told) {
            keep(next, configs, payloads);
        }
    }
}

fn note(heard: &Listener, configs: &mut BTreeMap<String, Value>, payloads: &mut BTreeMap<String, Value>) {
    keep(heard.find(is_told), configs, payloads);
}

fn is_told(heard: &Heard) -> bool {
    heard.topic.starts_with("homeassistant/")
        || heard.topic.contains("home_assistant")
        || heard.topic.ends_with("system/status")
}

fn keep(next: Heard, configs: &mut BTreeMap<String, Value>, payloads: &mut BTreeMap<String, Value>) {
    assert!(next.retain, "{}", next.topic);
    match (next.topic.starts_with("homeassistant/"), next.payload.is_empty()) {
        (true, true) => {
            configs.remove(&next.topic);
        }
        (true, false) => {
            check(&next.topic, &next.json(), "homeassistant");
            configs.insert(next.topic.clone(), next.json());
        }
        _ => {
            payloads.insert(next.topic.clone(), next.json());
        }
    }
}

async fn start(server: &Server, mqtt: MqttConfig) -> Outputs {
    let config = OutputsConfig { mqtt, falls: true, ..OutputsConfig::default() };
    Outputs::start(&server.state, &config, server.dir.path()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_and_people_appear_and_go() {
    let Some(broker) = Mosquitto::start("") else { return };
    let heard = broker.listen(&[]);
    let mut server = Server::start().await;
    let mqtt = MqttConfig {
        url: broker.url(),
        max_fps: 1000.0,
        prefix: "home/{site}".into(),
        ..MqttConfig::default()
    };
    let outputs = start(&server, mqtt.clone()).await;
    let (mut configs, mut payloads) = (BTreeMap::new(), BTreeMap::new());

    // A frame that no network looked at announces what the signal measures, and nobody.
    let presence_alone = |frame: &mut invispose_pipeline::PoseFrame| {
        frame.provenance.model = None;
        frame.breathing = None;
    };
    server.feeds[0].publish_frame(presence_alone);
    announced(&heard, &["presence", "motion", "motion_level", "links_heard"], &mut configs, &mut payloads);
    server
        .events
        .publish(Event::new(EventKind::RouterConnected, common::now_ns()).at(&"lab".into()).about("aa:bb/1"));
    while configs.len() < 5 {
        note(&heard, &mut configs, &mut payloads);
    }
    while payloads.len() < 3 {
        note(&heard, &mut configs, &mut payloads);
    }
    assert!(
        !configs.keys().any(|t| t.contains("people") || t.contains("fall") || t.contains("breathing")),
        "{configs:?}"
    );
    let seen = values(&configs, &payloads);
    assert_eq!(
        (seen["presence"].as_str(), seen["motion"].as_str(), seen["motion_level"].as_str()),
        ("ON", "ON", "2.5")
    );
    assert_eq!(seen["links_heard"], "100.0");
    let node = seen.keys().find(|k| k.starts_with("node_aa_bb_1")).unwrap().clone();
    assert_eq!(seen[&node], "ON");
    let devices: Vec<&Value> = configs.values().map(|c| &c["device"]).collect();
    assert_eq!(
        devices.iter().filter(|d| d["via_device"].is_string()).count(),
        1,
        "the node belongs to the site"
    );

    // A network that looks brings people, zones and falls; a frame with breathing brings that.
    server.feeds[0].publish_frame(|frame| {
        frame.persons = vec![person(7, 0.9, 1.0, Some(0)), person(8, 0.8, 2.0, Some(0))];
        frame.breathing = Some(invispose_pipeline::pose::Breathing { rate_bpm: 14.5, quality: 0.75 });
    });
    let more = [
        "people",
        "fall",
        "breathing",
        "zone_west_occupancy",
        "zone_west_people",
        "zone_east_occupancy",
        "zone_east_people",
    ];
    announced(&heard, &more, &mut configs, &mut payloads);
    let fallen = Event { person: Some(7), ..Event::new(EventKind::FallDetected, common::now_ns()) };
    server.events.publish(fallen.at(&"lab".into()));
    let state = "home/lab/home_assistant/state";
    // The next frame tells.
    let feed = &mut server.feeds[0];
    let next = || {
        feed.publish_frame(|frame| {
            frame.persons = vec![person(7, 0.9, 1.0, Some(0)), person(8, 0.8, 2.0, Some(0))]
        });
    };
    until((&heard, &mut configs, &mut payloads), next, |_, payloads| payloads[state]["fall"] == "ON");
    let seen = values(&configs, &payloads);
    for (object, value) in [
        ("people", "2"),
        ("zone_west_occupancy", "ON"),
        ("zone_west_people", "2"),
        ("zone_east_occupancy", "OFF"),
        ("zone_east_people", "0"),
        ("fall", "ON"),
    ] {
        assert_eq!(seen[object], value, "{object}");
    }

    // How well links are heard is told once somebody knows.
    let heard_at = |packets_per_s: f64, rssi_dbm: Option<f32>| {
        let layout = Layout { tx: 1, rx: 1, subcarriers: 52 };
        let link = LinkGlance {
            link: LinkId::new("aa:bb/1"),
            layout,
            packets_per_s,
            received: 0.5,
            rssi_dbm,
            center_mhz: None,
            bandwidth_mhz: None,
            amplitude: vec![],
            doppler: vec![],
            delay: None,
            rate_hz: 100.0,
        };
        server.radio.put("lab".into(), Glance { time_ns: common::now_ns(), links: vec![link] });
    };
    heard_at(50.04, None);
    let (rate, signal) = (format!("{node}_packet_rate"), format!("{node}_signal"));
    let is = |object: &str, value: &str| {
        let (object, value) = (object.to_owned(), value.to_owned());
        move |configs: &_, payloads: &_| values(configs, payloads).get(&object) == Some(&value)
    };
    let mut feed = server.feeds.remove(0);
    let mut publish = || {
        feed.publish(vec![]);
    };
    until((&heard, &mut configs, &mut payloads), &mut publish, is(&rate, "50.0"));
    assert!(!values(&configs, &payloads).contains_key(&signal), "no packet said how strong it was");
    heard_at(49.96, Some(-61.25));
    until((&heard, &mut configs, &mut payloads), &mut publish, is(&signal, "-61.3"));
    assert_eq!(values(&configs, &payloads).keys().filter(|o| o.starts_with(&node)).count(), 3);

    // A zone that is made appears, and goes when it is removed, without a new start.
    let of_zone = |configs: &BTreeMap<String, Value>, zone: &str| {
        configs.keys().filter(|t| t.contains(&format!("/zone_{zone}_"))).count()
    };
    let zone = json!({ "id": "north", "polygon_m": [[2.5, 0.0], [5.0, 0.0], [5.0, 4.0]] });
    let json = ("content-type", "application/json");
    let made = server.send("POST", "/api/v1/config/zones", &[json], zone).await;
    assert_eq!(made.status, 201, "{}", made.text());
    until((&heard, &mut configs, &mut payloads), &mut publish, |configs, _| of_zone(configs, "north") == 2);
    let tag = made.header("etag").to_owned();
    let gone = server.send("DELETE", "/api/v1/config/zones/north", &[("if-match", &tag)], Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    until((&heard, &mut configs, &mut payloads), &mut publish, |configs, _| of_zone(configs, "north") == 0);
    assert_eq!(of_zone(&configs, "west"), 2);
    server.feeds.insert(0, feed);

    // Without a word the broker says that nobody measures.
    drop(outputs);
    while payloads["home/system/status"]["status"] != "offline" {
        note(&heard, &mut configs, &mut payloads);
    }
    assert!(values(&configs, &payloads).values().all(|v| v == "unavailable"));

    // In privacy, breathing is taken back and nothing says who is where or how.
    let outputs = start(&server, MqttConfig { private: true, ..mqtt }).await;
    while configs.keys().any(|t| t.contains("breathing")) {
        note(&heard, &mut configs, &mut payloads);
    }
    server.feeds[0].publish_frame(|frame| {
        frame.persons = vec![person(7, 0.9, 1.0, Some(0))];
        frame.breathing = Some(invispose_pipeline::pose::Breathing { rate_bpm: 14.5, quality: 0.75 });
    });
    let occupancy = heard.find(|h| {
        h.topic == "home/lab/pose/zone/west/occupancy"
            && h.json()["person_ids"] == json!([])
            && h.json()["occupancy_count"] == 1
    });
    let occupancy = occupancy.json();
    assert_eq!((&occupancy["occupancy_count"], &occupancy["person_ids"]), (&json!(1), &json!([])));
    server.events.publish(
        Event { person: Some(7), ..Event::new(EventKind::FallRecovered, common::now_ns()) }.at(&"lab".into()),
    );
    let alert = heard
        .find(|h| h.topic == "home/lab/system/alerts/fall" && h.payload.contains("fall_recovered"))
        .json();
    assert!(alert["person_id"].is_null() && alert["details"].is_null(), "{alert}");
    outputs.close().await;
    let rest = broker.listen(&["-t", "home/lab/pose/#", "-t", "home/lab/home_assistant/state", "-t", "end"]);
    broker.publish("end", "x", &[]);
    let mut retained = Vec::new();
    loop {
        let next = rest.find(|_| true);
        if next.topic == "end" {
            break;
        }
        retained.push(next);
    }
    assert!(
        retained.iter().all(|h| !h.topic.contains("pose/current") && !h.payload.contains("14.5")),
        "{retained:?}"
    );
}
