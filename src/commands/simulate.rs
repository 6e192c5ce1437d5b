//! `invispose simulate`: simulated CSI as a file, in the project's format or a device's.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use invispose_models::sim::{SceneConfig, Simulator, Subcarriers};
use invispose_pipeline::capture::{esp32_csv, intel5300, nexmon};
use invispose_pipeline::recording::{Metadata, RecordingError, Writer};
use invispose_pipeline::sources::sim::SimFrames;
use invispose_pipeline::sources::wall_ns;
use invispose_pipeline::{CsiFrame, LinkId, SourceKind};

use crate::cli::{Simulate, SimulateFormat};
use crate::output;

/// Simulated at once.
const CHUNK_S: f64 = 0.5;

/// Takes frames one after the other.
trait Sink {
    fn push(&mut self, frame: &CsiFrame) -> anyhow::Result<()>;
    fn close(self: Box<Self>) -> anyhow::Result<()>;
}

/// Writes `args.seconds` of a scene, heard by the device's own radio.
pub fn run(args: &Simulate) -> anyhow::Result<()> {
    if !(args.seconds.is_finite() && args.seconds > 0.0) {
        bail!("--seconds {}: must be positive", args.seconds);
    }
    if args.truth.as_ref() == Some(&args.out) {
        bail!("--truth {}: is the file of --out", args.out.display());
    }
    let mut scene = scene(args)?;
    if let Some(people) = args.people {
        scene.people.count = people.into();
    }
    match args.format {
        SimulateFormat::Recording => {}
        SimulateFormat::Intel5300 => scene.receivers.truncate(1),
        SimulateFormat::Esp32Csv => {
            scene.radio.carrier_hz = 2.437e9;
            scene.radio.subcarriers = Subcarriers::Esp32;
            one_antenna(&mut scene);
        }
        SimulateFormat::Nexmon => {
            scene.radio.subcarriers = Subcarriers::Esp32;
            one_antenna(&mut scene);
        }
    }
    let mut simulator = Simulator::new(&scene, args.seed)?;
    let start_ns = wall_ns();
    let as_frames = SimFrames::new(&simulator, start_ns).renamed(|link| link_name(args.format, link));
    // A recording's own errors name the file already.
    let named = |e: anyhow::Error| {
        if e.is::<RecordingError>() { e } else { e.context(args.out.display().to_string()) }
    };
    let mut truth = match &args.truth {
        Some(path) => {
            Some((path, BufWriter::new(File::create(path).with_context(|| path.display().to_string())?)))
        }
        None => None,
    };
    let mut sink = open(args, scene.people.count, start_ns).map_err(named)?;
    let bar = ProgressBar::new((args.seconds / CHUNK_S).ceil() as u64);
    let (mut from_s, mut frames) = (0.0, 0u64);
    while from_s < args.seconds {
        let to_s = (from_s + CHUNK_S).min(args.seconds);
        if let Some((path, out)) = &mut truth {
            for step in 0..((to_s - from_s) * 20.0).round() as u32 {
                let t_s = from_s + f64::from(step) / 20.0;
                let people = simulator.people_at(t_s);
                let line = serde_json::json!({ "time_ns": start_ns + (t_s * 1e9) as i64, "t_s": t_s, "people": people });
                writeln!(out, "{line}").with_context(|| path.display().to_string())?;
            }
        }
        for packet in simulator.packets(from_s, to_s) {
            let Some(frame) = as_frames.frame(packet) else { continue };
            sink.push(&frame).map_err(named)?;
            frames += 1;
        }
        bar.inc(1);
        from_s = to_s;
    }
    sink.close().map_err(named)?;
    if let Some((path, mut out)) = truth {
        out.flush().with_context(|| path.display().to_string())?;
    }
    bar.finish_and_clear();
    output::line(format_args!("{frames} simulated frames in {}", args.out.display()))
}

/// What the device calls the link: a locally administered address where it names the transmitter by address.
fn link_name(format: SimulateFormat, name: LinkId) -> LinkId {
    match format {
        SimulateFormat::Recording | SimulateFormat::Intel5300 => name,
        SimulateFormat::Esp32Csv => LinkId::new("02:00:00:00:00:01"),
        SimulateFormat::Nexmon => LinkId::new("02:00:00:00:00:01/core0-ss0"),
    }
}

