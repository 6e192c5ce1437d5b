//! The ring's protocol under a model checker: every interleaving and every value that a relaxed load may return.
//!
//! `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p invispose-pipeline --no-default-features
//! --release --test ring_loom`
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use invispose_pipeline::ring::protocol::{Miss, SLOT_HEADER_WORDS, Shared, Stamp, Word};
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;

/// With `FENCED` false the fences do nothing, to see that the checker would notice.
struct Checked<const FENCED: bool>(AtomicU64);

impl<const FENCED: bool> Word for Checked<FENCED> {
    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
    fn store(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
    fn fence_acquire() {
        if FENCED {
            fence(Ordering::Acquire);
        }
    }
    fn fence_release() {
        if FENCED {
            fence(Ordering::Release);
        }
    }
}

/// Two payload words a slot.
const SLOT_WORDS: usize = SLOT_HEADER_WORDS + 2;

struct Memory<const FENCED: bool> {
    head: Checked<FENCED>,
    slots: Vec<Checked<FENCED>>,
}

impl<const FENCED: bool> Memory<FENCED> {
    fn new(slots: usize) -> Arc<Self> {
        let word = || Checked(AtomicU64::new(0));
        Arc::new(Self { head: word(), slots: (0..slots * SLOT_WORDS).map(|_| word()).collect() })
    }

    fn shared(&self) -> Shared<'_, Checked<FENCED>> {
        Shared::new(&self.head, &self.slots, SLOT_WORDS).unwrap()
    }
}

fn payload(id: u64) -> Vec<u8> {
    [id.to_le_bytes(), (!id).to_le_bytes()].concat()
}

fn stamp(id: u64) -> Stamp {
    Stamp { time_ns: id as i64 * 10, latest_ns: id as i64 * 100 }
}

fn publish<const FENCED: bool>(memory: &Memory<FENCED>, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        assert!(memory.shared().publish(id, stamp(id), &payload(id)));
    }
}

/// A read gives the whole frame of that id or says truthfully why not.
fn check<const FENCED: bool>(memory: &Memory<FENCED>, id: u64) {
    let shared = memory.shared();
    let head = shared.head();
    let mut out = Vec::new();
    match shared.read(id, &mut out) {
        Ok(read) => assert_eq!((read, out), (stamp(id), payload(id))),
        Err(Miss::NotYet) => assert!(id > head),
        Err(Miss::Lapped) => assert!(id < shared.oldest()),
        // The checksum must never be what finds a torn frame.
        Err(Miss::Lost) => panic!("frame {id} lost while the writer lives"),
    }
}

fn read_while_it_is_overwritten<const FENCED: bool>() {
    loom::model(|| {
        let memory = Memory::<FENCED>::new(2);
        publish(&memory, 1..=2);
        let writer = {
            let memory = memory.clone();
            thread::spawn(move || publish(&memory, 3..=3))
        };
        check(&memory, 1);
        writer.join().unwrap();
    });
}

#[test]
fn a_reader_never_sees_a_torn_frame() {
    read_while_it_is_overwritten::<true>();
}

#[test]
#[should_panic = "lost while the writer lives"]
fn without_fences_a_torn_frame_is_found() {
    read_while_it_is_overwritten::<false>();
}

#[test]
fn a_reader_of_the_head_finds_it() {
    loom::model(|| {
        let memory = Memory::<true>::new(2);
        let writer = {
            let memory = memory.clone();
            thread::spawn(move || publish(&memory, 1..=2))
        };
        let head = memory.shared().head();
        // Two slots: nothing that was announced can be overwritten by two frames.
        if head > 0 {
            let mut out = Vec::new();
            assert_eq!(memory.shared().read(head, &mut out), Ok(stamp(head)));
            assert_eq!(out, payload(head));
        }
        writer.join().unwrap();
        assert_eq!(memory.shared().head(), 2);
    });
}

#[test]
fn two_readers_beside_a_lapping_writer() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let memory = Memory::<true>::new(2);
        publish(&memory, 1..=1);
        let threads: Vec<_> = [1, 2]
            .map(|id| {
                let memory = memory.clone();
                thread::spawn(move || check(&memory, id))
            })
            .into();
        publish(&memory, 2..=3);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
