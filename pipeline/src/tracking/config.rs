//! The rules of tracking.

use serde::{Deserialize, Serialize};

/// Birth, life and death of tracks, and how smooth they are. `invispose evaluate --suite tracking` shows what they are worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrackerConfig {
    /// An observation must be at least this sure to start a track, and is matched before those that are less sure…
    pub birth_confidence: f32,
    /// …and at least this sure to keep a shown track alive.
    pub keep_confidence: f32,
    /// A track is shown once it was seen over this long, seconds: ghosts of the network mostly last less…
    pub confirm_s: f64,
    /// …in at least this share of the windows…
    pub confirm_share: f64,
    /// …and in at least so many of them: where time presses fewer are looked at, and a ghost must not need fewer of them for that. In time that does
    /// not press the other two ask for as many.
    pub confirm_looks: u32,
    /// A shown track that is not seen any more is shown for this long at most, seconds: people are missed for half a second
    /// at a time…
    pub lose_s: f64,
    /// …and for at most this share of the time that it has been followed: what came late goes soon.
    pub lose_share: f64,
    /// A track's probability of existence follows the confidence of its observations, and zero where it has none, with this time constant at
    /// most, seconds, and `lose_share` of the time that it has been followed…
    pub existence_s: f64,
    /// …and a shown track ends when it falls below this: confidences are calibrated, so one half is more likely there than not.
    pub keep_existence: f64,
    /// A track that was never shown ends after this long, seconds.
    pub lose_tentative_s: f64,
    /// Somebody who appears within this long after a track was last seen, seconds…
    pub reidentify_s: f64,
    /// …where its person can have walked to at this speed, metres per second, is that person.
    pub reidentify_speed: f64,
    /// Standard deviation of a person's velocity along an axis of the floor, metres per second: people walk at up to 1.5.
    pub speed: f64,
    /// How long people keep their velocity, seconds: a walk through a room lasts a few.
    pub keeps_velocity_s: f64,
    /// Errors of overlapping windows are alike: an observation counts for this share of an independent one.
    pub independence: f64,
    /// Square of the Mahalanobis distance beyond which an observation is somebody else: the 99 % point of χ² with
    /// 3 degrees of freedom is 11.34.
    pub gate: f64,
    /// An observation that is closer than this to a track that was matched otherwise, metres, starts no track: one
    /// person is not two.
    pub separation_m: f32,
    /// One-Euro filter of the joints: cut-off at rest, hertz. A joint that rests lags by 1 / (2π f) seconds…
    pub joint_hz: f32,
    /// …and one that moves at v m/s by 1 / (2π (f + this × v)).
    pub joint_hz_per_m_s: f32,
    /// Lengths of limbs are learned over this long, seconds, and then hold.
    pub limb_s: f32,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            birth_confidence: 0.6,
            keep_confidence: 0.3,
            confirm_s: 0.5,
            confirm_share: 0.6,
            confirm_looks: 6,
            lose_s: 1.5,
            lose_share: 0.5,
            existence_s: 3.0,
            keep_existence: 0.5,
            lose_tentative_s: 0.25,
            reidentify_s: 4.0,
            reidentify_speed: 1.2,
            speed: 0.7,
            keeps_velocity_s: 4.0,
            independence: 0.2,
            gate: 11.34,
            separation_m: 0.4,
            joint_hz: 1.0,
            joint_hz_per_m_s: 1.5,
            limb_s: 10.0,
        }
    }
}
