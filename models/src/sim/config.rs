//! Scenes as configuration, and how they are drawn at random.

use serde::{Deserialize, Serialize};

use super::SimError;
use super::clip::Clip;
use super::radio::{Faults, Node, Radio, Subcarriers};
use super::room::{Furniture, Material, Room};
use super::seed::Draw;

/// Who is in the room and what they do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct People {
    /// People, 0 to 8.
    pub count: usize,
    /// How often each activity is chosen.
    pub weights: ActivityWeights,
    /// Walking speed, metres per second, from and to.
    pub speed_m_s: [f32; 2],
    /// Stature, metres, from and to.
    pub stature_m: [f32; 2],
    /// Girth over the average of that stature, from and to.
    pub build: [f32; 2],
    /// Periods `[from, to)` in seconds in which the room is empty. People are gone at once and back at once.
    pub absent_s: Vec<[f64; 2]>,
    /// The first people, in this order, do nothing but rest where these say; the others do as `weights` say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resting: Vec<Resting>,
    /// The next people, in this order, do what these files show.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clips: Vec<Clip>,
}

/// Somebody who leans back or lies, and moves only as they breathe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resting {
    /// Where on the floor, metres.
    pub at_m: [f32; 2],
    /// Where they face, degrees from x towards y.
    pub heading_deg: f32,
    /// On the floor, instead of on a seat.
    #[serde(default)]
    pub lying: bool,
    /// Breaths per second.
    pub breathing_hz: f32,
}

impl Default for People {
    fn default() -> Self {
        Self {
            count: 1,
            weights: ActivityWeights::default(),
            speed_m_s: [0.6, 1.5],
            stature_m: [1.5, 1.95],
            build: [0.85, 1.25],
            absent_s: Vec::new(),
            resting: Vec::new(),
            clips: Vec::new(),
        }
    }
}

/// Relative frequencies with which the next activity is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActivityWeights {
    /// Walk somewhere else.
    pub walk: f32,
    /// Stand, shifting weight.
    pub stand: f32,
    /// Wave or gesture with one or both arms.
    pub wave: f32,
    /// Sit down, sit, get up.
    pub sit: f32,
    /// Lie down on the floor, lie, get up.
    pub lie: f32,
    /// Fall, lie, get up.
    pub fall: f32,
    /// Squat and rise.
    pub squat: f32,
}

impl Default for ActivityWeights {
    fn default() -> Self {
        Self { walk: 4.0, stand: 1.5, wave: 1.5, sit: 1.0, lie: 0.4, fall: 0.4, squat: 0.6 }
    }
}

/// A room, its radios and its people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneConfig {
    /// The room.
    pub room: Room,
    /// What the radios sound.
    pub radio: Radio,
    /// Transmitters, 1 to 8.
    pub transmitters: Vec<Node>,
    /// Receivers, 1 to 32.
    pub receivers: Vec<Node>,
    /// Who is there.
    #[serde(default)]
    pub people: People,
    /// What is wrong with the radios.
    #[serde(default)]
    pub faults: Faults,
}

impl SceneConfig {
    /// A furnished room of 6 × 5 × 2.7 m with one transmitter and three receivers of three antennas: 5.32 GHz, 20 MHz,
    /// 30 subcarriers, 100 packets per second, two people.
    pub fn demo() -> Self {
        let node = |name: &str, position_m, antennas, axis_deg| Node {
            name: name.into(),
            position_m,
            antennas,
            axis_deg,
            spacing_m: None,
        };
        Self {
            room: Room {
                size_m: [6.0, 5.0, 2.7],
                surfaces: [
                    Material::Brick,
                    Material::Brick,
                    Material::Plasterboard,
                    Material::Concrete,
                    Material::Concrete,
                    Material::Concrete,
                ],
                furniture: vec![
                    Furniture {
                        center_m: [5.7, 3.6, 0.9],
                        size_m: [0.5, 1.2, 1.8],
                        material: Material::Wood,
                    },
                    Furniture {
                        center_m: [2.0, 4.75, 0.45],
                        size_m: [1.8, 0.4, 0.9],
                        material: Material::Wood,
                    },
                    Furniture {
                        center_m: [0.2, 3.9, 0.5],
                        size_m: [0.12, 0.9, 0.6],
                        material: Material::Metal,
                    },
                ],
                clearance_m: [0.5, 0.8, 0.5, 0.75],
            },
            radio: Radio {
                carrier_hz: 5.32e9,
                bandwidth_mhz: 20,
                subcarriers: Subcarriers::Intel5300,
                packet_hz: 100.0,
                tx_power_dbm: 15.0,
            },
            transmitters: vec![node("router", [0.3, 0.3, 1.2], 1, 45.0)],
            receivers: vec![
                node("north", [0.4, 4.6, 1.4], 3, -45.0),
                node("east", [5.7, 4.6, 0.9], 3, 45.0),
                node("south", [5.6, 0.4, 1.6], 3, -45.0),
            ],
            people: People { count: 2, ..People::default() },
            faults: Faults::ordinary(),
        }
    }

