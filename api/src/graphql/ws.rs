//! GraphQL over WebSocket: [`graphql-transport-ws`](https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md), and for clients
//! that never moved on its predecessor [`graphql-ws`](https://github.com/apollographql/subscriptions-transport-ws/blob/master/PROTOCOL.md).
//!
//! One task a socket. It asks an operation for its next answer only when the socket has taken the last one: that is
//! what conflates a slow client to the newest frame and keeps it from slowing anybody else.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_graphql::Request;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Transport;
use super::hub::{Answer, Answers};
use crate::ApiState;
use crate::access::Visitor;
use crate::sockets::{Close, Line};

/// The first that the client knows as well is spoken.
const PROTOCOLS: &[&str] = &["graphql-transport-ws", "graphql-ws"];
/// Time for a client to introduce itself.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// As the protocol closes a socket whose client is not let in, or no longer.
const FORBIDDEN: u16 = 4403;

pub(super) async fn upgrade(
    State(transport): State<Transport>,
    visitor: Visitor,
    upgrade: WebSocketUpgrade,
) -> Response {
    let sockets = transport.sockets.clone();
    sockets.open(upgrade, PROTOCOLS, |line| Session::new(line, transport, visitor).run())
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ClientMessage {
    ConnectionInit {
        #[serde(default)]
        payload: Value,
    },
    #[serde(alias = "start")]
    Subscribe {
        id: String,
        payload: Box<Request>,
    },
    #[serde(alias = "stop")]
    Complete {
        id: String,
    },
    Ping {
        #[serde(default)]
        payload: Option<Value>,
    },
    Pong {
        #[serde(default, rename = "payload")]
        _payload: Option<Value>,
    },
    ConnectionTerminate,
}

impl ClientMessage {
    fn kind(&self) -> &'static str {
        match self {
            Self::ConnectionInit { .. } => "connection_init",
            Self::Subscribe { .. } => "subscribe",
            Self::Complete { .. } => "complete",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
            Self::ConnectionTerminate => "connection_terminate",
        }
    }
}

struct Session {
    line: Line,
    transport: Transport,
    visitor: Visitor,
    /// As the client may see it, once they have introduced themselves.
    state: Option<ApiState>,
    /// The predecessor is spoken.
    legacy: bool,
    operations: HashMap<String, Answers>,
    /// Whose turn it is, so that one busy subscription does not starve the others.
    turn: usize,
}

enum Step {
    Received(Option<Message>),
    Answered(String, Option<Arc<Answer>>),
    InitTimeout,
}

impl Session {
    fn new(line: Line, transport: Transport, visitor: Visitor) -> Self {
        let legacy = line.protocol() == PROTOCOLS.last().copied();
        Self { line, transport, visitor, state: None, legacy, operations: HashMap::new(), turn: 0 }
    }

    async fn run(mut self) -> (Line, Result<(), Close>) {
        let end = if self.line.protocol().is_none() {
            Err(Close::new(4406, "Subprotocol not acceptable"))
        } else {
            self.talk().await
        };
        (self.line, end)
    }

    async fn talk(&mut self) -> Result<(), Close> {
        let init = tokio::time::sleep(INIT_TIMEOUT);
        tokio::pin!(init);
        loop {
            let step = tokio::select! {
                biased;
                message = self.line.receive() => Step::Received(message?),
                (id, answer) = next(&mut self.operations, &mut self.turn) => Step::Answered(id, answer),
                () = &mut init, if self.state.is_none() => Step::InitTimeout,
            };
            match step {
                Step::Received(Some(message)) => {
                    if !self.receive(message).await? {
                        return Ok(());
                    }
                }
                Step::Received(None) => return Ok(()),
                Step::Answered(id, Some(answer)) => self.answer(&id, &answer).await?,
                Step::Answered(id, None) => {
                    self.operations.remove(&id);
                    self.line.say(&json!({ "type": "complete", "id": id })).await?;
                }
                Step::InitTimeout => return Err(Close::new(4408, "Connection initialisation timeout")),
            }
        }
    }

