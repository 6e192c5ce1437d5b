//! A site as the protocols see it: its description, its ring, and the wake-up at each new frame.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use invispose_pipeline::PoseFrame;
use invispose_pipeline::floor::{Floor, FloorPlan};
use invispose_pipeline::ring::RingReader;
use invispose_pipeline::site::{SiteConfig, ZoneConfig};
use tokio::sync::watch;

use crate::telemetry::{Deliveries, Told};

/// Frames whose publication times are kept: 12 s at 20 frames/s.
const REMEMBERED: usize = 256;
/// Frames that are kept as they were decoded.
const DECODED: usize = 512;

/// One site: cheap to clone.
#[derive(Clone, Debug)]
pub struct Site {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: SiteConfig,
    /// Zones of the configuration, which may be read again.
    zones: RwLock<Vec<ZoneConfig>>,
    plan: FloorPlan,
    ring: RingReader,
    head: watch::Receiver<u64>,
    published: Arc<Mutex<VecDeque<Published>>>,
    newest: Mutex<Option<Arc<PoseFrame>>>,
    decoded: Box<[Mutex<Option<Arc<PoseFrame>>>]>,
    deliveries: Told,
}

/// When a frame was published, by this process's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    id: u64,
    at: Instant,
    pub(crate) wall: SystemTime,
}

impl Published {
    fn now(id: u64) -> Self {
        Self { id, at: Instant::now(), wall: SystemTime::now() }
    }

    /// Time since then.
    pub(crate) fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

/// Tells a [`Site`]'s readers of new frames. The composition root calls it from the ring writer's hook; it never
/// blocks. Subscriptions end when it is dropped.
#[derive(Debug)]
pub struct Wake {
    head: watch::Sender<u64>,
    published: Arc<Mutex<VecDeque<Published>>>,
}

impl Wake {
    /// The frame with this id is in the ring.
    pub fn published(&self, id: u64) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if published.len() == REMEMBERED {
            published.pop_front();
        }
        published.push_back(Published::now(id));
        drop(published);
        self.head.send_replace(id);
    }
}

impl Site {
    /// A site with the zones in force and what wakes its readers. Frames that the ring already holds are history: until the first
    /// [`Wake::published`] nothing counts as current.
    pub fn new(config: SiteConfig, plan: FloorPlan, ring: RingReader) -> (Self, Wake) {
        let (sender, head) = watch::channel(0);
        let published = Arc::<Mutex<VecDeque<Published>>>::default();
        let decoded = (0..DECODED).map(|_| Mutex::default()).collect();
        let inner = Inner {
            zones: RwLock::new(config.zones.clone()),
            config,
            plan,
            ring,
            head,
            published: published.clone(),
            newest: Mutex::default(),
            decoded,
            deliveries: Told::new(),
        };
        (Self { inner: Arc::new(inner) }, Wake { head: sender, published })
    }

    /// What the configuration says about the site. Its zones in force are on the [`Site::floor`].
    pub fn config(&self) -> &SiteConfig {
        &self.inner.config
    }

    /// Is it this one?
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// A frame that the ring has, decoded once for those who ask in short order.
    pub(crate) fn frame(&self, id: u64) -> Option<Arc<PoseFrame>> {
        let slot = self.inner.decoded.get(id as usize % DECODED)?;
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_none_or(|f| f.frame_id != id) {
            *slot = Some(Arc::new(self.inner.ring.read(id).ok()?));
        }
        slot.clone()
    }

    /// The zones of the configuration. Those in force are on the [`Site::floor`].
    pub(crate) fn configured_zones(&self) -> Vec<ZoneConfig> {
        self.inner.zones.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn configure_zones(&self, zones: Vec<ZoneConfig>) {
        *self.inner.zones.write().unwrap_or_else(PoisonError::into_inner) = zones;
    }

    /// From now on somebody is told of each delivery.
    pub(crate) fn tell_deliveries(&self, to: Deliveries) {
        let _ = self.inner.deliveries.set(to);
    }

    /// A subscriber was given the frame.
    pub(crate) fn delivered(&self, frame_id: u64) {
        if let Some(deliveries) = self.inner.deliveries.get()
            && let Some(published) = self.publication(frame_id)
        {
            deliveries.tell(&self.inner.config.id, frame_id, published.wall);
        }
    }

    /// Its frames.
    pub fn ring(&self) -> &RingReader {
        &self.inner.ring
    }

    /// The newest frame's id, changing with every publication.
    pub(crate) fn head(&self) -> watch::Receiver<u64> {
        self.inner.head.clone()
    }

    /// The newest frame, decoded once however many ask for it.
    pub fn latest(&self) -> Option<Arc<PoseFrame>> {
        let mut newest = self.inner.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let head = self.inner.ring.head();
        if newest.as_ref().is_none_or(|f| f.frame_id != head) {
            *newest = self.inner.ring.latest().map(Arc::new);
        }
        newest.clone()
    }

    /// When this process published the frame; `None` for frames of an earlier run and for old ones.
    pub(crate) fn publication(&self, id: u64) -> Option<Published> {
        let published = self.inner.published.lock().unwrap_or_else(PoisonError::into_inner);
        if published.back().is_some_and(|newest| newest.id < id) {
            // In the ring already, and told of in a moment.
            return Some(Published::now(id));
        }
        published.binary_search_by_key(&id, |p| p.id).ok().and_then(|at| published.get(at)).copied()
    }

    /// Time since this process published the frame.
    pub fn age(&self, id: u64) -> Option<Duration> {
        self.publication(id).map(|p| p.age())
    }

    /// Time since the last publication.
    pub fn idle(&self) -> Option<Duration> {
        let published = self.inner.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.back().map(|p| p.at.elapsed())
    }

    /// Ids of the frames published within the last `span`, and the rate in frames per second that they make.
    /// The rate is `None` until two frames were seen in that time.
    pub fn recent(&self, span: Duration) -> (Vec<u64>, Option<f64>) {
        let published = self.inner.published.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let recent: Vec<&Published> = published.iter().filter(|p| now.duration_since(p.at) <= span).collect();
        let rate = match (recent.first(), recent.last()) {
            (Some(first), Some(last)) if recent.len() > 1 => {
                let seconds = last.at.duration_since(first.at).as_secs_f64();
                (seconds > 0.0).then(|| (recent.len() - 1) as f64 / seconds)
            }
            _ => None,
        };
        (recent.iter().map(|p| p.id).collect(), rate)
    }

    /// The zones in force at this moment.
    pub fn floor(&self) -> Arc<Floor> {
        self.inner.plan.now()
    }

    /// Where zones are put in force.
    pub(crate) fn plan(&self) -> &FloorPlan {
        &self.inner.plan
    }
}
