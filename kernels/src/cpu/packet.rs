//! One packet: unpacking, column selection, scale, amplitude, sanitised phase and CSI ratio.

use std::f32::consts::TAU;

use super::simd::{LANES, Lanes, Level, Supported, atan2, fma, for_level, load, round, sum};
use crate::{
    cleanup::{CleanupSpec, Iq, Sanitise, Scale},
    phase::common_step,
};

/// What one packet needs and all share.
///
/// Rows of scratch are `stride` long: [`LANES`] zeros, then the kept columns, then zeros up to a multiple of
/// [`LANES`], so that a row's first value has a zero before it and the last chunk is whole.
pub(super) struct Tables {
    level: Supported,
    pairs: usize,
    subcarriers: usize,
    columns: usize,
    pub(super) stride: usize,
    runs: Vec<Run>,
    /// Subcarrier index, padded with zeros.
    index: Vec<f32>,
    /// 1 where the column and the one before it are the common step apart.
    neighbours: Vec<f32>,
    /// Index less its mean over Σ of its squares; zeros in the padding: the slope's weights.
    slope: Vec<f32>,
    /// Index less its mean.
    centred: Vec<f32>,
    /// `1 / columns`, zeros in the padding: the mean's weights.
    mean: Vec<f32>,
    step: f32,
    scale: Scale,
    sanitise: Sanitise,
    ratio: Option<RatioTable>,
}

struct RatioTable {
    rx: usize,
    antenna: usize,
    /// Share of the reference's mean power, over the columns.
    floor: f32,
}

/// Neighbouring columns that are kept.
struct Run {
    from: usize,
    to: usize,
    len: usize,
}

impl Tables {
    pub(super) fn new(spec: &CleanupSpec, level: Level) -> Self {
        let columns = spec.columns.len();
        let padded = columns.next_multiple_of(LANES);
        let mut runs: Vec<Run> = Vec::new();
        for (to, &c) in spec.columns.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if run.from + run.len == c as usize => run.len += 1,
                _ => runs.push(Run { from: c as usize, to, len: 1 }),
            }
        }
        let kept: Vec<f32> = spec.columns.iter().map(|&c| f32::from(spec.index[c as usize])).collect();
        let step = common_step(&kept);
        let centre = kept.iter().map(|&k| f64::from(k)).sum::<f64>() / columns as f64;
        let spread: f64 = kept.iter().map(|&k| (f64::from(k) - centre).powi(2)).sum();
        let pad = |values: &mut dyn Iterator<Item = f32>| {
            let mut row: Vec<f32> = values.collect();
            row.resize(padded, 0.0);
            row
        };
        let centred = |k: f32| f64::from(k) - centre;
        Self {
            level: Supported::new(level),
            pairs: spec.layout.pairs(),
            subcarriers: spec.layout.subcarriers as usize,
            columns,
            stride: padded + LANES,
            runs,
            neighbours: pad(&mut (0..columns).map(|i| {
                let apart = i.checked_sub(1).map(|before| kept[i] - kept[before]);
                if apart == Some(step) { 1.0 } else { 0.0 }
            })),
            slope: pad(&mut kept
                .iter()
                .map(|&k| if spread > 0.0 { (centred(k) / spread) as f32 } else { 0.0 })),
            centred: pad(&mut kept.iter().map(|&k| centred(k) as f32)),
            mean: pad(&mut kept.iter().map(|_| 1.0 / columns as f32)),
            index: pad(&mut kept.iter().copied()),
            step,
            scale: spec.scale,
            sanitise: spec.sanitise,
            ratio: spec.ratio.map(|r| RatioTable {
                rx: spec.layout.rx as usize,
                antenna: r.antenna as usize,
                floor: r.floor / columns as f32,
            }),
        }
    }

    /// Kept values of a packet.
    pub(super) fn values(&self) -> usize {
        self.pairs * self.columns
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn pairs(&self) -> usize {
        self.pairs
    }

    pub(super) fn level(&self) -> Supported {
        self.level
    }
}

/// A packet on its way, one per thread.
pub(super) struct Scratch {
    pub(super) re: Vec<f32>,
    pub(super) im: Vec<f32>,
    phase: Vec<f32>,
    turns: Vec<i32>,
    line: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(tables: &Tables) -> Self {
        let all = tables.pairs * tables.stride;
        Self {
            re: vec![0.0; all],
            im: vec![0.0; all],
            phase: vec![0.0; all],
            turns: vec![0; tables.stride],
            line: vec![0.0; tables.stride],
        }
    }
}

