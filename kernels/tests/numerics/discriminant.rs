//! Linear discriminants against facts that need no reference.

use invispose_kernels::discriminant::Discriminant;
use proptest::prelude::*;
use rand::RngExt;

use super::data;

/// Points of `classes` clouds whose middles lie at `3 · (class, −class)`, of two features that share most of their noise.
fn clouds(seed: u64, classes: usize) -> (Vec<f64>, Vec<usize>) {
    let mut rng = data::rng(seed);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for i in 0..60 * classes {
        let class = i % classes;
        let shared: f64 = rng.random_range(-20.0..20.0);
        let at = 3.0 * class as f64;
        x.extend([at + shared + rng.random_range(-1.0..1.0), -at + shared + rng.random_range(-1.0..1.0)]);
        y.push(class);
    }
    (x, y)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn shared_noise_is_seen_through(seed in 0u64..1000, classes in 2usize..5) {
        let (x, y) = clouds(seed, classes);
        let trained = Discriminant::train(&x, &y, 2, classes, 0.0).unwrap();
        let (fresh, truth) = clouds(seed + 1000, classes);
        let right = fresh.chunks_exact(2).zip(&truth).filter(|(row, c)| trained.classify(row) == **c).count();
        prop_assert!(right * 100 >= 97 * truth.len(), "{right} of {}", truth.len());
    }

    #[test]
    fn a_feature_s_unit_changes_nothing(seed in 0u64..1000, unit in 1e-6f64..1e6) {
        let (x, y) = clouds(seed, 3);
        let other: Vec<f64> = x.iter().enumerate().map(|(i, v)| if i % 2 == 0 { v * unit + unit } else { *v }).collect();
        let (a, b) = (
            Discriminant::train(&x, &y, 2, 3, 0.1).unwrap(),
            Discriminant::train(&other, &y, 2, 3, 0.1).unwrap(),
        );
        for (p, q) in x.chunks_exact(2).zip(other.chunks_exact(2)) {
            for (s, t) in a.scores(p).iter().zip(b.scores(q)) {
                prop_assert!((s - t).abs() < 1e-6 * (1.0 + s.abs()), "{s} {t}");
            }
        }
    }
}

#[test]
fn two_classes_of_one_feature_part_in_the_middle() {
    let x = [0.0, 2.0, 10.0, 12.0];
    let trained = Discriminant::train(&x, &[0, 0, 1, 1], 1, 2, 0.0).unwrap();
    assert_eq!((trained.classify(&[5.9]), trained.classify(&[6.1])), (0, 1));
}

#[test]
fn what_cannot_be_learned_is_refused() {
    assert_eq!(Discriminant::train(&[0.0, 1.0], &[0, 0], 1, 2, 0.1), None, "a class without a sample");
    assert_eq!(Discriminant::train(&[0.0, f64::NAN], &[0, 1], 1, 2, 0.1), None);
    assert_eq!(Discriminant::train(&[0.0, 1.0], &[0, 1, 1], 1, 2, 0.1), None);
    assert_eq!(Discriminant::train(&[1.0, 1.0, 2.0, 2.0], &[0, 1], 2, 2, 0.0), None, "singular");
}
