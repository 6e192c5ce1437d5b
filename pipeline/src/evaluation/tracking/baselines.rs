//! What the tracker is compared with: SORT and the nearest neighbour.

use crate::tracking::{Axis, Motion, Observation, assign};

use super::metrics::Point;

/// Follows people from observations.
pub trait Follower {
    /// The next window, `dt_s` after the last; who is shown.
    fn step(&mut self, dt_s: f64, seen: &[Observation]) -> Vec<Point>;
}

/// Observations that both take, as is usual: those with an even chance.
const CONFIDENCE: f32 = 0.5;
/// Observations farther from a track than this are somebody else, metres. SORT's own gate is an overlap of boxes, which
/// points do not have.
const GATE_M: f64 = 1.0;

/// Velocities last this long, seconds: as good as for ever…
const KEEPS_S: f64 = 10.0;
/// …and change by white noise of 1 m²/s³: 2 σ² / `KEEPS_S`.
const SPEED_M_S: f64 = 2.236;

fn place(o: &Observation) -> [f64; 2] {
    [f64::from(o.root_m[0]), f64::from(o.root_m[1])]
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

fn taken(seen: &[Observation]) -> Vec<&Observation> {
    seen.iter().filter(|o| o.confidence >= CONFIDENCE).collect()
}

/// SORT: a constant-velocity Kalman filter and the Hungarian method (Bewley et al., "Simple online and realtime tracking",
/// 2016). Shown are tracks that were just seen, from their third sight on; one that is not seen for longer than
/// `max_age` windows ends.
pub struct Sort {
    max_age: u32,
    tracks: Vec<SortTrack>,
    next: u64,
}

struct SortTrack {
    id: u64,
    axes: [Axis; 2],
    hits: u32,
    unseen: u32,
}

impl Sort {
    /// The published `max_age` is 1.
    pub fn new(max_age: u32) -> Self {
        Self { max_age, tracks: Vec::new(), next: 0 }
    }
}

impl Follower for Sort {
    fn step(&mut self, dt_s: f64, seen: &[Observation]) -> Vec<Point> {
        let seen = taken(seen);
        let motion = Motion::new(dt_s, SPEED_M_S, KEEPS_S);
        for track in &mut self.tracks {
            track.axes.iter_mut().for_each(|a| a.predict(&motion));
            track.unseen += 1;
        }
        let predicted: Vec<[f64; 2]> = self.tracks.iter().map(|t| t.axes.map(|a| a.position)).collect();
        let cost: Vec<Vec<f64>> = predicted
            .iter()
            .map(|p| {
                let cost = |o: &&Observation| Some(distance(*p, place(o))).filter(|d| *d <= GATE_M);
                seen.iter().map(|o| cost(o).unwrap_or(1e6)).collect()
            })
            .collect();
        let mut free = vec![true; seen.len()];
        for (t, o) in assign(&cost).into_iter().enumerate().filter_map(|(t, o)| Some((t, o?))) {
            if cost[t][o] <= GATE_M {
                free[o] = false;
                let track = &mut self.tracks[t];
                for (axis, measured) in track.axes.iter_mut().zip(place(seen[o])) {
                    axis.update(measured, f64::from(seen[o].position_sigma_m));
                }
                track.unseen = 0;
                track.hits += 1;
            }
        }
        for (o, _) in seen.iter().zip(&free).filter(|(_, free)| **free) {
            self.next += 1;
            let axes = place(o).map(|p| Axis::new(p, f64::from(o.position_sigma_m), 1.0));
            self.tracks.push(SortTrack { id: self.next, axes, hits: 1, unseen: 0 });
        }
        self.tracks.retain(|t| t.unseen <= self.max_age);
        let shown = self.tracks.iter().filter(|t| t.unseen == 0 && t.hits >= 3);
        shown.map(|t| Point { id: t.id, at_m: t.axes.map(|a| a.position) }).collect()
    }
}

/// Each observation belongs to the nearest one of before within a metre, the closest pairs first; whoever is not seen
/// for half a second is gone.
#[derive(Default)]
pub struct NearestNeighbour {
    tracks: Vec<(Point, f64)>,
    next: u64,
}

/// Time without a sight after which the nearest neighbour forgets, seconds.
const FORGET_S: f64 = 0.5;

impl Follower for NearestNeighbour {
    fn step(&mut self, dt_s: f64, seen: &[Observation]) -> Vec<Point> {
        let seen = taken(seen);
        self.tracks.iter_mut().for_each(|(_, unseen)| *unseen += dt_s);
        let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
        for (t, (track, _)) in self.tracks.iter().enumerate() {
            for (o, observation) in seen.iter().enumerate() {
                let d = distance(track.at_m, place(observation));
                if d <= GATE_M {
                    pairs.push((d, t, o));
                }
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free = (vec![true; self.tracks.len()], vec![true; seen.len()]);
        for (_, t, o) in pairs {
            if free.0[t] && free.1[o] {
                (free.0[t], free.1[o]) = (false, false);
                self.tracks[t].0.at_m = place(seen[o]);
                self.tracks[t].1 = 0.0;
            }
        }
        for (o, _) in seen.iter().zip(&free.1).filter(|(_, free)| **free) {
            self.next += 1;
            self.tracks.push((Point { id: self.next, at_m: place(o) }, 0.0));
        }
        self.tracks.retain(|(_, unseen)| *unseen <= FORGET_S);
        self.tracks.iter().map(|(point, _)| *point).collect()
    }
}
