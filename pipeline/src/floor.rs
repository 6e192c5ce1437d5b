//! The zones of a site as they are at present: tracking looks at them with every frame, operators change them meanwhile.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::files;
use crate::site::ZoneConfig;
use crate::understanding::{Clock, UnknownTimeZone};

/// Largest file of zone numbers, bytes: all numbers with ids of 64 letters.
const MAX_FILE: u64 = 8 << 20;

/// Why zones cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// A schedule names a time zone that there is not.
    #[error("zone {zone:?}: {source}")]
    TimeZone {
        /// The zone.
        zone: String,
        /// Its time zone.
        source: UnknownTimeZone,
    },
    /// Two zones have one identifier.
    #[error("two zones are called {0:?}")]
    SameId(String),
    /// Every number that a frame can carry was given.
    #[error("this site has had {} zones: frames can name no more", usize::from(u16::MAX))]
    Full,
    /// The file of zone numbers cannot be used.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said, or that it holds no list of ids.
        source: io::Error,
    },
}

/// A zone in force, and the number under which frames name it.
#[derive(Clone, Debug)]
pub struct Zone {
    /// [`Person::zone`](crate::Person::zone) of those who are in it.
    pub number: u16,
    /// What it is.
    pub config: ZoneConfig,
    /// When nobody may be there.
    pub(crate) restricted: Vec<Clock>,
}

/// The zones of one site at one moment.
#[derive(Debug, Default)]
pub struct Floor {
    /// Every id that ever had a number, by number.
    ids: Vec<Arc<str>>,
    zones: Vec<Zone>,
}

impl Floor {
    /// Zones in force, in the order in which they are looked at: a person's zone is the first one that they are in.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// The zone in force of this number.
    pub fn zone(&self, number: u16) -> Option<&ZoneConfig> {
        self.zones.iter().find(|z| z.number == number).map(|z| &z.config)
    }

    /// The number of the zone in force of this id.
    pub fn number(&self, id: &str) -> Option<u16> {
        self.zones.iter().find(|z| z.config.id == id).map(|z| z.number)
    }

    /// The number that this id ever had.
    pub fn number_of(&self, id: &str) -> Option<u16> {
        self.ids.iter().position(|i| **i == *id).and_then(|i| u16::try_from(i).ok())
    }

    /// What this number means, also for a zone that is no more.
    pub fn id(&self, number: u16) -> Option<&Arc<str>> {
        self.ids.get(usize::from(number))
    }

    fn with(&self, zones: Vec<ZoneConfig>) -> Result<Self, FloorError> {
        let mut ids = self.ids.clone();
        let mut numbered: Vec<Zone> = Vec::with_capacity(zones.len());
        for config in zones {
            if numbered.iter().any(|z| z.config.id == config.id) {
                return Err(FloorError::SameId(config.id));
            }
            let place = ids.iter().position(|id| **id == *config.id).unwrap_or_else(|| {
                ids.push(config.id.as_str().into());
                ids.len() - 1
            });
            let number = u16::try_from(place).ok().filter(|n| *n < u16::MAX).ok_or(FloorError::Full)?;
            let clock =
                |s| Clock::new(s).map_err(|e| FloorError::TimeZone { zone: config.id.clone(), source: e });
            let restricted = config.restricted.iter().map(clock).collect::<Result<_, _>>()?;
            numbered.push(Zone { number, config, restricted });
        }
        Ok(Self { ids, zones: numbered })
    }
}

/// The zones of one site, shared by those who look at them and those who change them. Cheap to clone.
///
/// A number is never given to a second zone in the life of a data directory, so that frames of the past keep their meaning.
#[derive(Clone, Debug, Default)]
pub struct FloorPlan {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    floor: RwLock<Arc<Floor>>,
    /// One change at a time. Looking never waits for the disk.
    changing: Mutex<()>,
    file: Option<PathBuf>,
}

