//! What people do and where: zones, activities, falls.

mod activity;
mod descent;
mod falls;
mod schedule;
mod zones;

pub use activity::{ActivityConfig, ActivityWatch, Shape};
pub use descent::Descent;
pub use falls::{FallConfig, FallWatch};
pub use schedule::{Clock, Day, Schedule, UnknownTimeZone};
pub use zones::{ZoneRules, Zones};
