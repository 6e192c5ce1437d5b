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
