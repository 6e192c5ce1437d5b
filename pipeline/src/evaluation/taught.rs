//! What the settings of the classifiers that a site teaches are worth, on the recordings of `har-geotec`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::har_geotec::{self, Sequence};
use super::recordings::EvaluationError;
use super::report::Plot;
use super::sweep::{self, Setting};
use crate::signal::{self, Labelled, Look, LookConfig, Newest, SignalConfig, SignalModel, Task};

const PROBABILITIES: [f64; 9] = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97];
const ACCURACIES: [f64; 9] = [0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9];
const SETTINGS: [(&str, &str); 2] =
    [("strange", "multiples of the strangest of a thousand"), ("average_s", "seconds")];
/// Activities of a classifier that a site might teach, and recordings of each.
const ACTIVITIES: usize = 4;
const RECORDINGS: [usize; 3] = [2, 3, 5];
/// Worse classifiers should not have been kept: they are wrong half of the time.
const WORTHLESS: f64 = 0.5;

/// A plot for each setting of classifiers.
///
/// # Errors
/// When there are no recordings.
pub(super) fn sweeps(data: &Path, config: &SignalConfig) -> Result<Vec<Plot>, EvaluationError> {
    let (_, classes, all) = har_geotec::read(data)?;
    let set = Set { classes: &classes, all: &all };
    let folds = set.folds();
    let about = "har-geotec, each recording left out, and another day";
    let lines = [
        "nothing shown",
        "shown and wrong, of what is shown",
        "an activity never taught is shown as another",
    ];
    let mut settings = sweep::around(config, &SETTINGS);
    let unit = "share";
    settings.push(Setting { key: "min_probability", unit, values: PROBABILITIES.to_vec() });
    let y = "share of moments";
    let mut plots = sweep::plots("signal", about, config, &settings, y, &lines, |c| set.shown(&folds, c));
    let taught = set.small();
    let about = "har-geotec, classifiers of four activities";
    let lines =
        ["not kept", "kept, and wrong half of the time elsewhere", "of activities that are the same: kept"];
    let settings = [Setting { key: "min_accuracy", unit: "balanced accuracy", values: ACCURACIES.to_vec() }];
    plots.extend(sweep::plots("signal", about, config, &settings, "share of classifiers", &lines, |c| {
        kept(&taught, f64::from(c.min_accuracy))
    }));
    Ok(plots)
}

struct Set<'a> {
    classes: &'a [String],
    all: &'a [Sequence],
}

/// A classifier, those that were taught all but one of its activities, and recordings that none of them has seen.
struct Fold<'a> {
    model: SignalModel,
    without: Vec<(usize, SignalModel)>,
    unseen: Vec<&'a Sequence>,
}

/// A classifier of a few activities by a few recordings.
struct Small {
    /// Its activities are two, under two names each.
    same: bool,
    /// Balanced accuracy on the recordings that were left out; `None` where it is hardly better than guessing.
    left_out: Option<f64>,
    /// The same on recordings that it was not made of, where it has activities to tell apart.
    elsewhere: Option<f64>,
}

