//! What the system says of this process, from `/proc`; nothing where there is no such thing.

use std::fs;

use super::exposition::Exposition;
use super::names::Metric;
use crate::system;

pub(super) fn render(out: &mut Exposition) {
    if let Some(bytes) = system::resident_bytes() {
        out.one(Metric::ProcessMemory, bytes as f64);
    }
    if let Some((seconds, threads)) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse(&stat))
    {
        out.one(Metric::ProcessCpu, seconds);
        out.one(Metric::ProcessThreads, threads);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The listing itself needs one.
        out.one(Metric::ProcessFds, open.count().saturating_sub(1) as f64);
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        out.one(Metric::ProcessMaxFds, most as f64);
    }
}

/// Processor seconds and threads: fields 14, 15 and 20 of proc_pid_stat(5), of which the second may hold anything in parentheses.
fn parse(stat: &str) -> Option<(f64, f64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let field = |n: usize| rest.split(' ').nth(n - 3)?.parse::<f64>().ok();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    Some(((field(14)? + field(15)?) / ticks, field(20)?))
}
