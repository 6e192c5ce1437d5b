//! The table itself.

use super::super::scope::Scope::{
    AdminAll, AnalyticsRead, ConfigWrite, PoseRead, StreamSubscribe, SystemRead, ZoneWrite,
};
use super::{Needs, Operation, What};

const POSES: Needs = Needs::All(&[PoseRead]);
const SUMS: Needs = Needs::All(&[AnalyticsRead]);
const SYSTEM: Needs = Needs::All(&[SystemRead]);
const ZONES: Needs = Needs::All(&[ZoneWrite]);
const CONFIG: Needs = Needs::All(&[ConfigWrite]);
const ADMIN: Needs = Needs::All(&[AdminAll]);
/// Documents, for whoever may change some, and for whoever looks after the system.
const DOCUMENTS: Needs = Needs::Any(&[SystemRead, ConfigWrite, ZoneWrite]);
const PLACES: Needs = Needs::Any(&[PoseRead, AnalyticsRead, SystemRead, ConfigWrite, ZoneWrite]);
const POSES_LIVE: Needs = Needs::All(&[StreamSubscribe, PoseRead]);
const SYSTEM_LIVE: Needs = Needs::All(&[StreamSubscribe, SystemRead]);

const fn http(method: &'static str, path: &'static str, needs: Needs) -> Operation {
    Operation { what: What::Http(method, path), needs, everywhere: false }
}

const fn query(field: &'static str, needs: Needs) -> Operation {
    Operation { what: What::Query(field), needs, everywhere: false }
}

const fn mutation(field: &'static str, needs: Needs) -> Operation {
    Operation { what: What::Mutation(field), needs, everywhere: false }
}

const fn subscription(field: &'static str, needs: Needs) -> Operation {
    Operation { what: What::Subscription(field), needs, everywhere: false }
}

const fn topic(name: &'static str, needs: Needs) -> Operation {
    Operation { what: What::Topic(name), needs, everywhere: false }
}

const fn rpc(method: &'static str, needs: Needs) -> Operation {
    Operation { what: What::Rpc(method), needs, everywhere: false }
}

const fn command(name: &'static str, needs: Needs) -> Operation {
    Operation { what: What::Command(name), needs, everywhere: false }
}

const fn everywhere(operation: Operation) -> Operation {
    Operation { everywhere: true, ..operation }
}

