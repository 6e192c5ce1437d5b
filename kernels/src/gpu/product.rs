//! Unpacking, and the conjugate product of antennas.

use super::{
    context::{GpuContext, GpuError},
    kernel::{self, Access, Constants, FORMATS, Kernel},
    transfer::{Download, Upload, packed},
};
use crate::{Complex32, Layout, cleanup::Iq};

const SAMPLES: &str = include_str!("wgsl/samples.wgsl");
const PRODUCT: &str = include_str!("wgsl/product.wgsl");

/// Threads of a workgroup.
const FLAT: usize = 64;

/// Packed samples to complex floats of the kept columns, `[packet][pairs][columns]`, or to `h · conj(r)`
/// ([`crate::ratio::conjugate_product`]) with `r` one receive antenna of the same transmit antenna.
pub struct GpuProduct {
    context: GpuContext,
    layout: Layout,
    columns: usize,
    upload: Upload,
    kernel: Kernel,
    group: wgpu::BindGroup,
    products: wgpu::Buffer,
    download: Download,
    packets: usize,
    host: Vec<Complex32>,
}

impl GpuProduct {
    /// For up to `packets` packets of `layout` in a run; `antenna` is the receive antenna to multiply with, `None`
    /// leaves the samples as they are.
    ///
    /// # Errors
    /// [`GpuError::Limit`] if something is empty, too large or outside the layout, else the device's.
    pub fn new(
        context: &GpuContext,
        layout: Layout,
        columns: &[u16],
        packets: usize,
        antenna: Option<u16>,
    ) -> Result<Self, GpuError> {
        let most = u64::from(context.device().limits().max_compute_workgroups_per_dimension);
        let values = layout.pairs() * columns.len();
        let last = columns.iter().max().map_or(0, |&c| c as usize + 1);
        for (what, n, limit) in [
            ("packets in a batch", packets, most),
            ("values of a packet over 64", values.div_ceil(FLAT), most),
            ("columns", last, u64::from(layout.subcarriers)),
            ("receive antennas", antenna.map_or(1, |a| a as usize + 1), u64::from(layout.rx)),
            ("values in a batch", packets.saturating_mul(layout.values()), 1 << 31),
        ] {
            if n == 0 || n as u64 > limit {
                return Err(GpuError::Limit { what, needed: n as u64, limit });
            }
        }
        let bytes = (packets * values * size_of::<Complex32>()) as u64;
        let products = kernel::storage(context, "products", bytes)?;
        let upload = Upload::new(context, 2, (packets * layout.values() * size_of::<Complex32>()) as u64)?;
        let source = Constants::default()
            .u32("PAIRS", layout.pairs())
            .u32("RX", layout.rx as usize)
            .u32("SUBCARRIERS", layout.subcarriers as usize)
            .u32("COLUMNS", columns.len())
            .bool("REFERENCE", antenna.is_some())
            .u32("ANTENNA", antenna.unwrap_or(0) as usize)
            .source(&[SAMPLES, PRODUCT]);
        let wide: Vec<u32> = columns.iter().map(|&c| c.into()).collect();
        let table = kernel::table(context, "columns", &wide)?;
        let (kernel, group) = context.guarded(|| {
            let access = [Access::Read, Access::Read, Access::Write];
            let kernel = Kernel::new(context, "product", source, &[&access], Some(FORMATS));
            let group = kernel.bind(context, 0, &[upload.input(), &table, &products]);
            (kernel, group)
        })?;
        Ok(Self {
            context: context.clone(),
            layout,
            columns: columns.len(),
            upload,
            kernel,
            group,
            products,
            download: Download::new(context, bytes)?,
            packets: 0,
            host: vec![Complex32::ZERO; packets * values],
        })
    }

    /// Starts on whole packets: one submission, results to the host included.
    ///
    /// # Errors
    /// [`GpuError::Limit`] if `input` is no whole number of packets or more than the plan's, else the device's.
    pub fn run(&mut self, input: Iq<'_>) -> Result<(), GpuError> {
        let packets = input.len() / self.layout.values();
        let values = self.layout.pairs() * self.columns;
        self.packets = 0;
        if packets == 0 || packets * values > self.host.len() || packets * self.layout.values() != input.len()
        {
            let limit = (self.host.len() / values * self.layout.values()) as u64;
            return Err(GpuError::Limit {
                what: "values of whole packets",
                needed: input.len() as u64,
                limit,
            });
        }
        let (format, bytes) = packed(input);
        let context = self.context.clone();
        let result = context.guarded(|| {
            let mut encoder = context.device().create_command_encoder(&Default::default());
            self.upload.write(&context, bytes, &mut encoder)?;
            let mut pass = encoder.begin_compute_pass(&Default::default());
            let counts = [values.div_ceil(FLAT) as u32, packets as u32, 1];
            self.kernel.dispatch(&mut pass, format, &[&self.group], counts);
            drop(pass);
            let down = (packets * values * size_of::<Complex32>()) as u64;
            let down = self.download.record(&mut encoder, &[(&self.products, down)]);
            Ok((context.queue().submit([encoder.finish()]), down))
        });
        let (submission, down) = self.upload.submitted(&context, result.flatten())?;
        self.download.submitted(&submission, down);
        self.packets = packets;
        context.check()
    }

    /// The results on the device: pairs of floats.
    pub fn output(&self) -> &wgpu::Buffer {
        &self.products
    }

    /// The results of the last run, waiting for them.
    ///
    /// # Errors
    /// The device's.
    pub fn read(&mut self) -> Result<&[Complex32], GpuError> {
        let all = self.packets * self.layout.pairs() * self.columns;
        self.download.fetch(&self.context, bytemuck::cast_slice_mut(&mut self.host[..all]))?;
        Ok(&self.host[..all])
    }
}
