//! A network's layers against sums in double precision.

use invispose_kernels::cpu::{Dense, Finish, Level};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};

fn numbers(rng: &mut rand_chacha::ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

proptest! {
    #[test]
    fn rows_times_weights_and_what_follows(
        seed: u64,
        rows in 0usize..30,
        inputs in 1usize..40,
        outputs in 1usize..80,
        every in 1usize..5,
        halves: bool,
    ) {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let (mut weights, bias) = (numbers(&mut rng, inputs * outputs), numbers(&mut rng, outputs));
        if halves {
            // Multiples of 1/1024 up to 1: half precision holds them.
            weights.iter_mut().for_each(|w| *w = (*w * 1024.0).round() / 1024.0);
        }
        let (x, before) = (numbers(&mut rng, rows * inputs), numbers(&mut rng, rows * outputs));
        let x: Vec<&[f32]> = x.chunks_exact(inputs).collect();
        let by = numbers(&mut rng, rows.div_ceil(every) * 2 * outputs);
        let sum = |r: usize, o: usize| {
            let products = (0..inputs).map(|i| f64::from(x[r][i]) * f64::from(weights[i * outputs + o]));
            products.sum::<f64>() + f64::from(bias[o])
        };
        let modulated = |r: usize, o: usize| {
            let by = &by[r / every * 2 * outputs..];
            (sum(r, o) * (1.0 + f64::from(by[o])) + f64::from(by[outputs + o])).max(0.0)
        };
        for level in [Level::Baseline, Level::Avx2, Level::Avx512] {
            let dense = Dense::new(level, &weights, &bias);
            let near = |finish, want: &dyn Fn(usize, usize) -> f64| {
                let mut out = before.clone();
                dense.apply(&x, finish, &mut out);
                (0..rows * outputs).all(|i| (f64::from(out[i]) - want(i / outputs, i % outputs)).abs() < 1e-4)
            };
            prop_assert!(near(Finish::Plain, &sum));
            prop_assert!(near(Finish::Relu, &|r, o| sum(r, o).max(0.0)));
            let finish = Finish::Modulated { by: &by, every };
            prop_assert!(near(finish, &modulated));
            prop_assert!(near(Finish::Added, &|r, o| sum(r, o) + f64::from(before[r * outputs + o])));
            // Each row alone gives the same bits.
            let mut together = vec![0.0; rows * outputs];
            dense.apply(&x, Finish::Plain, &mut together);
            for (x, together) in x.chunks(1).zip(together.chunks_exact(outputs)) {
                let mut alone = vec![0.0; outputs];
                dense.apply(x, Finish::Plain, &mut alone);
                prop_assert_eq!(&alone, together);
            }
        }
    }
}
