//! Source URIs.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

#[cfg(feature = "nn")]
use invispose_models::data::Place;
use invispose_models::sim::Radios;

use super::pace::Speed;

/// Where packets come from, as the operator wrote it.
///
/// | URI | what |
/// |---|---|
/// | `sim:demo?people=2&seed=7&faults=loss:0.1&speed=1` | simulated people in a furnished room |
/// | `sim:empty?seed=7&receivers=5&antennas=3&bandwidth_mhz=160` | the same room with nobody in it, and other radios |
/// | `sim:random?room=4&people=2&seed=7` | simulated people in a room drawn at random, which no training has seen |
/// | `udp://0.0.0.0:5005` | ADR-018 datagrams |
/// | `nexmon://0.0.0.0:5500` | Nexmon datagrams |
/// | `file:PATH?speed=1&rate=100&loop=1` | a capture of any known format |
/// | `recording:PATH?speed=max` | this project's own recording |
///
/// Every URI takes `site=ID`. The query starts at the last `?`.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSpec {
    /// The text it was parsed from.
    pub uri: String,
    /// The site that the packets belong to; `None` = the only or first one.
    pub site: Option<String>,
    /// What to open.
    pub kind: SpecKind,
}

/// The kinds of [`SourceSpec`].
#[derive(Clone, Debug, PartialEq)]
pub enum SpecKind {
    /// The simulator.
    Sim(SimSpec),
    /// ADR-018 over UDP at this local address.
    Udp(SocketAddr),
    /// Nexmon CSI over UDP at this local address.
    Nexmon(SocketAddr),
    /// A capture file.
    File(PathBuf, ReplayOptions),
    /// A recording file.
    Recording(PathBuf, ReplayOptions),
}

/// What to simulate.
#[derive(Clone, Debug, PartialEq)]
pub struct SimSpec {
    /// Number of a room drawn at random; `None` = the demonstration room.
    pub room: Option<u64>,
    /// People in the room; 0 for `sim:empty`.
    pub people: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// Radios other than the room's own.
    pub radios: Radios,
    /// Radio faults, in the simulator's own notation; `None` = its ordinary radio.
    pub faults: Option<String>,
    /// Simulated seconds per second.
    pub speed: Speed,
    /// Stop after this much simulated time; `None` = run on.
    pub seconds: Option<f64>,
}

#[cfg(feature = "nn")]
impl SimSpec {
    /// Which kind of room.
    pub fn place(&self) -> Place {
        if self.room.is_some() { Place::Random } else { Place::Demo }
    }
}

/// How to play a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayOptions {
    /// Capture seconds per second.
    pub speed: Speed,
    /// Packets per second, for captures whose format holds no time; overrides the capture's own times where given.
    pub rate_hz: Option<f64>,
    /// Start again at the end.
    pub repeat: bool,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self { speed: Speed::Times(1.0), rate_hz: None, repeat: false }
    }
}

/// A source URI that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("source `{uri}`: {problem}")]
pub struct SpecError {
    /// The URI.
    pub uri: String,
    /// Which part is wrong, and what would be right.
    pub problem: String,
}

const KINDS: &str =
    "sim:demo, sim:empty, sim:random, udp://ADDR:PORT, nexmon://ADDR:PORT, file:PATH or recording:PATH";

impl FromStr for SourceSpec {
    type Err = SpecError;

    fn from_str(uri: &str) -> Result<Self, SpecError> {
        parse(uri).map_err(|problem| SpecError { uri: uri.to_owned(), problem })
    }
}

fn parse(uri: &str) -> Result<SourceSpec, String> {
    let (scheme, rest) = uri.split_once(':').ok_or_else(|| format!("no scheme; expected {KINDS}"))?;
    let (body, query) = match rest.rsplit_once('?') {
        Some((body, query)) => (body, Query::parse(query)?),
        None => (rest, Query::default()),
    };
    let mut query = query;
    let site = query.text("site")?;
    let kind = match scheme {
        "sim" => SpecKind::Sim(sim(body, &mut query)?),
        "udp" => SpecKind::Udp(address(body)?),
        "nexmon" => SpecKind::Nexmon(address(body)?),
        "file" => SpecKind::File(path(body)?, replay(&mut query)?),
        "recording" => SpecKind::Recording(path(body)?, replay(&mut query)?),
        other => return Err(format!("unknown scheme `{other}`; expected {KINDS}")),
    };
    query.finish()?;
    Ok(SourceSpec { uri: uri.to_owned(), site, kind })
}

