//! A mosquitto broker of one's own, and its command line clients as independent witnesses.

#![allow(dead_code)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

#[path = "port.rs"]
mod port;

/// Far more than anything here takes; a test that reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Mosquitto {
    program: PathBuf,
    dir: tempfile::TempDir,
    pub port: u16,
    server: Option<Child>,
}

/// A message as `mosquitto_sub` got it.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub qos: u8,
    pub retain: bool,
    pub topic: String,
    pub payload: String,
}

impl Heard {
    fn of(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix("MESSAGE ")?.splitn(4, ' ');
        Some(Self {
            qos: parts.next()?.parse().ok()?,
            retain: parts.next()? == "1",
            topic: parts.next()?.to_owned(),
            payload: parts.next().unwrap_or_default().to_owned(),
        })
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.payload).unwrap_or_else(|e| panic!("{self:?}: {e}"))
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|p| p.join(name))
        .find(|p| p.exists())
}

impl Mosquitto {
    /// `None`, with the reason printed, where mosquitto is not installed. `settings` are lines of its configuration.
    pub fn start(settings: &str) -> Option<Self> {
        Self::start_with(|_| settings.to_owned())
    }

    /// The same with settings that name files of its directory.
    pub fn start_with(settings: impl FnOnce(&Path) -> String) -> Option<Self> {
        let (Some(program), Some(_)) = (program("mosquitto"), program("mosquitto_sub")) else {
            println!("skipped: mosquitto is not installed (Debian: mosquitto, mosquitto-clients)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let port = port::kept();
        let root =
            std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
        let user = if root { "user root\n" } else { "" };
        let mut text =
            format!("{user}listener {port} 127.0.0.1\npersistence_location {}/\n", dir.path().display());
        text += &settings(dir.path());
        if !text.contains("allow_anonymous") {
            text += "\nallow_anonymous true\n";
        }
        std::fs::write(dir.path().join("mosquitto.conf"), text).unwrap();
        let mut broker = Self { program, dir, port, server: None };
        broker.resume();
        Some(broker)
    }

    /// Starts the server and waits until it listens.
    pub fn resume(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.dir.path().join("mosquitto.conf")).stdin(Stdio::null());
        self.server = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < end, "mosquitto does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// As `kill -9` does it.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Writes sessions and retained messages to the disk, which a killed broker does not.
    pub fn save(&self) {
        let server = self.server.as_ref().unwrap();
        let file = self.dir.path().join("mosquitto.db");
        let before = std::fs::metadata(&file).and_then(|m| m.modified()).ok();
        assert!(Command::new("kill").arg("-USR1").arg(server.id().to_string()).status().unwrap().success());
        let end = Instant::now() + PATIENCE;
        while std::fs::metadata(&file).and_then(|m| m.modified()).ok() == before {
            assert!(Instant::now() < end, "mosquitto does not save");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Listens to everything from now on, and to what is retained, with the flags as they were published.
    pub fn listen(&self, more: &[&str]) -> Listener {
        // Into a pipe it would say nothing before it has said much.
        let mut command = Command::new("stdbuf");
        command.args([
            "-oL",
            "mosquitto_sub",
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-V",
            "5",
            "-q",
            "2",
            "-d",
        ]);
        command.args(["--retain-as-published", "-F", "MESSAGE %q %r %t %p"]).args(more);
        if !more.contains(&"-t") {
            command.args(["-t", "#"]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let listener = Listener { child, lines, passed: Mutex::default() };
        listener.subscribed();
        listener
    }

    pub fn publish(&self, topic: &str, payload: &str, more: &[&str]) {
        let mut command = Command::new("mosquitto_pub");
        command
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "2", "-t", topic, "-s"])
            .args(more);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), payload.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

pub struct Listener {
    child: Child,
    lines: Receiver<String>,
    /// Messages that nobody has asked for yet: topics have no order among each other.
    passed: Mutex<VecDeque<Heard>>,
}

impl Listener {
    fn line<T>(&self, patience: Duration, mut wanted: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let end = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(found) = wanted(&line) {
                        return Some(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => panic!("mosquitto_sub has ended"),
            }
        }
    }

    /// Waits until the broker has confirmed its subscription, for the first time or after one more start. By then the broker has sent it
    /// what waited for it.
    pub fn subscribed(&self) {
        let mut passed = self.passed.lock().unwrap();
        let subscribed = self.line(PATIENCE, |line| {
            passed.extend(Heard::of(line));
            line.starts_with("Subscribed").then_some(())
        });
        assert!(subscribed.is_some(), "no subscription");
    }

    /// The first message that is wanted and was not given yet.
    pub fn find(&self, wanted: impl FnMut(&Heard) -> bool) -> Heard {
        self.within(PATIENCE, wanted).expect("what was waited for")
    }

    /// The same, if it comes within this time.
    pub fn within(&self, patience: Duration, mut wanted: impl FnMut(&Heard) -> bool) -> Option<Heard> {
        let mut passed = self.passed.lock().unwrap();
        if let Some(place) = passed.iter().position(&mut wanted) {
            return passed.remove(place);
        }
        self.line(patience, |line| {
            let heard = Heard::of(line)?;
            if wanted(&heard) {
                return Some(heard);
            }
            passed.push_back(heard);
            None
        })
    }

    pub fn on(&self, topic: &str) -> Heard {
        self.find(|heard| heard.topic == topic)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
