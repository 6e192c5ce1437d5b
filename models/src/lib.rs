//! Networks, the physical simulator, data sets, training, evaluation, calibration and weights.

#[cfg(feature = "nn")]
pub mod data;
#[cfg(feature = "nn")]
pub mod evaluate;
pub mod input;
#[cfg(feature = "nn")]
pub mod network;
#[cfg(feature = "nn")]
pub mod predictor;
pub mod sim;
pub mod skeleton;
#[cfg(feature = "nn")]
pub mod train;
#[cfg(feature = "nn")]
pub mod weights;
