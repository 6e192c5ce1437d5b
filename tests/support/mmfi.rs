//! Simulated people in the layout of the MM-Fi set.

use std::path::Path;

use invispose_models::sim::{Faults, SceneConfig, Simulator, Subcarriers};
use invispose_models::skeleton::{KEYPOINTS, Keypoints, middle, root};

/// Frames a recording, ten a second.
pub const FRAMES: usize = 40;
const PACKETS: usize = 10;

/// Writes one recording of one person: `E01/S01/A02` and its like.
pub fn write(folder: &Path, recording: &str, seed: u64) {
    let mut scene = SceneConfig { faults: Faults::ordinary(), ..SceneConfig::demo() };
    scene.receivers.truncate(1);
    scene.people.count = 1;
    (scene.radio.bandwidth_mhz, scene.radio.subcarriers) = (40, Subcarriers::Ht40);
    let own = folder.join(recording);
    std::fs::create_dir_all(own.join("wifi-csi")).unwrap();
    let mut simulator = Simulator::new(&scene, seed).unwrap();
    let poses: Vec<f64> = (0..FRAMES)
        .flat_map(|frame| in_camera(&simulator.people_at((frame + 1) as f64 / 10.0)[0].keypoints))
        .collect();
    std::fs::write(own.join("ground_truth.npy"), npy(&[FRAMES, KEYPOINTS, 3], &poses)).unwrap();
    let packets: Vec<_> = simulator.packets(0.0, FRAMES as f64 / 10.0).collect();
    for frame in 0..FRAMES {
        let mut csi = vec![vec![f64::NAN; 3 * 114 * PACKETS]; 2];
        for packet in &packets {
            let k = (packet.t_s * 100.0).round() as usize;
            if k / PACKETS != frame {
                continue;
            }
            for (i, v) in packet.csi.iter().enumerate() {
                // Antenna and tone; the first index runs fastest.
                let at = i / 114 + 3 * (i % 114 + 114 * (k % PACKETS));
                (csi[0][at], csi[1][at]) = (f64::from(v.norm()), f64::from(v.arg()));
            }
        }
        // As in the set itself, here and there something is no number.
        csi[0][frame] = f64::INFINITY;
        let arrays = [("CSIamp", csi[0].as_slice()), ("CSIphase", csi[1].as_slice())];
        let file = own.join(format!("wifi-csi/frame{:03}.mat", frame + 1));
        std::fs::write(file, matlab(&[3, 114, PACKETS], &arrays)).unwrap();
    }
}

/// The 17 joints of Human3.6M in the coordinates of a camera: to its right, down, ahead.
fn in_camera(k: &Keypoints) -> Vec<f64> {
    let (pelvis, thorax) = (root(k), middle(k[5], k[6]));
    let head = middle(k[3], k[4]);
    let joints = [
        pelvis,
        k[12],
        k[14],
        k[16],
        k[11],
        k[13],
        k[15],
        middle(pelvis, thorax),
        thorax,
        middle(thorax, head),
        head,
        k[5],
        k[7],
        k[9],
        k[6],
        k[8],
        k[10],
    ];
    joints.iter().flat_map(|[x, y, z]| [x - 3.0, 1.2 - z, y - 0.5]).map(f64::from).collect()
}

/// A NumPy array of f64.
pub fn npy(shape: &[usize], values: &[f64]) -> Vec<u8> {
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape:?}, }}");
    let header = header.replace('[', "(").replace(']', ")");
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

/// A MATLAB file of version 5 with arrays of this shape.
pub fn matlab(shape: &[usize], arrays: &[(&str, &[f64])]) -> Vec<u8> {
    let element = |kind: u32, data: &[u8]| {
        let mut bytes = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let mut file = vec![b' '; 124];
    file.extend([0x00, 0x01, b'I', b'M']);
    for (name, values) in arrays {
        let shape: Vec<u8> = shape.iter().flat_map(|d| (*d as u32).to_le_bytes()).collect();
        let numbers: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let parts = [
            element(6, &[6, 0, 0, 0, 0, 0, 0, 0]),
            element(5, &shape),
            element(1, name.as_bytes()),
            element(9, &numbers),
        ];
        file.extend(element(14, &parts.concat()));
    }
    file
}
