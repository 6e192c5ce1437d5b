//! Replays of captures and recordings.

use std::path::{Path, PathBuf};

use super::pace::{NoTime, Pacer, Speed, TimeLine, wall_ns};
use super::{FrameSender, ReplayOptions, Source, SourceError, Stop};
use crate::capture::{self, CaptureReader, Reject};
use crate::codec::Frame;
use crate::csi::CsiFrame;
use crate::pose::SourceKind;
use crate::recording;

/// A capture file of any known format, played at the speed that was asked for.
#[derive(Debug)]
pub struct CaptureReplay {
    path: PathBuf,
    reader: CaptureReader,
    options: ReplayOptions,
}

/// Records that are looked at to find out whether a capture holds times.
const LOOKED_AT: usize = 1000;

impl CaptureReplay {
    /// Opens the file and finds out whether its packets can be given times.
    pub fn open(path: &Path, options: ReplayOptions) -> Result<Self, SourceError> {
        let mut reader = capture::open(path)
            .map_err(|e| SourceError::File { path: path.to_owned(), error: Box::new(e) })?;
        let first = reader.by_ref().take(LOOKED_AT).find_map(Result::ok);
        if options.rate_hz.is_none() && first.is_some_and(|frame| frame.capture_time_ns.is_none()) {
            return Err(SourceError::NoTime { path: path.to_owned(), error: NoTime });
        }
        reader.rewind();
        Ok(Self { path: path.to_owned(), reader, options })
    }
}

impl Source for CaptureReplay {
    fn kind(&self) -> SourceKind {
        SourceKind::Replay
    }

    fn speed(&self) -> Speed {
        self.options.speed
    }

    fn run(mut self: Box<Self>, out: &FrameSender, stop: &Stop) -> Result<(), SourceError> {
        let mut playing = Playing::new(&self.options);
        loop {
            let played = playing.round(&mut self.reader, out, stop);
            match played.map_err(|error| SourceError::NoTime { path: self.path.clone(), error })? {
                Round::Ended if self.options.repeat => self.reader.rewind(),
                _ => return Ok(()),
            }
        }
    }
}

/// The CSI frames of one of this project's recordings.
#[derive(Debug)]
pub struct RecordingReplay {
    path: PathBuf,
    reader: recording::Reader,
    options: ReplayOptions,
}

impl RecordingReplay {
    /// Opens the recording.
    pub fn open(path: &Path, options: ReplayOptions) -> Result<Self, SourceError> {
        let reader = recording::Reader::open(path)
            .map_err(|e| SourceError::File { path: path.to_owned(), error: Box::new(e) })?;
        Ok(Self { path: path.to_owned(), reader, options })
    }
}

impl Source for RecordingReplay {
    /// What was simulated stays simulated when it is played again.
    fn kind(&self) -> SourceKind {
        match self.reader.metadata().source {
            SourceKind::Simulated => SourceKind::Simulated,
            _ => SourceKind::Replay,
        }
    }

    fn speed(&self) -> Speed {
        self.options.speed
    }

    fn run(self: Box<Self>, out: &FrameSender, stop: &Stop) -> Result<(), SourceError> {
        let mut playing = Playing::new(&self.options);
        loop {
            let mut frames = self.reader.frames().filter_map(|frame| match frame {
                // Its time in the pipeline is the time of the recording.
                Ok(Frame::Csi(frame)) => Some(Ok(CsiFrame { capture_time_ns: Some(frame.time_ns), ..frame })),
                Ok(_) => None,
                Err(reject) => Some(Err(reject)),
            });
            let played = playing.round(&mut frames, out, stop);
            match played.map_err(|error| SourceError::NoTime { path: self.path.clone(), error })? {
                Round::Ended if self.options.repeat => {}
                _ => return Ok(()),
            }
        }
    }
}

enum Round {
    Ended,
    Stopped,
}

struct Playing {
    line: TimeLine,
    pacer: Pacer,
}

impl Playing {
    fn new(options: &ReplayOptions) -> Self {
        Self { line: TimeLine::new(wall_ns(), options.rate_hz), pacer: Pacer::new(options.speed) }
    }

    /// Plays all records once.
    fn round(
        &mut self,
        records: &mut dyn Iterator<Item = Result<CsiFrame, Reject>>,
        out: &FrameSender,
        stop: &Stop,
    ) -> Result<Round, NoTime> {
        let mut any = false;
        for record in records {
            if stop.stopped() {
                return Ok(Round::Stopped);
            }
            match record {
                Ok(mut frame) => {
                    frame.time_ns = self.line.next(frame.capture_time_ns)?;
                    if self.pacer.wait(frame.time_ns, stop) || out.send(frame, stop).is_err() {
                        return Ok(Round::Stopped);
                    }
                    any = true;
                }
                Err(reject) => {
                    tracing::debug!(offset = reject.offset, reason = reject.reason, detail = %reject.detail, "rejected");
                    out.reject(reject.reason);
                }
            }
        }
        self.line.repeat();
        // A file without a single frame is not read again and again.
        Ok(if any { Round::Ended } else { Round::Stopped })
    }
}
