//! `invispose ring`: follow a running instance from another process.

use std::io::Write;
use std::time::Duration;

use invispose_pipeline::PoseFrame;
use invispose_pipeline::ring::{ReadError, RingReader};

use crate::cli::Ring;
use crate::output;

/// A look every 2 ms costs nothing and is far below the time between frames.
const POLL: Duration = Duration::from_millis(2);

/// Prints the newest frames, then those that come, until the reader of the output or ctrl-c ends it.
pub fn run(args: &Ring) -> anyhow::Result<()> {
    let ring = RingReader::open(&args.file)?;
    let newest = ring.head();
    let mut next = (newest + 1).saturating_sub(args.last).max(1);
    // Frames that come meanwhile were not asked for.
    while args.follow || next <= newest {
        match ring.read(next) {
            Ok(frame) => {
                output::write(|out| if args.json { json_line(out, &frame) } else { text_line(out, &frame) })?;
                next += 1;
            }
            Err(ReadError::Lapped { oldest }) => {
                let oldest = oldest.max(next + 1);
                output::note(format_args!("lapped: frames {next} to {} are gone", oldest - 1));
                next = oldest;
            }
            Err(ReadError::NotYet) if args.follow => std::thread::sleep(POLL),
            Err(ReadError::NotYet) => break,
            Err(e) => {
                output::note(format_args!("frame {next}: {e}"));
                next += 1;
            }
        }
    }
    Ok(())
}

fn json_line(out: &mut dyn Write, frame: &PoseFrame) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, frame)?;
    out.write_all(b"\n")
}

fn text_line(out: &mut dyn Write, frame: &PoseFrame) -> std::io::Result<()> {
    let presence = match frame.presence {
        None => "no baseline or no data".to_owned(),
        Some(p) => {
            format!("{}, motion {:.2}", if p.present { "somebody" } else { "nobody" }, p.motion_level)
        }
    };
    write!(
        out,
        "{:>8}  {}  {:?}  {presence}  {:.1} ms",
        frame.frame_id,
        frame.site,
        frame.provenance.source,
        frame.processing_ns as f64 / 1e6
    )?;
    for p in &frame.persons {
        let [x, y, _] = p.position_m;
        write!(out, "  #{} ({x:.2}, {y:.2}) {:.0} %", p.id, p.confidence * 100.0)?;
        if let Some(activity) = p.activity {
            write!(out, " {activity:?}")?;
        }
    }
    writeln!(out)
}