/// Where a packet goes, `[pairs][columns]` each; the ratios are empty if there is none.
pub(super) struct Out<'a> {
    pub(super) amplitude: &'a mut [f32],
    pub(super) phase: &'a mut [f32],
    pub(super) ratio_re: &'a mut [f32],
    pub(super) ratio_im: &'a mut [f32],
}

/// Cleans one packet and returns its gain. `scratch.re` and `.im` hold the unscaled packet afterwards.
pub(super) fn clean(tables: &Tables, scratch: &mut Scratch, input: Iq<'_>, out: Out<'_>) -> f32 {
    for_level!(
        tables.level,
        body(tables: &Tables, scratch: &mut Scratch, input: Iq<'_>, out: Out<'_>) -> f32
    )
}

#[inline(always)]
fn body<const F: bool>(tables: &Tables, scratch: &mut Scratch, input: Iq<'_>, out: Out<'_>) -> f32 {
    match input {
        Iq::I8(x) => unpack(tables, scratch, x, |v| (f32::from(v[0]), f32::from(v[1]))),
        Iq::I8ImaginaryFirst(x) => unpack(tables, scratch, x, |v| (f32::from(v[1]), f32::from(v[0]))),
        Iq::I16(x) => unpack(tables, scratch, x, |v| (f32::from(v[0]), f32::from(v[1]))),
        Iq::F32(x) => unpack(tables, scratch, x, |v| (v.re, v.im)),
    }
    let (stride, columns) = (tables.stride, tables.columns);
    let power = sum_squares::<F>(&scratch.re, &scratch.im);
    // NaN and infinity count as no power: nothing sound comes of them.
    let alive = power > 0.0 && power.is_finite();
    if !alive {
        for part in [out.amplitude, out.phase, out.ratio_re, out.ratio_im] {
            part.fill(0.0);
        }
        return 0.0;
    }
    let gain = match tables.scale {
        Scale::Keep => 1.0,
        Scale::UnitPower => ((tables.pairs * columns) as f32 / power).sqrt(),
    };
    let rows = scratch.re.chunks_exact(stride).zip(scratch.im.chunks_exact(stride));
    for ((re, im), to) in rows.zip(out.amplitude.chunks_exact_mut(columns)) {
        magnitudes::<F>(&re[LANES..], &im[LANES..], gain, to, &mut scratch.line);
    }
    phases::<F>(tables, scratch, out.phase);
    if let Some(ratio) = &tables.ratio {
        let to = out.ratio_re.chunks_exact_mut(columns).zip(out.ratio_im.chunks_exact_mut(columns));
        for (pair, (to_re, to_im)) in to.enumerate() {
            let reference = pair / ratio.rx * ratio.rx + ratio.antenna;
            let at = |p: usize| p * stride + LANES..(p + 1) * stride;
            let (h_re, h_im) = (&scratch.re[at(pair)], &scratch.im[at(pair)]);
            let (r_re, r_im) = (&scratch.re[at(reference)], &scratch.im[at(reference)]);
            let floor = (sum_squares::<F>(r_re, r_im) * ratio.floor).max(f32::MIN_POSITIVE);
            divide::<F>([h_re, h_im, r_re, r_im], floor, to_re, to_im);
        }
    }
    gain
}

#[inline(always)]
fn unpack<T: Copy>(tables: &Tables, scratch: &mut Scratch, x: &[T], value: impl Fn(T) -> (f32, f32)) {
    let rows = scratch.re.chunks_exact_mut(tables.stride).zip(scratch.im.chunks_exact_mut(tables.stride));
    for (from, (re, im)) in x.chunks_exact(tables.subcarriers).zip(rows) {
        for run in &tables.runs {
            let from = &from[run.from..run.from + run.len];
            let at = LANES + run.to..LANES + run.to + run.len;
            for ((&v, re), im) in from.iter().zip(&mut re[at.clone()]).zip(&mut im[at]) {
                (*re, *im) = value(v);
            }
        }
    }
}

