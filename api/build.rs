//! Embeds the browser's pages where somebody built them (`make bundles`): all files of `dashboard/dist` and `graphiql/dist`. Makes what gRPC
//! speaks out of `proto`.

use std::error::Error;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use prost::Message as _;

const BUNDLES: [(&str, &str); 2] = [("DASHBOARD", "dashboard/dist"), ("GRAPHIQL", "graphiql/dist")];

const PROTOS: [&str; 3] =
    ["invispose/v1/pose.proto", "invispose/v1/history.proto", "invispose/v1/events.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    bundles(&out)?;
    println!("cargo::rerun-if-changed=proto");
    let protos = protox::compile(PROTOS, ["proto"])?;
    // With the comments, for clients that ask what there is.
    fs::write(out.join("descriptors.bin"), protos.encode_to_vec())?;
    tonic_prost_build::configure().build_transport(false).compile_fds(protos)?;
    Ok(())
}

fn bundles(to: &Path) -> io::Result<()> {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
    let mut out = String::new();
    for (constant, folder) in BUNDLES {
        let dist = package.join(folder);
        // Cargo calls a package dirty for as long as a watched path is missing.
        let _ = fs::create_dir_all(&dist);
        println!("cargo::rerun-if-changed={}", dist.display());
        writeln!(out, "const {constant}: &[Asset] = &[").map_err(io::Error::other)?;
        for (name, path) in files(&dist, "")? {
            let mut hash = DefaultHasher::new();
            fs::read(&path)?.hash(&mut hash);
            let hash = hash.finish();
            writeln!(
                out,
                "    Asset {{ name: {name:?}, etag: \"\\\"{hash:016x}\\\"\", bytes: include_bytes!({path:?}) }},"
            )
            .map_err(io::Error::other)?;
        }
        out.push_str("];\n");
    }
    fs::write(to.join("bundles.rs"), out)
}

/// All files under a folder by their names relative to it, hidden ones aside; none where there is no folder.
fn files(folder: &Path, prefix: &str) -> io::Result<Vec<(String, PathBuf)>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().filter(|n| !n.starts_with('.')).map(str::to_owned) else {
            continue;
        };
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path(), &format!("{prefix}{name}/"))?);
        } else {
            found.push((format!("{prefix}{name}"), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}
