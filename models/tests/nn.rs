//! The shipped network does what it says: its weights matter, its input matters, and damaged weights are refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "gpu")]
use std::collections::BTreeMap;
use std::sync::OnceLock;

use half::f16;
use invispose_kernels::Complex32;
#[cfg(feature = "gpu")]
use invispose_models::predictor::Prediction;
use invispose_models::{
    data::{self, Job, Mirror, Place, Sequence},
    evaluate::{
        self, EvaluateError, Networks, Suite,
        metrics::{distance, relative, root},
    },
    input::{Input, LinkWindow, Memory, RATE_HZ, ReferenceBuilder, STEPS, Withheld},
    predictor::{Detection, DeviceChoice, LoadError, Predictor, Weights},
    sim::{Radios, Simulator, Split},
    train::{self, Progress, Study, TrainConfig, TrainError, Tuning},
    weights::{self, DEFAULT_WEIGHTS, DEMO_ROOM_WEIGHTS, DEMO_ROOM_WIDE_WEIGHTS, WIDE_WEIGHTS},
};

fn predictor() -> &'static Predictor {
    static SHIPPED: OnceLock<Predictor> = OnceLock::new();
    SHIPPED.get_or_init(|| Predictor::load(&Weights::Shipped, DeviceChoice::Cpu).unwrap())
}

/// Somebody in the demo room, seeds of the test split.
fn somebody() -> &'static Sequence {
    static SCENE: OnceLock<Sequence> = OnceLock::new();
    SCENE.get_or_init(|| simulate(1, 41))
}

fn job(people: usize, index: u32) -> Job {
    let (seconds, packet_hz) = (30.0, RATE_HZ);
    Job {
        place: Place::Demo,
        split: Split::Test,
        index,
        people,
        after_s: 0.0,
        seconds,
        packet_hz,
        snr_db: None,
    }
}

fn simulate(people: usize, index: u32) -> Sequence {
    data::simulate(&job(people, index)).unwrap()
}

fn inputs(sequence: &Sequence, hop: usize) -> Vec<Input> {
    sequence.ends().step_by(hop).map(|e| sequence.input(e)).collect()
}

fn best(predictor: &Predictor, inputs: &[Input]) -> Vec<Detection> {
    predictor.predict(inputs).unwrap().into_iter().map(|w| w.people.into_iter().next().unwrap()).collect()
}

fn moved(a: &[Detection], b: &[Detection]) -> f32 {
    let each = a.iter().zip(b).map(|(a, b)| distance(root(&a.keypoints), root(&b.keypoints)));
    each.sum::<f32>() / a.len() as f32
}

#[test]
fn the_shipped_weights_have_a_card_and_fit_in_four_megabytes() {
    let shipped = [
        (Weights::Shipped, DEFAULT_WEIGHTS, "pose", Radios::OWN),
        (Weights::ShippedWide, WIDE_WEIGHTS, "pose-wide", Radios::WIDE),
        (Weights::DemoRoom, DEMO_ROOM_WEIGHTS, "demo-room", Radios::OWN),
        (Weights::DemoRoomWide, DEMO_ROOM_WIDE_WEIGHTS, "demo-room-wide", Radios::WIDE),
    ];
    for (weights, bytes, name, radios) in shipped {
        assert!(bytes.len() < 4_000_000, "{}", bytes.len());
        let predictor = Predictor::load(&weights, DeviceChoice::Cpu).unwrap();
        let card = predictor.card();
        assert_eq!(card.name, name);
        assert_eq!(card.radios(), radios);
        assert!(card.steps > 0 && card.windows > 0 && !card.config.is_empty() && !card.metrics.is_empty());
        assert!(TrainConfig::from_toml(&card.config).is_ok());
        let d = predictor.describe();
        assert_eq!(d.device, "cpu (flex)");
        assert!(d.parameters * 2 < bytes.len());
    }
}

#[test]
fn no_network_is_measured_with_radios_that_it_does_not_know() {
    let wide = Networks::one(Predictor::load(&Weights::DemoRoomWide, DeviceChoice::Cpu).unwrap());
    for suite in [Suite::SeenRoom, Suite::UnseenRoom] {
        let refused = evaluate::run(suite, &wide, &Withheld::default(), |_, _| {});
        assert!(matches!(refused, Err(EvaluateError::Radios)), "{suite:?}");
    }
}

