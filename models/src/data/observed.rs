//! Recorded packets, and what a camera or a known path says of the people, as windows to learn from.

use super::{Grid, LinkTrack, Person, Place, Sequence};
use crate::input::{BLOCK, BLOCKS, Binned, RATE_HZ, Reference, STEPS, block};

/// A link of a site and what it received.
#[derive(Clone, Debug)]
pub struct ObservedLink {
    /// Transmitter, site coordinates in metres.
    pub transmitter_m: [f32; 3],
    /// Receiver, site coordinates in metres.
    pub receiver_m: [f32; 3],
    /// The link while nobody was there.
    pub reference: Reference,
    /// In order of time: seconds, on the labels' clock, and the packet.
    pub packets: Vec<(f64, Binned)>,
}

/// Who was there at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Seconds.
    pub time_s: f64,
    /// Everybody in the room.
    pub persons: Vec<Person>,
}

/// A window for each label, ending with it. Labels before whose end less than half of the packets came are left out: there is little
/// to learn from.
pub fn windows(room_m: [f32; 3], links: &[ObservedLink], labels: &[Label]) -> Vec<Sequence> {
    let window = |label: &Label| {
        let from_s = label.time_s - (STEPS - 1) as f64 / f64::from(RATE_HZ);
        let tracks: Vec<LinkTrack> = links.iter().map(|link| link.track(from_s, STEPS)).collect();
        let received: usize =
            tracks.iter().flat_map(|track| &track.steps).filter(|step| block::received(step)).count();
        // The people at the end of each block; only the last is looked at.
        let mut truth = vec![Vec::new(); BLOCKS - 1];
        truth.push(label.persons.clone());
        (2 * received >= STEPS * links.len().max(1)).then_some(Sequence {
            place: Place::Demo,
            room_m,
            links: tracks,
            truth,
        })
    };
    labels.iter().filter_map(window).collect()
}

/// Labels farther than this from the end of a block say nothing of it, seconds: less than a label's distance of a camera of ten
/// pictures a second.
const NEAR_S: f64 = 0.06;

/// A recording from its first packet on as sequences in which every window ends near a label, with the nearest one, and
/// at least half of its packets came. Each is as long as it can be; there is none where no window is so.
pub fn sequences(room_m: [f32; 3], links: &[ObservedLink], labels: &[Label]) -> Vec<Sequence> {
    let first = links.iter().filter_map(|l| l.packets.first()).map(|(time_s, _)| *time_s);
    let (from_s, rate) = (first.fold(f64::INFINITY, f64::min), f64::from(RATE_HZ));
    let until_s = labels.last().map_or(f64::NEG_INFINITY, |l| l.time_s + NEAR_S);
    let blocks = (((until_s - from_s) * rate + 1.0) / BLOCK as f64).floor().max(0.0) as usize;
    let tracks: Vec<LinkTrack> = links.iter().map(|link| link.track(from_s, blocks * BLOCK)).collect();
    let near = |block: usize| {
        let end_s = from_s + ((block + 1) * BLOCK - 1) as f64 / rate;
        let after = labels.partition_point(|l| l.time_s < end_s);
        let two = labels[after.saturating_sub(1)..].iter().take(2);
        let off = |l: &&Label| (l.time_s - end_s).abs();
        two.filter(|l| off(l) <= NEAR_S).min_by(|a, b| off(a).total_cmp(&off(b)))
    };
    let labels: Vec<Option<&Label>> = (0..blocks).map(near).collect();
    let heard = |block: usize| {
        let steps = (block + 1) * BLOCK - STEPS..(block + 1) * BLOCK;
        let received: usize =
            tracks.iter().flat_map(|t| &t.steps[steps.clone()]).filter(|step| block::received(step)).count();
        2 * received >= STEPS * tracks.len()
    };
    let usable: Vec<bool> = (0..blocks).map(|b| b + 1 >= BLOCKS && labels[b].is_some() && heard(b)).collect();
    let persons = |label: &Option<&Label>| label.map_or_else(Vec::new, |l| l.persons.clone());
    let truth = labels.iter().map(persons).collect();
    let whole = Sequence { place: Place::Demo, room_m, links: tracks, truth };
    // The blocks before the first end are looked at, what is true of them is not.
    let runs = usable.chunk_by(|a, b| a == b).scan(0, |at, run| {
        let ends = *at..*at + run.len();
        *at = ends.end;
        Some((run[0], ends))
    });
    runs.filter(|(usable, _)| *usable)
        .map(|(_, ends)| whole.part(ends.start + 1 - BLOCKS..ends.end))
        .collect()
}

