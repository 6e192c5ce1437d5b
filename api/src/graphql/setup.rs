//! What operators set up, as GraphQL objects: read, made, changed and removed. A change names the version that it was made from.

use async_graphql::{
    Context, Enum, ErrorExtensions, ID, InputObject, Json, Object, OutputType, Result, SimpleObject,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::events::Severity;
use super::page;
use super::types::{Vector2, Vector3};
use crate::documents::{self, Document, Wrong};
use crate::query::QueryError;
use crate::setup::SetupError;
use crate::store::{Kind, Resource, StoreError};
use crate::{ApiState, Site, Time};

/// Something that is kept, and its version.
#[derive(SimpleObject)]
#[graphql(
    concrete(name = "KeptZone", params(ZoneSettings)),
    concrete(name = "KeptRouter", params(RouterSettings)),
    concrete(name = "KeptAlertRule", params(AlertRuleSettings)),
    concrete(name = "KeptTemplate", params(TemplateSettings))
)]
struct Kept<T: OutputType> {
    /// Within the site.
    id: ID,
    /// The site.
    site_id: ID,
    /// Counts changes from 1; a change names it.
    version: i32,
    /// When it was made.
    created_at: Time,
    /// When it was changed last.
    updated_at: Time,
    /// What it says.
    settings: T,
}

/// An area of a site's floor.
#[derive(SimpleObject, InputObject, Serialize, Deserialize)]
#[graphql(input_name = "ZoneInput")]
struct ZoneSettings {
    /// For people.
    #[graphql(default)]
    #[serde(default)]
    name: String,
    /// Corners in order, 3 to 256, site coordinates in metres.
    polygon_m: Vec<Vector2>,
    /// More people than this at once are too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_occupancy: Option<u32>,
    /// Staying for longer than this is too long, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_dwell_s: Option<f64>,
    /// When nobody may be there.
    #[graphql(default)]
    #[serde(default)]
    restricted: Vec<Schedule>,
}

/// A daily span of time.
#[derive(SimpleObject, InputObject, Serialize, Deserialize)]
#[graphql(input_name = "ScheduleInput")]
struct Schedule {
    /// Days on which it begins; none named means every day.
    #[graphql(default)]
    #[serde(default)]
    days: Vec<Day>,
    /// When it begins, e.g. `22:00`.
    from: String,
    /// When it ends; at or before `from`: on the next day.
    to: String,
    /// Name in the IANA time zone database, e.g. `Europe/Berlin`.
    #[graphql(default = "UTC")]
    #[serde(default = "utc")]
    time_zone: String,
}

fn utc() -> String {
    "UTC".into()
}

/// A day of the week.
#[derive(Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// An access point or another transmitter of CSI.
#[derive(SimpleObject, InputObject, Serialize, Deserialize)]
#[graphql(input_name = "RouterInput")]
struct RouterSettings {
    /// For people.
    #[graphql(default)]
    #[serde(default)]
    name: String,
    /// What kind of device, e.g. `esp32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// MAC or network address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// Where it stands, site coordinates in metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position_m: Option<Vector3>,
}

/// A rule that raises alerts.
#[derive(SimpleObject, InputObject, Serialize, Deserialize)]
#[graphql(input_name = "AlertRuleInput")]
struct AlertRuleSettings {
    /// For people.
    #[graphql(default)]
    #[serde(default)]
    name: String,
    /// Kinds of events that count, e.g. `person.entered_zone`; not those of alerts.
    on: Vec<String>,
    /// Also events of other sites, and of the system itself.
    #[graphql(default)]
    #[serde(default)]
    all_sites: bool,
    /// Only in this zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone_id: Option<String>,
    /// Only events that matter at least so much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_severity: Option<Severity>,
    /// Only events whose figure is above this: seconds of a stay or on the ground, people, the motion level, or the value that passed
    /// a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    above: Option<f64>,
    /// So many events…
    #[graphql(default = 1)]
    at_least: u32,
    /// …within so many seconds make an alert.
    #[graphql(default = 60.0)]
    within_s: f64,
    /// What there is one alert for at a time.
    #[graphql(default_with = "Each::Subject")]
    each: Each,
    /// Only at these times; none named means always.
    #[graphql(default)]
    #[serde(default)]
    schedule: Vec<Schedule>,
    /// How much the alert matters at first.
    severity: Severity,
    /// An alert that nobody acknowledges for so many seconds matters one step more, up to critical; and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    escalate_after_s: Option<f64>,
    /// Events of these kinds about the same thing end it.
    #[graphql(default)]
    #[serde(default)]
    resolve_on: Vec<String>,
    /// It ends by itself after so many seconds without another event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resolve_after_s: Option<f64>,
}

