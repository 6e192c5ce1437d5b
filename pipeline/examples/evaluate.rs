//! Runs a suite on real recordings without the network: `cargo run -p invispose-pipeline --no-default-features --example evaluate --
//! motion-espectre ../shared/labelled [--json]`.

use std::path::Path;

use invispose_pipeline::evaluation;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [suite, data, rest @ ..] = arguments.as_slice() else {
        return Err("say which suite, and where the recordings are".into());
    };
    let report = evaluation::run(suite, Path::new(data)).ok_or("no such suite")??;
    if rest.iter().any(|a| a == "--json") {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}
