//! What people do and where: zones, activities, falls, breath; and how many they are.

mod activity;
mod breath;
mod count;
mod descent;
mod falls;
mod schedule;
mod zones;

pub use activity::{ActivityConfig, ActivityWatch, Shape};
pub use breath::{BreathRules, BreathWatch};
pub use count::{CountRules, count};
pub use descent::Descent;
pub use falls::{FallConfig, FallWatch};
pub use schedule::{Clock, Day, Schedule, UnknownTimeZone};
pub use zones::{ZoneRules, Zones};
