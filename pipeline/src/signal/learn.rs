//! Learning a classifier from labelled recordings, and measuring it on recordings that it has not seen.

use std::collections::BTreeMap;

use invispose_kernels::discriminant::Discriminant;

use super::SignalConfig;
use super::features::{Look, LookConfig};
use super::model::{MAX_LABEL, Measured, SignalModel, Task, VERSION, probabilities};
use crate::pose::{Count, CountBasis};

/// One recording, in which one thing was done or so many people were.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// For messages.
    pub name: String,
    /// What was done, or how many people were there.
    pub label: String,
    /// Its moments.
    pub looks: Vec<Look>,
}

/// Nothing was learned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LearnError {
    /// Nothing to tell apart.
    #[error("recordings of at least two labels are needed")]
    OneLabel,
    /// A label that cannot be one.
    #[error("{label:?} is no label: {why}")]
    Label {
        /// The label.
        label: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// One recording cannot be learned from and be left out.
    #[error(
        "there is one recording of {0:?}; two are needed, so that what was learned from one can be measured on the other"
    )]
    OneRecording(String),
    /// Recordings of different links.
    #[error("no link with at least {least_hz} packets a second is in all recordings")]
    NoLink {
        /// What is needed.
        least_hz: f64,
    },
    /// No moment of a recording can be judged.
    #[error("{0}: too short, or its links were not heard well enough")]
    Empty(String),
    /// The moments cannot be told apart at all.
    #[error("the recordings cannot be told apart: their features do not vary, or are no numbers")]
    Degenerate,
    /// Not good enough.
    #[error(
        "on recordings that it had not seen the classifier reached a balanced accuracy of {:.2}, and {least:.2} is needed; nothing was kept \
         (by label: {})", measured.balanced_accuracy, shares(&measured.by_label)
    )]
    NotEarned {
        /// What was measured.
        measured: Box<Measured>,
        /// What is needed.
        least: f64,
    },
}

fn shares(by_label: &BTreeMap<String, f64>) -> String {
    by_label.iter().map(|(label, share)| format!("{label} {share:.2}")).collect::<Vec<_>>().join(", ")
}

/// The covariance is drawn to the identity by this share: recordings hold minutes, and moments overlap.
const SHRINKAGE: f64 = 0.1;
/// Temperatures that are tried.
const TEMPERATURES: [f64; 12] = [0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0, 11.0, 16.0, 32.0];

/// Learns from all recordings, if what is learned from all but one tells the one that is left out.
///
/// # Errors
/// When there is too little to learn from, or what was learned is not good enough.
pub fn learn(
    task: Task,
    recordings: &[Labelled],
    looks: &LookConfig,
    time_ns: i64,
    config: &SignalConfig,
) -> Result<SignalModel, LearnError> {
    let labels = labels(task, recordings)?;
    for label in &labels {
        if recordings.iter().filter(|r| r.label == *label).count() < 2 {
            return Err(LearnError::OneRecording(label.clone()));
        }
    }
    if let Some(empty) = recordings.iter().find(|r| r.looks.is_empty()) {
        return Err(LearnError::Empty(empty.name.clone()));
    }
    let mut left_out = Vec::new();
    for out in 0..recordings.len() {
        let others = recordings.iter().enumerate().filter(|(i, _)| *i != out).map(|(_, r)| r);
        let trained = train(others, &labels).ok_or(LearnError::Degenerate)?;
        let class = class(&labels, &recordings[out].label);
        left_out.extend(recordings[out].looks.iter().map(|look| (class, trained.scores(&look.values))));
    }
    let classifier = train(recordings.iter(), &labels).ok_or(LearnError::Degenerate)?;
    let temperature = temperature(&left_out);
    let measured =
        Measured { recordings: recordings.len(), ..measured(task, &left_out, &labels, temperature, config) };
    let chance = 1.0 / labels.len() as f64;
    // Twice as good as guessing, as far as that is possible.
    let least = f64::from(config.min_accuracy).max((2.0 * chance).min(0.5 + 0.5 * chance));
    if measured.balanced_accuracy < least {
        return Err(LearnError::NotEarned { measured: Box::new(measured), least });
    }
    let mut strange: Vec<f64> =
        recordings.iter().flat_map(|r| &r.looks).map(|look| classifier.strangeness(&look.values)).collect();
    strange.sort_unstable_by(f64::total_cmp);
    let strangest = strange.get((strange.len() * 999 / 1000).min(strange.len() - 1)).copied().unwrap_or(1.0);
    Ok(SignalModel {
        version: VERSION,
        task,
        time_ns,
        links: looks.links.iter().map(|(link, layout)| (link.as_str().to_owned(), *layout)).collect(),
        profiles: looks.profiles.iter().map(|p| p.to_vec()).collect(),
        labels,
        measured,
        temperature,
        strangest,
        classifier,
    })
}

