//! Embeds the browser's pages where somebody built them (`make bundles`): all files of `dashboard/dist` and `graphiql/dist`.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const BUNDLES: [(&str, &str); 2] = [("DASHBOARD", "dashboard/dist"), ("GRAPHIQL", "graphiql/dist")];

fn main() -> io::Result<()> {
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
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("bundles.rs"), out)
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
