//! The program as its users run it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod arrays;
pub mod mmfi;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Far more than anything here takes; a test that reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub fn invispose() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_invispose"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("INVISPOSE_")) {
        command.env_remove(name);
    }
    command
}

/// Runs to the end and returns what it printed; panics when it fails.
pub fn output(args: &[&str], dir: &Path) -> String {
    let out = finished(args, dir);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

pub fn finished(args: &[&str], dir: &Path) -> Output {
    invispose().args(args).current_dir(dir).stdin(Stdio::null()).output().unwrap()
}

/// Material that is not part of the repository; says so where it is missing.
pub fn shared(path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    if !found.exists() {
        println!("skipped: no {}", found.display());
        return None;
    }
    Some(found)
}

/// A running `demo`, `run` or `replay`; killed when dropped.
pub struct Server {
    child: Child,
    pub base: String,
    lines: Receiver<String>,
}

impl Server {
    pub fn start(args: &[&str], dir: &Path) -> Self {
        Self::start_with(args, dir, &[])
    }

    /// With variables of the environment.
    pub fn start_with(args: &[&str], dir: &Path, variables: &[(&str, &str)]) -> Self {
        let mut child = invispose()
            .args(args)
            .envs(variables.iter().copied())
            .args(["--listen", "127.0.0.1:0", "--data-dir", "data", "--device", "cpu"])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut server = Self { child, base: String::new(), lines };
        let line = server.line("listening on ");
        server.base = line.strip_prefix("listening on ").unwrap().to_owned();
        server
    }

    /// The next line of standard output that starts so.
    pub fn line(&self, start: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|e| panic!("no line {start:?}: {e}"));
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// Status and JSON body.
    pub fn get(&self, path: &str) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("{}{path}", self.base)).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
    }

    pub fn graphql(&self, query: &str) -> Value {
        let body = serde_json::json!({ "query": query });
        let mut answer = ureq::post(format!("{}/graphql", self.base)).send_json(&body).unwrap();
        answer.body_mut().read_json().unwrap()
    }

    /// Asks until `wanted` is content with `/api/v1/pose/current`.
    pub fn current(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, frame) = self.get("/api/v1/pose/current");
            if status == 200 && wanted(&frame) {
                return frame;
            }
            assert!(Instant::now() < end, "never came; last: {status} {frame}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM; returns how it ended and how long that took.
    pub fn terminate(mut self) -> (std::process::ExitStatus, Duration) {
        let asked = Instant::now();
        signal(self.child.id(), "TERM");
        let status = self.child.wait().unwrap();
        (status, asked.elapsed())
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(status.success());
}