/// What there is one alert for at a time: further events join it.
#[derive(Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Each {
    /// A site.
    Site,
    /// A zone of a site.
    Zone,
    /// Everything that events tell apart: site, zone, person, and link, source or component.
    Subject,
}

/// A set of settings to start from.
#[derive(SimpleObject, InputObject, Serialize, Deserialize)]
#[graphql(input_name = "TemplateInput")]
struct TemplateSettings {
    /// For people.
    name: String,
    /// What it is for.
    #[graphql(default)]
    #[serde(default)]
    description: String,
    /// The settings, by name.
    settings: Json<Map<String, Value>>,
}

fn kept<T: OutputType + DeserializeOwned>(resource: Resource) -> Result<Kept<T>> {
    Ok(Kept {
        id: resource.id.into(),
        site_id: resource.site.into(),
        version: i32::try_from(resource.version).unwrap_or(i32::MAX),
        created_at: resource.created,
        updated_at: resource.changed,
        settings: serde_json::from_value(resource.body)
            .map_err(|e| QueryError::from(StoreError::from(e)).graphql())?,
    })
}

fn site<'a>(ctx: &Context<'a>, id: Option<&ID>) -> Result<(&'a ApiState, &'a Site)> {
    let state = ctx.data::<ApiState>()?;
    Ok((state, state.site(id.map(|id| id.as_str())).map_err(|e| e.graphql())?))
}

fn failed(code: &'static str, message: impl std::fmt::Display) -> async_graphql::Error {
    async_graphql::Error::new(message.to_string()).extend_with(|_, e| e.set("code", code))
}

fn refused(error: SetupError) -> async_graphql::Error {
    match error {
        SetupError::Taken(_) | SetupError::Many(_) | SetupError::Store(StoreError::Changed) => {
            failed("CONFLICT", error)
        }
        SetupError::Elsewhere => failed("FORBIDDEN", error),
        SetupError::Nowhere => QueryError::Away(error.to_string()).graphql(),
        SetupError::Store(error) => QueryError::from(error).graphql(),
    }
}

/// `polygon_m` as `polygonM`.
fn camel(name: &str) -> String {
    let mut upper = false;
    let letter = |c: char| match (c, std::mem::replace(&mut upper, c == '_')) {
        ('_', _) => None,
        (c, true) => Some(c.to_ascii_uppercase()),
        (c, false) => Some(c),
    };
    name.chars().filter_map(letter).collect()
}

fn document(kind: Kind, id: Option<ID>, settings: &impl Serialize) -> Result<Document> {
    let read = || {
        let mut body = serde_json::to_value(settings).map_err(|e| Wrong::new("settings", e.to_string()))?;
        if let (Value::Object(members), Some(id)) = (&mut body, id) {
            members.insert("id".into(), id.0.into());
        }
        documents::parse(kind, body.to_string().as_bytes())
    };
    read().map_err(|Wrong { field, reason }| {
        let field = camel(&field);
        failed("BAD_ARGUMENT", format!("{field}: {reason}")).extend_with(|_, e| e.set("argument", field))
    })
}

async fn all<T: OutputType + DeserializeOwned>(
    ctx: &Context<'_>,
    kind: Kind,
    site_id: Option<ID>,
    first: i32,
    skip: i32,
) -> Result<Vec<Kept<T>>> {
    let (state, site) = site(ctx, site_id.as_ref())?;
    let limit = page(first).map_err(|e| e.graphql())?;
    let store = state.store().ok_or_else(|| refused(SetupError::Nowhere))?;
    let found = store.resources(kind, &site.config().id, limit, usize::try_from(skip).unwrap_or(0)).await;
    found.map_err(|e| QueryError::from(e).graphql())?.into_iter().map(kept).collect()
}

async fn create<T: OutputType + DeserializeOwned + Serialize>(
    ctx: &Context<'_>,
    kind: Kind,
    site_id: Option<ID>,
    id: Option<ID>,
    settings: T,
) -> Result<Kept<T>> {
    let (state, site) = site(ctx, site_id.as_ref())?;
    let document = document(kind, id, &settings)?;
    kept(state.add(kind, site, document).await.map_err(refused)?)
}

