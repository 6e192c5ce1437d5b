//! Invispose to the outside: REST, GraphQL and its subscriptions, over the ring and the store.
//!
//! ```text
//! ring  ──► Site ──► query ──► rest, graphql, …
//!   └─────► store ────┘
//!   └─────► outputs: MQTT, webhooks
//! ```
//!
//! [`query`] is the one place where frames are found, filtered and paged; [`view`] is the one place where a frame is
//! brought into the words of the outside (zones by name, keypoints projected). Each protocol only translates.

pub mod access;
mod alerts;
mod analytics;
mod bundle;
pub mod contract;
mod documents;
mod door;
mod event_feed;
mod export;
mod feed;
#[doc(hidden)]
pub mod fuzzing;
pub mod graphql;
pub mod grpc;
mod guard;
mod history;
pub mod listen;
pub mod metrics;
mod model;
mod movements;
mod notices;
pub mod outputs;
mod pages;
mod people;
pub mod problem;
pub mod query;
pub mod recordings;
mod reports;
pub mod rest;
mod server;
mod setup;
mod site;
mod sockets;
mod state;
pub mod store;
mod stream;
pub mod system;
pub mod telemetry;
mod time;
mod tls;
pub mod view;

pub use access::Scope;
pub use model::{ModelCard, ModelEvaluation};
pub use server::{router, serve};
pub use setup::Reconfiguration;
pub use site::{Site, Wake};
pub use state::{ApiConfig, ApiState, Deprecation};
pub use time::Time;