impl ObservedLink {
    fn track(&self, from_s: f64, steps: usize) -> LinkTrack {
        let mut grid = Grid::new(from_s, steps);
        let half_step_s = 0.5 / f64::from(RATE_HZ);
        let first = self.packets.partition_point(|(time_s, _)| *time_s < from_s - half_step_s);
        let end_s = from_s + steps as f64 / f64::from(RATE_HZ);
        for (time_s, packet) in self.packets[first..].iter().take_while(|(time_s, _)| *time_s < end_s) {
            grid.put(*time_s, || packet.clone());
        }
        LinkTrack {
            steps: grid.steps(&self.reference),
            reference: self.reference.clone(),
            transmitter_m: self.transmitter_m,
            receiver_m: self.receiver_m,
        }
    }

    /// How much the channel changes within a block of steps, for each block from a time on: the mean square difference of
    /// packets two steps apart, over the quiet channel's mean square.
    pub(super) fn motion(&self, from_s: f64, blocks: usize) -> Vec<f32> {
        let track = self.track(from_s, blocks * BLOCK);
        let of = |steps: &[block::Step]| {
            let pairs =
                steps.iter().zip(&steps[2..]).filter(|(a, b)| block::received(a) && block::received(b));
            let (sum, count) = pairs.fold((0.0f32, 0usize), |(sum, count), (a, b)| {
                let change = |(a, b): (&i16, &i16)| ((f32::from(*b) - f32::from(*a)) / block::UNITS).powi(2);
                (sum + a.iter().zip(b).map(change).sum::<f32>(), count + 1)
            });
            sum / (count.max(1) * block::VALUES) as f32
        };
        track.steps.chunks_exact(BLOCK).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use invispose_kernels::{Complex32, Layout};
    use proptest::prelude::*;

    use super::*;
    use crate::{data::Mirror, input::ReferenceBuilder, network::JOINTS};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn windows_of_a_recording_end_near_a_label_and_hold_half_of_its_packets(
            frames in prop::collection::vec((prop::bool::weighted(0.9), prop::bool::weighted(0.9)), 10..80),
            start_s in 0.0f64..3.0,
        ) {
            // Ten labels a second, each with the five packets before it; here and there either is missing.
            let layout = Layout::new(1, 1, 24);
            let csi: Vec<_> = (0..24).map(|i| Complex32::from_polar(1.0, 0.2 * i as f32)).collect();
            let mut quiet = ReferenceBuilder::default();
            quiet.push(layout, &csi);
            let label_s = |frame: usize| start_s + (frame + 1) as f64 / 10.0 - 0.02;
            let mut packets = Vec::new();
            let mut labels = Vec::new();
            for (frame, (labelled, heard)) in frames.iter().enumerate() {
                // The first is always heard: it is where the recording begins.
                let heard = *heard || frame == 0;
                let times = (0..5).map(|k| start_s + frame as f64 / 10.0 + f64::from(k) / 50.0);
                packets.extend(times.filter(|_| heard).map(|t| (t, Binned::of(layout, &csi))));
                let keypoints_m = [[label_s(frame) as f32, 0.0, 0.0]; JOINTS];
                let person = Person { keypoints_m, activity: None, pose_known: true };
                labels.extend(labelled.then(|| Label { time_s: label_s(frame), persons: vec![person] }));
            }
            let reference = quiet.finish();
            prop_assume!(reference.is_some());
            let (transmitter_m, receiver_m) = ([0.0; 3], [1.0; 3]);
            let links: Vec<_> = reference
                .map(|reference| ObservedLink { transmitter_m, receiver_m, reference, packets })
                .into_iter()
                .collect();
            let found: Vec<f32> = sequences([4.0; 3], &links, &labels)
                .iter()
                .flat_map(|s| s.ends().map(|end| s.persons(end, Mirror::default())[0].keypoints_m[0][0]).collect::<Vec<_>>())
                .collect();
            // Every second frame ends a block of ten steps, the twentieth the first window.
            let heard = |frame: usize| usize::from(frames[frame].1 || frame == 0);
            let usable = |frame: &usize| {
                frames[*frame].0 && 2 * (frame - 19..=*frame).map(heard).sum::<usize>() >= 20
            };
            let wanted: Vec<f32> =
                (19..frames.len()).step_by(2).filter(usable).map(|frame| label_s(frame) as f32).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