    /// A scene drawn from `randomisation`; the same seed gives the same scene.
    pub fn random(seed: u64, randomisation: &Randomisation) -> Self {
        let r = randomisation;
        let mut draw = Draw::new(seed, 0x5CE0E);
        let d = &mut draw;
        let size: [f32; 3] = r.room_m.map(|range| d.between(range));
        let wall = |d: &mut Draw| Material::WALLS[d.index(Material::WALLS.len())];
        let mut room = Room {
            size_m: size,
            surfaces: [wall(d), wall(d), wall(d), wall(d), Material::Concrete, wall(d)],
            furniture: Vec::new(),
            clearance_m: [0.5; 4],
        };
        let pieces = count(d, r.furniture);
        for _ in 0..pieces {
            place_furniture(d, &mut room);
        }
        let node = |d: &mut Draw, name: String, antennas: u16, turn: f32| {
            // On a ring inside the walls, so that several receivers surround the room.
            let angle = turn + d.between([-0.35, 0.35]);
            let inset = d.between([0.15, 0.6]);
            let (s, c) = angle.sin_cos();
            let half = [size[0] / 2.0 - inset, size[1] / 2.0 - inset];
            let k = (half[0] / c.abs().max(1e-3)).min(half[1] / s.abs().max(1e-3));
            Node {
                name,
                position_m: [
                    size[0] / 2.0 + k * c,
                    size[1] / 2.0 + k * s,
                    d.between(r.node_height_m).min(size[2] - 0.1),
                ],
                antennas,
                axis_deg: d.between([0.0, 180.0]),
                spacing_m: None,
            }
        };
        let receivers = count(d, r.receivers).max(1);
        let transmitters = count(d, r.transmitters).max(1);
        let all = (receivers + transmitters) as f32;
        let start = d.between([0.0, std::f32::consts::TAU]);
        let turn = |i: usize| start + std::f32::consts::TAU * i as f32 / all;
        let tx = (0..transmitters).map(|i| node(d, format!("tx{i}"), r.tx_antennas, turn(i))).collect();
        let rx = (0..receivers)
            .map(|i| node(d, format!("rx{i}"), r.rx_antennas, turn(transmitters + i)))
            .collect();
        let mut faults = r.faults.clone();
        if faults.snr_db.is_some() {
            faults.snr_db = Some(d.between(r.snr_db));
        }
        Self {
            room,
            radio: r.radio.clone(),
            transmitters: tx,
            receivers: rx,
            people: People { count: count(d, r.people), ..r.behaviour.clone() },
            faults,
        }
    }

    /// The same scene after somebody moved the furniture: every piece is elsewhere along the walls.
    pub fn with_moved_furniture(mut self, seed: u64) -> Self {
        let pieces = std::mem::take(&mut self.room.furniture);
        let mut d = Draw::new(seed, 0xF0B7);
        let clearance = self.room.clearance_m;
        for piece in pieces {
            place_furniture(&mut d, &mut self.room);
            if let Some(last) = self.room.furniture.last_mut() {
                last.material = piece.material;
            }
        }
        for (c, before) in self.room.clearance_m.iter_mut().zip(clearance) {
            *c = c.max(before);
        }
        self
    }

