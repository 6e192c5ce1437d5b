//! Invispose to the outside: REST, GraphQL and its subscriptions, over the ring.
//!
//! ```text
//! ring ──► Site ──► query ──► rest, graphql, …
//! ```
//!
//! [`query`] is the one place where frames are found, filtered and paged; [`view`] is the one place where a frame is
//! brought into the words of the outside (zones by name, keypoints projected). Each protocol only translates.

pub mod contract;
mod graphiql;
pub mod graphql;
mod guard;
mod metrics;
mod pages;
pub mod problem;
pub mod query;
mod rest;
mod server;
mod site;
mod state;
pub mod system;
mod time;
pub mod view;

pub use server::{router, serve};
pub use site::{Site, Wake};
pub use state::{ApiConfig, ApiState};
pub use time::Time;
