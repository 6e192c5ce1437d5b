//! The command line's words.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use invispose_api::Scope;
use invispose_models::input::{CONTEXT_S, WINDOW_S};
use invispose_models::predictor::DeviceChoice;

/// WiFi channel state information in, tracked people out.
#[derive(Debug, Parser)]
#[command(name = "invispose", version, propagate_version = true)]
pub struct Cli {
    /// Configuration file [default: invispose.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Logs as text or as one JSON object a line
    #[arg(long, global = true, value_enum)]
    pub log_format: Option<LogFormat>,
    /// What to log, e.g. `info` or `invispose_pipeline=debug`
    #[arg(long, global = true, value_name = "FILTER")]
    pub log_level: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Simulated people in a simulated room, behind the real pipeline and API
    #[command(
        after_help = "Example: invispose demo --people 2\n         curl -s http://127.0.0.1:8080/api/v1/pose/current"
    )]
    Demo(Demo),
    /// Serve what real sources bring
    #[command(
        after_help = "Example: invispose run --source udp://0.0.0.0:5005\n         invispose run --source file:capture.pcap"
    )]
    Run(Serve),
    /// Say what a capture or recording holds
    #[command(after_help = "Example: invispose inspect capture.dat --json --frames 0..2 | jq .csi")]
    Inspect(Inspect),
    /// Write a capture as a recording, NPZ or Parquet
    #[command(after_help = "Example: invispose convert capture.pcap capture.npz")]
    Convert(Convert),
    /// Write sources into a recording until ctrl-c
    #[command(after_help = "Example: invispose record --source udp://0.0.0.0:5005 --out night.ivr")]
    Record(Record),
    /// Serve a recording or capture as if it happened now
    #[command(after_help = "Example: invispose replay night.ivr --speed 4")]
    Replay(Replay),
    /// Write simulated CSI, in the project's format or a device's
    #[command(
        after_help = "Example: invispose simulate --seconds 60 --people 1 --format intel5300 --out walk.dat"
    )]
    Simulate(Simulate),
    /// Follow the pose frames of a running instance through its memory-mapped ring
    #[command(after_help = "Example: invispose ring invispose-data/demo.ring --follow --json")]
    Ring(Ring),
    /// Look for what stands in the server's way, and say what to do about it
    #[command(after_help = "Example: invispose doctor --json | jq '.findings[] | select(.grade != \"ok\")'")]
    Doctor(Doctor),
    /// Copy the data directory, also while a server writes it
    #[command(after_help = "Example: invispose backup --to /backup/invispose-$(date +%F)")]
    Backup(Backup),
    /// Make a data directory of a backup
    #[command(
        after_help = "Example: invispose restore /backup/invispose-2027-01-31 --data-dir invispose-data"
    )]
    Restore(Restore),
    /// Print the configuration and where each value comes from
    #[command(after_help = "Example: INVISPOSE_LISTEN=127.0.0.1:9000 invispose config")]
    Config(ConfigArgs),
    /// Give somebody access to the API
    #[command(subcommand)]
    Token(Token),
    /// Train the pose network on simulated rooms and on public sets of recordings with poses
    #[command(after_help = "Example: invispose train models/configs/pose.toml --out training")]
    Train(Train),
    /// Train small networks alike on different hardware or without parts of their input, and say what each reaches
    #[command(after_help = "Example: invispose study models/configs/hardware.toml --out study")]
    Study(Study),
    /// Teach a site its own room: the quiet baseline, activities, numbers of people, where people are
    #[command(
        subcommand,
        after_help = "Example: invispose calibrate baseline --source udp://0.0.0.0:5005\n         \
                      invispose calibrate activity --recording walking=walk1.ivr --recording walking=walk2.ivr \
                      --recording sitting=sit1.ivr --recording sitting=sit2.ivr"
    )]
    Calibrate(Calibrate),
    /// Measure a model or detector against ground truth
    #[command(after_help = "Example: invispose evaluate --suite unseen-room --json")]
    Evaluate(Evaluate),
}

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Print a new token, and nothing else
    #[command(
        after_help = "Example: invispose token create --scope pose:read --scope stream:subscribe --ttl 8h --data-dir invispose-data"
    )]
    Create(TokenCreate),
}