/// All that can be asked for.
pub const OPERATIONS: &[Operation] = &[
    http("GET", "/", Needs::Nothing),
    http("GET", "/assets/{name}", Needs::Nothing),
    http("GET", "/graphiql", Needs::Nothing),
    http("GET", "/graphiql/assets/{name}", Needs::Nothing),
    http("GET", "/docs", Needs::Nothing),
    http("GET", "/redoc", Needs::Nothing),
    http("GET", "/openapi.json", Needs::Nothing),
    http("GET", "/livez", Needs::Nothing),
    http("GET", "/readyz", Needs::Nothing),
    http("GET", "/health", SYSTEM),
    everywhere(http("GET", "/metrics", SYSTEM)),
    http("GET", "/graphql", Needs::Somebody),
    http("POST", "/graphql", Needs::Somebody),
    http("GET", "/graphql/ws", Needs::Own),
    http("GET", "/ws/v1/stream", Needs::Own),
    http("GET", "/api/pose/current", POSES),
    http("GET", "/api/pose/history", POSES),
    http("GET", "/api/pose/persons", POSES),
    http("GET", "/api/pose/persons/{person_id}", POSES),
    http("GET", "/api/pose/zones", POSES),
    http("GET", "/api/pose/zones/{zone_id}/occupancy", POSES),
    http("GET", "/api/sites", PLACES),
    http("GET", "/api/sites/{site_id}", PLACES),
    http("GET", "/api/sites/{site_id}/calibration", SYSTEM),
    http("POST", "/api/sites/{site_id}/calibration/baseline", CONFIG),
    http("GET", "/api/system/status", SYSTEM),
    http("GET", "/api/system/health", SYSTEM),
    http("GET", "/api/system/routers", SYSTEM),
    http("GET", "/api/system/performance", SYSTEM),
    http("GET", "/api/analytics/activity", SUMS),
    http("GET", "/api/analytics/heatmaps", SUMS),
    http("GET", "/api/analytics/reports", SUMS),
    http("POST", "/api/analytics/reports", SUMS),
    http("GET", "/api/analytics/reports/{id}", SUMS),
    http("DELETE", "/api/analytics/reports/{id}", SUMS),
    // Whole frames.
    http("GET", "/api/analytics/export", Needs::All(&[AnalyticsRead, PoseRead])),
    http("GET", "/api/config/{kind}", DOCUMENTS),
    http("GET", "/api/config/{kind}/{id}", DOCUMENTS),
    http("POST", "/api/config/{kind}", CONFIG),
    http("PUT", "/api/config/{kind}/{id}", CONFIG),
    http("DELETE", "/api/config/{kind}/{id}", CONFIG),
    // One kind has a scope of its own.
    http("POST", "/api/config/zones", ZONES),
    http("PUT", "/api/config/zones/{id}", ZONES),
    http("DELETE", "/api/config/zones/{id}", ZONES),
    http("GET", "/api/alerts", SYSTEM),
    http("GET", "/api/alerts/{id}", SYSTEM),
    http("POST", "/api/alerts/{id}/acknowledge", CONFIG),
    http("POST", "/api/alerts/{id}/resolve", CONFIG),
    http("GET", "/api/recordings", POSES),
    http("POST", "/api/recordings", CONFIG),
    http("GET", "/api/recordings/{id}", POSES),
    http("POST", "/api/recordings/{id}/stop", CONFIG),
    http("GET", "/api/recordings/{id}/data", POSES),
    http("DELETE", "/api/recordings/{id}", CONFIG),
    // A webhook hears of every site.
    everywhere(http("GET", "/api/webhooks", CONFIG)),
    everywhere(http("POST", "/api/webhooks", CONFIG)),
    everywhere(http("GET", "/api/webhooks/{id}", CONFIG)),
    everywhere(http("PUT", "/api/webhooks/{id}", CONFIG)),
    everywhere(http("DELETE", "/api/webhooks/{id}", CONFIG)),
    everywhere(http("POST", "/api/webhooks/{id}/secret", CONFIG)),
    everywhere(http("GET", "/api/webhooks/{id}/deliveries", CONFIG)),
    everywhere(http("GET", "/api/webhooks/{id}/dead-letters", CONFIG)),
    everywhere(http("POST", "/api/webhooks/{id}/dead-letters/{number}/redeliver", CONFIG)),
    everywhere(http("GET", "/api/keys", ADMIN)),
    everywhere(http("POST", "/api/keys", ADMIN)),
    everywhere(http("GET", "/api/keys/{id}", ADMIN)),
    everywhere(http("DELETE", "/api/keys/{id}", ADMIN)),
    everywhere(http("GET", "/api/audit", ADMIN)),
    http("POST", "/oauth/token", Needs::Own),
    http("POST", "/oauth/revoke", Needs::Own),
    http("GET", "/oauth/login", Needs::Nothing),
    http("POST", "/oauth/login", Needs::Own),
    query("currentFrame", POSES),
    query("frames", POSES),
    query("person", POSES),
    query("persons", POSES),
    query("events", POSES),
    // Places know how many people are in their zones.
    query("sites", POSES),
    query("site", POSES),
    query("zones", POSES),
    query("recordings", POSES),
    query("recording", POSES),
    query("calibration", SYSTEM),
    query("system", SYSTEM),
    query("links", SYSTEM),
    query("models", SYSTEM),
    query("alerts", SYSTEM),
    query("alert", SYSTEM),
    query("activity", SUMS),
    query("dwell", SUMS),
    query("transitions", SUMS),
    query("heatMap", SUMS),
    query("keptZones", DOCUMENTS),
    query("routers", DOCUMENTS),
    query("alertRules", DOCUMENTS),
    query("templates", DOCUMENTS),
    everywhere(query("auditLog", ADMIN)),
    mutation("createZone", ZONES),
    mutation("updateZone", ZONES),
    mutation("deleteZone", ZONES),
    mutation("createRouter", CONFIG),
    mutation("updateRouter", CONFIG),
    mutation("deleteRouter", CONFIG),
    mutation("createAlertRule", CONFIG),
    mutation("updateAlertRule", CONFIG),
    mutation("deleteAlertRule", CONFIG),
    mutation("createTemplate", CONFIG),
    mutation("updateTemplate", CONFIG),
    mutation("deleteTemplate", CONFIG),
    mutation("calibrateBaseline", CONFIG),
    mutation("startRecording", CONFIG),
    mutation("stopRecording", CONFIG),
    mutation("deleteRecording", CONFIG),
    mutation("acknowledgeAlert", CONFIG),
    mutation("resolveAlert", CONFIG),
    subscription("poseFrames", POSES_LIVE),
    subscription("person", POSES_LIVE),
    subscription("occupancy", POSES_LIVE),
    subscription("events", POSES_LIVE),
    subscription("zoneEvents", POSES_LIVE),
    // The signal itself, from which people could be told.
    subscription("csi", POSES_LIVE),
    subscription("alerts", SYSTEM_LIVE),
    subscription("linkQuality", SYSTEM_LIVE),
    subscription("systemMetrics", SYSTEM_LIVE),
    topic("pose_updates", POSES_LIVE),
    topic("person_tracking", POSES_LIVE),
    topic("zone_events", POSES_LIVE),
    topic("system_alerts", SYSTEM_LIVE),
    rpc("invispose.v1.PoseService/GetCurrentFrame", POSES),
    rpc("invispose.v1.PoseService/WatchFrames", POSES_LIVE),
    rpc("invispose.v1.HistoryService/ListFrames", POSES),
    rpc("invispose.v1.HistoryService/ListActivity", SUMS),
    rpc("invispose.v1.HistoryService/GetHeatMap", SUMS),
    rpc("invispose.v1.EventService/ListEvents", POSES),
    rpc("invispose.v1.EventService/WatchEvents", POSES_LIVE),
    rpc("grpc.health.v1.Health/Check", Needs::Nothing),
    rpc("grpc.health.v1.Health/Watch", Needs::Nothing),
    rpc("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Needs::Nothing),
    rpc("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Needs::Nothing),
    command("zone/configure", ZONES),
    command("system/ping", SYSTEM),
    command("system/status", SYSTEM),
    command("analytics/report", SUMS),
];
