//! Real captures on both. Their formats are read here as far as samples go; decoders live elsewhere.

use std::{collections::BTreeMap, fs, path::PathBuf};

use invispose_kernels::{
    Layout,
    cleanup::{CleanupSpec, Doppler, Hampel, Sanitise},
    mask,
};

use super::{agreement::compare, context, data::Samples};

/// Packets taken from a file.
const MOST: usize = 96;

fn folder(name: &str) -> Option<Vec<PathBuf>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures").join(name);
    let Ok(entries) = fs::read_dir(&path) else {
        println!("skipped: no {}", path.display());
        return None;
    };
    let mut files: Vec<_> =
        entries.map(|e| e.unwrap().path()).filter(|p| !p.to_string_lossy().ends_with(".meta.json")).collect();
    files.sort();
    Some(files)
}

/// The packets of the layout that most have.
fn commonest<T>(packets: Vec<(Layout, Vec<T>)>) -> (Layout, Vec<T>) {
    let mut count: BTreeMap<Layout, usize> = BTreeMap::new();
    packets.iter().for_each(|p| *count.entry(p.0).or_default() += 1);
    let layout = *count.iter().max_by_key(|c| c.1).unwrap().0;
    let same = packets.into_iter().filter(|p| p.0 == layout).take(MOST);
    (layout, same.flat_map(|p| p.1).collect())
}

fn check(name: &str, layout: Layout, samples: &Samples, power: impl Fn(usize) -> f32) {
    let Some(context) = context() else { return };
    let s = layout.subcarriers as usize;
    let packets = samples.iq().len() / layout.values();
    let mut mean = vec![0.0; s];
    (0..samples.iq().len()).for_each(|i| mean[i % s] += power(i));
    let columns = mask::live_columns(&mean, 1e-3);
    let index: Vec<i16> = (0..layout.subcarriers as i16).map(|k| k - layout.subcarriers as i16 / 2).collect();
    let mut spec = CleanupSpec::packets(layout, index, columns, 1);
    spec.steps = packets;
    spec.hampel = Some(Hampel { half: 3, sigmas: 3.0 });
    spec.delay = Some(s.next_power_of_two());
    spec.doppler = (packets >= 16).then_some(Doppler { len: 16, hop: 8 });
    spec.motion = true;
    compare(&context, name, &spec, samples.iq());
    spec.sanitise = Sanitise::Shared;
    spec.ratio = None;
    compare(&context, name, &spec, samples.iq());
}

#[test]
fn esp32_rows_and_frames() {
    let mut read = 0;
    for file in folder("esp32").into_iter().chain(folder("esp32-udp")).flatten() {
        let text = fs::read_to_string(&file).unwrap();
        let bytes = |line: &str| -> Option<Vec<i8>> {
            if let Some((_, rest)) = line.split_once("\"iq_hex\": \"") {
                let hex = rest.split('"').next()?;
                return (0..hex.len() / 2)
                    .map(|i| Some(u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()? as i8))
                    .collect();
            }
            let inside = line.split_once('[')?.1.split_once(']')?.0;
            inside.split([' ', ',']).filter(|v| !v.is_empty()).map(|v| v.parse().ok()).collect()
        };
        let packets: Vec<(Layout, Vec<[i8; 2]>)> = text
            .lines()
            .filter_map(bytes)
            .map(|b| {
                let pairs = b.as_chunks::<2>().0.to_vec();
                (Layout::new(1, 1, pairs.len() as u16), pairs)
            })
            .collect();
        let (layout, x) = commonest(packets);
        let squares: Vec<f32> = x.iter().map(|v| f32::from(v[0]).powi(2) + f32::from(v[1]).powi(2)).collect();
        check(&file.display().to_string(), layout, &Samples::I8ImaginaryFirst(x), |i| squares[i]);
        read += 1;
    }
    println!("{read} files");
}

#[test]
fn feitcsi_frames_of_20_to_160_mhz() {
    for file in folder("feitcsi").into_iter().flatten() {
        let raw = fs::read(&file).unwrap();
        let (mut at, mut packets) = (0, Vec::new());
        while let Some(header) = raw.get(at..at + 272) {
            let word = |i: usize| u32::from_le_bytes(header[i..i + 4].try_into().unwrap()) as usize;
            let layout = Layout::new(header[47].into(), header[46].into(), word(52) as u16);
            let body = &raw[at + 272..at + 272 + word(0)];
            at += 272 + word(0);
            let x: Vec<[i16; 2]> = body
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| [i16::from_le_bytes([b[0], b[1]]), i16::from_le_bytes([b[2], b[3]])])
                .collect();
            if layout.values() == x.len() && !x.is_empty() {
                packets.push((layout, x));
            }
        }
        let (layout, x) = commonest(packets);
        let squares: Vec<f32> = x.iter().map(|v| f32::from(v[0]).powi(2) + f32::from(v[1]).powi(2)).collect();
        check(&file.display().to_string(), layout, &Samples::I16(x), |i| squares[i]);
    }
}
