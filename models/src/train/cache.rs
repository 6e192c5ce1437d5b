//! Simulated scenes on disk, so that a training that goes on does not simulate them again.

use std::path::Path;

use super::{TrainError, io};
use crate::{
    data::{Job, LinkTrack, Person, Place, Sequence},
    input::{
        ANTENNAS, BINS, BLOCK, Reference,
        block::{Step, VALUES},
    },
    network::JOINTS,
    sim::Radios,
};

/// What the numbers in the file mean; counted up when the simulator or the input changes.
const VERSION: u32 = 3;

/// The file's first bytes: which scenes it holds.
fn key(jobs: &[Job], radios: &Radios) -> Vec<u8> {
    let mut text = format!("invispose scenes {VERSION} {VALUES} {jobs:?}");
    if !radios.are_the_scenes_own() {
        text += &format!(" {radios:?}");
    }
    [crc32fast::hash(text.as_bytes()), text.len() as u32, jobs.len() as u32]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect()
}

/// Name of the file that holds these scenes.
pub(super) fn name(jobs: &[Job], radios: &Radios) -> String {
    let key: String = key(jobs, radios).iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("scenes-{key}.bin")
}

/// Writes the sequences of `jobs`. The file is put in place at once.
pub(super) fn write(
    path: &Path,
    jobs: &[Job],
    radios: &Radios,
    sequences: &[Sequence],
) -> Result<(), TrainError> {
    let mut out = key(jobs, radios);
    for s in sequences {
        sequence_to(&mut out, s);
    }
    out.extend(crc32fast::hash(&out).to_le_bytes());
    let new = path.with_extension("new");
    std::fs::write(&new, out).map_err(|e| io(&new, e))?;
    std::fs::rename(&new, path).map_err(|e| io(path, e))
}

/// The sequences of `jobs`, if the file holds exactly these and is undamaged.
pub(super) fn read(path: &Path, jobs: &[Job], radios: &Radios) -> Option<Vec<Sequence>> {
    let bytes = std::fs::read(path).ok()?;
    let (body, sum) = bytes.split_last_chunk::<4>()?;
    let body_after_key = body.strip_prefix(key(jobs, radios).as_slice())?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut from = Reader(body_after_key);
    let sequences = jobs.iter().map(|job| from.sequence(job.place)).collect::<Option<Vec<_>>>()?;
    from.0.is_empty().then_some(sequences)
}

fn floats<'a>(out: &mut Vec<u8>, values: impl IntoIterator<Item = &'a f32>) {
    out.extend(values.into_iter().flat_map(|v| v.to_le_bytes()));
}

fn sequence_to(out: &mut Vec<u8>, s: &Sequence) {
    floats(out, &s.room_m);
    for n in [s.links.len(), s.truth.len()] {
        out.extend((n as u32).to_le_bytes());
    }
    for link in &s.links {
        out.push(link.reference.antennas);
        out.extend(link.reference.packets.to_le_bytes());
        floats(out, link.reference.channel().iter().flatten().flatten());
        floats(out, link.transmitter_m.iter().chain(&link.receiver_m));
        out.extend(link.steps.iter().flatten().flat_map(|v| v.to_le_bytes()));
    }
    for people in &s.truth {
        out.push(people.len() as u8);
        for p in people {
            out.push(p.activity.map_or(u8::MAX, |a| a as u8));
            floats(out, p.keypoints_m.iter().flatten());
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn count(&mut self) -> Option<usize> {
        // Nothing is smaller than a byte: a larger count is damage.
        let n = u32::from_le_bytes(self.take()?) as usize;
        (n <= self.0.len()).then_some(n)
    }

    fn point(&mut self) -> Option<[f32; 3]> {
        Some([
            f32::from_le_bytes(self.take()?),
            f32::from_le_bytes(self.take()?),
            f32::from_le_bytes(self.take()?),
        ])
    }

    fn sequence(&mut self, place: Place) -> Option<Sequence> {
        let room_m = self.point()?;
        let (links, blocks) = (self.count()?, self.count()?);
        let links = (0..links).map(|_| self.link(blocks)).collect::<Option<Vec<_>>>()?;
        let truth = (0..blocks).map(|_| self.people()).collect::<Option<Vec<_>>>()?;
        Some(Sequence { place, room_m, links, truth })
    }

    fn link(&mut self, blocks: usize) -> Option<LinkTrack> {
        let [antennas] = self.take()?;
        let packets = u64::from_le_bytes(self.take()?);
        let mut channel = [[[0.0; 2]; BINS]; ANTENNAS];
        for v in channel.iter_mut().flatten().flatten() {
            *v = f32::from_le_bytes(self.take()?);
        }
        let (transmitter_m, receiver_m) = (self.point()?, self.point()?);
        let steps = (0..blocks * BLOCK).map(|_| self.step()).collect::<Option<Vec<_>>>()?;
        let reference = Reference::from_channel(channel, antennas, packets);
        Some(LinkTrack { steps, reference, transmitter_m, receiver_m })
    }

    fn step(&mut self) -> Option<Step> {
        let bytes = self.take::<{ 2 * VALUES }>()?;
        Some(std::array::from_fn(|i| i16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]])))
    }

    fn people(&mut self) -> Option<Vec<Person>> {
        let [count] = self.take()?;
        (0..count)
            .map(|_| {
                let [activity] = self.take()?;
                let mut keypoints_m = [[0.0; 3]; JOINTS];
                for p in &mut keypoints_m {
                    *p = self.point()?;
                }
                Some(Person {
                    keypoints_m,
                    activity: (activity != u8::MAX).then_some(usize::from(activity)),
                    pose_known: true,
                })
            })
            .collect()
    }
}
