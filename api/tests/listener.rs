//! How clients come in: TLS and its renewal, HTTP/1.1 and HTTP/2, a Unix socket; and those who only take up room.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/certificates.rs"]
mod certificates;
mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use certificates::{authority, signed};
use common::{Options, Server};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use invispose_api::ApiConfig;
use invispose_api::listen::{Listeners, Tls, TlsFiles};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn limits(change: impl FnOnce(&mut ApiConfig)) -> Options {
    let mut config = ApiConfig::default();
    change(&mut config);
    Options { config, ..Options::default() }
}

/// A client that trusts this authority, and shows a certificate where it has one.
fn client(trusted: &Path, identity: Option<(PathBuf, PathBuf)>, alpn: &[&str]) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.unwrap().with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn encrypted(server: &Server, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    client.connect(ServerName::try_from("localhost").unwrap(), stream).await
}

type Answered = (StatusCode, Version, hyper::HeaderMap);

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    two: bool,
    host: &str,
) -> Result<Answered, hyper::Error> {
    let request = |version| {
        let path = if version == Version::HTTP_2 { format!("http://{host}/livez") } else { "/livez".into() };
        let request = Request::get(path).version(version);
        let request = if version == Version::HTTP_2 { request } else { request.header("host", host) };
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let stream = TokioIo::new(stream);
    let answer = if two {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        sender.send_request(request(Version::HTTP_2)).await?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        sender.send_request(request(Version::HTTP_11)).await?
    };
    let (parts, body) = answer.into_parts();
    assert_eq!(body.collect().await?.to_bytes(), "ok\n");
    Ok((parts.status, parts.version, parts.headers))
}

/// What comes until the server closes.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    // A reset is an end, too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("an end");
    String::from_utf8_lossy(&text).into_owned()
}

/// Tries until it is so.
async fn until<F: Future<Output = bool>>(mut so: impl FnMut() -> F) {
    let end = Instant::now() + PATIENCE;
    while !so().await {
        assert!(Instant::now() < end, "never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_while_the_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority(dir.path(), "ours"), authority(dir.path(), "theirs"));
    let (certificate, key) = signed(dir.path(), "ours", "server");
    let (next_certificate, next_key) = signed(dir.path(), "theirs", "next");
    let files = TlsFiles { certificate: certificate.clone(), key: key.clone(), client_authorities: None };
    let options = Options {
        tls: Some(Tls::load(files).unwrap()),
        ..limits(|c| c.allowed_hosts = vec!["pose.example".into()])
    };
    let server = Server::with(options).await;
    for (alpn, two) in [(&["h2", "http/1.1"][..], true), (&["http/1.1"], false), (&[], false)] {
        let stream = encrypted(&server, &client(&ours, None, alpn)).await.unwrap();
        let (status, version, headers) = ask(stream, two, "pose.example").await.unwrap();
        assert_eq!((status, version), (StatusCode::OK, if two { Version::HTTP_2 } else { Version::HTTP_11 }));
        assert!(headers.contains_key("strict-transport-security"));
    }
    let day_s = 24 * 3600;
    let ends = server.state.connections().certificate_ends.get() as i64 - common::now_ns() / 1_000_000_000;
    assert!((day_s..=2 * day_s).contains(&ends), "two days from when it was made: {ends} s");

    let stream = encrypted(&server, &client(&ours, None, &[])).await.unwrap();
    let (.., headers) = ask(stream, false, "localhost").await.unwrap();
    assert!(!headers.contains_key("strict-transport-security"), "the name belongs to other servers as well");
    let before = client(&theirs, None, &[]);
    assert!(encrypted(&server, &before).await.is_err());
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(!rest(&mut plain).await.contains("HTTP"), "nothing is said without TLS");

    // A certificate alone is not its key's: the old pair stays.
    std::fs::copy(&next_certificate, &certificate).unwrap();
    until(async || server.state.connections().failed_reloads.get() > 0).await;
    encrypted(&server, &client(&ours, None, &[])).await.unwrap();
    std::fs::copy(&next_key, &key).unwrap();
    until(async || encrypted(&server, &client(&theirs, None, &[])).await.is_ok()).await;
    assert!(encrypted(&server, &client(&ours, None, &[])).await.is_err());
}

#[tokio::test]
async fn clients_show_certificates_where_the_server_asks() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, _) = (authority(dir.path(), "ours"), authority(dir.path(), "theirs"));
    let (certificate, key) = signed(dir.path(), "ours", "server");
    let files = TlsFiles { certificate, key, client_authorities: Some(ours.clone()) };
    let server =
        Server::with(Options { tls: Some(Tls::load(files.clone()).unwrap()), ..Options::default() }).await;
    for (identity, welcome) in [
        (Some(signed(dir.path(), "ours", "friend")), true),
        (Some(signed(dir.path(), "theirs", "stranger")), false),
        (None, false),
    ] {
        let client = client(&ours, identity, &["http/1.1"]);
        // With TLS 1.3 the client learns of the refusal when it reads.
        let answered = match encrypted(&server, &client).await {
            Ok(stream) => ask(stream, false, "localhost").await.is_ok(),
            Err(_) => false,
        };
        assert_eq!(answered, welcome);
    }
    let nowhere = TlsFiles { client_authorities: Some(dir.path().join("nowhere.pem")), ..files.clone() };
    assert!(Tls::load(nowhere).unwrap_err().to_string().contains("nowhere.pem"));
    let empty = TlsFiles { certificate: files.key.clone(), ..files };
    assert!(Tls::load(empty).unwrap_err().to_string().contains("server.key: no certificate"));
}

