//! Layers of a network on the CPU: rows times a matrix that was packed once, with what follows in the same pass.

#![allow(unsafe_code)]

use half::f16;

use super::simd::{LANES, Level, Supported, Vector, for_level};

/// Columns of a panel of packed weights.
const PANEL: usize = 2 * LANES;

/// `x · W + b` for weights that stay. Each number of the answer is summed up in the order of the inputs, whatever the number of
/// rows: alone or in company a row gives the same bits.
#[derive(Clone, Debug)]
pub struct Dense {
    inputs: usize,
    outputs: usize,
    weights: Packed,
    /// `[panel][PANEL]`.
    bias: Vec<f32>,
    level: Supported,
}

/// Weights, `[panel][input][PANEL]`, 0 beyond the last column.
#[derive(Clone, Debug)]
enum Packed {
    /// As they came.
    Single(Vec<f32>),
    /// Where that changes none of them: memory is what a few rows wait for.
    Half(Vec<Half>),
}

/// The bits of an IEEE 754 binary16.
type Half = u16;

/// What becomes of `x · W + b`.
#[derive(Clone, Copy, Debug)]
pub enum Finish<'a> {
    /// Nothing.
    Plain,
    /// `max(y, 0)`.
    Relu,
    /// `max(y · (1 + scale) + shift, 0)`: Perez et al., "FiLM", 2018. Row `r` takes `scale` and `shift` from row `r / every` of
    /// `by`, `[scale; outputs], [shift; outputs]`.
    Modulated {
        /// Scales and shifts.
        by: &'a [f32],
        /// Rows that share them.
        every: usize,
    },
    /// Added to what the output held before.
    Added,
}

impl Dense {
    /// Packs weights `[inputs][outputs]` and a bias `[outputs]` for a machine of this level.
    ///
    /// # Panics
    /// When the weights are not `inputs` times the bias' length.
    pub fn new(level: Level, weights: &[f32], bias: &[f32]) -> Self {
        let outputs = bias.len();
        let inputs = weights.len() / outputs.max(1);
        assert_eq!(weights.len(), inputs * outputs, "weights of {outputs} columns");
        let panels = outputs.div_ceil(PANEL);
        let mut packed = vec![0.0; panels * inputs * PANEL];
        for (panel, packed) in packed.chunks_exact_mut((inputs * PANEL).max(1)).enumerate() {
            let columns = panel * PANEL..((panel + 1) * PANEL).min(outputs);
            for (input, packed) in packed.chunks_exact_mut(PANEL).enumerate() {
                let row = &weights[input * outputs..(input + 1) * outputs];
                packed[..columns.len()].copy_from_slice(&row[columns.clone()]);
            }
        }
        let mut padded = bias.to_vec();
        padded.resize(panels * PANEL, 0.0);
        let level = Supported::new(level);
        // The baseline has no instruction that widens them.
        let halves = (level.level() != Level::Baseline).then(|| halves(&packed)).flatten();
        let weights = halves.map_or(Packed::Single(packed), Packed::Half);
        Self { inputs, outputs, weights, bias: padded, level }
    }

    /// Numbers of a row of the answer.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The layer's answer to each row, `[rows][inputs]`, in `out`, `[rows][outputs]`.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn apply(&self, x: &[&[f32]], finish: Finish<'_>, out: &mut [f32]) {
        let rows = x.len();
        assert!(x.iter().all(|row| row.len() == self.inputs), "rows of {} inputs", self.inputs);
        assert_eq!(out.len(), rows * self.outputs, "{rows} rows of {} outputs", self.outputs);
        if let Finish::Modulated { by, every } = finish {
            assert!(
                every > 0 && by.len() >= rows.div_ceil(every) * 2 * self.outputs,
                "a scale and a shift for {rows} rows"
            );
        }
        // As many rows as leave a tile's sums and a row of weights in the registers; all tiles of about the same height.
        let most = if self.level.level() == Level::Avx512 { 12 } else { 6 };
        let tiles = rows.div_ceil(most);
        for column in (0..self.outputs).step_by(PANEL) {
            let mut first = 0;
            for tile in 0..tiles {
                let end = (tile + 1) * rows / tiles;
                of_height(end - first, &Place { dense: self, x, finish, first, column }, out);
                first = end;
            }
        }
    }
}

/// The weights in half precision, if that is what they are.
fn halves(weights: &[f32]) -> Option<Vec<Half>> {
    let half = |&w: &f32| Some(f16::from_f32(w)).filter(|h| h.to_f32() == w).map(f16::to_bits);
    weights.iter().map(half).collect()
}

