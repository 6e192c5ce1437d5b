//! Commands that come over MQTT: read, checked, done once, answered.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};

use super::feeder::Feeder;
use super::wire::{self, Broken, Broker, Client, Events, Incoming, LARGEST, Step};
use crate::access::{Denied, Principal, Scope, operations};
use crate::documents::Document;
use crate::outputs::backoff::Backoff;
use crate::outputs::ended;
use crate::outputs::queue::Lane;
use crate::reports::ReportRequest;
use crate::setup::SetupError;
use crate::store::{Kind, StoreError};
use crate::{Time, documents, rest};

/// Commands that wait for their turn; the broker holds back more.
const WAITING: usize = 64;

/// Hears commands.
pub(super) struct Commands {
    pub broker: Broker,
    pub feeder: Feeder,
    pub granted: Arc<[Scope]>,
}

/// Why a command was not done.
#[derive(Debug)]
struct Wrong {
    /// Which member is to blame.
    field: Option<String>,
    reason: String,
}

impl Wrong {
    fn new(reason: impl Into<String>) -> Self {
        Self { field: None, reason: reason.into() }
    }

    fn of(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: Some(field.into()), reason: reason.into() }
    }
}

impl From<documents::Wrong> for Wrong {
    fn from(wrong: documents::Wrong) -> Self {
        Self::of(format!("configuration.{}", wrong.field), wrong.reason)
    }
}

impl From<Denied> for Wrong {
    fn from(denied: Denied) -> Self {
        Self::new(denied.to_string())
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string())
    }
}

