//! The client library for both versions of the protocol behind one face.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rumqttc_v5::TlsConfiguration;
use rumqttc_v5::tokio_rustls::rustls::ClientConfig;
use {rumqttc_v4 as v4, rumqttc_v5 as v5};

use super::session;

/// Largest message that is taken from others, bytes.
pub(super) const LARGEST: u32 = 256 * 1024;
/// Messages that the library may hold at once.
pub(super) const WINDOW: usize = 256;
/// Messages that a version 3 broker has to confirm before it gets more. It cannot say how many it takes; mosquitto drops a connection with more than 20.
const UNCONFIRMED: u16 = 16;
/// For how long the broker keeps a session for us, seconds.
const SESSION_S: u32 = 7 * 86_400;
/// Time for a connection to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V3,
    /// MQTT 5.
    V5,
}

/// Where the broker is and who we are to it.
#[derive(Clone)]
pub(super) struct Broker {
    pub version: Version,
    pub host: String,
    pub port: u16,
    pub client_id: String,
    pub credentials: Option<(String, Bytes)>,
    pub tls: Option<Arc<ClientConfig>>,
    pub keep_alive_s: u16,
    /// Topic and payload.
    pub will: Option<(String, Bytes)>,
    /// Where the session's state is kept over restarts; else the session ends with the process.
    pub session_file: Option<PathBuf>,
}

/// What comes from the broker.
#[derive(Debug)]
pub(super) enum Step {
    /// `resumed`: the broker knows the session that this event loop was in.
    Connected {
        resumed: bool,
    },
    Message(Box<Incoming>),
    Other,
}

/// A message of somebody.
#[derive(Debug)]
pub(super) struct Incoming {
    pub topic: String,
    pub payload: Bytes,
    pub retained: bool,
    receipt: Receipt,
}

#[derive(Debug)]
enum Receipt {
    V4(v4::Publish),
    V5(v5::Publish),
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Broken {
    /// The broker keeps a session of ours that we know nothing of.
    ForeignSession,
    /// We have said goodbye.
    Ended,
    Lost(String),
}

/// Why a message has not arrived.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The broker will never take it.
    Refused(String),
    /// It has to be sent again.
    Lost,
}

pub(super) type Notice = BoxFuture<'static, Result<(), Unsent>>;

#[derive(Clone)]
pub(super) enum Client {
    V4(v4::AsyncClient),
    V5(v5::AsyncClient),
}

pub(super) enum Events {
    V4(Box<v4::EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// Prepares a client and what drives it. `fresh`: any earlier session is given up.
pub(super) fn open(broker: &Broker, fresh: bool) -> (Client, Events) {
    match broker.version {
        Version::V3 => {
            let (client, events) =
                v4::AsyncClient::builder(options_v4(broker, fresh)).capacity(2 * WINDOW).build();
            (Client::V4(client), Events::V4(Box::new(events)))
        }
        Version::V5 => {
            let (client, events) =
                v5::AsyncClient::builder(options_v5(broker, fresh)).capacity(2 * WINDOW).build();
            (Client::V5(client), Events::V5(Box::new(events)))
        }
    }
}

fn options_v4(broker: &Broker, fresh: bool) -> v4::MqttOptions {
    let mut options = v4::MqttOptions::new(broker.client_id.as_str(), (broker.host.as_str(), broker.port));
    options.set_keep_alive(broker.keep_alive_s).set_clean_session(fresh).set_inflight(UNCONFIRMED);
    // Version 3 has no way to tell a broker what is too large, and a message that breaks the connection comes again with the
    // next one: what is too large is taken, and refused by its handler.
    options.set_max_packet_size(268_435_455, 1 << 20).set_ack_mode(v4::AckMode::Manual);
    if let Some((user, password)) = &broker.credentials {
        options.set_credentials(user.as_str(), password.clone());
    }
    if let Some(tls) = &broker.tls {
        options.set_transport(v4::Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone())));
    }
    if let Some((topic, payload)) = &broker.will {
        options.set_last_will(v4::LastWill::new(topic, payload.to_vec(), v4::QoS::AtLeastOnce, true));
    }
    if let Some(file) = &broker.session_file {
        options.set_session_store(session::File::new(file.clone()));
    }
    options
}

fn options_v5(broker: &Broker, fresh: bool) -> v5::MqttOptions {
    let mut options = v5::MqttOptions::new(broker.client_id.as_str(), (broker.host.as_str(), broker.port));
    options.set_keep_alive(broker.keep_alive_s).set_clean_start(fresh);
    options.set_session_expiry_interval((!fresh).then_some(SESSION_S));
    options.set_max_packet_size(Some(LARGEST)).set_receive_maximum(Some(32));
    options.set_connect_timeout(CONNECT_WITHIN).set_ack_mode(v5::AckMode::Manual);
    if let Some((user, password)) = &broker.credentials {
        options.set_credentials(user.as_str(), password.clone());
    }
    if let Some(tls) = &broker.tls {
        options.set_transport(v5::Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone())));
    }
    if let Some((topic, payload)) = &broker.will {
        options.set_last_will(v5::LastWill::new(topic, payload.to_vec(), v5::QoS::AtLeastOnce, true, None));
    }
    if let Some(file) = &broker.session_file {
        options.set_session_store(session::File::new(file.clone()));
    }
    options
}

fn qos_v4(qos: u8) -> v4::QoS {
    match qos {
        0 => v4::QoS::AtMostOnce,
        1 => v4::QoS::AtLeastOnce,
        _ => v4::QoS::ExactlyOnce,
    }
}

fn qos_v5(qos: u8) -> v5::QoS {
    match qos {
        0 => v5::QoS::AtMostOnce,
        1 => v5::QoS::AtLeastOnce,
        _ => v5::QoS::ExactlyOnce,
    }
}

