//! Embeds the GraphiQL bundle in `graphiql/dist`, where somebody built it (`make graphiql`).

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let dist = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("graphiql/dist");
    // Cargo calls a package dirty for as long as a watched path is missing.
    let _ = fs::create_dir_all(&dist);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=graphiql/dist");
    let mut files: Vec<PathBuf> = match fs::read_dir(&dist) {
        Ok(entries) => entries.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>()?,
        Err(_) => Vec::new(),
    };
    files.sort();
    let mut out = String::from("static ASSETS: &[Asset] = &[\n");
    for path in files {
        let Some(name) = path.file_name().and_then(|n| n.to_str()).filter(|n| !n.starts_with('.')) else {
            continue;
        };
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
    let target = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("graphiql.rs");
    fs::write(target, out)
}
