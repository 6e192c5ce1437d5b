//! From labelled recordings of a site to what classifiers learn from.

use std::collections::HashMap;
use std::sync::Arc;

use invispose_kernels::Layout;

use super::features::{LookConfig, Looks};
use super::learn::{Labelled, LearnError};
use crate::csi::LinkId;
use crate::evaluation::recordings::{Recording, play};
use crate::stages::assembly::AssemblyConfig;
use crate::stages::baseline::Baseline;

/// Links that are looked at: more tell little that these do not, and there is more to learn.
const MAX_LINKS: usize = 8;
/// Fewer packets a second do not show how fast something moves.
const LEAST_HZ: f64 = 15.0;

/// What is seen in each recording, in their order, of the links that all of them hear well. Where the baseline knows all of these, it counts how
/// the channel differs from the quiet room's.
///
/// # Errors
/// When no link is in all recordings.
pub fn looks_of(
    recordings: &[(String, Recording)],
    baseline: Option<&Baseline>,
) -> Result<(LookConfig, Vec<Labelled>), LearnError> {
    let mut least: HashMap<(LinkId, Layout), (usize, f64)> = HashMap::new();
    for (_, recording) in recordings {
        let mut packets: HashMap<(LinkId, Layout), usize> = HashMap::new();
        for frame in &recording.frames {
            *packets.entry((frame.link.clone(), frame.layout)).or_default() += 1;
        }
        let seconds = recording.duration_ns().max(1) as f64 / 1e9;
        for (link, count) in packets.into_iter().filter(|(_, n)| *n as f64 >= LEAST_HZ * seconds) {
            let (heard, hz) = least.entry(link).or_insert((0, f64::INFINITY));
            *heard += 1;
            *hz = hz.min(count as f64 / seconds);
        }
    }
    let mut links: Vec<((LinkId, Layout), f64)> = least
        .into_iter()
        .filter(|(_, (heard, _))| *heard == recordings.len())
        .map(|(link, (_, hz))| (link, hz))
        .collect();
    links.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    links.truncate(MAX_LINKS);
    let mut links: Vec<(LinkId, Layout)> = links.into_iter().map(|(link, _)| link).collect();
    links.sort();
    if links.is_empty() {
        return Err(LearnError::NoLink { least_hz: LEAST_HZ });
    }
    let profile = |(link, layout): &(LinkId, Layout)| -> Option<Arc<[f32]>> {
        let known = baseline?.links.iter().find(|k| k.link == link.as_str() && k.layout == *layout)?;
        (!known.profile.is_empty()).then(|| known.profile.as_slice().into())
    };
    let profiles = links.iter().map(profile).collect::<Option<Vec<_>>>().unwrap_or_default();
    let config = LookConfig { links, profiles };
    let labelled = recordings.iter().map(|(label, recording)| {
        let mut looks = Looks::new(config.clone());
        let mut seen = Vec::new();
        play(&[recording], &AssemblyConfig::default(), |_, window| seen.extend(looks.take(&window)));
        Labelled { name: recording.file.clone(), label: label.clone(), looks: seen }
    });
    let labelled = labelled.collect();
    Ok((config, labelled))
}