/// A command as its topic names it.
enum Command<'a> {
    Zone { site: String, zone: &'a str },
    System(&'a str),
    Analytics(&'a str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ZonePayload {
    #[serde(rename = "command_id")]
    _id: Option<String>,
    configuration: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyPayload {
    #[serde(rename = "command_id")]
    _id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportPayload {
    #[serde(rename = "command_id")]
    _id: Option<String>,
    request: ReportRequest,
}

impl Commands {
    /// Until the process ends.
    pub(super) async fn run(self) {
        let mut wait = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        let mut closing = self.feeder.closing.clone();
        loop {
            let (client, events) = wire::open(&self.broker, false);
            let (heard, to_do) = mpsc::channel(WAITING);
            let (fresh, is_fresh) = watch::channel(0);
            tokio::select! {
                () = self.drive(events, heard, fresh, &mut wait) => {}
                () = self.work(&client, to_do, is_fresh) => {}
                () = ended(&mut closing) => return,
            }
            tokio::time::sleep(wait.next()).await;
        }
    }

    /// Keeps the connection. `fresh` counts sessions that know no subscriptions.
    async fn drive(
        &self,
        mut events: Events,
        heard: mpsc::Sender<Box<Incoming>>,
        fresh: watch::Sender<u64>,
        wait: &mut Backoff,
    ) {
        loop {
            match events.poll().await {
                Ok(Step::Connected { resumed }) => {
                    wait.reset();
                    if !resumed {
                        fresh.send_modify(|n| *n += 1);
                    }
                }
                Ok(Step::Message(message)) => {
                    if heard.send(message).await.is_err() {
                        return;
                    }
                }
                Ok(Step::Other) => {}
                Err(Broken::Ended) => return,
                Err(Broken::ForeignSession) => {
                    if let Err(reason) = wire::end_session(&self.broker).await {
                        tracing::warn!("MQTT commands: {reason}");
                    }
                    return;
                }
                // The publisher's connection tells of the trouble.
                Err(Broken::Lost(reason)) => {
                    tracing::debug!("MQTT commands: {reason}");
                    tokio::time::sleep(wait.next()).await;
                }
            }
        }
    }

    async fn work(
        &self,
        client: &Client,
        mut to_do: mpsc::Receiver<Box<Incoming>>,
        mut fresh: watch::Receiver<u64>,
    ) {
        loop {
            tokio::select! {
                changed = fresh.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if let Err(reason) = client.subscribe(&self.filters()).await {
                        // The session ends, and the next one tries again.
                        return tracing::warn!("MQTT commands: {reason}");
                    }
                }
                message = to_do.recv() => {
                    let Some(message) = message else { return };
                    self.hear(&message).await;
                    client.acknowledge(&message).await;
                }
            }
        }
    }

    fn filters(&self) -> Vec<(String, u8)> {
        let topics = &self.feeder.topics;
        let sites = self.feeder.state.sites().iter().map(|s| &s.config().id);
        let zones = sites.map(|site| (topics.site(site, "command/zone/+/configure"), 2));
        let others = [("command/system/+", 2), ("command/analytics/+", 1)];
        let mut filters: Vec<_> = zones.chain(others.map(|(t, qos)| (topics.system(t), qos))).collect();
        filters.dedup();
        filters
    }

    fn command<'a>(&self, topic: &'a str) -> Option<Command<'a>> {
        let topics = &self.feeder.topics;
        let last = |topic: &'a str, before: &str| {
            topic.strip_prefix(&topics.system(before)).filter(|c| documents::is_id(c))
        };
        if let Some(name) = last(topic, "command/system/") {
            return Some(Command::System(name));
        }
        if let Some(name) = last(topic, "command/analytics/") {
            return Some(Command::Analytics(name));
        }
        let sites = self.feeder.state.sites().iter().map(|s| &s.config().id);
        sites.into_iter().find_map(|site| {
            let zone = topic.strip_prefix(&topics.site(site, "command/zone/"))?.strip_suffix("/configure")?;
            documents::is_id(zone).then(|| Command::Zone { site: site.clone(), zone })
        })
    }

    async fn hear(&self, message: &Incoming) {
        let outbox = &self.feeder.outbox;
        outbox.stats().commands.fetch_add(1, Relaxed);
        let Some(command) = self.command(&message.topic) else {
            return tracing::warn!("MQTT: {:?} names no command", shortened(&message.topic));
        };
        if message.retained {
            // It would be heard again with every new session, whatever has changed meanwhile.
            return tracing::warn!("MQTT: a retained command on {} is passed over", message.topic);
        }
        let (topic, about) = match &command {
            Command::Zone { site, zone } => (
                self.feeder.topics.site(site, &format!("response/zone/{zone}/configure")),
                json!({ "zone_id": zone }),
            ),
            Command::System(name) => {
                (self.feeder.topics.system(&format!("response/system/{name}")), json!({ "command": name }))
            }
            Command::Analytics(name) => {
                (self.feeder.topics.system(&format!("response/analytics/{name}")), json!({ "command": name }))
            }
        };
        let id = command_id(&message.payload);
        let key = id.as_ref().map(|id| format!("{}\n{id}", message.topic));
        if let Some(key) = &key
            && let Ok(Some(body)) = outbox.queue().answer(key).await
            && let Ok(answer) = serde_json::from_str(&body)
        {
            return outbox.keep(Lane::Kept, topic, 1, false, &answer).await;
        }
        let (done, status) = match self.execute(&command, &message.payload).await {
            Ok(more) => (more, "success"),
            Err(wrong) => (json!({ "error": { "field": wrong.field, "detail": wrong.reason } }), "error"),
        };
        let head = json!({ "status": status, "timestamp": Time::now(), "command_id": id });
        let answer = crate::notices::with(crate::notices::with(head, about), done);
        if let Some(key) = &key
            && let Err(error) = outbox.queue().answered(key, &answer.to_string()).await
        {
            tracing::warn!("MQTT: an answer is not remembered: {error}");
        }
        outbox.keep(Lane::Kept, topic, 1, false, &answer).await;
    }

    async fn execute(&self, command: &Command<'_>, payload: &[u8]) -> Result<Value, Wrong> {
        if payload.len() > LARGEST as usize {
            return Err(Wrong::new(format!("a command has at most {LARGEST} bytes")));
        }
        let (name, object) = match command {
            Command::Zone { site, zone } => ("zone/configure".to_owned(), format!("{site} {zone}")),
            Command::System(name) => (format!("system/{name}"), String::new()),
            Command::Analytics(name) => (format!("analytics/{name}"), String::new()),
        };
        let known = operations::of_command(&name);
        let (caller, access) = (Principal::mqtt(&self.granted), self.feeder.state.access());
        if let Some(Err(exceeded)) = access.charge(&caller, 1).await {
            return Err(Wrong::new(format!("Rate limit exceeded; come back in {} s", exceeded.retry_after)));
        }
        // What does not exist is refused as such.
        if let Some(operation) = known
            && let Err(denied) = caller.check(operation)
        {
            access.refused(&caller, None, operation, &object, "not enough permissions");
            return Err(denied.into());
        }
        let done = self.perform(command, payload).await?;
        if let Some(operation) = known.filter(|operation| operation.changes()) {
            access.done(&caller, None, operation, &object).await;
        }
        Ok(done)
    }

    async fn perform(&self, command: &Command<'_>, payload: &[u8]) -> Result<Value, Wrong> {
        match command {
            Command::Zone { site, zone } => self.configure(site, zone, payload).await,
            Command::System(name) => {
                let _: EmptyPayload = read(if payload.is_empty() { b"{}" } else { payload })?;
                match *name {
                    "ping" => Ok(json!({})),
                    "status" => Ok(json!({ "result": self.feeder.tell_status(true) })),
                    name => Err(Wrong::new(format!("there is no command {name:?}; known: ping, status"))),
                }
            }
            Command::Analytics("report") => {
                let ReportPayload { request, .. } = read(payload)?;
                let made = rest::begin_report(&self.feeder.state, request).await;
                let (id, href) = made.map_err(Wrong::new)?;
                Ok(json!({ "report_id": id, "href": href }))
            }
            Command::Analytics(name) => {
                Err(Wrong::new(format!("there is no command {name:?}; known: report")))
            }
        }
    }

    async fn configure(&self, site: &str, zone: &str, payload: &[u8]) -> Result<Value, Wrong> {
        let ZonePayload { configuration, .. } = read(payload)?;
        let state = &self.feeder.state;
        let store = state.store().ok_or_else(|| Wrong::new("this server keeps nothing"))?;
        let place = state.site(Some(site)).map_err(|e| Wrong::new(e.to_string()))?;
        let text = Value::Object(configuration).to_string();
        let Document { id, body } = documents::parse(Kind::Zone, text.as_bytes())?;
        if id.is_some_and(|id| id != zone) {
            return Err(Wrong::of("configuration.id", format!("is {zone:?} in the topic")));
        }
        // Somebody may change it between reading and writing.
        for _ in 0..3 {
            let written = match store.resource(Kind::Zone, site, zone).await? {
                Some(old) if old.body == body => Ok(old),
                Some(old) => state.change(Kind::Zone, place, &old, body.clone()).await,
                None => {
                    let document = Document { id: Some(zone.to_owned()), body: body.clone() };
                    state.add(Kind::Zone, place, document).await
                }
            };
            match written {
                Ok(resource) => return Ok(json!({ "site_id": site, "version": resource.version })),
                Err(SetupError::Taken(_) | SetupError::Store(StoreError::Changed)) => {}
                Err(error) => return Err(Wrong::new(error.to_string())),
            }
        }
        Err(Wrong::new("others change it all the time"))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The `command_id` of a payload that may be anything.
fn command_id(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        command_id: Option<String>,
    }
    if payload.len() > LARGEST as usize {
        return None;
    }
    let head: Head = serde_json::from_slice(payload).ok()?;
    head.command_id.filter(|id| (1..=128).contains(&id.len()))
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Wrong> {
    let mut json = serde_json::Deserializer::from_slice(payload);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| match e.path().to_string() {
        // Not within any member.
        path if path == "." || path == "?" => Wrong::new(e.inner().to_string()),
        path => Wrong::of(path, e.inner().to_string()),
    })?;
    json.end().map_err(|e| Wrong::new(e.to_string()))?;
    Ok(value)
}

/// For the fuzz targets: reads a payload as every command would.
pub(crate) fn decode(payload: &[u8]) {
    command_id(payload);
    let _: Result<EmptyPayload, Wrong> = read(payload);
    let _: Result<ReportPayload, Wrong> = read(payload);
    let Ok(ZonePayload { configuration, .. }) = read(payload) else { return };
    let _ = documents::parse(Kind::Zone, Value::Object(configuration).to_string().as_bytes());
}