/// The one that was asked for, else the demonstration room with one person.
fn scene(args: &Simulate) -> anyhow::Result<SceneConfig> {
    let Some(path) = &args.scene else {
        let mut demo = SceneConfig::demo();
        demo.people.count = 1;
        return Ok(demo);
    };
    let shown = || path.display().to_string();
    let mut scene =
        SceneConfig::from_toml(&std::fs::read_to_string(path).with_context(shown)?).with_context(shown)?;
    // Clips lie beside the scene that names them.
    for clip in &mut scene.people.clips {
        clip.file = path.parent().unwrap_or(Path::new("")).join(&clip.file);
    }
    Ok(scene)
}

/// Devices of one antenna hear one receiver of one antenna.
fn one_antenna(scene: &mut SceneConfig) {
    scene.receivers.truncate(1);
    for receiver in &mut scene.receivers {
        receiver.antennas = 1;
    }
}

fn open(args: &Simulate, people: usize, start_ns: i64) -> anyhow::Result<Box<dyn Sink>> {
    Ok(match args.format {
        SimulateFormat::Recording => {
            let room = args.scene.as_ref().map_or("demonstration room".into(), |s| s.display().to_string());
            let note = format!("simulated: {room}, {people} people, seed {}", args.seed);
            let metadata = Metadata { source: SourceKind::Simulated, site: None, created_ns: start_ns, note };
            Box::new(Recording(Writer::create(&args.out, &metadata)?))
        }
        SimulateFormat::Intel5300 => Box::new(Plain { out: create(&args.out)?, encode: intel }),
        SimulateFormat::Esp32Csv => {
            let mut out = create(&args.out)?;
            out.write_all(esp32_csv::HEADER.as_bytes()).and_then(|()| out.write_all(b"\n"))?;
            Box::new(Plain { out, encode: |frame, bytes| Ok(esp32_csv::write_row(frame, bytes)?) })
        }
        SimulateFormat::Nexmon => Box::new(Pcap(nexmon::PcapWriter::new(create(&args.out)?)?)),
    })
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    Ok(BufWriter::new(File::create(path)?))
}

struct Recording(Writer);

impl Sink for Recording {
    fn push(&mut self, frame: &CsiFrame) -> anyhow::Result<()> {
        Ok(self.0.write_csi(frame)?)
    }

    fn close(self: Box<Self>) -> anyhow::Result<()> {
        self.0.close()?;
        Ok(())
    }
}

struct Plain {
    out: BufWriter<File>,
    encode: fn(&CsiFrame, &mut Vec<u8>) -> anyhow::Result<()>,
}

impl Sink for Plain {
    fn push(&mut self, frame: &CsiFrame) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        (self.encode)(frame, &mut bytes)?;
        Ok(self.out.write_all(&bytes)?)
    }

    fn close(mut self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }
}

struct Pcap(nexmon::PcapWriter<BufWriter<File>>);

impl Sink for Pcap {
    fn push(&mut self, frame: &CsiFrame) -> anyhow::Result<()> {
        Ok(self.0.write(frame)?)
    }

    fn close(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.0.into_inner().flush()?)
    }
}

/// The card's own report: RSSI of each antenna in dB above -44 dBm - AGC (the tool's `get_total_rss`).
fn intel(frame: &CsiFrame, bytes: &mut Vec<u8>) -> anyhow::Result<()> {
    const AGC_DB: u8 = 40;
    let rx = frame.layout.rx.clamp(1, 3) as u8;
    let each_dbm = frame.rssi_dbm.unwrap_or(-50.0) - 10.0 * f32::from(rx).log10();
    let rssi = (each_dbm + 44.0 + f32::from(AGC_DB)).round().clamp(1.0, 255.0) as u8;
    let record = intel5300::Record {
        timestamp_low: (frame.capture_time_ns.unwrap_or(0) / 1000) as u32,
        bfee_count: frame.sequence.unwrap_or(0) as u16,
        nrx: rx,
        ntx: frame.layout.tx.clamp(1, 3) as u8,
        rssi_a: rssi,
        rssi_b: if rx > 1 { rssi } else { 0 },
        rssi_c: if rx > 2 { rssi } else { 0 },
        noise: frame.noise_dbm.map_or(-127, |n| n.clamp(-126.0, 0.0) as i8),
        agc: AGC_DB,
        // Chains 0, 1, 2 at antennas A, B, C.
        antenna_sel: 0b10_01_00,
        // One stream at MCS 0 and 20 MHz, as the tool's injection mode sends.
        rate: 0x101,
        csi: frame.csi.clone(),
    };
    bytes.extend(intel5300::encode(&record)?);
    Ok(())
}
