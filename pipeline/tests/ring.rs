//! The ring: what a reader may rely on, also when the writer is killed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use invispose_pipeline::PoseFrame;
use invispose_pipeline::codec;
use invispose_pipeline::ring::{ReadError, RingConfig, RingError, RingReader, RingWriter};
use proptest::prelude::*;
use support::{Numbers, child, pose_frame};

const SMALL: RingConfig = RingConfig { slots: 8, slot_bytes: 8192 };
const HEADER: u64 = 4096;
const HEAD_AT: u64 = 64;

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("site.ring");
    (dir, path)
}

fn publish(writer: &mut RingWriter, count: u64) {
    for _ in 0..count {
        writer.publish(&pose_frame(writer.next_frame_id())).unwrap();
    }
}

fn slot_at(id: u64) -> u64 {
    HEADER + (id - 1) % u64::from(SMALL.slots) * u64::from(SMALL.slot_bytes)
}

fn patch(path: &Path, offset: u64, word: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&word.to_le_bytes(), offset).unwrap();
}

#[test]
fn a_new_ring_is_empty() {
    let (_dir, path) = scratch();
    let writer = RingWriter::open(&path, SMALL).unwrap();
    let reader = RingReader::open(&path).unwrap();
    assert_eq!((writer.next_frame_id(), reader.head(), reader.oldest()), (1, 0, 0));
    assert_eq!(reader.latest(), None);
    assert_eq!(reader.read(1), Err(ReadError::NotYet));
    assert_eq!(reader.range_from(0).count(), 0);
    assert_eq!(reader.first_at(0), 1);
}

#[test]
fn frames_are_read_until_they_are_overwritten() {
    let (_dir, path) = scratch();
    let mut writer = RingWriter::open(&path, SMALL).unwrap();
    let reader = RingReader::open(&path).unwrap();
    for id in 1..=30u64 {
        publish(&mut writer, 1);
        assert_eq!((reader.head(), reader.oldest()), (id, id.saturating_sub(6).max(1)));
        assert_eq!(reader.latest(), Some(pose_frame(id)));
        for i in reader.oldest()..=id {
            assert_eq!(reader.read(i), Ok(pose_frame(i)));
        }
        assert_eq!(reader.read(id + 1), Err(ReadError::NotYet));
    }
    assert_eq!(reader.read(0), Err(ReadError::Lapped { oldest: 24 }));
    assert_eq!(reader.read(22), Err(ReadError::Lapped { oldest: 24 }));
    let mut bytes = vec![1, 2, 3];
    reader.read_bytes(28, &mut bytes).unwrap();
    assert_eq!(codec::decode_pose(&bytes).unwrap(), (pose_frame(28), bytes.len()));
}

#[test]
fn an_iterator_passes_over_what_it_missed_and_goes_on_later() {
    let (_dir, path) = scratch();
    let mut writer = RingWriter::open(&path, SMALL).unwrap();
    let mut frames = writer.reader().range_from(1);
    assert_eq!(frames.next(), None);
    publish(&mut writer, 3);
    assert_eq!(frames.by_ref().map(|f| f.frame_id).collect::<Vec<_>>(), [1, 2, 3]);
    publish(&mut writer, 20);
    assert_eq!(frames.by_ref().map(|f| f.frame_id).collect::<Vec<_>>(), (17..=23).collect::<Vec<_>>());
    assert_eq!((frames.missed(), frames.next_id()), (13, 24));
}

#[test]
fn a_refused_frame_harms_nothing() {
    let (_dir, path) = scratch();
    let mut writer = RingWriter::open(&path, RingConfig { slots: 4, slot_bytes: 1024 }).unwrap();
    writer.publish(&pose_frame(1)).unwrap();
    let mut large = pose_frame(16);
    large.frame_id = 2;
    assert!(matches!(writer.publish(&large), Err(RingError::TooLarge { limit: 992, .. })));
    assert!(matches!(writer.publish(&pose_frame(3)), Err(RingError::FrameId { expected: 2, found: 3 })));
    let mut crowded = pose_frame(2);
    crowded.persons = vec![pose_frame(1).persons.remove(0); PoseFrame::MAX_PERSONS + 1];
    assert!(matches!(writer.publish(&crowded), Err(RingError::Encode(_))));
    let reader = writer.reader();
    assert_eq!((writer.next_frame_id(), reader.latest()), (2, Some(pose_frame(1))));
    writer.publish(&pose_frame(2)).unwrap();
    assert_eq!(reader.latest(), Some(pose_frame(2)));
}

