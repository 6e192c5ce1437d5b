//! Capture: bytes in, [`CsiFrame`](crate::CsiFrame)s out.
//!
//! One module a format. A decoder walks over the bytes of a whole (memory-mapped) capture and yields records one at a time:
//! nothing is read ahead, so memory stays bounded whatever the file's size. [`open`] chooses the decoder by the content.

pub mod adr018;
pub mod adr018_jsonl;
pub mod atheros;
pub mod bytes;
mod clock;
pub mod convert;
mod decoder;
mod encode;
pub mod esp32_csv;
pub mod feitcsi;
pub mod inspect;
pub mod intel5300;
mod links;
pub mod nexmon;
pub mod npz;
pub mod picoscenes;
mod reader;
pub mod tones;
pub mod udp;

pub use decoder::{Decoder, Format, Item, Reject};
pub use encode::EncodeError;
pub use reader::{CaptureReader, OpenError, open, open_bytes, sniff};

/// Every format that [`open`] knows. Those with a signature stand first: bytes that damage makes look like two formats
/// are of the first that recognises them.
pub static FORMATS: &[&Format] = &[
    &nexmon::FORMAT,
    &nexmon::FORMAT_NG,
    &npz::FORMAT,
    &adr018_jsonl::FORMAT,
    &esp32_csv::FORMAT,
    &picoscenes::FORMAT,
    &feitcsi::FORMAT,
    &intel5300::FORMAT,
    &atheros::FORMAT,
];