impl FloorPlan {
    /// Zones whose numbers are kept nowhere: they count up from 0 in this order.
    ///
    /// # Errors
    /// When the zones cannot be used.
    pub fn new(zones: &[ZoneConfig]) -> Result<Self, FloorError> {
        let floor = Floor::default().with(zones.to_vec())?;
        Ok(Self { inner: Arc::new(Inner { floor: RwLock::new(Arc::new(floor)), ..Inner::default() }) })
    }

    /// Zones with the numbers that they have had under this file, which holds the ids by number as a JSON list.
    ///
    /// # Errors
    /// When the zones cannot be used, or the file holds anything else.
    pub fn open(path: impl Into<PathBuf>, zones: &[ZoneConfig]) -> Result<Self, FloorError> {
        let path = path.into();
        let ids = read(&path).map_err(|source| FloorError::File { path: path.clone(), source })?;
        let floor = RwLock::new(Arc::new(Floor { ids, zones: Vec::new() }));
        let plan = Self { inner: Arc::new(Inner { floor, changing: Mutex::default(), file: Some(path) }) };
        plan.set(zones.to_vec())?;
        Ok(plan)
    }

    /// The zones at this moment.
    pub fn now(&self) -> Arc<Floor> {
        self.inner.floor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts these zones in force. Those that are not among them are no more.
    ///
    /// # Errors
    /// When they cannot be used, or new numbers cannot be written; the zones in force stay then.
    pub fn set(&self, zones: Vec<ZoneConfig>) -> Result<(), FloorError> {
        let _changing = self.inner.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.now();
        if old.zones.iter().map(|z| &z.config).eq(&zones) {
            return Ok(());
        }
        let new = old.with(zones)?;
        if let Some(path) = self.inner.file.as_ref().filter(|_| new.ids.len() > old.ids.len()) {
            // Before any frame carries them.
            let text = serde_json::to_vec(&new.ids).map_err(io::Error::from);
            let written = text.and_then(|text| files::replace(path, &text));
            written.map_err(|source| FloorError::File { path: path.clone(), source })?;
        }
        *self.inner.floor.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Vec<Arc<str>>> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text)) {
        Ok(_) => Ok(serde_json::from_str(&text)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn zone(id: &str) -> ZoneConfig {
        ZoneConfig {
            id: id.into(),
            polygon_m: vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
            ..ZoneConfig::default()
        }
    }

    #[test]
    fn a_number_means_one_zone_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lab.zones");
        let plan = FloorPlan::open(&path, &[zone("a"), zone("b")]).unwrap();
        plan.set(vec![zone("c"), zone("b")]).unwrap();
        let floor = plan.now();
        assert_eq!((floor.number("a"), floor.number("b"), floor.number("c")), (None, Some(1), Some(2)));
        assert_eq!(floor.id(0).map(|id| &**id), Some("a"));
        assert!(floor.zone(0).is_none());
        drop(plan);

        let again = FloorPlan::open(&path, &[zone("d"), zone("a")]).unwrap().now();
        assert_eq!((again.number("a"), again.number("d")), (Some(0), Some(3)));
        assert!(FloorPlan::new(&[zone("a"), zone("a")]).is_err());
        std::fs::write(&path, "{}").unwrap();
        assert!(FloorPlan::open(&path, &[]).unwrap_err().to_string().contains("lab.zones"));
    }

    #[test]
    fn zones_that_cannot_be_used_change_nothing() {
        let plan = FloorPlan::new(&[zone("a")]).unwrap();
        let mut bad = zone("b");
        bad.restricted = vec![
            serde_json::from_str(r#"{"from": "22:00", "to": "06:00", "time_zone": "Europe/Atlantis"}"#)
                .unwrap(),
        ];
        assert!(plan.set(vec![bad]).unwrap_err().to_string().contains("Atlantis"));
        assert_eq!(plan.now().number("a"), Some(0));
    }
}
