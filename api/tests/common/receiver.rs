//! An HTTP receiver that does what it is told: answers, fails, stalls, closes half-way.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Far more than anything here takes; a test that reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What it does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Status and more headers.
    Answer(u16, &'static str),
    Redirect(u16, String),
    Slow(Duration),
    /// Never answers.
    Stall,
    CloseAtOnce,
    /// In the middle of the answer's head.
    CloseHalfWay,
    /// In the middle of the answer's body.
    CutBody,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub at: Instant,
    pub act: Act,
}

impl Got {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    got: Vec<Got>,
    next: VecDeque<Act>,
    always: Option<Act>,
}

pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub fn start() -> Self {
        Self::start_on("127.0.0.1:0")
    }

    pub fn start_on(address: &str) -> Self {
        Self::run(address, None)
    }

    /// With TLS, for `localhost`; certificate and key lie in this directory.
    pub fn start_tls(dir: &Path) -> Self {
        let chain = CertificateDer::pem_file_iter(dir.join("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.collect::<Result<_, _>>().unwrap(), key)
            .unwrap();
        Self::run("127.0.0.1:0", Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn run(address: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, shared).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, state, task }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What the next requests meet; afterwards all are answered 200.
    pub fn next(&self, acts: Vec<Act>) {
        self.state.lock().unwrap().next.extend(acts);
    }

    pub fn always(&self, act: Act) {
        self.state.lock().unwrap().always = Some(act);
    }

    pub fn got(&self) -> Vec<Got> {
        self.state.lock().unwrap().got.clone()
    }

    pub async fn until(&self, done: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let end = Instant::now() + PATIENCE;
        loop {
            let got = self.got();
            if done(&got) {
                return got;
            }
            assert!(Instant::now() < end, "{} requests: {:?}", got.len(), got.last());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The first request of this delivery.
    pub async fn of(&self, delivery: &str) -> Got {
        let is = |g: &&Got| g.header("x-delivery-id") == delivery;
        let got = self.until(|got| got.iter().any(|g| is(&g))).await;
        got.iter().find(is).unwrap().clone()
    }

    pub async fn wait(&self, requests: usize) -> Vec<Got> {
        self.until(|got| got.len() >= requests).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<Mutex<State>>) {
    let mut buffer = Vec::new();
    loop {
        let Some(mut got) = read(&mut stream, &mut buffer).await else { return };
        let act = {
            let mut state = state.lock().unwrap();
            let act = state.next.pop_front().or(state.always.clone()).unwrap_or(Act::Answer(200, ""));
            got.act = act.clone();
            state.got.push(got);
            act
        };
        let answer = match act {
            Act::Answer(status, more) => {
                format!("HTTP/1.1 {status} Status\r\n{more}Content-Length: 0\r\n\r\n")
            }
            Act::Redirect(status, place) => {
                format!("HTTP/1.1 {status} Moved\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n")
            }
            Act::Slow(time) => {
                tokio::time::sleep(time).await;
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into()
            }
            Act::Stall => return std::future::pending().await,
            Act::CloseAtOnce => return,
            Act::CloseHalfWay => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").await;
                return;
            }
            Act::CutBody => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf").await;
                return;
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Got> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(n, _)| n == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Some(Got { method, path, headers, body, at: Instant::now(), act: Act::Stall })
}
