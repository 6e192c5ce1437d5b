//! The people of a site: which observation is whom.

use super::assignment::assign;
use super::config::TrackerConfig;
use super::ids::{IdError, PersonIds};
use super::track::{Observation, Stage, Step, Track};
use crate::pose::{Person, PoseFrame};

/// The people of one site.
///
/// Association goes in stages, as in ByteTrack (Zhang et al., 2022): those who are shown get the sure observations, then the
/// others of them the less sure ones; what is sure and left over goes to tracks that are not believed yet, or begins one. Within a
/// stage the Hungarian method finds the likeliest pairs, by Mahalanobis distance within a gate.
#[derive(Debug)]
pub struct Tracker {
    config: TrackerConfig,
    tracks: Vec<Track>,
    last_ns: Option<i64>,
}

/// Costs more than any pair within the gate.
const NEVER: f64 = 1e6;

impl Tracker {
    /// Nobody there yet.
    pub fn new(config: TrackerConfig) -> Self {
        Self { config, tracks: Vec::new(), last_ns: None }
    }

    /// Ends all tracks: nothing connects what comes now to what was.
    pub fn clear(&mut self) {
        self.tracks.clear();
        self.last_ns = None;
    }

    /// Takes in one window of stream time `time_ns` and gives the people to show, those known longest first.
    ///
    /// `somebody` is what the signal says of presence: `Some(false)` ends every track, for an empty room shows nobody;
    /// only `Some(true)` lets tracks begin. `None`, as long as nothing is known, keeps tracks as they are.
    /// `observations` is `None` when nobody looked at this window: that is no sign of absence.
    ///
    /// # Errors
    /// When there is no id for somebody new; they are not shown, and tried again in the next window.
    pub fn update(
        &mut self,
        time_ns: i64,
        somebody: Option<bool>,
        observations: Option<&[Observation]>,
        ids: &mut PersonIds,
    ) -> Result<Vec<Person>, IdError> {
        let dt = self.last_ns.map_or(0.0, |last| time_ns.saturating_sub(last) as f64 / 1e9);
        if somebody == Some(false) || dt < 0.0 || dt > self.config.lose_s {
            self.tracks.clear();
        }
        self.last_ns = Some(time_ns);
        if somebody == Some(false) {
            return Ok(Vec::new());
        }
        let step = Step::new(dt.max(0.0), &self.config);
        for track in self.tracks.iter_mut().filter(|t| t.stage != Stage::Lost) {
            track.predict(&step);
            if observations.is_some() {
                track.look(time_ns, &self.config);
            }
        }
        let seen = observations.unwrap_or_default();
        let new = self.match_up(seen, time_ns);
        if somebody == Some(true) {
            for o in new {
                if self.tracks.len() < 4 * PoseFrame::MAX_PERSONS {
                    self.tracks.push(Track::new(o, time_ns, &self.config));
                }
            }
        }
        self.end(time_ns);
        self.confirm(time_ns, ids)?;
        let mut people: Vec<Person> =
            self.tracks.iter().filter_map(|t| t.person(time_ns, &self.config)).collect();
        people.sort_by_key(|p| p.id);
        people.truncate(PoseFrame::MAX_PERSONS);
        Ok(people)
    }

