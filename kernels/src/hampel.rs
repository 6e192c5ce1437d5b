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
        sorted.copy_from_slice(window);
        let middle = median(sorted);
        for (s, &w) in sorted.iter_mut().zip(window) {
            *s = (w - middle).abs();
        }
        let limit = sigmas * MAD_TO_SIGMA * median(sorted);
        if (x[i] - middle).abs() > limit {
            *o = middle;
            replaced += 1;
        }
    }
    replaced
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

/// Median of `x`, which is reordered; the mean of the middle two for an even count; 0 for none.
pub fn median(x: &mut [f32]) -> f32 {
    let n = x.len();
    if n == 0 {
        return 0.0;
    }
    let (below, &mut upper, _) = x.select_nth_unstable_by(n / 2, f32::total_cmp);
    if n % 2 == 1 {
        upper
    } else {
        let lower = below.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        0.5 * (lower + upper)
    }
}