#[derive(Debug, Args)]
pub struct TokenCreate {
    /// What it grants, e.g. `pose:read` (repeatable)
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',', value_name = "SCOPE")]
    pub scope: Vec<Scope>,
    /// At this site only (repeatable) [default: at all]
    #[arg(long, value_name = "ID")]
    pub site: Vec<String>,
    /// How long it is good: seconds, or a number with s, m, h or d
    #[arg(long, default_value = "24h", value_parser = duration, value_name = "TIME")]
    pub ttl: Duration,
    /// Whose it is, for the audit log
    #[arg(long, default_value = "operator")]
    pub name: String,
    /// Ten times as many requests
    #[arg(long)]
    pub premium: bool,
    /// Where the server keeps its data [default: invispose-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Seconds, or a number with a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => (text.get(..at).unwrap_or_default(), unit),
        _ => (text, 's'),
    };
    let seconds = match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86_400),
        _ => None,
    };
    let total = digits.parse::<u64>().ok().zip(seconds).and_then(|(n, s)| n.checked_mul(s));
    total
        .filter(|s| (1..=10 * 366 * 86_400).contains(s))
        .map(Duration::from_secs)
        .ok_or_else(|| "a time is needed such as 90s, 15m, 8h or 30d, at most ten years".to_owned())
}

#[derive(Debug, Args)]
pub struct Common {
    /// Address and port of the API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where rings, baselines and recordings live [default: invispose-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where packets come from: sim:…, udp://…, nexmon://…, file:…, recording:… (repeatable)
    #[arg(long, value_name = "URI")]
    pub source: Vec<String>,
    /// Where cleanup and the network run: cpu, gpu, gpu:N, cuda, cuda:N or auto [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Also write all pose frames and CSI into this recording
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Demo {
    #[command(flatten)]
    pub common: Common,
    /// How many people walk about (0 to 3)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=3))]
    pub people: u8,
    /// Which people, and where they go
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub common: Common,
    /// A capture of the quiet, empty room of each link, from which the baseline is learned first
    #[arg(long, value_name = "FILE")]
    pub baseline: Vec<PathBuf>,
    /// Show poses although no evaluation on this site has earned them; they are marked
    #[arg(long)]
    pub experimental_poses: bool,
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// The capture; its format is recognised by its content
    pub file: PathBuf,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// With the complex values of these frames, e.g. 0..3
    #[arg(long, value_name = "A..B", value_parser = parse_range)]
    pub frames: Option<Range<u64>>,
}

#[derive(Debug, Args)]
pub struct Convert {
    /// The capture or recording
    pub from: PathBuf,
    /// The file to write; its ending chooses the format unless --format does
    pub to: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    pub format: Option<ConvertFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConvertFormat {
    /// The project's own (.ivr)
    Recording,
    /// NumPy arrays (.npz)
    Npz,
    /// Apache Parquet (.parquet)
    Parquet,
}

#[derive(Debug, Args)]
pub struct Record {
    /// Where packets come from (repeatable)
    #[arg(long, value_name = "URI", required = true)]
    pub source: Vec<String>,
    /// The recording to write or, if it exists, to go on with
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<f64>,
}

#[derive(Debug, Args)]
pub struct Replay {
    /// The recording or capture
    pub file: PathBuf,
    /// How fast: 1, another factor, or max
    #[arg(long, default_value = "1")]
    pub speed: String,
    #[command(flatten)]
    pub serve: Serve,
}

#[derive(Debug, Args)]
pub struct Simulate {
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Simulated time
    #[arg(long, default_value_t = 60.0)]
    pub seconds: f64,
    /// A room, its radios and people as TOML [default: the demonstration room]
    #[arg(long, value_name = "FILE")]
    pub scene: Option<PathBuf>,
    /// People in the room (0 to 3) [default: as in the scene, else 1]
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=3))]
    pub people: Option<u8>,
    /// Which people, and where they go
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Whose format to speak
    #[arg(long, value_enum, default_value_t = SimulateFormat::Recording)]
    pub format: SimulateFormat,
    /// Also write the truth (who was where), as JSON lines
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SimulateFormat {
    /// The project's own
    Recording,
    /// Intel 5300 `.dat`
    Intel5300,
    /// ESP32-CSI-Tool CSV
    Esp32Csv,
    /// Nexmon pcap
    Nexmon,
}

