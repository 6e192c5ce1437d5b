//! `/ws/v1/stream`: topics over a WebSocket, as the contract says.
//!
//! One task a socket. It asks for the next frame only when the socket has taken the last one: that is what conflates a
//! slow client to the newest frame and keeps it from slowing anybody else.

mod messages;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use invispose_pipeline::events::{Delivery, Event, Subscription};
use serde_json::{Value, json};

use self::messages::{
    ClientMessage, Filters, Introduction, Topic, event_message, person_updates, pose_update,
};
use crate::access::{Visitor, operations};
use crate::feed::Feed;
use crate::metrics::Present;
use crate::query::{DEFAULT_MIN_CONFIDENCE, Filter, MAX_PAGE, Page, QueryError, Take, TimeRange};
use crate::sockets::{Close, Line, Sockets};
use crate::view::FrameView;
use crate::{ApiState, Time};

pub(crate) fn routes(sockets: Sockets) -> Router {
    Router::new().route("/ws/v1/stream", get(upgrade)).with_state(sockets)
}

/// As the contract closes a socket whose client is not let in, or no longer.
const REFUSED: u16 = 4001;
/// Time for a client to say who they are.
const INTRODUCTION: Duration = Duration::from_secs(10);

async fn upgrade(State(sockets): State<Sockets>, visitor: Visitor, upgrade: WebSocketUpgrade) -> Response {
    sockets.open(upgrade, &[], async move |mut line| {
        let end = talk(&mut line, &visitor).await;
        (line, end)
    })
}

async fn talk(line: &mut Line, visitor: &Visitor) -> Result<(), Close> {
    let state = match visitor.enter().await {
        Ok(Some(state)) => Ok(state),
        Ok(None) => match introduced(line).await? {
            Some(token) => visitor.introduce(&token).await,
            None => Err(visitor.refuse(None)),
        },
        Err(refused) => Err(refused),
    };
    let state = state.map_err(|_| Close::new(REFUSED, "Authentication failed"))?;
    line.belongs_to(&state, REFUSED);
    Session::new(line, state).talk().await
}

/// The token of a client's first message, where there is one.
async fn introduced(line: &mut Line) -> Result<Option<String>, Close> {
    let Ok(message) = tokio::time::timeout(INTRODUCTION, line.receive()).await else { return Ok(None) };
    let text = match message? {
        Some(Message::Text(text)) => text,
        _ => return Ok(None),
    };
    Ok(serde_json::from_str(&text).ok().map(|Introduction::Authenticate { token }| token))
}

/// What a subscription to frames is fed with.
struct Frames {
    feed: Feed,
    /// Frames that the client missed while it was away.
    backlog: VecDeque<FrameView>,
}

struct Session<'a> {
    line: &'a mut Line,
    state: ApiState,
    events: Subscription,
    poses: Option<Frames>,
    persons: Option<Frames>,
    zones: Option<Filters>,
    alerts: Option<Filters>,
    max_fps: Option<f64>,
    /// Topics that are subscribed to.
    fed: BTreeMap<Topic, Present>,
}

enum Step {
    Received(Option<Message>),
    Pose(FrameView),
    Person(FrameView),
    Happened(Delivery),
}

impl<'a> Session<'a> {
    fn new(line: &'a mut Line, state: ApiState) -> Self {
        let events = state.events().subscribe();
        let fed = BTreeMap::new();
        Self {
            line,
            state,
            events,
            poses: None,
            persons: None,
            zones: None,
            alerts: None,
            max_fps: None,
            fed,
        }
    }

