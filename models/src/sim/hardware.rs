//! Radios other than a scene's own, to learn what hardware buys what.

use serde::{Deserialize, Serialize};

use super::{Node, Radio, Randomisation, SceneConfig, Subcarriers};

/// What differs from a scene's own radios. The default differs in nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Radios {
    /// Receivers, 1 to 8; in the demo room the first ones of a fixed list of places around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receivers: Option<usize>,
    /// Antennas of each receiver, 1 to 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub antennas: Option<u16>,
    /// 20, 40, 80 or 160 MHz, seen at 30 tones spread evenly over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_mhz: Option<u16>,
}

/// Name, position in metres and direction of the array in degrees of receivers in the demo room; with three of them those of
/// the room itself.
const DEMO_RECEIVERS: [(&str, [f32; 3], f32); 8] = [
    ("east", [5.7, 4.6, 0.9], 45.0),
    ("north", [0.4, 4.6, 1.4], -45.0),
    ("south", [5.6, 0.4, 1.6], -45.0),
    ("window", [5.8, 2.4, 1.8], 90.0),
    ("shelf", [3.0, 4.8, 1.2], 0.0),
    ("door", [0.2, 2.4, 0.8], 90.0),
    ("sill", [3.1, 0.2, 1.0], 0.0),
    ("ceiling", [3.0, 2.5, 2.6], 20.0),
];

/// Bandwidths that can be asked for, and by how many subcarriers 30 tones over them lie apart.
const SPACING: [(u16, i16); 4] = [(20, 2), (40, 4), (80, 8), (160, 16)];

impl Radios {
    /// The scene's own.
    pub const OWN: Self = Self { receivers: None, antennas: None, bandwidth_mhz: None };
    /// Five receivers of 160 MHz, as `configs/room-wide.toml` has them.
    pub const WIDE: Self = Self { receivers: Some(5), antennas: None, bandwidth_mhz: Some(160) };

    /// Whether a scene keeps its own radios.
    pub fn are_the_scenes_own(&self) -> bool {
        *self == Self::OWN
    }

    /// Refuses what cannot be had.
    ///
    /// # Errors
    /// Names the field, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if self.receivers.is_some_and(|n| !(1..=DEMO_RECEIVERS.len()).contains(&n)) {
            return Err(format!("radios.receivers: 1 to {}", DEMO_RECEIVERS.len()));
        }
        if self.antennas.is_some_and(|n| !(1..=8).contains(&n)) {
            return Err("radios.antennas: 1 to 8".into());
        }
        if self.bandwidth_mhz.is_some_and(|b| SPACING.iter().all(|(mhz, _)| *mhz != b)) {
            return Err("radios.bandwidth_mhz: 20, 40, 80 or 160".into());
        }
        Ok(())
    }

    /// The demo room with these radios.
    pub fn demo(&self) -> SceneConfig {
        let mut scene = SceneConfig::demo();
        if let Some(count) = self.receivers {
            let antennas = scene.receivers.first().map_or(3, |r| r.antennas);
            let node = |&(name, position_m, axis_deg): &(&str, [f32; 3], f32)| Node {
                name: name.into(),
                position_m,
                antennas,
                axis_deg,
                spacing_m: None,
            };
            scene.receivers = DEMO_RECEIVERS.iter().take(count).map(node).collect();
        }
        self.put_into(&mut scene);
        scene
    }

    /// The room of this seed with these radios, three receivers if they do not say how many.
    pub fn random(&self, seed: u64) -> SceneConfig {
        let receivers = self.receivers.map_or([3, 3], |n| [n, n]);
        let mut scene = SceneConfig::random(seed, &Randomisation { receivers, ..Randomisation::default() });
        self.put_into(&mut scene);
        scene
    }

    /// Gives a scene's receivers these antennas and this bandwidth; there are as many as before.
    fn put_into(&self, scene: &mut SceneConfig) {
        if let Some(antennas) = self.antennas {
            scene.receivers.iter_mut().for_each(|r| r.antennas = antennas);
        }
        if let Some((bandwidth_mhz, apart)) =
            SPACING.into_iter().find(|(mhz, _)| Some(*mhz) == self.bandwidth_mhz)
        {
            // 30 tones, as far from the carrier on either side.
            let tones = (0..30).map(|i| apart * i - apart * 29 / 2).collect();
            scene.radio =
                Radio { bandwidth_mhz, subcarriers: Subcarriers::List(tones), ..scene.radio.clone() };
        }
    }
}

impl std::fmt::Display for Radios {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            self.receivers.map(|n| format!("{n} receivers")),
            self.antennas.map(|n| format!("{n} antennas each")),
            self.bandwidth_mhz.map(|mhz| format!("{mhz} MHz")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { f.write_str("the room's own radios") } else { f.write_str(&parts.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_choice_of_radios_can_be_simulated() {
        for receivers in 1..=8 {
            for (bandwidth, _) in SPACING {
                let radios =
                    Radios { receivers: Some(receivers), antennas: Some(2), bandwidth_mhz: Some(bandwidth) };
                radios.check().unwrap();
                for scene in [radios.demo(), radios.random(7)] {
                    scene.check().unwrap();
                    assert_eq!(scene.receivers.len(), receivers);
                    assert!(scene.receivers.iter().all(|r| r.antennas == 2));
                    let tones = scene.radio.subcarriers.indices();
                    let width = f64::from(tones[29] - tones[0]) * Radio::SPACING_HZ / 1e6;
                    assert!(width > 0.88 * f64::from(bandwidth) && width < f64::from(bandwidth), "{width}");
                }
            }
        }
        assert!(Radios { bandwidth_mhz: Some(30), ..Radios::default() }.check().is_err());
    }

    #[test]
    fn three_receivers_are_the_demo_rooms_own() {
        let scene = Radios { receivers: Some(3), ..Radios::default() }.demo();
        for own in SceneConfig::demo().receivers {
            assert!(scene.receivers.contains(&own), "{own:?}");
        }
    }
}
