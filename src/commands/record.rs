//! `invispose record`: sources into a recording, without a pipeline between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crossbeam_channel::{RecvTimeoutError, bounded};
use indicatif::ProgressBar;
use invispose_pipeline::SourceKind;
use invispose_pipeline::health::SourceStats;
use invispose_pipeline::recording::{Metadata, Reader, Writer};
use invispose_pipeline::sources::{FrameSender, SourceSpec, Stop, WhenFull, wall_ns};

use crate::cli::Record;
use crate::output;

/// How long frames wait for each other before a block is forced to the disk.
const LOOK: Duration = Duration::from_millis(100);
const WAITING: usize = 4096;

/// Runs until ctrl-c, `--seconds`, or the end of all sources.
pub fn run(args: &Record) -> anyhow::Result<()> {
    let mut sources = Vec::new();
    for uri in &args.source {
        let spec: SourceSpec = uri.parse()?;
        sources.push((uri, spec.open()?));
    }
    let kinds: Vec<_> = sources.iter().map(|(_, s)| s.kind()).collect();
    let source = [SourceKind::Simulated, SourceKind::Replay]
        .into_iter()
        .find(|k| kinds.contains(k))
        .unwrap_or(SourceKind::Live);
    let metadata = Metadata { source, site: None, created_ns: wall_ns(), note: args.source.join(" ") };
    let mut writer = if args.out.exists() {
        let before = Reader::open(&args.out)?.metadata().source;
        if before != source {
            bail!(
                "{} holds {before:?} packets; {source:?} ones need a file of their own",
                args.out.display()
            );
        }
        Writer::append(&args.out)?
    } else {
        Writer::create(&args.out, &metadata)?
    };

    // Before the first frame comes: from then on a signal ends the recording in order.
    let interrupted = Arc::new(AtomicBool::new(false));
    {
        let interrupted = interrupted.clone();
        ctrlc::set_handler(move || interrupted.store(true, Ordering::Relaxed)).context("ctrl-c")?;
    }
    let (stop_handle, stop) = Stop::new();
    let (merged, frames) = bounded(WAITING);
    let mut threads = Vec::new();
    let mut accounts = Vec::new();
    for (uri, source) in sources {
        let account = Arc::new(SourceStats::new(uri.clone(), source.kind()));
        let when_full =
            if source.kind() == SourceKind::Live { WhenFull::DropOldest } else { WhenFull::Block };
        let (sender, receiver) = FrameSender::new(account.clone(), when_full, WAITING);
        let (stop, merged) = (stop.clone(), merged.clone());
        let uri = uri.clone();
        accounts.push(account);
        threads.push(std::thread::spawn(move || {
            let ended = source.run(&sender, &stop);
            match &ended {
                Ok(()) => tracing::info!(uri, "source has ended"),
                // Others may go on for days.
                Err(e) => tracing::error!(uri, "source has failed: {e}"),
            }
            ended.with_context(|| uri)
        }));
        threads.push(std::thread::spawn(move || {
            for packet in receiver {
                if merged.send(packet).is_err() {
                    break;
                }
            }
            Ok(())
        }));
    }
    drop(merged);

    let end = args.seconds.map(|s| Instant::now() + Duration::from_secs_f64(s.clamp(0.0, 1e9)));
    let bar = ProgressBar::new_spinner().with_message("frames");
    let mut stop_handle = Some(stop_handle);
    loop {
        match frames.recv_timeout(LOOK) {
            Ok(packet) => {
                writer.write_csi(&packet.frame)?;
                packet.account.accepted.add(1);
                bar.inc(1);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        writer.flush_if_due()?;
        if interrupted.load(Ordering::Relaxed) || end.is_some_and(|e| Instant::now() >= e) {
            stop_handle = None;
        }
    }
    drop(stop_handle);
    let written = writer.close()?;
    bar.finish_and_clear();
    let printed = output::write(|out| {
        for account in &accounts {
            let (received, accepted) = (account.received.get(), account.accepted.get());
            let (dropped, rejected) = (account.dropped.get(), account.rejected());
            writeln!(
                out,
                "{}: {received} received, {accepted} written, {dropped} dropped, rejected {rejected:?}",
                account.uri
            )?;
        }
        writeln!(out, "{written} frames in {}", args.out.display())
    });
    for thread in threads {
        match thread.join() {
            Ok(result) => result?,
            Err(_) => anyhow::bail!("a source's thread panicked"),
        }
    }
    printed
}
