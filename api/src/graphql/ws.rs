//! graphql-transport-ws: <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>.
//!
//! One task a socket. It asks a subscription for its next answer only when the socket has taken the last one: that is
//! what conflates a slow client to the newest frame and keeps it from slowing anybody else.

use std::collections::HashMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use async_graphql::{Request, Response as Answer};
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Transport, unexecuted};
use crate::problem::Problem;

const PROTOCOL: &str = "graphql-transport-ws";
/// Time for a client to introduce itself.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn upgrade(State(transport): State<Transport>, upgrade: WebSocketUpgrade) -> Response {
    let limit = transport.state.config().body_limit;
    let Ok(slot) = transport.sockets.clone().try_acquire_owned() else {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many WebSockets are open").into_response();
    };
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(limit)
        .max_frame_size(limit)
        .on_upgrade(move |socket| async move {
            Session::new(socket, transport).run().await;
            drop(slot);
        })
        .into_response()
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ClientMessage {
    ConnectionInit {
        #[serde(default, rename = "payload")]
        _payload: Value,
    },
    Subscribe {
        id: String,
        payload: Box<Request>,
    },
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
}

/// Why a session ends, as a WebSocket close code and reason.
struct Close(u16, String);

impl Close {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        Self(code, reason.into())
    }
}

struct Session {
    socket: WebSocket,
    transport: Transport,
    operations: HashMap<String, BoxStream<'static, Answer>>,
    acknowledged: bool,
    /// Whose turn it is, so that one busy subscription does not starve the others.
    turn: usize,
}

enum Step {
    Received(Option<Result<Message, axum::Error>>),
    Answered(String, Option<Answer>),
    InitTimeout,
    Closing,
}

impl Session {
    fn new(socket: WebSocket, transport: Transport) -> Self {
        Self { socket, transport, operations: HashMap::new(), acknowledged: false, turn: 0 }
    }

    async fn run(mut self) {
        let end = if self.socket.protocol().is_none() {
            Err(Close::new(4406, "Subprotocol not acceptable"))
        } else {
            self.talk().await
        };
        if let Err(Close(code, reason)) = end {
            // The reason of a close frame holds at most 123 bytes.
            let cut =
                reason.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|&end| end <= 123).last();
            let reason = reason.get(..cut.unwrap_or(0)).unwrap_or_default().into();
            let _ = self.send(Message::Close(Some(CloseFrame { code, reason }))).await;
        }
    }

    async fn talk(&mut self) -> Result<(), Close> {
        let init = tokio::time::sleep(INIT_TIMEOUT);
        tokio::pin!(init);
        let mut closing = self.transport.closing.clone();
        loop {
            let step = tokio::select! {
                biased;
                _ = closing.wait_for(|&closing| closing) => Step::Closing,
                message = self.socket.recv() => Step::Received(message),
                (id, answer) = next(&mut self.operations, &mut self.turn) => Step::Answered(id, answer),
                () = &mut init, if !self.acknowledged => Step::InitTimeout,
            };
            match step {
                Step::Received(Some(Ok(message))) => {
                    if !self.receive(message).await? {
                        return Ok(());
                    }
                }
                Step::Received(Some(Err(_)) | None) => return Ok(()),
                Step::Answered(id, Some(answer)) => self.answer(&id, &answer).await?,
                Step::Answered(id, None) => {
                    self.operations.remove(&id);
                    self.say(json!({ "type": "complete", "id": id })).await?;
                }
                Step::InitTimeout => return Err(Close::new(4408, "Connection initialisation timeout")),
                Step::Closing => return Err(Close::new(1001, "the server stops")),
            }
        }
    }

    /// `false` once the client has closed.
    async fn receive(&mut self, message: Message) -> Result<bool, Close> {
        let bytes = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(_) => return Err(Close::new(4400, "messages are text")),
            Message::Close(_) => return Ok(false),
            Message::Ping(_) | Message::Pong(_) => return Ok(true),
        };
        let message =
            serde_json::from_slice(bytes).map_err(|e| Close::new(4400, format!("Invalid message: {e}")))?;
        match message {
            ClientMessage::ConnectionInit { .. } if self.acknowledged => {
                return Err(Close::new(4429, "Too many initialisation requests"));
            }
            ClientMessage::ConnectionInit { .. } => {
                self.acknowledged = true;
                self.say(json!({ "type": "connection_ack" })).await?;
            }
            ClientMessage::Ping { payload } => {
                let pong = match payload {
                    Some(payload) => json!({ "type": "pong", "payload": payload }),
                    None => json!({ "type": "pong" }),
                };
                self.say(pong).await?;
            }
            ClientMessage::Pong { .. } => {}
            ClientMessage::Subscribe { id, payload } => self.subscribe(id, *payload).await?,
            ClientMessage::Complete { id } => {
                self.operations.remove(&id);
            }
        }
        Ok(true)
    }

    async fn subscribe(&mut self, id: String, request: Request) -> Result<(), Close> {
        if !self.acknowledged {
            return Err(Close::new(4401, "Unauthorized"));
        }
        if self.operations.contains_key(&id) {
            return Err(Close::new(4409, format!("Subscriber for {id} already exists")));
        }
        let limit = self.transport.state.config().subscriptions;
        if self.operations.len() >= limit {
            let message = format!("at most {limit} operations at a time");
            return self.say(json!({ "type": "error", "id": id, "payload": [{ "message": message }] })).await;
        }
        self.operations.insert(id, self.transport.schema.execute_stream(request));
        Ok(())
    }

    /// `error` ends an operation that was not executed.
    async fn answer(&mut self, id: &str, answer: &Answer) -> Result<(), Close> {
        if unexecuted(answer) {
            self.operations.remove(id);
            return self.say(json!({ "type": "error", "id": id, "payload": answer.errors })).await;
        }
        #[derive(serde::Serialize)]
        struct Next<'a> {
            #[serde(rename = "type")]
            kind: &'static str,
            id: &'a str,
            payload: &'a Answer,
        }
        let text = serde_json::to_string(&Next { kind: "next", id, payload: answer })
            .map_err(|e| Close::new(1011, e.to_string()))?;
        self.send(Message::Text(text.into())).await
    }

    async fn say(&mut self, message: Value) -> Result<(), Close> {
        self.send(Message::Text(message.to_string().into())).await
    }

    /// Waits until the socket has taken the message; a client that takes nothing for too long is dropped.
    async fn send(&mut self, message: Message) -> Result<(), Close> {
        let timeout = self.transport.state.config().timeout;
        match tokio::time::timeout(timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(Close::new(1011, e.to_string())),
            Err(_) => Err(Close::new(1013, "the client takes no data")),
        }
    }
}

/// The next answer of any operation, `None` at its end. Pending while there is no operation.
async fn next(
    operations: &mut HashMap<String, BoxStream<'static, Answer>>,
    turn: &mut usize,
) -> (String, Option<Answer>) {
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