#[test]
fn the_same_input_gives_the_same_answer_bit_for_bit() {
    let inputs = inputs(somebody(), 10);
    assert_eq!(predictor().predict(&inputs).unwrap(), predictor().predict(&inputs).unwrap());
    predictor().warm_up().unwrap();
}

#[test]
fn disturbed_weights_change_the_answer() {
    let mut bytes = DEFAULT_WEIGHTS.to_vec();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    // Every tensor value a tenth larger, and the checksum made right again.
    for value in bytes[8 + header..].chunks_exact_mut(2) {
        let v = f16::from_le_bytes([value[0], value[1]]).to_f32() * 1.1;
        value.copy_from_slice(&f16::from_f32(v).to_le_bytes());
    }
    let (device, card) = (Default::default(), predictor().card().clone());
    let bytes = rechecked(bytes);
    let (network, _) = weights::from_bytes(&bytes, &device).unwrap();
    let bytes = weights::to_bytes(&network, &card).unwrap();
    let disturbed = Predictor::load(&Weights::Bytes(bytes), DeviceChoice::Cpu).unwrap();
    let inputs = inputs(somebody(), 10);
    let change = moved(&best(predictor(), &inputs), &best(&disturbed, &inputs));
    assert!(change > 0.02, "{change}");
}

/// The file with the checksum of its tensors.
fn rechecked(bytes: Vec<u8>) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
    let old = {
        let value: serde_json::Value = serde_json::from_str(&header).unwrap();
        value["__metadata__"]["invispose_crc32"].as_str().unwrap().to_owned()
    };
    let new = format!("{:08x}", crc32fast::hash(&bytes[8 + length..]));
    let mut out = bytes[..8].to_vec();
    out.extend_from_slice(header.replace(&old, &new).as_bytes());
    out.extend_from_slice(&bytes[8 + length..]);
    out
}

/// A link's packets on the network's grid, the newest last.
#[derive(Clone)]
struct Packets {
    csi: Vec<Complex32>,
    received: Vec<bool>,
}

/// Windows as the pipeline makes them, of the scene that `somebody` shows, each changed by `change`.
fn served(starts_s: &[f64], change: impl Fn(&mut Packets, usize)) -> Vec<Input> {
    let (config, seed) = data::scene(&job(1, 41));
    let mut simulator = Simulator::new(&config, seed).unwrap();
    let links = simulator.links().to_vec();
    let mut builders = vec![ReferenceBuilder::default(); links.len()];
    for p in simulator.packets(0.0, 3.99) {
        builders[p.link].push(links[p.link].layout, &p.csi);
    }
    let references: Vec<_> = builders.iter().map(|b| b.finish().unwrap()).collect();
    let mut window = |from_s: f64| {
        let mut all: Vec<Packets> = links
            .iter()
            .map(|l| Packets {
                csi: vec![Complex32::default(); STEPS * l.layout.values()],
                received: vec![false; STEPS],
            })
            .collect();
        for p in simulator.packets(from_s - 0.005, from_s + 1.995) {
            let (step, n) = (((p.t_s - from_s) * 50.0).round() as usize, p.csi.len());
            all[p.link].csi[step * n..(step + 1) * n].copy_from_slice(&p.csi);
            all[p.link].received[step] = true;
        }
        all.iter_mut().zip(&links).for_each(|(p, l)| change(p, l.layout.values()));
        let windows: Vec<_> = all
            .iter()
            .zip(&links)
            .zip(&references)
            .map(|((p, link), reference)| LinkWindow {
                csi: &p.csi,
                received: &p.received,
                layout: link.layout,
                rate_hz: RATE_HZ,
                transmitter_m: config.transmitters[link.transmitter].position_m,
                receiver_m: config.receivers[link.receiver].position_m,
                reference,
            })
            .collect();
        Input::new(config.room.size_m, &windows).unwrap()
    };
    starts_s.iter().map(|s| window(*s)).collect()
}

#[test]
fn shuffling_the_packets_in_time_changes_the_answer() {
    let starts: Vec<f64> = (0..12).map(|i| 5.0 + 2.0 * f64::from(i)).collect();
    let inputs = served(&starts, |_, _| {});
    let shuffled = served(&starts, |p, n| {
        let before = p.clone();
        // 37 and the number of steps have no common divisor: every step once.
        for step in 0..STEPS {
            let from = step * 37 % STEPS;
            p.csi[step * n..(step + 1) * n].copy_from_slice(&before.csi[from * n..(from + 1) * n]);
            p.received[step] = before.received[from];
        }
    });
    let change = moved(&best(predictor(), &inputs), &best(predictor(), &shuffled));
    assert!(change > 0.05, "{change}");
}

