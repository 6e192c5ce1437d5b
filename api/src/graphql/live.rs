//! What is live besides whole frames: one person, how many are where, the links, the signal, the system.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use futures_util::stream::{self, Stream};
use invispose_pipeline::radio::{Glance, LinkGlance};

use super::scalars::Count;
use super::select;
use super::system::System;
use super::types::Person;
use crate::feed::Feed;
use crate::query::{Field, Filter, QueryError};
use crate::view::{FrameView, decimal};
use crate::{ApiState, Time};

/// A person in a frame.
#[derive(SimpleObject)]
struct PersonUpdate {
    /// The frame.
    frame_id: ID,
    /// End of its window.
    time: Time,
    /// Null once, when they are seen no more.
    person: Option<Person>,
}

/// How many people are where.
#[derive(SimpleObject)]
struct Occupancy {
    /// The site.
    site_id: ID,
    /// Of the frame that shows it first.
    time: Time,
    /// At the whole site.
    person_count: Count,
    /// In each zone in force.
    zones: Vec<ZoneOccupancy>,
}

/// How many people are in a zone.
#[derive(SimpleObject)]
struct ZoneOccupancy {
    /// The zone.
    zone_id: ID,
    /// How many.
    person_count: Count,
}

impl Occupancy {
    fn of(frame: &FrameView) -> Self {
        let mut counts: Vec<(String, u64)> =
            frame.site().floor().zones().iter().map(|z| (z.config.id.clone(), 0)).collect();
        for person in frame.persons() {
            let zone = person.zone().map(|z| z.id.clone());
            if let Some((_, n)) = counts.iter_mut().find(|(id, _)| Some(id) == zone.as_ref()) {
                *n += 1;
            }
        }
        let zones = counts.into_iter();
        Self {
            site_id: frame.site().config().id.clone().into(),
            time: frame.time(),
            person_count: Count(frame.person_count() as u64),
            zones: zones
                .map(|(id, n)| ZoneOccupancy { zone_id: id.into(), person_count: Count(n) })
                .collect(),
        }
    }

    fn figures(&self) -> Vec<(String, u64)> {
        let zones = self.zones.iter().map(|z| (z.zone_id.0.clone(), z.person_count.0));
        [(String::new(), self.person_count.0)].into_iter().chain(zones).collect()
    }
}

/// How well a link is heard, over the newest window.
#[derive(SimpleObject)]
struct LinkQuality {
    /// The link's name as its source gives it.
    link_id: ID,
    /// End of the window.
    time: Time,
    /// Transmit chains, receive antennas and subcarriers of its packets.
    layout: Vec<i32>,
    /// On the window's grid.
    packets_per_second: f64,
    /// Share of the grid's steps with a packet, 0..1.
    received: f64,
    /// Mean received power, dBm, where packets say it.
    rssi_dbm: Option<f64>,
    /// Centre frequency, MHz, where packets say it.
    center_mhz: Option<f64>,
    /// Bandwidth, MHz, where packets say it.
    bandwidth_mhz: Option<i32>,
}

impl LinkQuality {
    fn all(glance: &Glance) -> Vec<Self> {
        let one = |l: &LinkGlance| Self {
            link_id: l.link.as_str().into(),
            time: Time::from_ns(glance.time_ns),
            layout: [l.layout.tx, l.layout.rx, l.layout.subcarriers].map(i32::from).into(),
            packets_per_second: (l.packets_per_s * 100.0).round() / 100.0,
            received: (l.received * 1e4).round() / 1e4,
            rssi_dbm: l.rssi_dbm.map(decimal),
            center_mhz: l.center_mhz.map(decimal),
            bandwidth_mhz: l.bandwidth_mhz.map(i32::from),
        };
        glance.links.iter().map(one).collect()
    }
}

/// A link's signal in the newest window, thinned out for a plot.
#[derive(SimpleObject)]
struct LinkSignal {
    /// The link's name as its source gives it.
    link_id: ID,
    /// End of the window.
    time: Time,
    /// Of the newest packet over its subcarriers, first antenna pair, in the receiver's units; at most 64 values.
    amplitude: Vec<f64>,
    /// Power over Doppler frequency from −`dopplerSpanHz`/2 upward, at most 64 values; empty where a GPU keeps it.
    doppler: Vec<f64>,
    /// Width of the Doppler spectrum, hertz.
    doppler_span_hz: f64,
    /// Power over delay of the newest packet, mean over antenna pairs; null where packets do not say which subcarriers they hold.
    delay: Option<DelayCurve>,
}

/// By how much longer ways than the strongest one a signal came. The delay itself is not known: clocks are not synchronised.
#[derive(SimpleObject)]
struct DelayCurve {
    /// Power as shares of the strongest tap's, 0..1, at most 64 values. A path is two of them wide.
    power: Vec<f64>,
    /// Delay of the first value, relative to the strongest tap, nanoseconds.
    from_ns: f64,
    /// From one value to the next, nanoseconds: the inverse of the bandwidth.
    step_ns: f64,
}

impl LinkSignal {
    fn all(glance: &Glance, link: Option<&str>) -> Vec<Self> {
        let wanted = |l: &&LinkGlance| link.is_none_or(|id| l.link.as_str() == id);
        let curve = |values: &[f32]| -> Vec<f64> { values.iter().copied().map(decimal).collect() };
        let one = |l: &LinkGlance| Self {
            link_id: l.link.as_str().into(),
            time: Time::from_ns(glance.time_ns),
            amplitude: curve(&l.amplitude),
            doppler: curve(&l.doppler),
            doppler_span_hz: l.rate_hz,
            delay: l.delay.as_ref().map(|d| DelayCurve {
                power: curve(&d.power),
                from_ns: d.from_ns,
                step_ns: d.step_ns,
            }),
        };
        glance.links.iter().filter(wanted).map(one).collect()
    }
}

