//! Labelled recordings as streams through the pipeline's own stages.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::capture::{self, OpenError};
use crate::codec::Frame;
use crate::csi::CsiFrame;
use crate::health::SourceStats;
use crate::pose::SourceKind;
use crate::recording::{Reader, RecordingError, is_recording};
use crate::sources::{NoTime, Packet, TimeLine};
use crate::stages::assembly::{Assembler, AssemblyConfig, CsiWindow};
use crate::stages::baseline::Baseline;
use crate::stages::calibration::QuietRoom;
use crate::stages::cleanup::{CleanWindow, Cleanup};
use crate::stages::presence::{PresenceConfig, PresenceDetector};

/// A suite cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A file or folder cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Nothing to measure.
    #[error("{folder}: {missing}")]
    Empty {
        /// The folder.
        folder: PathBuf,
        /// What was looked for.
        missing: &'static str,
    },
    /// A file is not what it should be.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// A site lacks what is needed.
    #[error("{0}")]
    Site(String),
    /// A public set cannot be used as it was asked for.
    #[error("{0}")]
    Set(String),
    /// A recording cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// One of the project's own recordings cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// A recording's packets have no times.
    #[error("{path}: {error}")]
    Time {
        /// The recording.
        path: PathBuf,
        /// What is missing.
        error: NoTime,
    },
}

/// Packets of one recording, their times from its start.
#[derive(Clone, Debug)]
pub struct Recording {
    /// File name.
    pub file: String,
    /// When the first packet came, nanoseconds: since the Unix epoch where the file records wall time, else 0.
    pub start_ns: i64,
    /// In order of time.
    pub frames: Vec<CsiFrame>,
}

impl Recording {
    /// Reads a recording, or a capture of any format that the program knows.
    pub fn open(path: &Path) -> Result<Self, EvaluationError> {
        let mut frames: Vec<CsiFrame> = Vec::new();
        if is_recording(path) {
            let csi = |frame| if let Frame::Csi(frame) = frame { Some(frame) } else { None };
            frames.extend(Reader::open(path)?.frames().flatten().filter_map(csi));
            frames.sort_by_key(|f| f.time_ns);
        } else {
            let mut line = TimeLine::new(0, None);
            for mut frame in capture::open(path)?.flatten() {
                let time = line.next(frame.capture_time_ns);
                frame.time_ns =
                    time.map_err(|error| EvaluationError::Time { path: path.to_owned(), error })?;
                frames.push(frame);
            }
        }
        let start = frames.first().map_or(0, |f| f.time_ns);
        frames.iter_mut().for_each(|f| f.time_ns -= start);
        Ok(Self { file: file_name(path), start_ns: start, frames })
    }

    /// From the first packet to the last, nanoseconds.
    pub fn duration_ns(&self) -> i64 {
        self.frames.last().map_or(0, |f| f.time_ns)
    }
}

/// Where in a played sequence a window lies.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Which recording it ends in.
    pub part: usize,
    /// Its end, seconds from that recording's start.
    pub end_s: f64,
    /// Nothing of it is before that recording.
    pub whole: bool,
}

/// Time between two recordings that are played as one stream: less than a link's long silence.
const BETWEEN_NS: i64 = 1_000_000_000;
/// Where streams begin: some time after the epoch.
const START_NS: i64 = 1_000_000_000_000;

/// Plays recordings one after the other, as one live stream of one site, and gives every cleaned window.
pub fn play(parts: &[&Recording], config: &AssemblyConfig, mut work: impl FnMut(Place, CleanWindow)) {
    let account = Arc::new(SourceStats::new("evaluation", SourceKind::Replay));
    let mut assembler = Assembler::new("evaluation", SourceKind::Replay, config.clone());
    let mut cleanup = Cleanup::new();
    let mut starts = Vec::new();
    let mut start = START_NS;
    let window_ns = config.window.as_nanos() as i64;
    for recording in parts {
        starts.push(start);
        for frame in &recording.frames {
            let frame = CsiFrame { time_ns: start + frame.time_ns, ..frame.clone() };
            let packet = Packet { frame, arrived: Instant::now(), account: account.clone() };
            assembler.push(packet, &mut |w| emit(w, &mut cleanup, &starts, window_ns, &mut work));
        }
        start += recording.duration_ns() + BETWEEN_NS;
    }
    assembler.finish(&mut |w| emit(w, &mut cleanup, &starts, window_ns, &mut work));
}