#[test]
fn the_radios_gain_and_phase_change_nothing() {
    let starts = [6.0, 11.0, 17.0];
    let inputs = served(&starts, |_, _| {});
    let turned = served(&starts, |p, n| {
        for (step, packet) in p.csi.chunks_exact_mut(n).enumerate() {
            let turn = Complex32::from_polar(1.0 + 0.1 * (step % 5) as f32, 2.3 * step as f32);
            packet.iter_mut().for_each(|v| *v *= turn);
        }
    });
    let change = moved(&best(predictor(), &inputs), &best(predictor(), &turned));
    assert!(change < 0.01, "{change}");
}

#[test]
fn the_answer_follows_the_person() {
    // Far better than the mean position, and left is told from right.
    let (mut error, mut spread, mut agree, mut count) = (0.0, 0.0, 0, 0);
    for index in 42..46 {
        let sequence = simulate(1, index);
        let ends: Vec<usize> = sequence.ends().step_by(3).collect();
        let found = best(predictor(), &ends.iter().map(|&e| sequence.input(e)).collect::<Vec<_>>());
        for (d, &end) in found.iter().zip(&ends) {
            let truth = root(&sequence.persons(end, Mirror::default())[0].keypoints_m);
            let at = root(&d.keypoints);
            let middle = [0.5 * sequence.room_m[0], 0.5 * sequence.room_m[1], truth[2]];
            error += distance(at, truth);
            spread += distance(middle, truth);
            agree += usize::from((at[0] > middle[0]) == (truth[0] > middle[0]));
            count += 1;
        }
    }
    assert!(error < 0.5 * spread, "mean error {} against {}", error / count as f32, spread / count as f32);
    assert!(agree * 10 > count * 8, "{agree} of {count}");
}

#[test]
fn the_same_room_without_the_person_gives_nobody() {
    let empty = simulate(0, 47);
    let detections = predictor().predict(&inputs(&empty, 1)).unwrap();
    let most = detections.iter().flat_map(|w| &w.people).map(|d| d.confidence).fold(0.0, f32::max);
    assert!(most < 0.5, "{most}");
    let with = predictor().predict(&inputs(somebody(), 1)).unwrap();
    let seen = with.iter().filter(|w| w.people[0].confidence >= 0.5).count();
    assert!(seen * 10 > with.len() * 9, "{seen} of {}", with.len());
}

#[test]
fn what_was_left_of_earlier_windows_helps_and_that_of_somebody_else_does_not_mislead() {
    let predictor = Predictor::load(&Weights::DemoRoomWide, DeviceChoice::Cpu).unwrap();
    let scene = |people, index| {
        let job = Job { seconds: 16.0, after_s: 5.0, ..job(people, index) };
        data::simulate_with(&job, &Radios::WIDE).unwrap()
    };
    let scenes: Vec<Sequence> = (60..68).map(|index| scene(1, index)).collect();
    let (somebody, nobody) = (scene(1, 70), scene(0, 71));
    // What is left of a window follows from it alone.
    let left = |s: &Sequence| -> Vec<Option<Memory>> {
        predictor.predict(&inputs(s, 1)).unwrap().into_iter().map(|seen| seen.memory).collect()
    };
    // Mean error of root and pose of windows that are shown what was left of these.
    let errors = |of: &dyn Fn(&Sequence) -> Vec<Option<Memory>>| {
        let (mut sum, mut count) = ([0.0; 2], 0.0);
        for s in &scenes {
            let left = of(s);
            let (ends, mut windows) = (s.ends().skip(40), inputs(s, 1).split_off(40));
            for (n, window) in windows.iter_mut().enumerate() {
                window.earlier = std::array::from_fn(|i| left[40 + n - 10 * (i + 1)].clone());
            }
            for (found, end) in best(&predictor, &windows).iter().zip(ends) {
                let truth = s.persons(end, Mirror::default())[0].keypoints_m;
                let pose = relative(&found.keypoints).into_iter().zip(relative(&truth));
                sum[0] += distance(root(&found.keypoints), root(&truth));
                sum[1] += pose.map(|(a, b)| distance(a, b)).sum::<f32>() / 17.0;
                count += 1.0;
            }
        }
        sum.map(|sum| sum / count)
    };
    let own = errors(&left);
    let none = errors(&|s| vec![None; s.ends().len()]);
    let (others, empty) = (errors(&|_| left(&somebody)), errors(&|_| left(&nobody)));
    println!(
        "root and pose, m: own {own:?}, none {none:?}, somebody else's {others:?}, an empty room's {empty:?}"
    );
    assert!(own[1] < 0.95 * none[1], "{own:?} {none:?}");
    assert!(others[1] > own[1] && empty[1] > own[1], "{others:?} {empty:?} {own:?}");
    assert!(others[0] < 0.5 && empty[0] < 0.5, "{others:?} {empty:?}");
}

