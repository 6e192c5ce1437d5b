//! `invispose inspect`: what a capture or recording holds.

use std::io::IsTerminal;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use invispose_pipeline::capture::{self, inspect};

use crate::cli::Inspect;

/// Prints the summary as text or as one JSON object.
pub fn run(args: &Inspect) -> anyhow::Result<()> {
    let mut reader = capture::open(&args.file)?;
    let bar = progress(&reader);
    let summary = inspect::inspect(&mut reader, args.frames.clone(), |records| bar.set_position(records));
    bar.finish_and_clear();
    if args.json {
        serde_json::to_writer(std::io::stdout().lock(), &summary).context("standard output")?;
        println!();
    } else {
        print!("{summary}");
        if let Some(frames) = &summary.csi {
            let first = args.frames.as_ref().map_or(0, |r| r.start);
            for (i, frame) in frames.iter().enumerate() {
                for (tx, pairs) in frame.iter().enumerate() {
                    for (rx, values) in pairs.iter().enumerate() {
                        print!("frame {} tx {tx} rx {rx}:", first + i as u64);
                        for [re, im] in values {
                            print!(" {re}{im:+}i");
                        }
                        println!();
                    }
                }
            }
        }
    }
    Ok(())
}

/// A counter of records on standard error, hidden where that is no terminal.
pub fn progress(reader: &capture::CaptureReader) -> ProgressBar {
    if !std::io::stderr().is_terminal() || reader.len() < 8 << 20 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} records in {elapsed} ({per_sec})");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
