//! `invispose backup` and `restore`: the data directory as it was at one moment, taken while the server runs.
//!
//! What is copied first may be repeated by what is copied later, never the other way round: writes that wait on the disk, then the
//! databases, then the rings that hold what is not yet written, then the numbers and ids that all of them use.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use invispose_api::Time;
use invispose_api::store;
use serde::{Deserialize, Serialize};

use crate::cli::{Backup, Restore};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::output;

/// What is in a backup. It is written last.
const MANIFEST: &str = "backup.json";
/// Of the manifest.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    program: String,
    created: String,
    files: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    bytes: u64,
    crc32: u32,
}

/// Writes `args.to`. It is there when all is in it and on the disk, or not at all.
pub fn backup(args: &Backup, config: &Config) -> anyhow::Result<()> {
    let (from, to) = (&config.data_dir, &args.to);
    if !from.is_dir() {
        bail!("{}: there is no data directory", from.display());
    }
    if to.exists() {
        bail!("{}: is there already", to.display());
    }
    let started = Instant::now();
    let partial = beside(to, "partial")?;
    if partial.exists() {
        // Of a backup that was cut short.
        fs::remove_dir_all(&partial).with_context(|| partial.display().to_string())?;
    }
    create_private(&partial)?;
    let mut entries = Vec::new();
    for name in files_of(from)? {
        let (source, target) = (from.join(&name), partial.join(&name));
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        match copy(&source, &target) {
            Ok(()) => {}
            // A write that waited has reached the database, which is copied later.
            Err(e) if is_gone(&e) => continue,
            Err(e) => return Err(e.context(name)),
        }
        let (bytes, crc32) = sum(&target)?;
        entries.push(Entry { name, bytes, crc32 });
    }
    let manifest = Manifest {
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").into(),
        created: Time::now().to_string(),
        files: entries,
    };
    let bytes: u64 = manifest.files.iter().map(|entry| entry.bytes).sum();
    let text = serde_json::to_vec_pretty(&manifest)?;
    fs::write(partial.join(MANIFEST), text).and_then(|()| sync(&partial.join(MANIFEST))).context(MANIFEST)?;
    sync(&partial).and_then(|()| fs::rename(&partial, to)).with_context(|| to.display().to_string())?;
    parent(to).and_then(|folder| Ok(sync(folder)?))?;
    output::line(format_args!(
        "{} files, {:.1} MB to {} in {:.1} s{}",
        manifest.files.len(),
        bytes as f64 / 1e6,
        to.display(),
        started.elapsed().as_secs_f64(),
        if config.database.url.is_empty() {
            ""
        } else {
            "; the PostgreSQL database is not in it: pg_dump keeps that"
        },
    ))
}

/// Makes the data directory of a backup.
pub fn restore(args: &Restore, config: &Config) -> anyhow::Result<()> {
    let (from, to) = (&args.from, &config.data_dir);
    let manifest = fs::read(from.join(MANIFEST)).with_context(|| format!("{}: no backup", from.display()))?;
    let manifest: Manifest =
        serde_json::from_slice(&manifest).with_context(|| format!("{}/{MANIFEST}", from.display()))?;
    if manifest.version != VERSION {
        bail!("{}: a backup of version {}; this program reads {VERSION}", from.display(), manifest.version);
    }
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        // Says so where a server still writes it.
        drop(DataDir::open(to)?);
        bail!("{}: holds something; move it away first", to.display());
    }
    let partial = beside(to, "restoring")?;
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| partial.display().to_string())?;
    }
    create_private(&partial)?;
    let runtime = runtime()?;
    for entry in &manifest.files {
        let name = inside(&entry.name)?;
        let (source, target) = (from.join(name), partial.join(name));
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let copied = fs::copy(&source, &target).and_then(|_| sync(&target));
        copied.with_context(|| source.display().to_string())?;
        if sum(&target)? != (entry.bytes, entry.crc32) {
            bail!("{}: is not what was backed up; {} stays as it is", source.display(), to.display());
        }
        if is_database(&target)
            && let Some(damage) = runtime.block_on(store::damage(&target)).context(entry.name.clone())?
        {
            bail!("{}: {damage}", source.display());
        }
    }
    if to.exists() {
        fs::remove_dir(to).with_context(|| to.display().to_string())?;
    }
    sync(&partial).and_then(|()| fs::rename(&partial, to)).with_context(|| to.display().to_string())?;
    parent(to).and_then(|folder| Ok(sync(folder)?))?;
    output::line(format_args!("{} files of {} to {}", manifest.files.len(), manifest.created, to.display()))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("tokio")
}

/// Files by name, in the order in which they are copied.
fn files_of(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_str();
            let name = name.with_context(|| format!("{}: the name is no UTF-8", path.display()))?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && order(name).is_some() {
                names.push(name.to_owned());
            }
        }
    }
    names.sort_by_key(|name| (order(name), name.clone()));
    Ok(names)
}

/// `None`: belongs to the running process alone, or comes with the database that it belongs to.
fn order(name: &str) -> Option<u8> {
    let passing = name == "lock"
        || [".sqlite-wal", ".sqlite-shm", ".sqlite-journal", ".new"].iter().any(|end| name.ends_with(end));
    match name {
        _ if passing => None,
        _ if name.starts_with("store-queue/") => Some(0),
        _ if is_database(Path::new(name)) => Some(1),
        _ if name.ends_with(".ring") => Some(2),
        "person-ids" => Some(4),
        _ => Some(3),
    }
}

fn is_database(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "sqlite")
}

fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if is_database(from) {
        return Ok(runtime()?.block_on(store::snapshot(from, to))?);
    }
    fs::copy(from, to)?;
    Ok(sync(to)?)
}

fn sum(path: &Path) -> anyhow::Result<(u64, u32)> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let (mut hasher, mut bytes, mut buffer) = (crc32fast::Hasher::new(), 0, vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut buffer).with_context(|| path.display().to_string())?;
        let Some(read) = buffer.get(..n).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
        bytes += n as u64;
    }
    Ok((bytes, hasher.finalize()))
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn parent(path: &Path) -> anyhow::Result<&Path> {
    let parent = path.parent().context("a directory in another one is needed")?;
    Ok(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

fn beside(path: &Path, ending: &str) -> anyhow::Result<PathBuf> {
    let name = path.file_name().with_context(|| format!("{}: names no directory", path.display()))?;
    Ok(parent(path)?.join(format!(".{}.{ending}", name.to_string_lossy())))
}

/// A name in a manifest leads nowhere else.
fn inside(name: &str) -> anyhow::Result<&Path> {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain || name.is_empty() {
        bail!("{MANIFEST}: {name:?} is no name of a file in a backup");
    }
    Ok(path)
}

/// Only its owner sees what is in it: it says who was where, and holds keys.
fn create_private(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| path.display().to_string())
}
