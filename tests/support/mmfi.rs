//! Simulated people in the layout of the MM-Fi set.

use std::path::Path;

use invispose_models::sim::{Faults, SceneConfig, Simulator, Subcarriers};
use invispose_models::skeleton::{KEYPOINTS, Keypoints, middle, root};

use super::arrays::{matlab, npy};

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
        let array = |name, part: usize| (name, &[3, 114, PACKETS][..], csi[part].as_slice(), None);
        let arrays = [array("CSIamp", 0), array("CSIphase", 1)];
        let file = own.join(format!("wifi-csi/frame{:03}.mat", frame + 1));
        std::fs::write(file, matlab(&arrays)).unwrap();
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
