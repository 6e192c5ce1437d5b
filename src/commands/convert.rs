//! `invispose convert`: a capture or recording as something else.

use std::path::PathBuf;

use anyhow::{Context, bail};
use invispose_pipeline::capture::convert::{self, Target};
use invispose_pipeline::capture::{self, Item};
use invispose_pipeline::recording::{Metadata, Reader, Writer, is_recording};
use invispose_pipeline::sources::{NoTime, TimeLine, wall_ns};
use invispose_pipeline::{CsiFrame, SourceKind};

use crate::cli::{Convert, ConvertFormat};
use crate::commands::inspect;
use crate::output;

/// Writes `args.to`; an existing file is replaced only when all went well.
pub fn run(args: &Convert) -> anyhow::Result<()> {
    let format = match (args.format, args.to.extension().and_then(|e| e.to_str())) {
        (Some(format), _) => format,
        (None, Some("ivr")) => ConvertFormat::Recording,
        (None, Some("npz")) => ConvertFormat::Npz,
        (None, Some("parquet")) => ConvertFormat::Parquet,
        _ => bail!("{}: the ending names no format (.ivr, .npz, .parquet); give --format", args.to.display()),
    };
    if args.to.metadata().is_ok_and(|to| !to.is_file()) {
        bail!("{}: is there and no regular file; it would be replaced", args.to.display());
    }
    let (frames, rejected) = if is_recording(&args.from) {
        let recording = Reader::open(&args.from)?;
        write(args, format, inspect::csi_of(&recording), recording.metadata().clone(), |_| {})?
    } else {
        let mut reader = capture::open(&args.from)?;
        let bar = inspect::progress(&reader);
        let metadata = Metadata {
            source: SourceKind::Replay,
            site: None,
            created_ns: wall_ns(),
            note: format!("converted from a capture of format {}", reader.format()),
        };
        let done = write(args, format, &mut reader, metadata, |records| bar.set_position(records))?;
        bar.finish_and_clear();
        done
    };
    output::write(|out| {
        writeln!(out, "{frames} frames to {}", args.to.display())?;
        rejected.iter().try_for_each(|(reason, count)| writeln!(out, "{count} records rejected: {reason}"))
    })
}

type Done = (u64, std::collections::BTreeMap<&'static str, u64>);

fn write(
    args: &Convert,
    format: ConvertFormat,
    records: impl Iterator<Item = Item>,
    metadata: Metadata,
    progress: impl FnMut(u64),
) -> anyhow::Result<Done> {
    let target = match format {
        ConvertFormat::Recording => {
            let written = recording(args, records, &metadata, progress);
            return written.with_context(|| format!("cannot write {}", args.to.display()));
        }
        ConvertFormat::Npz => Target::Npz,
        ConvertFormat::Parquet => Target::Parquet,
    };
    let done = convert::convert(records, target, &args.to, progress)?;
    Ok((done.frames, done.rejected))
}

fn recording(
    args: &Convert,
    records: impl Iterator<Item = Item>,
    metadata: &Metadata,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<Done> {
    let folder = args.to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    let name = args.to.file_name().context("no file name")?.to_string_lossy().into_owned();
    let partial = Partial(folder.join(format!(".{name}.partial")));
    std::fs::remove_file(&partial.0).ok();
    let mut writer = Writer::create(&partial.0, metadata)?;
    let mut line = TimeLine::new(metadata.created_ns, None);
    let mut done: Done = Default::default();
    for (n, item) in (1u64..).zip(records) {
        match item {
            Ok(frame) => {
                let frame = timed(frame, &mut line).with_context(|| args.from.display().to_string())?;
                writer.write_csi(&frame)?;
                done.0 += 1;
            }
            Err(reject) => *done.1.entry(reject.reason).or_default() += 1,
        }
        if n % 256 == 0 {
            progress(n);
        }
    }
    writer.close()?;
    std::fs::rename(&partial.0, &args.to).with_context(|| args.to.display().to_string())?;
    Ok(done)
}

/// A file in the making; it is removed unless it was renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// A decoder leaves the pipeline's time open; a recording keeps the capture's own, as a replay would place it.
fn timed(mut frame: CsiFrame, line: &mut TimeLine) -> Result<CsiFrame, NoTime> {
    if frame.time_ns == 0 {
        frame.time_ns = line.next(frame.capture_time_ns)?;
    }
    Ok(frame)
}
