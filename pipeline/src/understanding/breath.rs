//! Whose breath it is: rates are heard on links, people sit in places.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::csi::LinkId;
use crate::pose::{Breathing, Person};
use crate::site::LinkConfig;

/// The rules by which a link's breath is somebody's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreathRules {
    /// Somebody must have kept still for so long, seconds: as long as an estimate looks back.
    pub still_s: f64,
    /// Who is farther from where they were than this, metres, has moved: about twice the error of a position.
    pub still_m: f32,
    /// The way from transmitter to receiver over the person may be longer than the straight one by so many metres at most: twelve half waves
    /// at 5 GHz, and as many Fresnel zones.
    pub detour_m: f32,
    /// Everybody else must reflect so much less into the link: ratio of the amplitudes.
    pub alone: f32,
}

impl Default for BreathRules {
    fn default() -> Self {
        Self { still_s: 30.0, still_m: 0.5, detour_m: 0.35, alone: 2.0 }
    }
}

/// The chest's height above the hips of somebody who sits or stands, metres.
const CHEST_M: f32 = 0.3;

/// The people of one site who keep still.
#[derive(Debug)]
pub struct BreathWatch {
    rules: BreathRules,
    links: Vec<LinkConfig>,
    still: HashMap<u64, Still>,
}

#[derive(Debug)]
struct Still {
    at_m: [f32; 3],
    since_ns: i64,
}

impl BreathWatch {
    /// Nobody yet; links that are not among `links` stand nowhere.
    pub fn new(links: Vec<LinkConfig>, rules: BreathRules) -> Self {
        Self { rules, links, still: HashMap::new() }
    }

    /// Says of those who keep still how they breathe, where a link on which a breath is heard hears them alone.
    pub fn frame(&mut self, time_ns: i64, persons: &mut [Person], breaths: &[(LinkId, Breathing)]) {
        self.still.retain(|id, _| persons.iter().any(|p| p.id == *id));
        for person in persons.iter() {
            let at_m = person.position_m;
            let still = self.still.entry(person.id).or_insert(Still { at_m, since_ns: time_ns });
            if length(&difference(at_m, still.at_m)) > self.rules.still_m {
                *still = Still { at_m, since_ns: time_ns };
            }
        }
        for (link, breathing) in breaths {
            let Some(place) = self.links.iter().find(|l| l.id == link.as_str()) else { continue };
            let Some(whose) = self.alone(place, persons) else { continue };
            let Some(person) = persons.get_mut(whose) else { continue };
            let since = self.still.get(&person.id).map_or(time_ns, |s| s.since_ns);
            let long = time_ns.saturating_sub(since) as f64 >= self.rules.still_s * 1e9;
            let better = person.breathing.is_none_or(|known| known.quality < breathing.quality);
            if long && better {
                person.breathing = Some(*breathing);
            }
        }
    }

    /// The one person whom the link hears, by their place in the list.
    fn alone(&self, link: &LinkConfig, persons: &[Person]) -> Option<usize> {
        let [tx, rx] = [link.transmitter_m, link.receiver_m];
        let chest = |p: &Person| [p.position_m[0], p.position_m[1], p.position_m[2] + CHEST_M];
        let ways = |p: &Person| [tx, rx].map(|end| length(&difference(chest(p), end)).max(0.2));
        // A small scatterer's echo falls with both distances (the bistatic radar equation).
        let echo = |p: &Person| 1.0 / ways(p).iter().product::<f32>();
        let loudest = (0..persons.len()).max_by(|&a, &b| echo(&persons[a]).total_cmp(&echo(&persons[b])))?;
        let detour = ways(&persons[loudest]).iter().sum::<f32>() - length(&difference(tx, rx));
        let others = persons.iter().enumerate().filter(|(at, _)| *at != loudest);
        let alone = others.into_iter().all(|(_, p)| echo(&persons[loudest]) >= self.rules.alone * echo(p));
        (alone && detour <= self.rules.detour_m).then_some(loudest)
    }
}

fn difference(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    std::array::from_fn(|i| a[i] - b[i])
}

fn length(v: &[f32; 3]) -> f32 {
    v.iter().map(|x| x * x).sum::<f32>().sqrt()
}
