//! Which device the network runs on, and cleanup with it.

use std::{fmt, str::FromStr};

use burn::tensor::Device;
#[cfg(feature = "gpu")]
use invispose_kernels::gpu::GpuContext;

use crate::{network::is_cpu, weights::LoadError};

/// What the operator asked for: `cpu`, `gpu`, `gpu:N`, `cuda`, `cuda:N` or `auto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// burn's flex backend.
    Cpu,
    /// The best hardware adapter; an error where there is none.
    Gpu,
    /// The discrete adapter of this index; with the `gpu` feature and no such adapter an error.
    GpuIndex(usize),
    /// NVIDIA's device of this index, by CUDA; with the `cuda` feature and no such device an error. Only the network runs there.
    Cuda(usize),
    /// The adapter that wgpu finds, even one that is software (lavapipe); for tests.
    Software,
    /// The best hardware adapter, or the CPU where there is none: a software adapter is slower than flex.
    #[default]
    Auto,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.split_once(':') {
            None if s == "cpu" => Ok(Self::Cpu),
            None if s == "gpu" => Ok(Self::Gpu),
            None if s == "auto" => Ok(Self::Auto),
            None if s == "cuda" => Ok(Self::Cuda(0)),
            Some(("gpu", "software")) => Ok(Self::Software),
            Some(("gpu", n)) => {
                n.parse().map(Self::GpuIndex).map_err(|_| format!("gpu:N needs a number, not {n:?}"))
            }
            Some(("cuda", n)) => {
                n.parse().map(Self::Cuda).map_err(|_| format!("cuda:N needs a number, not {n:?}"))
            }
            _ => Err(format!("a device is cpu, gpu, gpu:N, gpu:software, cuda, cuda:N or auto, not {s:?}")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu => f.write_str("gpu"),
            Self::GpuIndex(n) => write!(f, "gpu:{n}"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
            Self::Software => f.write_str("gpu:software"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// The device that the network computes on, and cleanup beside it where it is a GPU. Clones are the same device.
#[derive(Clone, Debug)]
pub struct Compute {
    device: Device,
    name: String,
    #[cfg(feature = "gpu")]
    gpu: Option<GpuContext>,
}

impl Compute {
    /// burn's flex backend.
    pub fn cpu() -> Self {
        Self::on(Device::flex())
    }

    /// A CPU device of burn's that is open already.
    pub(crate) fn on(device: Device) -> Self {
        Self::named(device, "cpu (flex)".into())
    }

    /// A device on which only the network runs.
    fn named(device: Device, name: String) -> Self {
        Self {
            device,
            name,
            #[cfg(feature = "gpu")]
            gpu: None,
        }
    }

    /// Opens the device that was asked for. Where `auto` finds no GPU the log says so.
    ///
    /// # Errors
    /// [`LoadError::Device`] where a GPU was asked for and there is none.
    pub fn open(choice: DeviceChoice) -> Result<Self, LoadError> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::cpu()),
            DeviceChoice::Auto => Ok(adapter(choice).unwrap_or_else(|reason| {
                tracing::info!(%reason, "no GPU: cleanup and the network run on the CPU");
                Self::cpu()
            })),
            DeviceChoice::Cuda(n) => cuda(n).map_err(|reason| refused(choice, reason)),
            asked => adapter(asked).map_err(|reason| refused(asked, reason)),
        }
    }

    /// Its name for people, e.g. `cpu (flex)`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same device and queue for kernels; `None` on the CPU and by CUDA.
    #[cfg(feature = "gpu")]
    pub fn gpu(&self) -> Option<&GpuContext> {
        self.gpu.as_ref()
    }

    /// A GPU, or an adapter that passes for one.
    pub fn is_gpu(&self) -> bool {
        !is_cpu(&self.device)
    }

    /// burn's.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }
}

fn refused(asked: DeviceChoice, reason: String) -> LoadError {
    LoadError::Device { asked: asked.to_string(), reason }
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Compute, String> {
    Err("this program was built without the feature `cuda`".into())
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Compute, String> {
    let found = Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec();
    let there = found.len();
    let device = found.into_iter().nth(index).ok_or_else(|| match there {
        0 => "there is no CUDA device, or NVIDIA's driver (libcuda) cannot be loaded".to_owned(),
        _ => format!("there are {there} CUDA devices, counted from 0"),
    })?;
    Ok(Compute::named(device, format!("gpu: CUDA device {index}")))
}

#[cfg(not(feature = "gpu"))]
fn adapter(_: DeviceChoice) -> Result<Compute, String> {
    Err("this program was built without the feature `gpu`".into())
}

#[cfg(feature = "gpu")]
fn adapter(choice: DeviceChoice) -> Result<Compute, String> {
    use std::{
        collections::BTreeMap,
        sync::{Mutex, PoisonError},
    };

    use burn::tensor::{DeviceKind, wgpu::wgpu::DeviceType};

    // A runtime can be set up once in a process, so what was opened is kept.
    static OPENED: Mutex<BTreeMap<Option<usize>, (Compute, bool)>> = Mutex::new(BTreeMap::new());
    let index = match choice {
        DeviceChoice::GpuIndex(n) => Some(n),
        _ => None,
    };
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let (compute, software) = match opened.get(&index) {
        Some(found) => found.clone(),
        None => {
            let kind = index.map_or(DeviceKind::DefaultDevice, DeviceKind::DiscreteGpu);
            let (device, setup) =
                Device::wgpu_options().device_kind(kind).init_with_setup().map_err(|e| e.to_string())?;
            let info = setup.adapter.get_info();
            let name = format!("gpu: {} ({}, {:?})", info.name, info.backend, info.device_type);
            let gpu = Some(GpuContext::from_device(setup.device, setup.queue));
            let found = (Compute { device, name, gpu }, info.device_type == DeviceType::Cpu);
            opened.insert(index, found.clone());
            found
        }
    };
    if software && choice != DeviceChoice::Software {
        return Err(format!("the only adapter is software: {}", compute.name));
    }
    Ok(compute)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn choices_read_back_as_written() {
        for text in ["cpu", "gpu", "gpu:2", "gpu:software", "cuda:1", "auto"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        for text in ["", "tpu", "gpu:", "gpu:-1", "cuda:x", "cpu:0"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_cuda_device_that_is_not_there_is_refused_with_the_reason() {
        let error = Compute::open(DeviceChoice::Cuda(97)).unwrap_err().to_string();
        assert!(
            error.contains("cuda:97")
                && error.contains(if cfg!(feature = "cuda") { "CUDA device" } else { "feature" }),
            "{error}"
        );
    }

    #[test]
    fn the_cpu_is_always_there_and_auto_finds_something() {
        assert_eq!(Compute::open(DeviceChoice::Cpu).unwrap().name(), "cpu (flex)");
        assert!(!Compute::open(DeviceChoice::Auto).unwrap().name().is_empty());
    }
}
