//! The Prometheus text format 0.0.4.

use std::fmt::Write as _;

use super::names::Metric;

/// Upper bounds of `api_request_duration_seconds`, seconds.
pub(super) const BOUNDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// How long something took, many times.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations {
    /// By bound, each for itself; the last is of what took longer than all bounds.
    counts: [u64; BOUNDS.len() + 1],
    sum_s: f64,
}

impl Durations {
    pub(super) fn observe(&mut self, seconds: f64) {
        let place = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum_s += seconds;
    }
}

/// What is written so far.
pub(super) struct Exposition(pub(super) String);

/// Values of a metric's labels, in the metric's order.
type Labels<'a> = Vec<&'a str>;

impl Exposition {
    /// One metric: its samples as values of its labels and figures. One without any is left out.
    pub(super) fn write(&mut self, metric: Metric, samples: Vec<(Labels<'_>, f64)>) {
        if samples.is_empty() {
            return;
        }
        self.head(metric);
        for (values, figure) in samples {
            let labels = labels(metric, &values, None);
            // Writing to a string does not fail.
            let _ = writeln!(self.0, "{}{labels} {figure}", metric.name());
        }
    }

    /// One figure without labels.
    pub(super) fn one(&mut self, metric: Metric, figure: f64) {
        self.write(metric, vec![(Vec::new(), figure)]);
    }

    /// One histogram.
    pub(super) fn durations(&mut self, metric: Metric, samples: Vec<(Labels<'_>, Durations)>) {
        if samples.is_empty() {
            return;
        }
        self.head(metric);
        let name = metric.name();
        for (values, durations) in samples {
            let mut count = 0;
            let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
            for (bound, more) in bounds.zip(durations.counts) {
                count += more;
                let _ = writeln!(self.0, "{name}_bucket{} {count}", labels(metric, &values, Some(&bound)));
            }
            let labels = labels(metric, &values, None);
            let _ = writeln!(self.0, "{name}_sum{labels} {}\n{name}_count{labels} {count}", durations.sum_s);
        }
    }

    fn head(&mut self, metric: Metric) {
        let (name, kind) = (metric.name(), metric.kind().name());
        let _ = write!(self.0, "# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help());
    }
}

/// A label without a value is left out.
fn labels(metric: Metric, values: &[&str], bound: Option<&str>) -> String {
    let named = metric.labels().iter().copied().zip(values.iter().copied());
    let shown: Vec<String> = named
        .chain(bound.map(|bound| ("le", bound)))
        .filter(|(_, value)| !value.is_empty())
        .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
        .collect();
    if shown.is_empty() { String::new() } else { format!("{{{}}}", shown.join(",")) }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
