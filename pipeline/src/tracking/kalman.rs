//! A Kalman filter for a point that keeps its velocity for a while.

/// One axis: position and velocity with their covariance.
///
/// The velocity is an Ornstein-Uhlenbeck process: it forgets itself over a time constant and is stirred by white noise. Where the
/// time constant is long this is the usual constant-velocity model. Source: Bar-Shalom, Li and Kirubarajan, "Estimation
/// with applications to tracking and navigation", 2001, sections 6.3 and 8.2 (Singer's model, one derivative lower).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    /// Metres.
    pub position: f64,
    /// Metres per second.
    pub velocity: f64,
    /// Covariance of (position, velocity): `[pp, pv, vv]`.
    pub covariance: [f64; 3],
}

/// How a velocity changes over one step.
#[derive(Clone, Copy, Debug)]
pub struct Motion {
    /// Share of the velocity that is left.
    kept: f64,
    /// Way that a velocity of 1 m/s makes, metres.
    way: f64,
    /// What the step adds to the covariance.
    noise: [f64; 3],
}

impl Motion {
    /// Over `dt` seconds, for velocities with standard deviation `speed` in m/s that last `keeps_s` seconds.
    pub fn new(dt: f64, speed: f64, keeps_s: f64) -> Self {
        let tau = keeps_s.max(1e-3);
        let kept = (-dt / tau).exp();
        let lost = 1.0 - kept;
        let variance = speed * speed;
        Self {
            kept,
            way: tau * lost,
            noise: [
                variance * tau * (2.0 * dt - tau * lost * (2.0 + lost)).max(0.0),
                variance * tau * lost * lost,
                variance * lost * (1.0 + kept),
            ],
        }
    }
}

impl Axis {
    /// At rest at a measured place, the velocity unknown to `velocity_sigma`.
    pub fn new(position: f64, sigma: f64, velocity_sigma: f64) -> Self {
        Self { position, velocity: 0.0, covariance: [sigma * sigma, 0.0, velocity_sigma * velocity_sigma] }
    }

    /// One step later.
    pub fn predict(&mut self, motion: &Motion) {
        let [pp, pv, vv] = self.covariance;
        let Motion { kept, way, noise } = *motion;
        self.position += way * self.velocity;
        self.velocity *= kept;
        self.covariance = [
            pp + 2.0 * way * pv + way * way * vv + noise[0],
            kept * (pv + way * vv) + noise[1],
            kept * kept * vv + noise[2],
        ];
    }

    /// Variance of the difference between a measurement with `sigma` and the prediction.
    pub fn innovation_variance(&self, sigma: f64) -> f64 {
        self.covariance[0] + sigma * sigma
    }

    /// Takes in a measured position.
    pub fn update(&mut self, measured: f64, sigma: f64) {
        let [pp, pv, vv] = self.covariance;
        let s = self.innovation_variance(sigma);
        let (gain_p, gain_v) = (pp / s, pv / s);
        let innovation = measured - self.position;
        self.position += gain_p * innovation;
        self.velocity += gain_v * innovation;
        self.covariance = [(1.0 - gain_p) * pp, (1.0 - gain_p) * pv, vv - gain_v * pv];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_finds_a_constant_velocity() {
        let mut axis = Axis::new(0.0, 0.1, 1.0);
        let motion = Motion::new(0.05, 1.0, 1e5);
        for k in 1..=100 {
            axis.predict(&motion);
            axis.update(0.05 * f64::from(k) * 1.2, 0.1);
        }
        assert!((axis.velocity - 1.2).abs() < 0.02, "{axis:?}");
        assert!((axis.position - 6.0).abs() < 0.02, "{axis:?}");
        let [pp, pv, vv] = axis.covariance;
        assert!(pp > 0.0 && vv > 0.0 && pp * vv > pv * pv);
    }

    proptest! {
        /// Two steps are one step of their sum, and uncertainty only grows while nothing is measured.
        #[test]
        fn steps_add_up(a in 0.01..2.0f64, b in 0.01..2.0f64, speed in 0.1..2.0f64, keeps_s in 0.2..20.0f64) {
            let start = Axis { position: 1.0, velocity: 0.8, covariance: [0.04, 0.01, 0.3] };
            let (mut twice, mut once) = (start, start);
            twice.predict(&Motion::new(a, speed, keeps_s));
            twice.predict(&Motion::new(b, speed, keeps_s));
            once.predict(&Motion::new(a + b, speed, keeps_s));
            prop_assert!((twice.position - once.position).abs() < 1e-9);
            prop_assert!((twice.velocity - once.velocity).abs() < 1e-9);
            for (x, y) in twice.covariance.iter().zip(once.covariance) {
                prop_assert!((x - y).abs() < 1e-9 * y.abs().max(1.0), "{twice:?} {once:?}");
            }
            prop_assert!(once.covariance[0] > start.covariance[0]);
        }
    }
}