    /// `false` once the client has said goodbye.
    async fn receive(&mut self, message: Message) -> Result<bool, Close> {
        let bytes = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(_) => return Err(Close::new(4400, "messages are text")),
            Message::Close(_) => return Ok(false),
            Message::Ping(_) | Message::Pong(_) => return Ok(true),
        };
        let message = serde_json::from_slice(bytes).map_err(|e| {
            self.line.count_received("invalid");
            Close::new(4400, format!("Invalid message: {e}"))
        })?;
        self.line.count_received(ClientMessage::kind(&message));
        match message {
            ClientMessage::ConnectionInit { .. } if self.state.is_some() => {
                return Err(Close::new(4429, "Too many initialisation requests"));
            }
            ClientMessage::ConnectionInit { payload } => {
                let state = enter(&self.visitor, &payload).await?;
                self.line.belongs_to(&state, FORBIDDEN);
                self.state = Some(state);
                self.line.say(&json!({ "type": "connection_ack" })).await?;
            }
            ClientMessage::Ping { payload } => {
                let pong = match payload {
                    Some(payload) => json!({ "type": "pong", "payload": payload }),
                    None => json!({ "type": "pong" }),
                };
                self.line.say(&pong).await?;
            }
            ClientMessage::Pong { .. } => {}
            ClientMessage::Subscribe { id, payload } => self.subscribe(id, *payload).await?,
            ClientMessage::Complete { id } => {
                self.operations.remove(&id);
            }
            ClientMessage::ConnectionTerminate => return Ok(false),
        }
        Ok(true)
    }

    async fn subscribe(&mut self, id: String, request: Request) -> Result<(), Close> {
        let Some(state) = &self.state else {
            return Err(Close::new(4401, "Unauthorized"));
        };
        if self.operations.contains_key(&id) {
            return Err(Close::new(4409, format!("Subscriber for {id} already exists")));
        }
        let limit = self.transport.state.config().subscriptions;
        let refusal = if self.operations.len() >= limit {
            Some(json!({ "message": format!("at most {limit} operations at a time") }))
        } else {
            state.access().charge_stream(state.who()).await.err().map(|e| {
                let code = json!({ "code": "RATE_LIMITED", "retryAfter": e.retry_after });
                json!({ "message": "Rate limit exceeded", "extensions": code })
            })
        };
        if let Some(message) = refusal {
            let payload = if self.legacy { message } else { json!([message]) };
            return self.line.say(&json!({ "type": "error", "id": id, "payload": payload })).await;
        }
        self.operations.insert(id, self.transport.hub.open(state, request));
        Ok(())
    }

    async fn answer(&mut self, id: &str, answer: &Answer) -> Result<(), Close> {
        let kind = match (answer.executed, self.legacy) {
            (true, false) => "next",
            // It ends an operation that was not executed.
            (false, false) => {
                self.operations.remove(id);
                "error"
            }
            (_, true) => "data",
        };
        let id = serde_json::to_string(id).map_err(|e| Close::new(1011, e.to_string()))?;
        let text = &answer.text;
        let message = if self.legacy && !answer.executed {
            format!(r#"{{"type":"{kind}","id":{id},"payload":{{"errors":{text}}}}}"#)
        } else {
            format!(r#"{{"type":"{kind}","id":{id},"payload":{text}}}"#)
        };
        self.line.send_as(kind, message).await
    }
}

/// Credentials in the connection's parameters come before those of the handshake.
async fn enter(visitor: &Visitor, parameters: &Value) -> Result<ApiState, Close> {
    let entered = match token(parameters) {
        Some(token) => visitor.introduce(token).await,
        None => visitor.enter().await.and_then(|state| state.ok_or_else(|| visitor.refuse(None))),
    };
    entered.map_err(|_| Close::new(FORBIDDEN, "Forbidden"))
}

/// A token, under the names that clients give it.
fn token(parameters: &Value) -> Option<&str> {
    let names = ["token", "authToken", "access_token", "authorization", "Authorization"];
    let given = names.into_iter().find_map(|name| parameters.get(name)?.as_str())?;
    let bare = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Some(bare.map_or(given, |(_, token)| token.trim()))
}

/// The next answer of any operation, `None` at its end. Pending while there is no operation.
async fn next(operations: &mut HashMap<String, Answers>, turn: &mut usize) -> (String, Option<Arc<Answer>>) {
    poll_fn(|cx| {
        let count = operations.len();
        let start = turn.checked_rem(count).unwrap_or(0);
        // The order of a map that does not change stays the same: two passes from the one whose turn it is.
        for pass in 0..2 {
            for (place, (id, stream)) in operations.iter_mut().enumerate() {
                let now = if pass == 0 { place >= start } else { place < start };
                if now && let Poll::Ready(answer) = stream.poll_next_unpin(cx) {
                    *turn = place + 1;
                    return Poll::Ready((id.clone(), answer));
                }
            }
        }
        Poll::Pending
    })
    .await
}

/// For the fuzz targets: reads what a client says.
pub(super) fn decode(bytes: &[u8]) {
    match serde_json::from_slice(bytes) {
        Ok(ClientMessage::ConnectionInit { payload }) => drop(token(&payload).map(str::len)),
        Ok(ClientMessage::Subscribe { payload, .. }) => super::decode_request(*payload),
        Ok(message) => drop(message.kind()),
        Err(_) => {}
    }
}
