//! A site as its operator describes it: the room, where the radios stand, the zones.

use serde::{Deserialize, Serialize};

use crate::understanding::Schedule;

/// One place with its links and zones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteConfig {
    /// Identifier in every API, e.g. `lab`.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// Size of the room in metres: x, y on the floor, z height. The origin is a floor corner.
    pub room_m: [f32; 3],
    /// Where transmitters and receivers stand; a link that is not listed is used for presence only.
    #[serde(default)]
    pub links: Vec<LinkConfig>,
    /// Areas of the floor.
    #[serde(default)]
    pub zones: Vec<ZoneConfig>,
    /// More people than this at once are too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_occupancy: Option<u32>,
    /// Show poses although no evaluation on this site says that they are better than the mean pose. They are marked.
    #[serde(default)]
    pub experimental_poses: bool,
}

/// Where one link's ends stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkConfig {
    /// The link's name as its source gives it.
    pub id: String,
    /// Transmitter, site coordinates in metres.
    pub transmitter_m: [f32; 3],
    /// Centre of the receiver's antennas, site coordinates in metres.
    pub receiver_m: [f32; 3],
}

/// A polygon on the floor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneConfig {
    /// Identifier in every API.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// Corners in order, site coordinates in metres, at least three.
    pub polygon_m: Vec<[f32; 2]>,
    /// More people than this at once are too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_occupancy: Option<u32>,
    /// Staying for longer than this is too long, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_dwell_s: Option<f64>,
    /// When nobody may be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restricted: Vec<Schedule>,
}

impl ZoneConfig {
    /// Is the point inside (even-odd rule)?
    pub fn contains(&self, x: f32, y: f32) -> bool {
        let p = &self.polygon_m;
        let mut inside = false;
        let mut j = p.len().wrapping_sub(1);
        for i in 0..p.len() {
            let ([xi, yi], [xj, yj]) = (p[i], p[j]);
            if (yi > y) != (yj > y) && x < (xj - xi) * (y - yi) / (yj - yi) + xi {
                inside = !inside;
            }
            j = i;
        }
        inside
    }

    /// How far the point is from the polygon, metres; 0 inside.
    pub fn outside_m(&self, x: f32, y: f32) -> f32 {
        if self.contains(x, y) {
            return 0.0;
        }
        let ends = self.polygon_m.iter().zip(self.polygon_m.iter().cycle().skip(1));
        let to_edge = |([ax, ay], [bx, by]): (&[f32; 2], &[f32; 2])| {
            let (dx, dy) = (bx - ax, by - ay);
            let along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy).max(f32::MIN_POSITIVE);
            let along = along.clamp(0.0, 1.0);
            (x - ax - along * dx).hypot(y - ay - along * dy)
        };
        ends.map(to_edge).fold(f32::INFINITY, f32::min)
    }
}

impl SiteConfig {
    /// The contracts' `x`, `y` in 0..1: an orthographic view along +y, from the wall y = 0. `x` runs along the
    /// room's x axis, `y` runs from the ceiling (0) to the floor (1); points outside the room are clamped.
    pub fn project(&self, position_m: [f32; 3]) -> [f32; 2] {
        let unit = |v: f32, size: f32| if size > 0.0 { (v / size).clamp(0.0, 1.0) } else { 0.0 };
        [unit(position_m[0], self.room_m[0]), 1.0 - unit(position_m[2], self.room_m[2])]
    }
}