impl Client {
    /// Hands a message over; the notice says when the broker has it. `None`: the library takes no more now.
    pub(super) fn publish(&self, topic: &str, qos: u8, retain: bool, payload: Bytes) -> Option<Notice> {
        match self {
            Self::V4(client) => {
                let options = v4::PublishOptions::new(qos_v4(qos)).retain(retain);
                let notice = client.try_publish_tracked(topic, payload, options).ok()?;
                Some(Box::pin(async move { notice.wait_completion_async().await.map_err(|_| Unsent::Lost) }))
            }
            Self::V5(client) => {
                let options = v5::PublishOptions::new(qos_v5(qos)).retain(retain);
                let notice = client.try_publish_tracked(topic, payload, options).ok()?;
                Some(Box::pin(async move {
                    use v5::PublishNoticeError as E;
                    notice.wait_completion_async().await.map_err(|e| match e {
                        E::V5PubAck(_) | E::V5PubRec(_) | E::RetainNotSupported => {
                            Unsent::Refused(e.to_string())
                        }
                        _ => Unsent::Lost,
                    })
                }))
            }
        }
    }

    pub(super) async fn subscribe(&self, filters: &[(String, u8)]) -> Result<(), String> {
        for (filter, qos) in filters {
            match self {
                Self::V4(client) => {
                    let done = client.subscribe_tracked(filter.as_str(), qos_v4(*qos)).await;
                    let notice = done.map_err(|e| e.to_string())?;
                    notice.wait_completion_async().await.map_err(|e| e.to_string())?;
                }
                Self::V5(client) => {
                    let done = client.subscribe_tracked(filter.as_str(), qos_v5(*qos)).await;
                    let notice = done.map_err(|e| e.to_string())?;
                    notice.wait_completion_async().await.map_err(|e| e.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// The message was dealt with; the broker need not send it again.
    pub(super) async fn acknowledge(&self, message: &Incoming) {
        let failed = match (self, &message.receipt) {
            (Self::V4(client), Receipt::V4(publish)) => {
                client.ack(publish).await.err().map(|e| e.to_string())
            }
            (Self::V5(client), Receipt::V5(publish)) => {
                client.ack(publish).await.err().map(|e| e.to_string())
            }
            _ => None,
        };
        if let Some(reason) = failed {
            // It comes again.
            tracing::debug!("MQTT acknowledgement: {reason}");
        }
    }

    /// Says goodbye once what is under way has arrived, or after `within`.
    pub(super) async fn disconnect(&self, within: Duration) {
        let _ = match self {
            Self::V4(client) => client.disconnect_with_timeout(within).await.map_err(|_| ()),
            Self::V5(client) => client.disconnect_with_timeout(within).await.map_err(|_| ()),
        };
    }
}

impl Events {
    /// Goes one step on; connects where there is no connection.
    pub(super) async fn poll(&mut self) -> Result<Step, Broken> {
        match self {
            Self::V4(events) => match events.poll().await {
                Ok(v4::Event::Incoming(v4::Packet::ConnAck(ack))) => {
                    Ok(Step::Connected { resumed: ack.session_present })
                }
                Ok(v4::Event::Incoming(v4::Packet::Publish(publish))) => {
                    Ok(Step::Message(Box::new(Incoming {
                        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                        payload: publish.payload.clone(),
                        retained: publish.retain,
                        receipt: Receipt::V4(publish),
                    })))
                }
                Ok(_) => Ok(Step::Other),
                Err(
                    v4::ConnectionError::SessionStateMismatch { .. } | v4::ConnectionError::SessionRestore(_),
                ) => Err(Broken::ForeignSession),
                Err(v4::ConnectionError::RequestsDone | v4::ConnectionError::DisconnectTimeout) => {
                    Err(Broken::Ended)
                }
                Err(e) => Err(Broken::Lost(e.to_string())),
            },
            Self::V5(events) => match events.poll().await {
                Ok(v5::Event::Incoming(v5::Packet::ConnAck(ack))) => {
                    Ok(Step::Connected { resumed: ack.session_present })
                }
                Ok(v5::Event::Incoming(v5::Packet::Publish(publish))) => {
                    Ok(Step::Message(Box::new(Incoming {
                        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                        payload: publish.payload.clone(),
                        retained: publish.retain,
                        receipt: Receipt::V5(publish),
                    })))
                }
                Ok(_) => Ok(Step::Other),
                Err(
                    v5::ConnectionError::SessionStateMismatch { .. } | v5::ConnectionError::SessionRestore(_),
                ) => Err(Broken::ForeignSession),
                Err(v5::ConnectionError::RequestsDone | v5::ConnectionError::DisconnectTimeout) => {
                    Err(Broken::Ended)
                }
                Err(e) => Err(Broken::Lost(e.to_string())),
            },
        }
    }
}

/// Ends a session that the broker keeps for us and of which we know nothing.
pub(super) async fn end_session(broker: &Broker) -> Result<(), String> {
    if let Some(file) = &broker.session_file {
        let _ = std::fs::remove_file(file);
    }
    let broker = Broker { will: None, session_file: None, ..broker.clone() };
    let (client, mut events) = open(&broker, true);
    let goodbye = async {
        loop {
            match events.poll().await {
                Ok(Step::Connected { .. }) => client.disconnect(Duration::from_secs(1)).await,
                Ok(_) => {}
                Err(Broken::Ended) => return Ok(()),
                Err(Broken::ForeignSession) => return Err("the broker keeps an old session".to_owned()),
                Err(Broken::Lost(reason)) => return Err(reason),
            }
        }
    };
    tokio::time::timeout(CONNECT_WITHIN, goodbye)
        .await
        .unwrap_or_else(|_| Err("the broker does not answer".to_owned()))
}
