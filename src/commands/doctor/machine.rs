//! What the machine gives.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Resource, getrlimit};

use super::Finding;

/// Room below which histories of a day may not fit.
const LITTLE: u64 = 1 << 30;
/// Room below which nothing is left soon.
const NONE: u64 = 100 << 20;

/// Room on the disk of the data directory.
pub fn disk(data_dir: &Path) -> Finding {
    const CHECK: &str = "disk";
    let there = data_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let free = match rustix::fs::statvfs(there) {
        Ok(fs) => fs.f_bavail.saturating_mul(fs.f_frsize),
        Err(e) => {
            return Finding::warning(
                CHECK,
                format!("{}: {e}", there.display()),
                "see that the file system is mounted",
            );
        }
    };
    let detail = format!("{:.1} GB free for {}", free as f64 / 1e9, data_dir.display());
    let fix = "make room, move data_dir to a larger disk, or keep less: database.keep_frames_days, database.queue_mb";
    match free {
        0..NONE => Finding::error(CHECK, detail, fix),
        NONE..LITTLE => Finding::warning(CHECK, detail, fix),
        _ => Finding::ok(CHECK, detail),
    }
}

/// Times of frames are this host's: clients and several hosts compare them.
pub fn clock() -> Finding {
    const CHECK: &str = "clock";
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let said = asked
        .ok()
        .filter(|out| out.status.success())
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    let fix = "apt-get install systemd-timesyncd or chrony; timedatectl set-ntp true";
    match said.as_deref() {
        Some("yes") => Finding::ok(CHECK, "synchronised"),
        Some(_) => Finding::warning(CHECK, "not synchronised: times of frames may be wrong", fix),
        None => Finding::warning(
            CHECK,
            "whether it is synchronised cannot be found out: there is no timedatectl that answers",
            fix,
        ),
    }
}

/// File descriptors for the connections that the configuration allows.
pub fn descriptors(connections: u32) -> Finding {
    /// For sources, rings, the database and the outputs.
    const OTHERS: u64 = 256;
    const CHECK: &str = "file descriptors";
    let needed = u64::from(connections) + OTHERS;
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < needed => Finding::warning(
            CHECK,
            format!("at most {most}, and limits.connections = {connections} would need {needed}"),
            format!(
                "LimitNOFILE={needed} in the systemd unit, ulimit -Hn {needed} in a shell, or a smaller limits.connections"
            ),
        ),
        Some(most) => Finding::ok(CHECK, format!("at most {most}")),
        None => Finding::ok(CHECK, "as many as wanted"),
    }
}
