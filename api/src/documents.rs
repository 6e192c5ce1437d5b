//! What operators' documents may say, by kind.

use invispose_pipeline::alerts::{AlertRule, Each};
use invispose_pipeline::events::{EventKind, Severity};
use invispose_pipeline::site::ZoneConfig;
use invispose_pipeline::understanding::{Clock, Schedule};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, Type};

use crate::store::{Kind, Resource, StoreError};

/// An area of a site's floor.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneDocument {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// At least three corners in order, site coordinates in metres.
    #[schema(schema_with = corners)]
    pub polygon_m: Vec<[f32; 2]>,
    /// More people than this at once are too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_occupancy: Option<u32>,
    /// Staying for longer than this is too long, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub max_dwell_s: Option<f64>,
    /// When nobody may be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<ScheduleBody>, max_items = 64)]
    pub restricted: Vec<Schedule>,
}

/// A daily span of time.
#[derive(Debug, ToSchema)]
#[allow(dead_code)]
pub struct ScheduleBody {
    /// Days on which it begins; none named means every day.
    days: Option<Vec<DayBody>>,
    /// When it begins, e.g. `22:00`.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    from: String,
    /// When it ends; at or before `from`: on the next day.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    to: String,
    /// Name in the IANA time zone database, e.g. `Europe/Berlin`; `UTC` where it is left out.
    #[schema(default = "UTC")]
    time_zone: Option<String>,
}

/// A day of the week.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, missing_docs)]
pub enum DayBody {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl ZoneDocument {
    /// The zone that it describes.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn zone(resource: &Resource) -> Result<ZoneConfig, StoreError> {
        let Self { name, polygon_m, max_occupancy, max_dwell_s, restricted } =
            serde_json::from_value(resource.body.clone())?;
        Ok(ZoneConfig { id: resource.id.clone(), name, polygon_m, max_occupancy, max_dwell_s, restricted })
    }

    fn check(&self) -> Result<(), Wrong> {
        text("name", &self.name)?;
        if !(3..=256).contains(&self.polygon_m.len()) {
            return Err(Wrong::new("polygon_m", "needs 3 to 256 corners"));
        }
        if !self.polygon_m.iter().flatten().all(|v| v.is_finite()) {
            return Err(Wrong::new("polygon_m", "a corner is too far away"));
        }
        if self.max_dwell_s.is_some_and(|s| s < 0.0) {
            return Err(Wrong::new("max_dwell_s", "must be at least 0"));
        }
        schedules("restricted", &self.restricted)
    }
}

fn schedules(field: &str, schedules: &[Schedule]) -> Result<(), Wrong> {
    if schedules.len() > 64 {
        return Err(Wrong::new(field, "has at most 64 entries"));
    }
    for (i, schedule) in schedules.iter().enumerate() {
        Clock::new(schedule).map_err(|e| Wrong::new(format!("{field}[{i}].time_zone"), e.to_string()))?;
    }
    Ok(())
}

/// An access point or another transmitter of CSI.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouterDocument {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// What kind of device, e.g. `esp32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// MAC or network address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where it stands, site coordinates in metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = position)]
    pub position_m: Option<[f32; 3]>,
}

/// A rule that raises alerts at its site.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertRuleDocument {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// Kinds of events that count; not those of alerts.
    #[schema(schema_with = event_kinds)]
    pub on: Vec<EventKind>,
    /// Also events of other sites, and of the system itself.
    #[serde(default)]
    pub all_sites: bool,
    /// Only in this zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_id: Option<String>,
    /// Only events that matter at least so much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SeverityBody>)]
    pub min_severity: Option<Severity>,
    /// Only events whose figure is above this: seconds of a stay or on the ground, people, the motion level, or the value
    /// that passed a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// So many events…
    #[serde(default = "one")]
    #[schema(minimum = 1, default = 1)]
    pub at_least: u32,
    /// …within so many seconds make an alert.
    #[serde(default = "minute")]
    #[schema(exclusive_minimum = 0, default = 60)]
    pub within_s: f64,
    /// What there is one alert for at a time.
    #[serde(default)]
    #[schema(value_type = EachBody)]
    pub each: Each,
    /// Only at these times; none named means always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<ScheduleBody>, max_items = 64)]
    pub schedule: Vec<Schedule>,
    /// How much the alert matters at first.
    #[schema(value_type = SeverityBody)]
    pub severity: Severity,
    /// An alert that nobody acknowledges for so many seconds matters one step more, up to critical; and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0)]
    pub escalate_after_s: Option<f64>,
    /// Events of these kinds about the same thing end it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = event_kinds)]
    pub resolve_on: Vec<EventKind>,
    /// It ends by itself after so many seconds without another event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0)]
    pub resolve_after_s: Option<f64>,
}

fn one() -> u32 {
    1
}

fn minute() -> f64 {
    60.0
}

/// So many numbers, none of them farther away than any site is wide.
fn coordinates(count: usize) -> ArrayBuilder {
    let metres = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(-1e6)).maximum(Some(1e6));
    ArrayBuilder::new().items(metres).min_items(Some(count)).max_items(Some(count))
}

fn corners() -> Array {
    ArrayBuilder::new().items(coordinates(2)).min_items(Some(3)).max_items(Some(256)).build()
}

fn position() -> Array {
    coordinates(3).build()
}

