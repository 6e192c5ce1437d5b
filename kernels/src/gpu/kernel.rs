//! Pipelines, buffers and their bindings.

use super::context::{GpuContext, GpuError};

/// Constants in front of a kernel's source: what the plan knows is compiled in.
#[derive(Clone, Debug, Default)]
pub struct Constants(String);

impl Constants {
    /// A whole number.
    pub fn u32(self, name: &str, value: usize) -> Self {
        self.line(name, "u32", &format!("{value}u"))
    }

    /// `value` is finite.
    pub fn f32(self, name: &str, value: f32) -> Self {
        self.line(name, "f32", &format!("{value:?}"))
    }

    /// `true` or `false`.
    pub fn bool(self, name: &str, value: bool) -> Self {
        self.line(name, "bool", if value { "true" } else { "false" })
    }

    fn line(mut self, name: &str, of: &str, value: &str) -> Self {
        self.0.push_str(&format!("const {name}: {of} = {value};\n"));
        self
    }

    /// The constants, then the parts.
    pub fn source(&self, parts: &[&str]) -> String {
        std::iter::once(self.0.as_str()).chain(parts.iter().copied()).collect::<Vec<_>>().join("\n")
    }
}

/// Whether a kernel writes a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// A compute pipeline, or one for each sample format, and the layout of its buffers.
pub(super) struct Kernel {
    pipelines: Vec<wgpu::ComputePipeline>,
    layouts: Vec<wgpu::BindGroupLayout>,
}

/// Formats that `samples.wgsl` unpacks.
pub(super) const FORMATS: usize = 4;

impl Kernel {
    /// `groups` are the buffers of each bind group; `formats` pipelines differ in `FORMAT`.
    pub(super) fn new(
        context: &GpuContext,
        name: &str,
        source: String,
        groups: &[&[Access]],
        formats: Option<usize>,
    ) -> Self {
        let device = context.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let layouts: Vec<_> = groups
            .iter()
            .map(|buffers| {
                let entries: Vec<_> = (0u32..)
                    .zip(buffers.iter())
                    .map(|(binding, access)| wgpu::BindGroupLayoutEntry {
                        binding,
                        visibility: wgpu::ShaderStages::COMPUTE,
                        ty: wgpu::BindingType::Buffer {
                            ty: wgpu::BufferBindingType::Storage { read_only: *access == Access::Read },
                            has_dynamic_offset: false,
                            min_binding_size: None,
                        },
                        count: None,
                    })
                    .collect();
                device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                    label: Some(name),
                    entries: &entries,
                })
            })
            .collect();
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &layouts.iter().map(Some).collect::<Vec<_>>(),
            immediate_size: 0,
        });
        let pipeline = |constants: &[(&str, f64)]| {
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(name),
                layout: Some(&layout),
                module: &module,
                entry_point: Some(name),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants,
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        };
        let pipelines = match formats {
            None => vec![pipeline(&[])],
            Some(n) => (0..n).map(|format| pipeline(&[("FORMAT", format as f64)])).collect(),
        };
        Self { pipelines, layouts }
    }

    pub(super) fn bind(
        &self,
        context: &GpuContext,
        group: usize,
        buffers: &[&wgpu::Buffer],
    ) -> wgpu::BindGroup {
        let whole: Vec<_> = buffers.iter().map(|buffer| buffer.as_entire_buffer_binding()).collect();
        self.bind_parts(context, group, &whole)
    }

    /// Binds parts of buffers.
    pub(super) fn bind_parts(
        &self,
        context: &GpuContext,
        group: usize,
        parts: &[wgpu::BufferBinding<'_>],
    ) -> wgpu::BindGroup {
        let entries: Vec<_> = (0u32..)
            .zip(parts)
            .map(|(binding, part)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(part.clone()),
            })
            .collect();
        context.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layouts[group],
            entries: &entries,
        })
    }

    /// Runs `counts` workgroups; `format` chooses where there is a choice.
    pub(super) fn dispatch(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        format: usize,
        groups: &[&wgpu::BindGroup],
        counts: [u32; 3],
    ) {
        let Some(pipeline) = self.pipelines.get(format).or(self.pipelines.first()) else { return };
        pass.set_pipeline(pipeline);
        for (i, group) in (0u32..).zip(groups) {
            pass.set_bind_group(i, *group, &[]);
        }
        pass.dispatch_workgroups(counts[0], counts[1], counts[2]);
    }
}

/// A storage buffer of `bytes` (at least 16), checked against the device's limits.
pub(super) fn storage(
    context: &GpuContext,
    what: &'static str,
    bytes: u64,
) -> Result<wgpu::Buffer, GpuError> {
    let limits = context.device().limits();
    let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    if bytes > limit {
        return Err(GpuError::Limit { what, needed: bytes, limit });
    }
    context.guarded(|| {
        context.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size: bytes.max(16).next_multiple_of(4),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    })
}

/// A storage buffer with a table in it.
pub(super) fn table<T: bytemuck::Pod>(
    context: &GpuContext,
    what: &'static str,
    values: &[T],
) -> Result<wgpu::Buffer, GpuError> {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let buffer = storage(context, what, bytes.len() as u64)?;
    context.guarded(|| context.queue().write_buffer(&buffer, 0, bytes))?;
    Ok(buffer)
}
