//! What the ring costs its writer and its readers, beside iceoryx2 (feature `iceoryx2`) doing the same job in the
//! same run: a pose frame of four persons goes in, readers get it out, decoded.
//!
//! `cargo bench -p invispose-benches --features iceoryx2 --bench ring`
//!
//! - `publish`: encoding and writing a frame, nobody reading.
//! - `read`: reading and decoding the newest frame.
//! - `fan_out/N`: one frame written, then read once by each of N readers, all on one thread: the work itself,
//!   without the scheduler. Throughput is frames delivered.
//! - `publish_beside/N`: the writer's cost while N threads read as fast as they are let. Throughput is frames written.
//! - `round_trip`: written by one thread, read by another that spins, and answered through an atomic.

// A bench may panic.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use invispose_pipeline::pose::{Activity, Keypoint, Presence};
use invispose_pipeline::ring::{RingConfig, RingReader, RingWriter};
use invispose_pipeline::{Person, PoseFrame, Provenance, SourceKind};

const READERS: [usize; 3] = [1, 8, 64];

/// A way to hand pose frames from one writer to many readers.
trait Transport {
    const NAME: &'static str;
    /// What a reader's thread needs to make its reader.
    type Address: Sync;
    type Writer;
    type Reader;
    fn open() -> (Self::Writer, Self::Address);
    fn reader(address: &Self::Address) -> Self::Reader;
    fn publish(writer: &mut Self::Writer, frame: &PoseFrame);
    /// The next frame that this reader has not seen; it may pass over older ones.
    fn receive(reader: &mut Self::Reader) -> Option<PoseFrame>;
}

struct Ring;

struct RingEnd {
    writer: RingWriter,
    _dir: tempfile::TempDir,
}

struct Follower {
    reader: RingReader,
    seen: u64,
}

impl Transport for Ring {
    const NAME: &'static str = "ring";
    type Address = RingReader;
    type Writer = RingEnd;
    type Reader = Follower;

    fn open() -> (RingEnd, RingReader) {
        let dir = tempfile::tempdir().unwrap();
        let writer = RingWriter::open(dir.path().join("ring"), RingConfig::default()).unwrap();
        let reader = writer.reader();
        (RingEnd { writer, _dir: dir }, reader)
    }

    fn reader(address: &RingReader) -> Follower {
        Follower { reader: address.clone(), seen: 0 }
    }

    fn publish(end: &mut RingEnd, frame: &PoseFrame) {
        end.writer.publish(frame).unwrap();
    }

    fn receive(follower: &mut Follower) -> Option<PoseFrame> {
        let head = follower.reader.head();
        if head == follower.seen {
            return None;
        }
        let frame = follower.reader.read(head).ok()?;
        follower.seen = head;
        Some(frame)
    }
}

#[cfg(feature = "iceoryx2")]
mod iox {
    use iceoryx2::port::{publisher::Publisher, subscriber::Subscriber};
    use iceoryx2::prelude::*;
    use iceoryx2::service::port_factory::publish_subscribe::PortFactory;
    use invispose_pipeline::{PoseFrame, codec};

    pub struct Iceoryx2;

    type Factory = PortFactory<ipc::Service, [u8], ()>;

    fn service(name: &str) -> (Node<ipc::Service>, Factory) {
        let node = NodeBuilder::new().create::<ipc::Service>().unwrap();
        let service = node
            .service_builder(&name.try_into().unwrap())
            .publish_subscribe::<[u8]>()
            .max_publishers(1)
            .max_subscribers(64)
            .max_nodes(66)
            .subscriber_max_buffer_size(16)
            .enable_safe_overflow(true)
            .open_or_create()
            .unwrap();
        (node, service)
    }

    pub struct Writer {
        publisher: Publisher<ipc::Service, [u8], ()>,
        scratch: Vec<u8>,
        _ends: (Node<ipc::Service>, Factory),
    }

    pub struct Reader {
        subscriber: Subscriber<ipc::Service, [u8], ()>,
        _ends: (Node<ipc::Service>, Factory),
    }

    impl super::Transport for Iceoryx2 {
        const NAME: &'static str = "iceoryx2";
        type Address = String;
        type Writer = Writer;
        type Reader = Reader;

        fn open() -> (Writer, String) {
            use std::sync::atomic::{AtomicU64, Ordering};
            static COUNT: AtomicU64 = AtomicU64::new(0);
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("invispose-bench/{}/{n}", std::process::id());
            let ends = service(&name);
            let publisher = ends.1.publisher_builder().initial_max_slice_len(8192).create().unwrap();
            (Writer { publisher, scratch: Vec::new(), _ends: ends }, name)
        }

        fn reader(name: &String) -> Reader {
            let ends = service(name);
            let subscriber = ends.1.subscriber_builder().create().unwrap();
            Reader { subscriber, _ends: ends }
        }

        fn publish(writer: &mut Writer, frame: &PoseFrame) {
            writer.scratch.clear();
            let bytes = codec::encode_pose(frame, &mut writer.scratch).unwrap();
            let sample = writer.publisher.loan_slice_uninit(bytes).unwrap();
            sample.write_from_slice(&writer.scratch).send().unwrap();
        }