/// `Σ re² + im²` over slices whose length is a multiple of [`LANES`].
#[inline(always)]
fn sum_squares<const F: bool>(re: &[f32], im: &[f32]) -> f32 {
    let mut acc: Lanes = [0.0; LANES];
    for (re, im) in re.chunks_exact(LANES).zip(im.chunks_exact(LANES)) {
        for i in 0..LANES {
            acc[i] = fma::<F>(re[i], re[i], fma::<F>(im[i], im[i], acc[i]));
        }
    }
    sum(acc)
}

/// Copies the kept values of a padded row.
#[inline(always)]
fn store(from: &[f32], to: &mut [f32]) {
    to.copy_from_slice(&from[..to.len()]);
}

#[inline(always)]
fn magnitudes<const F: bool>(re: &[f32], im: &[f32], gain: f32, to: &mut [f32], line: &mut [f32]) {
    for ((re, im), o) in re.chunks_exact(LANES).zip(im.chunks_exact(LANES)).zip(line.chunks_exact_mut(LANES))
    {
        for i in 0..LANES {
            o[i] = fma::<F>(re[i], re[i], im[i] * im[i]).sqrt() * gain;
        }
    }
    store(line, to);
}

#[inline(always)]
fn divide<const F: bool>(
    [h_re, h_im, r_re, r_im]: [&[f32]; 4],
    floor: f32,
    to_re: &mut [f32],
    to_im: &mut [f32],
) {
    let mut at = 0;
    while at < to_re.len() {
        let (hr, hi, rr, ri) = (load(h_re, at), load(h_im, at), load(r_re, at), load(r_im, at));
        let (mut re, mut im) = ([0.0; LANES], [0.0; LANES]);
        for i in 0..LANES {
            let power = fma::<F>(rr[i], rr[i], ri[i] * ri[i]);
            let scale = 1.0 / if power > floor { power } else { floor };
            re[i] = fma::<F>(hr[i], rr[i], hi[i] * ri[i]) * scale;
            im[i] = fma::<F>(hi[i], rr[i], -(hr[i] * ri[i])) * scale;
        }
        let len = LANES.min(to_re.len() - at);
        to_re[at..at + len].copy_from_slice(&re[..len]);
        to_im[at..at + len].copy_from_slice(&im[..len]);
        at += LANES;
    }
}

/// `Σ h(k)·conj(h(k−1))` over the neighbours that the tables mark.
#[inline(always)]
fn neighbour_product<const F: bool>(tables: &Tables, re: &[f32], im: &[f32]) -> (f32, f32) {
    let (mut acc_re, mut acc_im): (Lanes, Lanes) = ([0.0; LANES], [0.0; LANES]);
    for (c, w) in tables.neighbours.chunks_exact(LANES).enumerate() {
        let at = (c + 1) * LANES;
        let (re1, im1, re0, im0) = (load(re, at), load(im, at), load(re, at - 1), load(im, at - 1));
        for i in 0..LANES {
            acc_re[i] = fma::<F>(w[i], fma::<F>(re1[i], re0[i], im1[i] * im0[i]), acc_re[i]);
            acc_im[i] = fma::<F>(w[i], fma::<F>(im1[i], re0[i], -(re1[i] * im0[i])), acc_im[i]);
        }
    }
    (sum(acc_re), sum(acc_im))
}

/// Unwraps the angles less `guess · index` into `phase` (padded row); whole turns come from differences of neighbours.
#[inline(always)]
fn unwrap<const F: bool>(
    tables: &Tables,
    re: &[f32],
    im: &[f32],
    guess: f32,
    phase: &mut [f32],
    turns: &mut [i32],
) {
    // The line is reduced to less than a turn before it is rounded: `coarse · index` is exact (13 by 11 bits), and
    // `fine · index` is small. Steep lines over wide bands would cost the last digits otherwise.
    let slope = guess * (1.0 / TAU);
    let coarse = round(slope * 4096.0) * (1.0 / 4096.0);
    let fine = slope - coarse;
    for (c, k) in tables.index.chunks_exact(LANES).enumerate() {
        let at = (c + 1) * LANES;
        let (re, im) = (load(re, at), load(im, at));
        let to = &mut phase[at..at + LANES];
        for i in 0..LANES {
            let whole = coarse * k[i];
            let line = fma::<F>(fine, k[i], whole - round(whole));
            to[i] = fma::<F>(-TAU, line, atan2::<F>(im[i], re[i]));
        }
    }
    // The first value has no neighbour.
    phase[LANES - 1] = phase[LANES];
    let mut any = 0;
    for (c, to) in turns.chunks_exact_mut(LANES).enumerate().take(tables.index.len() / LANES) {
        let at = (c + 1) * LANES;
        let (now, before) = (load(phase, at), load(phase, at - 1));
        for i in 0..LANES {
            to[i] = round((now[i] - before[i]) * (1.0 / TAU)) as i32;
        }
        for &t in to.iter() {
            any |= t;
        }
    }
    if any != 0 {
        let mut total = 0;
        for t in &mut turns[..tables.columns] {
            total += *t;
            *t = total;
        }
        for (p, &t) in phase[LANES..LANES + tables.columns].iter_mut().zip(turns.iter()) {
            *p = fma::<F>(-TAU, t as f32, *p);
        }
    }
}