/// A function for each height: one with all of them is too large for the compiler to inline instructions into.
macro_rules! heights {
    ($($name:ident $rows:literal)*) => {
        $(#[inline(always)]
        fn $name<V: Vector>(place: &Place<'_>, out: &mut [f32]) {
            match &place.dense.weights {
                Packed::Single(weights) => place.panel::<V, f32, $rows>(weights, out),
                Packed::Half(weights) => place.panel::<V, Half, $rows>(weights, out),
            }
        })*

        fn of_height(rows: usize, place: &Place<'_>, out: &mut [f32]) {
            let level = place.dense.level;
            match rows {
                $($rows => for_level!(level, $name(place: &Place<'_>, out: &mut [f32])),)*
                _ => {}
            }
        }
    };
}

heights! {
    rows1 1 rows2 2 rows3 3 rows4 4 rows5 5 rows6 6 rows7 7 rows8 8 rows9 9 rows10 10 rows11 11 rows12 12
}

/// Where a tile is.
struct Place<'a> {
    dense: &'a Dense,
    x: &'a [&'a [f32]],
    finish: Finish<'a>,
    first: usize,
    column: usize,
}

impl Place<'_> {
    #[inline(always)]
    fn panel<V: Vector, W: Weight, const R: usize>(&self, weights: &[W], out: &mut [f32]) {
        let size = self.dense.inputs * PANEL;
        let panel = &weights[self.column / PANEL * size..][..size];
        if V::WIDE_REGISTERS {
            self.tile::<V, W, R, 2>(panel, 0, out);
        } else {
            self.tile::<V, W, R, 1>(panel, 0, out);
            self.tile::<V, W, R, 1>(panel, LANES, out);
        }
    }

    /// From column `within` of the panel on.
    #[inline(always)]
    fn tile<V: Vector, W: Weight, const R: usize, const C: usize>(
        &self,
        panel: &[W],
        within: usize,
        out: &mut [f32],
    ) {
        let (inputs, outputs) = (self.dense.inputs, self.dense.outputs);
        let first_column = self.column + within;
        let x: [&[f32]; R] = std::array::from_fn(
            #[inline(always)]
            |r| &self.x[self.first + r][..inputs],
        );
        let bias: [V; C] = std::array::from_fn(
            #[inline(always)]
            |c| V::load(&self.dense.bias, first_column + c * LANES),
        );
        let mut sums = [bias; R];
        for (i, weights) in panel.chunks_exact(PANEL).enumerate() {
            let mut row = [V::splat(0.0); C];
            for c in 0..C {
                row[c] = W::load::<V>(weights, within + c * LANES);
            }
            for r in 0..R {
                // SAFETY: a panel has as many rows as a row of `x` has numbers, which is what these slices were cut to.
                let x = V::splat(unsafe { *x[r].get_unchecked(i) });
                for c in 0..C {
                    sums[r][c] = x.mul_add(row[c], sums[r][c]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let row = self.first + r;
            for (c, sum) in sums.iter().enumerate() {
                let column = first_column + c * LANES;
                if column >= outputs {
                    continue;
                }
                let at = row * outputs + column;
                let width = LANES.min(outputs - column);
                let value = match self.finish {
                    Finish::Plain => *sum,
                    Finish::Relu => relu(*sum),
                    Finish::Modulated { by, every } => {
                        let by = &by[row / every * 2 * outputs..][..2 * outputs];
                        let scale = some::<V>(by, column, width).add(V::splat(1.0));
                        let shift = some::<V>(by, outputs + column, width);
                        relu(sum.mul_add(scale, shift))
                    }
                    Finish::Added => some::<V>(out, at, width).add(*sum),
                };
                if width == LANES {
                    value.store(out, at);
                } else {
                    out[at..at + width].copy_from_slice(&value.array()[..width]);
                }
            }
        }
    }
}

/// A weight as it lies in memory.
trait Weight: Copy {
    /// `x[at..at + LANES]`.
    fn load<V: Vector>(x: &[Self], at: usize) -> V;
}

impl Weight for f32 {
    #[inline(always)]
    fn load<V: Vector>(x: &[Self], at: usize) -> V {
        V::load(x, at)
    }
}

impl Weight for Half {
    #[inline(always)]
    fn load<V: Vector>(x: &[Self], at: usize) -> V {
        V::halves(x, at)
    }
}

/// 0 where `x` is less; what is no number stays none.
#[inline(always)]
fn relu<V: Vector>(x: V) -> V {
    V::splat(0.0).max(x)
}

/// A vector whose first `width` lanes are `x[at..]`, the rest 0.
#[inline(always)]
fn some<V: Vector>(x: &[f32], at: usize, width: usize) -> V {
    if width == LANES {
        return V::load(x, at);
    }
    let mut lanes = [0.0; LANES];
    lanes[..width].copy_from_slice(&x[at..at + width]);
    V::load(&lanes, 0)
}