#[test]
fn damaged_and_foreign_weights_are_refused_by_name() {
    let load = |bytes: Vec<u8>| Predictor::load(&Weights::Bytes(bytes), DeviceChoice::Cpu).map(|_| ());
    assert!(matches!(load(Vec::new()), Err(LoadError::Malformed(_))));
    assert!(matches!(load(vec![0xFF; 64]), Err(LoadError::Malformed(_))));
    let mut cut = DEFAULT_WEIGHTS.to_vec();
    cut.truncate(cut.len() - 4);
    assert!(matches!(load(cut), Err(LoadError::Checksum { .. })));
    let mut flipped = DEFAULT_WEIGHTS.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(load(flipped), Err(LoadError::Checksum { .. })));

    let (device, card) = (Default::default(), predictor().card().clone());
    let (network, _) = weights::from_bytes(DEFAULT_WEIGHTS, &device).unwrap();
    let mut newer = card.clone();
    newer.format += 1;
    let refused = load(weights::to_bytes(&network, &newer).unwrap());
    assert!(matches!(refused, Err(LoadError::Format { found }) if found == u64::from(weights::FORMAT) + 1));
    let mut other = card.clone();
    other.shape.blocks += 1;
    assert!(matches!(load(weights::to_bytes(&network, &other).unwrap()), Err(LoadError::Shape { .. })));
    let mut wider = card.clone();
    wider.network.trunk += 8;
    assert!(matches!(load(weights::to_bytes(&network, &wider).unwrap()), Err(LoadError::Tensors(_))));

    let missing = Weights::File("no/such/weights.safetensors".into());
    assert!(matches!(Predictor::load(&missing, DeviceChoice::Cpu), Err(LoadError::Read { .. })));
    #[cfg(not(feature = "gpu"))]
    assert!(matches!(Predictor::load(&Weights::Shipped, DeviceChoice::Gpu), Err(LoadError::Device { .. })));
}

#[test]
fn burnpack_files_hold_what_safetensors_files_do() {
    let inputs = inputs(somebody(), 10);
    let (network, card) = weights::from_bytes(WIDE_WEIGHTS, &Default::default()).unwrap();
    let bytes = weights::to_burnpack(&network, &card).unwrap();
    assert_eq!(weights::read_card(&bytes).unwrap(), card);
    let load = |bytes: &[u8]| Predictor::load(&Weights::Bytes(bytes.to_vec()), DeviceChoice::Cpu);
    let [pack, tensors] = [&bytes[..], WIDE_WEIGHTS].map(|b| load(b).unwrap().predict(&inputs).unwrap());
    assert_eq!(pack, tensors);

    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(load(&flipped), Err(LoadError::Checksum { .. })));
    let mut newer = card.clone();
    newer.format += 1;
    let newer = weights::to_burnpack(&network, &newer).unwrap();
    assert!(matches!(load(&newer), Err(LoadError::Format { .. })));
    // Cut off anywhere, or with any byte of the header another: refused or as before, and nothing panics.
    for cut in (0..100).chain((100..bytes.len()).step_by(bytes.len() / 20)) {
        assert!(load(&bytes[..cut]).is_err(), "{cut}");
    }
    for at in 0..100 {
        let mut other = bytes.clone();
        other[at] ^= 0x55;
        let _ = load(&other);
    }
}

