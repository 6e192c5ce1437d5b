//! Sixteen lanes at a time, written so that the compiler fills the vector registers of whatever [`Level`] it compiles
//! for, and the few transcendental functions that cleanup needs.
//!
//! `F` says whether the code is compiled where fused multiply-add is an instruction.

/// Values in a chunk: one AVX-512 register, two of AVX2, four of SSE2 or NEON.
pub(crate) const LANES: usize = 16;

/// A chunk of values.
pub(crate) type Lanes = [f32; LANES];

/// The instructions that a plan uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every machine of the architecture has (SSE2, NEON).
    Baseline,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Level {
    /// The best that this machine has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 {
                return Level::Avx512;
            }
            if avx2 {
                return Level::Avx2;
            }
        }
        Level::Baseline
    }

    /// This level, or the best that this machine has if that is less.
    pub fn supported(self) -> Self {
        self.min(Self::detect())
    }
}

/// Compiles `$body::<F>` for each level and calls the one asked for.
macro_rules! for_level {
    ($level:expr, $body:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2($($arg: $ty),*) $(-> $ret)? {
            $body::<true>($($arg),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512($($arg: $ty),*) $(-> $ret)? {
            $body::<true>($($arg),*)
        }
        // SAFETY: `Supported` never holds a level whose instructions this machine lacks, and the functions ask for
        // nothing else.
        #[allow(unsafe_code)]
        let result = match $level.level() {
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::Level::Avx2 => unsafe { avx2($($arg),*) },
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::Level::Avx512 => unsafe { avx512($($arg),*) },
            _ => $body::<false>($($arg),*),
        };
        result
    }};
}
pub(crate) use for_level;

/// A level that this machine has been found to support: the only way to get one is [`Supported::new`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Supported(Level);

impl Supported {
    pub(crate) fn new(level: Level) -> Self {
        Self(level.supported())
    }

    pub(crate) fn level(self) -> Level {
        self.0
    }
}

/// `a * b + c`.
#[inline(always)]
pub(crate) fn fma<const F: bool>(a: f32, b: f32, c: f32) -> f32 {
    if F { a.mul_add(b, c) } else { a * b + c }
}

/// Nearest integer of `|x| < 2²²`, without the instruction that the baseline lacks.
#[inline(always)]
pub(crate) fn round(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT) - SHIFT
}

/// Greatest error of the fast `atan2`, radians.
pub const ATAN2_ERROR: f32 = 4e-7;

/// `atan2(y, x)` within [`ATAN2_ERROR`]; 0 for (0, 0). Odd polynomial of degree 15 for the arctangent on 0..1
/// (equal-ripple, fitted by Lawson's iteration; error 4e-8 before rounding), the rest by symmetry.
#[inline(always)]
pub(crate) fn atan2<const F: bool>(y: f32, x: f32) -> f32 {
    use std::f32::consts::{FRAC_PI_2, PI};
    let (ax, ay) = (x.abs(), y.abs());
    let (big, small) = if ax > ay { (ax, ay) } else { (ay, ax) };
    let a = small / if big > f32::MIN_POSITIVE { big } else { f32::MIN_POSITIVE };
    let s = a * a;
    let mut p = -4.054_561_7e-3;
    p = fma::<F>(p, s, 2.186_294e-2);
    p = fma::<F>(p, s, -5.591_23e-2);
    p = fma::<F>(p, s, 9.642_196e-2);
    p = fma::<F>(p, s, -1.390_862_9e-1);
    p = fma::<F>(p, s, 1.994_656_6e-1);
    p = fma::<F>(p, s, -3.332_986e-1);
    p = fma::<F>(p, s, 9.999_993_4e-1);
    let r = p * a;
    let r = if ay > ax { FRAC_PI_2 - r } else { r };
    let r = if x < 0.0 { PI - r } else { r };
    // An `if` here would have to look at the sign of zero.
    f32::from_bits(r.to_bits() | (y.to_bits() & 0x8000_0000))
}

/// Greatest error of the fast `log2`, for results of magnitude `l`: this times `max(1, |l|)`.
pub const LOG2_ERROR: f32 = 4e-7;

/// `log2(x)` for normal positive `x` within [`LOG2_ERROR`]; for zero and subnormal numbers some value below −126.
/// Exponent plus a polynomial of degree 8 (fitted as for [`atan2`]) in `m − 1`, `m` in √½..√2.
#[inline(always)]
pub(crate) fn log2<const F: bool>(x: f32) -> f32 {
    const HALF_ROOT: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_sub(HALF_ROOT) as i32;
    let exponent = shifted >> 23;
    let mantissa = f32::from_bits(((shifted & 0x007f_ffff) as u32).wrapping_add(HALF_ROOT)) - 1.0;
    let mut p = -1.457_445_2e-1;
    p = fma::<F>(p, mantissa, 2.368_904_6e-1);
    p = fma::<F>(p, mantissa, -2.500_690_6e-1);
    p = fma::<F>(p, mantissa, 2.867_074_5e-1);
    p = fma::<F>(p, mantissa, -3.600_872e-1);
    p = fma::<F>(p, mantissa, 4.809_394_5e-1);
    p = fma::<F>(p, mantissa, -7.213_571_5e-1);
    p = fma::<F>(p, mantissa, 1.442_694_8);
    fma::<F>(p, mantissa, exponent as f32)
}

/// `out[i] = atan2(y[i], x[i])` within [`ATAN2_ERROR`] for finite values; (0, 0) gives 0.
pub fn atan2_slice(y: &[f32], x: &[f32], out: &mut [f32]) {
    #[inline(always)]
    fn body<const F: bool>(y: &[f32], x: &[f32], out: &mut [f32]) {
        for ((o, &y), &x) in out.iter_mut().zip(y).zip(x) {
            *o = atan2::<F>(y, x);
        }
    }
    for_level!(Supported::new(Level::detect()), body(y: &[f32], x: &[f32], out: &mut [f32]));
}

/// `out[i] = log2(x[i])` within [`LOG2_ERROR`].
pub fn log2_slice(x: &[f32], out: &mut [f32]) {
    #[inline(always)]
    fn body<const F: bool>(x: &[f32], out: &mut [f32]) {
        for (o, &x) in out.iter_mut().zip(x) {
            *o = log2::<F>(x);
        }
    }
    for_level!(Supported::new(Level::detect()), body(x: &[f32], out: &mut [f32]));
}

/// Sum of the lanes, pairwise.
#[inline(always)]
pub(crate) fn sum(mut x: Lanes) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            x[i] += x[i + half];
        }
        half /= 2;
    }
    x[0]
}

/// The chunk of `x` that starts at `at`.
#[inline(always)]
pub(crate) fn load(x: &[f32], at: usize) -> &Lanes {
    const ZEROS: Lanes = [0.0; LANES];
    x.get(at..at + LANES).and_then(|x| x.try_into().ok()).unwrap_or(&ZEROS)
}
