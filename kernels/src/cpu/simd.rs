//! Sixteen lanes at a time, in one register of AVX-512, two of AVX2 or an array, and the few transcendental functions
//! that cleanup needs.
//!
//! Code generic over [`Vector`] is inlined into the functions that [`for_level`] makes, which enable the instructions
//! and are called only where [`Supported`] says that the machine has them. That is the invariant of every `unsafe`
//! block here: nothing else names [`Avx2`] or [`Avx512`].
#![allow(unsafe_code)]

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

/// The instructions that a plan uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every machine of the architecture has (SSE2, NEON).
    Baseline,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Level {
    /// The best that this machine has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
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

/// Instantiates `$body` for each level and calls the one asked for.
macro_rules! for_level {
    ($level:expr, $body:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2($($arg: $ty),*) $(-> $ret)? {
            $body::<$crate::cpu::simd::Avx2>($($arg),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn avx512($($arg: $ty),*) $(-> $ret)? {
            $body::<$crate::cpu::simd::Avx512>($($arg),*)
        }
        // SAFETY: `Supported` never holds a level whose instructions this machine lacks, and the functions ask for
        // nothing else.
        #[allow(unsafe_code)]
        let result = match $level.level() {
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::Level::Avx2 => unsafe { avx2($($arg),*) },
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::Level::Avx512 => unsafe { avx512($($arg),*) },
            _ => $body::<$crate::cpu::simd::Plain>($($arg),*),
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

/// Sixteen `f32`s.
pub(crate) trait Vector: Copy {
    /// There are 32 registers, each of which holds one.
    const WIDE_REGISTERS: bool;
    fn splat(x: f32) -> Self;
    /// `x[at..at + LANES]`.
    fn load(x: &[f32], at: usize) -> Self;
    /// `x[at..at + LANES]`, the bits of IEEE 754 binary16 numbers.
    fn halves(x: &[u16], at: usize) -> Self;
    /// To `x[at..at + LANES]`.
    fn store(self, x: &mut [f32], at: usize);
    /// Real and imaginary parts of the first sixteen pairs of bytes.
    fn bytes(x: &[[i8; 2]; LANES]) -> (Self, Self);
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn div(self, b: Self) -> Self;
    /// `self * b + c`.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// `c - self * b`.
    fn neg_mul_add(self, b: Self, c: Self) -> Self;
    fn max(self, b: Self) -> Self;
    fn min(self, b: Self) -> Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    /// `yes` where `self < b`, else `no`.
    fn if_less(self, b: Self, yes: Self, no: Self) -> Self;
    /// `self` (not negative) with the sign bit of `b`.
    fn with_sign(self, b: Self) -> Self;
    /// Exponent and mantissa: `self = mantissa · 2^exponent`, mantissa in √½..√2.
    fn exponent(self) -> (Self, Self);
    /// Some lane is not zero.
    fn any(self) -> bool;

    #[inline(always)]
    fn array(self) -> [f32; LANES] {
        let mut x = [0.0; LANES];
        self.store(&mut x, 0);
        x
    }
    /// Running sums of the lanes.
    #[inline(always)]
    fn prefix(self) -> Self {
        let mut x = self.array();
        for i in 1..LANES {
            x[i] += x[i - 1];
        }
        Self::load(&x, 0)
    }
    /// The last lane, in all.
    #[inline(always)]
    fn spread_last(self) -> Self {
        Self::splat(self.array()[LANES - 1])
    }
    /// Sum of the lanes, pairwise.
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut x = self.array();
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                x[i] += x[i + half];
            }
            half /= 2;
        }
        x[0]
    }
    #[inline(always)]
    fn greatest(self) -> f32 {
        let mut x = self.array();
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                x[i] = if x[i + half] > x[i] { x[i + half] } else { x[i] };
            }
            half /= 2;
        }
        x[0]
    }
    /// Nearest integer of `|x| < 2²²`, without the instruction that the baseline lacks.
    #[inline(always)]
    fn round(self) -> Self {
        let shift = Self::splat(12_582_912.0);
        self.add(shift).sub(shift)
    }
}

/// `exponent`'s boundary: the bits of √½.
const HALF_ROOT: u32 = 0x3f35_04f3;

/// An array: what the compiler makes of it.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f32; LANES]);

macro_rules! lanes {
    ($i:ident => $x:expr) => {
        Plain(std::array::from_fn(
            #[inline(always)]
            |$i| $x,
        ))
    };
}

impl Vector for Plain {
    const WIDE_REGISTERS: bool = false;
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Plain([x; LANES])
    }
    #[inline(always)]
    fn load(x: &[f32], at: usize) -> Self {
        let x = &x[at..at + LANES];
        lanes!(i => x[i])
    }
    #[inline(always)]
    fn halves(x: &[u16], at: usize) -> Self {
        let x = &x[at..at + LANES];
        lanes!(i => half::f16::from_bits(x[i]).to_f32_const())
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], at: usize) {
        x[at..at + LANES].copy_from_slice(&self.0);
    }
    #[inline(always)]
    fn bytes(x: &[[i8; 2]; LANES]) -> (Self, Self) {
        (lanes!(i => f32::from(x[i][0])), lanes!(i => f32::from(x[i][1])))
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        lanes!(i => self.0[i] + b.0[i])
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        lanes!(i => self.0[i] - b.0[i])
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        lanes!(i => self.0[i] * b.0[i])
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        lanes!(i => self.0[i] / b.0[i])
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        lanes!(i => self.0[i] * b.0[i] + c.0[i])
    }
    #[inline(always)]
    fn neg_mul_add(self, b: Self, c: Self) -> Self {
        lanes!(i => c.0[i] - self.0[i] * b.0[i])
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        lanes!(i => if self.0[i] > b.0[i] { self.0[i] } else { b.0[i] })
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        lanes!(i => if self.0[i] < b.0[i] { self.0[i] } else { b.0[i] })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        lanes!(i => self.0[i].sqrt())
    }
    #[inline(always)]
    fn abs(self) -> Self {
        lanes!(i => self.0[i].abs())
    }
    #[inline(always)]
    fn if_less(self, b: Self, yes: Self, no: Self) -> Self {
        lanes!(i => if self.0[i] < b.0[i] { yes.0[i] } else { no.0[i] })
    }
    #[inline(always)]
    fn with_sign(self, b: Self) -> Self {
        lanes!(i => f32::from_bits(self.0[i].to_bits() | (b.0[i].to_bits() & 0x8000_0000)))
    }
    #[inline(always)]
    fn exponent(self) -> (Self, Self) {
        let shifted: [i32; LANES] =
            std::array::from_fn(|i| self.0[i].to_bits().wrapping_sub(HALF_ROOT) as i32);
        let mantissa = |x: i32| f32::from_bits(((x & 0x007f_ffff) as u32).wrapping_add(HALF_ROOT));
        (lanes!(i => (shifted[i] >> 23) as f32), lanes!(i => mantissa(shifted[i])))
    }
    #[inline(always)]
    fn any(self) -> bool {
        self.0.iter().any(|&x| x != 0.0)
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{HALF_ROOT, LANES, Vector};

    /// Two registers of AVX2.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256, __m256);

    /// One register of AVX-512.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512);

    // Functions, not closures: a closure does not inherit the instructions of the function it is inlined into.

    /// Running sums: by one and two places within each half, then the lower half's last onto the upper.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn prefix8(x: __m256) -> __m256 {
        let x = _mm256_add_ps(x, _mm256_castsi256_ps(_mm256_slli_si256::<4>(_mm256_castps_si256(x))));
        let x = _mm256_add_ps(x, _mm256_castsi256_ps(_mm256_slli_si256::<8>(_mm256_castps_si256(x))));
        _mm256_add_ps(x, _mm256_permute_ps::<0xff>(_mm256_permute2f128_ps::<0x08>(x, x)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn words16(w: __m256i) -> Avx2 {
        Avx2(
            _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm256_castsi256_si128(w))),
            _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm256_extracti128_si256::<1>(w))),
        )
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn exponent8(x: __m256) -> (__m256, __m256) {
        let root = _mm256_set1_epi32(HALF_ROOT as i32);
        let shifted = _mm256_sub_epi32(_mm256_castps_si256(x), root);
        let mantissa = _mm256_and_si256(shifted, _mm256_set1_epi32(0x007f_ffff));
        (
            _mm256_cvtepi32_ps(_mm256_srai_epi32::<23>(shifted)),
            _mm256_castsi256_ps(_mm256_add_epi32(mantissa, root)),
        )
    }

    macro_rules! both {
        ($f:ident($($x:expr),*)) => { both!(@ $f, $($x),*) };
        (@ $f:ident, $a:expr) => { unsafe { Avx2($f($a.0), $f($a.1)) } };
        (@ $f:ident, $a:expr, $b:expr) => { unsafe { Avx2($f($a.0, $b.0), $f($a.1, $b.1)) } };
        (@ $f:ident, $a:expr, $b:expr, $c:expr) => { unsafe { Avx2($f($a.0, $b.0, $c.0), $f($a.1, $b.1, $c.1)) } };
    }

    impl Vector for Avx2 {
        const WIDE_REGISTERS: bool = false;
        #[inline(always)]
        fn splat(x: f32) -> Self {
            unsafe { Avx2(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
        }
        #[inline(always)]
        fn load(x: &[f32], at: usize) -> Self {
            let x = x[at..at + LANES].as_ptr();
            unsafe { Avx2(_mm256_loadu_ps(x), _mm256_loadu_ps(x.add(8))) }
        }
        #[inline(always)]
        fn halves(x: &[u16], at: usize) -> Self {
            let x = x[at..at + LANES].as_ptr().cast::<__m128i>();
            unsafe { Avx2(_mm256_cvtph_ps(_mm_loadu_si128(x)), _mm256_cvtph_ps(_mm_loadu_si128(x.add(1)))) }
        }
        #[inline(always)]
        fn store(self, x: &mut [f32], at: usize) {
            let x = x[at..at + LANES].as_mut_ptr();
            unsafe {
                _mm256_storeu_ps(x, self.0);
                _mm256_storeu_ps(x.add(8), self.1);
            }
        }
        #[inline(always)]
        fn bytes(x: &[[i8; 2]; LANES]) -> (Self, Self) {
            unsafe {
                let words = _mm256_loadu_si256(x.as_ptr().cast());
                let real = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(words));
                (words16(real), words16(_mm256_srai_epi16::<8>(words)))
            }
        }
        #[inline(always)]
        fn add(self, b: Self) -> Self {
            both!(_mm256_add_ps(self, b))
        }
        #[inline(always)]
        fn sub(self, b: Self) -> Self {
            both!(_mm256_sub_ps(self, b))
        }
        #[inline(always)]
        fn mul(self, b: Self) -> Self {
            both!(_mm256_mul_ps(self, b))
        }
        #[inline(always)]
        fn div(self, b: Self) -> Self {
            both!(_mm256_div_ps(self, b))
        }
        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            both!(_mm256_fmadd_ps(self, b, c))
        }
        #[inline(always)]
        fn neg_mul_add(self, b: Self, c: Self) -> Self {
            both!(_mm256_fnmadd_ps(self, b, c))
        }
        #[inline(always)]
        fn max(self, b: Self) -> Self {
            both!(_mm256_max_ps(self, b))
        }
        #[inline(always)]
        fn min(self, b: Self) -> Self {
            both!(_mm256_min_ps(self, b))
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            both!(_mm256_sqrt_ps(self))
        }
        #[inline(always)]
        fn abs(self) -> Self {
            let sign = Self::splat(-0.0);
            both!(_mm256_andnot_ps(sign, self))
        }
        #[inline(always)]
        fn if_less(self, b: Self, yes: Self, no: Self) -> Self {
            unsafe {
                Avx2(
                    _mm256_blendv_ps(no.0, yes.0, _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, b.0)),
                    _mm256_blendv_ps(no.1, yes.1, _mm256_cmp_ps::<_CMP_LT_OQ>(self.1, b.1)),
                )
            }
        }
        #[inline(always)]
        fn with_sign(self, b: Self) -> Self {
            let sign = Self::splat(-0.0);
            let sign = both!(_mm256_and_ps(sign, b));
            both!(_mm256_or_ps(self, sign))
        }
        #[inline(always)]
        fn exponent(self) -> (Self, Self) {
            unsafe {
                let ((e0, m0), (e1, m1)) = (exponent8(self.0), exponent8(self.1));
                (Avx2(e0, e1), Avx2(m0, m1))
            }
        }
        #[inline(always)]
        fn any(self) -> bool {
            unsafe {
                let zero = _mm256_setzero_ps();
                let a = _mm256_cmp_ps::<_CMP_NEQ_UQ>(self.0, zero);
                let b = _mm256_cmp_ps::<_CMP_NEQ_UQ>(self.1, zero);
                _mm256_movemask_ps(_mm256_or_ps(a, b)) != 0
            }
        }
        #[inline(always)]
        fn prefix(self) -> Self {
            unsafe {
                let (low, high) = (prefix8(self.0), prefix8(self.1));
                let last = _mm256_permutevar8x32_ps(low, _mm256_set1_epi32(7));
                Avx2(low, _mm256_add_ps(high, last))
            }
        }
        #[inline(always)]
        fn spread_last(self) -> Self {
            unsafe {
                let last = _mm256_permutevar8x32_ps(self.1, _mm256_set1_epi32(7));
                Avx2(last, last)
            }
        }
        #[inline(always)]
        fn sum(self) -> f32 {
            unsafe {
                let eight = _mm256_add_ps(self.0, self.1);
                let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }
    }

    impl Vector for Avx512 {
        const WIDE_REGISTERS: bool = true;
        #[inline(always)]
        fn splat(x: f32) -> Self {
            unsafe { Avx512(_mm512_set1_ps(x)) }
        }
        #[inline(always)]
        fn load(x: &[f32], at: usize) -> Self {
            unsafe { Avx512(_mm512_loadu_ps(x[at..at + LANES].as_ptr())) }
        }
        #[inline(always)]
        fn halves(x: &[u16], at: usize) -> Self {
            let x = x[at..at + LANES].as_ptr();
            unsafe { Avx512(_mm512_cvtph_ps(_mm256_loadu_si256(x.cast()))) }
        }
        #[inline(always)]
        fn store(self, x: &mut [f32], at: usize) {
            unsafe { _mm512_storeu_ps(x[at..at + LANES].as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn bytes(x: &[[i8; 2]; LANES]) -> (Self, Self) {
            unsafe {
                let words = _mm256_loadu_si256(x.as_ptr().cast());
                let imaginary = _mm512_cvtepi16_epi32(_mm256_srai_epi16::<8>(words));
                let real = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(words));
                (
                    Avx512(_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(real))),
                    Avx512(_mm512_cvtepi32_ps(imaginary)),
                )
            }
        }
        #[inline(always)]
        fn add(self, b: Self) -> Self {
            unsafe { Avx512(_mm512_add_ps(self.0, b.0)) }
        }
        #[inline(always)]
        fn sub(self, b: Self) -> Self {
            unsafe { Avx512(_mm512_sub_ps(self.0, b.0)) }
        }
        #[inline(always)]
        fn mul(self, b: Self) -> Self {
            unsafe { Avx512(_mm512_mul_ps(self.0, b.0)) }
        }
        #[inline(always)]
        fn div(self, b: Self) -> Self {
            unsafe { Avx512(_mm512_div_ps(self.0, b.0)) }
        }
        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            unsafe { Avx512(_mm512_fmadd_ps(self.0, b.0, c.0)) }
        }
        #[inline(always)]
        fn neg_mul_add(self, b: Self, c: Self) -> Self {
            unsafe { Avx512(_mm512_fnmadd_ps(self.0, b.0, c.0)) }
        }
        #[inline(always)]
        fn max(self, b: Self) -> Self {
            unsafe { Avx512(_mm512_max_ps(self.0, b.0)) }
        }
        #[inline(always)]
        fn min(self, b: Self) -> Self {
            unsafe { Avx512(_mm512_min_ps(self.0, b.0)) }
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            unsafe { Avx512(_mm512_sqrt_ps(self.0)) }
        }
        #[inline(always)]
        fn abs(self) -> Self {
            unsafe { Avx512(_mm512_abs_ps(self.0)) }
        }
        #[inline(always)]
        fn if_less(self, b: Self, yes: Self, no: Self) -> Self {
            unsafe {
                Avx512(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, b.0), no.0, yes.0))
            }
        }
        #[inline(always)]
        fn with_sign(self, b: Self) -> Self {
            unsafe { Avx512(_mm512_or_ps(self.0, _mm512_and_ps(b.0, _mm512_set1_ps(-0.0)))) }
        }
        #[inline(always)]
        fn exponent(self) -> (Self, Self) {
            unsafe {
                let root = _mm512_set1_epi32(HALF_ROOT as i32);
                let shifted = _mm512_sub_epi32(_mm512_castps_si512(self.0), root);
                let mantissa = _mm512_and_si512(shifted, _mm512_set1_epi32(0x007f_ffff));
                (
                    Avx512(_mm512_cvtepi32_ps(_mm512_srai_epi32::<23>(shifted))),
                    Avx512(_mm512_castsi512_ps(_mm512_add_epi32(mantissa, root))),
                )
            }
        }
        #[inline(always)]
        fn any(self) -> bool {
            unsafe { _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(self.0, _mm512_setzero_ps()) != 0 }
        }
        #[inline(always)]
        fn prefix(self) -> Self {
            unsafe {
                let x = _mm512_add_ps(self.0, _mm512_maskz_expand_ps(0xfffe, self.0));
                let x = _mm512_add_ps(x, _mm512_maskz_expand_ps(0xfffc, x));
                let x = _mm512_add_ps(x, _mm512_maskz_expand_ps(0xfff0, x));
                Avx512(_mm512_add_ps(x, _mm512_maskz_expand_ps(0xff00, x)))
            }
        }
        #[inline(always)]
        fn spread_last(self) -> Self {
            unsafe { Avx512(_mm512_permutexvar_ps(_mm512_set1_epi32(15), self.0)) }
        }
        #[inline(always)]
        fn sum(self) -> f32 {
            unsafe { _mm512_reduce_add_ps(self.0) }
        }
        #[inline(always)]
        fn greatest(self) -> f32 {
            unsafe { _mm512_reduce_max_ps(self.0) }
        }
    }
}