#[derive(Debug, Args)]
pub struct Ring {
    /// The ring's file
    pub file: PathBuf,
    /// Wait for further frames until ctrl-c
    #[arg(long)]
    pub follow: bool,
    /// Frames as JSON lines
    #[arg(long)]
    pub json: bool,
    /// How many of the newest frames to begin with
    #[arg(long, default_value_t = 10)]
    pub last: u64,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Where rings, baselines and recordings live [default: invispose-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Backup {
    /// The directory to make
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Where rings, baselines and recordings live [default: invispose-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// A directory that `backup` made
    pub from: PathBuf,
    /// The data directory to make [default: invispose-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Train {
    /// What to train, and on what
    #[arg(value_name = "CONFIG", default_value = "models/configs/pose.toml")]
    pub recipe: PathBuf,
    /// Folder for the weights, the loss curve and checkpoints; a checkpoint of the same configuration is gone on with
    #[arg(long, value_name = "DIR", default_value = "invispose-training")]
    pub out: PathBuf,
    /// Where steps are made: cpu, gpu, gpu:N, cuda, cuda:N or auto
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// Train nothing: fit the confidences of these weights, which this configuration trained, and measure them anew by its validation
    /// scenes
    #[arg(long, value_name = "FILE")]
    pub measure: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Study {
    /// What is trained, and what is varied
    #[arg(value_name = "CONFIG", default_value = "models/configs/hardware.toml")]
    pub recipe: PathBuf,
    /// Folder for weights, scenes and the plot; what is there already is not made again
    #[arg(long, value_name = "DIR", default_value = "invispose-study")]
    pub out: PathBuf,
    /// Only the network of this name (repeatable)
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// One JSON array
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Calibrate {
    /// Listen to a room that is quiet and without people, and keep what its links are like
    Baseline(CalibrateBaseline),
    /// Learn from labelled recordings of the site what people do, by the signal alone
    Activity(CalibrateSignal),
    /// Learn from labelled recordings of the site how many people are there, by the signal alone
    Count(CalibrateSignal),
    /// Teach the pose network the site's room by a camera's keypoints
    #[command(
        after_help = "Example: invispose calibrate camera --recording morning.ivr --labels keypoints.jsonl --out lab.safetensors\n\n\
                      A line of the labels: {\"time\": SECONDS, \"persons\": [{\"keypoints\": [[x, y, z], … 17 in COCO order]}]}, in metres from the \
                      room's corner."
    )]
    Camera(CalibrateCamera),
    /// Teach the pose network the site's room by one person's walk along a known path, without a camera
    #[command(
        after_help = "Example: invispose calibrate walk --recording walk.ivr --path path.csv --out lab.safetensors\n\n\
                      A line of the path: time_s,x_m,y_m"
    )]
    Walk(CalibrateWalk),
}

#[derive(Debug, Args)]
pub struct CalibrateCamera {
    #[command(flatten)]
    pub room: CalibrateRoom,
    /// Who was where, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub labels: PathBuf,
    /// Seconds to add to the labels' times; without it they are found by when people move and the channel changes
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub clock_offset: Option<f64>,
}

#[derive(Debug, Args)]
pub struct CalibrateWalk {
    #[command(flatten)]
    pub room: CalibrateRoom,
    /// Where the person was at which moment, as CSV
    #[arg(long, value_name = "FILE")]
    pub path: PathBuf,
    /// Seconds to add to the path's times
    #[arg(long, value_name = "S", default_value_t = 0.0, allow_negative_numbers = true)]
    pub clock_offset: f64,
}

#[derive(Debug, Args)]
pub struct CalibrateRoom {
    /// Where the baseline is kept [default: invispose-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Which of the configured sites [default: the only one]
    #[arg(long, value_name = "ID")]
    pub site: Option<String>,
    /// A recording of the site
    #[arg(long, value_name = "FILE")]
    pub recording: PathBuf,
    /// Where the new weights go, if they are better
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Part of the time, at its end, that is not learned from and on which old and new weights are compared
    #[arg(long, value_name = "PART", default_value_t = 0.25)]
    pub held_out: f64,
    /// Training steps
    #[arg(long, default_value_t = 200)]
    pub steps: u64,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CalibrateBaseline {
    /// Where the baseline is kept [default: invispose-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where packets come from: udp://…, nexmon://…, or a recording of the site, file:…, recording:… (repeatable) [default: the
    /// configured sources]
    #[arg(long, value_name = "URI")]
    pub source: Vec<String>,
    /// How long to listen to sources that are live, 10 to 900
    #[arg(long, default_value_t = 30.0)]
    pub seconds: f64,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CalibrateSignal {
    /// Where the classifier is kept [default: invispose-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Which site [default: the only configured one, else `default`]
    #[arg(long, value_name = "ID")]
    pub site: Option<String>,
    /// What was done, or how many people were there, in a recording or capture of the site; two or more of each (repeatable)
    #[arg(long, value_name = "LABEL=FILE", required = true, value_parser = parse_labelled)]
    pub recording: Vec<(String, PathBuf)>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Evaluate {
    /// Which truth to measure against
    #[arg(long)]
    pub suite: String,
    /// Folder of the labelled data, for suites on real data
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Weights other than the shipped ones; with a public set of poses, measured on its test part
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Which split of a public set of poses [default: the one that the weights were trained on]
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub split: Option<String>,
    /// Seconds of the past that the pose network is shown of simulated rooms, 2 to 10 in steps of 2; networks without a memory look
    /// at 2 [default: all that it can look at]
    #[arg(long, value_name = "SECONDS", value_parser = parse_context)]
    pub context_s: Option<f32>,
    /// Write plots into this folder: the trade-offs that thresholds sit on as SVG; of the pose network skeletons over truth, error
    /// by joint and reliability as PNG, with a report as Markdown
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Where the network runs: cpu, gpu, gpu:N, cuda, cuda:N or auto
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

fn parse_context(text: &str) -> Result<f32, String> {
    let known =
        text.parse::<f32>().ok().filter(|s| (WINDOW_S..=CONTEXT_S).contains(s) && s % WINDOW_S == 0.0);
    known.ok_or_else(|| format!("write {WINDOW_S} to {CONTEXT_S} in steps of {WINDOW_S}"))
}

fn parse_labelled(text: &str) -> Result<(String, PathBuf), String> {
    let (label, file) = text.split_once('=').ok_or("write LABEL=FILE, e.g. walking=walk1.ivr")?;
    Ok((label.to_owned(), file.into()))
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (a, b) = text.split_once("..").ok_or("write a range as A..B, e.g. 0..3")?;
    let number = |t: &str, or: u64| -> Result<u64, String> {
        if t.is_empty() { Ok(or) } else { t.parse().map_err(|_| format!("{t:?} is no frame number")) }
    };
    let range = number(a, 0)?..number(b, u64::MAX)?;
    if range.start > range.end { Err(format!("{text} runs backwards")) } else { Ok(range) }
}