/// Slope and mean of a padded row.
#[inline(always)]
fn line<const F: bool>(tables: &Tables, row: &[f32]) -> (f32, f32) {
    let (mut slope, mut mean): (Lanes, Lanes) = ([0.0; LANES], [0.0; LANES]);
    let weights = tables.slope.chunks_exact(LANES).zip(tables.mean.chunks_exact(LANES));
    for ((ws, wm), p) in weights.zip(row.chunks_exact(LANES)) {
        for i in 0..LANES {
            slope[i] = fma::<F>(ws[i], p[i], slope[i]);
            mean[i] = fma::<F>(wm[i], p[i], mean[i]);
        }
    }
    (sum(slope), sum(mean))
}

#[inline(always)]
fn subtract<const F: bool>(
    tables: &Tables,
    row: &[f32],
    slope: f32,
    mean: f32,
    line: &mut [f32],
    to: &mut [f32],
) {
    let rows = row.chunks_exact(LANES).zip(tables.centred.chunks_exact(LANES));
    for ((p, k), o) in rows.zip(line.chunks_exact_mut(LANES)) {
        for i in 0..LANES {
            o[i] = fma::<F>(-slope, k[i], p[i] - mean);
        }
    }
    store(line, to);
}

#[inline(always)]
fn phases<const F: bool>(tables: &Tables, scratch: &mut Scratch, out: &mut [f32]) {
    let (stride, columns) = (tables.stride, tables.columns);
    let Scratch { re, im, phase, turns, line: spare } = scratch;
    let rows = || re.chunks_exact(stride).zip(im.chunks_exact(stride));
    match tables.sanitise {
        Sanitise::PerPair => {
            for (((re, im), phase), to) in
                rows().zip(phase.chunks_exact_mut(stride)).zip(out.chunks_exact_mut(columns))
            {
                let (x, y) = neighbour_product::<F>(tables, re, im);
                unwrap::<F>(tables, re, im, atan2::<F>(y, x) / tables.step, phase, turns);
                let (slope, mean) = line::<F>(tables, &phase[LANES..]);
                subtract::<F>(tables, &phase[LANES..], slope, mean, spare, to);
            }
        }
        Sanitise::Shared => {
            let (mut x, mut y) = (0.0, 0.0);
            for (re, im) in rows() {
                let (x1, y1) = neighbour_product::<F>(tables, re, im);
                x += x1;
                y += y1;
            }
            let guess = atan2::<F>(y, x) / tables.step;
            let (mut slopes, mut means, mut first) = (0.0, 0.0, None);
            for ((re, im), phase) in rows().zip(phase.chunks_exact_mut(stride)) {
                unwrap::<F>(tables, re, im, guess, phase, turns);
                let (slope, mean) = line::<F>(tables, &phase[LANES..]);
                let shift = round((mean - *first.get_or_insert(mean)) * (1.0 / TAU)) * TAU;
                phase[LANES..].iter_mut().for_each(|p| *p -= shift);
                slopes += slope;
                means += mean - shift;
            }
            let pairs = tables.pairs as f32;
            for (phase, to) in phase.chunks_exact(stride).zip(out.chunks_exact_mut(columns)) {
                subtract::<F>(tables, &phase[LANES..], slopes / pairs, means / pairs, spare, to);
            }
        }
    }
}