        fn receive(reader: &mut Reader) -> Option<PoseFrame> {
            let sample = reader.subscriber.receive().unwrap()?;
            Some(codec::decode_pose(sample.payload()).unwrap().0)
        }
    }
}

fn frame(id: u64) -> PoseFrame {
    let person = |p: u64| Person {
        id: p,
        confidence: 0.9,
        position_m: [1.0, 2.0, 1.0],
        velocity_m_s: [0.1, 0.0, 0.0],
        keypoints: [Keypoint { position_m: [1.0, 2.0, 1.5], confidence: 0.8 }; 17],
        activity: Some(Activity::Walking),
        zone: Some(1),
        breathing: None,
    };
    PoseFrame {
        frame_id: id,
        site: "lab".into(),
        time_ns: id as i64 * 50_000_000,
        processing_ns: 1_000_000,
        provenance: Provenance {
            source: SourceKind::Simulated,
            model: Some("bench 0.1.0".into()),
            calibrated: true,
            experimental: false,
        },
        presence: Some(Presence { present: true, motion_level: 2.0, coverage: 1.0 }),
        breathing: None,
        count: None,
        activity: None,
        persons: (0..4).map(person).collect(),
    }
}

/// The frames that a writer publishes: one, with the next id.
struct Frames(PoseFrame);

impl Frames {
    fn new() -> Self {
        Self(frame(0))
    }

    fn next(&mut self) -> &PoseFrame {
        self.0.frame_id += 1;
        &self.0
    }
}

fn single<T: Transport>(c: &mut Criterion) {
    let mut group = c.benchmark_group("single");
    group.throughput(Throughput::Elements(1));
    let (mut writer, address) = T::open();
    let mut frames = Frames::new();
    group.bench_function(BenchmarkId::new("publish", T::NAME), |b| {
        b.iter(|| T::publish(&mut writer, frames.next()));
    });
    let mut reader = T::reader(&address);
    group.bench_function(BenchmarkId::new("read", T::NAME), |b| {
        b.iter_custom(|iterations| {
            let mut total = std::time::Duration::ZERO;
            for _ in 0..iterations {
                T::publish(&mut writer, frames.next());
                let start = Instant::now();
                black_box(T::receive(&mut reader).unwrap());
                total += start.elapsed();
            }
            total
        });
    });
    group.finish();
}

fn fan_out<T: Transport>(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan_out");
    for count in READERS {
        let (mut writer, address) = T::open();
        let mut readers: Vec<_> = (0..count).map(|_| T::reader(&address)).collect();
        let mut frames = Frames::new();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new(T::NAME, count), |b| {
            b.iter(|| {
                T::publish(&mut writer, frames.next());
                for reader in &mut readers {
                    black_box(T::receive(reader).unwrap());
                }
            });
        });
    }
    group.finish();
}

fn publish_beside<T: Transport>(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish_beside");
    group.throughput(Throughput::Elements(1));
    for count in READERS {
        let (mut writer, address) = T::open();
        let mut frames = Frames::new();
        let (stop, ready, received) = (AtomicBool::new(false), Barrier::new(count + 1), AtomicU64::new(0));
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| {
                    let mut reader = T::reader(&address);
                    ready.wait();
                    while !stop.load(Ordering::Relaxed) {
                        match T::receive(&mut reader) {
                            Some(frame) => {
                                black_box(frame);
                                received.fetch_add(1, Ordering::Relaxed);
                            }
                            None => thread::yield_now(),
                        }
                    }
                });
            }
            ready.wait();
            group.bench_function(BenchmarkId::new(T::NAME, count), |b| {
                b.iter(|| T::publish(&mut writer, frames.next()));
            });
            stop.store(true, Ordering::Relaxed);
        });
        let (written, received) = (frames.0.frame_id, received.into_inner());
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "publish_beside/{}/{count}: {:.0} frames/s written, {:.0} frames/s received by all",
            T::NAME,
            written as f64 / seconds,
            received as f64 / seconds
        );
    }
    group.finish();
}

fn round_trip<T: Transport>(c: &mut Criterion) {
    let mut group = c.benchmark_group("round_trip");
    let (mut writer, address) = T::open();
    let mut frames = Frames::new();
    let (stop, ready, seen) = (AtomicBool::new(false), Barrier::new(2), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut reader = T::reader(&address);
            ready.wait();
            while !stop.load(Ordering::Relaxed) {
                if let Some(frame) = T::receive(&mut reader) {
                    seen.store(frame.frame_id, Ordering::Release);
                }
                std::hint::spin_loop();
            }
        });
        ready.wait();
        group.bench_function(T::NAME, |b| {
            b.iter(|| {
                let frame = frames.next();
                T::publish(&mut writer, frame);
                while seen.load(Ordering::Acquire) != frame.frame_id {
                    std::hint::spin_loop();
                }
            });
        });
        stop.store(true, Ordering::Relaxed);
    });
    group.finish();
}

fn all(c: &mut Criterion) {
    single::<Ring>(c);
    fan_out::<Ring>(c);
    publish_beside::<Ring>(c);
    round_trip::<Ring>(c);
    #[cfg(feature = "iceoryx2")]
    {
        single::<iox::Iceoryx2>(c);
        fan_out::<iox::Iceoryx2>(c);
        publish_beside::<iox::Iceoryx2>(c);
        round_trip::<iox::Iceoryx2>(c);
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
