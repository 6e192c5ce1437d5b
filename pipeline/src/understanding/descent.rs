//! How fast a height went down, told from noisy heights before and after.

/// A straight way from one level to a lower one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    /// The level before, metres.
    pub from_m: f32,
    /// The level after, metres.
    pub to_m: f32,
    /// Time from one to the other, seconds.
    pub takes_s: f64,
}

/// Ways are tried from this length on, in steps of this, up to this, seconds.
const SHORTEST_S: f64 = 0.1;
const STEP_S: f64 = 0.05;
const LONGEST_S: f64 = 2.5;
/// Ends of ways are tried within this time of the ground, seconds.
const END_S: f64 = 0.6;
/// Fewer heights say nothing.
const FEWEST: usize = 10;

impl Descent {
    /// The ramp between two levels that fits best to `(time, height)`, seconds and metres, where the ground was reached at time zero:
    /// least squares in both levels, over a grid of ends and lengths. All heights count, so noise of one changes little.
    ///
    /// `None` for too few heights, for times before the ground that are too short to have seen the level before, and where the
    /// height did not go down.
    pub fn fit(heights: &[(f64, f64)]) -> Option<Self> {
        let first = heights.first()?.0;
        if heights.len() < FEWEST {
            return None;
        }
        let mut best: Option<(f64, Self)> = None;
        let steps = |from: f64, to: f64| {
            (0..=((to - from) / STEP_S).round() as i32).map(move |k| from + STEP_S * f64::from(k))
        };
        for end in steps(-END_S, END_S) {
            for takes_s in steps(SHORTEST_S, LONGEST_S) {
                // Some of the level before is to be seen.
                if end - takes_s < first + 2.0 * STEP_S {
                    break;
                }
                let Some((error, from, to)) = levels(heights, end, takes_s) else { continue };
                if from > to && best.is_none_or(|(least, _)| error < least) {
                    best = Some((error, Self { from_m: from as f32, to_m: to as f32, takes_s }));
                }
            }
        }
        best.map(|(_, descent)| descent)
    }

    /// How far down, metres.
    pub fn way_m(&self) -> f32 {
        self.from_m - self.to_m
    }

    /// Metres per second.
    pub fn speed_m_s(&self) -> f32 {
        self.way_m() / self.takes_s as f32
    }
}

/// The sum of squares that is left, and the levels before and after, for the ramp that ends at `end` and takes `takes_s`.
fn levels(heights: &[(f64, f64)], end: f64, takes_s: f64) -> Option<(f64, f64, f64)> {
    let n = heights.len() as f64;
    let down = |t: f64| ((t - end) / takes_s + 1.0).clamp(0.0, 1.0);
    let (mut r, mut rr, mut h, mut hr) = (0.0, 0.0, 0.0, 0.0);
    for &(t, m) in heights {
        let d = down(t);
        r += d;
        rr += d * d;
        h += m;
        hr += d * m;
    }
    let spread = rr - r * r / n;
    if spread < 1e-6 {
        return None;
    }
    let slope = (hr - h * r / n) / spread;
    let from = (h - slope * r) / n;
    let error = heights.iter().map(|&(t, m)| (m - from - slope * down(t)).powi(2)).sum();
    Some((error, from, from + slope))
}
