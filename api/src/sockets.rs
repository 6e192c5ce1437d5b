//! WebSockets, whatever is spoken over them: how many, how large their messages, how patient, and when they end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use crate::ApiState;
use crate::metrics::{Direction, Traffic};
use crate::problem::Problem;

/// Bytes of a socket's own buffer for what the client says: longer messages grow it. The default would be most of an idle
/// subscriber's memory.
const READ_BUFFER: usize = 4 << 10;

/// What opens sockets. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    slots: Arc<Semaphore>,
    message_limit: usize,
    patience: Duration,
    idle: Duration,
    closing: watch::Receiver<bool>,
    traffic: Arc<Traffic>,
}

/// Why a session ends, as a WebSocket close code and reason.
#[derive(Debug)]
pub(crate) struct Close(u16, String);

impl Close {
    pub(crate) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self(code, reason.into())
    }
}

impl Sockets {
    /// As many as the configuration says, until `closing` becomes true.
    pub(crate) fn new(state: &ApiState, closing: watch::Receiver<bool>) -> Self {
        let config = state.config();
        Self {
            slots: Arc::new(Semaphore::new(config.sockets)),
            message_limit: config.message_limit,
            patience: config.timeout,
            idle: config.socket_idle,
            closing,
            traffic: state.traffic().clone(),
        }
    }

    /// Becomes true when the server stops.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.clone()
    }

    /// Lets `talk` have the socket until it returns; an error closes it with its reason.
    pub(crate) fn open<F>(
        &self,
        upgrade: WebSocketUpgrade,
        protocols: &'static [&'static str],
        talk: impl FnOnce(Line) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = (Line, Result<(), Close>)> + Send,
    {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many WebSockets are open")
                .into_response();
        };
        let (patience, idle, closing) = (self.patience, self.idle, self.closing.clone());
        let traffic = self.traffic.clone();
        let upgrade =
            if protocols.is_empty() { upgrade } else { upgrade.protocols(protocols.iter().copied()) };
        upgrade
            .read_buffer_size(READ_BUFFER)
            .max_message_size(self.message_limit)
            .max_frame_size(self.message_limit)
            .on_upgrade(move |socket| async move {
                let heard = Instant::now();
                let _open = traffic.socket();
                let line =
                    Line { socket, patience, idle, heard, asked: false, closing, traffic, rights: None };
                let (mut line, end) = talk(line).await;
                if let Err(close) = end {
                    line.close(close).await;
                }
                drop(slot);
            })
            .into_response()
    }
}

/// Resolves at their end, with the reason.
type Rights = Pin<Box<dyn Future<Output = &'static str> + Send>>;

/// One open socket.
pub(crate) struct Line {
    socket: WebSocket,
    patience: Duration,
    idle: Duration,
    /// When the client last said anything.
    heard: Instant,
    /// It was asked since whether it is there.
    asked: bool,
    closing: watch::Receiver<bool>,
    traffic: Arc<Traffic>,
    /// Resolves when those of the client end, and the code to close with.
    rights: Option<(Rights, u16)>,
}

/// A message that says of itself what it is.
pub(crate) trait Say: Serialize {
    /// Its type, of a set that no client can extend.
    fn kind(&self) -> &'static str;
}

/// Types of the messages that are made as plain JSON.
const KINDS: [&str; 12] = [
    "complete",
    "configuration",
    "connection",
    "connection_ack",
    "error",
    "missed",
    "person_update",
    "pong",
    "pose_update",
    "subscription",
    "system_alert",
    "zone_event",
];

impl Say for serde_json::Value {
    fn kind(&self) -> &'static str {
        let kind = self.get("type").and_then(Self::as_str);
        KINDS.into_iter().find(|known| Some(*known) == kind).unwrap_or("other")
    }
}

impl Line {
    /// The sub-protocol that was agreed upon.
    pub(crate) fn protocol(&self) -> Option<&str> {
        self.socket.protocol().and_then(|p| p.to_str().ok())
    }

    /// From now on the socket ends with the rights of the caller, with this code.
    pub(crate) fn belongs_to(&mut self, state: &ApiState, code: u16) {
        let rights = state.access().ended(state.who());
        self.rights = Some((Box::pin(rights), code));
    }

    /// The next message; `None` once the client has gone, an error when the server stops, the client is silent for too long or its
    /// rights end. Nothing is lost when the future is dropped.
    pub(crate) async fn receive(&mut self) -> Result<Option<Message>, Close> {
        loop {
            let wait = if self.asked { self.idle } else { self.idle / 2 };
            let message = tokio::select! {
                biased;
                _ = self.closing.wait_for(|&closing| closing) => {
                    return Err(Close::new(1001, "the server stops"));
                }
                close = ended(&mut self.rights) => return Err(close),
                message = self.socket.recv() => Some(message),
                () = sleep_until(self.heard + wait) => None,
            };
            match message {
                Some(message) => {
                    (self.heard, self.asked) = (Instant::now(), false);
                    return Ok(match message {
                        Some(Ok(Message::Close(_)) | Err(_)) | None => None,
                        Some(Ok(message)) => Some(message),
                    });
                }
                None if self.asked => return Err(Close::new(1001, "nothing was heard of the client")),
                None => {
                    self.asked = true;
                    self.send(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    /// Sends JSON; see [`Line::send`].
    pub(crate) async fn say(&mut self, message: &impl Say) -> Result<(), Close> {
        let text = serde_json::to_string(message).map_err(|e| Close::new(1011, e.to_string()))?;
        self.send_as(message.kind(), text).await
    }

    /// Sends text that is of this type; see [`Line::send`].
    pub(crate) async fn send_as(&mut self, kind: &'static str, text: String) -> Result<(), Close> {
        self.send(Message::Text(text.into())).await?;
        self.traffic.message(Direction::Sent, kind);
        Ok(())
    }

    /// The client said something of this type.
    pub(crate) fn count_received(&self, kind: &'static str) {
        self.traffic.message(Direction::Received, kind);
    }

    /// What the server counts.
    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Waits until the socket has taken the message; a client that takes nothing for too long is dropped.
    async fn send(&mut self, message: Message) -> Result<(), Close> {
        match tokio::time::timeout(self.patience, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(Close::new(1011, e.to_string())),
            Err(_) => Err(Close::new(1013, "the client takes no data")),
        }
    }

    async fn close(&mut self, Close(code, reason): Close) {
        // The reason of a close frame holds at most 123 bytes.
        let cut = reason.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|&end| end <= 123).last();
        let reason = reason.get(..cut.unwrap_or(0)).unwrap_or_default().into();
        let _ = self.send(Message::Close(Some(CloseFrame { code, reason }))).await;
    }
}

/// Pending where rights have no end.
async fn ended(rights: &mut Option<(Rights, u16)>) -> Close {
    match rights {
        Some((rights, code)) => Close::new(*code, rights.await),
        None => std::future::pending().await,
    }
}
