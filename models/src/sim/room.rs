//! The room: walls, what they are made of, and what stands in it.

use invispose_kernels::Complex32;
use serde::{Deserialize, Serialize};

/// What a surface is made of: permittivity and conductivity after ITU-R P.2040-3, table 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Material {
    /// Concrete.
    Concrete,
    /// Brick.
    Brick,
    /// Plasterboard.
    Plasterboard,
    /// Wood.
    Wood,
    /// Glass.
    Glass,
    /// Metal: reflects everything.
    Metal,
    /// Reflects nothing; for tests and anechoic rooms.
    Absorber,
}

impl Material {
    /// Materials that walls are drawn from.
    pub const WALLS: [Self; 5] = [Self::Concrete, Self::Brick, Self::Plasterboard, Self::Wood, Self::Glass];

    /// Relative permittivity ε' - j 17.98 σ / f with f in GHz and σ = c f^d (P.2040-3, eq. 9b and 28).
    fn permittivity(self, ghz: f32) -> Complex32 {
        let (a, c, d) = match self {
            Self::Concrete => (5.24, 0.0462, 0.7822),
            Self::Brick => (3.91, 0.0238, 0.16),
            Self::Plasterboard => (2.73, 0.0085, 0.9395),
            Self::Wood => (1.99, 0.0047, 1.0718),
            Self::Glass => (6.31, 0.0036, 1.3394),
            Self::Metal => (1.0, 1e7, 0.0),
            Self::Absorber => (1.0, 0.0, 0.0),
        };
        Complex32::new(a, -17.98 * c * ghz.powf(d) / ghz)
    }

    /// Fresnel reflection coefficient of a half space for the given cosine of the angle of incidence (from the
    /// normal). `in_plane`: the electric field lies in the plane of incidence (TM; floors and ceilings for vertical
    /// antennas), else across it (TE; walls).
    pub fn reflection(self, carrier_hz: f64, cos_incidence: f32, in_plane: bool) -> Complex32 {
        let eps = self.permittivity((carrier_hz * 1e-9) as f32);
        let c = cos_incidence.clamp(0.0, 1.0);
        let root = (eps - (1.0 - c * c)).sqrt();
        if in_plane { (eps * c - root) / (eps * c + root) } else { (root * -1.0 + c) / (root + c) }
    }
}

/// A box of furniture with edges along the walls. It scatters like the ellipsoid inscribed in it; it does not block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Furniture {
    /// Middle of the box, metres.
    pub center_m: [f32; 3],
    /// Edge lengths, metres.
    pub size_m: [f32; 3],
    /// What it is made of.
    pub material: Material,
}

/// A box-shaped room with a corner at the origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// Inner size along x, y and z (up), metres.
    pub size_m: [f32; 3],
    /// Surfaces in the order x = 0, x = size, y = 0, y = size, floor, ceiling.
    pub surfaces: [Material; 6],
    /// What stands in the room.
    #[serde(default)]
    pub furniture: Vec<Furniture>,
    /// Distance people's paths keep from each of the four walls, in the order x = 0, x = size, y = 0, y = size;
    /// metres.
    #[serde(default = "default_clearance")]
    pub clearance_m: [f32; 4],
}

fn default_clearance() -> [f32; 4] {
    [0.5; 4]
}

impl Room {
    /// An empty room of this size with all surfaces of one material.
    pub fn plain(size_m: [f32; 3], material: Material) -> Self {
        Self { size_m, surfaces: [material; 6], furniture: Vec::new(), clearance_m: default_clearance() }
    }
}