fn sim(scene: &str, query: &mut Query) -> Result<SimSpec, String> {
    let whole = "a whole number";
    let room = match scene {
        "demo" | "empty" => None,
        "random" => Some(query.parsed("room", whole)?.unwrap_or(1)),
        other => return Err(format!("unknown scene `{other}`; expected `demo`, `empty` or `random`")),
    };
    let people = match scene {
        "empty" => 0,
        _ => query.parsed("people", "a number from 0 to 8")?.unwrap_or(1),
    };
    if people > 8 {
        return Err(format!("people={people}: at most 8"));
    }
    let seconds = query.parsed("seconds", "a positive number of seconds")?;
    if let Some(s) = seconds
        && !(f64::is_finite(s) && s > 0.0)
    {
        return Err(format!("seconds={s}: must be positive"));
    }
    let radios = Radios {
        receivers: query.parsed("receivers", whole)?,
        antennas: query.parsed("antennas", whole)?,
        bandwidth_mhz: query.parsed("bandwidth_mhz", whole)?,
    };
    radios.check()?;
    Ok(SimSpec {
        room,
        people,
        radios,
        seed: query.parsed("seed", whole)?.unwrap_or(1),
        faults: query.text("faults")?,
        speed: speed(query)?,
        seconds,
    })
}

fn address(body: &str) -> Result<SocketAddr, String> {
    let text = body.strip_prefix("//").ok_or("expected `//ADDR:PORT` after the scheme")?;
    let text = text.trim_end_matches('/');
    text.to_socket_addrs()
        .map_err(|e| format!("address `{text}`: {e}; expected ADDR:PORT, e.g. 0.0.0.0:5005"))?
        .next()
        .ok_or_else(|| format!("address `{text}` resolves to nothing"))
}

