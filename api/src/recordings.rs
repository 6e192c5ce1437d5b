//! Recordings: begun, ended, listed and removed, for every protocol. They lie in a folder of the data directory, one file each.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use invispose_pipeline::SourceKind;
use invispose_pipeline::recording::{Metadata, Reader, RecordingError, Writer};
use invispose_pipeline::stages::recorder::{RecordDesk, RecordError, RecordSetup};
use thiserror::Error;

use crate::documents::is_id;
use crate::query::QueryError;
use crate::view::source_name;
use crate::{ApiState, Time};

/// Ending of the files.
const ENDING: &str = "ivr";
/// Recordings of one list.
const MOST: usize = 1000;
/// Seconds that a recording may last, and lasts where nobody says.
pub(crate) const LONGEST_S: u32 = 86_400;
pub(crate) const DEFAULT_S: u32 = 3_600;
/// Letters of a note.
const NOTE: usize = 1000;

/// Where recordings lie and who writes them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recordings {
    desk: RecordDesk,
    folder: Arc<Path>,
    /// The one that is being written.
    now: Arc<Mutex<Option<String>>>,
}

/// What is to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct RecordRequest {
    /// `None`: the site and the time.
    pub id: Option<String>,
    /// The first site where it is left out.
    pub site: Option<String>,
    pub csi: bool,
    pub poses: bool,
    pub seconds: u32,
    pub note: String,
}

/// How far a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is being written.
    Recording,
    /// It was closed.
    Complete,
    /// Its writer died; it is readable up to its last whole block.
    Interrupted,
    /// It is no recording, or a newer one than this version reads.
    Unreadable,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A recording.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub id: String,
    pub stage: Stage,
    /// `None` for one of several sites.
    pub site: Option<String>,
    /// Of its packets, where it can be read.
    pub source: Option<&'static str>,
    pub created: Option<Time>,
    pub note: String,
    /// Packets and pose frames that are on the disk.
    pub frames: u64,
    pub bytes: u64,
    /// Of its first and last frame.
    pub times: Option<(Time, Time)>,
    /// Why it cannot be read, or what is damaged.
    pub problem: Option<String>,
}

/// Why a recording cannot be begun, ended, read or removed.
#[derive(Debug, Error)]
pub(crate) enum RecordingsError {
    #[error("there is no recording {0:?}")]
    Unknown(String),
    #[error("there is a recording {0:?} already")]
    Taken(String),
    #[error("{0:?} is being written; end it first")]
    Open(String),
    #[error("{field}: {reason}")]
    Invalid { field: &'static str, reason: String },
    #[error(transparent)]
    Site(#[from] QueryError),
    /// Nothing is recorded here.
    #[error("this server records nothing")]
    Nowhere,
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("{0}")]
    File(String),
}

impl From<RecordingError> for RecordingsError {
    fn from(error: RecordingError) -> Self {
        Self::File(error.to_string())
    }
}

impl From<std::io::Error> for RecordingsError {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.to_string())
    }
}

impl Recordings {
    /// Written by the pipeline that has this desk, into this folder, which is made with the first one.
    pub fn new(desk: RecordDesk, folder: impl Into<PathBuf>) -> Self {
        Self { desk, folder: folder.into().into(), now: Arc::default() }
    }

    fn path(&self, id: &str) -> Result<PathBuf, RecordingsError> {
        if !is_id(id) {
            return Err(RecordingsError::Unknown(id.to_owned()));
        }
        Ok(self.folder.join(format!("{id}.{ENDING}")))
    }

    /// The one that is being written.
    fn now(&self) -> Option<String> {
        self.desk.written()?;
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn begin(
        &self,
        id: &str,
        setup: impl FnOnce(Writer) -> RecordSetup,
        about: &Metadata,
    ) -> Result<(), RecordingsError> {
        let path = self.path(id)?;
        if self.desk.written().is_some() {
            return Err(RecordError::Busy.into());
        }
        if path.exists() {
            return Err(RecordingsError::Taken(id.to_owned()));
        }
        std::fs::create_dir_all(&self.folder)?;
        let writer = Writer::create(&path, about)?;
        if let Err(error) = self.desk.begin(setup(writer)) {
            // Nothing is in it.
            let _ = std::fs::remove_file(&path);
            return Err(error.into());
        }
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
        Ok(())
    }

    fn end(&self, id: &str) -> Result<(), RecordingsError> {
        if self.now().as_deref() == Some(id) {
            self.desk.end()?;
            return Ok(());
        }
        match self.path(id)?.exists() {
            true => Err(RecordError::Idle.into()),
            false => Err(RecordingsError::Unknown(id.to_owned())),
        }
    }

    fn look(&self, id: &str) -> Result<Recording, RecordingsError> {
        let path = self.path(id)?;
        let bytes = match path.metadata() {
            Ok(about) => about.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(RecordingsError::Unknown(id.to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        let open = self.now().as_deref() == Some(id);
        let mut found = Recording {
            id: id.to_owned(),
            stage: Stage::Unreadable,
            site: None,
            source: None,
            created: None,
            note: String::new(),
            frames: 0,
            bytes,
            times: None,
            problem: None,
        };
        match Reader::open(&path) {
            Ok(reader) => {
                let about = reader.metadata();
                found.stage = match (open, reader.closed()) {
                    (true, _) => Stage::Recording,
                    (false, true) => Stage::Complete,
                    (false, false) => Stage::Interrupted,
                };
                found.site = about.site.as_ref().map(|s| s.id.clone());
                found.source = Some(source_name(about.source));
                found.created = Some(Time::from_ns(about.created_ns));
                found.note = about.note.clone();
                found.frames = reader.frame_count();
                found.times = reader.time_range_ns().map(|(a, b)| (Time::from_ns(a), Time::from_ns(b)));
                let gaps = reader.gaps().len();
                found.problem = (gaps > 0).then(|| format!("{gaps} places in the middle are damaged"));
            }
            Err(error) => found.problem = Some(error.to_string()),
        }
        Ok(found)
    }

    fn list(&self) -> Result<Vec<Recording>, RecordingsError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            // None was made yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut ids: Vec<String> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == ENDING))
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .filter(|id| is_id(id))
            .collect();
        ids.sort_unstable();
        ids.truncate(MOST);
        // One that is removed meanwhile is none.
        let mut found: Vec<Recording> = ids.iter().filter_map(|id| self.look(id).ok()).collect();
        found.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(found)
    }

    fn remove(&self, id: &str) -> Result<(), RecordingsError> {
        if self.now().as_deref() == Some(id) {
            return Err(RecordingsError::Open(id.to_owned()));
        }
        match std::fs::remove_file(self.path(id)?) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(RecordingsError::Unknown(id.to_owned()))
            }
            removed => Ok(removed?),
        }
    }
}

/// Files are read and written where that holds up nobody.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RecordingsError> + Send + 'static,
) -> Result<T, RecordingsError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| RecordingsError::File(e.to_string()))?
}

