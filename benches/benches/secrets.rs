//! Does comparing a secret take longer the more of it is right? Two classes of guesses, wrong at the first and at the last place, are timed in
//! random order; Welch's t of the two, slow outliers cut at several percentiles, is what dudect (Reparaz, Balasch, Verbauwhede, 2017) looks at: beyond 4.5
//! there is a difference. A comparison that stops at the first difference stands beside them, and shows what the method finds.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use invispose_api::access::{Grant, SigningKey, same_secret};

const ROUNDS: usize = 1_000_000;

/// Mean, variance and number.
fn moments(times: &[f64]) -> (f64, f64, f64) {
    let n = times.len() as f64;
    let mean = times.iter().sum::<f64>() / n;
    let variance = times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, variance, n)
}

fn welch(a: &[f64], b: &[f64]) -> f64 {
    let ((ma, va, na), (mb, vb, nb)) = (moments(a), moments(b));
    (ma - mb) / (va / na + vb / nb).sqrt()
}

/// The largest |t| over cuts, and the means without the slowest tenth, nanoseconds.
fn measure(mut guess: impl FnMut(usize) -> bool) -> (f64, f64, f64) {
    let mut times = [Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..ROUNDS + 1000 {
        // xorshift64: which class comes next says nothing about the one before.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let class = (random >> 33) as usize & 1;
        let start = Instant::now();
        assert!(!black_box(guess(black_box(class))));
        let took = start.elapsed().as_nanos() as f64;
        if round >= 1000 {
            times[class].push(took);
        }
    }
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_unstable_by(f64::total_cmp);
    let cut = |share: f64| {
        let limit = all[((all.len() - 1) as f64 * share) as usize];
        times.each_ref().map(|class| class.iter().copied().filter(|t| *t <= limit).collect::<Vec<f64>>())
    };
    let worst = [0.5, 0.75, 0.9, 0.99, 1.0]
        .map(|share| {
            let [a, b] = cut(share);
            welch(&a, &b).abs()
        })
        .into_iter()
        .fold(0.0, f64::max);
    let [a, b] = cut(0.9);
    (worst, moments(&a).0, moments(&b).0)
}

fn show(name: &str, (t, first, last): (f64, f64, f64)) {
    let verdict = if t < 4.5 { "no difference" } else { "a difference" };
    println!(
        "{name:<44} |t| {t:>8.2}   wrong at the first {first:>8.1} ns, at the last {last:>8.1} ns: {verdict}"
    );
}

/// With another character at this place.
fn wrong_at(text: &str, place: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[place] = if bytes[place] == b'b' { b'c' } else { b'b' };
    String::from_utf8(bytes).unwrap()
}

fn main() {
    let secret = "ivk_0123456789abcdef_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let hash = invispose_api::access::secret_hash(secret);
    let hashes = [wrong_at(&hash, 0), wrong_at(&hash, hash.len() - 1)];
    show("an API key against its hash", measure(|class| same_secret(secret, &hashes[class])));

    let key = SigningKey::new([7; 32]);
    let token = key.mint(&Grant::default(), Duration::from_secs(3600)).unwrap();
    let signature = token.rfind('.').unwrap() + 1;
    // The last character holds four bits: the one before it is wrong in all of them.
    let tokens = [wrong_at(&token, signature), wrong_at(&token, token.len() - 2)];
    show("a token's signature", measure(|class| key.signed(&tokens[class])));

    let early = |a: &str, b: &str| a.bytes().zip(b.bytes()).all(|(a, b)| black_box(a) == black_box(b));
    show("a comparison that stops early, beside them", measure(|class| early(&hash, &hashes[class])));
}
