//! MATLAB files of version 5: arrays of numbers.
//!
//! The MathWorks, "MAT-File Format", R2024a: a header of 128 bytes, then elements of a tag (type and length) and data that is filled
//! up to 8 bytes; an array is an element of elements: flags, dimensions, name, numbers and, of complex ones, their imaginary parts. A
//! compressed element is one such element in zlib's format. Everything but numbers is left out.

use std::io::Read;
use std::path::Path;

use super::recordings::{self, EvaluationError};

const ARRAY: u32 = 14;
const COMPRESSED: u32 = 15;
/// No array of a recording is larger.
const MOST: usize = 1 << 24;

/// What is compressed in a file holds no more: complex numbers of 8 bytes and what says so.
const MOST_BYTES: u64 = 16 * MOST as u64 + 4096;

/// A named array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub name: String,
    pub shape: Vec<usize>,
    /// The first index runs fastest.
    pub values: Vec<f64>,
    /// The imaginary parts of complex numbers, in the same order.
    pub imaginary: Option<Vec<f64>>,
}

/// The arrays of a file, and what says what is wrong with it.
///
/// # Errors
/// When it cannot be read or is something else.
pub fn read(path: &Path) -> Result<(Vec<Array>, impl Fn(String) -> EvaluationError), EvaluationError> {
    let (bytes, fail) = recordings::bytes(path)?;
    let arrays = arrays(&bytes).map_err(&fail)?;
    Ok((arrays, fail))
}

