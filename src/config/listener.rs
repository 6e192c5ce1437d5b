//! Where clients come in, and what they may take up.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use invispose_api::ApiConfig;
use invispose_api::listen::TlsFiles;
use serde::{Deserialize, Serialize};

/// `[tls]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSection {
    /// The server's certificate and those that lead to a known authority, PEM; empty: no TLS.
    pub certificate_file: String,
    /// Its private key, PEM.
    pub key_file: String,
    /// Clients must show a certificate that one of these authorities signed, PEM; empty: any client may come.
    pub client_ca_file: String,
}

impl TlsSection {
    /// The files, where there is TLS.
    pub fn files(&self) -> Option<TlsFiles> {
        let path = |text: &String| Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty());
        Some(TlsFiles {
            certificate: path(&self.certificate_file)?,
            key: path(&self.key_file)?,
            client_authorities: path(&self.client_ca_file),
        })
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.certificate_file.is_empty() != self.key_file.is_empty() {
            bail!("tls.certificate_file and tls.key_file are needed together");
        }
        if self.certificate_file.is_empty() && !self.client_ca_file.is_empty() {
            bail!("tls.client_ca_file: clients show certificates over TLS only; set tls.certificate_file");
        }
        Ok(())
    }
}

/// `[unix]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnixSection {
    /// Path of a Unix socket beside TCP; empty: none.
    pub socket: String,
    /// Its permissions, octal: who may write to it may talk to the server.
    pub mode: String,
    /// No TCP at all.
    pub only: bool,
}

impl Default for UnixSection {
    fn default() -> Self {
        Self { socket: String::new(), mode: "0600".into(), only: false }
    }
}

impl UnixSection {
    /// The socket's permissions.
    pub fn permissions(&self) -> anyhow::Result<u32> {
        match u32::from_str_radix(&self.mode, 8) {
            Ok(mode) if mode <= 0o777 => Ok(mode),
            _ => bail!("unix.mode = {:?}: write permissions in octal, e.g. 0660", self.mode),
        }
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.permissions()?;
        if self.only && self.socket.is_empty() {
            bail!("unix.only: without unix.socket there would be no listener");
        }
        Ok(())
    }
}

/// `[limits]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// Largest request body, KiB.
    pub body_kb: u32,
    /// Header fields of a request.
    pub headers: u32,
    /// A request's line and header fields together, KiB.
    pub header_kb: u32,
    /// Seconds for a request's head and for the TLS handshake, and for which a connection without a request stays open.
    pub head_s: u32,
    /// Seconds after which a request that is not answered gets 503, and a client that takes nothing is dropped.
    pub request_s: u32,
    /// Open connections, WebSockets among them.
    pub connections: u32,
    /// Open connections of one address, or of one /64 of IPv6.
    pub connections_per_address: u32,
    /// Open WebSockets.
    pub sockets: u32,
    /// Largest WebSocket message, KiB.
    pub socket_message_kb: u32,
    /// Seconds of silence after which a WebSocket is closed; after half of it the client is asked whether it is there.
    pub socket_idle_s: u32,
    /// Open GraphQL subscriptions of one WebSocket.
    pub subscriptions: u32,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            body_kb: 1024,
            headers: 100,
            header_kb: 32,
            head_s: 10,
            request_s: 30,
            connections: 8192,
            connections_per_address: 1024,
            sockets: 4096,
            socket_message_kb: 256,
            socket_idle_s: 60,
            subscriptions: 64,
        }
    }
}

impl LimitsSection {
    /// As the API takes them.
    pub fn api(&self) -> ApiConfig {
        let kib = |n: u32| (n as usize) << 10;
        let seconds = |n: u32| Duration::from_secs(n.into());
        ApiConfig {
            body_limit: kib(self.body_kb),
            headers: self.headers as usize,
            header_bytes: kib(self.header_kb),
            head_timeout: seconds(self.head_s),
            timeout: seconds(self.request_s),
            connections: self.connections as usize,
            connections_per_address: self.connections_per_address as usize,
            sockets: self.sockets as usize,
            message_limit: kib(self.socket_message_kb),
            socket_idle: seconds(self.socket_idle_s),
            subscriptions: self.subscriptions as usize,
            ..ApiConfig::default()
        }
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        for (key, value, range) in [
            ("body_kb", self.body_kb, 1..=1 << 20),
            ("headers", self.headers, 16..=1000),
            ("header_kb", self.header_kb, 8..=1024),
            ("head_s", self.head_s, 1..=600),
            ("request_s", self.request_s, 1..=3600),
            ("connections", self.connections, 1..=1 << 20),
            ("connections_per_address", self.connections_per_address, 1..=1 << 20),
            ("sockets", self.sockets, 0..=1 << 20),
            ("socket_message_kb", self.socket_message_kb, 1..=1 << 14),
            ("socket_idle_s", self.socket_idle_s, 2..=86_400),
            ("subscriptions", self.subscriptions, 1..=1 << 16),
        ] {
            if !range.contains(&value) {
                bail!("limits.{key} = {value}: {} to {} are possible", range.start(), range.end());
            }
        }
        Ok(())
    }
}

/// Refuses what does not go together.
pub(super) fn check(tls: &TlsSection, unix: &UnixSection, limits: &LimitsSection) -> anyhow::Result<()> {
    tls.check().and_then(|()| unix.check()).and_then(|()| limits.check())
}