const SMALL: &str = r#"
name = "small"
version = "0"
seed = 3
[network]
fixed = 8
encode = 8
block = 8
span = 8
trunk = 16
multilateration = true
memory = 4
[data]
packet_hz = 50.0
lose_link = 0.2
join = 0.3
leave = 0.5
train = [
    { place = "demo", people = 0, first = 0, count = 2, seconds = 3.0, snr_db = [10.0, 28.0] },
    { place = "demo", people = 1, first = 2, count = 2, seconds = 6.0 },
    { place = "random", people = 2, first = 0, count = 2, seconds = 3.0 },
]
validation = [
    { place = "demo", people = 1, first = 0, count = 1, seconds = 5.0 },
    { place = "random", people = 1, first = 0, count = 1, seconds = 3.0 },
]
[optimiser]
steps = 6
batch = 4
learning_rate = 1e-2
warm_up = 2
cool_down = 2
weight_decay = 0.01
validate_every = 2
"#;

#[test]
fn mixed_precision_is_for_gpus() {
    let mut config = TrainConfig::from_toml(SMALL).unwrap();
    config.optimiser.mixed_precision = true;
    let folder = tempfile::tempdir().unwrap();
    let refused = train::run(&config, folder.path(), "none", DeviceChoice::Cpu, |_| true).unwrap_err();
    assert!(refused.to_string().contains("cpu (flex)"), "{refused}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn training_is_repeatable_and_goes_on_after_an_interruption_to_the_same_weights() {
    let config = TrainConfig::from_toml(SMALL).unwrap();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let whole = train::run(&config, folders[0].path(), "none", DeviceChoice::Cpu, |_| true).unwrap();
    // Stopped at the checkpoint of step 4, then taken up again.
    let stopped = train::run(&config, folders[1].path(), "none", DeviceChoice::Cpu, |p| {
        !matches!(p, Progress::Validation { step: 4, .. })
    });
    assert!(matches!(stopped, Err(TrainError::Stopped(4))), "{stopped:?}");
    let resumed = train::run(&config, folders[1].path(), "none", DeviceChoice::Cpu, |_| true).unwrap();
    assert_eq!(whole.weights, resumed.weights);
    // Measured again by the same scenes they are the same; by others only their card differs, and other trainings are refused.
    let folder = tempfile::tempdir().unwrap();
    let again = |config| train::measure_again(config, &whole.weights, folder.path(), |_| true);
    assert_eq!(again(&config).unwrap().weights, whole.weights);
    let mut others = config.clone();
    others.data.validation[0].first = 3;
    let by_others = again(&others).unwrap();
    assert_ne!(by_others.card.metrics, whole.card.metrics);
    assert_eq!(by_others.card.steps, whole.card.steps);
    assert!(matches!(again(&TrainConfig { seed: 4, ..config.clone() }), Err(TrainError::Config(_))));
    assert!(Predictor::load(&Weights::Bytes(whole.weights.clone()), DeviceChoice::Cpu).is_ok());
    assert!(std::fs::read_to_string(folders[0].path().join("loss.csv")).unwrap().contains("6,train,loss,"));

    // Until the learning rate falls, the number of steps is open.
    let stop = |p| !matches!(p, Progress::Validation { step: 4, .. });
    let mut longer = config.clone();
    longer.optimiser.steps = 8;
    let folder = tempfile::tempdir().unwrap();
    let stopped = train::run(&config, folder.path(), "none", DeviceChoice::Cpu, stop);
    assert!(matches!(stopped, Err(TrainError::Stopped(4))));
    let prolonged = train::run(&longer, folder.path(), "none", DeviceChoice::Cpu, |_| true).unwrap();
    let whole = train::run(&longer, tempfile::tempdir().unwrap().path(), "none", DeviceChoice::Cpu, |_| true)
        .unwrap();
    assert_eq!(whole.weights, prolonged.weights);

    let other = TrainConfig { seed: 4, ..config };
    assert!(matches!(
        train::run(&other, folders[1].path(), "none", DeviceChoice::Cpu, |_| true),
        Err(TrainError::Checkpoint { .. })
    ));
}

#[test]
fn a_wrong_training_configuration_is_refused() {
    for (from, to) in [
        ("steps = 6", "steps = 0"),
        ("seed = 3", "sed = 3"),
        ("first = 2, count = 2", "first = 1, count = 2"),
        ("first = 2, count = 2", "first = 2, each = 2, count = 2"),
        ("snr_db = [10.0, 28.0]", "snr_db = [10.0, 228.0]"),
        ("trunk = 16", "trunk = 0"),
    ] {
        let text = SMALL.replace(from, to);
        assert!(matches!(TrainConfig::from_toml(&text), Err(TrainError::Config(_))), "{to}");
    }
}

#[test]
fn the_configurations_of_the_repository_can_be_trained() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut accepted = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let made = if path.ends_with("hardware.toml") {
            train::Study::from_toml(&text).map(|_| ())
        } else {
            TrainConfig::from_toml(&text).map(|config| {
                println!("{}: {} multiply-adds", config.name, config.network.multiply_adds(5));
            })
        };
        made.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        accepted += 1;
    }
    assert!(accepted >= 6, "{accepted}");
}

