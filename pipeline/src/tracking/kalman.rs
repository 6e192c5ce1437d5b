//! A Kalman filter for a point that keeps its velocity.

/// One axis: position and velocity with their covariance. White acceleration noise.
///
/// Source: Bar-Shalom, Li and Kirubarajan, "Estimation with applications to tracking and navigation", 2001, section
/// 6.3.2 (discretised continuous white noise acceleration).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    /// Metres.
    pub position: f64,
    /// Metres per second.
    pub velocity: f64,
    /// Covariance of (position, velocity): `[pp, pv, vv]`.
    pub covariance: [f64; 3],
}

impl Axis {
    /// At rest at a measured place, the velocity unknown to `velocity_sigma`.
    pub fn new(position: f64, sigma: f64, velocity_sigma: f64) -> Self {
        Self { position, velocity: 0.0, covariance: [sigma * sigma, 0.0, velocity_sigma * velocity_sigma] }
    }

    /// `dt` seconds later; `intensity` of the acceleration noise in m²/s³.
    pub fn predict(&mut self, dt: f64, intensity: f64) {
        let [pp, pv, vv] = self.covariance;
        self.position += dt * self.velocity;
        self.covariance = [
            pp + 2.0 * dt * pv + dt * dt * vv + intensity * dt.powi(3) / 3.0,
            pv + dt * vv + intensity * dt * dt / 2.0,
            vv + intensity * dt,
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

    #[test]
    fn it_finds_a_constant_velocity() {
        let mut axis = Axis::new(0.0, 0.1, 1.0);
        for k in 1..=100 {
            axis.predict(0.05, 1e-4);
            axis.update(0.05 * f64::from(k) * 1.2, 0.1);
        }
        assert!((axis.velocity - 1.2).abs() < 0.02, "{axis:?}");
        assert!((axis.position - 6.0).abs() < 0.02, "{axis:?}");
        let [pp, pv, vv] = axis.covariance;
        assert!(pp > 0.0 && vv > 0.0 && pp * vv > pv * pv);
    }

    #[test]
    fn what_is_not_measured_becomes_uncertain() {
        let mut axis = Axis::new(0.0, 0.1, 1.0);
        let before = axis.covariance[0];
        axis.predict(1.0, 0.5);
        assert!(axis.covariance[0] > before);
    }
}
