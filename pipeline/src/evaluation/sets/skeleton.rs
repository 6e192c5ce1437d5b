//! The sets' skeletons as the network's: the 17 keypoints of COCO.

use invispose_models::skeleton::{ANKLES, HIPS, KEYPOINTS, SHOULDERS};

/// People at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen<const D: usize> {
    /// Seconds from the recording's start.
    pub time_s: f64,
    /// Everybody who is seen.
    pub persons: Vec<Body<D>>,
}

/// A person in `D` coordinates.
#[derive(Clone, Debug, PartialEq)]
pub struct Body<const D: usize> {
    /// COCO order; absent what the set does not tell.
    pub keypoints: [Option<[f32; D]>; KEYPOINTS],
    /// The head, where the set tells it as one point.
    pub head: Option<[f32; D]>,
}

/// Where a set's list of joints has which keypoint.
pub struct Order {
    /// COCO order.
    pub keypoints: [Option<usize>; KEYPOINTS],
    /// The head as one point.
    pub head: Option<usize>,
}

impl Order {
    /// A set that tells arms, legs and a head: the places of its left and right shoulders, elbows, wrists, hips, knees and ankles, in
    /// COCO's order.
    pub const fn limbs(places: [usize; 12], head: usize) -> Self {
        let mut keypoints = [None; KEYPOINTS];
        let mut i = 0;
        while i < 12 {
            keypoints[SHOULDERS[0] + i] = Some(places[i]);
            i += 1;
        }
        Self { keypoints, head: Some(head) }
    }

    /// The body of a list of joints; `None` where shoulders and hips are not both known.
    pub fn body<const D: usize>(&self, joint: impl Fn(usize) -> Option<[f32; D]>) -> Option<Body<D>> {
        let at = |place: &Option<usize>| {
            place.and_then(&joint).filter(|p: &[f32; D]| p.iter().all(|v| v.is_finite()))
        };
        let body = Body { keypoints: std::array::from_fn(|j| at(&self.keypoints[j])), head: at(&self.head) };
        let trunk = SHOULDERS.iter().chain(&HIPS).all(|j| body.keypoints[*j].is_some());
        trunk.then_some(body)
    }
}

impl<const D: usize> Body<D> {
    /// The middle of the hips.
    pub fn root(&self) -> Option<[f32; D]> {
        let [left, right] = HIPS.map(|j| self.keypoints[j]);
        let (left, right) = (left?, right?);
        Some(std::array::from_fn(|i| 0.5 * (left[i] + right[i])))
    }
}

/// A camera that looks along a room's y from here, level, site coordinates in metres.
pub struct Camera(pub [f32; 3]);

impl Camera {
    /// People in the camera's coordinates (to its right, down or up, ahead; metres) as site coordinates. Which way the second axis
    /// goes is told by where most heads and ankles are: publications and loaders differ in it.
    pub fn to_site(&self, seen: Vec<Seen<3>>) -> Vec<Seen<3>> {
        let above = |body: &Body<3>| {
            let ankles: Vec<f32> = ANKLES.iter().filter_map(|j| Some(body.keypoints[*j]?[1])).collect();
            let ankles = ankles.iter().sum::<f32>() / ankles.len().max(1) as f32;
            body.head.map_or(0.0, |head| head[1] - ankles)
        };
        let up = seen.iter().flat_map(|s| &s.persons).map(above).sum::<f32>();
        let up = if up > 0.0 { 1.0 } else { -1.0 };
        let Self([x, y, z]) = self;
        let site = |p: [f32; 3]| [x + p[0], y + p[2], z + up * p[1]];
        let body = |b: Body<3>| Body { keypoints: b.keypoints.map(|p| p.map(site)), head: b.head.map(site) };
        seen.into_iter().map(|s| Seen { persons: s.persons.into_iter().map(body).collect(), ..s }).collect()
    }
}
