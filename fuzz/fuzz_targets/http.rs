#![no_main]
//! The whole server but its listeners, with requests as HTTP/1.1 writes them.

use std::cell::RefCell;
use std::convert::Infallible;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use axum::response::Response;
use invispose_api::access::{AccessConfig, SigningKey};
use invispose_api::{ApiConfig, ApiState, Site, fuzzing};
use invispose_pipeline::floor::FloorPlan;
use invispose_pipeline::ring::{RingConfig, RingWriter};
use invispose_pipeline::site::SiteConfig;
use invispose_pipeline::{Health, PoseFrame, Provenance, SourceKind};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tower::ServiceExt;
use tower::util::BoxCloneService;

/// The server without its listeners: one site with one frame, nobody needs to say who they are, and nothing is kept.
struct Server {
    runtime: Runtime,
    service: BoxCloneService<Request<Body>, Response, Infallible>,
    _closing: watch::Sender<bool>,
    _ring: RingWriter,
    _dir: tempfile::TempDir,
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = RingConfig { slots: 8, slot_bytes: 4096 };
        let mut ring = RingWriter::open(dir.path().join("lab.ring"), config).expect("a ring");
        let config = SiteConfig {
            id: "lab".into(),
            name: String::new(),
            room_m: [5.0, 4.0, 2.5],
            links: vec![],
            zones: vec![],
            experimental_poses: false,
            max_occupancy: None,
        };
        let plan = FloorPlan::new(&[]).expect("no zones are a plan");
        let (site, _) = Site::new(config, plan, ring.reader());
        let provenance =
            Provenance { source: SourceKind::Simulated, model: None, calibrated: false, experimental: false };
        let frame = PoseFrame {
            frame_id: ring.next_frame_id(),
            site: "lab".into(),
            time_ns: 1,
            processing_ns: 1,
            provenance,
            presence: None,
            breathing: None,
            count: None,
            activity: None,
            persons: vec![],
        };
        ring.publish(&frame).expect("room for a frame");
        let access = AccessConfig {
            signing_key: Some(SigningKey::new([7; 32])),
            trusted_proxies: ["127.0.0.0/8".parse().expect("a network")].into(),
            ..AccessConfig::default()
        };
        let state =
            ApiState::new(vec![site], Health::default(), ApiConfig { access, ..ApiConfig::default() });
        let (_closing, closing) = watch::channel(false);
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let service = runtime.block_on(async { BoxCloneService::new(fuzzing::server(state, closing)) });
        Self { runtime, service, _closing, _ring: ring, _dir: dir }
    }

    fn answer(&self, request: Request<Body>) {
        self.runtime.block_on(async {
            let Ok(answer) = self.service.clone().oneshot(request).await;
            assert_ne!(answer.status().as_u16(), 500, "nothing that a client sends is the server's fault");
            let endless = answer.headers().get("content-type").is_some_and(|kind| {
                [b"text/event-stream".as_slice(), b"application/grpc"]
                    .iter()
                    .any(|of| kind.as_bytes().starts_with(of))
            });
            if !endless {
                to_bytes(answer.into_body(), usize::MAX).await.expect("a whole answer");
            }
        });
    }
}

fuzz_target!(|data: &[u8]| {
    thread_local!(static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) });
    let Some(request) = request(data) else { return };
    SERVER.with_borrow_mut(|server| server.get_or_insert_with(Server::new).answer(request));
});

/// Method, space and address, a header field a line, and after an empty line the body. What HTTP itself would refuse is passed over.
fn request(data: &[u8]) -> Option<Request<Body>> {
    let end = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, body) = (data.get(..end)?, data.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let (method, path) = (first.get(..space)?, first.get(space + 1..)?);
    let mut request = Request::builder().method(Method::from_bytes(method).ok()?).uri(path);
    let mut named = false;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
        named |= name.eq_ignore_ascii_case(b"host");
        request = request.header(name, value.trim_ascii());
    }
    if !named {
        request = request.header("host", "localhost");
    }
    request.body(Body::from(body.to_vec())).ok()
}