fn event_kinds() -> Array {
    let names = EventKind::ALL.iter().filter(|k| !k.is_of_alerts()).map(|k| k.name());
    let name = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
    ArrayBuilder::new().items(name).build()
}

/// How much something matters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, missing_docs)]
pub enum SeverityBody {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

/// What there is one alert for at a time: further events join it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
pub enum EachBody {
    /// A site.
    Site,
    /// A zone of a site.
    Zone,
    /// Everything that events tell apart: site, zone, person, and link, source or component.
    Subject,
}

impl AlertRuleDocument {
    /// The rule that it describes. Its identifier carries the site's, because rules of different sites may be called the same.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn rule(resource: &Resource) -> Result<AlertRule, StoreError> {
        let document: Self = serde_json::from_value(resource.body.clone())?;
        Ok(document.of(&resource.site, &resource.id))
    }

    fn of(self, site: &str, id: &str) -> AlertRule {
        AlertRule {
            id: format!("{site}/{id}"),
            name: self.name,
            on: self.on,
            site: (!self.all_sites).then(|| site.to_owned()),
            zone: self.zone_id,
            min_severity: self.min_severity,
            above: self.above,
            at_least: self.at_least,
            within_s: self.within_s,
            each: self.each,
            schedule: self.schedule,
            severity: self.severity,
            escalate_after_s: self.escalate_after_s,
            resolve_on: self.resolve_on,
            resolve_after_s: self.resolve_after_s,
        }
    }
}

/// A set of settings to start from.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateDocument {
    /// For people.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The settings, by name.
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
}

/// Any of them, with the `id` of a new one.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub enum DocumentBody {
    /// For `zones`.
    Zone(ZoneDocument),
    /// For `routers`.
    Router(RouterDocument),
    /// For `alerts`.
    AlertRule(AlertRuleDocument),
    /// For `templates`.
    Template(TemplateDocument),
}

/// A document as it was sent, checked.
#[derive(Debug)]
pub(crate) struct Document {
    /// Given by the sender, or not.
    pub id: Option<String>,
    /// What it says.
    pub body: Value,
}

/// What is wrong with a document.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// Where, with dots.
    pub field: String,
    /// What.
    pub reason: String,
}

impl Wrong {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// Members that answers add; a document that comes back with them is taken.
const ADDED: [&str; 5] = ["site_id", "version", "created_at", "updated_at", "links"];
/// Longest text of a document.
const MAX_TEXT: usize = 200;

/// Reads a document of this kind.
pub(crate) fn parse(kind: Kind, bytes: &[u8]) -> Result<Document, Wrong> {
    let mut members: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|e| Wrong::new("body", format!("no JSON object: {e}")))?;
    let id = match members.remove("id") {
        None => None,
        Some(Value::String(id)) if is_id(&id) => Some(id),
        Some(_) => return Err(Wrong::new("id", "1 to 64 letters, digits, - and _ are possible")),
    };
    for name in ADDED {
        members.remove(name);
    }
    let body = Value::Object(members);
    let body = match kind {
        Kind::Zone => {
            let zone: ZoneDocument = typed(body)?;
            zone.check()?;
            written(&zone)
        }
        Kind::Router => {
            let router: RouterDocument = typed(body)?;
            text("name", &router.name)?;
            text("device", router.device.as_deref().unwrap_or_default())?;
            text("address", router.address.as_deref().unwrap_or_default())?;
            if router.position_m.iter().flatten().any(|v| !v.is_finite()) {
                return Err(Wrong::new("position_m", "is too far away"));
            }
            written(&router)
        }
        Kind::Template => {
            let template: TemplateDocument = typed(body)?;
            text("name", &template.name)?;
            written(&template)
        }
        Kind::AlertRule => {
            let rule: AlertRuleDocument = typed(body)?;
            text("name", &rule.name)?;
            schedules("schedule", &rule.schedule)?;
            let body = written(&rule);
            rule.of("", "").check().map_err(|reason| Wrong::new("body", reason))?;
            body
        }
        Kind::Report | Kind::Webhook | Kind::ApiKey => Ok(body),
    }?;
    Ok(Document { id, body })
}

pub(crate) fn is_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&id.len()) && id.chars().all(fits)
}

fn text(field: &str, text: &str) -> Result<(), Wrong> {
    if text.chars().count() > MAX_TEXT {
        return Err(Wrong::new(field, format!("has at most {MAX_TEXT} characters")));
    }
    Ok(())
}

/// The value as `T`, with errors that name the member.
pub(crate) fn typed<T: DeserializeOwned>(body: Value) -> Result<T, Wrong> {
    serde_path_to_error::deserialize(body).map_err(|e| {
        let path = e.path().to_string();
        Wrong::new(if path == "." { "body" } else { &path }, e.inner().to_string())
    })
}

fn written(document: &impl Serialize) -> Result<Value, Wrong> {
    serde_json::to_value(document).map_err(|e| Wrong::new("body", e.to_string()))
}

/// For the fuzz targets: reads a document of each kind. What is kept of it reads as itself again.
pub(crate) fn decode(bytes: &[u8]) {
    for kind in [Kind::Zone, Kind::Router, Kind::Template, Kind::AlertRule] {
        if let Ok(Document { body, .. }) = parse(kind, bytes) {
            let again = parse(kind, body.to_string().as_bytes());
            assert!(again.is_ok(), "{kind:?}: {body}");
        }
    }
}
