//! One packet: unpacking, column selection, scale, amplitude, sanitised phase and CSI ratio.

use std::f32::consts::TAU;

use super::simd::{LANES, Level, Plain, Supported, Vector, atan2, for_level};
use crate::{
    Complex32,
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
    turns: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(tables: &Tables) -> Self {
        let all = tables.pairs * tables.stride;
        Self {
            re: vec![0.0; all],
            im: vec![0.0; all],
            phase: vec![0.0; all],
            turns: vec![0.0; tables.stride],
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
fn body<V: Vector>(tables: &Tables, scratch: &mut Scratch, input: Iq<'_>, out: Out<'_>) -> f32 {
    match input {
        Iq::I8(x) => unpack(tables, scratch, x, |v| V::bytes(v), |v| (f32::from(v[0]), f32::from(v[1]))),
        Iq::I8ImaginaryFirst(x) => {
            let vector = |v: &[[i8; 2]; LANES]| {
                let (im, re) = V::bytes(v);
                (re, im)
            };
            unpack(tables, scratch, x, vector, |v| (f32::from(v[1]), f32::from(v[0])));
        }
        Iq::I16(x) => unpack(tables, scratch, x, one_by_one::<V, _>(words), words),
        Iq::F32(x) => unpack(tables, scratch, x, one_by_one::<V, _>(floats), floats),
    }
    let (stride, columns) = (tables.stride, tables.columns);
    let power = sum_squares::<V>(&scratch.re, &scratch.im);
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
        magnitudes::<V>(&re[LANES..], &im[LANES..], gain, to);
    }
    phases::<V>(tables, scratch, out.phase);
    if let Some(ratio) = &tables.ratio {
        let to = out.ratio_re.chunks_exact_mut(columns).zip(out.ratio_im.chunks_exact_mut(columns));
        for (pair, (to_re, to_im)) in to.enumerate() {
            let reference = pair / ratio.rx * ratio.rx + ratio.antenna;
            let at = |p: usize| p * stride + LANES..(p + 1) * stride;
            let (h_re, h_im) = (&scratch.re[at(pair)], &scratch.im[at(pair)]);
            let (r_re, r_im) = (&scratch.re[at(reference)], &scratch.im[at(reference)]);
            let floor = (sum_squares::<V>(r_re, r_im) * ratio.floor).max(f32::MIN_POSITIVE);
            divide::<V>([h_re, h_im, r_re, r_im], floor, to_re, to_im);
        }
    }
    gain
}

#[inline(always)]
fn words(v: [i16; 2]) -> (f32, f32) {
    (f32::from(v[0]), f32::from(v[1]))
}

#[inline(always)]
fn floats(v: Complex32) -> (f32, f32) {
    (v.re, v.im)
}

#[inline(always)]
fn one_by_one<V: Vector, T: Copy>(value: impl Fn(T) -> (f32, f32)) -> impl Fn(&[T; LANES]) -> (V, V) {
    #[inline(always)]
    move |x| {
        let (mut re, mut im) = ([0.0; LANES], [0.0; LANES]);
        for i in 0..LANES {
            (re[i], im[i]) = value(x[i]);
        }
        (V::load(&re, 0), V::load(&im, 0))
    }
}

#[inline(always)]
fn unpack<V: Vector, T: Copy>(
    tables: &Tables,
    scratch: &mut Scratch,
    x: &[T],
    vector: impl Fn(&[T; LANES]) -> (V, V),
    value: impl Fn(T) -> (f32, f32),
) {
    let rows = scratch.re.chunks_exact_mut(tables.stride).zip(scratch.im.chunks_exact_mut(tables.stride));
    for (from, (re, im)) in x.chunks_exact(tables.subcarriers).zip(rows) {
        for run in &tables.runs {
            let (chunks, rest) = from[run.from..run.from + run.len].as_chunks::<LANES>();
            let mut at = LANES + run.to;
            for chunk in chunks {
                let (a, b) = vector(chunk);
                a.store(re, at);
                b.store(im, at);
                at += LANES;
            }
            for (&v, (re, im)) in rest.iter().zip(re[at..].iter_mut().zip(&mut im[at..])) {
                (*re, *im) = value(v);
            }
        }
    }
}

/// Starts of the vectors in `len` values.
#[inline(always)]
fn starts(len: usize) -> impl Iterator<Item = usize> {
    (0..len / LANES).map(|c| c * LANES)
}

/// `Σ re² + im²` over slices whose length is a multiple of [`LANES`].
#[inline(always)]
fn sum_squares<V: Vector>(re: &[f32], im: &[f32]) -> f32 {
    let mut acc = V::splat(0.0);
    for at in starts(re.len()) {
        let (re, im) = (V::load(re, at), V::load(im, at));
        acc = re.mul_add(re, im.mul_add(im, acc));
    }
    acc.sum()
}

/// The part of a vector that fits to `to[at..]`.
#[inline(always)]
fn store<V: Vector>(x: V, to: &mut [f32], at: usize) {
    let to = &mut to[at..];
    if to.len() >= LANES {
        x.store(to, 0);
    } else {
        to.copy_from_slice(&x.array()[..to.len()]);
    }
}

#[inline(always)]
fn magnitudes<V: Vector>(re: &[f32], im: &[f32], gain: f32, to: &mut [f32]) {
    for at in starts(re.len()) {
        let (re, im) = (V::load(re, at), V::load(im, at));
        store(re.mul_add(re, im.mul(im)).sqrt().mul(V::splat(gain)), to, at);
    }
}

#[inline(always)]
fn divide<V: Vector>(
    [h_re, h_im, r_re, r_im]: [&[f32]; 4],
    floor: f32,
    to_re: &mut [f32],
    to_im: &mut [f32],
) {
    for at in starts(h_re.len()) {
        let (hr, hi) = (V::load(h_re, at), V::load(h_im, at));
        let (rr, ri) = (V::load(r_re, at), V::load(r_im, at));
        let power = rr.mul_add(rr, ri.mul(ri)).max(V::splat(floor));
        let scale = V::splat(1.0).div(power);
        store(hr.mul_add(rr, hi.mul(ri)).mul(scale), to_re, at);
        store(hr.neg_mul_add(ri, hi.mul(rr)).mul(scale), to_im, at);
    }
}

/// `Σ h(k)·conj(h(k−1))` over the neighbours that the tables mark.
#[inline(always)]
fn neighbour_product<V: Vector>(tables: &Tables, re: &[f32], im: &[f32]) -> (f32, f32) {
    let (mut x, mut y) = (V::splat(0.0), V::splat(0.0));
    for at in starts(tables.neighbours.len()) {
        let (w, at) = (V::load(&tables.neighbours, at), at + LANES);
        let (re1, im1) = (V::load(re, at), V::load(im, at));
        let (re0, im0) = (V::load(re, at - 1), V::load(im, at - 1));
        x = w.mul_add(re1.mul_add(re0, im1.mul(im0)), x);
        y = w.mul_add(re1.neg_mul_add(im0, im1.mul(re0)), y);
    }
    (x.sum(), y.sum())
}

/// One value by the vector's means: the two agree to the bit, whatever the level.
#[inline(always)]
fn angle<V: Vector>(y: f32, x: f32) -> f32 {
    atan2(V::splat(y), V::splat(x)).array()[0]
}

/// Unwraps the angles less `guess · index` into `phase` (padded row); whole turns come from differences of neighbours.
#[inline(always)]
fn unwrap<V: Vector>(
    tables: &Tables,
    re: &[f32],
    im: &[f32],
    guess: f32,
    phase: &mut [f32],
    turns: &mut [f32],
) {
    // The line is reduced to less than a turn before it is rounded: `coarse · index` is exact (13 by 11 bits), and
    // `fine · index` is small. Steep lines over wide bands would cost the last digits otherwise.
    let slope = guess * (1.0 / TAU);
    let coarse = Plain::splat(slope * 4096.0).round().array()[0] * (1.0 / 4096.0);
    let fine = slope - coarse;
    for at in starts(tables.index.len()) {
        let k = V::load(&tables.index, at);
        let whole = V::splat(coarse).mul(k);
        let line = V::splat(fine).mul_add(k, whole.sub(whole.round()));
        let angle = atan2(V::load(im, at + LANES), V::load(re, at + LANES));
        line.neg_mul_add(V::splat(TAU), angle).store(phase, at + LANES);
    }
    // The first value has no neighbour.
    phase[LANES - 1] = phase[LANES];
    let mut any = V::splat(0.0);
    for at in starts(tables.index.len()) {
        let difference = V::load(phase, at + LANES).sub(V::load(phase, at + LANES - 1));
        let turn = difference.mul(V::splat(1.0 / TAU)).round();
        turn.store(turns, at);
        any = any.max(turn.abs());
    }
    if any.any() {
        let mut before = V::splat(0.0);
        for at in starts(tables.index.len()) {
            let total = V::load(turns, at).prefix().add(before);
            before = total.spread_last();
            total.neg_mul_add(V::splat(TAU), V::load(phase, at + LANES)).store(phase, at + LANES);
        }
    }
}

/// Slope and mean of a padded row.
#[inline(always)]
fn line<V: Vector>(tables: &Tables, row: &[f32]) -> (f32, f32) {
    let (mut slope, mut mean) = (V::splat(0.0), V::splat(0.0));
    for at in starts(row.len()) {
        let p = V::load(row, at);
        slope = V::load(&tables.slope, at).mul_add(p, slope);
        mean = V::load(&tables.mean, at).mul_add(p, mean);
    }
    (slope.sum(), mean.sum())
}

#[inline(always)]
fn subtract<V: Vector>(tables: &Tables, row: &[f32], slope: f32, mean: f32, to: &mut [f32]) {
    for at in starts(row.len()) {
        let p = V::load(row, at).sub(V::splat(mean));
        store(V::load(&tables.centred, at).neg_mul_add(V::splat(slope), p), to, at);
    }
}

#[inline(always)]
fn phases<V: Vector>(tables: &Tables, scratch: &mut Scratch, out: &mut [f32]) {
    let (stride, columns) = (tables.stride, tables.columns);
    let Scratch { re, im, phase, turns } = scratch;
    let rows = || re.chunks_exact(stride).zip(im.chunks_exact(stride));
    match tables.sanitise {
        Sanitise::PerPair => {
            for (((re, im), phase), to) in
                rows().zip(phase.chunks_exact_mut(stride)).zip(out.chunks_exact_mut(columns))
            {
                let (x, y) = neighbour_product::<V>(tables, re, im);
                unwrap::<V>(tables, re, im, angle::<V>(y, x) / tables.step, phase, turns);
                let (slope, mean) = line::<V>(tables, &phase[LANES..]);
                subtract::<V>(tables, &phase[LANES..], slope, mean, to);
            }
        }
        Sanitise::Shared => {
            let (mut x, mut y) = (0.0, 0.0);
            for (re, im) in rows() {
                let (x1, y1) = neighbour_product::<V>(tables, re, im);
                x += x1;
                y += y1;
            }
            let guess = angle::<V>(y, x) / tables.step;
            let (mut slopes, mut means, mut first) = (0.0, 0.0, None);
            for ((re, im), phase) in rows().zip(phase.chunks_exact_mut(stride)) {
                unwrap::<V>(tables, re, im, guess, phase, turns);
                let (slope, mean) = line::<V>(tables, &phase[LANES..]);
                let turns = ((mean - *first.get_or_insert(mean)) * (1.0 / TAU)).round();
                phase[LANES..].iter_mut().for_each(|p| *p -= turns * TAU);
                slopes += slope;
                means += mean - turns * TAU;
            }
            let pairs = tables.pairs as f32;
            for (phase, to) in phase.chunks_exact(stride).zip(out.chunks_exact_mut(columns)) {
                subtract::<V>(tables, &phase[LANES..], slopes / pairs, means / pairs, to);
            }
        }
    }
}