/// The arrays of a file's bytes.
///
/// # Errors
/// What is wrong, and at which byte.
pub fn arrays(bytes: &[u8]) -> Result<Vec<Array>, String> {
    let header = bytes.get(..128).ok_or("shorter than a MATLAB header")?;
    if [bytes.get(..8), bytes.get(512..520)].contains(&Some(b"\x89HDF\r\n\x1a\n")) {
        return Err(
            "MATLAB 7.3 (HDF5) is not read; a few lines of Python in docs/formats.md write it as version 5"
                .into(),
        );
    }
    let big = match &header[126..] {
        b"IM" => false,
        b"MI" => true,
        _ => return Err("no MATLAB file of version 5".into()),
    };
    let (mut found, mut left) = (Vec::new(), MOST_BYTES);
    let mut file = Elements { bytes, at: 128, big };
    while file.at < bytes.len() {
        let (kind, data) = file.next()?;
        match kind {
            ARRAY => found.extend(array(data, big)?),
            COMPRESSED => {
                let mut plain = Vec::new();
                let inflated = flate2::read::ZlibDecoder::new(data).take(left).read_to_end(&mut plain);
                let length = inflated.map_err(|e| format!("byte {}: {e}", file.at))?;
                left = left.saturating_sub(length as u64);
                let (kind, data) = Elements { bytes: &plain, at: 0, big }.next()?;
                if kind == ARRAY {
                    found.extend(array(data, big)?);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// `None` for what holds no numbers.
fn array(bytes: &[u8], big: bool) -> Result<Option<Array>, String> {
    let mut parts = Elements { bytes, at: 0, big };
    let (_, flags) = parts.next()?;
    let flags = flags.first_chunk().map(|b| word(*b, big)).ok_or("an array without flags")?;
    let (_, dimensions) = parts.next()?;
    let (_, name) = parts.next()?;
    // Classes 6 to 15 are numbers; bit 11 says that they are complex.
    if !(6..=15).contains(&(flags & 0xff)) {
        return Ok(None);
    }
    let complex = flags & 0x800 != 0;
    let shape: Vec<usize> = dimensions.as_chunks().0.iter().map(|b| word(*b, big) as usize).collect();
    let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).filter(|n| *n <= MOST);
    let count = count.ok_or_else(|| format!("an array of {shape:?}"))?;
    let mut part = || {
        let (kind, data) = parts.next()?;
        let values = numbers(kind, data, big)?;
        let whole = values.len() == count;
        whole.then_some(values).ok_or_else(|| format!("not {count} values for an array of {shape:?}"))
    };
    let (values, imaginary) = (part()?, complex.then(part).transpose()?);
    Ok(Some(Array { name: String::from_utf8_lossy(name).into_owned(), shape, values, imaginary }))
}

fn numbers(kind: u32, data: &[u8], big: bool) -> Result<Vec<f64>, String> {
    fn all<const N: usize>(data: &[u8], big: bool, read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        let one = |b: &[u8; N]| {
            let mut b = *b;
            if big {
                b.reverse();
            }
            read(b)
        };
        data.as_chunks::<N>().0.iter().map(one).collect()
    }
    Ok(match kind {
        1 => all(data, big, |b| f64::from(i8::from_le_bytes(b))),
        2 => all(data, big, |b| f64::from(u8::from_le_bytes(b))),
        3 => all(data, big, |b| f64::from(i16::from_le_bytes(b))),
        4 => all(data, big, |b| f64::from(u16::from_le_bytes(b))),
        5 => all(data, big, |b| f64::from(i32::from_le_bytes(b))),
        6 => all(data, big, |b| f64::from(u32::from_le_bytes(b))),
        7 => all(data, big, |b| f64::from(f32::from_le_bytes(b))),
        9 => all(data, big, f64::from_le_bytes),
        _ => return Err(format!("numbers of type {kind}")),
    })
}

struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl<'a> Elements<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("byte {}: {n} bytes are cut off", self.at))?;
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    fn word(&mut self) -> Result<u32, String> {
        let part = self.take(4)?;
        Ok(part.first_chunk().map_or(0, |b| word(*b, self.big)))
    }

    /// Type and data of the next element.
    fn next(&mut self) -> Result<(u32, &'a [u8]), String> {
        let kind = self.word()?;
        // Up to four bytes can stand in the tag itself, then the length is its upper half.
        if kind >> 16 != 0 {
            let data = self.take(4)?;
            let length = (kind >> 16) as usize;
            let short = data
                .get(..length)
                .ok_or_else(|| format!("byte {}: a short element of {length} bytes", self.at))?;
            return Ok((kind & 0xffff, short));
        }
        let length = self.word()? as usize;
        let data = self.take(length)?;
        if kind != COMPRESSED {
            // The last element may lack its filling.
            self.at = self.at.next_multiple_of(8).min(self.bytes.len());
        }
        Ok((kind, data))
    }
}

fn word(bytes: [u8; 4], big: bool) -> u32 {
    if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;

    /// One array of 2 × 3 single-byte numbers called `a`, by hand.
    fn file() -> Vec<u8> {
        let mut bytes = vec![b' '; 124];
        bytes.extend([0x00, 0x01, b'I', b'M']);
        let mut array: Vec<u8> = Vec::new();
        let mut put = |words: &[u32]| array.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        put(&[6, 8, 9, 0]);
        put(&[5, 8, 2, 3]);
        // The name stands in its tag: type 1, one byte.
        put(&[1 | 1 << 16, u32::from(b'a')]);
        put(&[2, 6]);
        array.extend([1, 2, 3, 4, 5, 255, 0, 0]);
        bytes.extend(ARRAY.to_le_bytes());
        bytes.extend((array.len() as u32).to_le_bytes());
        bytes.extend(array);
        bytes
    }

    /// The same element as zlib writes it.
    fn compressed() -> Vec<u8> {
        let whole = file();
        let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(&whole[128..]).unwrap();
        let element = writer.finish().unwrap();
        let tag = [COMPRESSED, element.len() as u32].map(u32::to_le_bytes);
        [&whole[..128], tag.as_flattened(), &element].concat()
    }

    /// The same numbers with imaginary parts behind them.
    fn complex() -> Vec<u8> {
        let mut bytes = file();
        bytes[128 + 8 + 8 + 1] |= 0x08;
        bytes.extend([2u32, 6].map(u32::to_le_bytes).as_flattened());
        bytes.extend([9, 8, 7, 6, 5, 4, 0, 0]);
        let length = (bytes.len() - 136) as u32;
        bytes[132..136].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    #[test]
    fn an_array_is_read_as_it_was_written() {
        let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 255.0];
        let a = Array { name: "a".into(), shape: vec![2, 3], values, imaginary: None };
        assert_eq!(arrays(&file()).unwrap(), std::slice::from_ref(&a));
        assert_eq!(arrays(&compressed()).unwrap(), std::slice::from_ref(&a));
        let imaginary = Some(vec![9.0, 8.0, 7.0, 6.0, 5.0, 4.0]);
        assert_eq!(arrays(&complex()).unwrap(), [Array { imaginary, ..a }]);
    }

    #[test]
    fn damage_is_refused_and_never_panics() {
        for whole in [file(), compressed(), complex()] {
            for cut in 0..whole.len() {
                // Only the filling at the end may be missing.
                assert_eq!(arrays(&whole[..cut]).is_ok(), cut == 128, "{cut}");
            }
            for at in 124..whole.len() {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut bytes = whole.clone();
                    bytes[at] = value;
                    let _ = arrays(&bytes);
                }
            }
        }
        let newer = [&[b' '; 512][..], b"\x89HDF\r\n\x1a\n"].concat();
        assert!(arrays(&newer).unwrap_err().contains("7.3"));
    }
}
