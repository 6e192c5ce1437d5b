//! What Home Assistant is told once about each entity: its MQTT discovery, <https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery>.

use serde_json::{Map, Value, json};

/// An entity of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entity {
    /// Somebody is at the site, by the signal.
    Presence,
    /// Something moves.
    Motion,
    /// How much.
    MotionLevel,
    /// Share of the links that are heard.
    Coverage,
    /// How many people are at the site, by the poses.
    People,
    /// Somebody lies on the ground.
    Fall,
    /// Breaths a minute of somebody who keeps still.
    Breathing,
    /// Somebody is in the zone of this id and name.
    ZoneOccupancy(String, String),
    /// How many.
    ZonePeople(String, String),
    /// The link is heard.
    Node(String),
    /// How many of its packets are heard.
    NodeRate(String),
    /// How strongly.
    NodeSignal(String),
}

/// What all entities of a site share.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// Of this process, e.g. `invispose-1a2b3c4d`.
    pub instance: String,
    pub site: String,
    pub name: String,
    /// `system/status`.
    pub status_topic: String,
    /// Of the site's values.
    pub state_topic: String,
    /// Of the nodes' values, without the node.
    pub node_topic: String,
}

/// Letters that discovery topics may have.
pub(super) fn plain(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.chars().all(fits) && !name.is_empty() {
        return name.to_owned();
    }
    let letters: String = name.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    format!("{letters}_{:08x}", crc32fast::hash(name.as_bytes()))
}

impl Entity {
    /// `binary_sensor` or `sensor`.
    fn component(&self) -> &'static str {
        match self {
            Self::Presence | Self::Motion | Self::Fall | Self::ZoneOccupancy(..) | Self::Node(_) => {
                "binary_sensor"
            }
            Self::MotionLevel
            | Self::Coverage
            | Self::People
            | Self::Breathing
            | Self::ZonePeople(..)
            | Self::NodeRate(_)
            | Self::NodeSignal(_) => "sensor",
        }
    }

    fn object(&self) -> String {
        match self {
            Self::Presence => "presence".into(),
            Self::Motion => "motion".into(),
            Self::MotionLevel => "motion_level".into(),
            Self::Coverage => "links_heard".into(),
            Self::People => "people".into(),
            Self::Fall => "fall".into(),
            Self::Breathing => "breathing".into(),
            Self::ZoneOccupancy(id, _) => format!("zone_{}_occupancy", plain(id)),
            Self::ZonePeople(id, _) => format!("zone_{}_people", plain(id)),
            Self::Node(link) => format!("node_{}", plain(link)),
            Self::NodeRate(link) => format!("node_{}_packet_rate", plain(link)),
            Self::NodeSignal(link) => format!("node_{}_signal", plain(link)),
        }
    }

    /// The node that it belongs to; `None`: the site.
    fn link(&self) -> Option<&str> {
        match self {
            Self::Node(link) | Self::NodeRate(link) | Self::NodeSignal(link) => Some(link),
            _ => None,
        }
    }

    /// Says who does what: not in privacy.
    pub(super) fn is_biometric(&self) -> bool {
        matches!(self, Self::Breathing)
    }

    /// What is its own: name, class, unit, and where its value stands.
    fn members(&self) -> Value {
        let measured = |name: &str, unit: Option<&str>, icon: &str, template: String| {
            let mut members = json!({
                "name": name, "state_class": "measurement", "icon": icon, "value_template": template,
            });
            if let (Some(unit), Value::Object(m)) = (unit, &mut members) {
                m.insert("unit_of_measurement".into(), unit.into());
            }
            members
        };
        let is = |name: &str, class: &str, template: String| json!({ "name": name, "device_class": class, "value_template": template });
        let at = |member: &str| format!("{{{{ value_json.{member} }}}}");
        let of_zone = |id: &str, member: &str| format!("{{{{ value_json.zones['{id}'].{member} }}}}");
        let named = |id: &str, name: &str| if name.is_empty() { id.to_owned() } else { name.to_owned() };
        match self {
            Self::Presence => is("Presence", "presence", at("presence")),
            Self::Motion => is("Motion", "motion", at("motion")),
            Self::Fall => is("Fall", "safety", at("fall")),
            Self::MotionLevel => measured("Motion level", None, "mdi:sine-wave", at("motion_level")),
            Self::Coverage => measured("Links heard", Some("%"), "mdi:signal", at("links_heard")),
            Self::People => measured("People", Some("people"), "mdi:account-group", at("people")),
            Self::Breathing => measured("Breathing rate", Some("br/min"), "mdi:lungs", at("breathing")),
            Self::ZoneOccupancy(id, name) => {
                is(&format!("{} occupancy", named(id, name)), "occupancy", of_zone(id, "occupancy"))
            }
            Self::ZonePeople(id, name) => {
                let name = format!("{} people", named(id, name));
                measured(&name, Some("people"), "mdi:account-group", of_zone(id, "people"))
            }
            Self::Node(_) => is("Link", "connectivity", at("link")),
            Self::NodeRate(_) => {
                measured("Packet rate", Some("packets/s"), "mdi:access-point", at("packets_per_s"))
            }
            Self::NodeSignal(_) => {
                let signal = measured("Signal", Some("dBm"), "mdi:wifi", at("rssi_dbm"));
                crate::notices::with(signal, json!({ "device_class": "signal_strength" }))
            }
        }
    }

    /// A figure about the radio, not about the room.
    fn is_diagnostic(&self) -> bool {
        self.link().is_some() || matches!(self, Self::Coverage | Self::MotionLevel)
    }
}