impl<'a> Set<'a> {
    fn first_day(&self) -> impl Iterator<Item = &'a Sequence> {
        let first = self.all.iter().map(|s| s.day.as_str()).min().unwrap_or_default();
        self.all.iter().filter(move |s| s.day == first)
    }

    fn folds(&self) -> Vec<Fold<'a>> {
        let numbers: BTreeSet<&str> = self.first_day().map(|s| s.number()).collect();
        let first: Vec<&Sequence> = self.first_day().collect();
        let other_days = self.all.iter().filter(|s| s.day != first[0].day).collect();
        let split = |number: &&str| -> (Vec<&'a Sequence>, Vec<&'a Sequence>) {
            first.iter().copied().partition(|s| s.number() != *number)
        };
        let mut splits: Vec<_> = numbers.iter().map(split).collect();
        splits.push((first.clone(), other_days));
        let fold = |(taught, unseen): (Vec<&'a Sequence>, Vec<&'a Sequence>)| {
            let all: Vec<usize> = (0..self.classes.len()).collect();
            let model = learn(&self.labelled(&taught, &all))?;
            let without = |out: usize| {
                let rest: Vec<usize> = all.iter().copied().filter(|c| *c != out).collect();
                Some((out, learn(&self.labelled(&taught, &rest))?))
            };
            Some(Fold { model, without: all.iter().filter_map(|c| without(*c)).collect(), unseen })
        };
        splits.into_iter().filter_map(fold).collect()
    }

    /// The looks at some classes, by recording number.
    fn labelled(&self, taught: &[&Sequence], of: &[usize]) -> Vec<Labelled> {
        let mut looks: BTreeMap<(&str, usize), Vec<Look>> = BTreeMap::new();
        for sequence in taught {
            for (class, look) in sequence.looks.iter().filter(|(class, _)| of.contains(class)) {
                looks.entry((sequence.number(), *class)).or_default().push(look.clone());
            }
        }
        let labelled = |((number, class), looks): ((&str, usize), Vec<Look>)| Labelled {
            name: number.to_owned(),
            label: self.classes[class].clone(),
            looks,
        };
        looks.into_iter().map(labelled).collect()
    }

    /// Shares of what is shown of recordings that the classifiers have not seen.
    fn shown(&self, folds: &[Fold<'_>], config: &SignalConfig) -> Vec<f64> {
        let (mut moments, mut shown, mut wrong) = (0usize, 0usize, 0usize);
        let (mut strangers, mut taken_for_known) = (0usize, 0usize);
        for fold in folds {
            for sequence in &fold.unseen {
                for (class, said) in answers(&fold.model, sequence, config) {
                    let name = &self.classes[class];
                    if !fold.model.labels.contains(name) {
                        continue;
                    }
                    moments += 1;
                    shown += usize::from(said.is_some());
                    wrong += usize::from(said.is_some_and(|said| fold.model.labels[said] != *name));
                }
                for (out, model) in &fold.without {
                    for (_, said) in answers(model, sequence, config).filter(|(class, _)| class == out) {
                        strangers += 1;
                        taken_for_known += usize::from(said.is_some());
                    }
                }
            }
        }
        let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
        vec![1.0 - share(shown, moments), share(wrong, shown), share(taken_for_known, strangers)]
    }

    /// Classifiers of any four activities by the first recordings of the first day, judged on its others; and such ones of two activities
    /// under two names each, by recordings of their own.
    fn small(&self) -> Vec<Small> {
        let first: Vec<&Sequence> = self.first_day().collect();
        let numbers: Vec<&str> =
            first.iter().map(|s| s.number()).collect::<BTreeSet<_>>().into_iter().collect();
        let of = |part: &[&str]| -> Vec<&Sequence> {
            first.iter().copied().filter(|s| part.contains(&s.number())).collect()
        };
        let mut all = Vec::new();
        for recordings in RECORDINGS.into_iter().filter(|n| 2 * n <= numbers.len()) {
            let (taught, others) = numbers.split_at(recordings);
            let (taught, elsewhere) = (of(taught), of(others));
            for some in choose(self.classes.len(), ACTIVITIES) {
                let model = learn(&self.labelled(&taught, &some));
                let elsewhere = model.as_ref().map(|m| right(m, &self.labelled(&elsewhere, &some)));
                let left_out = model.map(|m| m.measured.balanced_accuracy);
                all.push(Small { same: false, left_out, elsewhere });
            }
            let (one, other) = (of(&numbers[..recordings]), of(&numbers[recordings..2 * recordings]));
            for pair in choose(self.classes.len(), ACTIVITIES / 2) {
                let again = |l: Labelled| Labelled { label: format!("{} again", l.label), ..l };
                let mut labelled = self.labelled(&one, &pair);
                labelled.extend(self.labelled(&other, &pair).into_iter().map(again));
                let left_out = learn(&labelled).map(|m| m.measured.balanced_accuracy);
                all.push(Small { same: true, left_out, elsewhere: None });
            }
        }
        all
    }
}

/// A classifier, however good, as long as it is better than guessing.
fn learn(labelled: &[Labelled]) -> Option<SignalModel> {
    let looks = LookConfig { links: Vec::new(), profiles: Vec::new() };
    let config = SignalConfig { min_accuracy: 0.0, ..SignalConfig::default() };
    signal::learn(Task::Activity, labelled, &looks, 0, &config).ok()
}

/// At each look the true class and which of its labels a classifier shows.
fn answers<'a>(
    model: &'a SignalModel,
    sequence: &'a Sequence,
    config: &'a SignalConfig,
) -> impl Iterator<Item = (usize, Option<usize>)> {
    let mut newest = Newest::default();
    sequence.looks.iter().map(move |(class, look)| {
        newest.take(model, look, config);
        let likeliest = newest.mean(look.time_ns, config).and_then(|p| best(&p));
        (*class, likeliest.filter(|(_, p)| *p >= f64::from(config.min_probability)).map(|(label, _)| label))
    })
}

fn best(p: &[f64]) -> Option<(usize, f64)> {
    p.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))
}

/// Balanced accuracy.
fn right(model: &SignalModel, labelled: &[Labelled]) -> f64 {
    let mut by_label: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for Labelled { label, looks, .. } in labelled {
        let [right, all] = by_label.entry(label).or_default();
        let said = |look| best(&model.judge(look).0).is_some_and(|(said, _)| model.labels[said] == *label);
        *right += looks.iter().filter(|look| said(look)).count();
        *all += looks.len();
    }
    let share = |[right, all]: &[usize; 2]| *right as f64 / (*all).max(1) as f64;
    by_label.values().map(share).sum::<f64>() / by_label.len().max(1) as f64
}

/// All choices of `k` of `n`.
fn choose(n: usize, k: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..k {
        let more = |chosen: &Vec<usize>| {
            let from = chosen.last().map_or(0, |last| last + 1);
            let chosen = chosen.clone();
            (from..n).map(move |next| chosen.iter().copied().chain([next]).collect::<Vec<_>>())
        };
        all = all.iter().flat_map(more).collect();
    }
    all
}

fn kept(taught: &[Small], least: f64) -> Vec<f64> {
    let share = |of: Vec<bool>| of.iter().filter(|is| **is).count() as f64 / of.len().max(1) as f64;
    let is_kept = |small: &&Small| small.left_out.is_some_and(|accuracy| accuracy >= least);
    let real = || taught.iter().filter(|s| !s.same);
    vec![
        1.0 - share(real().map(|s| is_kept(&s)).collect()),
        share(real().filter(is_kept).map(|s| s.elsewhere.is_some_and(|a| a < WORTHLESS)).collect()),
        share(taught.iter().filter(|s| s.same).map(|s| is_kept(&s)).collect()),
    ]
}
