//! The device: which adapter, what it can do, and what became of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use thiserror::Error;

use crate::cleanup::CleanupError;

/// Longest wait for the device before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stops work on a GPU.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter is what was asked for.
    #[error("no GPU {wanted}; Vulkan shows {seen}")]
    NoAdapter {
        /// What was asked for.
        wanted: String,
        /// The adapters that are there.
        seen: String,
    },
    /// The adapter gives no device.
    #[error("{adapter} gives no device: {reason}")]
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// The device is gone: reset, unplugged, hung or destroyed.
    #[error("the GPU was lost: {0}")]
    Lost(String),
    /// The device's memory is full.
    #[error("the GPU is out of memory")]
    OutOfMemory,
    /// The plan is larger than the device allows.
    #[error("{what} needs {needed}, the GPU allows {limit}")]
    Limit {
        /// Which size.
        what: &'static str,
        /// What it would be.
        needed: u64,
        /// What it may be.
        limit: u64,
    },
    /// The driver refused a kernel or a command.
    #[error("the GPU refused: {0}")]
    Refused(String),
}

impl From<GpuError> for CleanupError {
    fn from(error: GpuError) -> Self {
        CleanupError::Device(error.to_string())
    }
}

/// Which adapter to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdapterChoice {
    /// Number among the adapters that are allowed, in [`adapters`]' order; `None` takes the first.
    pub index: Option<usize>,
    /// Adapters that compute on the CPU (lavapipe) are allowed too. They are slower than [`crate::cpu`] and good for
    /// tests only.
    pub software: bool,
}

/// An adapter that Vulkan shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Name of the device.
    pub name: String,
    /// Discrete, integrated, virtual or CPU.
    pub kind: wgpu::DeviceType,
    /// Driver and its version.
    pub driver: String,
}

impl Adapter {
    fn of(info: &wgpu::AdapterInfo) -> Self {
        let driver = format!("{} {}", info.driver, info.driver_info).trim().to_owned();
        Self { name: info.name.clone(), kind: info.device_type, driver }
    }

    /// It computes on the CPU.
    pub fn is_software(&self) -> bool {
        self.kind == wgpu::DeviceType::Cpu
    }
}

impl std::fmt::Display for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?}, {})", self.name, self.kind, self.driver)
    }
}

/// The adapters that Vulkan shows, in the order that [`AdapterChoice::index`] counts: discrete, integrated, virtual
/// and other ones, then software.
pub fn adapters() -> Vec<Adapter> {
    enumerate().iter().map(|adapter| Adapter::of(&adapter.get_info())).collect()
}

fn enumerate() -> Vec<wgpu::Adapter> {
    let mut description = wgpu::InstanceDescriptor::new_without_display_handle();
    description.backends = wgpu::Backends::VULKAN;
    let instance = wgpu::Instance::new(description);
    let mut all = ready(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    all.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    all
}

/// wgpu's futures are ready at once on native devices; this waits if one is not.
pub(super) fn ready<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

/// The first error of a device: it stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault(Arc<Mutex<Option<GpuError>>>);

impl Fault {
    /// A loss replaces what went before: it is the cause.
    pub(super) fn set(&self, error: GpuError) {
        let mut fault = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let replace = matches!((&*fault, &error), (None, _) | (Some(_), GpuError::Lost(_)));
        if replace && !matches!(&*fault, Some(GpuError::Lost(_))) {
            *fault = Some(error);
        }
    }

    fn check(&self) -> Result<(), GpuError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

/// A device, its queue, and its first error. Clones are the same device.
#[derive(Clone, Debug)]
pub struct GpuContext {
    device: wgpu::Device,
    queue: wgpu::Queue,
    adapter: Adapter,
    fault: Fault,
}

impl GpuContext {
    /// Opens a device of its own, with all that the adapter offers to kernels.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] if there is none as asked for, [`GpuError::NoDevice`] if it cannot be opened.
    pub fn new(choice: AdapterChoice) -> Result<Self, GpuError> {
        let all = enumerate();
        let seen = all.iter().map(|a| Adapter::of(&a.get_info()).to_string()).collect::<Vec<_>>().join(", ");
        let none = || GpuError::NoAdapter {
            wanted: match (choice.index, choice.software) {
                (Some(n), true) => format!("number {n}"),
                (Some(n), false) => format!("number {n} in hardware"),
                (None, true) => "of any kind".into(),
                (None, false) => "in hardware".into(),
            },
            seen: if seen.is_empty() { "none".into() } else { seen.clone() },
        };
        let allowed =
            |a: &wgpu::Adapter| choice.software || a.get_info().device_type != wgpu::DeviceType::Cpu;
        let adapter = all.into_iter().filter(allowed).nth(choice.index.unwrap_or(0)).ok_or_else(none)?;
        let about = Adapter::of(&adapter.get_info());
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("invispose"),
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = ready(adapter.request_device(&descriptor))
            .map_err(|e| GpuError::NoDevice { adapter: about.name.clone(), reason: e.to_string() })?;
        let fault = Fault::default();
        let lost = fault.clone();
        device.set_device_lost_callback(move |reason, message| {
            lost.set(GpuError::Lost(format!("{reason:?} {message}").trim().to_owned()));
        });
        let uncaptured = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error| uncaptured.set(translate(&error))));
        Ok(Self { device, queue, adapter: about, fault })
    }

    /// Shares a device and queue that somebody else opened, and leaves their handlers of errors alone: errors of work
    /// done through this context are caught where they arise, a loss shows at the next wait.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let adapter = Adapter::of(&device.adapter_info());
        Self { device, queue, adapter, fault: Fault::default() }
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// Its queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// What the device is.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Whether the device still works, as far as is known.
    ///
    /// # Errors
    /// The error that ended it.
    pub fn check(&self) -> Result<(), GpuError> {
        self.fault.check()
    }

    pub(super) fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Does what may fail on the device. Only a loss is kept: after another error the device still works.
    pub(super) fn guarded<R>(&self, work: impl FnOnce() -> R) -> Result<R, GpuError> {
        self.check()?;
        let scopes =
            [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal]
                .map(|filter| self.device.push_error_scope(filter));
        let result = work();
        let mut error = None;
        for scope in scopes.into_iter().rev() {
            error = ready(scope.pop()).or(error);
        }
        self.check()?;
        error.map_or(Ok(result), |error| Err(translate(&error)))
    }

    /// Waits until a submission (`None`: the last) is done and its callbacks have run.
    pub(super) fn wait(&self, submission: Option<&wgpu::SubmissionIndex>) -> Result<(), GpuError> {
        self.check()?;
        let until = wgpu::PollType::Wait { submission_index: submission.cloned(), timeout: Some(PATIENCE) };
        // wgpu 30 panics in poll where Vulkan reports the loss of the device while waiting.
        match catch_unwind(AssertUnwindSafe(|| self.device.poll(until))) {
            Ok(Ok(_)) => {}
            Ok(Err(wgpu::PollError::Timeout)) => {
                self.fault.set(GpuError::Lost(format!("no answer in {} s", PATIENCE.as_secs())));
            }
            Ok(Err(error)) => self.fault.set(GpuError::Lost(error.to_string())),
            Err(_) => self.fault.set(GpuError::Lost("while waiting for it".into())),
        }
        self.check()
    }
}

fn translate(error: &wgpu::Error) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory,
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            GpuError::Refused(description.clone())
        }
    }
}