/// Greatest error of the fast `atan2`, radians.
pub const ATAN2_ERROR: f32 = 4e-7;

/// `c[0] + c[1] x + …`.
#[inline(always)]
fn polynomial<V: Vector>(coefficients: &[f32], x: V) -> V {
    let mut p = V::splat(0.0);
    for &c in coefficients.iter().rev() {
        p = p.mul_add(x, V::splat(c));
    }
    p
}

/// `atan2(y, x)` within [`ATAN2_ERROR`]; 0 for (0, 0). Odd polynomial of degree 15 for the arctangent on 0..1
/// (equal-ripple, fitted by Lawson's iteration; error 4e-8 before rounding), the rest by symmetry.
#[inline(always)]
pub(crate) fn atan2<V: Vector>(y: V, x: V) -> V {
    use std::f32::consts::{FRAC_PI_2, PI};
    const ARCTANGENT: [f32; 8] = [
        9.999_993_4e-1,
        -3.332_986e-1,
        1.994_656_6e-1,
        -1.390_862_9e-1,
        9.642_196e-2,
        -5.591_23e-2,
        2.186_294e-2,
        -4.054_561_7e-3,
    ];
    let (ax, ay) = (x.abs(), y.abs());
    let a = ax.min(ay).div(ax.max(ay).max(V::splat(f32::MIN_POSITIVE)));
    let r = polynomial(&ARCTANGENT, a.mul(a)).mul(a);
    let r = ax.if_less(ay, V::splat(FRAC_PI_2).sub(r), r);
    let r = x.if_less(V::splat(0.0), V::splat(PI).sub(r), r);
    r.with_sign(y)
}

