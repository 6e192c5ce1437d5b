//! A certificate authority of one's own, by openssl.

use std::path::Path;
use std::process::{Command, Stdio};

fn openssl(dir: &Path, args: &str) {
    let mut command = Command::new("openssl");
    command.args(args.split(' ')).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success(), "openssl {args}");
}

/// `ca.pem`, and `cert.pem` with `key.pem` for `localhost` that it signed.
pub fn make(dir: &Path) {
    const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(dir, &format!("req -x509 {EC} -days 2 -subj /CN=test-authority -keyout ca.key -out ca.pem"));
    openssl(dir, &format!("req {EC} -subj /CN=localhost -keyout key.pem -out request.pem"));
    std::fs::write(dir.join("ext"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(
        dir,
        "x509 -req -days 2 -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -out cert.pem",
    );
}
