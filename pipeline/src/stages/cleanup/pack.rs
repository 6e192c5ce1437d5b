//! A link's packets packed for the way to the GPU, in the narrowest format that loses nothing.

use invispose_kernels::Complex32;
use invispose_kernels::gpu::SampleFormat;

use crate::stages::assembly::LinkWindow;

/// A window's samples `[step][values]`, packed; carried on from window to window.
pub(super) struct Packed {
    end_step: i64,
    format: SampleFormat,
    bytes: Vec<u8>,
}

impl Packed {
    /// The window that ends at `end_step`, with what it shares with the one before taken over.
    pub fn of(before: Option<Self>, end_step: i64, raw: &LinkWindow) -> Self {
        let (steps, values) = (raw.received.len(), raw.layout.values());
        if let Some(mut packed) = before {
            let row = values * packed.format.value_bytes();
            let moved = usize::try_from(end_step - packed.end_step).unwrap_or(steps);
            if moved <= steps && packed.bytes.len() == steps * row {
                let new = &raw.csi[(steps - moved) * values..];
                if narrowest(new) <= packed.format {
                    packed.bytes.copy_within(moved * row.., 0);
                    pack(new, packed.format, &mut packed.bytes[(steps - moved) * row..]);
                    return Self { end_step, ..packed };
                }
            }
        }
        let format = narrowest(&raw.csi);
        let mut bytes = vec![0; steps * values * format.value_bytes()];
        pack(&raw.csi, format, &mut bytes);
        Self { end_step, format, bytes }
    }

    pub fn end_step(&self) -> i64 {
        self.end_step
    }

    pub fn format(&self) -> SampleFormat {
        self.format
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Sensors give whole numbers, most of them bytes; some decoders scale them.
fn narrowest(samples: &[Complex32]) -> SampleFormat {
    let (mut bytes, mut words) = (true, true);
    for v in samples.iter().flat_map(|h| [h.re, h.im]) {
        bytes &= v == f32::from(v as i8);
        words &= v == f32::from(v as i16);
        if !words {
            return SampleFormat::F32;
        }
    }
    if bytes { SampleFormat::I8 } else { SampleFormat::I16 }
}

fn pack(samples: &[Complex32], format: SampleFormat, to: &mut [u8]) {
    match format {
        SampleFormat::I8 => {
            for (h, to) in samples.iter().zip(to.as_chunks_mut::<2>().0) {
                *to = [h.re as i8 as u8, h.im as i8 as u8];
            }
        }
        SampleFormat::I16 => {
            let word = |v: f32| (v as i16).to_ne_bytes();
            for (h, to) in samples.iter().zip(to.as_chunks_mut::<4>().0) {
                let ([a, b], [c, d]) = (word(h.re), word(h.im));
                *to = [a, b, c, d];
            }
        }
        SampleFormat::F32 => to.copy_from_slice(bytemuck::cast_slice(samples)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_format_that_loses_nothing_is_taken() {
        let of = |re: f32, im: f32| narrowest(&[Complex32::new(1.0, -2.0), Complex32::new(re, im)]);
        assert_eq!(of(127.0, -128.0), SampleFormat::I8);
        assert_eq!(of(128.0, 0.0), SampleFormat::I16);
        assert_eq!(of(0.0, -32768.0), SampleFormat::I16);
        for odd in [0.5, 32768.0, f32::NAN, f32::INFINITY, 1e-30] {
            assert_eq!(of(odd, 0.0), SampleFormat::F32, "{odd}");
        }
    }
}
