//! The published protocols of MM-Fi, and its splits by name.
//!
//! Yang et al., "MM-Fi: Multi-Modal Non-Intrusive 4D Human Dataset for Versatile Wireless Sensing", NeurIPS 2023, and the set's
//! published configuration. No split by frame: neighbouring frames of one recording on both sides of a split are nearly the
//! same, so that a network is asked what it was told.

/// Subjects S01 to S40, actions A01 to A27.
pub const SUBJECTS: u8 = 40;
pub const ACTIONS: u8 = 27;
/// Subjects of one environment: S01 to S10 in E01, and so on.
const SUBJECTS_OF_A_ROOM: u8 = 10;

/// Which actions are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// P1: 14 daily activities.
    Daily,
    /// P2: 13 rehabilitation exercises.
    Rehabilitation,
    /// P3: all of them.
    All,
}

const DAILY: [u8; 14] = [2, 3, 4, 5, 13, 14, 17, 18, 19, 20, 21, 22, 23, 27];

impl Protocol {
    /// Numbers of the actions.
    pub fn actions(self) -> Vec<u8> {
        let daily = |a: &u8| DAILY.contains(a);
        match self {
            Self::Daily => DAILY.to_vec(),
            Self::Rehabilitation => (1..=ACTIONS).filter(|a| !daily(a)).collect(),
            Self::All => (1..=ACTIONS).collect(),
        }
    }
}

/// What is kept apart from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// S1: of each action the recordings of 32 subjects against those of 8, drawn anew for each action with the published
    /// seeds.
    Random,
    /// S2: 32 subjects against 8, two of each room.
    CrossSubject,
    /// S3: the first three rooms against the fourth.
    CrossEnvironment,
}

/// All of both, with the names of their tables.
pub const ALL: [(&str, Protocol, Split); 9] = [
    ("P1 random", Protocol::Daily, Split::Random),
    ("P1 cross-subject", Protocol::Daily, Split::CrossSubject),
    ("P1 cross-environment", Protocol::Daily, Split::CrossEnvironment),
    ("P2 random", Protocol::Rehabilitation, Split::Random),
    ("P2 cross-subject", Protocol::Rehabilitation, Split::CrossSubject),
    ("P2 cross-environment", Protocol::Rehabilitation, Split::CrossEnvironment),
    ("P3 random", Protocol::All, Split::Random),
    ("P3 cross-subject", Protocol::All, Split::CrossSubject),
    ("P3 cross-environment", Protocol::All, Split::CrossEnvironment),
];

/// Which recordings are for testing: `[action][subject]`, both from 1; nothing where the protocol leaves the action out.
pub fn tested(protocol: Protocol, split: Split) -> Vec<Vec<Option<bool>>> {
    let mut table = vec![vec![None; usize::from(SUBJECTS) + 1]; usize::from(ACTIONS) + 1];
    for (number, action) in protocol.actions().into_iter().enumerate() {
        let row = &mut table[usize::from(action)];
        match split {
            Split::Random => {
                // The first four fifths of an order of the subjects learn.
                let order = permutation(number as u32, usize::from(SUBJECTS));
                let learn = usize::from(SUBJECTS) * 4 / 5;
                for (i, subject) in order.into_iter().enumerate() {
                    row[subject + 1] = Some(i >= learn);
                }
            }
            Split::CrossSubject => {
                (1..=SUBJECTS).for_each(|s| row[usize::from(s)] = Some(s % 5 == 0));
            }
            Split::CrossEnvironment => {
                (1..=SUBJECTS).for_each(|s| row[usize::from(s)] = Some(environment(s) == 4));
            }
        }
    }
    table
}

/// The room that a subject was recorded in, 1 to 4.
pub fn environment(subject: u8) -> u8 {
    (subject.max(1) - 1) / SUBJECTS_OF_A_ROOM + 1
}

/// The order in which NumPy's `numpy.random.seed(seed)` and `numpy.random.permutation(n)` put 0 to n-1: the shuffle of Fisher and Yates
/// from the end, each place drawn by masking and rejecting numbers of the Mersenne Twister.
fn permutation(seed: u32, n: usize) -> Vec<usize> {
    let mut random = Twister::new(seed);
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        let mask = u32::MAX >> (i as u32).leading_zeros();
        let place = loop {
            let value = (random.next() & mask) as usize;
            if value <= i {
                break value;
            }
        };
        order.swap(i, place);
    }
    order
}

/// MT19937 (Matsumoto and Nishimura, "Mersenne Twister", 1998, with the initialisation of 2002).
struct Twister {
    state: [u32; 624],
    at: usize,
}

impl Twister {
    fn new(seed: u32) -> Self {
        let mut state = [seed; 624];
        for i in 1..624 {
            let before: u32 = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        Self { state, at: 624 }
    }

    fn next(&mut self) -> u32 {
        if self.at == 624 {
            for k in 0..624 {
                let y = (self.state[k] & 0x8000_0000) | (self.state[(k + 1) % 624] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[k] = self.state[(k + 397) % 624] ^ (y >> 1) ^ odd;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_subjects_is_numpys() {
        // numpy.random.seed(0); numpy.random.permutation(40), and the same with 13.
        let first = [
            22, 20, 25, 4, 10, 15, 28, 11, 18, 29, 27, 35, 37, 2, 39, 30, 34, 16, 36, 8, 13, 5, 17, 14, 33,
            7, 32, 1, 26, 12, 31, 24, 6, 23, 21, 19, 9, 38, 3, 0,
        ];
        assert_eq!(permutation(0, 40), first);
        assert_eq!(permutation(13, 40)[..8], [30, 17, 23, 32, 15, 37, 36, 14]);
    }

    #[test]
    fn every_split_keeps_a_fifth_or_a_quarter_for_testing_and_every_recording_whole() {
        for (name, protocol, split) in ALL {
            let table = tested(protocol, split);
            let actions: Vec<_> = table.iter().filter(|row| row.iter().any(Option::is_some)).collect();
            assert_eq!(actions.len(), protocol.actions().len(), "{name}");
            for row in &actions {
                let test = row.iter().filter(|t| **t == Some(true)).count();
                assert_eq!(test, if split == Split::CrossEnvironment { 10 } else { 8 }, "{name}");
                assert_eq!(row.iter().flatten().count(), 40);
            }
            // Drawn anew for each action, and only there.
            assert_eq!(actions.iter().all(|row| *row == actions[0]), split != Split::Random, "{name}");
        }
        let rehabilitation = [1, 6, 7, 8, 9, 10, 11, 12, 15, 16, 24, 25, 26];
        assert_eq!(Protocol::Rehabilitation.actions(), rehabilitation);
    }
}
