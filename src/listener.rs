//! Opens what clients come in by, before anything expensive: an address that is taken should be known at once.

use std::path::Path;

use anyhow::Context;
use invispose_api::listen::{Listeners, Tls};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;

use crate::config::Config;

/// Open listeners, and what to say of them.
#[derive(Debug)]
pub struct Opened {
    /// For the API.
    pub listeners: Listeners,
    /// The certificate, to be read again.
    pub tls: Option<Tls>,
    /// Where clients find the server.
    pub addresses: Vec<String>,
}

/// Binds as the configuration says. Runs within a tokio runtime.
pub async fn open(config: &Config) -> anyhow::Result<Opened> {
    let tls = config.tls.files().map(Tls::load).transpose().context("tls")?;
    let mut addresses = Vec::new();
    let tcp = match config.unix.only {
        true => None,
        false => {
            let listening = || format!("listening on {} (--listen chooses another address)", config.listen);
            let tcp = TcpListener::bind(config.listen).await.with_context(listening)?;
            let scheme = if tls.is_some() { "https" } else { "http" };
            addresses.push(format!("{scheme}://{}", tcp.local_addr().with_context(listening)?));
            Some(tcp)
        }
    };
    let path = &config.unix.socket;
    let mut listeners = match (tcp, path.is_empty()) {
        (Some(tcp), true) => Listeners::from(tcp),
        (tcp, _) => {
            let unix = Listeners::unix(Path::new(path), config.unix.permissions()?);
            let unix = unix.with_context(|| format!("listening on the Unix socket {path}"))?;
            addresses.push(format!("unix:{path}"));
            match tcp {
                Some(tcp) => unix.and_tcp(tcp),
                None => unix,
            }
        }
    };
    if let Some(tls) = &tls {
        listeners = listeners.with_tls(tls.clone());
    }
    raise_descriptors();
    Ok(Opened { listeners, tls, addresses })
}

/// Each connection takes a descriptor, and the soft limit is often 1024.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of file descriptors stays as it is");
    }
}