#[test]
fn tuning_learns_its_room_and_never_hands_out_worse_weights() {
    // A room of its own with its own receivers, which the shipped weights have never seen.
    let job = Job { place: Place::Random, index: 77, seconds: 40.0, ..job(1, 77) };
    let room = data::simulate(&job).unwrap();
    let (learned, held_out) = (room.part(0..150), room.part(150..room.blocks()));
    let tuning = |learning_rate| Tuning { steps: 30, batch: 16, learning_rate };
    let tune = |held_out: &Sequence, rate| {
        let held_out = std::slice::from_ref(held_out);
        train::tune(DEFAULT_WEIGHTS, vec![learned.clone()], held_out, "random", &tuning(rate)).unwrap()
    };
    let error = |s: &std::collections::BTreeMap<String, _>| -> f64 {
        let by: &invispose_models::evaluate::ByCount = &s["1"];
        by.scores.mpjpe_mm
    };
    // On what it learned from it is better, with the old weights kept as they were.
    let tuned = tune(&learned, 1e-3);
    assert!(error(&tuned.after) < error(&tuned.before), "{} {}", error(&tuned.after), error(&tuned.before));
    let weights = tuned.weights.unwrap();
    assert_ne!(weights, DEFAULT_WEIGHTS);
    let predictor = Predictor::load(&Weights::Bytes(weights), DeviceChoice::Cpu).unwrap();
    assert!(predictor.model().ends_with("+room"));
    // Wherever they are not better there are none.
    for rate in [1e-3, 2e-2] {
        let tuned = tune(&held_out, rate);
        assert_eq!(tuned.weights.is_some(), error(&tuned.after) < error(&tuned.before), "{rate}");
    }
}

const STUDY: &str = r#"
[[test]]
place = "demo"
people = 1
first = 9
count = 1
seconds = 3.0
[[variant]]
name = "base"
[[variant]]
name = "one-antenna"
at = { antennas = 1 }
radios = { receivers = 2, antennas = 1, bandwidth_mhz = 80 }
[[variant]]
name = "half-a-second"
withheld = { parts = ["doppler"], all_but_last_s = 0.4 }
"#;

fn study(text: &str) -> Result<Study, TrainError> {
    // The tables of the base come after it.
    let base = SMALL.replace("[network]", "[base.network]").replace("[data]", "[base.data]");
    Study::from_toml(&format!("[base]\n{}\n{text}", base.replace("[optimiser]", "[base.optimiser]")))
}

#[test]
fn a_study_trains_each_variant_once_on_scenes_of_its_own_radios() {
    let study = study(STUDY).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let one = |v| study.run(v, folder.path(), "none", |_| true).unwrap().persons["1"].scores.mpjpe_mm;
        study.variants.iter().map(one).collect::<Vec<f64>>()
    };
    let scenes = || std::fs::read_dir(folder.path().join("scenes")).unwrap().count();
    let first = run();
    assert!(first[0] != first[1] && first[0] != first[2], "{first:?}");
    // Three training, two validation and one test group, each with the room's own radios and with others.
    assert_eq!(scenes(), 12);
    let weights = folder.path().join("base/weights.safetensors");
    let made = std::fs::metadata(&weights).unwrap().modified().unwrap();
    assert_eq!(run(), first);
    assert_eq!(std::fs::metadata(&weights).unwrap().modified().unwrap(), made);
}

#[test]
fn a_study_that_makes_no_sense_is_refused() {
    for (from, to) in [
        ("bandwidth_mhz = 80", "bandwidth_mhz = 30"),
        ("receivers = 2", "receivers = 9"),
        ("all_but_last_s = 0.4", "all_but_last_s = 2.5"),
        ("\"half-a-second\"", "\"base\""),
        ("\"half-a-second\"", "\"../other\""),
        ("seconds = 3.0", "seconds = 1.0"),
    ] {
        assert!(matches!(study(&STUDY.replace(from, to)), Err(TrainError::Config(_))), "{to}");
    }
}