fn path(body: &str) -> Result<PathBuf, String> {
    let text = body.strip_prefix("//").unwrap_or(body);
    if text.is_empty() { Err("no path".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn speed(query: &mut Query) -> Result<Speed, String> {
    match query.text("speed")?.as_deref() {
        None => Ok(Speed::Times(1.0)),
        Some(text) => text.parse().map_err(|problem| format!("speed={text}: {problem}")),
    }
}

fn replay(query: &mut Query) -> Result<ReplayOptions, String> {
    let rate_hz = query.parsed::<f64>("rate", "packets per second")?;
    if let Some(rate) = rate_hz
        && !(rate.is_finite() && (0.001..=1e6).contains(&rate))
    {
        return Err(format!("rate={rate}: expected 0.001 to 1000000 packets per second"));
    }
    let repeat = match query.text("loop")?.as_deref() {
        None | Some("0" | "false") => false,
        Some("1" | "true") => true,
        Some(other) => return Err(format!("loop={other}: expected 1 or 0")),
    };
    Ok(ReplayOptions { speed: speed(query)?, rate_hz, repeat })
}

/// The `key=value` pairs after the `?`, taken out one by one so that what is left over is known to be wrong.
#[derive(Default)]
struct Query {
    pairs: BTreeMap<String, String>,
    asked: Vec<&'static str>,
}

impl Query {
    fn parse(text: &str) -> Result<Self, String> {
        let mut pairs = BTreeMap::new();
        for part in text.split('&').filter(|p| !p.is_empty()) {
            let (key, value) =
                part.split_once('=').ok_or_else(|| format!("option `{part}` has no `=value`"))?;
            if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("option `{key}` is given twice"));
            }
        }
        Ok(Self { pairs, asked: Vec::new() })
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, String> {
        self.asked.push(key);
        match self.pairs.remove(key) {
            Some(value) if value.is_empty() => Err(format!("option `{key}` is empty")),
            other => Ok(other),
        }
    }

    fn parsed<T: FromStr>(&mut self, key: &'static str, expected: &str) -> Result<Option<T>, String> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(format!("{key}={text}: expected {expected}")),
            },
        }
    }

    fn finish(self) -> Result<(), String> {
        match self.pairs.into_keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("unknown option `{key}`; known here: {}", self.asked.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_kind_parses() {
        let demo: SourceSpec =
            "sim:demo?people=2&seed=7&receivers=5&faults=loss:0.1&site=lab".parse().unwrap();
        assert_eq!(demo.site.as_deref(), Some("lab"));
        let expected = SimSpec {
            room: None,
            people: 2,
            seed: 7,
            radios: Radios { receivers: Some(5), ..Radios::default() },
            faults: Some("loss:0.1".to_owned()),
            speed: Speed::Times(1.0),
            seconds: None,
        };
        assert_eq!(demo.kind, SpecKind::Sim(expected));
        let udp: SourceSpec = "udp://127.0.0.1:5005".parse().unwrap();
        assert_eq!(udp.kind, SpecKind::Udp(([127, 0, 0, 1], 5005).into()));
        let file: SourceSpec = "file:a?b.dat?speed=max&rate=100&loop=1".parse().unwrap();
        let options = ReplayOptions { speed: Speed::Max, rate_hz: Some(100.0), repeat: true };
        assert_eq!(file.kind, SpecKind::File("a?b.dat".into(), options));
        let recording: SourceSpec = "recording:/x/y".parse().unwrap();
        assert_eq!(recording.kind, SpecKind::Recording("/x/y".into(), ReplayOptions::default()));
    }

    /// What the document says of each option, and nothing but that, is taken.
    #[test]
    fn the_document_lists_every_option() {
        let document = include_str!("../../../docs/configuration.md");
        let (_, table) = document.split_once("| option | of | meaning |").unwrap();
        let mut rows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let option = cells[1].split('=').next().unwrap().trim_start_matches('`');
            rows.insert(option, cells[2].split(", ").map(|kind| kind.trim_matches('`')).collect());
        }
        for (kind, uri) in [
            ("sim:demo", "sim:demo"),
            ("sim:empty", "sim:empty"),
            ("sim:random", "sim:random"),
            ("udp", "udp://127.0.0.1:1"),
            ("nexmon", "nexmon://127.0.0.1:1"),
            ("file", "file:x"),
            ("recording", "recording:x"),
        ] {
            let refused = format!("{uri}?nonsense=1").parse::<SourceSpec>().unwrap_err().problem;
            let (_, known) = refused.split_once("known here: ").unwrap();
            let mut known: Vec<&str> = known.split(", ").collect();
            known.sort_unstable();
            let scheme = kind.split(':').next().unwrap();
            let of = |kinds: &[&str]| kinds.iter().any(|k| *k == "all" || *k == kind || *k == scheme);
            let listed: Vec<&str> =
                rows.iter().filter(|(_, kinds)| of(kinds)).map(|(option, _)| *option).collect();
            assert_eq!(known, listed, "{kind}");
        }
    }

    #[test]
    fn errors_name_the_bad_part() {
        for (uri, part) in [
            ("demo", "no scheme"),
            ("http://x", "unknown scheme `http`"),
            ("sim:party", "unknown scene `party`"),
            ("sim:empty?people=2", "unknown option `people`"),
            ("sim:demo?room=2", "unknown option `room`"),
            ("sim:random?room=x", "room=x"),
            ("sim:demo?people=many", "people=many"),
            ("sim:demo?people=99", "people=99"),
            ("sim:demo?receivers=9", "receivers: 1 to 8"),
            ("sim:empty?bandwidth_mhz=30", "bandwidth_mhz: 20, 40"),
            ("sim:demo?seconds=-1", "seconds=-1"),
            ("udp:0.0.0.0:5005", "//ADDR:PORT"),
            ("udp://0.0.0.0", "address `0.0.0.0`"),
            ("file:", "no path"),
            ("file:x?speed=fast", "speed=fast"),
            ("file:x?speed=0", "speed=0"),
            ("file:x?rate=nan", "rate=NaN"),
            ("file:x?loop=maybe", "loop=maybe"),
            ("file:x?speed", "`speed` has no"),
            ("file:x?speed=1&speed=2", "`speed` is given twice"),
            ("file:x?site=", "`site` is empty"),
            ("file:x?frequency=1", "unknown option `frequency`; known here: site, rate, loop, speed"),
        ] {
            let error = uri.parse::<SourceSpec>().unwrap_err().to_string();
            assert!(error.contains(uri) && error.contains(part), "{uri}: {error}");
        }
    }
}