/// Queries over links.
#[derive(Default)]
pub(crate) struct Present;

#[Object]
impl Present {
    /// How well each link of a site is heard; empty before the first window.
    async fn links(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
    ) -> Result<Vec<LinkQuality>> {
        let state = ctx.data::<ApiState>()?;
        let site = state.site(site_id.as_ref().map(|id| id.as_str())).map_err(|e| e.graphql())?;
        let newest = state.radio().newest(&site.config().id);
        Ok(newest.map(|glance| LinkQuality::all(&glance)).unwrap_or_default())
    }
}

/// Subscriptions to figures.
#[derive(Default)]
pub(crate) struct Figures;

/// Each new frame of a site, at most so often.
fn feed(ctx: &Context<'_>, filter: &Filter, max_fps: Option<f64>) -> Result<Feed> {
    Feed::new(select(ctx, filter)?, max_fps).map_err(|e| e.graphql())
}

#[async_graphql::Subscription]
impl Figures {
    /// A person in each frame that shows them. A client that is slower gets the newest one whenever it is ready for one.
    async fn person(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom.")] id: ID,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "At most so many times per second, 0.01..1000.")] max_fps: Option<f64>,
    ) -> Result<impl Stream<Item = PersonUpdate>> {
        let filter = Filter { site: site_id.map(|id| id.0), person: Some(id.0), ..Filter::default() };
        let feed = feed(ctx, &filter, max_fps)?;
        Ok(stream::unfold((feed, false), async |(mut feed, mut seen)| {
            loop {
                let frame = feed.next().await?;
                let person = frame.persons().next().map(Person);
                // That they are gone is said once.
                let news = person.is_some() || seen;
                seen = person.is_some();
                if news {
                    let id = frame.frame().frame_id.to_string().into();
                    return Some((PersonUpdate { frame_id: id, time: frame.time(), person }, (feed, seen)));
                }
            }
        }))
    }

    /// How many people are where: at once, then at each change.
    async fn occupancy(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "Only persons of at least this confidence, 0..1.", default = 0.5)]
        min_confidence: f64,
        #[graphql(desc = "At most so many times per second, 0.01..1000.")] max_fps: Option<f64>,
    ) -> Result<impl Stream<Item = Occupancy>> {
        let filter = Filter { site: site_id.map(|id| id.0), min_confidence, ..Filter::default() };
        let feed = feed(ctx, &filter, max_fps)?;
        Ok(stream::unfold((feed, None), async |(mut feed, last)| {
            loop {
                let occupancy = Occupancy::of(&feed.next().await?);
                let figures = Some(occupancy.figures());
                if figures != last {
                    return Some((occupancy, (feed, figures)));
                }
            }
        }))
    }

    /// How well each link is heard, with each new window.
    async fn link_quality(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "At most so many times per second, 0.01..1000.", default = 1.0)] max_fps: f64,
    ) -> Result<impl Stream<Item = Vec<LinkQuality>>> {
        let radio = ctx.data::<ApiState>()?.radio().clone();
        let filter = Filter { site: site_id.map(|id| id.0), ..Filter::default() };
        let feed = feed(ctx, &filter, Some(max_fps))?;
        Ok(stream::unfold((feed, radio), async |(mut feed, radio)| {
            let frame = feed.next().await?;
            let glance = radio.newest(&frame.site().config().id);
            Some((glance.map(|g| LinkQuality::all(&g)).unwrap_or_default(), (feed, radio)))
        }))
    }

    /// Amplitudes, Doppler spectrum and delay profile of each link, thinned out for a live plot.
    async fn csi(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "Of this link only.")] link_id: Option<ID>,
        #[graphql(desc = "At most so many times per second, 0.01..1000.", default = 5.0)] max_fps: f64,
    ) -> Result<impl Stream<Item = Vec<LinkSignal>>> {
        let radio = ctx.data::<ApiState>()?.radio().clone();
        let watching = Arc::new(radio.watch());
        let filter = Filter { site: site_id.map(|id| id.0), ..Filter::default() };
        let feed = feed(ctx, &filter, Some(max_fps))?;
        let open = (feed, radio, watching, link_id);
        Ok(stream::unfold(open, async |(mut feed, radio, watching, link)| {
            loop {
                let frame = feed.next().await?;
                let glance = radio.newest(&frame.site().config().id);
                let id = link.as_ref().map(|id| id.as_str());
                let signals = glance.map(|g| LinkSignal::all(&g, id)).unwrap_or_default();
                // The window before somebody watched has no curves.
                if signals.iter().any(|s| !s.amplitude.is_empty()) {
                    return Some((signals, (feed, radio, watching, link)));
                }
            }
        }))
    }

    /// State of the whole, again and again.
    async fn system_metrics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Seconds from one to the next, 0.1..3600.", default = 1.0)] every_s: f64,
    ) -> Result<impl Stream<Item = System>> {
        if !(0.1..=3600.0).contains(&every_s) {
            return Err(QueryError::invalid(Field::EveryS, "must be between 0.1 and 3600").graphql());
        }
        let mut clock = tokio::time::interval(Duration::from_secs_f64(every_s));
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let state = ctx.data::<ApiState>()?.clone();
        Ok(stream::unfold((clock, state), async |(mut clock, state)| {
            clock.tick().await;
            Some((System::new(&state), (clock, state)))
        }))
    }
}
