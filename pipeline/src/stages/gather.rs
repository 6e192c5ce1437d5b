//! Windows gathered for one run on a device.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};

/// How windows of all sites are gathered for one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchConfig {
    /// At most so many windows.
    pub windows: usize,
    /// The first window of a batch waits at most this long for others.
    pub wait: Duration,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { windows: 32, wait: Duration::from_millis(2) }
    }
}

/// `first` and what comes after it on `input`, until there are `most`, `deadline` gives a sign, `input` ends or `more` says
/// that it is enough. What is waiting already is taken in any case.
pub fn gather<T>(
    first: T,
    input: &Receiver<T>,
    most: usize,
    deadline: &Receiver<Instant>,
    more: impl Fn(&[T]) -> bool,
) -> Vec<T> {
    let mut batch = vec![first];
    while batch.len() < most {
        batch.extend(input.try_iter().take(most - batch.len()));
        if batch.len() >= most || !more(&batch) {
            break;
        }
        select! {
            recv(input) -> next => match next {
                Ok(next) => batch.push(next),
                Err(_) => break,
            },
            recv(deadline) -> _ => break,
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crossbeam_channel::{bounded, never, unbounded};

    #[test]
    fn a_half_full_batch_goes_when_its_time_is_up_and_a_full_one_at_once() {
        let (send, input) = unbounded();
        let (tick, deadline) = bounded(0);
        let taken = input.clone();
        let gathering = std::thread::spawn(move || gather(0, &taken, 8, &deadline, |_| true));
        for n in 1..4 {
            send.send(n).unwrap();
        }
        // Taken, but nothing is given yet: the rendezvous below is with a batch that still waits.
        while !input.is_empty() {
            std::thread::yield_now();
        }
        tick.send(Instant::now()).unwrap();
        assert_eq!(gathering.join().unwrap(), [0, 1, 2, 3]);

        (1..20).for_each(|n| send.send(n).unwrap());
        assert_eq!(gather(0, &input, 8, &never(), |_| true), (0..8).collect::<Vec<_>>());
        assert_eq!(gather(8, &input, 3, &never(), |_| true).len(), 3);
    }

    #[test]
    fn an_input_that_ends_or_needs_no_others_waits_for_nobody() {
        let (send, input) = unbounded();
        send.send(1).unwrap();
        assert_eq!(gather(0, &input, 8, &never(), |_| false), [0, 1]);
        drop(send);
        assert_eq!(gather(0, &input, 8, &never(), |_| true), [0]);
    }
}
