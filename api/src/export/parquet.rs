//! Rows of persons as Apache Parquet; a row group for each page.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::Sink;
use crate::view::{FrameView, PersonView, decimal, source_name};
use invispose_pipeline::parquet_columns::{column, optional, required};
use invispose_pipeline::pose::Activity;

const SCHEMA: &str = "message poses {
    required int64 timestamp (timestamp(nanos,true));
    required int64 frame_id;
    required binary site_id (utf8);
    required binary source (utf8);
    optional binary model (utf8);
    required boolean calibrated;
    required boolean experimental;
    optional boolean present;
    optional double motion_level;
    optional int64 person_id;
    optional double confidence;
    optional double x_m;
    optional double y_m;
    optional double z_m;
    optional double vx_m_s;
    optional double vy_m_s;
    optional double vz_m_s;
    optional binary activity (utf8);
    optional binary zone_id (utf8);
    optional group keypoints (list) { repeated group list { required float element; } }
}";

/// Bytes that were written and not taken yet.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<u8>>>);

impl Taken {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Taken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file in the making. `keypoints` holds x, y, z in metres and the confidence of each of the 17 joints.
pub(crate) struct Parquet {
    out: Taken,
    writer: Option<SerializedFileWriter<Taken>>,
}

struct Line {
    frame: FrameView,
    person: Option<PersonView>,
}

impl Parquet {
    pub(crate) fn new() -> Result<Self, ParquetError> {
        let out = Taken::default();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let writer = SerializedFileWriter::new(out.clone(), schema, Arc::default())?;
        Ok(Self { out, writer: Some(writer) })
    }

    fn group(&mut self, lines: &[Line]) -> Result<(), ParquetError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut group = writer.next_row_group()?;
        let g = &mut group;
        let text = |t: &str| ByteArray::from(t.as_bytes().to_vec());
        required::<Int64Type>(g, lines.iter().map(|l| l.frame.frame().time_ns))?;
        required::<Int64Type>(g, lines.iter().map(|l| l.frame.frame().frame_id as i64))?;
        required::<ByteArrayType>(g, lines.iter().map(|l| text(&l.frame.frame().site)))?;
        required::<ByteArrayType>(
            g,
            lines.iter().map(|l| text(source_name(l.frame.frame().provenance.source))),
        )?;
        optional::<ByteArrayType>(
            g,
            lines.iter().map(|l| l.frame.frame().provenance.model.as_deref().map(text)),
        )?;
        required::<BoolType>(g, lines.iter().map(|l| l.frame.frame().provenance.calibrated))?;
        required::<BoolType>(g, lines.iter().map(|l| l.frame.frame().provenance.experimental))?;
        optional::<BoolType>(g, lines.iter().map(|l| l.frame.frame().presence.map(|p| p.present)))?;
        let motion = |l: &Line| l.frame.frame().presence.map(|p| decimal(p.motion_level));
        optional::<DoubleType>(g, lines.iter().map(motion))?;
        let person = |l: &Line| l.person.clone();
        optional::<Int64Type>(g, lines.iter().map(|l| person(l).and_then(|p| p.id().parse().ok())))?;
        optional::<DoubleType>(g, lines.iter().map(|l| person(l).map(|p| p.confidence())))?;
        for axis in 0..3 {
            let at = |p: PersonView| p.position_m().get(axis).copied().unwrap_or_default();
            optional::<DoubleType>(g, lines.iter().map(|l| person(l).map(at)))?;
        }
        for axis in 0..3 {
            let at = |p: PersonView| p.velocity_m_s().get(axis).copied().unwrap_or_default();
            optional::<DoubleType>(g, lines.iter().map(|l| person(l).map(at)))?;
        }
        let activity = |l: &Line| person(l).and_then(|p| p.activity()).map(Activity::name).map(text);
        optional::<ByteArrayType>(g, lines.iter().map(activity))?;
        optional::<ByteArrayType>(g, lines.iter().map(|l| person(l)?.zone().map(|z| text(&z.id))))?;
        keypoints(g, lines)?;
        group.close()?;
        Ok(())
    }
}

fn keypoints(group: &mut Group<'_>, lines: &[Line]) -> Result<(), ParquetError> {
    let (mut values, mut defined, mut continued) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        // Level 0: no list; level 2: an element of one.
        let Some(person) = &line.person else {
            defined.push(0);
            continued.push(0);
            continue;
        };
        let start = values.len();
        for k in person.keypoints() {
            let [x, y, z] = k.position_m;
            values.extend([x, y, z, k.confidence].map(|v| v as f32));
        }
        for i in start..values.len() {
            defined.push(2);
            continued.push(i16::from(i > start));
        }
    }
    column::<FloatType>(group, &values, Some(&defined), Some(&continued))
}

impl Sink for Parquet {
    fn frames(&mut self, frames: &[FrameView]) -> io::Result<Vec<u8>> {
        let lines: Vec<Line> = frames
            .iter()
            .flat_map(|frame| {
                let alone = (frame.person_count() == 0).then_some(None);
                let persons = frame.persons().map(Some);
                alone.into_iter().chain(persons).map(|person| Line { frame: frame.clone(), person })
            })
            .collect();
        if !lines.is_empty() {
            self.group(&lines).map_err(io::Error::other)?;
        }
        Ok(self.out.take())
    }

    fn end(&mut self) -> io::Result<Vec<u8>> {
        if let Some(writer) = self.writer.take() {
            writer.close().map_err(io::Error::other)?;
        }
        Ok(self.out.take())
    }
}

type Group<'a> = SerializedRowGroupWriter<'a, Taken>;
