//! Alerts: what somebody should look at, until somebody has.
//!
//! An [`AlertRule`] says which events make an alert; the [`AlertEngine`] keeps alerts through their lives, from open over
//! acknowledged to resolved, with escalation in between; the [`AlertDesk`] runs it on the event bus.

mod desk;
mod engine;
mod rule;

pub use desk::AlertDesk;
pub use engine::{Alert, AlertEngine, AlertState, Change, Counted, NoAlert, RuleError, Status};
pub use rule::{About, AlertRule, Each};
