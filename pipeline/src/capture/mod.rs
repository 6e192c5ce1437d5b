//! Capture: bytes in, [`CsiFrame`]s out.
//!
//! One module a format. A decoder walks over the bytes of a whole (memory-mapped) capture and yields records one at a time:
//! nothing is read ahead, so memory stays bounded whatever the file's size. [`open`] chooses the decoder by the content.

pub mod atheros;
pub mod bytes;
mod clock;
mod decoder;
pub mod intel5300;
pub mod tones;

pub use decoder::{Decoder, Format, Item, Reject};