    async fn talk(mut self) -> Result<(), Close> {
        let client = uuid::Uuid::now_v7().to_string();
        let now = Time::now();
        self.line.say(
            &json!({ "type": "connection", "status": "connected", "client_id": client, "server_time": now }),
        )
        .await?;
        loop {
            let listens = self.zones.is_some() || self.alerts.is_some();
            let step = tokio::select! {
                biased;
                message = self.line.receive() => Step::Received(message?),
                event = next_event(&mut self.events) => Step::Happened(event),
                frame = next_frame(&mut self.poses) => Step::Pose(frame),
                frame = next_frame(&mut self.persons) => Step::Person(frame),
            };
            match step {
                Step::Received(Some(message)) => {
                    if !self.receive(message).await? {
                        return Ok(());
                    }
                }
                Step::Received(None) => return Ok(()),
                Step::Pose(frame) => self.line.say(&pose_update(&frame)).await?,
                Step::Person(frame) => {
                    for update in person_updates(&frame) {
                        self.line.say(&update).await?;
                    }
                }
                Step::Happened(Delivery::Event(event)) => self.happened(&event).await?,
                Step::Happened(Delivery::Missed(count)) if listens => {
                    self.line.say(&json!({ "type": "missed", "count": count })).await?;
                }
                Step::Happened(Delivery::Missed(_)) => {}
            }
        }
    }

    async fn happened(&mut self, event: &Event) -> Result<(), Close> {
        if !self.state.sees(event.site.as_deref()) {
            return Ok(());
        }
        let wants = |(topic, filters): (Topic, &Option<Filters>)| {
            let wanted = filters.as_ref().is_some_and(|f| topic.wants(event.kind) && f.let_through(event));
            wanted.then_some(topic)
        };
        // Alerts about a zone belong to both topics and are said once.
        let topics = [(Topic::ZoneEvents, &self.zones), (Topic::SystemAlerts, &self.alerts)];
        let topic = topics.into_iter().find_map(wants);
        match topic {
            Some(topic) => self.line.say(&event_message(topic, event)).await,
            None => Ok(()),
        }
    }

