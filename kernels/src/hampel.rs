//! Outliers over time.

/// `1 / Φ⁻¹(3/4)`: the median absolute deviation times this estimates a Gaussian's standard deviation.
pub const MAD_TO_SIGMA: f32 = 1.4826;

/// Hampel filter over one stream: a value further than `sigmas · 1.4826 · MAD` from the median of the window of
/// `half` values on either side becomes that median. Windows shrink at the ends. Returns how many were replaced.
///
/// `scratch` is at least `2 * half + 1` long (shorter: nothing is done). A window without spread
/// (MAD = 0) replaces any value that differs from its median.
///
/// Source: Hampel, "The influence curve and its role in robust estimation", 1974; Pearson et al., "Generalized Hampel
/// filters", 2016.
pub fn hampel(x: &[f32], half: usize, sigmas: f32, scratch: &mut [f32], out: &mut [f32]) -> usize {
    out.iter_mut().zip(x).for_each(|(o, &v)| *o = v);
    if scratch.len() < 2 * half + 1 {
        return 0;
    }
    let mut replaced = 0;
    for (i, o) in out.iter_mut().enumerate().take(x.len()) {
        let window = &x[i.saturating_sub(half)..(i + half + 1).min(x.len())];
        let sorted = &mut scratch[..window.len()];
        sort(window, sorted);
        let middle = 0.5 * (sorted[(window.len() - 1) / 2] + sorted[window.len() / 2]);
        let limit = sigmas * MAD_TO_SIGMA * deviation(sorted, middle);
        if (x[i] - middle).abs() > limit {
            *o = middle;
            replaced += 1;
        }
    }
    replaced
}

/// `window` in ascending order, into `sorted` of the same length: an insertion, since windows are short.
fn sort(window: &[f32], sorted: &mut [f32]) {
    for (n, &value) in window.iter().enumerate() {
        let mut at = n;
        while at > 0 && sorted[at - 1].total_cmp(&value).is_gt() {
            sorted[at] = sorted[at - 1];
            at -= 1;
        }
        sorted[at] = value;
    }
}

/// Median of the distances from `middle`, the median of `sorted`: they grow from the middle towards both ends.
fn deviation(sorted: &[f32], middle: f32) -> f32 {
    let n = sorted.len();
    let (mut left, mut right) = (n / 2, n / 2);
    let (mut before, mut last) = (0.0, 0.0);
    for _ in 0..=n / 2 {
        let below = if left > 0 { middle - sorted[left - 1] } else { f32::INFINITY };
        let above = if right < n { sorted[right] - middle } else { f32::INFINITY };
        before = last;
        if below <= above {
            last = below;
            left = left.saturating_sub(1);
        } else {
            last = above;
            right += 1;
        }
    }
    if n % 2 == 1 { last } else { 0.5 * (before + last) }
}

/// [`hampel`] over every stream of `x`, `[T][streams]`; `column` and `column_out` are at least `T` long.
pub fn hampel_block(
    x: &mut [f32],
    streams: usize,
    half: usize,
    sigmas: f32,
    column: &mut [f32],
    column_out: &mut [f32],
    scratch: &mut [f32],
) -> usize {
    let steps = x.len().checked_div(streams).unwrap_or(0);
    if column.len() < steps || column_out.len() < steps {
        return 0;
    }
    let (column, column_out) = (&mut column[..steps], &mut column_out[..steps]);
    let mut replaced = 0;
    for s in 0..streams {
        for (c, row) in column.iter_mut().zip(x.chunks_exact(streams)) {
            *c = row[s];
        }
        let here = hampel(column, half, sigmas, scratch, column_out);
        if here > 0 {
            for (&c, row) in column_out.iter().zip(x.chunks_exact_mut(streams)) {
                row[s] = c;
            }
        }
        replaced += here;
    }
    replaced
}