fn emit(
    window: CsiWindow,
    cleanup: &mut Cleanup,
    starts: &[i64],
    window_ns: i64,
    work: &mut impl FnMut(Place, CleanWindow),
) {
    if window.last {
        return;
    }
    let end = window.grid.end_ns;
    let part = starts.partition_point(|s| *s <= end).saturating_sub(1);
    let start = starts.get(part).copied().unwrap_or(0);
    let place = Place { part, end_s: (end - start) as f64 / 1e9, whole: end - window_ns >= start };
    work(place, cleanup.run(window));
}

/// A window's motion statistics; the arrays, which presence does not look at, are left out.
pub fn without_arrays(mut window: CleanWindow) -> CleanWindow {
    for link in &mut window.links {
        link.amplitude = Vec::new();
        link.phase = Vec::new();
        link.ratio = Vec::new();
        link.raw.csi = Vec::new();
        link.new_steps = 0;
    }
    window
}

/// What a capture of the quiet room teaches, for `--baseline FILE`. Empty where the capture is too short or never quiet.
pub fn baseline_of(path: &Path, config: &PresenceConfig) -> Result<Baseline, EvaluationError> {
    let recording = Recording::open(path)?;
    let mut detector = PresenceDetector::new(config.clone(), None);
    play(&[&recording], &AssemblyConfig::default(), |_, window| {
        detector.run(window);
    });
    Ok(detector.baseline())
}

/// What recordings of a room that is known to be quiet teach, one after the other.
///
/// # Errors
/// When one cannot be read; else what was wrong with them, as text.
pub fn quiet_room(
    paths: &[PathBuf],
    config: &PresenceConfig,
) -> Result<Result<Baseline, String>, EvaluationError> {
    let recordings = paths.iter().map(|p| Recording::open(p)).collect::<Result<Vec<_>, _>>()?;
    let mut detector = PresenceDetector::new(config.clone(), None);
    let mut room = QuietRoom::new(config.clone(), f64::INFINITY);
    let all: Vec<&Recording> = recordings.iter().collect();
    play(&all, &AssemblyConfig::default(), |_, window| {
        let clean = detector.run(window).clean;
        room.take(&clean, |link, layout| detector.is_settled(link, layout));
    });
    Ok(room.finish())
}

/// Files of `folder` with this ending, by name.
pub fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, EvaluationError> {
    let fail = |error| EvaluationError::Read { path: folder.to_owned(), error };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        files.push(entry.map_err(fail)?.path());
    }
    files.retain(|f| f.extension().is_some_and(|e| e == ending) && f.is_file());
    files.sort();
    Ok(files)
}

/// A whole file as text.
pub fn text(path: &Path) -> Result<String, EvaluationError> {
    fs::read_to_string(path).map_err(|error| EvaluationError::Read { path: path.to_owned(), error })
}

/// A whole file, and what says what is wrong with it.
pub fn bytes(path: &Path) -> Result<(Vec<u8>, impl Fn(String) -> EvaluationError), EvaluationError> {
    let bytes = fs::read(path).map_err(|error| EvaluationError::Read { path: path.to_owned(), error })?;
    let path = path.to_owned();
    Ok((bytes, move |problem| EvaluationError::Content { path: path.clone(), problem }))
}

/// The set's own folder, where `data` is the one that holds the sets.
pub fn set_folder(data: &Path, set: &str) -> PathBuf {
    let inner = data.join(set);
    if inner.is_dir() { inner } else { data.to_owned() }
}

/// The last part of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