#[test]
fn the_default_slot_holds_the_largest_frame_of_long_names() {
    let (_dir, path) = scratch();
    let mut writer = RingWriter::open(&path, RingConfig { slots: 2, ..RingConfig::default() }).unwrap();
    let mut frame = pose_frame(16);
    frame.frame_id = 1;
    frame.site = Arc::from("s".repeat(1500));
    frame.provenance.model = Some(Arc::from("m".repeat(1500)));
    assert_eq!(frame.persons.len(), PoseFrame::MAX_PERSONS);
    writer.publish(&frame).unwrap();
    assert_eq!(writer.reader().latest(), Some(frame));
}

#[test]
fn publishing_wakes() {
    let (_dir, path) = scratch();
    let mut writer = RingWriter::open(&path, SMALL).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (reader, ids) = (writer.reader(), seen.clone());
    writer.on_publish(Box::new(move |id| {
        assert_eq!(reader.read(id), Ok(pose_frame(id)));
        ids.lock().unwrap().push(id);
    }));
    publish(&mut writer, 3);
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3]);
}

#[test]
fn one_writer_only() {
    let (_dir, path) = scratch();
    let mut first = RingWriter::open(&path, SMALL).unwrap();
    publish(&mut first, 2);
    let reader = first.reader();
    assert!(matches!(RingWriter::open(&path, SMALL), Err(RingError::Locked { .. })));
    drop(first);
    let mut second = RingWriter::open(&path, SMALL).unwrap();
    assert_eq!(second.next_frame_id(), 3);
    publish(&mut second, 1);
    assert_eq!(reader.head(), 3);
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let (_dir, path) = scratch();
    assert!(matches!(RingReader::open(&path), Err(RingError::Io { .. })));
    let foreign = b"a letter to my aunt, which is longer than a ring's header line".to_vec();
    std::fs::write(&path, &foreign).unwrap();
    assert!(matches!(RingWriter::open(&path, SMALL), Err(RingError::NotARing { .. })));
    assert!(matches!(RingReader::open(&path), Err(RingError::NotARing { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), foreign);

    std::fs::remove_file(&path).unwrap();
    publish(&mut RingWriter::open(&path, SMALL).unwrap(), 1);
    let other = RingConfig { slots: 16, ..SMALL };
    match RingWriter::open(&path, other) {
        Err(RingError::Size { expected, found, .. }) => assert_eq!((expected, found), (other, SMALL)),
        result => panic!("{result:?}"),
    }
    patch(&path, 8, 2);
    assert!(matches!(RingWriter::open(&path, SMALL), Err(RingError::Version { found: 2, .. })));
    assert!(matches!(RingReader::open(&path), Err(RingError::Version { found: 2, .. })));
    patch(&path, 8, 1);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(HEADER + 8192).unwrap();
    assert!(matches!(RingReader::open(&path), Err(RingError::NotARing { .. })));
    for config in [RingConfig { slots: 1, ..SMALL }, RingConfig { slot_bytes: 100, ..SMALL }] {
        assert!(matches!(RingWriter::open(&path, config), Err(RingError::Config { .. })));
    }
}

#[test]
fn a_ring_whose_creation_broke_off_is_created() {
    let (_dir, path) = scratch();
    std::fs::write(&path, vec![0; 10_000]).unwrap();
    assert!(matches!(RingReader::open(&path), Err(RingError::NotARing { .. })));
    let mut writer = RingWriter::open(&path, SMALL).unwrap();
    publish(&mut writer, 9);
    assert_eq!(RingReader::open(&path).unwrap().latest(), Some(pose_frame(9)));
}

#[test]
fn a_half_written_slot_is_absent() {
    let (_dir, path) = scratch();
    publish(&mut RingWriter::open(&path, SMALL).unwrap(), 20);
    // Frame 21 was begun over frame 13: odd number, mixed content.
    patch(&path, slot_at(21), 41);
    patch(&path, slot_at(21) + 200, 0xDEAD);
    let reader = RingReader::open(&path).unwrap();
    assert_eq!(reader.read(13), Err(ReadError::Lapped { oldest: 14 }));
    assert_eq!(reader.read(21), Err(ReadError::NotYet));
    let mut writer = RingWriter::open(&path, SMALL).unwrap();
    assert_eq!(writer.next_frame_id(), 21);
    assert_eq!(reader.read(13), Err(ReadError::Lapped { oldest: 14 }));
    assert_eq!(reader.range_from(1).map(|f| f.frame_id).collect::<Vec<_>>(), (14..=20).collect::<Vec<_>>());
    publish(&mut writer, 1);
    assert_eq!(reader.latest(), Some(pose_frame(21)));
}

#[test]
fn a_frame_that_was_complete_before_the_head_moved_is_published() {
    let (_dir, path) = scratch();
    publish(&mut RingWriter::open(&path, SMALL).unwrap(), 20);
    patch(&path, HEAD_AT, 19);
    let writer = RingWriter::open(&path, SMALL).unwrap();
    assert_eq!(writer.next_frame_id(), 21);
    assert_eq!(writer.reader().latest(), Some(pose_frame(20)));
}

#[test]
fn a_lost_page_costs_its_frame_only() {
    let (_dir, path) = scratch();
    publish(&mut RingWriter::open(&path, SMALL).unwrap(), 20);
    patch(&path, slot_at(17) + 48, 0);
    patch(&path, slot_at(20) + 8, u64::MAX);
    let reader = RingReader::open(&path).unwrap();
    assert_eq!(reader.read(17), Err(ReadError::Lost));
    assert_eq!(reader.latest(), Some(pose_frame(19)));
    let writer = RingWriter::open(&path, SMALL).unwrap();
    assert_eq!(writer.next_frame_id(), 21);
    assert_eq!(reader.range_from(1).map(|f| f.frame_id).collect::<Vec<_>>(), [14, 15, 16, 18, 19]);
    assert_eq!(reader.first_at(pose_frame(17).time_ns), 17);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Times rise as a rule, but a replay that starts again, or a clock that is set, goes back.
    #[test]
    fn lookup_by_time_equals_a_search_through_all(
        times in prop::collection::vec(-20i64..20, 0..30),
        from in -25i64..25,
        length in 0i64..20,
    ) {
        let (_dir, path) = scratch();
        let mut writer = RingWriter::open(&path, SMALL).unwrap();
        for &time_ns in &times {
            let mut frame = pose_frame(writer.next_frame_id());
            frame.time_ns = time_ns;
            writer.publish(&frame).unwrap();
        }
        let reader = writer.reader();
        let all: Vec<_> = reader.range_from(reader.oldest()).collect();
        let expected: Vec<_> =
            all.iter().filter(|f| f.time_ns >= from && f.time_ns < from + length).cloned().collect();
        prop_assert_eq!(reader.range_time(from, from + length).collect::<Vec<_>>(), expected);
        let first = reader.first_at(from);
        prop_assert!(all.iter().filter(|f| f.frame_id < first).all(|f| f.time_ns < from));
        if times.is_sorted() {
            let naive = all.iter().find(|f| f.time_ns >= from).map_or(reader.head() + 1, |f| f.frame_id);
            prop_assert_eq!(first, naive);
        }
    }

    /// A damaged file is refused or read in part; never a panic, never a frame that was not published.
    #[test]
    fn damage_is_never_shown(patches in prop::collection::vec((0u64..(HEADER + 8 * 8192) / 8, any::<u64>()), 1..20)) {
        let (_dir, path) = scratch();
        publish(&mut RingWriter::open(&path, SMALL).unwrap(), 20);
        for (word, value) in patches {
            patch(&path, word * 8, value);
        }
        if let Ok(reader) = RingReader::open(&path) {
            reader.first_at(0);
            for id in (0..30).chain([reader.oldest(), reader.head(), u64::MAX]) {
                if let Ok(frame) = reader.read(id) {
                    prop_assert_eq!(frame, pose_frame(id));
                }
            }
        }
        if let Ok(mut writer) = RingWriter::open(&path, SMALL) {
            let id = writer.next_frame_id();
            writer.publish(&PoseFrame { frame_id: id, ..pose_frame(5) }).unwrap();
            prop_assert_eq!(writer.reader().latest().map(|f| f.frame_id), Some(id));
        }
    }
}

const STRESS_FRAMES: u64 = 60_000;

/// Reads until the last frame was seen; every frame must be the one of its id. Returns how many were read.
fn read_all(reader: &RingReader, seed: u64) -> u64 {
    let mut numbers = Numbers(seed);
    let mut read = 0;
    let mut newest = 0;
    while newest < STRESS_FRAMES {
        let head = reader.head();
        assert!(head >= newest, "the head went back");
        newest = head;
        // Around the edge where the writer is at work, and right at the newest.
        for id in [head, (head + 1).saturating_sub(numbers.below(10))] {
            match reader.read(id) {
                Ok(frame) => {
                    assert_eq!(frame, pose_frame(id));
                    read += 1;
                }
                Err(ReadError::Lapped { oldest }) => assert!(oldest > id || id == 0),
                Err(ReadError::NotYet) => assert!(id > head || id == 0),
                Err(e) => panic!("frame {id}: {e}"),
            }
        }
    }
    assert_eq!(reader.latest(), Some(pose_frame(STRESS_FRAMES)));
    read
}

const READER: &str = "INVISPOSE_TEST_RING_READER";

/// The reading process of `many_readers_see_whole_frames_only`; alone it does nothing.
#[test]
fn child_reader() {
    let Some(path) = std::env::var_os(READER) else { return };
    let reader = RingReader::open(path).unwrap();
    println!("\nready");
    println!("\nread {}", read_all(&reader, 99));
}

#[test]
fn many_readers_see_whole_frames_only() {
    let (_dir, path) = scratch();
    let mut writer = RingWriter::open(&path, SMALL).unwrap();
    let mut process = child("child_reader", READER, &path).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "ready"));
    let reader = writer.reader();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=4)
            .map(|seed| {
                let reader = reader.clone();
                scope.spawn(move || read_all(&reader, seed))
            })
            .collect();
        publish(&mut writer, STRESS_FRAMES);
        for thread in threads {
            assert!(thread.join().unwrap() > 0);
        }
    });
    let read = lines.find_map(|line| line.strip_prefix("read ").map(|n| n.parse::<u64>().unwrap()));
    assert!(read.unwrap() > 0);
    assert!(process.wait().unwrap().success());
}