impl Device {
    fn node(&self) -> String {
        format!("{}_{}", plain(&self.instance), plain(&self.site))
    }

    /// Behind the discovery prefix: what all of the site's topics begin with, each behind its component.
    pub(super) fn topic(&self, prefix: &str, entity: &Entity) -> String {
        format!("{prefix}/{}/{}/{}/config", entity.component(), self.node(), entity.object())
    }

    /// Was this topic made by a device of this instance and site?
    pub(super) fn owns(&self, topic: &str) -> bool {
        topic.split('/').rev().nth(2) == Some(self.node().as_str())
    }

    /// Is it a zone's?
    pub(super) fn is_zone(topic: &str) -> bool {
        topic.split('/').rev().nth(1).is_some_and(|object| object.starts_with("zone_"))
    }

    /// Is it a node's?
    pub(super) fn is_node(topic: &str) -> bool {
        topic.split('/').rev().nth(1).is_some_and(|object| object.starts_with("node_"))
    }

    pub(super) fn node_state_topic(&self, link: &str) -> String {
        format!("{}/{}", self.node_topic, plain(link))
    }

    /// The payload of the discovery topic.
    pub(super) fn config(&self, entity: &Entity) -> Value {
        let site = format!("{}_{}", self.instance, self.site);
        let version = env!("CARGO_PKG_VERSION");
        let online = "{{ 'offline' if value_json.status == 'offline' else 'online' }}";
        let mut availability = vec![json!({ "topic": self.status_topic, "value_template": online })];
        let (state_topic, device) = match entity.link() {
            Some(link) => (
                self.node_state_topic(link),
                json!({
                    "identifiers": [format!("{site}_{link}")], "name": format!("{} link {link}", self.name),
                    "manufacturer": "Invispose", "model": "Radio link", "sw_version": version, "via_device": site,
                }),
            ),
            None => {
                let fresh = "{{ value_json.available }}";
                availability.push(json!({ "topic": self.state_topic, "value_template": fresh }));
                (
                    self.state_topic.clone(),
                    json!({
                        "identifiers": [site], "name": self.name, "manufacturer": "Invispose",
                        "model": "Site sensed by WiFi", "sw_version": version,
                    }),
                )
            }
        };
        let mut config = Map::new();
        config.insert("unique_id".into(), format!("{}_{}", self.node(), entity.object()).into());
        config.insert("state_topic".into(), state_topic.into());
        config.insert("availability".into(), availability.into());
        config.insert("availability_mode".into(), "all".into());
        config.insert("qos".into(), 1.into());
        config.insert("device".into(), device);
        config.insert("origin".into(), json!({ "name": "Invispose", "sw_version": version }));
        if entity.is_diagnostic() {
            config.insert("entity_category".into(), "diagnostic".into());
        }
        crate::notices::with(Value::Object(config), entity.members())
    }
}
