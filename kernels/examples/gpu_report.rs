//! How fast a GPU cleans: frames per second, bandwidth, bytes over the bus and idle share, on the adapter asked for.
//! `scripts/gpu-report` builds and runs it.
#![allow(missing_docs)]

use std::{process::ExitCode, time::Instant};

use invispose_kernels::{
    Layout,
    cleanup::{Cleanup, CleanupError, CleanupSpec, Doppler, Hampel, Iq},
    gpu::{AdapterChoice, GpuCleanup, GpuContext, GpuOptions, adapters, wgpu},
};

const HELP: &str = "\
Measures cleanup on a GPU.

usage: gpu-report [--index N] [--software] [--seconds S] [--list]
  --index N    the N-th adapter of --list (default 0)
  --software   allow adapters that compute on the CPU, such as lavapipe
  --seconds S  time of each measurement (default 2)
  --list       print the adapters and stop

example: scripts/gpu-report --software --seconds 0.5";

struct Arguments {
    choice: AdapterChoice,
    seconds: f64,
    list: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments { choice: AdapterChoice::default(), seconds: 2.0, list: false };
    let mut rest = std::env::args().skip(1);
    while let Some(name) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--index" => parsed.choice.index = Some(value()?.parse().map_err(|e| format!("--index: {e}"))?),
            "--seconds" => parsed.seconds = value()?.parse().map_err(|e| format!("--seconds: {e}"))?,
            "--software" => parsed.choice.software = true,
            "--list" => parsed.list = true,
            _ => return Err(HELP.into()),
        }
    }
    if !(parsed.seconds > 0.0 && parsed.seconds <= 600.0) {
        return Err("--seconds is not in 0..=600".into());
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let result = arguments().and_then(|a| report(&a));
    if let Err(message) = result {
        eprintln!("{message}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn report(a: &Arguments) -> Result<(), String> {
    if a.list {
        for (i, adapter) in adapters().iter().enumerate() {
            println!("{i}: {adapter}");
        }
        return Ok(());
    }
    let context = GpuContext::new(a.choice).map_err(|e| e.to_string())?;
    let adapter = context.adapter();
    println!("adapter: {}", adapter.name);
    println!("type: {:?}", adapter.kind);
    println!("driver: {}", adapter.driver);
    if adapter.kind != wgpu::DeviceType::DiscreteGpu {
        println!("This is no discrete GPU: the figures say nothing about one.");
    }
    let copy = copy_bandwidth(&context, a.seconds).map_err(|e| e.to_string())?;
    println!("copy within device memory: {:.2} GB/s read and written", copy * 1e-9);
    println!();
    println!(
        "bytes: to the device and back for one frame. memory: samples read once and results written once, as GB/s"
    );
    println!(
        "and as a share of the copy. idle: share of time without a kernel running, by the device's clock."
    );
    println!();
    println!("|cleanup|batch|readback|frames/s|bytes up|bytes down|memory GB/s|of copy|idle|growth KiB|");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (layout, bytes) in [
        (Layout::new(1, 3, 30), 2),
        (Layout::new(1, 4, 64), 2),
        (Layout::new(1, 3, 114), 4),
        (Layout::new(1, 1, 256), 4),
        (Layout::new(1, 4, 996), 4),
    ] {
        for windows in [1, 32, 1024] {
            let spec = packets(layout, windows);
            for readback in [false, true] {
                row(&context, &format!("{layout} packets"), &spec, bytes, readback, a.seconds, copy)?;
            }
        }
        let mut spec = packets(layout, 32);
        spec.steps = 100;
        spec.hampel = Some(Hampel { half: 3, sigmas: 3.0 });
        spec.doppler = Some(Doppler { len: 64, hop: 12 });
        spec.motion = true;
        for readback in [false, true] {
            row(&context, &format!("{layout} windows of 100"), &spec, bytes, readback, a.seconds, copy)?;
        }
    }
    Ok(())
}

fn packets(layout: Layout, windows: usize) -> CleanupSpec {
    let half = (layout.subcarriers / 2) as i16;
    let index = (-half..=half).filter(|&k| k != 0 || layout.subcarriers % 2 == 1).collect();
    CleanupSpec::packets(layout, index, (0..layout.subcarriers).collect(), windows)
}

fn row(
    context: &GpuContext,
    name: &str,
    spec: &CleanupSpec,
    sample_bytes: usize,
    readback: bool,
    seconds: f64,
    copy: f64,
) -> Result<(), String> {
    let options = GpuOptions { readback, sample_bytes, timed_runs: 2000, ..GpuOptions::default() };
    let result = GpuCleanup::new(context, spec.clone(), options)
        .and_then(|plan| measure(plan, sample_bytes, readback, seconds));
    let frames = spec.windows * spec.steps;
    match result {
        Ok(m) => {
            let per_second = frames as f64 * m.runs as f64 / m.seconds;
            let sizes = spec.sizes();
            let written = spec.windows * (sizes.values * 2 + sizes.ratio * 2 + sizes.doppler) * 4;
            let rate = (m.up + written as u64) as f64 * m.runs as f64 / m.seconds;
            println!(
                "|{name}|{}|{}|{per_second:.0}|{:.0}|{:.0}|{:.3}|{:.1} %|{}|{}|",
                spec.windows,
                if readback { "yes" } else { "no" },
                m.up as f64 / frames as f64,
                m.down as f64 / frames as f64,
                rate * 1e-9,
                100.0 * rate / copy,
                m.idle.map_or("no clock".into(), |share| format!("{:.1} %", 100.0 * share)),
                m.growth_kib.map_or("unknown".into(), |kib| kib.to_string()),
            );
            Ok(())
        }
        // What does not fit the device is no reason to stop.
        Err(error @ CleanupError::Device(_)) if context.check().is_ok() => {
            println!("|{name}|{}|{readback}|{error}|", spec.windows);
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

struct Measured {
    runs: usize,
    seconds: f64,
    up: u64,
    down: u64,
    idle: Option<f64>,
    growth_kib: Option<i64>,
}

/// Runs batch after batch; with readback each is read before the next but one starts.
fn measure(
    mut plan: GpuCleanup,
    sample_bytes: usize,
    readback: bool,
    seconds: f64,
) -> Result<Measured, CleanupError> {
    let spec = plan.spec().clone();
    let values = spec.windows * spec.steps * spec.layout.values();
    // Any samples will do: the kernels' time does not depend on them.
    let narrow: Vec<[i8; 2]> =
        (0..values).map(|i| [(i * 37 % 101) as i8 - 50, (i * 59 % 89) as i8 - 44]).collect();
    let wide: Vec<[i16; 2]> = narrow.iter().map(|v| v.map(i16::from)).collect();
    let input = if sample_bytes == 2 { Iq::I8(&narrow) } else { Iq::I16(&wide) };
    let batch = |plan: &mut GpuCleanup| {
        plan.run(input)?;
        if readback { plan.read().map(|_| ()) } else { Ok(()) }
    };
    for _ in 0..3 {
        batch(&mut plan)?;
    }
    plan.wait()?;
    plan.busy()?;
    let before = resident_kib();
    let started = Instant::now();
    let mut runs = 0;
    while runs < 3 || started.elapsed().as_secs_f64() < seconds {
        batch(&mut plan)?;
        runs += 1;
    }
    plan.wait()?;
    let seconds = started.elapsed().as_secs_f64();
    let growth_kib = resident_kib().zip(before).map(|(after, before)| after - before);
    let idle = plan.busy()?.and_then(|busy| busy.idle_share());
    let (up, down) = plan.bytes(spec.windows, sample_bytes);
    Ok(Measured { runs, seconds, up, down, idle, growth_kib })
}

/// Memory of this process that is in use, where the system tells.
fn resident_kib() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Bytes read and written a second by copies from buffer to buffer.
fn copy_bandwidth(context: &GpuContext, seconds: f64) -> Result<f64, wgpu::PollError> {
    const BYTES: u64 = 64 << 20;
    let device = context.device();
    let buffer = || {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: BYTES,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    };
    let (a, b) = (buffer(), buffer());
    let pass = || {
        let mut encoder = device.create_command_encoder(&Default::default());
        for _ in 0..4 {
            encoder.copy_buffer_to_buffer(&a, 0, &b, 0, BYTES);
        }
        context.queue().submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely()).map(|_| ())
    };
    pass()?;
    let started = Instant::now();
    let mut passes = 0;
    while passes == 0 || started.elapsed().as_secs_f64() < seconds {
        pass()?;
        passes += 1;
    }
    Ok((passes * 4 * 2 * BYTES) as f64 / started.elapsed().as_secs_f64())
}