const WRITER: &str = "INVISPOSE_TEST_RING_WRITER";

/// The process that `a_killed_writer_is_replaced` kills; alone it does nothing.
#[test]
fn child_writer() {
    let Some(path) = std::env::var_os(WRITER) else { return };
    let mut writer = RingWriter::open(path, SMALL).unwrap();
    loop {
        publish(&mut writer, 1);
    }
}

#[test]
fn a_killed_writer_is_replaced() {
    let (_dir, path) = scratch();
    drop(RingWriter::open(&path, SMALL).unwrap());
    let reader = RingReader::open(&path).unwrap();
    let mut numbers = Numbers(7);
    for _ in 0..40 {
        let start = reader.head();
        let target = start + 1 + numbers.below(500);
        let mut process = child("child_writer", WRITER, &path).spawn().unwrap();
        while reader.head() < target {
            assert!(process.try_wait().unwrap().is_none(), "the writer ended by itself");
            std::thread::yield_now();
        }
        let seen = reader.head();
        process.kill().unwrap();
        process.wait().unwrap();
        let left = reader.head();
        assert!(left >= seen);

        let mut writer = RingWriter::open(&path, SMALL).unwrap();
        let next = writer.next_frame_id();
        // At most the one frame that was complete but not yet announced.
        assert!(next == left + 1 || next == left + 2);
        for id in reader.oldest()..next {
            assert_eq!(reader.read(id), Ok(pose_frame(id)), "frame {id} of {left}");
        }
        publish(&mut writer, 1);
        assert_eq!(reader.latest(), Some(pose_frame(next)));
    }
}
