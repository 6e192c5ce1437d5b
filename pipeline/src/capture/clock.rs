//! Device clocks that wrap.

/// Unwraps a 32-bit microsecond counter (it wraps every 71.6 minutes).
///
/// A step of less than 2^30 µs (18 minutes) either way is taken as it is, across the wrap too. Anything larger is a
/// restarted or replaced device: the time then is the counter's own value within the current turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Micros32 {
    time_us: Option<i64>,
}

impl Micros32 {
    /// Nanoseconds since the counter's zero at the start of the capture.
    pub fn nanoseconds(&mut self, counter: u32) -> i64 {
        let time_us = match self.time_us {
            None => i64::from(counter),
            Some(last) => {
                let step = counter.wrapping_sub(last as u32) as i32;
                if step.unsigned_abs() < 1 << 30 {
                    last + i64::from(step)
                } else {
                    (last & !0xffff_ffff) | i64::from(counter)
                }
            }
        };
        self.time_us = Some(time_us);
        time_us.saturating_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(counters: &[u32]) -> Vec<i64> {
        let mut clock = Micros32::default();
        counters.iter().map(|&c| clock.nanoseconds(c) / 1000).collect()
    }

    #[test]
    fn wraps_forward_and_back() {
        assert_eq!(
            run(&[u32::MAX - 9, 10, u32::MAX - 4, 20]),
            [4294967286, 4294967306, 4294967291, 4294967316]
        );
    }

    #[test]
    fn restart_goes_back_to_the_counter() {
        assert_eq!(run(&[3_000_000_000, 5, 1005]), [3_000_000_000, 5, 1005]);
    }
}
