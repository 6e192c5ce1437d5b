//! A set's recordings as windows to learn from and to be measured on.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

use invispose_models::data::{self, Label, ObservedLink, Person, Sequence};
use invispose_models::evaluate::metrics::UNKNOWN;
use invispose_models::input::{Binned, ReferenceBuilder};
use invispose_models::skeleton::SHOULDERS;
use invispose_models::train::{SetGroup, SetWindows};

use super::{Body, Part, PoseRecording, SetLink, Truth, named};
use crate::evaluation::recordings::EvaluationError;

/// One in so many people (or recordings, where the set does not tell the people) of the training part is for validation.
const HELD_OUT: usize = 8;

/// The training part of a set's split. One in eight of its people, at least one, is left for validation. `progress` gets recordings
/// read and in all, and what was left out of them.
///
/// # Errors
/// When the set has no such split or no recordings, or their files cannot be read.
pub fn teach(
    group: &SetGroup,
    progress: &(dyn Fn(usize, usize, &[String]) + Sync),
) -> Result<SetWindows, EvaluationError> {
    let set = named(&group.set)?;
    let split = set.split(&group.split)?;
    let mut recordings = set.under(&group.folder)?;
    recordings.retain(|r| r.part(split) == Some(Part::Train));
    let mut people: Vec<String> = recordings.iter().map(|r| r.group()).collect();
    people.sort();
    people.dedup();
    if people.len() < 2 {
        return Err(EvaluationError::Set(format!(
            "{}: split {split}: {} people or recordings in the training part under {}, of which one is left for validation: at least 2 are needed",
            set.name,
            people.len(),
            group.folder.display()
        )));
    }
    let last = people.len() - 1;
    let held_out = |who: &String| {
        people
            .iter()
            .position(|p| p == who)
            .is_some_and(|i| i % HELD_OUT == HELD_OUT - 1 || (last < HELD_OUT && i == last))
    };
    let (done, total) = (AtomicUsize::new(0), recordings.len());
    let read = parallel(&recordings, |recording| {
        let judged = held_out(&recording.group());
        let (sequences, left_out) = sequences(recording.as_ref(), !judged)?;
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, total, &left_out);
        Ok((judged, sequences))
    })?;
    let mut windows = SetWindows::default();
    for (judged, sequences) in read {
        let side = if judged { &mut windows.validation } else { &mut windows.training };
        side.extend(sequences);
    }
    Ok(windows)
}

/// A recording's windows, and what was left out of it. `to_learn` from or to be measured on: the keypoints of a face that the set does
/// not tell are taught to be where its head is, and are not measured.
///
/// The sets have no empty room. The quiet channel of each link is the mean of all its packets in the recording, brought to the
/// same gain, phase and phase slope: what stays as it is, people who keep still among it.
pub(super) fn sequences(
    recording: &dyn PoseRecording,
    to_learn: bool,
) -> Result<(Vec<Sequence>, Vec<String>), EvaluationError> {
    let Truth::Metres { room_m, seen } = recording.truth()? else {
        return Err(EvaluationError::Set(format!(
            "{}: its poses are those of a camera's picture, in pixels; the network tells metres, and where the camera stood is not told",
            recording.name()
        )));
    };
    let received = recording.received()?;
    let links: Vec<ObservedLink> = received.links.into_iter().filter_map(observed).collect();
    let person = |body: &Body<3>| Person {
        keypoints_m: std::array::from_fn(|j| {
            let head = body.head.filter(|_| to_learn && j < SHOULDERS[0]);
            body.keypoints[j].or(head).unwrap_or(UNKNOWN)
        }),
        activity: None,
        pose_known: true,
    };
    // A loss has no place for what is not known.
    let complete = |p: &Person| !to_learn || p.keypoints_m.iter().flatten().all(|v| v.is_finite());
    let labels: Vec<Label> = seen
        .iter()
        .map(|s| Label { time_s: s.time_s, persons: s.persons.iter().map(person).collect() })
        .filter(|label: &Label| label.persons.iter().all(complete))
        .collect();
    Ok((data::sequences(room_m, &links, &labels), received.left_out))
}

fn observed(link: SetLink) -> Option<ObservedLink> {
    let mut quiet = ReferenceBuilder::default();
    link.packets.iter().for_each(|p| quiet.push(p.layout, &p.csi));
    Some(ObservedLink {
        transmitter_m: link.transmitter_m,
        receiver_m: link.receiver_m,
        reference: quiet.finish()?,
        packets: link
            .packets
            .iter()
            .map(|p| (p.time_ns as f64 / 1e9, Binned::of(p.layout, &p.csi)))
            .collect(),
    })
}

/// The work on each item, in the items' order, on all cores.
fn parallel<I: Sync, T: Send>(
    items: &[I],
    work: impl Fn(&I) -> Result<T, EvaluationError> + Sync,
) -> Result<Vec<T>, EvaluationError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let work = &work;
    std::thread::scope(|scope| {
        let parts = items.chunks(items.len().div_ceil(cores).max(1));
        let workers: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().map(work).collect::<Result<Vec<_>, _>>()))
            .collect();
        let mut all = Vec::with_capacity(items.len());
        for worker in workers {
            all.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}
