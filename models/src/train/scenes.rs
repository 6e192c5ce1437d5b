//! The scenes that a training uses, simulated once and kept.

use std::path::Path;

use rayon::prelude::*;

use super::{DataConfig, Progress, SceneGroup, TrainError, cache, io};
use crate::{
    data::{self, DataError, Job, Sequence},
    sim::Split,
};

/// Sequences in a file. A training that was interrupted, or one with more scenes, simulates only what is missing.
const CHUNK: usize = 64;

/// The sequences of each group of a split: those that the folder holds, else simulated, in parallel, and kept there.
/// `None` if the callback asks to stop.
pub(super) fn make(
    config: &DataConfig,
    groups: &[SceneGroup],
    split: Split,
    folder: &Path,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<Option<Vec<Vec<Sequence>>>, TrainError> {
    std::fs::create_dir_all(folder).map_err(|e| io(folder, e))?;
    let radios = &config.radios;
    let simulate = |jobs: &[Job]| -> Result<Vec<Sequence>, DataError> {
        jobs.par_iter().map(|job| data::simulate_with(job, radios)).collect()
    };
    let total = groups.iter().map(|g| g.count as usize).sum();
    let (mut all, mut done) = (Vec::with_capacity(groups.len()), 0);
    for group in groups {
        let jobs = config.jobs(split, group);
        let mut sequences = Vec::with_capacity(jobs.len());
        for jobs in jobs.chunks(CHUNK) {
            let path = folder.join(cache::name(jobs, radios));
            match cache::read(&path, jobs, radios) {
                Some(kept) => sequences.extend(kept),
                None => {
                    let new = simulate(jobs)?;
                    cache::write(&path, jobs, radios, &new)?;
                    sequences.extend(new);
                }
            }
            done += jobs.len();
            if !progress(Progress::Data { done, total }) {
                return Ok(None);
            }
        }
        all.push(sequences);
    }
    Ok(Some(all))
}
