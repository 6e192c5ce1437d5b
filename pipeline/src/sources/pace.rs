//! Time on the way in: how fast a replay runs, and what time its packets get.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Stop;

/// Stream seconds per wall-clock second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// This many times real time.
    Times(f64),
    /// As fast as the pipeline takes it.
    Max,
}

impl std::str::FromStr for Speed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse::<f64>()) {
            ("max", _) => Ok(Self::Max),
            (_, Ok(n)) if n.is_finite() && n > 0.0 => Ok(Self::Times(n)),
            _ => Err("expected a positive number or `max`"),
        }
    }
}

/// Now, in nanoseconds since the Unix epoch.
pub fn wall_ns() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    }
}

/// Waits until a stream's time has come.
pub struct Pacer {
    speed: Speed,
    start: Option<(Instant, i64)>,
}

impl Pacer {
    /// Starts at the first packet.
    pub fn new(speed: Speed) -> Self {
        Self { speed, start: None }
    }

    /// Waits until the packet of stream time `time_ns` is due; true when it was told to stop.
    pub fn wait(&mut self, time_ns: i64, stop: &Stop) -> bool {
        let Speed::Times(speed) = self.speed else { return stop.stopped() };
        let (start, first) = *self.start.get_or_insert_with(|| (Instant::now(), time_ns));
        let ahead_s = time_ns.saturating_sub(first).max(0) as f64 / 1e9 / speed;
        // Beyond a century a duration would overflow; nobody waits for it.
        let due = start.checked_add(Duration::from_secs_f64(ahead_s.min(3e9)));
        due.is_none_or(|due| stop.wait_until(due))
    }
}

/// Times from here on are taken for wall-clock times (9 September 2001); a device's uptime never gets there.
const EPOCH_LIKE_NS: i64 = 1_000_000_000_000_000_000;
/// A device clock that goes back by more than this was restarted.
const RESTART_NS: i64 = 1_000_000_000;

/// No time can be given to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this capture's format holds no times; say how many packets a second it has with `?rate=HZ`")]
pub struct NoTime;

/// Gives replayed packets their stream time.
///
/// Times since the Unix epoch are kept. Other clocks are anchored: the first packet is at `anchor_ns`, the rest keep
/// their distances; where such a clock starts again it goes on one mean packet distance after the last packet. With a rate the
/// packets are evenly spaced from the anchor (or from the first time, where that is since the epoch).
pub struct TimeLine {
    anchor_ns: i64,
    interval_ns: Option<f64>,
    count: u64,
    /// Added to the capture's clock.
    offset_ns: Option<i64>,
    keep_epoch: bool,
    epoch: bool,
    first_ns: Option<i64>,
    last_ns: Option<i64>,
}

impl TimeLine {
    /// A time line for packets whose capture has no wall-clock time to start at `anchor_ns`.
    pub fn new(anchor_ns: i64, rate_hz: Option<f64>) -> Self {
        Self {
            anchor_ns,
            interval_ns: rate_hz.map(|r| 1e9 / r),
            count: 0,
            offset_ns: None,
            keep_epoch: true,
            epoch: false,
            first_ns: None,
            last_ns: None,
        }
    }

    /// The stream time of the next packet.
    pub fn next(&mut self, capture_time_ns: Option<i64>) -> Result<i64, NoTime> {
        let time = match (self.interval_ns, capture_time_ns) {
            (Some(interval), capture) => {
                let offset = *self.offset_ns.get_or_insert(match capture {
                    Some(t) if t >= EPOCH_LIKE_NS => t,
                    _ => self.anchor_ns,
                });
                let due = (self.count as f64 * interval).round() as i64;
                offset.saturating_add(due)
            }
            (None, None) => return Err(NoTime),
            (None, Some(t)) => {
                let offset = match self.offset_ns {
                    Some(offset) => offset,
                    None => {
                        self.epoch = self.keep_epoch && t >= EPOCH_LIKE_NS;
                        if self.epoch { 0 } else { self.anchor_ns.saturating_sub(t) }
                    }
                };
                let mut time = t.saturating_add(offset);
                self.offset_ns = Some(offset);
                if let Some(last) = self.last_ns
                    && !self.epoch
                    && time < last.saturating_sub(RESTART_NS)
                {
                    time = last.saturating_add(self.mean_interval_ns());
                    self.offset_ns = Some(time.saturating_sub(t));
                }
                time
            }
        };
        self.count += 1;
        self.first_ns.get_or_insert(time);
        self.last_ns = Some(self.last_ns.map_or(time, |last| last.max(time)));
        Ok(time)
    }

    /// The capture starts again: its first packet comes one mean packet distance after the last one.
    pub fn repeat(&mut self) {
        let Some(last) = self.last_ns else { return };
        let anchor = last.saturating_add(self.mean_interval_ns());
        let interval_ns = self.interval_ns;
        // Wall-clock times are moved too from the second round on: time never runs backward.
        *self = Self {
            interval_ns,
            offset_ns: interval_ns.map(|_| anchor),
            keep_epoch: false,
            ..Self::new(anchor, None)
        };
    }

    fn mean_interval_ns(&self) -> i64 {
        match (self.first_ns, self.last_ns) {
            (Some(first), Some(last)) if self.count > 1 => {
                (last.saturating_sub(first) / (self.count as i64 - 1)).max(1)
            }
            _ => 10_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ANCHOR: i64 = 1_700_000_000_000_000_000;

    fn times(line: &mut TimeLine, capture: &[i64]) -> Vec<i64> {
        capture.iter().map(|&t| line.next(Some(t)).unwrap()).collect()
    }

    #[test]
    fn wall_clock_times_are_kept() {
        let capture = [1_600_000_000_000_000_000, 1_600_000_000_010_000_000, 1_599_999_990_000_000_000];
        assert_eq!(times(&mut TimeLine::new(ANCHOR, None), &capture), capture);
    }

    #[test]
    fn a_device_clock_is_anchored_and_goes_on_after_a_restart() {
        let mut line = TimeLine::new(ANCHOR, None);
        let got = times(&mut line, &[5_000_000_000, 5_010_000_000, 5_030_000_000, 40, 10_000_040]);
        let relative: Vec<i64> = got.iter().map(|t| t - ANCHOR).collect();
        assert_eq!(relative, [0, 10_000_000, 30_000_000, 45_000_000, 55_000_000]);
    }

    #[test]
    fn a_rate_spaces_packets_evenly_and_is_needed_without_times() {
        assert_eq!(TimeLine::new(ANCHOR, None).next(None), Err(NoTime));
        let mut line = TimeLine::new(ANCHOR, Some(100.0));
        let got: Vec<i64> = (0..3).map(|_| line.next(None).unwrap() - ANCHOR).collect();
        assert_eq!(got, [0, 10_000_000, 20_000_000]);
    }

    #[test]
    fn repeats_follow_on() {
        for first in [0, 1_600_000_000_000_000_000] {
            let mut line = TimeLine::new(ANCHOR, None);
            let capture = [first, first + 10, first + 20];
            let mut all = times(&mut line, &capture);
            for _ in 0..2 {
                line.repeat();
                all.extend(times(&mut line, &capture));
            }
            let steps: Vec<i64> = all.windows(2).map(|w| w[1] - w[0]).collect();
            assert_eq!(steps, [10; 8]);
        }
    }
}
