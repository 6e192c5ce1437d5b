//! Recordings as GraphQL objects: begun, ended and removed.

use async_graphql::{Context, Enum, ErrorExtensions, ID, InputObject, Object, Result, SimpleObject};

use super::scalars::Count;
use crate::recordings::{RecordRequest, RecordingsError, Stage};
use crate::{ApiState, Time, recordings};

/// How far a recording is.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Stage")]
enum RecordingStatus {
    /// It is being written.
    Recording,
    /// It was closed.
    Complete,
    /// Its writer died; it is readable up to its last whole block.
    Interrupted,
    /// It is no recording, or a newer one than this version reads.
    Unreadable,
}

/// Packets and pose frames in a file.
#[derive(SimpleObject)]
struct Recording {
    /// Its name.
    id: ID,
    /// How far it is.
    status: RecordingStatus,
    /// The site; null for one of several.
    site_id: Option<ID>,
    /// `live`, `replay` or `simulated`; null where it cannot be read.
    source: Option<&'static str>,
    /// When it was begun.
    created_at: Option<Time>,
    /// For people.
    note: String,
    /// Packets and pose frames that are on the disk.
    frames: Count,
    /// On the disk.
    bytes: Count,
    /// Time of its first frame.
    start_time: Option<Time>,
    /// Time of its last frame.
    end_time: Option<Time>,
    /// Why it cannot be read, or what is damaged.
    problem: Option<String>,
}

impl From<recordings::Recording> for Recording {
    fn from(r: recordings::Recording) -> Self {
        Self {
            id: r.id.into(),
            status: r.stage.into(),
            site_id: r.site.map(ID),
            source: r.source,
            created_at: r.created,
            note: r.note,
            frames: Count(r.frames),
            bytes: Count(r.bytes),
            start_time: r.times.map(|t| t.0),
            end_time: r.times.map(|t| t.1),
            problem: r.problem,
        }
    }
}

/// What is to be recorded.
#[derive(InputObject)]
struct RecordingInput {
    /// Its name: 1 to 64 letters, digits, `-` and `_`; the site and the time where it is left out.
    id: Option<ID>,
    /// The first site where it is left out.
    site_id: Option<ID>,
    /// Every packet.
    #[graphql(default = true)]
    csi: bool,
    /// Every pose frame.
    #[graphql(default = true)]
    poses: bool,
    /// It ends by itself after so many, 1 to 86400.
    #[graphql(default = 3600)]
    seconds: u32,
    /// For people, at most 1000 letters.
    #[graphql(default)]
    note: String,
}

fn failed(error: RecordingsError) -> async_graphql::Error {
    let code = match error {
        RecordingsError::Site(error) => return error.graphql(),
        RecordingsError::Unknown(_) => "NOT_FOUND",
        RecordingsError::Taken(_) | RecordingsError::Open(_) => "CONFLICT",
        RecordingsError::Record(ref cause) if cause.is_about_order() => "CONFLICT",
        RecordingsError::Invalid { .. } => "BAD_ARGUMENT",
        RecordingsError::Nowhere | RecordingsError::Record(_) | RecordingsError::File(_) => "UNAVAILABLE",
    };
    async_graphql::Error::new(error.to_string()).extend_with(|_, e| {
        e.set("code", code);
        if let RecordingsError::Invalid { field, .. } = error {
            e.set("argument", field);
        }
    })
}

/// Queries over recordings.
#[derive(Default)]
pub(crate) struct Recorded;

#[Object]
impl Recorded {
    /// Recordings, oldest first.
    async fn recordings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this site only.")] site_id: Option<ID>,
    ) -> Result<Vec<Recording>> {
        let found = ctx.data::<ApiState>()?.list_recordings(site_id.as_deref().map(String::as_str)).await;
        Ok(found.map_err(failed)?.into_iter().map(Recording::from).collect())
    }

    /// A recording; null where there is none of this name.
    async fn recording(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Recording>> {
        match ctx.data::<ApiState>()?.find_recording(id.0).await {
            Ok(found) => Ok(Some(found.into())),
            Err(RecordingsError::Unknown(_) | RecordingsError::Nowhere) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Changes of recordings.
#[derive(Default)]
pub(crate) struct Record;

#[Object]
impl Record {
    /// Begins a recording of a site. One is written at a time.
    async fn start_recording(&self, ctx: &Context<'_>, input: RecordingInput) -> Result<Recording> {
        let RecordingInput { id, site_id, csi, poses, seconds, note } = input;
        let request =
            RecordRequest { id: id.map(|id| id.0), site: site_id.map(|id| id.0), csi, poses, seconds, note };
        Ok(ctx.data::<ApiState>()?.begin_recording(request).await.map_err(failed)?.into())
    }

    /// Ends the recording that is being written.
    async fn stop_recording(&self, ctx: &Context<'_>, id: ID) -> Result<Recording> {
        Ok(ctx.data::<ApiState>()?.end_recording(id.0).await.map_err(failed)?.into())
    }

    /// Away with a recording that has ended.
    async fn delete_recording(&self, ctx: &Context<'_>, id: ID) -> Result<ID> {
        ctx.data::<ApiState>()?.remove_recording(id.0.clone()).await.map_err(failed)?;
        Ok(id)
    }
}
