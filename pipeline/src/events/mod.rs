//! Events: what happened, told once, to everybody who wants to know.
//!
//! Stages publish on one [`EventBus`]; storage, protocols and alert rules subscribe to it and never hold it up.

mod bus;
mod event;
mod gate;
mod monitor;
mod watch;

pub use bus::{Delivery, EVENTS_KEPT, EventBus, Nothing, Subscription};
pub use event::{Event, EventKind, Evidence, Place, Severity, UnknownKind};
pub use gate::RateRule;
pub use monitor::{Monitor, MonitorConfig};
pub use watch::{SiteWatch, WatchConfig};