    /// Reads a scene from TOML and checks it.
    ///
    /// # Errors
    /// [`SimError::Toml`] for what does not parse, [`SimError::Config`] for what cannot be simulated.
    pub fn from_toml(text: &str) -> Result<Self, SimError> {
        let config: Self = toml::from_str(text).map_err(SimError::Toml)?;
        config.check()?;
        Ok(config)
    }

    /// Refuses what cannot be simulated.
    ///
    /// # Errors
    /// [`SimError::Config`] naming the field.
    pub fn check(&self) -> Result<(), SimError> {
        let fail = |what: &str| Err(SimError::Config(what.to_owned()));
        let size = self.room.size_m;
        if !size.iter().all(|s| (2.0..=50.0).contains(s)) {
            return fail("room.size_m: each edge must be 2 to 50 m");
        }
        let c = self.room.clearance_m;
        if !c.iter().all(|c| (0.4..50.0).contains(c))
            || size[0] - c[0] - c[1] < 0.5
            || size[1] - c[2] - c[3] < 0.5
        {
            return fail("room.clearance_m: at least 0.4 m, and 0.5 m of floor must remain");
        }
        if self.room.furniture.len() > 64
            || self.room.furniture.iter().any(|f| f.size_m.iter().any(|s| !(0.01..=50.0).contains(s)))
        {
            return fail("room.furniture: at most 64 pieces with edges of 0.01 to 50 m");
        }
        let r = &self.radio;
        if !(1e8..=1e11).contains(&r.carrier_hz) {
            return fail("radio.carrier_hz: must be 100 MHz to 100 GHz");
        }
        if r.bandwidth_mhz == 0 || !(0.1..=10_000.0).contains(&r.packet_hz) || !r.tx_power_dbm.is_finite() {
            return fail("radio: bandwidth_mhz above 0, packet_hz 0.1 to 10000, tx_power_dbm a number");
        }
        let tones = r.subcarriers.indices();
        if tones.is_empty() || tones.len() > 4096 {
            return fail("radio.subcarriers: 1 to 4096 of them");
        }
        for (nodes, name, most) in
            [(&self.transmitters, "transmitters", 8), (&self.receivers, "receivers", 32)]
        {
            if nodes.is_empty() || nodes.len() > most {
                return Err(SimError::Config(format!("{name}: 1 to {most} of them")));
            }
            for n in nodes {
                let inside = n.position_m.iter().zip(size).all(|(p, s)| (0.0..=s).contains(p));
                if !inside || !(1..=8).contains(&n.antennas) || !n.axis_deg.is_finite() {
                    return Err(SimError::Config(format!(
                        "{name}: {} must stand in the room, with 1 to 8 antennas",
                        n.name
                    )));
                }
            }
        }
        let p = &self.people;
        if p.count > 8 {
            return fail("people.count: at most 8");
        }
        let ordered = |[a, b]: [f32; 2], lo: f32, hi: f32| a >= lo && b <= hi && a <= b;
        if !ordered(p.speed_m_s, 0.2, 2.5) || !ordered(p.stature_m, 1.0, 2.2) || !ordered(p.build, 0.6, 1.8) {
            return fail("people: speed_m_s within 0.2..2.5, stature_m within 1..2.2, build within 0.6..1.8");
        }
        if size[2] < p.stature_m[1] + 0.1 {
            return fail("people.stature_m: must be 0.1 m below the ceiling");
        }
        for r in &p.resting {
            let inside = r.at_m.iter().zip(size).all(|(p, s)| (0.3..=s - 0.3).contains(p));
            if !inside || !r.heading_deg.is_finite() || !(0.05..=1.0).contains(&r.breathing_hz) {
                return fail("people.resting: at least 0.3 m from the walls, breathing_hz within 0.05..1");
            }
        }
        for c in &p.clips {
            let inside = c.at_m.iter().zip(size).all(|(p, s)| (0.0..=s).contains(p));
            if !inside || !c.heading_deg.is_finite() {
                return fail("people.clips: at_m within the room, heading_deg a number");
            }
        }
        let f = &self.faults;
        let numbers = [
            f.snr_db.unwrap_or(0.0),
            f.sto_ns,
            f.sfo_ppm,
            f.cfo_hz,
            f.cfo_phase_rad,
            f.pll_jumps_per_s,
            f.antenna_gain_db,
            f.agc_step_db,
            f.agc_miss,
            f.jitter_s,
            f.loss,
            f.drift,
        ];
        if !numbers.iter().all(|n| n.is_finite())
            || f.quantisation_bits.is_some_and(|b| !(2..=16).contains(&b))
        {
            return fail("faults: numbers must be finite and quantisation_bits 2 to 16");
        }
        Ok(())
    }
}

