//! Which sites there are, and which sources belong to each.

use anyhow::{Context, bail};
use invispose_models::data;
use invispose_models::predictor::Weights;
use invispose_models::sim::Radios;
use invispose_pipeline::site::SiteConfig;
use invispose_pipeline::sources::{self, SourceSpec, SpecKind};

use crate::config::{Config, check_site_id};

/// A site and the sources that belong to it.
#[derive(Debug)]
pub struct Place {
    /// The site.
    pub site: SiteConfig,
    /// Its sources; none where a configured site has none yet.
    pub sources: Vec<SourceSpec>,
    /// What is simulated, where the site is just a room that shipped weights were evaluated in.
    pub evaluated: Option<Evaluated>,
    /// That evaluation beats the mean pose with so many people.
    pub earned: bool,
}

/// A simulation of a room such as shipped weights were evaluated in.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// Which kind of room.
    pub place: data::Place,
    /// People in it.
    pub people: usize,
    /// Radios other than its own.
    pub radios: Radios,
}

impl Place {
    fn new(site: SiteConfig) -> Self {
        Self { site, sources: Vec::new(), evaluated: None, earned: false }
    }

    /// Is anything here simulated?
    pub fn simulated(&self) -> bool {
        self.sources.iter().any(simulated)
    }

    /// Do all packets come from radios, now?
    pub fn live(&self) -> bool {
        self.sources.iter().all(|s| matches!(s.kind, SpecKind::Udp(_) | SpecKind::Nexmon(_)))
    }
}

fn simulated(spec: &SourceSpec) -> bool {
    matches!(spec.kind, SpecKind::Sim(_))
}

/// The configured sites in their order, then those that sources bring. Without a configured site there is `demo` for the
/// simulator, whose room is known, and `default` for everything else, unless a source names another.
pub fn places(config: &Config, more: &[SourceSpec], experimental_poses: bool) -> anyhow::Result<Vec<Place>> {
    let mut specs = Vec::new();
    for section in &config.sources {
        let mut spec: SourceSpec = section.uri.parse()?;
        if section.site.is_some() {
            spec.site.clone_from(&section.site);
        }
        specs.push(spec);
    }
    specs.extend(more.iter().cloned());
    if specs.is_empty() {
        bail!(
            "there is no source of packets: name one with --source (udp://0.0.0.0:5005, file:capture.pcap, …) or in the \
             configuration file; `invispose demo` shows simulated people"
        );
    }

    let mut places: Vec<Place> = config.sites.iter().cloned().map(Place::new).collect();
    for spec in specs {
        let id = match (&spec.site, config.sites.as_slice()) {
            (Some(id), _) => id.clone(),
            (None, [only]) => only.id.clone(),
            (None, []) => default_site(&spec).to_owned(),
            (None, _) => bail!("source {}: say which site it belongs to, with site=ID", spec.uri),
        };
        let at = match places.iter().position(|p| p.site.id == id) {
            Some(at) => at,
            None if config.sites.is_empty() => {
                places.push(Place::new(site_of(&spec, &id)?));
                places.len() - 1
            }
            None => {
                let known: Vec<_> = config.sites.iter().map(|s| s.id.as_str()).collect();
                bail!("source {}: there is no site {id:?}; configured: {}", spec.uri, known.join(", "));
            }
        };
        if let Some(place) = places.get_mut(at) {
            place.sources.push(spec);
        }
    }
    for place in &mut places {
        if place.simulated() && !place.sources.iter().all(simulated) {
            bail!(
                "site {}: simulated and real packets in one site could not be told apart; give one of them another site, \
                 with site=ID",
                place.site.id
            );
        }
        place.site.experimental_poses |= experimental_poses;
        place.evaluated = evaluated(place)?;
    }
    Ok(places)
}

/// The site of a source that names none, where none is configured.
pub fn default_site(spec: &SourceSpec) -> &'static str {
    if simulated(spec) { "demo" } else { "default" }
}

/// A site that nobody described: what its source knows of it.
pub fn site_of(spec: &SourceSpec, id: &str) -> anyhow::Result<SiteConfig> {
    check_site_id(id).with_context(|| format!("source {}", spec.uri))?;
    match &spec.kind {
        SpecKind::Sim(sim) => Ok(sources::sim::site(sim, id)?),
        _ => Ok(SiteConfig {
            id: id.to_owned(),
            name: String::new(),
            // Nothing is known of the room, and nothing but presence comes out of it.
            room_m: [0.0; 3],
            links: Vec::new(),
            zones: Vec::new(),
            experimental_poses: false,
            max_occupancy: None,
        }),
    }
}

