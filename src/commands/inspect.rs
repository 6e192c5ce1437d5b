//! `invispose inspect`: what a capture or recording holds.

use std::io::IsTerminal;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use invispose_pipeline::capture::{self, Item, inspect};
use invispose_pipeline::codec::Frame;
use invispose_pipeline::recording::{Reader, is_recording};

use crate::cli::Inspect;
use crate::output;

/// Prints the summary as text or as one JSON object.
pub fn run(args: &Inspect) -> anyhow::Result<()> {
    let summary = if is_recording(&args.file) {
        let recording = Reader::open(&args.file)?;
        let bytes = std::fs::metadata(&args.file).with_context(|| args.file.display().to_string())?.len();
        inspect::summarise(csi_of(&recording), "recording", bytes, args.frames.clone(), |_| {})
    } else {
        let mut reader = capture::open(&args.file)?;
        let bar = progress(&reader);
        let summary = inspect::inspect(&mut reader, args.frames.clone(), |records| bar.set_position(records));
        bar.finish_and_clear();
        summary
    };
    output::write(|out| {
        if args.json {
            serde_json::to_writer(&mut *out, &summary)?;
            return writeln!(out);
        }
        write!(out, "{summary}")?;
        let first = args.frames.as_ref().map_or(0, |r| r.start);
        for (n, frame) in (first..).zip(summary.csi.iter().flatten()) {
            for (tx, pairs) in frame.iter().enumerate() {
                for (rx, values) in pairs.iter().enumerate() {
                    write!(out, "frame {n} tx {tx} rx {rx}:")?;
                    values.iter().try_for_each(|[re, im]| write!(out, " {re}{im:+}i"))?;
                    writeln!(out)?;
                }
            }
        }
        Ok(())
    })
}

/// The packets of a recording; its pose frames are left out.
pub fn csi_of(recording: &Reader) -> impl Iterator<Item = Item> {
    recording.frames().filter_map(|frame| match frame {
        Ok(Frame::Csi(frame)) => Some(Ok(frame)),
        Ok(Frame::Pose(_)) => None,
        Err(reject) => Some(Err(reject)),
    })
}

/// A counter of records on standard error, hidden where that is no terminal.
pub fn progress(reader: &capture::CaptureReader) -> ProgressBar {
    if !std::io::stderr().is_terminal() || reader.len() < 8 << 20 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} records in {elapsed} ({per_sec})");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