/// On any adapter, also lavapipe; skipped where there is none, unless `REQUIRE_GPU` forbids that.
#[cfg(feature = "gpu")]
fn on_gpu(weights: &Weights) -> Option<Predictor> {
    match Predictor::load(weights, DeviceChoice::Software) {
        Ok(gpu) => Some(gpu),
        Err(LoadError::Device { reason, .. }) if std::env::var_os("REQUIRE_GPU").is_none() => {
            println!("skipped: {reason}");
            None
        }
        Err(e) => panic!("{e}"),
    }
}

/// Keypoints within so many metres, confidences within half as much.
#[cfg(feature = "gpu")]
fn assert_near(here: &[Prediction], there: &[Prediction], m: f32) {
    assert_eq!(here.len(), there.len());
    for (a, b) in here.iter().zip(there) {
        assert_eq!(a.people.len(), b.people.len());
        for (a, b) in a.people.iter().zip(&b.people) {
            assert!((a.confidence - b.confidence).abs() < m / 2.0, "{} {}", a.confidence, b.confidence);
            for (p, q) in a.keypoints.iter().zip(&b.keypoints) {
                assert!(distance(*p, *q) < m, "{p:?} {q:?}");
            }
        }
        assert_eq!(a.memory.is_some(), b.memory.is_some());
        let left = a.memory.iter().zip(&b.memory).flat_map(|(a, b)| a.iter().zip(b.iter()));
        left.for_each(|(a, b)| assert!((a - b).abs() < 5.0 * m * (1.0 + a.abs()), "{a} {b}"));
    }
}

#[cfg(feature = "gpu")]
#[test]
fn the_gpu_answers_as_the_cpu_does() {
    let inputs = inputs(somebody(), 30);
    // Each window with what was left of the one before.
    let seen = |predictor: &Predictor| {
        let alone = predictor.predict(&inputs).unwrap();
        let mut inputs = inputs.clone();
        for (input, before) in inputs.iter_mut().skip(1).zip(alone) {
            input.earlier[0] = before.memory;
        }
        predictor.predict(&inputs).unwrap()
    };
    for weights in [Weights::Shipped, Weights::ShippedWide, Weights::DemoRoomWide] {
        let Some(gpu) = on_gpu(&weights) else { return };
        assert!(gpu.describe().device.starts_with("gpu"));
        let cpu = Predictor::load(&weights, DeviceChoice::Cpu).unwrap();
        assert_near(&seen(&cpu), &seen(&gpu), 2e-3);
    }
}

/// Steps by a GPU's own layers, gradients and optimiser lead where the CPU's do.
#[cfg(feature = "gpu")]
#[test]
fn a_gpu_learns_as_the_cpu_does() {
    if on_gpu(&Weights::Shipped).is_none() {
        return;
    }
    let config = TrainConfig::from_toml(SMALL).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut mixed = config.clone();
    mixed.optimiser.mixed_precision = true;
    let finished = |config: &TrainConfig, device| {
        let trained = train::run(config, folder.path(), "none", device, |_| true)?;
        let predictor = Predictor::load(&Weights::Bytes(trained.weights), DeviceChoice::Cpu).unwrap();
        // The next begins anew.
        std::fs::remove_file(folder.path().join("checkpoint.json")).unwrap();
        Ok::<_, TrainError>((predictor.predict(&inputs(somebody(), 30)).unwrap(), trained.card.metrics))
    };
    let cpu = finished(&config, DeviceChoice::Cpu).unwrap();
    let near = |gpu: &(Vec<Prediction>, BTreeMap<String, f64>), m: f32| {
        assert_near(&cpu.0, &gpu.0, m);
        for (name, value) in &cpu.1 {
            let there = gpu.1[name];
            assert!((value - there).abs() < 1e-2 * (1.0 + value.abs()), "{name}: {value} {there}");
        }
    };
    let single = finished(&config, DeviceChoice::Software).unwrap();
    near(&single, 2e-3);
    // Sixteen bits of each number tell it to a thousandth.
    match finished(&mixed, DeviceChoice::Software) {
        Ok(mixed) => {
            assert_ne!(mixed.1, single.1);
            near(&mixed, 1e-2);
        }
        Err(TrainError::Config(reason)) => println!("mixed precision skipped: {reason}"),
        Err(e) => panic!("{e}"),
    }
}

