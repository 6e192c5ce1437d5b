//! The threads of the stages.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use crate::health::{Health, Part, StageStats};

/// A named thread of the pipeline.
#[derive(Debug)]
pub struct Worker {
    name: String,
    handle: JoinHandle<()>,
}

impl Worker {
    /// Starts a thread. One that panics raises a fault of `part` and ends; what it held is dropped, so that its
    /// neighbours end too.
    pub fn spawn(
        name: impl Into<String>,
        part: impl Into<Part>,
        health: Health,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let (name, part) = (name.into(), part.into());
        let thread_name = name.clone();
        let handle = thread::Builder::new().name(name.clone()).spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                let what = panic
                    .downcast_ref::<&str>()
                    .map(|s| (*s).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_default();
                tracing::error!(thread = thread_name, what, "a stage of the pipeline has died");
                health.set_fault(part, Some(format!("{thread_name} has died: {what}")));
            }
        })?;
        Ok(Self { name, handle })
    }

    /// The thread's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has it ended?
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits until it has ended.
    pub fn join(self) {
        // A panic has been reported where it was caught.
        let _ = self.handle.join();
    }
}

/// Starts a stage that does `work` on each item and hands its result on, until its input ends or nobody takes its output.
pub fn stage<I: Send + 'static, O: Send + 'static>(
    name: &'static str,
    health: &Health,
    input: Receiver<I>,
    output: Sender<O>,
    mut work: impl FnMut(I) -> O + Send + 'static,
) -> io::Result<Worker> {
    let stats = health.stage(name);
    Worker::spawn(name, name, health.clone(), move || {
        for item in &input {
            let started = take(&stats, &input);
            let result = work(item);
            stats.busy_ns.add(started.elapsed().as_nanos() as u64);
            if output.send(result).is_err() {
                break;
            }
            stats.given.add(1);
        }
    })
}

/// Books an item as taken.
pub fn take<T>(stats: &Arc<StageStats>, input: &Receiver<T>) -> Instant {
    stats.taken.add(1);
    stats.queued.set(input.len() as u64);
    Instant::now()
}