#[tokio::test]
async fn plain_connections_speak_both_protocols() {
    let server = Server::start().await;
    for two in [false, true] {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (status, version, _) = ask(stream, two, "localhost").await.unwrap();
        assert_eq!((status, version == Version::HTTP_2), (StatusCode::OK, two));
    }
    // A method that begins as HTTP/2 does, byte by byte.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in b"PROPFIND /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn a_unix_socket_serves_those_who_may_open_it() {
    let server = Server::start().await;
    let path = server.dir.path().join("api.sock");
    // A process that died has left its socket.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listeners = Listeners::unix(&path, 0o640).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(invispose_api::serve(server.state.clone(), listeners, async {
        stopped.await.ok();
    }));
    for two in [false, true] {
        let stream = UnixStream::connect(&path).await.unwrap();
        assert_eq!(ask(stream, two, "localhost").await.unwrap().0, StatusCode::OK);
    }
    let second = Listeners::unix(&path, 0o640).unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AddrInUse);
    stop.send(()).unwrap();
    task.await.unwrap().unwrap();
    assert!(!path.exists());

    std::fs::write(&path, "somebody's").unwrap();
    assert!(Listeners::unix(&path, 0o640).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's");
    assert!(UnixListener::bind(&path).is_err());
}

#[tokio::test]
async fn who_is_slow_to_ask_is_cut_and_others_are_served() {
    let server = Server::with(limits(|c| c.head_timeout = Duration::from_secs(1))).await;
    let mut slow = Vec::new();
    for beginning in [
        "",
        "P",
        "PRI",
        "GET /livez HTTP/1.1\r\nhost: localhost\r\nx: ",
        "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        slow.push((beginning, stream));
    }
    assert_eq!(server.get("/livez").await.status, 200);
    for (beginning, mut stream) in slow {
        let said = rest(&mut stream).await;
        let asked = beginning.ends_with("\r\n\r\n");
        assert_eq!(said.starts_with("HTTP/1.1 200"), asked, "{beginning:?}: {said}");
    }
    assert_eq!(server.get("/livez").await.status, 200);
    // One of HTTP/2 that asked once and then no more.
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(
        TokioExecutor::new(),
        TokioIo::new(stream),
    )
    .await
    .unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://localhost/livez").body(Empty::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    tokio::time::timeout(PATIENCE, connection).await.expect("an end").unwrap().unwrap();
}

#[tokio::test]
async fn what_is_too_much_is_refused_by_name() {
    let server = Server::with(limits(|c| (c.headers, c.header_bytes, c.body_limit) = (20, 8192, 1000))).await;
    let many: String = (0..40).map(|n| format!("x-{n}: 1\r\n")).collect();
    let large = format!("x: {}\r\n", "a".repeat(20_000));
    for (headers, status) in [("", 200), (&many, 431), (&large, 431)] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let said = rest(&mut stream).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {said}");
    }
    let json = ("content-type", "application/json");
    let answer = server.post("/graphql", &[json], "x".repeat(2000)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text());
    // A bomb is never unpacked.
    for encoding in ["gzip", "br", "zstd", "deflate, gzip"] {
        let answer = server.post("/graphql", &[json, ("content-encoding", encoding)], "x").await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(answer.json()["field"], "Content-Encoding");
    }
    let query = r#"{"query": "{ sites { id } }"}"#;
    assert_eq!(server.post("/graphql", &[json, ("content-encoding", "identity")], query).await.status, 200);
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_sockets_count() {
    let server = Server::with(limits(|c| c.connections_per_address = 2)).await;
    let socket = server.socket().await;
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut status = [0; 12];
    second.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    let mut third = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(rest(&mut third).await, "");
    assert_eq!(server.state.connections().refused.get(), 1);
    drop(socket);
    until(async || {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ =
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        rest(&mut stream).await.starts_with("HTTP/1.1 200")
    })
    .await;
}

#[tokio::test]
async fn a_socket_that_falls_silent_is_closed() {
    let server = Server::with(limits(|c| c.socket_idle = Duration::from_secs(2))).await;
    // It answers pings, as every client does while it reads.
    let mut lively = server.socket_at("/ws/v1/stream", None, None).await.unwrap();
    assert_eq!(lively.receive().await["type"], "connection");
    // And this one does not.
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let upgrade = "GET /ws/v1/stream HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    silent.write_all(upgrade.as_bytes()).await.unwrap();
    let ended = tokio::spawn(async move { rest(&mut silent).await });
    tokio::select! {
        heard = lively.receive() => panic!("{heard}"),
        said = ended => assert!(said.unwrap().contains("nothing was heard of the client")),
    }
    lively.send(serde_json::json!({ "type": "ping" })).await;
    assert_eq!(lively.receive().await["type"], "pong");
}
