//! What operators' documents may say, by kind.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::store::Kind;

/// An area of a site's floor.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneDocument {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// At least three corners in order, site coordinates in metres.
    #[schema(min_items = 3, max_items = 256)]
    pub polygon_m: Vec<[f32; 2]>,
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
    pub position_m: Option<[f32; 3]>,
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

fn wrong(field: &str, reason: impl Into<String>) -> Wrong {
    Wrong { field: field.to_owned(), reason: reason.into() }
}

/// Members that answers add; a document that comes back with them is taken.
const ADDED: [&str; 5] = ["site_id", "version", "created_at", "updated_at", "links"];
/// Longest text of a document.
const MAX_TEXT: usize = 200;

/// Reads a document of this kind.
pub(crate) fn parse(kind: Kind, bytes: &[u8]) -> Result<Document, Wrong> {
    let mut members: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|e| wrong("body", format!("no JSON object: {e}")))?;
    let id = match members.remove("id") {
        None => None,
        Some(Value::String(id)) if is_id(&id) => Some(id),
        Some(_) => return Err(wrong("id", "1 to 64 letters, digits, - and _ are possible")),
    };
    for name in ADDED {
        members.remove(name);
    }
    let body = Value::Object(members);
    let body = match kind {
        Kind::Zone => {
            let zone: ZoneDocument = typed(body)?;
            text("name", &zone.name)?;
            if !(3..=256).contains(&zone.polygon_m.len()) {
                return Err(wrong("polygon_m", "needs 3 to 256 corners"));
            }
            written(&zone)
        }
        Kind::Router => {
            let router: RouterDocument = typed(body)?;
            text("name", &router.name)?;
            text("device", router.device.as_deref().unwrap_or_default())?;
            text("address", router.address.as_deref().unwrap_or_default())?;
            written(&router)
        }
        Kind::Template => {
            let template: TemplateDocument = typed(body)?;
            text("name", &template.name)?;
            written(&template)
        }
        Kind::AlertRule | Kind::Report => Ok(body),
    }?;
    Ok(Document { id, body })
}

fn is_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&id.len()) && id.chars().all(fits)
}

fn text(field: &str, text: &str) -> Result<(), Wrong> {
    if text.chars().count() > MAX_TEXT {
        return Err(wrong(field, format!("has at most {MAX_TEXT} characters")));
    }
    Ok(())
}

fn typed<T: DeserializeOwned>(body: Value) -> Result<T, Wrong> {
    serde_path_to_error::deserialize(body).map_err(|e| {
        let path = e.path().to_string();
        wrong(if path == "." { "body" } else { &path }, e.inner().to_string())
    })
}

fn written(document: &impl Serialize) -> Result<Value, Wrong> {
    serde_json::to_value(document).map_err(|e| wrong("body", e.to_string()))
}
