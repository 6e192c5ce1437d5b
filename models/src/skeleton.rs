//! The 17 COCO keypoints as geometry: indices, bones and lengths.

/// 17 keypoints in metres, COCO order; x and y on the floor, z up.
pub type Keypoints = [[f32; 3]; KEYPOINTS];

/// Keypoints of a person.
pub const KEYPOINTS: usize = 17;

/// Names of the keypoints.
pub const NAMES: [&str; KEYPOINTS] = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
];

/// Index of the nose.
pub const NOSE: usize = 0;
/// Indices of the left and right eye.
pub const EYES: [usize; 2] = [1, 2];
/// Indices of the left and right ear.
pub const EARS: [usize; 2] = [3, 4];
/// Indices of the left and right shoulder.
pub const SHOULDERS: [usize; 2] = [5, 6];
/// Indices of the left and right elbow.
pub const ELBOWS: [usize; 2] = [7, 8];
/// Indices of the left and right wrist.
pub const WRISTS: [usize; 2] = [9, 10];
/// Indices of the left and right hip.
pub const HIPS: [usize; 2] = [11, 12];
/// Indices of the left and right knee.
pub const KNEES: [usize; 2] = [13, 14];
/// Indices of the left and right ankle.
pub const ANKLES: [usize; 2] = [15, 16];

/// Where each keypoint goes when left and right are exchanged.
pub const MIRROR: [usize; KEYPOINTS] = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15];

/// Pairs of keypoints whose distance does not change with the pose.
pub const BONES: [(usize, usize); 14] = [
    (0, 1),
    (0, 2),
    (1, 3),
    (2, 4),
    (5, 6),
    (5, 7),
    (7, 9),
    (6, 8),
    (8, 10),
    (11, 12),
    (11, 13),
    (13, 15),
    (12, 14),
    (14, 16),
];

/// Lengths of [`BONES`] in metres.
pub fn bone_lengths(k: &Keypoints) -> [f32; BONES.len()] {
    BONES.map(|(a, b)| distance(k[a], k[b]))
}

/// Euclidean distance.
pub fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f32>().sqrt()
}

/// The point halfway between two.
pub fn middle(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    std::array::from_fn(|i| 0.5 * (a[i] + b[i]))
}

/// The root of a pose: the middle of the hips, metres.
pub fn root(k: &Keypoints) -> [f32; 3] {
    middle(k[HIPS[0]], k[HIPS[1]])
}

/// Middle of the hips to middle of the shoulders, metres: the length that PCK thresholds are fractions of.
pub fn torso_length(k: &Keypoints) -> f32 {
    distance(root(k), middle(k[SHOULDERS[0]], k[SHOULDERS[1]]))
}

/// Where the body faces on the floor plan, radians from x towards y: across the line from the right hip and shoulder
/// to the left ones.
pub fn heading(k: &Keypoints) -> f32 {
    let across = |i: usize| (k[HIPS[0]][i] - k[HIPS[1]][i]) + (k[SHOULDERS[0]][i] - k[SHOULDERS[1]][i]);
    (-across(0)).atan2(across(1))
}
