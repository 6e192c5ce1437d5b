//! The physical simulator: rooms, radios and moving people, and the CSI that follows.
//!
//! A [`SceneConfig`] says what stands where; a [`Simulator`] is that scene with people drawn from a seed. Truth and
//! packets at any time are functions of (configuration, seed, time) alone. `docs/simulator.md` lists the formulas and their
//! sources, and what is left out.
//!
//! ```
//! use invispose_models::sim::{SceneConfig, Simulator, Split};
//!
//! let mut scene = Simulator::new(&SceneConfig::demo(), Split::Train.seed(7))?;
//! let truth = scene.people_at(0.5);
//! assert_eq!(truth.len(), 2);
//! for packet in scene.packets(0.0, 0.1) {
//!     let link = &scene_links()[packet.link];
//!     assert!(!link.is_empty() && packet.csi.len() == 90);
//! }
//! # fn scene_links() -> Vec<String> {
//! #     let s = Simulator::new(&SceneConfig::demo(), 0).unwrap();
//! #     s.links().iter().map(|l| l.name.clone()).collect()
//! # }
//! # Ok::<(), invispose_models::sim::SimError>(())
//! ```

mod body;
mod bvh;
mod channel;
mod clip;
mod config;
mod faults;
mod figure;
mod gait;
mod geom;
mod hardware;
mod motion;
mod phasor;
mod posture;
mod radio;
mod room;
mod scatterers;
mod seed;
mod shadow;
mod simulator;
mod statics;

pub use bvh::{Bvh, BvhError};
pub use clip::Clip;
pub use config::{ActivityWeights, People, Randomisation, Resting, SceneConfig};
pub use hardware::Radios;
pub use motion::Activity;
pub use phasor::SPEED_OF_LIGHT;
pub use radio::{Faults, Link, Node, Radio, Subcarriers};
pub use room::{Furniture, Material, Room};
pub use seed::{Draw, Split};
pub use simulator::{Packet, Packets, PersonTruth, Simulator, for_each_scene};

/// Why a scene cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A field whose value makes no sense, by name.
    #[error("scene: {0}")]
    Config(String),
    /// A configuration file that does not parse.
    #[error("scene: {0}")]
    Toml(#[from] toml::de::Error),
    /// A motion file that nobody can move by.
    #[error("motion {path}: {reason}")]
    Clip {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}
