//! Falls from the signal alone: suite `fall`.
//!
//! CSV rows of 64 amplitudes and a label (3 fall, else another activity), without times. A file of falls is one clip; anything longer is cut into
//! clips of the falls' median length.

use std::path::Path;

use invispose_kernels::discriminant::Discriminant;
use serde_json::{Value, json};

use super::recordings::{EvaluationError, file_name, files, set_folder, text};
use super::report::{Answer, Report, Score};
use super::series::{Series, groups, log};

const FALL: u32 = 3;
const COLUMNS: usize = 64;
const GROUPS: usize = 8;
const SHRINKAGE: f64 = 0.1;
/// Parts that are left out in turn.
const FOLDS: usize = 8;

struct Clip {
    file: String,
    fall: bool,
    fold: usize,
    features: Vec<f64>,
    total: f64,
}

/// Runs the suite.
pub fn fall(data: &Path) -> Result<Report, EvaluationError> {
    let folder = set_folder(data, "fall-esp32");
    let mut recordings = Vec::new();
    for file in files(&folder, "csv")? {
        recordings.push((file_name(&file), read(&file)?));
    }
    let mut lengths: Vec<usize> =
        recordings.iter().filter(|(_, (label, _))| *label == FALL).map(|(_, (_, s))| s.len()).collect();
    lengths.sort_unstable();
    let missing = "no clips of falls beside one of another activity";
    let empty = || EvaluationError::Empty { folder: folder.clone(), missing };
    let length = *lengths.get(lengths.len() / 2).ok_or_else(empty)?;
    let mut clips = Vec::new();
    for (file, (label, series)) in &recordings {
        let cut = if *label == FALL || series.len() < 2 * length {
            vec![series.clone()]
        } else {
            // A quarter of a clip between two, so that neighbours share nothing.
            let starts = (0..=series.len() - length).step_by(length + length / 4);
            starts.map(|s| series.part(s, s + length)).collect()
        };
        // Stretches of one recording that follow each other are in one fold.
        let several = cut.len();
        for (k, part) in cut.iter().enumerate() {
            let fold = if several > 1 { k * FOLDS / several } else { clips.len() % FOLDS };
            clips.push(clip(file, *label == FALL, fold, part));
        }
    }
    if clips.iter().all(|c| c.fall) {
        return Err(empty());
    }

    let mut said = vec![false; clips.len()];
    let mut plain = vec![false; clips.len()];
    for fold in 0..FOLDS {
        let train: Vec<&Clip> = clips.iter().filter(|c| c.fold != fold).collect();
        let x: Vec<f64> = train.iter().flat_map(|c| c.features.iter().copied()).collect();
        let y: Vec<usize> = train.iter().map(|c| usize::from(c.fall)).collect();
        let trained = Discriminant::train(&x, &y, 2 * GROUPS, 2, SHRINKAGE).ok_or_else(empty)?;
        let mean = |fall: bool| {
            let of: Vec<f64> = train.iter().filter(|c| c.fall == fall).map(|c| c.total).collect();
            of.iter().sum::<f64>() / of.len().max(1) as f64
        };
        let middle = 0.5 * (mean(true) + mean(false));
        for (i, clip) in clips.iter().enumerate().filter(|(_, c)| c.fold == fold) {
            said[i] = trained.classify(&clip.features) == 1;
            plain[i] = (clip.total > middle) == (mean(true) > mean(false));
        }
    }
    let score = |said: &[bool]| Score::over(clips.iter().map(|c| c.fall).zip(said.iter().copied()));
    let mut metrics = score(&said).figures();
    metrics.insert("false_alarms_per_day", Value::Null);
    let mut baseline = score(&plain).figures();
    baseline.insert("method", "all variation of the clip against the middle of both classes' means".into());

    let mut per_recording: Vec<Answer> = Vec::new();
    for (file, (label, _)) in &recordings {
        let of = || clips.iter().zip(&said).filter(|(c, _)| c.file == *file);
        let falls = of().filter(|(_, s)| **s).count();
        let truth = if *label == FALL { "fall" } else { "other" };
        let answer = json!({ "clips": of().count(), "falls": falls });
        per_recording.push(Answer { file: file.clone(), truth: truth.into(), answer });
    }
    Ok(Report {
        suite: "fall",
        split: "eighths of the clips left out in turn: falls by recording, longer recordings by stretches with a gap; by clip".into(),
        metrics,
        baseline,
        more: Default::default(),
        per_recording,
        notes: vec![
            "a weak claim: the falls and the one other recording were made hours apart, so telling them apart may be telling two set-ups apart; nothing of daily life (sitting down, lying down) is in the set".into(),
            "the set has no times, so false alarms cannot be given per day: false_positive is out of the clips of other activities".into(),
            "neighbouring packets alternate between two channel states (two transmitters, or two antennas): what varies from packet to packet is that alternation too".into(),
        ],
        plots: Vec::new(),
    })
}

fn clip(file: &str, fall: bool, fold: usize, series: &Series) -> Clip {
    let (deviation, step) = (series.deviation(), series.step());
    let total = log(deviation.iter().map(|d| d * d).sum::<f64>());
    let mut features: Vec<f64> = groups(&deviation, GROUPS).into_iter().map(log).collect();
    features.extend(groups(&step, GROUPS).into_iter().map(log));
    Clip { file: file.to_owned(), fall, fold, features, total }
}

/// The label and the amplitudes of the subcarriers that carry signal.
fn read(path: &Path) -> Result<(u32, Series), EvaluationError> {
    let mut rows: Vec<Vec<f32>> = Vec::new();
    let mut label = None;
    for (n, line) in text(path)?.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let values: Result<Vec<f32>, _> = line.split(',').map(|f| f.trim().parse::<f32>()).collect();
        match values {
            Ok(mut values) if values.len() == COLUMNS + 1 && values.iter().all(|v| v.is_finite()) => {
                label = label.or(values.pop().map(|l| l.round() as u32));
                values.truncate(COLUMNS);
                rows.push(values);
            }
            // A heading.
            Err(_) if n == 0 => {}
            _ => {
                let problem = format!("line {}: not {COLUMNS} amplitudes and a label", n + 1);
                return Err(EvaluationError::Content { path: path.to_owned(), problem });
            }
        }
    }
    let few = || EvaluationError::Content { path: path.to_owned(), problem: "fewer than 20 rows".into() };
    let label = label.filter(|_| rows.len() >= 20).ok_or_else(few)?;
    // Of one 64-point transform, 0 is the carrier and 27 to 37 are guards.
    let used: Vec<usize> = (1..27).chain(38..COLUMNS).collect();
    let rows = rows.into_iter().map(|row| used.iter().map(|&c| row[c]).collect());
    Ok((label, Series::new(rows, &[used.len()], 1.0)))
}
