//! A PostgreSQL server of one's own, on a socket in a temporary directory.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "port.rs"]
mod port;

pub struct Postgres {
    bin: PathBuf,
    dir: tempfile::TempDir,
    server: Option<Child>,
    /// Settings of its own.
    settings: Vec<String>,
}

impl Postgres {
    /// `None`, with the reason printed, where PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(|_| Vec::new())
    }

    /// The same, reachable on `localhost` with TLS by `cert.pem` and `key.pem` of this folder.
    pub fn start_tls(certificates: &Path) -> Option<(Self, u16)> {
        let port = port::kept();
        let server = Self::start_with(|postgres| {
            for file in ["cert.pem", "key.pem"] {
                let to = postgres.dir.path().join(file);
                fs::copy(certificates.join(file), &to).unwrap();
                fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
                // Where tests run as root the server is somebody else, and keys must be its own.
                let _ = Command::new("chown").arg("postgres").arg(&to).stderr(Stdio::null()).status();
            }
            let path = |file: &str| postgres.dir.path().join(file).display().to_string();
            vec![
                "ssl=on".into(),
                format!("ssl_cert_file={}", path("cert.pem")),
                format!("ssl_key_file={}", path("key.pem")),
                "listen_addresses=localhost".into(),
                format!("port={port}"),
            ]
        });
        server.map(|server| (server, port))
    }

    fn start_with(settings: impl FnOnce(&Self) -> Vec<String>) -> Option<Self> {
        let Some(bin) = bin() else {
            println!("skipped: no PostgreSQL server is installed (Debian: postgresql)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut postgres = Self { bin, dir, server: None, settings: Vec::new() };
        let data = postgres.data();
        let made = postgres
            .command("initdb")
            .args(["-A", "trust", "-U", "invispose", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        if !made.status.success() {
            println!("skipped: no PostgreSQL cluster: {}", String::from_utf8_lossy(&made.stderr));
            return None;
        }
        postgres.settings = settings(&postgres);
        postgres.resume();
        Some(postgres)
    }

    /// Servers refuse to run as root.
    fn command(&self, program: &str) -> Command {
        let path = self.bin.join(program);
        let root = fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
        let mut command = if root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts the server and waits until it answers.
    pub fn resume(&mut self) {
        let socket = self.dir.path().to_owned();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(&socket);
        command.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        command.args(self.settings.iter().flat_map(|s| ["-c", s.as_str()]));
        self.server = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(60);
        while !self.sql("postgres", "SELECT 1") {
            assert!(Instant::now() < end, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Does the server take this statement?
    pub fn sql(&self, database: &str, statement: &str) -> bool {
        let mut command = Command::new(self.bin.join("psql"));
        let port = self.settings.iter().find_map(|s| s.strip_prefix("port=")).unwrap_or("5432");
        command.arg("-h").arg(self.dir.path()).args([
            "-p",
            port,
            "-U",
            "invispose",
            "-d",
            database,
            "-c",
            statement,
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    /// Ends the server at once, as a crash does.
    pub fn crash(&mut self) {
        let mut command = self.command("pg_ctl");
        command.arg("-D").arg(self.data()).args(["-m", "immediate", "stop"]).stdout(Stdio::null());
        command.status().unwrap();
        if let Some(mut server) = self.server.take() {
            server.wait().unwrap();
        }
    }

    /// An empty database.
    pub fn database(&self, name: &str) -> String {
        assert!(self.sql("postgres", &format!("CREATE DATABASE {name}")));
        format!("postgres://invispose@localhost/{name}?host={}", self.dir.path().display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.crash();
    }
}

fn bin() -> Option<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = installed.map(|e| e.path().join("bin")).collect();
    places.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&path));
    places.into_iter().rev().find(|p| ["initdb", "postgres", "psql"].iter().all(|b| Path::exists(&p.join(b))))
}