    /// `false` once the client has closed.
    async fn receive(&mut self, message: Message) -> Result<bool, Close> {
        let bytes = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return Ok(false),
            Message::Ping(_) | Message::Pong(_) => return Ok(true),
        };
        let counted = self.state.access().charge_stream(self.state.who()).await;
        let answer = match (counted, serde_json::from_slice::<ClientMessage>(bytes)) {
            (Ok(()), Ok(message)) => {
                self.line.count_received(message.kind());
                self.answer(message).await
            }
            (Ok(()), Err(e)) => {
                self.line.count_received("invalid");
                Err(("bad_message", e.to_string()))
            }
            (Err(exceeded), _) => {
                self.line.count_received("limited");
                let words = format!("Rate limit exceeded; come back in {} s", exceeded.retry_after);
                Err(("rate_limited", words))
            }
        };
        match answer {
            Ok(answer) => self.line.say(&answer).await?,
            Err((code, message)) => {
                self.line.say(&json!({ "type": "error", "code": code, "message": message })).await?;
            }
        }
        Ok(true)
    }

    async fn answer(&mut self, message: ClientMessage) -> Result<Value, (&'static str, String)> {
        match message {
            ClientMessage::Subscribe { topic, filters, last_frame_id } => {
                let topic = topic.parse::<Topic>().map_err(|e| ("unknown_topic", e))?;
                self.permitted(topic)?;
                let set = filters.clone().unwrap_or_default();
                self.subscribe(topic, set, last_frame_id).await.map_err(|e| ("bad_filter", words(&e)))?;
                self.fed.insert(topic, self.line.traffic().topic());
                Ok(
                    json!({ "type": "subscription", "topic": topic, "status": "subscribed", "filters": filters }),
                )
            }
            ClientMessage::Unsubscribe { topic } => {
                let topic = topic.parse::<Topic>().map_err(|e| ("unknown_topic", e))?;
                self.fed.remove(&topic);
                match topic {
                    Topic::PoseUpdates => self.poses = None,
                    Topic::PersonTracking => self.persons = None,
                    Topic::ZoneEvents => self.zones = None,
                    Topic::SystemAlerts => self.alerts = None,
                }
                Ok(json!({ "type": "subscription", "topic": topic, "status": "unsubscribed" }))
            }
            ClientMessage::Ping => Ok(json!({ "type": "pong", "timestamp": Time::now() })),
            ClientMessage::Configure { config } => {
                if let Some(fps) = config.max_fps {
                    for frames in [&mut self.poses, &mut self.persons].into_iter().flatten() {
                        frames.feed.limit(fps).map_err(|e| ("bad_config", words(&e)))?;
                    }
                    if self.poses.is_none() && self.persons.is_none() {
                        crate::feed::interval(Some(fps)).map_err(|e| ("bad_config", words(&e)))?;
                    }
                    self.max_fps = Some(fps);
                }
                Ok(
                    json!({ "type": "configuration", "status": "applied", "config": { "max_fps": self.max_fps } }),
                )
            }
        }
    }

    fn permitted(&self, topic: Topic) -> Result<(), (&'static str, String)> {
        let (operation, state) = (operations::of_topic(topic.name()), &self.state);
        state.who().check(operation).map_err(|denied| {
            state.access().refused(state.who(), state.address(), operation, "", "not enough permissions");
            ("forbidden", denied.to_string())
        })
    }

    async fn subscribe(
        &mut self,
        topic: Topic,
        filters: Filters,
        after: Option<u64>,
    ) -> Result<(), QueryError> {
        let filter = Filter {
            site: filters.site_id.clone(),
            zone: filters.zone_id.clone(),
            min_confidence: filters.min_confidence.unwrap_or(DEFAULT_MIN_CONFIDENCE),
            person: filters.person_id.clone(),
        };
        // Also where the topic takes no frames: zones and sites are checked.
        let selection = self.state.select(&filter)?;
        match topic {
            Topic::ZoneEvents => self.zones = Some(filters),
            Topic::SystemAlerts => self.alerts = Some(filters),
            Topic::PoseUpdates | Topic::PersonTracking => {
                let mut backlog = VecDeque::new();
                let mut feed = Feed::new(selection.clone(), self.max_fps)?;
                // Ids of another data directory mean nothing here.
                if let Some(after) = after.filter(|id| *id <= selection.site().ring().head()) {
                    let page = Page { after: Some(after), before: None, skip: 0, take: Take::Last(MAX_PAGE) };
                    backlog.extend(selection.history(TimeRange::default(), page).await?.frames);
                    feed = feed.after(backlog.back().map_or(after, |f| f.frame().frame_id));
                }
                let frames = Some(Frames { feed, backlog });
                match topic {
                    Topic::PoseUpdates => self.poses = frames,
                    _ => self.persons = frames,
                }
            }
        }
        Ok(())
    }
}

fn words(error: &QueryError) -> String {
    match error.field() {
        Some(field) => format!("{}: {error}", field.rest()),
        None => error.to_string(),
    }
}

/// Pending where there is no subscription, or nobody writes any more.
async fn next_frame(frames: &mut Option<Frames>) -> FrameView {
    let Some(frames) = frames else { return std::future::pending().await };
    if let Some(frame) = frames.backlog.pop_front() {
        return frame;
    }
    match frames.feed.next().await {
        Some(frame) => frame,
        None => std::future::pending().await,
    }
}

/// Pending once the bus is closed.
async fn next_event(events: &mut Subscription) -> Delivery {
    match events.next().await {
        Some(delivery) => delivery,
        None => std::future::pending().await,
    }
}

/// For the fuzz targets: reads what a client says.
pub(crate) fn decode(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Introduction>(bytes);
    let (topic, filters) = match serde_json::from_slice(bytes) {
        Ok(ClientMessage::Subscribe { topic, filters, .. }) => (topic, filters),
        Ok(ClientMessage::Unsubscribe { topic }) => (topic, None),
        Ok(ClientMessage::Configure { config }) => return drop(crate::feed::interval(config.max_fps)),
        Ok(ClientMessage::Ping) | Err(_) => return,
    };
    if let Ok(known) = topic.parse::<Topic>() {
        assert_eq!(known.name(), topic);
    }
    let event = Event::new(invispose_pipeline::events::EventKind::SystemError, 0);
    filters.unwrap_or_default().let_through(&event);
}