/// What a classifier that learned from `train` is worth on `test`; labels that only `test` has are passed over. `None` where nothing can be
/// learned.
pub fn measure(
    task: Task,
    train_on: &[Labelled],
    test: &[Labelled],
    config: &SignalConfig,
) -> Option<Measured> {
    let labels = labels(task, train_on).ok()?;
    let trained = train(train_on.iter(), &labels)?;
    let known = test.iter().filter(|r| labels.contains(&r.label));
    let scored: Vec<(usize, Vec<f64>)> = known
        .flat_map(|r| r.looks.iter().map(|look| (class(&labels, &r.label), trained.scores(&look.values))))
        .collect();
    // Its temperature must not come from what it is judged by.
    let own: Vec<(usize, Vec<f64>)> = train_on
        .iter()
        .flat_map(|r| r.looks.iter().map(|look| (class(&labels, &r.label), trained.scores(&look.values))))
        .collect();
    Some(Measured { recordings: test.len(), ..measured(task, &scored, &labels, temperature(&own), config) })
}

/// The labels, counts in their order.
fn labels(task: Task, recordings: &[Labelled]) -> Result<Vec<String>, LearnError> {
    let mut labels: Vec<String> = recordings.iter().map(|r| r.label.clone()).collect();
    labels.sort_unstable();
    labels.dedup();
    for label in &labels {
        let wrong = |why| LearnError::Label { label: label.clone(), why };
        if label.is_empty() || label.len() > MAX_LABEL || label.chars().any(char::is_control) {
            return Err(wrong("1 to 64 bytes of text are needed"));
        }
        if task == Task::Count && label.parse::<u8>().is_err() {
            return Err(wrong("a number of people, 0 to 255, is needed"));
        }
    }
    if task == Task::Count {
        labels.sort_by_key(|l| l.parse::<u8>().unwrap_or_default());
    }
    if labels.len() < 2 { Err(LearnError::OneLabel) } else { Ok(labels) }
}

fn class(labels: &[String], label: &str) -> usize {
    labels.iter().position(|l| l == label).unwrap_or_default()
}

fn train<'a>(recordings: impl Iterator<Item = &'a Labelled>, labels: &[String]) -> Option<Discriminant> {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for recording in recordings {
        for look in &recording.looks {
            x.extend_from_slice(&look.values);
            y.push(class(labels, &recording.label));
        }
    }
    let width = x.len().checked_div(y.len())?;
    Discriminant::train(&x, &y, width, labels.len(), SHRINKAGE)
}

/// The temperature at which the true classes are likeliest.
fn temperature(scored: &[(usize, Vec<f64>)]) -> f64 {
    let surprise = |t: f64| -> f64 {
        scored.iter().map(|(class, scores)| -probabilities(scores, t)[*class].max(1e-12).ln()).sum()
    };
    let all = TEMPERATURES.map(|t| (surprise(t), t));
    all.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map_or(1.0, |(_, t)| t)
}

fn measured(
    task: Task,
    scored: &[(usize, Vec<f64>)],
    labels: &[String],
    temperature: f64,
    config: &SignalConfig,
) -> Measured {
    let mut right = vec![(0usize, 0usize); labels.len()];
    let (mut shown, mut shown_right, mut error, mut covered) = (0usize, 0usize, 0.0, 0usize);
    for (truth, scores) in scored {
        let p = probabilities(scores, temperature);
        let best = (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap_or_default();
        right[*truth].0 += usize::from(best == *truth);
        right[*truth].1 += 1;
        if p[best] >= f64::from(config.min_probability) {
            shown += 1;
            shown_right += usize::from(best == *truth);
        }
        if task == Task::Count {
            let truth = labels[*truth].parse::<u8>().unwrap_or_default();
            let count = Count::of(&by_number(labels, &p), CountBasis::Signal);
            error += (f64::from(count.mean) - f64::from(truth)).abs();
            covered += usize::from((count.low..=count.high).contains(&truth));
        }
    }
    let of = |(label, (right, all)): (&String, &(usize, usize))| {
        (*all > 0).then(|| (label.clone(), *right as f64 / *all as f64))
    };
    let by_label: BTreeMap<String, f64> = labels.iter().zip(&right).filter_map(of).collect();
    let n = scored.len().max(1) as f64;
    let counts = task == Task::Count;
    Measured {
        recordings: 0,
        looks: scored.len(),
        balanced_accuracy: by_label.values().sum::<f64>() / by_label.len().max(1) as f64,
        by_label,
        shown: shown as f64 / n,
        shown_right: shown_right as f64 / shown.max(1) as f64,
        mae: counts.then_some(error / n),
        covered: counts.then_some(covered as f64 / n),
    }
}

/// Probabilities by the number of people.
pub(super) fn by_number(labels: &[String], p: &[f64]) -> Vec<f64> {
    let mut out = Vec::new();
    for (label, p) in labels.iter().zip(p) {
        let n = usize::from(label.parse::<u8>().unwrap_or_default());
        if out.len() <= n {
            out.resize(n + 1, 0.0);
        }
        out[n] += p;
    }
    out
}