/// The models' evaluations speak for one simulator with its ordinary faults, in a room of its own.
fn evaluated(place: &Place) -> anyhow::Result<Option<Evaluated>> {
    let [SourceSpec { kind: SpecKind::Sim(sim), .. }] = place.sources.as_slice() else { return Ok(None) };
    let room = sources::sim::site(sim, &place.site.id)?;
    let same = sim.faults.is_none() && room.room_m == place.site.room_m && room.links == place.site.links;
    let known = same && Weights::of(sim.place(), &sim.radios).is_some();
    Ok(known.then(|| Evaluated { place: sim.place(), people: sim.people, radios: sim.radios.clone() }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config(sites: &[&str]) -> Config {
        let file: SourceSpec = "file:x".parse().unwrap();
        Config { sites: sites.iter().map(|id| site_of(&file, id).unwrap()).collect(), ..Config::default() }
    }

    fn sort(sites: &[&str], uris: &[&str]) -> anyhow::Result<Vec<(String, usize)>> {
        let specs: Vec<SourceSpec> = uris.iter().map(|uri| uri.parse().unwrap()).collect();
        let places = places(&config(sites), &specs, false)?;
        Ok(places.into_iter().map(|p| (p.site.id, p.sources.len())).collect())
    }

    #[test]
    fn sites_keep_the_order_of_the_configuration() {
        let sorted = sort(&["z", "a", "m"], &["file:1?site=m", "udp://127.0.0.1:1?site=z", "file:2?site=m"]);
        assert_eq!(sorted.unwrap(), [("z".into(), 1), ("a".into(), 0), ("m".into(), 2)]);
        let sorted = sort(&[], &["file:1?site=z", "sim:empty", "file:2?site=a", "file:3", "file:4?site=z"]);
        assert_eq!(
            sorted.unwrap(),
            [("z".into(), 2), ("demo".into(), 1), ("a".into(), 1), ("default".into(), 1)]
        );
        assert_eq!(sort(&["lab"], &["file:1"]).unwrap(), [("lab".into(), 1)]);
    }

    #[test]
    fn what_belongs_nowhere_is_refused() {
        for (sites, uris, words) in [
            (
                &["lab", "hall"][..],
                &["file:1?site=labb"][..],
                &["file:1?site=labb", "\"labb\"", "lab, hall"][..],
            ),
            (&["lab", "hall"], &["file:1"], &["file:1", "site=ID"]),
            (&["lab"], &["sim:demo", "udp://127.0.0.1:1"], &["site lab", "simulated and real"]),
            (&[], &["file:1?site=a/b"], &["a/b"]),
            (&["lab"], &[], &["no source"]),
        ] {
            let message = format!("{:#}", sort(sites, uris).unwrap_err());
            assert!(words.iter().all(|w| message.contains(w)), "{message}");
        }
    }

    #[test]
    fn an_evaluation_speaks_for_its_own_room_only() {
        let evaluated = |sites: &[&str], uris: &[&str]| -> Vec<Option<Evaluated>> {
            let specs: Vec<SourceSpec> = uris.iter().map(|uri| uri.parse().unwrap()).collect();
            let places = places(&config(sites), &specs, true).unwrap();
            places.into_iter().map(|p| p.evaluated).collect()
        };
        let room = |place, people, radios| Some(Evaluated { place, people, radios });
        let own = |people| room(data::Place::Demo, people, Radios::OWN);
        let sims = ["sim:demo?people=2&site=a", "sim:demo?site=b", "sim:demo?faults=none&site=c"];
        assert_eq!(evaluated(&[], &sims), [own(2), own(1), None]);
        let radios = ["sim:demo?receivers=5&bandwidth_mhz=160&site=a", "sim:demo?receivers=5&site=b"];
        assert_eq!(evaluated(&[], &radios), [room(data::Place::Demo, 1, Radios::WIDE), None]);
        let random = ["sim:random?room=2&site=a", "sim:random?receivers=5&bandwidth_mhz=160&people=2&site=b"];
        let random_room = |people, radios| room(data::Place::Random, people, radios);
        assert_eq!(evaluated(&[], &random), [random_room(1, Radios::OWN), random_room(2, Radios::WIDE)]);
        assert_eq!(evaluated(&[], &["sim:demo", "sim:demo?seed=2"]), [None]);
        assert_eq!(evaluated(&[], &["udp://127.0.0.1:1"]), [None]);
        assert_eq!(evaluated(&["lab"], &["sim:demo"]), [None], "a room of another shape");
    }
}
