//! Prints how well presence tells movement from quiet: `cargo run -p invispose-pipeline --no-default-features --example
//! motion_suite -- ../shared/labelled/motion-espectre [--json]`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut folder = PathBuf::from("../shared/labelled/motion-espectre");
    let mut json = false;
    for argument in std::env::args().skip(1) {
        if argument == "--json" {
            json = true;
        } else {
            folder = argument.into();
        }
    }
    let report = invispose_pipeline::evaluation::motion::motion_espectre(&folder)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}
