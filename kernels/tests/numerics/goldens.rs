//! Values that numpy and scipy computed (`goldens/make.py`).

use std::{collections::HashMap, path::Path};

use invispose_kernels::{Complex32, doppler::DopplerPlan, filter, hampel, pca::PcaPlan, phase};
use num_complex::Complex64;

use super::data::assert_close;

struct Golden(HashMap<String, Vec<f64>>);

impl Golden {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens").join(name).with_extension("txt");
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        let mut arrays = HashMap::new();
        while let (Some(head), Some(body)) = (lines.next(), lines.next()) {
            let (key, len) = head.rsplit_once(' ').unwrap();
            let values: Vec<f64> = body.split(' ').map(|v| v.parse().unwrap()).collect();
            assert_eq!(values.len(), len.parse::<usize>().unwrap());
            arrays.insert(key.to_owned(), values);
        }
        Self(arrays)
    }

    fn f64(&self, key: &str) -> &[f64] {
        &self.0[key]
    }

    fn f32(&self, key: &str) -> Vec<f32> {
        self.f64(key).iter().map(|&v| v as f32).collect()
    }

    fn complex(&self, key: &str) -> Vec<Complex64> {
        let (re, im) = (self.f64(&format!("{key}.re")), self.f64(&format!("{key}.im")));
        re.iter().zip(im).map(|(&re, &im)| Complex64::new(re, im)).collect()
    }

    fn complex32(&self, key: &str) -> Vec<Complex32> {
        self.complex(key).iter().map(|v| Complex32::new(v.re as f32, v.im as f32)).collect()
    }
}

#[test]
fn sanitised_phase() {
    let golden = Golden::read("phase");
    let (index, csi) = (golden.f32("index"), golden.complex32("csi"));
    let mut out = vec![0.0; csi.len()];
    for (h, to) in csi.chunks_exact(index.len()).zip(out.chunks_exact_mut(index.len())) {
        phase::sanitise_linear(h, &index, to);
    }
    assert_close("linear", &out, golden.f64("linear"), 1e-5);
    phase::sanitise_spotfi(&csi, &index, &mut out);
    assert_close("spotfi", &out, golden.f64("spotfi"), 1e-5);
}

#[test]
fn doppler_spectrogram() {
    let golden = Golden::read("doppler");
    let shape = golden.f64("shape");
    let x = golden.complex32("x");
    let mut plan = DopplerPlan::new(shape[0] as usize, shape[1] as usize);
    let mut power = vec![0.0; plan.frames(x.len()) * plan.bins()];
    plan.run(&x, 1, 0, &mut power);
    assert_close("doppler", &power, golden.f64("power"), 1e-5);
}

#[test]
fn principal_components() {
    let golden = Golden::read("pca");
    let shape: Vec<usize> = golden.f64("shape").iter().map(|&v| v as usize).collect();
    let mut plan = PcaPlan::new(shape[0], shape[1], shape[2]);
    assert!(plan.run(&golden.f32("x"), 60));
    assert_close("components", plan.components(), golden.f64("components"), 1e-4);
    assert_close("variances", plan.variances(), golden.f64("variances"), 1e-5);
    assert_close("scores", plan.scores(), golden.f64("scores"), 1e-4);
}

#[test]
fn butterworth_band_pass() {
    let golden = Golden::read("butterworth");
    for name in ["n1", "n2", "n3", "n4"] {
        let design = golden.f64(&format!("{name}.design"));
        let sections =
            filter::butterworth_bandpass(design[0] as usize, design[1], design[2], design[3]).unwrap();
        assert_eq!(sections.len(), design[0] as usize);
        let omega = golden.f64(&format!("{name}.omega"));
        for (&w, want) in omega.iter().zip(golden.complex(&format!("{name}.response"))) {
            let error = (filter::response(&sections, w) - want).norm();
            assert!(error < 1e-6, "{name} at {w}: {error:e}");
        }
        let mut x = golden.f32("x");
        let mut state = vec![[0.0; 2]; sections.len()];
        filter::filter(&sections, &mut state, &mut x);
        assert_close(name, &x, golden.f64(&format!("{name}.filtered")), 1e-5);
    }
}

#[test]
fn hampel_filter() {
    let golden = Golden::read("hampel");
    let shape = golden.f64("shape");
    let x = golden.f32("x");
    let mut out = vec![0.0; x.len()];
    let half = shape[0] as usize;
    let replaced = hampel::hampel(&x, half, shape[1] as f32, &mut vec![0.0; 2 * half + 1], &mut out);
    assert_close("hampel", &out, golden.f64("filtered"), 1e-6);
    assert!(replaced >= 5);
}
