//! What a configuration asks for, and whether it is there.

use std::fs;
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use invispose_api::Time;
use invispose_api::listen::Tls;
use invispose_api::store::{self, Store};
use invispose_models::predictor::{Compute, DeviceChoice, Predictor};
use invispose_pipeline::sources::{SourceSpec, SpecKind};
use tokio::net::TcpListener;

use super::{Finding, machine};
use crate::config::Config;
use crate::data_dir::DataDir;

/// Time for a broker or a database to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A certificate that ends within this time should be replaced.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Looks at everything, the cheapest first.
pub async fn all(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let mut found = Vec::new();
    let serves = data_dir(config, &mut found);
    found.extend(listener(config, serves).await);
    tls(config, &mut found);
    found.extend(config.sources.iter().map(|source| source_of(&source.uri, serves)));
    found.push(machine::disk(&config.data_dir));
    found.push(machine::clock());
    found.push(machine::descriptors(config.limits.connections));
    found.push(database(config).await);
    found.extend(broker(config));
    found.extend(device(config));
    Ok(found)
}

/// Does a server run on it?
fn data_dir(config: &Config, found: &mut Vec<Finding>) -> bool {
    const CHECK: &str = "data directory";
    let dir = &config.data_dir;
    let shown = dir.display();
    if !dir.exists() {
        let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        found.push(match tempfile_in(parent) {
            Ok(()) => Finding::ok(CHECK, format!("{shown}: will be made")),
            Err(e) => Finding::error(
                CHECK,
                format!("{shown}: cannot be made: {e}"),
                "set data_dir to a place that this user may write",
            ),
        });
        return false;
    }
    let mode = fs::metadata(dir).map_or(0, |m| m.permissions().mode() & 0o777);
    let owner_only = mode & 0o077 == 0;
    let serves = match DataDir::open(dir) {
        Ok(lock) => {
            drop(lock);
            found.push(match tempfile_in(dir) {
                Ok(()) => Finding::ok(CHECK, format!("{shown}: can be written")),
                Err(e) => Finding::error(
                    CHECK,
                    format!("{shown}: {e}"),
                    format!("chown it to the user that serves: chown -R invispose {shown}"),
                ),
            });
            false
        }
        Err(e) if format!("{e:#}").contains("in use by process") => {
            found.push(Finding::ok(
                CHECK,
                format!("{e:#}")
                    .replace("; stop it, or give this one a directory of its own with --data-dir", ""),
            ));
            true
        }
        Err(e) => {
            found.push(Finding::error(
                CHECK,
                format!("{e:#}"),
                format!("chown it to the user that serves: chown -R invispose {shown}"),
            ));
            false
        }
    };
    if !owner_only {
        let detail = format!("{shown}: mode {mode:o} lets other users look at who was where");
        found.push(Finding::warning(CHECK, detail, format!("chmod 700 {shown}")));
    }
    serves
}

fn tempfile_in(dir: &Path) -> std::io::Result<()> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    let written = fs::write(&path, b"x");
    fs::remove_file(&path).ok();
    written
}

async fn listener(config: &Config, serves: bool) -> Vec<Finding> {
    const CHECK: &str = "listener";
    let mut found = Vec::new();
    if !config.unix.only {
        found.push(match TcpListener::bind(config.listen).await {
            Ok(_) => Finding::ok(CHECK, format!("{} is free", config.listen)),
            Err(_) if serves => {
                Finding::ok(CHECK, format!("{} is in use by the running server", config.listen))
            }
            Err(e) => Finding::error(
                CHECK,
                format!("{}: {e}", config.listen),
                format!(
                    "set listen to another address, or stop who has it: ss -ltnp 'sport = :{}'",
                    config.listen.port()
                ),
            ),
        });
        if !config.listen.ip().is_loopback() && config.tls.files().is_none() {
            found.push(Finding::warning(
                CHECK,
                format!("{} can be reached by others, and what is said there is not encrypted", config.listen),
                "set tls.certificate_file and tls.key_file, or listen on 127.0.0.1 behind a proxy that speaks TLS",
            ));
        }
    }
    found
}

fn tls(config: &Config, found: &mut Vec<Finding>) {
    const CHECK: &str = "TLS";
    let Some(files) = config.tls.files() else { return };
    let key = files.key.clone();
    found.push(match Tls::load(files) {
        Ok(tls) => certificate(CHECK, &config.tls.certificate_file, tls.ends(), Time::now()),
        Err(e) => Finding::error(
            CHECK,
            e.to_string(),
            "give a certificate with its chain and its own key, both PEM, that this user may read",
        ),
    });
    if fs::metadata(&key).is_ok_and(|m| m.permissions().mode() & 0o004 != 0) {
        let key = key.display();
        found.push(Finding::warning(
            CHECK,
            format!("{key} can be read by everybody"),
            format!("chmod o-rwx {key}"),
        ));
    }
}

/// One that can be used, and for how long.
fn certificate(check: &'static str, file: &str, ends: Option<Time>, now: Time) -> Finding {
    const FIX: &str = "put a new certificate in its place: the server reads it by itself";
    let Some(ends) = ends else { return Finding::ok(check, format!("{file} and its key can be used")) };
    let left_s = ends.as_ns().saturating_sub(now.as_ns()) / 1_000_000_000;
    match left_s {
        ..=0 => Finding::error(check, format!("{file} ended at {ends}"), FIX),
        _ if left_s < SOON.as_secs().cast_signed() => {
            Finding::warning(check, format!("{file} and its key can be used, but only until {ends}"), FIX)
        }
        _ => Finding::ok(check, format!("{file} and its key can be used until {ends}")),
    }
}

