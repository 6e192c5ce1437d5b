//! Trains and evaluates without the rest of the program: `pose train CONFIG FOLDER`, `pose evaluate SUITE [WEIGHTS]`,
//! `pose time`.

use std::{path::Path, time::Instant};

use invispose_models::{
    data::{self, Job, Place},
    evaluate,
    input::MAX_LINKS,
    predictor::{DeviceChoice, Predictor, Weights},
    sim::Split,
    train::{self, Progress, TrainConfig},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["train", config, folder] => {
            let config = TrainConfig::from_toml(&std::fs::read_to_string(config)?)?;
            let commit = std::env::var("INVISPOSE_COMMIT").unwrap_or_else(|_| "unknown".into());
            let start = Instant::now();
            let trained = train::run(&config, Path::new(folder), &commit, |progress| {
                match progress {
                    Progress::Data { done, total } if done % 50 != 0 && done != total => {}
                    Progress::Step { step, .. } if step % 200 != 0 => {}
                    other => println!("{:7.1} s {other:?}", start.elapsed().as_secs_f32()),
                }
                true
            })?;
            println!("{} bytes of weights in {folder}", trained.weights.len());
        }
        ["evaluate", suite, rest @ ..] => {
            let weights = rest.first().map_or(Weights::Shipped, |path| Weights::File(path.into()));
            let predictor = Predictor::load(&weights, DeviceChoice::Cpu)?;
            let report =
                evaluate::run(suite.parse()?, &predictor, |done, total| eprintln!("{done}/{total}"))?;
            println!("{}", serde_json::to_string_pretty(&report)?);
        }
        ["time"] => {
            let job = Job {
                place: Place::Demo,
                split: Split::Train,
                index: 0,
                people: 1,
                seconds: 20.0,
                packet_hz: 50.0,
            };
            let start = Instant::now();
            let sequence = data::simulate(&job)?;
            println!("simulating {} s of three links: {:.2} s", job.seconds, start.elapsed().as_secs_f32());
            let predictor = Predictor::load(&Weights::Shipped, DeviceChoice::Cpu)?;
            println!("{:?}", predictor.describe());
            for batch in [1, MAX_LINKS, 32] {
                let inputs: Vec<_> =
                    sequence.ends().step_by(7).take(batch).map(|e| sequence.input(e)).collect();
                predictor.predict(&inputs)?;
                let start = Instant::now();
                for _ in 0..50 {
                    predictor.predict(&inputs)?;
                }
                println!("batch {batch}: {:.2} ms", start.elapsed().as_secs_f64() * 1000.0 / 50.0);
            }
        }
        _ => eprintln!("pose train CONFIG FOLDER | pose evaluate SUITE [WEIGHTS] | pose time"),
    }
    Ok(())
}
