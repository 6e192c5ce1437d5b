//! The network's input made on the GPU where cleanup left the packets: nothing of it comes to the host.

use std::num::NonZeroU64;

use burn::{
    backend::{Wgpu, wgpu::AutoCompiler},
    cubecl::wgpu::WgpuServer,
    tensor::{Device, Tensor},
};
use invispose_kernels::gpu::{DeviceSamples, GpuError, wgpu};

use super::{CHUNK, PredictError, Prediction, Predictor};
use crate::{
    input::{
        Earlier, LinkWindow, check, fixed_features,
        gpu::{DeviceLink, FeatureProgram},
    },
    network::{Batch, Before},
};

/// The window of all links of a site, on the GPU.
#[derive(Clone, Debug)]
pub struct DeviceWindow<'a> {
    /// Size of the room in metres.
    pub room_m: [f32; 3],
    /// 1 to [`crate::input::MAX_LINKS`] links.
    pub links: Vec<LinkWindow<'a>>,
    /// The packets of each link.
    pub samples: Vec<&'a DeviceSamples>,
    /// What was left of the site's windows before, for networks that look at it.
    pub earlier: Earlier,
}

impl Predictor {
    /// As [`Self::predict`], from packets on the device that the network is on.
    ///
    /// # Errors
    /// [`PredictError::Shape`] for a window from which [`crate::input::Input::new`] would make no input,
    /// [`PredictError::Device`] when the device fails or is another.
    pub fn predict_on_device(&self, windows: &[DeviceWindow<'_>]) -> Result<Vec<Prediction>, PredictError> {
        let fits = |w: &DeviceWindow<'_>| {
            let whole = |(l, s): (&LinkWindow<'_>, &&DeviceSamples)| s.values() == l.csi.len();
            check(w.room_m, &w.links).is_ok()
                && w.links.len() == w.samples.len()
                && w.links.iter().zip(&w.samples).all(whole)
        };
        if let Some(bad) = windows.iter().position(|w| !fits(w)) {
            return Err(PredictError::Shape(bad));
        }
        let mut answers = Vec::with_capacity(windows.len());
        for chunk in windows.chunks(CHUNK) {
            let chunk_answers = self.forward(|| self.batch_on_device(chunk))?;
            answers.extend(self.read(&chunk_answers, chunk.iter().map(|w| w.room_m)));
        }
        Ok(answers)
    }

    fn batch_on_device(&self, windows: &[DeviceWindow<'_>]) -> Result<Batch, PredictError> {
        let failed = |e: GpuError| PredictError::Device(e.to_string());
        let gpu =
            self.compute.gpu().ok_or_else(|| PredictError::Device("the network is on the CPU".into()))?;
        let program = match self.features.get() {
            Some(program) => program,
            None => {
                let made = FeatureProgram::new(gpu).map_err(failed)?;
                self.features.get_or_init(|| made)
            }
        };
        let both = windows.iter().flat_map(|w| w.links.iter().zip(&w.samples));
        let links: Vec<DeviceLink<'_>> =
            both.map(|(&window, &samples)| DeviceLink { window, samples }).collect();
        let device = self.compute.device();
        let shape = Batch::features_shape(links.len());
        let features = written(shape, device, |memory| program.run(&links, &memory))?;
        let fixed = windows.iter().flat_map(|w| w.links.iter().map(|l| (w.room_m, l)));
        let fixed = fixed.flat_map(|(room_m, link)| {
            fixed_features(link.reference, room_m, link.transmitter_m, link.receiver_m)
        });
        let counts: Vec<usize> = windows.iter().map(|w| w.links.len()).collect();
        let before = Before::Left(windows.iter().map(|w| w.earlier.clone()).collect());
        Ok(Batch::with_features(features, fixed.collect(), &counts, before, device))
    }
}

/// A tensor whose memory `write` fills, by kernels on the queue that burn's runtime uses too.
fn written(
    shape: [usize; 3],
    device: &Device,
    write: impl FnOnce(wgpu::BufferBinding<'_>) -> Result<(), GpuError>,
) -> Result<Tensor<3>, PredictError> {
    let failed = |what: String| PredictError::Device(format!("sharing a tensor: {what}"));
    let tensor = Tensor::<3>::empty(shape, device);
    let primitive = tensor.clone().try_into_primitive::<Wgpu>().map_err(|e| failed(format!("{e:?}")))?;
    if !primitive.is_contiguous() {
        return Err(failed("burn pads it".into()));
    }
    // Held until the kernels are submitted: it keeps the memory in its place.
    let memory = primitive
        .client
        .get_resource::<WgpuServer<AutoCompiler>>(primitive.handle.clone())
        .map_err(|e| failed(e.to_string()))?;
    // Others may have had this memory before: what burn still has to do on it comes first.
    primitive.client.flush().map_err(|e| failed(e.to_string()))?;
    let place = memory.resource();
    write(wgpu::BufferBinding {
        buffer: &place.buffer,
        offset: place.offset,
        size: NonZeroU64::new(place.size),
    })
    .map_err(|e| failed(e.to_string()))?;
    Ok(tensor)
}