    /// Gives observations to tracks; of those that are left over, the sure ones may be somebody new.
    fn match_up<'a>(&mut self, seen: &'a [Observation], time_ns: i64) -> Vec<&'a Observation> {
        let usable = seen.iter().filter(|o| o.usable(self.config.keep_confidence));
        let (mut sure, mut unsure): (Vec<_>, Vec<_>) =
            usable.partition(|o| o.confidence >= self.config.birth_confidence);
        self.pair(Stage::Shown, &mut sure, time_ns);
        self.pair(Stage::Shown, &mut unsure, time_ns);
        self.pair(Stage::Tentative, &mut sure, time_ns);
        let separation = f64::from(self.config.separation_m);
        let near = |o: &Observation| {
            let at = [f64::from(o.root_m[0]), f64::from(o.root_m[1])];
            self.tracks.iter().any(|t| t.stage != Stage::Lost && t.floor_distance(at) < separation)
        };
        sure.retain(|o| !near(o));
        sure
    }

    /// Matches the tracks of a stage that were not seen in this window; takes the matched ones out of `seen`.
    fn pair(&mut self, stage: Stage, seen: &mut Vec<&Observation>, time_ns: i64) {
        let waits = |t: &Track| t.stage == stage && t.seen_ns != time_ns;
        let rows: Vec<usize> = (0..self.tracks.len()).filter(|&t| waits(&self.tracks[t])).collect();
        if rows.is_empty() || seen.is_empty() {
            return;
        }
        let cost: Vec<Vec<f64>> = rows
            .iter()
            .map(|&t| {
                let cost = |o: &&Observation| match self.tracks[t].distance(o) {
                    (d, spread) if d <= self.config.gate => d + spread,
                    _ => NEVER,
                };
                seen.iter().map(cost).collect()
            })
            .collect();
        let mut taken = vec![false; seen.len()];
        for (row, column) in assign(&cost).into_iter().enumerate() {
            if let Some(column) = column
                && cost[row][column] < NEVER
            {
                taken[column] = true;
                self.tracks[rows[row]].take(seen[column], time_ns, &self.config);
            }
        }
        let mut taken = taken.into_iter();
        seen.retain(|_| !taken.next().unwrap_or(false));
    }

    /// Hides those who are missing for too long, and forgets those who will not come back.
    fn end(&mut self, time_ns: i64) {
        let config = &self.config;
        self.tracks.retain_mut(|track| match track.stage {
            Stage::Tentative => track.missing_s(time_ns) <= config.lose_tentative_s,
            Stage::Shown => {
                if track.is_lost(time_ns, config) {
                    track.stage = Stage::Lost;
                }
                true
            }
            Stage::Lost => track.missing_s(time_ns) <= config.reidentify_s,
        });
    }

    /// Shows those who were seen for long enough: under their old identity where they were lost near by, else under a new one.
    fn confirm(&mut self, time_ns: i64, ids: &mut PersonIds) -> Result<(), IdError> {
        for i in 0..self.tracks.len() {
            if self.tracks[i].stage != Stage::Tentative || !self.tracks[i].is_sure(time_ns, &self.config) {
                continue;
            }
            if let Some(lost) = self.same_person(i) {
                let before = self.tracks.swap_remove(lost);
                // The last one has moved to the place that became free.
                let i = if i == self.tracks.len() { lost } else { i };
                self.tracks[i].continue_from(&before);
                self.tracks[i].stage = Stage::Shown;
                return self.confirm(time_ns, ids);
            }
            self.tracks[i].id = Some(ids.fresh()?);
            self.tracks[i].stage = Stage::Shown;
        }
        Ok(())
    }

    /// The lost track whose person can have walked to where track `new` began.
    fn same_person(&self, new: usize) -> Option<usize> {
        let new = &self.tracks[new];
        let reach = |t: &Track| {
            let gap = new.born_ns.saturating_sub(t.seen_ns) as f64 / 1e9;
            (0.0..=self.config.reidentify_s)
                .contains(&gap)
                .then(|| f64::from(self.config.separation_m) + self.config.reidentify_speed * gap)
        };
        (0..self.tracks.len())
            .filter(|&t| self.tracks[t].stage == Stage::Lost)
            .filter_map(|t| {
                let distance = self.tracks[t].floor_distance(new.floor());
                (distance <= reach(&self.tracks[t])?).then_some((t, distance))
            })
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(t, _)| t)
    }
}
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pose::Keypoint;

    const HOP_NS: i64 = 50_000_000;

    fn at(x: f32, y: f32) -> Observation {
        Observation {
            confidence: 0.9,
            position_sigma_m: 0.2,
            root_m: [x, y, 0.95],
            keypoints: [Keypoint { position_m: [x, y, 1.5], confidence: 0.8 }; 17],
            activity: None,
        }
    }

    struct Run {
        tracker: Tracker,
        ids: PersonIds,
        time: i64,
    }

    impl Run {
        fn new() -> Self {
            Self { tracker: Tracker::new(TrackerConfig::default()), ids: PersonIds::in_memory(), time: 0 }
        }

        fn step(&mut self, somebody: Option<bool>, seen: &[Observation]) -> Vec<Person> {
            self.time += HOP_NS;
            self.tracker.update(self.time, somebody, Some(seen), &mut self.ids).unwrap()
        }
    }

    #[test]
    fn a_person_is_confirmed_and_keeps_the_id() {
        let mut run = Run::new();
        assert!(run.step(Some(true), &[at(1.0, 1.0)]).is_empty(), "shown at first sight");
        let mut last = Vec::new();
        for k in 0..200 {
            last = run.step(Some(true), &[at(1.0 + 0.05 * k as f32, 1.0)]);
        }
        assert_eq!(last.iter().map(|p| p.id).collect::<Vec<_>>(), [1]);
        assert!((last[0].velocity_m_s[0] - 1.0).abs() < 0.2, "{:?}", last[0].velocity_m_s);
        assert!((last[0].keypoints[3].position_m[2] - 1.5).abs() < 1e-3);
    }

    #[test]
    fn two_people_who_cross_keep_their_ids() {
        let mut run = Run::new();
        let mut seen = Vec::new();
        for k in 0..120 {
            let s = 0.05 * k as f32;
            // Whoever comes first in the list changes from window to window.
            let mut both = vec![at(s, 1.0 + 0.1 * s), at(6.0 - s, 1.9)];
            if k % 2 == 0 {
                both.reverse();
            }
            seen = run.step(Some(true), &both);
        }
        let places: Vec<(u64, bool)> = seen.iter().map(|p| (p.id, p.position_m[0] > 3.0)).collect();
        assert_eq!(places.len(), 2);
        // The first id went to one of them; it must still be that one: compare with the start.
        let mut again = Run::new();
        let mut early = Vec::new();
        for k in 0..20 {
            let s = 0.05 * k as f32;
            let mut both = vec![at(s, 1.0 + 0.1 * s), at(6.0 - s, 1.9)];
            if k % 2 == 0 {
                both.reverse();
            }
            early = again.step(Some(true), &both);
        }
        for (id, right) in places {
            let started_right = early.iter().find(|p| p.id == id).unwrap().position_m[0] > 3.0;
            assert_ne!(started_right, right, "person {id} turned round");
        }
    }

    #[test]
    fn an_empty_room_shows_nobody_whatever_the_network_says() {
        let mut run = Run::new();
        for k in 0..1000 {
            assert!(run.step(Some(false), &[at(1.0, 1.0)]).is_empty(), "window {k}");
        }
        for k in 0..1000 {
            assert!(run.step(None, &[at(1.0, 1.0)]).is_empty(), "window {k}");
        }
    }

    #[test]
    fn absence_ends_tracks_and_a_return_is_somebody_new() {
        let mut run = Run::new();
        for _ in 0..20 {
            run.step(Some(true), &[at(1.0, 1.0)]);
        }
        assert!(run.step(Some(false), &[at(1.0, 1.0)]).is_empty());
        let mut back = Vec::new();
        for _ in 0..20 {
            back = run.step(Some(true), &[at(1.0, 1.0)]);
        }
        assert_eq!(back[0].id, 2);
    }

    #[test]
    fn a_short_gap_is_bridged_and_a_long_one_is_not() {
        let mut run = Run::new();
        for _ in 0..100 {
            run.step(Some(true), &[at(1.0, 1.0)]);
        }
        let mut shown = Vec::new();
        for _ in 0..10 {
            shown = run.step(Some(true), &[]);
        }
        assert_eq!(shown[0].id, 1);
        assert!(shown[0].confidence < 0.7, "trust does not fade");
        for _ in 0..30 {
            shown = run.step(Some(true), &[]);
        }
        assert!(shown.is_empty());
    }

    #[test]
    fn whoever_is_more_likely_gone_than_there_is_not_shown() {
        for (low, high, stays) in [(0.35, 0.9, true), (0.35, 0.35, false)] {
            let mut run = Run::new();
            let mut shown = 0;
            for k in 0..100 {
                let confidence = match k {
                    0..20 => 0.9,
                    _ if k % 2 == 0 => high,
                    _ => low,
                };
                shown = run.step(Some(true), &[Observation { confidence, ..at(1.0, 1.0) }]).len();
            }
            assert_eq!(shown == 1, stays, "{low} and {high} in turn");
        }
    }

    #[test]
    fn whoever_is_looked_at_seldom_is_believed_later() {
        let mut run = Run::new();
        let mut shown_at = None;
        for k in 0..60i64 {
            run.time += HOP_NS;
            // Under load one window in four is looked at.
            let seen = (k % 4 == 0).then(|| [at(1.0, 1.0)]);
            let seen = seen.as_ref().map(|s| &s[..]);
            let people = run.tracker.update(run.time, Some(true), seen, &mut run.ids).unwrap();
            if !people.is_empty() && shown_at.is_none() {
                shown_at = Some(k);
            }
        }
        // Six looks are a second; half a second of them would be three.
        assert_eq!(shown_at, Some(20));
    }

    #[test]
    fn who_comes_back_where_they_can_have_walked_to_is_the_same() {
        for (x, id) in [(2.5, 1), (5.5, 2)] {
            let mut run = Run::new();
            for _ in 0..100 {
                run.step(Some(true), &[at(1.0, 1.0)]);
            }
            // Longer than they are shown, shorter than they are remembered.
            let gone: Vec<_> = (0..50).map(|_| run.step(Some(true), &[]).len()).collect();
            assert_eq!(gone.last(), Some(&0));
            let back = (0..20).map(|_| run.step(Some(true), &[at(x, 1.0)])).last().unwrap();
            assert_eq!(back.iter().map(|p| p.id).collect::<Vec<_>>(), [id], "{x} m");
        }
    }

    #[test]
    fn a_flicker_shows_nobody_and_uses_no_id() {
        let mut run = Run::new();
        for k in 0..100 {
            let seen = if k % 10 == 0 { vec![at(1.0, 1.0)] } else { vec![] };
            assert!(run.step(Some(true), &seen).is_empty());
        }
        assert_eq!(run.ids.fresh().unwrap(), 1);
    }

    #[test]
    fn values_that_are_no_numbers_are_ignored() {
        let mut run = Run::new();
        for _ in 0..50 {
            assert!(run.step(Some(true), &[at(f32::NAN, 1.0), at(f32::INFINITY, 0.0)]).is_empty());
        }
    }
}