/// Packets go up as bytes, words and floats; what the network sees of them is made there.
#[cfg(feature = "gpu")]
#[test]
fn packets_on_the_gpu_give_the_answers_of_packets_on_the_host() {
    use invispose_kernels::gpu::{DeviceSamples, GpuBatch, Pool, SampleFormat, Uploads};
    use invispose_kernels::{Complex32, Layout};
    use invispose_models::input::{Earlier, LinkWindow, ReferenceBuilder};
    use invispose_models::predictor::DeviceWindow;

    let (weights, mut earlier) = (Weights::DemoRoomWide, vec![Earlier::default(); 3]);
    let Some(gpu) = on_gpu(&weights) else { return };
    let cpu = Predictor::load(&weights, DeviceChoice::Cpu).unwrap();
    let context = gpu.compute().gpu().unwrap();
    let kinds = [
        (Layout::new(1, 3, 30), SampleFormat::I8, 50.0),
        (Layout::new(1, 1, 52), SampleFormat::I16, 50.0),
        (Layout::new(2, 2, 57), SampleFormat::F32, 100.0),
        (Layout::new(1, 4, 5), SampleFormat::I8, 20.0),
    ];
    let mut uploads = Uploads::new(1);
    let links: Vec<(Vec<Complex32>, Vec<bool>)> = kinds
        .iter()
        .map(|&(layout, format, rate)| {
            let steps = (2.0 * rate) as usize;
            let csi: Vec<Complex32> = (0..steps * layout.values())
                .map(|i| {
                    let (step, v) = ((i / layout.values()) as f32, (i % layout.values()) as f32);
                    let h = Complex32::from_polar(60.0, 0.2 * v + 1.3 * step)
                        + Complex32::from_polar(20.0, 0.3 * v + 1.5 * step);
                    Complex32::new(h.re.round(), h.im.round())
                })
                .collect();
            uploads.begin(format);
            for h in &csi {
                let words = [h.re as i16, h.im as i16];
                match format {
                    SampleFormat::I8 => uploads.push(&words.map(|w| w as i8 as u8), 1),
                    SampleFormat::I16 => uploads.push(&words.map(i16::to_ne_bytes).concat(), 1),
                    SampleFormat::F32 => uploads.push(&[h.re, h.im].map(f32::to_ne_bytes).concat(), 1),
                }
            }
            (csi, (0..steps).map(|s| s > 7 && s % 5 != 0).collect())
        })
        .collect();
    let mut batch = GpuBatch::new(context).unwrap();
    let samples: Vec<DeviceSamples> = uploads.record(&mut batch, &Pool::new(context)).unwrap();
    batch.submit(Some(&mut uploads), None).unwrap();

    let references: Vec<_> = links
        .iter()
        .zip(&kinds)
        .map(|((csi, _), (layout, ..))| {
            let mut quiet = ReferenceBuilder::default();
            csi.chunks_exact(layout.values()).skip(20).step_by(17).for_each(|p| quiet.push(*layout, p));
            quiet.finish().unwrap()
        })
        .collect();
    let window = |i: usize| LinkWindow {
        csi: &links[i].0,
        received: &links[i].1,
        layout: kinds[i].0,
        rate_hz: kinds[i].2,
        transmitter_m: [0.5, 0.5, 1.0 + i as f32],
        receiver_m: [4.0, 3.0, 1.2],
        reference: &references[i],
    };
    let room_m = [5.0, 4.0, 2.5];
    let sites: [&[usize]; 3] = [&[0, 1, 2], &[3], &[2, 0]];
    // Twice: the second time burn uses its memory again, and something is known of the windows before.
    for _ in 0..2 {
        let hosts: Vec<Input> = sites
            .iter()
            .zip(&earlier)
            .map(|(site, earlier)| {
                let windows: Vec<_> = site.iter().map(|&i| window(i)).collect();
                Input { earlier: earlier.clone(), ..Input::new(room_m, &windows).unwrap() }
            })
            .collect();
        let there: Vec<DeviceWindow<'_>> = sites
            .iter()
            .zip(&earlier)
            .map(|(site, earlier)| DeviceWindow {
                room_m,
                links: site.iter().map(|&i| window(i)).collect(),
                samples: site.iter().map(|&i| &samples[i]).collect(),
                earlier: earlier.clone(),
            })
            .collect();
        let want = cpu.predict(&hosts).unwrap();
        assert_near(&want, &gpu.predict_on_device(&there).unwrap(), 2e-3);
        earlier.iter_mut().zip(&want).for_each(|(earlier, seen)| earlier[2] = seen.memory.clone());
    }
}
