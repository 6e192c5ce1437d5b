//! What an evaluation says, in one shape for all suites.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::signal::Measured;

/// Named figures: `precision`, `recall`, `f1`, `balanced_accuracy`, `mae`, …
pub type Figures = BTreeMap<&'static str, Value>;

/// The result of a suite.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its name on the command line.
    pub suite: &'static str,
    /// What was kept apart from what.
    pub split: String,
    /// The method's figures.
    pub metrics: Figures,
    /// The same figures of a simpler method in the same run, and its `method`.
    pub baseline: Figures,
    /// Further tables, by name.
    #[serde(flatten)]
    pub more: BTreeMap<&'static str, Figures>,
    /// What was answered for each recording.
    pub per_recording: Vec<Answer>,
    /// What the figures cannot say.
    pub notes: Vec<String>,
    /// The trade-offs that thresholds sit on.
    #[serde(skip)]
    pub plots: Vec<Plot>,
}

/// One recording.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Its path below the set's folder.
    pub file: String,
    /// What is known of it.
    pub truth: Value,
    /// What was said of it.
    pub answer: Value,
}

/// Lines over one axis.
#[derive(Clone, Debug)]
pub struct Plot {
    /// File name without ending.
    pub name: String,
    /// Title.
    pub title: String,
    /// What is along x, with its unit.
    pub x: String,
    /// What is along y, with its unit.
    pub y: &'static str,
    /// Name and points of each line.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
    /// The shipped value on x.
    pub chosen: Option<f64>,
}

/// Counts of a yes-or-no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// It is, and was said.
    pub true_positive: usize,
    /// It is not, and was said.
    pub false_positive: usize,
    /// It is, and was not said.
    pub false_negative: usize,
    /// It is not, and was not said.
    pub true_negative: usize,
}

impl Score {
    /// Counts one answer.
    pub fn add(&mut self, truth: bool, said: bool) {
        match (truth, said) {
            (true, true) => self.true_positive += 1,
            (false, true) => self.false_positive += 1,
            (true, false) => self.false_negative += 1,
            (false, false) => self.true_negative += 1,
        }
    }

    /// `tp / (tp + fp)`; 1 where nothing was said.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positive, self.false_positive)
    }

    /// `tp / (tp + fn)`; 1 where there was nothing to say.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positive, self.false_negative)
    }

    /// `tn / (tn + fp)`.
    pub fn specificity(&self) -> f64 {
        ratio(self.true_negative, self.false_positive)
    }

    /// Harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        let (p, r) = (self.precision(), self.recall());
        if p + r > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 }
    }

    /// All of them.
    pub fn figures(&self) -> Figures {
        Figures::from([
            ("precision", figure(self.precision())),
            ("recall", figure(self.recall())),
            ("f1", figure(self.f1())),
            ("balanced_accuracy", figure(0.5 * (self.recall() + self.specificity()))),
            ("true_positive", self.true_positive.into()),
            ("false_positive", self.false_positive.into()),
            ("false_negative", self.false_negative.into()),
            ("true_negative", self.true_negative.into()),
        ])
    }
}

fn ratio(a: usize, b: usize) -> f64 {
    if a + b == 0 { 1.0 } else { a as f64 / (a + b) as f64 }
}

/// Rounded to four decimals; null where it is no number.
pub fn figure(value: f64) -> Value {
    if value.is_finite() { Value::from((value * 1e4).round() / 1e4) } else { Value::Null }
}

/// `balanced_accuracy` and, as means over the classes that occur, `precision`, `recall` and `f1` of pairs of truth and answer.
pub fn class_figures(pairs: &[(usize, usize)], classes: usize) -> Figures {
    let mut scores = vec![Score::default(); classes];
    for &(truth, said) in pairs {
        for (class, score) in scores.iter_mut().enumerate() {
            score.add(truth == class, said == class);
        }
    }
    scores.retain(|s| s.true_positive + s.false_negative > 0);
    let n = scores.len().max(1) as f64;
    let mean = |value: fn(&Score) -> f64| figure(scores.iter().map(value).sum::<f64>() / n);
    Figures::from([
        ("balanced_accuracy", mean(Score::recall)),
        ("precision", mean(Score::precision)),
        ("recall", mean(Score::recall)),
        ("f1", mean(Score::f1)),
        ("windows", pairs.len().into()),
    ])
}

impl Measured {
    /// As the suites name them.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::from([
            ("balanced_accuracy", figure(self.balanced_accuracy)),
            ("shown", figure(self.shown)),
            ("shown_right", figure(self.shown_right)),
            ("windows", self.looks.into()),
        ]);
        figures.extend(self.mae.map(|mae| ("mae", figure(mae))));
        figures.extend(self.covered.map(|covered| ("within_the_interval", figure(covered))));
        figures
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, split: {}", self.suite, self.split)?;
        for r in &self.per_recording {
            writeln!(f, "  {:<46} truth {}  answer {}", r.file, plain(&r.truth), plain(&r.answer))?;
        }
        let tables = [("metrics", &self.metrics), ("baseline", &self.baseline)];
        for (name, figures) in tables.into_iter().chain(self.more.iter().map(|(n, f)| (*n, f))) {
            write!(f, "{name}:")?;
            for (key, value) in figures {
                write!(f, "  {key} {}", plain(value))?;
            }
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
