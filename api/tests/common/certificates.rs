//! Certificate authorities of one's own, by openssl.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn openssl(dir: &Path, args: &str) {
    let mut command = Command::new("openssl");
    command.args(args.split(' ')).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success(), "openssl {args}");
}

const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// `ca.pem`, and `cert.pem` with `key.pem` for `localhost` that it signed.
pub fn make(dir: &Path) {
    authority(dir, "ca");
    let (_, key) = signed(dir, "ca", "cert");
    std::fs::rename(key, dir.join("key.pem")).unwrap();
}

/// `NAME.pem`, which signs, and its `NAME.key`.
pub fn authority(dir: &Path, name: &str) -> PathBuf {
    openssl(
        dir,
        &format!("req -x509 {EC} -days 2 -subj /CN=authority-{name} -keyout {name}.key -out {name}.pem"),
    );
    dir.join(format!("{name}.pem"))
}

/// `NAME.pem` for `localhost`, which the authority signed, and its `NAME.key`.
pub fn signed(dir: &Path, authority: &str, name: &str) -> (PathBuf, PathBuf) {
    openssl(dir, &format!("req {EC} -subj /CN=localhost -keyout {name}.key -out {name}.request"));
    std::fs::write(dir.join("ext"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(
        dir,
        &format!(
            "x509 -req -days 2 -in {name}.request -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -extfile ext -out {name}.pem"
        ),
    );
    (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")))
}