fn source_of(uri: &str, serves: bool) -> Finding {
    const CHECK: &str = "source";
    let spec: SourceSpec = match uri.parse() {
        Ok(spec) => spec,
        Err(e) => {
            return Finding::error(CHECK, format!("{uri}: {e}"), "docs/configuration.md lists the sources");
        }
    };
    match &spec.kind {
        SpecKind::Sim(_) => Finding::ok(CHECK, format!("{uri}: simulated")),
        SpecKind::Udp(address) | SpecKind::Nexmon(address) => match UdpSocket::bind(address) {
            Ok(_) => Finding::ok(CHECK, format!("{uri}: the port is free")),
            Err(_) if serves => {
                Finding::ok(CHECK, format!("{uri}: the port is in use by the running server"))
            }
            Err(e) => Finding::error(
                CHECK,
                format!("{uri}: {e}"),
                format!("stop who has it: ss -lunp 'sport = :{}'", address.port()),
            ),
        },
        SpecKind::File(path, _) | SpecKind::Recording(path, _) => match fs::File::open(path) {
            Ok(_) => Finding::ok(CHECK, format!("{uri}: can be read")),
            Err(e) => Finding::error(CHECK, format!("{uri}: {e}"), "name a file that this user may read"),
        },
    }
}

async fn database(config: &Config) -> Finding {
    const CHECK: &str = "database";
    if !config.database.url.is_empty() {
        let fix = "see that PostgreSQL runs, that the user and the database exist, and that pg_hba.conf lets this host in";
        return match tokio::time::timeout(PATIENCE, Store::reach(&config.database.url)).await {
            Ok(Ok(())) => Finding::ok(CHECK, "PostgreSQL answers"),
            Ok(Err(e)) => Finding::error(CHECK, e.to_string(), fix),
            Err(_) => Finding::error(CHECK, "PostgreSQL does not answer", fix),
        };
    }
    let path = Store::file(&config.data_dir);
    if !path.exists() {
        return Finding::ok(CHECK, "SQLite, will be made");
    }
    let fix = "stop the server, move the file away and put one of a backup there: invispose restore";
    match store::damage(&path).await {
        Ok(None) => Finding::ok(CHECK, format!("SQLite, {} is whole", path.display())),
        Ok(Some(damage)) => Finding::error(CHECK, format!("{}: {damage}", path.display()), fix),
        Err(e) => Finding::error(CHECK, format!("{}: {e}", path.display()), fix),
    }
}

/// Whether it can be reached; user, password and certificate are tried by the server itself.
fn broker(config: &Config) -> Option<Finding> {
    const CHECK: &str = "broker";
    let (_, host, port) = match config.mqtt.enabled().then(|| config.mqtt.address())? {
        Ok(address) => address,
        Err(e) => {
            return Some(Finding::error(
                CHECK,
                e.to_string(),
                "write mqtt.url as mqtt://HOST:1883 or mqtts://HOST:8883",
            ));
        }
    };
    let reached = (host.as_str(), port).to_socket_addrs().and_then(|mut addresses| {
        let address = addresses.next().ok_or_else(|| std::io::Error::other("the name has no address"))?;
        TcpStream::connect_timeout(&address, PATIENCE)
    });
    Some(match reached {
        Ok(_) => Finding::ok(CHECK, format!("{host}:{port} can be reached")),
        Err(e) => Finding::error(
            CHECK,
            format!("{host}:{port}: {e}"),
            "see that the broker runs and that no firewall is between",
        ),
    })
}

fn device(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    const CHECK: &str = "device";
    if cfg!(not(feature = "gpu")) && config.device != "auto" && config.device != "cpu" {
        found.push(Finding::error(
            CHECK,
            format!("device = {}: this build uses the CPU only", config.device),
            "build with cargo build --release --features gpu, or set device = \"cpu\"",
        ));
    }
    let compute = config.device.parse::<DeviceChoice>().map_err(|e| e.to_string());
    let compute = match compute.and_then(|choice| Compute::open(choice).map_err(|e| e.to_string())) {
        Ok(compute) => compute,
        Err(e) => {
            let fix = "install the GPU's Vulkan driver (Debian: mesa-vulkan-drivers, or nvidia-driver), look at vulkaninfo --summary, and let this user \
                       into the groups video and render; or set device = \"cpu\"";
            found.push(Finding::error(CHECK, e, fix));
            Compute::cpu()
        }
    };
    let gpu = if cfg!(feature = "gpu") { "" } else { "; this build uses the CPU only" };
    found.push(Finding::ok(CHECK, format!("{}{gpu}", compute.name())));
    found.push(
        match Predictor::load_on(&config.model.source(), compute)
            .map_err(|e| e.to_string())
            .and_then(|predictor| predictor.warm_up().map_err(|e| e.to_string()).map(|()| predictor))
        {
            Ok(predictor) => Finding::ok("model", format!("{} runs", predictor.model())),
            Err(e) => Finding::error(
                "model",
                e,
                "point model.weights at a file that invispose train or calibrate wrote, or leave it out: the program has weights of its own",
            ),
        },
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Grade;

    #[test]
    fn certificates_are_watched() {
        let day_ns = 24 * 3600 * 1_000_000_000;
        let now = Time::from_ns(1_800_000_000_000_000_000);
        let grade = |days: i64| {
            let ends = Time::from_ns(now.as_ns() + days * day_ns);
            certificate("TLS", "server.pem", Some(ends), now).grade
        };
        assert_eq!(
            [-1, 0, 1, 13, 15, 400].map(grade),
            [Grade::Error, Grade::Error, Grade::Warning, Grade::Warning, Grade::Ok, Grade::Ok]
        );
        assert_eq!(certificate("TLS", "server.pem", None, now).grade, Grade::Ok);
    }
}