fn count(d: &mut Draw, [a, b]: [usize; 2]) -> usize {
    a + d.index(b.saturating_sub(a) + 1)
}

/// Puts one more piece along a wall and keeps people's paths away from it.
fn place_furniture(d: &mut Draw, room: &mut Room) {
    let wall = d.index(4);
    let depth = d.between([0.15, 0.6]);
    let width = d.between([0.3, 1.6]);
    let height = d.between([0.4, 1.9]).min(room.size_m[2] - 0.1);
    let (across, along) = (wall / 2, 1 - wall / 2);
    let mut center = [0.0, 0.0, height / 2.0];
    let mut size = [0.0, 0.0, height];
    center[across] = if wall.is_multiple_of(2) { depth / 2.0 } else { room.size_m[across] - depth / 2.0 };
    center[along] = d.between([width / 2.0, (room.size_m[along] - width / 2.0).max(width / 2.0)]);
    size[across] = depth;
    size[along] = width;
    let material = if d.chance(0.25) { Material::Metal } else { Material::Wood };
    room.furniture.push(Furniture { center_m: center, size_m: size, material });
    // Narrow rooms keep their walking space; people then brush past the piece.
    let free = room.size_m[across] - room.clearance_m[across * 2] - room.clearance_m[across * 2 + 1];
    let wanted = depth + 0.3;
    if free - (wanted - room.clearance_m[wall]).max(0.0) > 1.6 {
        room.clearance_m[wall] = room.clearance_m[wall].max(wanted);
    }
}

/// What varies from scene to scene, each range from and to (inclusive).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Randomisation {
    /// Edges of the room, metres.
    pub room_m: [[f32; 2]; 3],
    /// Pieces of furniture.
    pub furniture: [usize; 2],
    /// Transmitters.
    pub transmitters: [usize; 2],
    /// Receivers.
    pub receivers: [usize; 2],
    /// Antennas of each transmitter.
    pub tx_antennas: u16,
    /// Antennas of each receiver.
    pub rx_antennas: u16,
    /// Height of the nodes above the floor, metres.
    pub node_height_m: [f32; 2],
    /// People.
    pub people: [usize; 2],
    /// How they look and behave; its `count` is not used.
    pub behaviour: People,
    /// Signal to noise ratio, dB; unused where `faults.snr_db` is absent.
    pub snr_db: [f32; 2],
    /// The radios' faults.
    pub faults: Faults,
    /// What the radios sound.
    pub radio: Radio,
}

impl Default for Randomisation {
    fn default() -> Self {
        Self {
            room_m: [[4.0, 9.0], [3.5, 7.0], [2.4, 3.2]],
            furniture: [0, 4],
            transmitters: [1, 1],
            receivers: [3, 3],
            tx_antennas: 1,
            rx_antennas: 3,
            node_height_m: [0.6, 2.0],
            people: [1, 3],
            behaviour: People::default(),
            snr_db: [20.0, 32.0],
            faults: Faults::ordinary(),
            radio: SceneConfig::demo().radio,
        }
    }
}

impl Randomisation {
    /// Reads the ranges from TOML.
    ///
    /// # Errors
    /// [`SimError::Toml`] for what does not parse.
    pub fn from_toml(text: &str) -> Result<Self, SimError> {
        toml::from_str(text).map_err(SimError::Toml)
    }
}