/// Greatest error of the fast `log2`, for results of magnitude `l`: this times `max(1, |l|)`.
pub const LOG2_ERROR: f32 = 4e-7;

/// `log2(x)` for normal positive `x` within [`LOG2_ERROR`]; for zero and subnormal numbers some value below −126.
/// Exponent plus a polynomial of degree 8 (fitted as for [`atan2`]) in `m − 1`, `m` in √½..√2.
#[inline(always)]
pub(crate) fn log2<V: Vector>(x: V) -> V {
    const LOGARITHM: [f32; 8] = [
        1.442_694_8,
        -7.213_571_5e-1,
        4.809_394_5e-1,
        -3.600_872e-1,
        2.867_074_5e-1,
        -2.500_690_6e-1,
        2.368_904_6e-1,
        -1.457_445_2e-1,
    ];
    let (exponent, mantissa) = x.exponent();
    let m = mantissa.sub(V::splat(1.0));
    polynomial(&LOGARITHM, m).mul_add(m, exponent)
}

/// `out[i] = atan2(y[i], x[i])` within [`ATAN2_ERROR`] for finite values, as far as all three reach; (0, 0) gives 0.
pub fn atan2_slice(y: &[f32], x: &[f32], out: &mut [f32]) {
    #[inline(always)]
    fn body<V: Vector>(y: &[f32], x: &[f32], out: &mut [f32]) {
        for ((y, x), o) in y.chunks(LANES).zip(x.chunks(LANES)).zip(out.chunks_mut(LANES)) {
            let n = o.len().min(x.len()).min(y.len());
            let (mut a, mut b) = ([0.0; LANES], [0.0; LANES]);
            a[..n].copy_from_slice(&y[..n]);
            b[..n].copy_from_slice(&x[..n]);
            o[..n].copy_from_slice(&atan2(V::load(&a, 0), V::load(&b, 0)).array()[..n]);
        }
    }
    for_level!(Supported::new(Level::detect()), body(y: &[f32], x: &[f32], out: &mut [f32]));
}

/// `out[i] = log2(x[i])` within [`LOG2_ERROR`], as far as both reach.
pub fn log2_slice(x: &[f32], out: &mut [f32]) {
    #[inline(always)]
    fn body<V: Vector>(x: &[f32], out: &mut [f32]) {
        for (x, o) in x.chunks(LANES).zip(out.chunks_mut(LANES)) {
            let n = o.len().min(x.len());
            let mut a = [1.0; LANES];
            a[..n].copy_from_slice(&x[..n]);
            o[..n].copy_from_slice(&log2(V::load(&a, 0)).array()[..n]);
        }
    }
    for_level!(Supported::new(Level::detect()), body(x: &[f32], out: &mut [f32]));
}
