//! A raster that plots are drawn on, and PNG.

use std::convert::Infallible;
use std::io::{self, Write};

use flate2::{Compression, write::ZlibEncoder};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use plotters::backend::DrawingBackend;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingErrorKind};

const HEIGHT: RasterHeight = RasterHeight::Size16;
const WEIGHT: FontWeight = FontWeight::Regular;

/// Pixels, `[row][column][red, green, blue]`.
#[derive(Debug)]
pub struct Picture {
    size: (u32, u32),
    pixels: Vec<u8>,
}

impl Picture {
    /// A white one of so many columns and rows.
    pub fn new(size: (u32, u32)) -> Self {
        Self { size, pixels: vec![255; size.0 as usize * size.1 as usize * 3] }
    }

    /// As a PNG file (W3C, "Portable Network Graphics (PNG) Specification", third edition).
    pub fn png(&self) -> io::Result<Vec<u8>> {
        let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
        let (width, height) = self.size;
        // 8 bits of red, green and blue; deflate, no interlacing.
        let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
        header.extend([8, 2, 0, 0, 0]);
        chunk(&mut out, b"IHDR", &header);
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
        for row in self.pixels.chunks_exact(width as usize * 3) {
            // Not filtered.
            packed.write_all(&[0])?;
            packed.write_all(row)?;
        }
        chunk(&mut out, b"IDAT", &packed.finish()?);
        chunk(&mut out, b"IEND", &[]);
        Ok(out)
    }
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend((data.len() as u32).to_be_bytes());
    let from = out.len();
    out.extend(kind);
    out.extend(data);
    out.extend(crc32fast::hash(&out[from..]).to_be_bytes());
}

/// Columns and rows of a line of text.
fn extent(text: &str) -> (i32, i32) {
    ((text.chars().count() * get_raster_width(WEIGHT, HEIGHT)) as i32, HEIGHT.val() as i32)
}

impl DrawingBackend for &mut Picture {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn present(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn draw_pixel(
        &mut self,
        (x, y): BackendCoord,
        color: BackendColor,
    ) -> Result<(), DrawingErrorKind<Infallible>> {
        let (width, height) = self.size;
        if (0..width as i32).contains(&x) && (0..height as i32).contains(&y) {
            let at = (y as usize * width as usize + x as usize) * 3;
            let (r, g, b) = color.rgb;
            for (pixel, new) in self.pixels[at..at + 3].iter_mut().zip([r, g, b]) {
                let mixed = f64::from(*pixel) * (1.0 - color.alpha) + f64::from(new) * color.alpha;
                *pixel = mixed.round() as u8;
            }
        }
        Ok(())
    }

    /// In one size, whatever size is asked for.
    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        at: BackendCoord,
    ) -> Result<(), DrawingErrorKind<Infallible>> {
        let (width, height) = extent(text);
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        let (transform, color) = (style.transform(), style.color());
        let one = get_raster_width(WEIGHT, HEIGHT) as i32;
        for (i, c) in text.chars().enumerate() {
            let Some(glyph) = get_raster(c, WEIGHT, HEIGHT) else { continue };
            for (row, line) in glyph.rows().enumerate() {
                for (column, ink) in line.iter().enumerate().filter(|(_, ink)| **ink > 0) {
                    let (x, y) = transform.transform(left + i as i32 * one + column as i32, top + row as i32);
                    let alpha = color.alpha * f64::from(*ink) / 255.0;
                    self.draw_pixel((at.0 + x, at.1 + y), BackendColor { alpha, rgb: color.rgb })?;
                }
            }
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        _: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let (width, height) = extent(text);
        Ok((width as u32, height as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::prelude::*;
    use std::io::Read;

    #[test]
    fn a_png_holds_the_pixels_that_were_drawn() -> anyhow::Result<()> {
        let mut picture = Picture::new((40, 20));
        {
            let area = (&mut picture).into_drawing_area();
            area.draw(&Rectangle::new([(10, 5), (19, 9)], RED.filled()))?;
            area.draw(&Text::new("I", (30, 2), ("monospace", 16)))?;
        }
        let png = picture.png()?;
        let (mut at, mut kinds, mut packed) = (8, Vec::new(), Vec::new());
        while at < png.len() {
            let length = u32::from_be_bytes(png[at..at + 4].try_into()?) as usize;
            let (kind, data) = (&png[at + 4..at + 8], &png[at + 8..at + 8 + length]);
            let sum = u32::from_be_bytes(png[at + 8 + length..at + 12 + length].try_into()?);
            assert_eq!(crc32fast::hash(&png[at + 4..at + 8 + length]), sum);
            kinds.push(String::from_utf8(kind.to_vec())?);
            if kind == b"IDAT" {
                packed.extend(data);
            }
            at += 12 + length;
        }
        assert_eq!(kinds, ["IHDR", "IDAT", "IEND"]);
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(packed.as_slice()).read_to_end(&mut rows)?;
        assert_eq!(rows.len(), 20 * (1 + 40 * 3));
        let pixel = |x: usize, y: usize| &rows[y * 121 + 1 + 3 * x..][..3];
        assert_eq!((pixel(15, 7), pixel(5, 7)), (&[255, 0, 0][..], &[255; 3][..]));
        let dark = |x: std::ops::Range<usize>| (0..20).any(|y| x.clone().any(|x| pixel(x, y)[0] < 80));
        assert!(dark(30..38) && !dark(0..10));
        Ok(())
    }
}