/// The document, if it has this version.
async fn unchanged(state: &ApiState, kind: Kind, site: &Site, id: &ID, version: i32) -> Result<Resource> {
    let store = state.store().ok_or_else(|| refused(SetupError::Nowhere))?;
    let found =
        store.resource(kind, &site.config().id, id).await.map_err(|e| QueryError::from(e).graphql())?;
    let found =
        found.ok_or_else(|| failed("NOT_FOUND", format!("id: there is no {} {:?}", kind.name(), id.0)))?;
    if i64::from(version) != i64::try_from(found.version).unwrap_or(i64::MAX) {
        return Err(failed("CONFLICT", format!("version: it is at {}", found.version)));
    }
    Ok(found)
}

async fn update<T: OutputType + DeserializeOwned + Serialize>(
    ctx: &Context<'_>,
    kind: Kind,
    site_id: Option<ID>,
    (id, version): (ID, i32),
    settings: T,
) -> Result<Kept<T>> {
    let (state, site) = site(ctx, site_id.as_ref())?;
    let document = document(kind, None, &settings)?;
    let old = unchanged(state, kind, site, &id, version).await?;
    kept(state.change(kind, site, &old, document.body).await.map_err(refused)?)
}

async fn delete(ctx: &Context<'_>, kind: Kind, site_id: Option<ID>, (id, version): (ID, i32)) -> Result<ID> {
    let (state, site) = site(ctx, site_id.as_ref())?;
    let old = unchanged(state, kind, site, &id, version).await?;
    state.remove(kind, site, &old).await.map_err(refused)?;
    Ok(id)
}

/// Reading, making, changing and removing documents of one kind.
macro_rules! documents {
    ($reading:ident, $writing:ident, $kind:expr, $settings:ident, $what:literal,
     $all:ident, $create:ident, $update:ident, $delete:ident) => {
        #[doc = concat!("Reading ", $what, "s.")]
        #[derive(Default)]
        pub(crate) struct $reading;

        #[Object]
        impl $reading {
            #[doc = concat!("Every ", $what, " that is kept, by id.")]
            #[graphql(complexity = "1 + page(first).unwrap_or(0) * child_complexity")]
            async fn $all(
                &self,
                ctx: &Context<'_>,
                #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
                #[graphql(desc = "How many, 1..1000.", default = 100)] first: i32,
                #[graphql(desc = "How many to pass over.", default = 0)] skip: i32,
            ) -> Result<Vec<Kept<$settings>>> {
                all(ctx, $kind, site_id, first, skip).await
            }
        }

        #[doc = concat!("Making, changing and removing ", $what, "s.")]
        #[derive(Default)]
        pub(crate) struct $writing;

        #[Object]
        impl $writing {
            #[doc = concat!("A new ", $what, ".")]
            async fn $create(
                &self,
                ctx: &Context<'_>,
                #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
                #[graphql(desc = "One is made where it is left out.")] id: Option<ID>,
                #[graphql(desc = "What it says.")] settings: $settings,
            ) -> Result<Kept<$settings>> {
                create(ctx, $kind, site_id, id, settings).await
            }

            #[doc = concat!("Replaces what a ", $what, " says.")]
            async fn $update(
                &self,
                ctx: &Context<'_>,
                #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
                #[graphql(desc = "Which.")] id: ID,
                #[graphql(desc = "The version that the change was made from.")] version: i32,
                #[graphql(desc = "What it says from now on.")] settings: $settings,
            ) -> Result<Kept<$settings>> {
                update(ctx, $kind, site_id, (id, version), settings).await
            }

            #[doc = concat!("Removes a ", $what, "; its id.")]
            async fn $delete(
                &self,
                ctx: &Context<'_>,
                #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
                #[graphql(desc = "Which.")] id: ID,
                #[graphql(desc = "The version that is to be removed.")] version: i32,
            ) -> Result<ID> {
                delete(ctx, $kind, site_id, (id, version)).await
            }
        }
    };
}

documents!(
    Zones,
    ChangeZones,
    Kind::Zone,
    ZoneSettings,
    "zone",
    kept_zones,
    create_zone,
    update_zone,
    delete_zone
);
documents!(
    Routers,
    ChangeRouters,
    Kind::Router,
    RouterSettings,
    "router",
    routers,
    create_router,
    update_router,
    delete_router
);
documents!(
    Rules,
    ChangeRules,
    Kind::AlertRule,
    AlertRuleSettings,
    "alert rule",
    alert_rules,
    create_alert_rule,
    update_alert_rule,
    delete_alert_rule
);
documents!(
    Templates,
    ChangeTemplates,
    Kind::Template,
    TemplateSettings,
    "template",
    templates,
    create_template,
    update_template,
    delete_template
);