impl ApiState {
    fn recorded(&self) -> Result<Recordings, RecordingsError> {
        self.recordings().cloned().ok_or(RecordingsError::Nowhere)
    }

    /// Begins a recording.
    pub(crate) async fn begin_recording(&self, request: RecordRequest) -> Result<Recording, RecordingsError> {
        let recordings = self.recorded()?;
        let site = self.site(request.site.as_deref())?.config().clone();
        let invalid = |field, reason: &str| RecordingsError::Invalid { field, reason: reason.to_owned() };
        if !(request.csi || request.poses) {
            return Err(invalid("csi", "either packets or poses must be recorded"));
        }
        if !(1..=LONGEST_S).contains(&request.seconds) {
            return Err(invalid("seconds", &format!("must be between 1 and {LONGEST_S}")));
        }
        if request.note.chars().count() > NOTE {
            return Err(invalid("note", &format!("has at most {NOTE} letters")));
        }
        if request.id.as_deref().is_some_and(|id| !is_id(id)) {
            return Err(invalid("id", "has 1 to 64 letters, digits, `-` and `_`"));
        }
        let now = Time::now();
        let stamp = now.to_string().chars().filter(char::is_ascii_digit).take(14).collect::<String>();
        let id = request.id.unwrap_or_else(|| {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            format!("{}-{stamp}", site.id.chars().take(48).map(plain).collect::<String>())
        });
        let kinds: Vec<SourceKind> = self
            .health()
            .sources()
            .iter()
            .filter(|s| s.site.as_deref() == Some(site.id.as_str()))
            .map(|s| s.kind)
            .collect();
        let least = [SourceKind::Simulated, SourceKind::Replay].into_iter().find(|k| kinds.contains(k));
        let name: Arc<str> = site.id.as_str().into();
        let about = Metadata {
            source: least.unwrap_or(SourceKind::Live),
            site: Some(site),
            created_ns: now.as_ns(),
            note: request.note,
        };
        let limit = Some(Duration::from_secs(request.seconds.into()));
        let (csi, poses) = (request.csi, request.poses);
        aside(move || {
            let setup = |writer| RecordSetup { writer, site: Some(name), csi, poses, limit };
            recordings.begin(&id, setup, &about)?;
            recordings.look(&id)
        })
        .await
    }

    /// Ends a recording.
    pub(crate) async fn end_recording(&self, id: String) -> Result<Recording, RecordingsError> {
        let (recordings, id) = (self.recorded()?, self.find_recording(id).await?.id);
        aside(move || recordings.end(&id).and_then(|()| recordings.look(&id))).await
    }

    /// All recordings, oldest first; of one site where one is named.
    pub(crate) async fn list_recordings(
        &self,
        site: Option<&str>,
    ) -> Result<Vec<Recording>, RecordingsError> {
        let site = site.map(|id| self.site(Some(id))).transpose()?.map(|s| s.config().id.clone());
        let Some(recordings) = self.recordings().cloned() else { return Ok(Vec::new()) };
        let all = aside(move || recordings.list()).await?;
        let wanted = |r: &Recording| self.sees(r.site.as_deref()) && (site.is_none() || r.site == site);
        Ok(all.into_iter().filter(wanted).collect())
    }

    /// One recording.
    pub(crate) async fn find_recording(&self, id: String) -> Result<Recording, RecordingsError> {
        let recordings = self.recorded()?;
        let unknown = RecordingsError::Unknown(id.clone());
        let found = aside(move || recordings.look(&id)).await?;
        if self.sees(found.site.as_deref()) { Ok(found) } else { Err(unknown) }
    }

    /// The file of one that can be read.
    pub(crate) async fn recording_file(&self, id: String) -> Result<PathBuf, RecordingsError> {
        let path = self.recorded()?.path(&id)?;
        let found = self.find_recording(id).await?;
        match found.stage {
            Stage::Recording => Err(RecordingsError::Open(found.id)),
            _ => Ok(path),
        }
    }

    /// Away with a recording.
    pub(crate) async fn remove_recording(&self, id: String) -> Result<(), RecordingsError> {
        let (recordings, id) = (self.recorded()?, self.find_recording(id).await?.id);
        aside(move || recordings.remove(&id)).await
    }
}
