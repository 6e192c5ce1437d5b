//! Interrupted trainings.

use std::path::Path;

use burn::{module::Module, optim::ModuleOptimizer};
use serde::{Deserialize, Serialize};

use super::{TrainConfig, TrainError, course::Course, io};
use crate::network::PoseNetwork;

#[derive(Serialize, Deserialize)]
struct State {
    step: u64,
    /// A checkpoint of another configuration is not gone on from.
    config: String,
    #[serde(default)]
    course: Course,
}

const STATE: &str = "checkpoint.json";

fn names(step: u64) -> [String; 2] {
    [format!("checkpoint-{step}-network.bpk"), format!("checkpoint-{step}-optimiser.bpk")]
}

/// Writes a checkpoint. The state file is put in place last and at once, so that a kill leaves the one before.
pub(super) fn write(
    folder: &Path,
    config: &str,
    step: u64,
    course: &Course,
    network: &PoseNetwork,
    optimiser: &ModuleOptimizer,
) -> Result<(), TrainError> {
    let [n, o] = names(step).map(|n| folder.join(n));
    let fail =
        |path: &Path, reason: String| TrainError::Checkpoint { path: path.display().to_string(), reason };
    let before =
        std::fs::read(folder.join(STATE)).ok().and_then(|b| serde_json::from_slice::<State>(&b).ok());
    network.clone().save_file(&n).map_err(|e| fail(&n, e.to_string()))?;
    optimiser.save(&o).map_err(|e| fail(&o, e.to_string()))?;
    let state = State { step, config: config.to_owned(), course: course.clone() };
    let bytes = serde_json::to_vec(&state).map_err(|e| fail(folder, e.to_string()))?;
    let (new, path) = (folder.join("checkpoint.json.new"), folder.join(STATE));
    std::fs::write(&new, bytes).map_err(|e| io(&new, e))?;
    std::fs::rename(&new, &path).map_err(|e| io(&path, e))?;
    if let Some(before) = before.filter(|b| b.step != step) {
        for name in names(before.step) {
            // What is left over does no harm.
            let _ = std::fs::remove_file(folder.join(name));
        }
    }
    Ok(())
}

/// The step and the course of the checkpoint in the folder, if there is one that `config` would have come to as well.
pub(super) fn read(folder: &Path, config: &TrainConfig) -> Result<Option<(u64, Course)>, TrainError> {
    let path = folder.join(STATE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(&path, e)),
    };
    let state: State = serde_json::from_slice(&bytes)
        .map_err(|e| TrainError::Checkpoint { path: path.display().to_string(), reason: e.to_string() })?;
    let falls_at = state.course.falls_at();
    if !TrainConfig::from_toml(&state.config).is_ok_and(|c| c.same_until(config, state.step, falls_at)) {
        let reason = "is of another configuration; use another folder or remove it".to_owned();
        return Err(TrainError::Checkpoint { path: path.display().to_string(), reason });
    }
    Ok(Some((state.step, state.course)))
}

/// Network and optimiser of the checkpoint that [`read`] found.
pub(super) fn load(
    folder: &Path,
    network: PoseNetwork,
    optimiser: ModuleOptimizer,
) -> Result<(PoseNetwork, ModuleOptimizer), TrainError> {
    let path = folder.join(STATE);
    let bytes = std::fs::read(&path).map_err(|e| io(&path, e))?;
    let fail =
        |path: &Path, reason: String| TrainError::Checkpoint { path: path.display().to_string(), reason };
    let state: State = serde_json::from_slice(&bytes).map_err(|e| fail(&path, e.to_string()))?;
    let [n, o] = names(state.step).map(|n| folder.join(n));
    let network = network.try_load_file(&n).map_err(|e| fail(&n, e.to_string()))?;
    let optimiser = optimiser.load(&o).map_err(|e| fail(&o, e.to_string()))?;
    Ok((network, optimiser))
}
