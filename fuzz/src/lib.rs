//! What every decoder promises on any bytes: no panic, an end, and memory in proportion to the input.

use invispose_pipeline::capture::{self, FORMATS, Item, adr018, nexmon};
use invispose_pipeline::{codec, recording};

/// A frame may hold this many bytes of complex values for each byte of input (packed 8-bit I/Q grows fourfold), and
/// compressed captures somewhat more; all frames are dropped at once, so this bounds memory, not the sum.
const GROWTH: usize = 64;

/// Walks over `data` with the decoder of this name, whatever sniffing would say.
pub fn decode(format: &str, data: &[u8]) {
    let format = FORMATS.iter().find(|f| f.name == format).expect("a format of this name");
    let mut decoder = (format.decoder)();
    let mut items = 0usize;
    while let Some(item) = decoder.next(data) {
        check(&item, data.len());
        items += 1;
        // Compressed captures may hold more records than bytes, within the ratio that deflate can reach.
        assert!(items <= data.len().saturating_mul(1100) + 1, "more records than bytes");
    }
    assert!(decoder.next(data).is_none(), "an ended decoder stays at its end");
}

fn check(item: &Item, len: usize) {
    match item {
        Ok(frame) => {
            assert_eq!(frame.csi.len(), frame.layout.values());
            assert!(frame.csi.len() * 8 <= len.saturating_mul(GROWTH) + (1 << 20));
            if let Some(index) = &frame.subcarrier_index {
                assert_eq!(index.len(), frame.layout.subcarriers as usize);
            }
        }
        Err(reject) => assert!(reject.offset <= len as u64, "offset {} of {len}", reject.offset),
    }
}

/// The first format that claims the bytes is chosen, and its decoder reads them.
pub fn sniff(data: &[u8]) {
    match capture::open_bytes(data.to_vec(), "fuzz") {
        Ok(reader) => {
            let first = FORMATS.iter().find(|f| (f.sniff)(data)).map(|f| f.name);
            assert_eq!(first, Some(reader.format()));
            reader.take(64).for_each(|item| check(&item, data.len()));
        }
        Err(_) => assert!(data.is_empty() || FORMATS.iter().all(|f| !(f.sniff)(data))),
    }
}

/// Opens the bytes as a recording and reads all of it, and appends to it.
pub fn recording(data: &[u8]) {
    let dir = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." };
    let file = tempfile::NamedTempFile::new_in(dir).expect("a temporary file");
    std::fs::write(file.path(), data).expect("room for it");
    if let Ok(reader) = recording::Reader::open(file.path()) {
        let mut bytes = 0usize;
        for frame in reader.frames() {
            if let Ok(codec::Frame::Csi(frame)) = &frame {
                assert_eq!(frame.csi.len(), frame.layout.values());
                bytes += frame.csi.len() * 8;
            }
        }
        assert!(bytes <= data.len().saturating_mul(GROWTH));
        let _ = reader.frames_from(0).count();
    }
    if let Ok(writer) = recording::Writer::append(file.path()) {
        writer.close().expect("a recording that opens for appending can be closed");
        recording::Reader::open(file.path()).expect("and read again");
    }
}

/// Datagrams at the ADR-018 port, split at a length byte so that the decoder's state is exercised.
pub fn udp_adr018(data: &[u8]) {
    let mut decoder = adr018::DatagramDecoder::default();
    for datagram in datagrams(data) {
        if let Ok(adr018::Datagram::Csi(frame)) = decoder.decode(datagram) {
            check(&Ok(frame), datagram.len());
        }
    }
}

/// Datagrams at the Nexmon port.
pub fn udp_nexmon(data: &[u8]) {
    let mut decoder = nexmon::PayloadDecoder::default();
    for datagram in datagrams(data) {
        if let Ok(frame) = decoder.decode(datagram) {
            check(&Ok(frame), datagram.len());
        }
    }
}

fn datagrams(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (len, tail) = rest.split_first_chunk::<2>()?;
        let (head, tail) = tail.split_at((u16::from_le_bytes(*len) as usize).min(tail.len()));
        rest = tail;
        Some(head)
    })
}

/// Frames decode to what encodes to the same frame again.
pub fn codec(data: &[u8]) {
    let mut out = Vec::new();
    match codec::decode(data) {
        Ok((codec::Frame::Csi(frame), used)) => {
            assert!(used <= data.len());
            if codec::encode_csi(&frame, &mut out).is_ok() {
                let (again, _) = codec::decode_csi(&out).expect("what was encoded decodes");
                let mut twice = Vec::new();
                codec::encode_csi(&again, &mut twice).expect("and encodes again");
                assert_eq!(out, twice);
            }
        }
        Ok((codec::Frame::Pose(frame), used)) => {
            assert!(used <= data.len());
            if codec::encode_pose(&frame, &mut out).is_ok() {
                let (again, _) = codec::decode_pose(&out).expect("what was encoded decodes");
                let mut twice = Vec::new();
                codec::encode_pose(&again, &mut twice).expect("and encodes again");
                assert_eq!(out, twice);
            }
        }
        Err(_) => {}
    }
}
