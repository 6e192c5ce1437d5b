//! Networks, the physical simulator, data sets, training, evaluation, calibration and weights.

pub mod sim;
pub mod skeleton;
